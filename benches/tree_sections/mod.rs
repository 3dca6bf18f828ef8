//! What is measured of kernfs, section by section; each can be run alone.

mod by_hand;
mod churn;
mod held;
mod kernel;
mod million;
mod mount;
mod opening;
mod wake;

pub use churn::{CGROUP, KERNFS as CHURN};
pub use kernel::{CGROUP2, SYSFS};
pub use million::{BIG, CONTROL, SMALL};
pub use mount::{OTHER as MOUNT_OTHER, SAME as MOUNT};
pub use wake::POLL;

use crate::sections::Section;

/// All sections, in the order of the run.
pub const ALL: [Section; 8] = [
    Section {
        name: "by_hand",
        about: "operations on a tree, beside what an author would write with locks",
        run: by_hand::run,
        probe: None,
    },
    Section {
        name: "kernel",
        about: "the same beside the kernel's own kernfs, by system call",
        run: kernel::run,
        probe: None,
    },
    Section {
        name: "wake",
        about: "a notification until a sleeping poller runs",
        run: wake::run,
        probe: None,
    },
    Section {
        name: "mount",
        about: "through a mount, beside sysfs, on one CPU and on two",
        run: mount::run,
        probe: None,
    },
    Section {
        name: "churn",
        about: "a directory with 19 files made and removed, all CPU time counted",
        run: churn::run,
        probe: Some(churn::probe),
    },
    Section {
        name: "opening",
        about: "opening by two threads, beside one mutex and one spinlock",
        run: opening::run,
        probe: None,
    },
    Section {
        name: "million",
        about: "a tree of 1 000 000 nodes: memory, and paths hot and cold",
        run: million::run,
        probe: Some(million::probe),
    },
    Section {
        name: "held",
        about: "a writer that holds the tree lock for 10 ms",
        run: held::run,
        probe: Some(held::probe),
    },
];

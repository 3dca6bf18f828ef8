//! From the change to the wake-up: a thread sleeps until an attribute changes, another one, on the other CPU, says
//! that it did. Both have slept before, in both kinds alike.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::thread;

use kernfs::{OpenFlags, Root};

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::sys;
use crate::sysfs::{self, Cgroup};
use crate::trees::{Zero, name, names::KERNFS};

/// The name of the kernel's kernfs in the table.
pub const POLL: &str = "cgroup2, poll(2)";
const UNPARK: &str = "thread::unpark";

/// Between two changes. cgroup2 holds a notification back that comes within 10 ms of the last one.
const PAUSE: Duration = Duration::from_millis(12);

pub(super) fn run(effort: Effort, report: &mut Report) {
    let mut chart = Chart::new(
        "wake",
        "From notify to the wake-up of a sleeping poller, on another CPU",
        Unit::Us,
        Typical::Median,
    );
    let samples = if effort.quick { 2 } else { 10 };
    for _ in 0..effort.rounds {
        for us in kernfs(samples) {
            chart.add(KERNFS, Some(us));
        }
        match cgroup(samples) {
            Ok(all) => all.into_iter().for_each(|us| chart.add(POLL, Some(us))),
            Err(why) => report.skip(format!("{POLL}: {why}")),
        }
        for us in unpark(samples) {
            chart.add(UNPARK, Some(us));
        }
    }
    report.groups.push(Group::single(chart));
}

fn kernfs(samples: u64) -> Vec<f64> {
    let root = Root::new();
    let file = root.create_file(name(0), 0o444, 0, Zero).expect("new");
    let open = file.open(OpenFlags::READ).expect("it is there");
    let clear = || open.read_at(&mut [0; 64], 0).expect("it is there");
    clear();
    let sleep = || {
        open.wait_event(None).expect("it is there");
    };
    latencies(samples, sleep, || _ = clear(), || file.notify())
}

fn cgroup(samples: u64) -> Result<Vec<f64>, String> {
    let cgroup = Cgroup::new("wake")?;
    let text = |error: std::io::Error| error.to_string();
    let events = File::open(cgroup.file("cgroup.events")).map_err(text)?;
    let freezer = cgroup.file("cgroup.freeze");
    let mut freezer = OpenOptions::new().write(true).open(freezer).map_err(text)?;
    let clear = || sysfs::pread(&events, &mut [0; 256]).map_err(text);
    clear()?;
    let sleep = || _ = sysfs::poll(&events, -1);
    let mut frozen = false;
    let tell = || {
        frozen = !frozen;
        _ = cgroup.freeze(&mut freezer, frozen);
    };
    Ok(latencies(samples, sleep, || _ = clear(), tell))
}

fn unpark(samples: u64) -> Vec<f64> {
    let sleeper = std::sync::OnceLock::new();
    let sleep = || {
        sleeper.get_or_init(thread::current);
        thread::park();
    };
    let tell = || {
        if let Some(thread) = sleeper.get() {
            thread.unpark();
        }
    };
    latencies(samples, sleep, || (), tell)
}

/// Microseconds from before `tell` until `sleep` has returned.
pub(super) fn latencies(
    samples: u64,
    sleep: impl Fn() + Sync,
    clear: impl Fn() + Sync,
    mut tell: impl FnMut() + Send,
) -> Vec<f64> {
    let (awake, passed) = (AtomicU64::new(0), AtomicU64::new(0));
    let (awake, passed) = (&awake, &passed);
    thread::scope(|scope| {
        scope.spawn(|| {
            sys::pin(1);
            for n in 1..=samples {
                sleep();
                awake.store(sys::monotonic_ns(), Ordering::Relaxed);
                clear();
                passed.store(n, Ordering::Release); // pairs with the Acquire below
            }
        });
        let teller = scope.spawn(move || {
            sys::pin(0);
            let mut all = Vec::new();
            for n in 1..=samples {
                thread::sleep(PAUSE);
                let told = sys::monotonic_ns();
                tell();
                while passed.load(Ordering::Acquire) < n {
                    thread::sleep(PAUSE / 50);
                }
                all.push((awake.load(Ordering::Relaxed) - told) as f64 / 1e3);
            }
            all
        });
        teller.join().unwrap_or_default()
    })
}

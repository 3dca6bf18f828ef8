//! inotify of what the owner notifies, which is the option of [`Options::inotify`].

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use kernfs::fuse::Options;
use kernfs::{Cx, Errno, Has, Ops, Result, Root, RootFlags};

use crate::support::{
    c_string, mount_tmpfs, poll_now, text, unmount, unmount_unused, with_options,
};

/// An inotify descriptor; blocks.
struct Watcher(fs::File);

impl Watcher {
    fn new() -> Self {
        // SAFETY: takes no memory of ours.
        let fd = unsafe { libc::inotify_init1(libc::IN_CLOEXEC) };
        assert_ne!(fd, -1);
        // SAFETY: just made, and nobody else knows it.
        Self(unsafe { fs::File::from_raw_fd(fd) })
    }

    fn add(&self, path: &Path, mask: u32) -> i32 {
        let path = c_string(path);
        // SAFETY: an open descriptor and a string that live over the call.
        let watch = unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), mask) };
        assert_ne!(watch, -1);
        watch
    }

    /// The next events: which watch, what, which name.
    fn read(&mut self) -> Vec<(i32, u32, String)> {
        let mut bytes = [0; 4096];
        let n = self.0.read(&mut bytes).expect("events");
        let mut rest = &bytes[..n];
        let mut events = Vec::new();
        while let [head @ .., _] = rest
            && head.len() >= 15
        {
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().expect("4"));
            let (watch, mask, len) = (word(0).cast_signed(), word(4), word(12) as usize);
            let name = rest[16..16 + len].split(|b| *b == 0).next().unwrap_or(b"");
            events.push((watch, mask, String::from_utf8_lossy(name).into_owned()));
            rest = &rest[16 + len..];
        }
        events
    }

    /// Reads until there were `n` events.
    fn read_n(&mut self, n: usize) -> Vec<(i32, u32, String)> {
        let mut events = Vec::new();
        while events.len() < n {
            events.extend(self.read());
        }
        events
    }
}

#[test]
fn who_watches_a_file_or_its_directory_hears_of_a_notification() {
    with_options(
        Root::new(),
        &Options::new().inotify(true),
        |root| {
            drop(text(
                &root.create_dir("dir", 0o755).expect("new"),
                "speed",
                "30",
            ))
        },
        |setup| {
            let file = setup.root.walk("dir/speed").and_then(|node| node.as_file());
            let file = file.expect("there");
            let mut watcher = Watcher::new();
            let on_file = watcher.add(&setup.at("dir/speed"), libc::IN_ALL_EVENTS);
            let on_dir = watcher.add(&setup.at("dir"), libc::IN_ALL_EVENTS);
            for _ in 0..3 {
                file.notify();
                // Nothing but these two: no IN_ATTRIB, no IN_OPEN.
                let mut events = watcher.read_n(2);
                events.sort_unstable();
                let mut expected = [
                    (on_file, libc::IN_MODIFY, String::new()),
                    (on_dir, libc::IN_MODIFY, "speed".to_owned()),
                ];
                expected.sort_unstable();
                assert_eq!(events, expected);
            }
            // It changes nothing: neither the content nor what stat shows.
            assert_eq!(setup.read("dir/speed"), "30\n");
            let stat = file.stat();
            assert_eq!((stat.size, stat.mtime), (4096, stat.atime));
        },
    );
}

/// The poke waits for the lock that the client's write(2) holds.
#[test]
fn a_file_that_is_notified_by_its_own_write_is_told_after_it() {
    with_options(
        Root::new(),
        &Options::new().inotify(true),
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let path = setup.at("speed");
            let mut watcher = Watcher::new();
            let on_file = watcher.add(&path, libc::IN_MODIFY);
            let mut file = OpenOptions::new().write(true).open(&path).expect("open");
            file.write_all(b"31").expect("stored and notified");
            // The client's own write, and the notification: merged, if the first was not read yet.
            let events = watcher.read();
            assert!(
                events
                    .iter()
                    .all(|e| *e == (on_file, libc::IN_MODIFY, String::new()))
            );
            assert_eq!(setup.read("speed"), "31\n");
            drop(file);
        },
    );
}

#[test]
fn without_the_option_nobody_hears() {
    with_options(
        Root::new(),
        &Options::new(),
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let watcher = Watcher::new();
            watcher.add(&setup.at("speed"), libc::IN_ALL_EVENTS);
            let file = setup.root.find("speed").and_then(|node| node.as_file());
            file.expect("there").notify();
            setup.mount.flush();
            assert_eq!(poll_now(&watcher.0, libc::POLLIN), 0);
        },
    );
}

/// The poke went by the path alone, into what was mounted there.
#[test]
fn a_foreign_file_over_the_tree_was_emptied() {
    with_options(
        Root::new(),
        &Options::new().inotify(true),
        |root| {
            text(&root.create_dir("dir", 0o755).expect("new"), "speed", "30");
            text(root, "other", "30");
        },
        |setup| {
            let file = |path: &str| setup.root.walk(path).and_then(|node| node.as_file());
            let (hidden, other) = (file("dir/speed"), file("other"));
            mount_tmpfs(&setup.at("dir"));
            fs::write(setup.at("dir/speed"), "foreign").expect("a tmpfs");
            let mut watcher = Watcher::new();
            watcher.add(&setup.at("other"), libc::IN_MODIFY);
            hidden.expect("there").notify();
            setup.mount.flush(); // queued before the other one
            other.expect("there").notify();
            watcher.read_n(1);
            assert_eq!(setup.read("dir/speed"), "foreign");
            unmount_unused(&setup.at("dir"));
        },
    );
}

/// Its write ends when nobody waits for it any more.
struct Patient(mpsc::Sender<()>);

impl Ops for Patient {
    const HAS: Has = Has::WRITE;
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn write(&self, cx: &mut Cx<'_>, (): &(), _: &[u8], _: u64) -> Result<usize> {
        let _ = self.0.send(());
        while !cx.interrupted() {
            thread::yield_now();
        }
        Err(Errno::EINTR.into())
    }
}

/// Whether a thread of that name is in the kernel for a lock.
fn a_poke_waits() -> bool {
    let threads = fs::read_dir("/proc/self/task").expect("proc").flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    stats
        .into_iter()
        .any(|stat| stat.contains("(kernfs-poke) D"))
}

/// The end of the mount waited for the poke, the poke for the client's lock of the file, the client for its callback, and
/// the callback for the end of the mount.
#[test]
fn a_mount_that_somebody_else_had_detached_hung_at_its_end() {
    let (entered, is_entered) = mpsc::channel();
    let root = Root::with_flags(RootFlags::NONE);
    with_options(
        root,
        &Options::new().inotify(true),
        |root| {
            drop(
                root.create_file("slow", 0o644, 0, Patient(entered))
                    .expect("new"),
            )
        },
        move |setup| {
            let path = setup.at("slow");
            thread::spawn(move || drop(fs::write(path, "x")));
            is_entered.recv().expect("it is written");
            let file = setup.root.find("slow").and_then(|node| node.as_file());
            file.expect("there").notify();
            setup.mount.flush();
            // Until the poke waits, where the kernel has it wait.
            for _ in 0..10_000 {
                if a_poke_waits() {
                    break;
                }
                thread::yield_now();
            }
            unmount(&setup.path, libc::MNT_DETACH).expect("ours");
            // And the end of the setup unmounts.
        },
    );
}

/// R14: the kernel had the name of what was notified, and no parent for it: here it has neither.
#[test]
fn what_the_kernel_has_never_seen_was_notified_under_no_parent() {
    let root = Root::new();
    let other = root.clone();
    with_options(
        root,
        &Options::new().inotify(true),
        |root| {
            let dir = root.create_dir("dir", 0o755).expect("new");
            let dir = dir.create_dir("deeper", 0o755).expect("new");
            drop((text(&dir, "gone", "29"), text(&dir, "speed", "30")));
        },
        |setup| {
            let file = |path| setup.root.walk(path).and_then(|node| node.as_file());
            let (gone, speed) = (file("dir/deeper/gone"), file("dir/deeper/speed"));
            let (gone, speed) = (gone.expect("there"), speed.expect("there"));
            // Nobody has looked up even the first component.
            speed.notify();
            gone.notify();
            gone.remove().expect("there");
            gone.notify();
            setup.mount.flush();
            // Who watches the top alone hears nothing of what is below; who watches it later hears the next one.
            let mut watcher = Watcher::new();
            watcher.add(&setup.path, libc::IN_ALL_EVENTS);
            speed.notify();
            setup.mount.flush();
            assert_eq!(poll_now(&watcher.0, libc::POLLIN), 0);
            let on_dir = watcher.add(&setup.at("dir/deeper"), libc::IN_MODIFY);
            speed.notify();
            let heard = watcher.read_n(1);
            assert_eq!(heard, [(on_dir, libc::IN_MODIFY, "speed".to_owned())]);
        },
    );
    // Nor is there a mount any more.
    let speed = other
        .walk("dir/deeper/speed")
        .and_then(|node| node.as_file());
    speed.expect("the tree stays").notify();
}

//! Mounts of one tree that come and go while it changes.

use std::fs::{self, OpenOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kernfs::fuse::{Mount, Options};
use kernfs::{Creation, Ns, Root};

use crate::support::{TempDir, is_mount_point, text, with_dir};

/// S16, R18: with the same name space and with different ones.
#[test]
fn mounts_come_and_go_beside_notifications_and_removals() {
    const ROUNDS: usize = 12;
    with_dir(|_| {
        let root = Root::new();
        let net = root.create_dir("net", 0o755).expect("new");
        net.enable_ns().expect("empty");
        let spaces = [1, 2, 2].map(|id| Ns::new(id).expect("not 0"));
        for ns in [spaces[0], spaces[1]] {
            net.create_dir_with("eth", 0o755, Creation::new().ns(ns))
                .expect("new");
        }
        let fixed = text(&root, "fixed", "30");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let mounters: Vec<_> = spaces
                .map(|ns| {
                    let (root, net) = (&root, &net);
                    scope.spawn(move || {
                        let dir = TempDir::new();
                        let options = Options::new().ns(Some(ns)).inotify(true);
                        for _ in 0..ROUNDS {
                            let mount =
                                Mount::new(root, &dir.0, &options).expect("a bare directory");
                            assert_eq!(fs::read(dir.0.join("fixed")).expect("there"), b"30\n");
                            let eth = fs::metadata(dir.0.join("net/eth")).expect("there");
                            let node = net.find_ns("eth", Some(ns)).expect("there");
                            assert_eq!(std::os::unix::fs::MetadataExt::ino(&eth), node.id());
                            // There or not: nothing else.
                            if let Err(error) = fs::read(dir.0.join("comes/and/goes")) {
                                let errno = error.raw_os_error();
                                assert!(
                                    matches!(errno, Some(libc::ENOENT | libc::ENODEV)),
                                    "{error}"
                                );
                            }
                            mount.unmount().expect("ours");
                            assert!(!is_mount_point(&dir.0));
                        }
                    })
                })
                .into();
            let owner = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let comes = root.create_dir("comes", 0o755).expect("gone");
                    let and = comes.create_dir("and", 0o755).expect("new");
                    text(&and, "goes", "1").notify();
                    fixed.notify();
                    comes.remove().expect("there");
                }
            });
            let results: Vec<_> = mounters
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect();
            over.store(true, Ordering::Relaxed);
            owner.join().expect("the owner");
            for result in results {
                result.expect("a mounter");
            }
        });
        assert_eq!(root.stats().open_files, 0);
    });
}

// The other mount showed the times from before, for as long as its kernel remembered them.
#[test]
fn a_file_that_is_truncated_through_one_mount_has_its_new_times_in_another() {
    with_dir(|_| {
        let root = Root::new();
        text(&root, "speed", "30");
        let dirs = [TempDir::new(), TempDir::new()];
        let mounts = dirs
            .each_ref()
            .map(|dir| Mount::new(&root, &dir.0, &Options::new()).expect("a bare directory"));
        let stat = |mount: &Mount| fs::metadata(mount.path().join("speed")).expect("there");
        let before = mounts.each_ref().map(|mount| stat(mount).modified().ok());
        let speed = mounts[0].path().join("speed");
        let mut options = OpenOptions::new();
        drop(
            options
                .write(true)
                .truncate(true)
                .open(speed)
                .expect("there"),
        );
        mounts[1].flush();
        for (mount, before) in mounts.iter().zip(before) {
            let now = stat(mount);
            assert_ne!(now.modified().ok(), before);
            assert_eq!(now.len(), 4096);
        }
        for mount in mounts {
            mount.unmount().expect("ours");
        }
    });
}

//! Attributes that the owner changes while the kernel has them cached, and those that users change.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use kernfs::SetAttr;
use kernfs::fuse::{Mount, Options};

use crate::support::{TempDir, become_nobody, errno, have_nobody, text, with_mount};

fn mode(mode: u32) -> SetAttr {
    let mode = Some(mode);
    SetAttr {
        mode,
        ..SetAttr::default()
    }
}

#[test]
fn stat_shows_what_the_owner_set() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let file = setup.root.find("speed").expect("there");
            let stat = || fs::metadata(setup.at("speed")).expect("stat");
            for round in 1..50 {
                // Cached for an hour from here on.
                stat();
                let bits = if round % 2 == 0 { 0o644 } else { 0o600 };
                let new = SetAttr {
                    uid: Some(round),
                    gid: Some(round + 1),
                    mtime: Some(Duration::from_secs(round.into())),
                    ..mode(bits)
                };
                file.setattr(&new).expect("any mode");
                setup.mount.flush();
                let now = stat();
                assert_eq!(now.mode(), 0o100_000 | bits);
                assert_eq!((now.uid(), now.gid()), (round, round + 1));
                assert_eq!(now.mtime(), i64::from(round));
            }
            // A directory too, and the root.
            for dir in [
                setup.root.clone().dir(),
                setup.root.create_dir("d", 0o755).expect("new"),
            ] {
                let path = String::from_utf8(dir.path()).expect("ASCII");
                let bits = || fs::metadata(setup.at(&path[1..])).expect("stat").mode() & 0o7777;
                setup.mount.flush();
                assert_ne!(bits(), 0o711);
                dir.setattr(&mode(0o711)).expect("any mode");
                setup.mount.flush();
                assert_eq!(bits(), 0o711);
            }
        },
    );
}

/// The kernel did not know the node yet, so there was nothing for it to forget; then it got the old attributes.
#[test]
fn what_changed_under_the_first_look_at_a_file_was_remembered_as_it_had_been() {
    const FILES: usize = 2000;
    with_mount(
        |_| {},
        |setup| {
            let (next, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let wait = |number: &AtomicUsize, n| {
                while number.load(SeqCst) < n {
                    thread::yield_now();
                }
            };
            thread::scope(|scope| {
                let client = scope.spawn(|| {
                    for n in 1..=FILES {
                        wait(&next, n);
                        let _ = fs::metadata(setup.at(&n.to_string()));
                        seen.store(n, SeqCst);
                    }
                });
                for n in 1..=FILES {
                    let file = text(&setup.root, &n.to_string(), "30");
                    next.store(n, SeqCst);
                    // At one moment after another of the look.
                    for _ in 0..n % 64 * 100 {
                        std::hint::spin_loop();
                    }
                    file.setattr(&mode(0o600)).expect("any mode");
                    while seen.load(SeqCst) < n && !client.is_finished() {
                        thread::yield_now();
                    }
                    setup.mount.flush();
                    let now = fs::metadata(setup.at(&n.to_string())).expect("stat");
                    // Let the client end before this fails.
                    if now.mode() != 0o100_600 {
                        next.store(FILES, SeqCst);
                    }
                    file.remove().expect("there");
                    assert_eq!(now.mode(), 0o100_600, "file {n}");
                }
            });
        },
    );
}

/// The mount leaves permissions to the kernel, which goes by what it remembers.
#[test]
fn others_opened_what_the_owner_had_closed() {
    if !have_nobody() {
        return;
    }
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let path = setup.at("speed");
            let file = setup.root.find("speed").expect("there");
            thread::scope(|scope| {
                scope.spawn(|| {
                    become_nobody();
                    File::open(&path).expect("for everybody");
                    file.setattr(&mode(0o600)).expect("any mode");
                    setup.mount.flush();
                    assert_eq!(errno(File::open(&path)), libc::EACCES);
                    file.setattr(&mode(0o644)).expect("any mode");
                    setup.mount.flush();
                    File::open(&path).expect("for everybody");
                });
            });
        },
    );
}

/// chmod, chown and utimes of a user, seen by him, by the owner, and through another mount.
#[test]
fn what_a_user_sets_is_the_nodes() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let (path, other) = (setup.at("speed"), TempDir::new());
            let second = Mount::new(&setup.root, &other.0, &Options::new()).expect("two mounts");
            let seen = || fs::metadata(other.0.join("speed")).expect("stat");
            assert_eq!(seen().mode(), 0o100_644);
            let times = FileTimes::new()
                .set_accessed(UNIX_EPOCH + Duration::new(5, 6))
                .set_modified(UNIX_EPOCH + Duration::new(7, 8));
            let file = File::open(&path).expect("open");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
            chown(&path, Some(12), Some(13)).expect("chown");
            file.set_times(times).expect("utimes");
            let stat = setup.root.find("speed").expect("there").stat();
            assert_eq!((stat.mode, stat.uid, stat.gid), (0o640, 12, 13));
            assert_eq!(stat.atime, Duration::new(5, 6));
            assert_eq!(stat.mtime, Duration::new(7, 8));
            assert!(stat.ctime > stat.mtime, "the time of the change");
            for stat in [fs::metadata(&path).expect("stat"), {
                second.flush();
                seen()
            }] {
                assert_eq!((stat.mode(), stat.uid(), stat.gid()), (0o100_640, 12, 13));
                assert_eq!((stat.mtime(), stat.mtime_nsec()), (7, 8));
            }
            // Nobody but the owner and the superuser.
            if have_nobody() {
                thread::scope(|scope| {
                    scope.spawn(|| {
                        become_nobody();
                        let mode = fs::Permissions::from_mode(0o666);
                        assert_eq!(errno(fs::set_permissions(&path, mode)), libc::EPERM);
                        assert_eq!(errno(chown(&path, Some(65534), None)), libc::EPERM);
                    });
                });
            }
            second.unmount().expect("still ours");
        },
    );
}

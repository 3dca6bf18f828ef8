//! Where one can mount, and what is left there afterwards: nothing.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use kernfs::fuse::{Mount, Options, recover_stale};
use kernfs::{Dir, Errno, Result, Root, RootFlags, SyscallCx, SyscallOps};

use crate::daemon::{Daemon, Mode};
use crate::support::{
    become_nobody, errno, have_nobody, is_mount_point, mount_tmpfs, text, unmount, unmount_unused,
    with_dir, with_mount,
};

fn mount(path: &Path) -> Result<Mount> {
    Mount::new(&Root::new(), path, &Options::new())
}

/// The refusal, which must name the path.
#[track_caller]
fn refused(path: &Path) -> (Errno, String) {
    let error = mount(path).expect_err("must be refused");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot mount on {}: ", path.display())),
        "{text}"
    );
    (error.errno(), text)
}

#[test]
fn bad_mount_points_are_refused_with_a_reason() {
    with_dir(|dir| {
        let missing = dir.join("missing");
        let (errno, text) = refused(&missing);
        assert_eq!(errno, Errno::ENOENT);
        assert!(text.contains("create the directory first"), "{text}");

        let file = dir.join("file");
        File::create(&file).expect("new");
        let (errno, text) = refused(&file);
        assert_eq!(errno, Errno::ENOTDIR);
        assert!(text.contains("it is not a directory"), "{text}");

        let (errno, text) = refused(dir);
        assert_eq!(errno, Errno::EBUSY);
        assert!(text.contains("it is not empty"), "{text}");
        fs::remove_file(file).expect("there");

        let round = dir.join("round");
        symlink("round", &round).expect("new");
        let (errno, text) = refused(&round);
        assert_eq!(errno, Errno::ELOOP);
        assert!(text.contains("symbolic links"), "{text}");
        fs::remove_file(round).expect("there");

        mount_tmpfs(dir);
        let (errno, text) = refused(dir);
        assert_eq!(errno, Errno::EBUSY);
        assert!(
            text.contains("something (tmpfs) is mounted there"),
            "{text}"
        );
        unmount_unused(dir);
        assert_eq!(
            mount(Path::new("a\0b")).expect_err("NUL").errno(),
            Errno::EINVAL
        );
    });
}

#[test]
fn a_second_daemon_is_told_that_the_first_one_lives() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let (errno, text) = refused(&setup.path);
            assert_eq!(errno, Errno::EBUSY);
            assert!(text.contains("does the daemon run already?"), "{text}");
            assert!(!recover_stale(&setup.path).expect("a look"));
            assert_eq!(setup.read("speed"), "30\n");
        },
    );
}

#[test]
fn without_permission_the_missing_thing_is_named() {
    if !have_nobody() {
        return;
    }
    with_dir(|dir| {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).expect("ours");
        let dir = dir.to_owned();
        // Another thread: it does not become root again.
        let error = thread::spawn(move || {
            become_nobody();
            mount(&dir).expect_err("no right")
        })
        .join()
        .expect("no panic");
        let text = error.to_string();
        // Where /dev/fuse is open to all, mount(2) is what refuses.
        assert!(
            matches!(error.errno(), Errno::EACCES | Errno::EPERM),
            "{text}"
        );
        assert!(
            text.contains("/dev/fuse") || text.contains("CAP_SYS_ADMIN"),
            "{text}"
        );
    });
}

#[test]
fn dropping_the_mount_unmounts() {
    with_dir(|dir| {
        let root = Root::new();
        text(&root, "speed", "30");
        for _ in 0..20 {
            let mount = Mount::new(&root, dir, &Options::new()).expect("free again");
            assert!(is_mount_point(dir));
            assert_eq!(
                fs::read_to_string(dir.join("speed")).expect("readable"),
                "30\n"
            );
            drop(mount);
            assert!(!is_mount_point(dir));
        }
        // The tree lives on within the process.
        assert!(root.find("speed").is_some());
    });
}

#[test]
fn a_busy_mount_is_unmounted_too() {
    with_dir(|dir| {
        let root = Root::new();
        text(&root, "speed", "30");
        let mount = Mount::new(&root, dir, &Options::new()).expect("mounts");
        let mut file = File::open(dir.join("speed")).expect("open");
        let inside = File::open(dir).expect("a directory");
        mount.unmount().expect("ours");
        assert!(!is_mount_point(dir));
        assert_eq!(errno(file.read(&mut [0; 8])), libc::ENOTCONN);
        drop(inside);
    });
}

#[test]
fn two_mounts_of_one_tree() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            with_dir(|second| {
                let mount = Mount::new(&setup.root, second, &Options::new()).expect("mounts");
                fs::write(second.join("speed"), "31\n").expect("writable");
                assert_eq!(setup.read("speed"), "31\n");
                setup.root.remove_by_name("speed").expect("there");
                mount.flush();
                setup.mount.flush();
                for path in [second, &setup.path] {
                    assert_eq!(errno(fs::metadata(path.join("speed"))), libc::ENOENT);
                }
            });
        },
    );
}

#[test]
fn what_somebody_else_mounted_there_is_left_alone() {
    with_dir(|dir| {
        let mount = mount(dir).expect("mounts");
        unmount_unused(dir);
        assert!(!mount.is_mounted());
        mount_tmpfs(dir);
        mount.unmount().expect("nothing to do");
        assert!(is_mount_point(dir));
        unmount_unused(dir);
    });
}

#[test]
fn a_mount_that_somebody_detached_while_busy_serves_nobody_after_the_drop() {
    with_dir(|dir| {
        let root = Root::new();
        text(&root, "speed", "30");
        let mount = Mount::new(&root, dir, &Options::new()).expect("mounts");
        let mut file = File::open(dir.join("speed")).expect("open");
        unmount(dir, libc::MNT_DETACH).expect("root may");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("served still");
        assert_eq!(text, "30\n");
        mount.unmount().expect("nothing to do");
        assert_eq!(errno(file.read(&mut [0; 8])), libc::ENODEV);
    });
}

/// Users who make directories wait until they give up.
struct Waits(mpsc::Sender<()>);

impl SyscallOps for Waits {
    fn mkdir(&self, cx: &mut SyscallCx<'_>, _: &Dir, _: &[u8], _: u32) -> Result<()> {
        self.0.send(()).map_err(|_| Errno::EIO)?;
        while !cx.interrupted() {
            thread::yield_now();
        }
        Err(Errno::EINTR.into())
    }
}

/// The client in mkdir(2) holds the lock that the news of the tree wait for, the end of the mount waited for the news
/// before it told the callback.
#[test]
fn a_mount_that_somebody_detached_ends_though_a_callback_holds_up_the_news() {
    with_dir(|dir| {
        let (inside, entered) = mpsc::channel();
        let root = Root::with_ops(RootFlags::NONE, Waits(inside));
        text(&root, "speed", "30");
        let mount = Mount::new(&root, dir, &Options::new()).expect("mounts");
        fs::metadata(dir.join("speed")).expect("there");
        thread::scope(|scope| {
            let client = scope.spawn(|| errno(fs::create_dir(dir.join("new"))));
            entered.recv().expect("a call");
            unmount(dir, libc::MNT_DETACH).expect("root may");
            root.remove_by_name("speed").expect("there");
            mount.unmount().expect("nothing to do");
            assert_eq!(client.join().expect("no panic"), libc::ENODEV);
        });
    });
}

#[test]
fn what_a_killed_daemon_left_is_taken_away_by_the_next_one() {
    with_dir(|dir| {
        for busy in [false, true] {
            let mut daemon = Daemon::start(Mode::Terminated, dir);
            let pid = fs::read_to_string(dir.join("pid")).expect("served");
            assert_eq!(pid.trim_end(), daemon.child.id().to_string());
            let open = busy.then(|| File::open(dir.join("pid")).expect("open"));
            daemon.child.kill().expect("our child");
            daemon.wait();
            assert!(is_mount_point(dir));
            assert_eq!(errno(fs::read_dir(dir)), libc::ENOTCONN);

            // Through a link, too.
            let link = dir.with_extension("link");
            symlink(dir, &link).expect("new");
            let next = mount(&link).expect("recovers");
            assert_eq!(fs::read_dir(dir).expect("served").count(), 0);
            next.unmount().expect("ours");
            fs::remove_file(&link).expect("ours");
            assert!(!is_mount_point(dir));
            drop(open);
        }
        assert!(!recover_stale(dir).expect("a look"));
    });
}

#[test]
fn sigterm_unmounts() {
    with_dir(|dir| {
        for busy in [false, true] {
            let daemon = Daemon::start(Mode::Terminated, dir);
            let open = busy.then(|| File::open(dir.join("pid")).expect("open"));
            daemon.signal(libc::SIGTERM);
            assert_eq!(daemon.wait().code(), Some(0));
            assert!(!is_mount_point(dir));
            drop(open);
        }
    });
}

#[test]
fn exit_without_a_drop_unmounts() {
    with_dir(|dir| {
        let daemon = Daemon::start(Mode::Exits, dir);
        assert!(is_mount_point(dir));
        assert_eq!(daemon.wait().code(), Some(0));
        assert!(!is_mount_point(dir));
    });
}

#[test]
fn a_forked_child_that_drops_the_mount_changes_nothing() {
    with_dir(|dir| {
        let root = Root::new();
        text(&root, "speed", "30");
        let mount = Mount::new(&root, dir, &Options::new()).expect("mounts");
        // SAFETY: the child drops one value, which must not touch a lock or the heap, and ends.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            drop(mount);
            // SAFETY: ends the child without anything that belongs to the parent.
            unsafe { libc::_exit(0) };
        }
        let mut status = -1;
        // SAFETY: our own child; one int to write.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0);
        assert!(mount.is_mounted());
        assert_eq!(
            fs::read_to_string(dir.join("speed")).expect("served"),
            "30\n"
        );
    });
}

/// It kept the descriptors of /dev/fuse, and with them the connection: everybody waited for a daemon that was dead.
#[test]
fn a_forked_child_kept_the_mount_of_a_dead_daemon_hanging() {
    with_dir(|dir| {
        let mut daemon = Daemon::start(Mode::Forks, dir);
        assert!(fs::read(dir.join("pid")).is_ok());
        daemon.signal(libc::SIGKILL);
        let input = daemon.child.stdin.take(); // the child reads it as well
        daemon.child.wait().expect("our child");
        // ECONNABORTED: asked while the kernel was closing the last descriptor.
        let error = errno(fs::read(dir.join("pid")));
        assert!(
            matches!(error, libc::ENOTCONN | libc::ECONNABORTED),
            "{error}"
        );
        drop(input);
        unmount_unused(dir);
    });
}

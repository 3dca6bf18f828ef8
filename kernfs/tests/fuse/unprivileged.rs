//! Mounts of who may not: in a user namespace of his own, and by fusermount3.
//!
//! Each daemon is a process of its own, this test binary run again, for neither a user nor a user namespace can be given
//! to one thread.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Command, Output};

use kernfs::fuse::{Mount, Options};
use kernfs::{Cred, Errno, Root, SetAttr};

use crate::support::{
    c_string, errno, have_nobody, is_mount_point, shell_ok, skip, text, unmount, with_dir,
};

const NOBODY: u32 = 65534;
const WHAT: &str = "KERNFS_TEST_UNPRIVILEGED";
const PATH: &str = "KERNFS_TEST_MOUNT";
const DONE: &str = "all of that worked";

/// Who the daemon is.
#[derive(Clone, Copy, Debug, Default)]
struct Who {
    /// User and group, if not those of the tests.
    user: Option<u32>,
    /// In a user namespace, and a mount namespace, of its own; where it is user 0, and group 0 if that is wanted.
    group: Option<bool>,
}

impl Who {
    /// Between fork and exec.
    fn become_that(&self, map: &str, group_map: &str) -> io::Result<()> {
        if let Some(user) = self.user {
            // SAFETY: no groups, so there is nothing to read.
            check(unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) })?;
            // SAFETY: takes integers.
            check(unsafe { libc::syscall(libc::SYS_setresgid, user, user, user) })?;
            // SAFETY: as above.
            check(unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) })?;
            // Else its files in /proc are root's.
            // SAFETY: sets a flag of the process, touches no memory.
            let ret = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(true)) };
            check(ret.into())?;
        }
        if let Some(group) = self.group {
            // SAFETY: the process has one thread; no memory is touched.
            check(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) }.into())?;
            fs::write("/proc/self/uid_map", map)?;
            if group {
                fs::write("/proc/self/setgroups", "deny")?;
                fs::write("/proc/self/gid_map", group_map)?;
            }
        }
        // It goes with the thread that runs its test.
        // SAFETY: sets a property of the calling process, touches no memory.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }.into())
    }

    /// A command that is run as this user.
    fn command(self, program: &str) -> Command {
        let own = Cred::process();
        let maps = [self.user.unwrap_or(own.uid), self.user.unwrap_or(own.gid)]
            .map(|id| format!("0 {id} 1\n"));
        let mut command = Command::new(program);
        // SAFETY: it makes system calls, and no memory is allocated: the paths are short, the rest is there.
        unsafe { command.pre_exec(move || self.become_that(&maps[0], &maps[1])) };
        command
    }

    /// Whether such processes can be; else it is told that the test is skipped.
    fn can_be(self) -> bool {
        if self.user.is_some() && !have_nobody() {
            return false;
        }
        match self.command("true").status() {
            Ok(status) => {
                assert!(status.success());
                true
            }
            Err(error) => {
                let what = match self.group {
                    Some(_) => "unshare(CLONE_NEWUSER)",
                    None => "another user",
                };
                skip(&format!("a mount without privileges: {what}: {error}"));
                false
            }
        }
    }

    /// Has one of the [`daemons`](process) run, which must succeed.
    fn run(self, what: &str, path: &Path) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.daemon(what, path).output().expect("self");
        let (said, error) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        assert!(
            status.success() && said.contains(DONE),
            "{what}: {said}{error}"
        );
    }

    fn daemon(self, what: &str, path: &Path) -> Command {
        // By its descriptor: the way to it may be closed to the user. It is closed at the exec.
        let own = File::open("/proc/self/exe").expect("proc");
        let program = format!("/proc/self/fd/{}", own.as_raw_fd());
        let mut command = self.command(&program);
        command
            .args(["--exact", "unprivileged::process", "--nocapture"])
            .env(PATH, path)
            .env(WHAT, what);
        // SAFETY: it does nothing but keep the file until then.
        unsafe {
            command.pre_exec(move || {
                let _ = &own;
                Ok(())
            });
        }
        command
    }
}

fn check(ret: libc::c_long) -> io::Result<()> {
    match ret {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// No test but a daemon, when one of the tests below starts this program anew; else it returns at once.
#[test]
fn process() {
    let (Some(what), Some(path)) = (std::env::var(WHAT).ok(), std::env::var_os(PATH)) else {
        return;
    };
    let path = Path::new(&path);
    match &*what {
        "serves" => serves(path),
        "no group" => no_group(path),
        "is killed" => is_killed(path),
        "lets others in" => lets_others_in(path),
        "finds no program" => finds_no_program(path),
        other => panic!("{other}?"),
    }
    println!("{DONE}");
    process::exit(0);
}

/// A 0666 /dev/fuse, as udev makes it, for this test's mount namespace; `false` where devices cannot be made.
fn open_device_to_all(dir: &Path) -> bool {
    if fs::metadata("/dev/fuse").expect("it was used").mode() & 0o6 == 0o6 {
        return true;
    }
    // On a file system of its own: TMPDIR may be nodev.
    let target = c_string(dir);
    let kind = c"tmpfs".as_ptr();
    // SAFETY: NUL-terminated strings that live over the call, no data.
    check(unsafe { libc::mount(kind, target.as_ptr(), kind, 0, std::ptr::null()) }.into())
        .expect("tmpfs");
    let node = dir.join("fuse");
    let of = fs::metadata("/dev/fuse").expect("there").rdev();
    // SAFETY: a NUL-terminated string that lives over the call.
    let made = unsafe { libc::mknod(c_string(&node).as_ptr(), libc::S_IFCHR | 0o666, of) };
    if let Err(error) = check(made.into()) {
        unmount(dir, libc::MNT_DETACH).expect("ours");
        skip(&format!(
            "a mount without privileges: /dev/fuse is closed to others, and mknod(2): {error}"
        ));
        return false;
    }
    fs::set_permissions(&node, fs::Permissions::from_mode(0o666)).expect("ours");
    let (node, none) = (c_string(&node), std::ptr::null());
    let device = c"/dev/fuse".as_ptr();
    // SAFETY: as above; a bind mount has no type and no data.
    let bound = unsafe { libc::mount(node.as_ptr(), device, none, libc::MS_BIND, none.cast()) };
    check(bound.into()).expect("bind");
    unmount(dir, libc::MNT_DETACH).expect("ours");
    true
}

/// Runs the test with a directory that the daemon may mount on, as `who`.
fn with_daemons(who: Who, test: impl Fn(&Path) + Sync + Send) {
    with_dir(|dir| {
        if !who.can_be() {
            return;
        }
        if let Some(user) = who.user {
            if !open_device_to_all(dir) {
                return;
            }
            std::os::unix::fs::chown(dir, Some(user), Some(user)).expect("ours");
        }
        test(dir);
    });
}

/// Mounts, and is its own client.
fn serves(path: &Path) {
    let root = Root::new();
    text(&root, "speed", "30");
    let other = text(&root, "other", "40");
    let foreign = SetAttr {
        uid: Some(NOBODY - 1),
        ..SetAttr::default()
    };
    other.setattr(&foreign).expect("any number");
    let options = Options::new().inotify(true);
    for _ in 0..2 {
        let mount = Mount::new(&root, path, &options).unwrap_or_else(|error| panic!("{error}"));
        assert!(mount.is_mounted() && is_mount_point(path));
        assert_eq!(
            shell_ok(path, "cat speed; echo 31 > speed; cat speed; ls"),
            "30\n31\nother\nspeed\n"
        );
        let stat = fs::metadata(path.join("speed")).expect("stat");
        let own = Cred::process();
        assert_eq!((stat.uid(), stat.gid()), (own.uid, own.gid));
        fs::set_permissions(path.join("speed"), fs::Permissions::from_mode(0o600)).expect("owner");
        assert_eq!(root.find("speed").map(|node| node.stat().mode), Some(0o600));
        assert_eq!(
            fs::read_to_string(path.join("other")).expect("for all"),
            "40\n"
        );
        root.remove_by_name("speed").expect("there");
        assert_eq!(errno(File::open(path.join("speed"))), libc::ENOENT);
        let open = File::open(path.join("other")).expect("open");
        mount.unmount().expect("ours");
        assert!(!is_mount_point(path));
        // fusermount3 takes the name away only.
        let gone = if own.uid == 0 {
            libc::ENOTCONN
        } else {
            libc::ENODEV
        };
        assert_eq!(errno(open.read_at(&mut [0; 8], 0)), gone);
        drop(open);
        text(&root, "speed", "30");
    }
}

/// In a user namespace without groups, so that the mount can have none.
fn no_group(path: &Path) {
    let error = Mount::new(&Root::new(), path, &Options::new()).expect_err("the kernel wants one");
    assert_eq!(error.errno(), Errno::EINVAL);
    let text = error.to_string();
    assert!(text.contains("/proc/self/gid_map"), "{text}");
    assert!(!is_mount_point(path));
}

/// Leaves its mount behind.
fn is_killed(path: &Path) {
    let root = Root::new();
    let mount = Mount::new(&root, path, &Options::new()).unwrap_or_else(|error| panic!("{error}"));
    assert!(mount.is_mounted());
    println!("{DONE}");
    // SAFETY: ends the process.
    unsafe { libc::raise(libc::SIGKILL) };
}

/// To which the machine has to agree.
fn lets_others_in(path: &Path) {
    let conf = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    let agreed = conf.lines().any(|line| line.trim() == "user_allow_other");
    match Mount::new(&Root::new(), path, &Options::new().allow_other(true)) {
        Ok(_) => assert!(agreed),
        Err(error) => {
            assert!(!agreed);
            let text = error.to_string();
            assert_eq!(error.errno(), Errno::EPERM);
            assert!(text.contains("user_allow_other"), "{text}");
        }
    }
    assert!(!is_mount_point(path));
}

fn finds_no_program(path: &Path) {
    let error = Mount::new(&Root::new(), path, &Options::new()).expect_err("no right");
    let text = error.to_string();
    assert_eq!(error.errno(), Errno::EPERM);
    assert!(
        text.contains("fusermount3 (package fuse3) is not on PATH"),
        "{text}"
    );
    assert!(!is_mount_point(path));
}

/// Whether there is a fusermount3 that can get rights we have not; else it is told that the test is skipped.
fn have_program() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|dir| dir.join("fusermount3"))
        .find_map(|file| fs::metadata(file).ok());
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let why = match program {
        None => "it is not on PATH",
        Some(stat) if stat.uid() != 0 || stat.mode() & libc::S_ISUID == 0 => {
            "it is not setuid root"
        }
        Some(_) if !status.contains("NoNewPrivs:\t0") => "this process can get no new privileges",
        Some(_) => return true,
    };
    skip(&format!("a mount by fusermount3: {why}"));
    false
}

#[test]
fn root_of_a_user_namespace_mounts() {
    for user in [None, Some(NOBODY)] {
        let group = Some(true);
        with_daemons(Who { user, group }, |dir| {
            Who { user, group }.run("serves", dir);
        });
    }
}

#[test]
fn a_user_namespace_without_groups_is_told() {
    let who = Who {
        user: None,
        group: Some(false),
    };
    with_daemons(who, |dir| who.run("no group", dir));
}

const USER: Who = Who {
    user: Some(NOBODY),
    group: None,
};

#[test]
fn a_user_mounts_by_fusermount3() {
    with_daemons(USER, |dir| {
        if have_program() {
            USER.run("serves", dir);
            USER.run("lets others in", dir);
        }
    });
}

#[test]
fn what_a_killed_daemon_of_a_user_left_is_taken_away_by_the_next_one() {
    with_daemons(USER, |dir| {
        if have_program() {
            let output = USER.daemon("is killed", dir).output().expect("self");
            assert!(String::from_utf8_lossy(&output.stdout).contains(DONE));
            assert!(is_mount_point(dir));
            USER.run("serves", dir);
        }
    });
}

#[test]
fn without_fusermount3_that_is_what_is_missing() {
    with_daemons(USER, |dir| {
        let mut daemon = USER.daemon("finds no program", dir);
        let output = daemon.env("PATH", "/nowhere").output().expect("self");
        let [said, error] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(
            output.status.success() && said.contains(DONE),
            "{said}{error}"
        );
    });
}

//! Modes, owners, times, extended attributes, file handles.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    XattrFlags, fgetxattr, fsetxattr, fstat, getxattr, listxattr, removexattr, setxattr, statfs,
};

use crate::script::{COMMON, Case, Script};

const DEPTH: &str = "cgroup.max.depth";
const ANY: XattrFlags = XattrFlags::empty();

pub(crate) const CASES: &[Case] = &[
    ("c.stat.nlink", |s| {
        s.stat("");
        s.mkdir("a");
        s.stat("");
        s.mkdir("b");
        s.mkdir("b/c");
        s.stat("");
        s.rmdir("a");
        s.stat("");
    }),
    ("c.stat.device", |s| {
        s.mkdir("a");
        let of = |name: &str| fs::metadata(s.at(name)).map(|stat| stat.dev()).ok();
        let same = of("") == of("a") && of("") == of(DEPTH);
        s.saw("one device", same);
    }),
    ("c.statfs", |s| {
        let answer = statfs(s.at("")).map(|of| {
            let counts = (of.f_blocks, of.f_bfree, of.f_bavail, of.f_files, of.f_ffree);
            (of.f_bsize, of.f_namelen, counts)
        });
        s.told("sizes", answer);
    }),
    ("c.statfs.magic", |s| {
        s.told("type", statfs(s.at("")).map(|of| of.f_type));
    }),
    ("c.times.new", |s| {
        s.mkdir("a");
        for name in ["a", "a/cgroup.procs"] {
            let stat = fs::metadata(s.at(name)).expect("there");
            let times = [
                (stat.atime(), stat.atime_nsec()),
                (stat.mtime(), stat.mtime_nsec()),
                (stat.ctime(), stat.ctime_nsec()),
            ];
            s.saw("one time", times.iter().all(|time| *time == times[0]));
            s.saw("not the epoch", times[0].0 > 0);
        }
    }),
    ("c.times.io", |s| {
        let _known = s.file(DEPTH); // the kernel may forget the times of what nobody has open
        let before = times(s, DEPTH);
        s.write(DEPTH, "3");
        s.read(DEPTH);
        s.saw("as before", times(s, DEPTH) == before);
    }),
    ("c.times.directory", |s| {
        let _known = s.file("");
        let before = times(s, "");
        s.mkdir("a");
        s.saw("as before", times(s, "") == before);
        s.rmdir("a");
        s.saw("as before", times(s, "") == before);
    }),
    ("c.times.directory.record", |s| {
        set_times(s, "", 1000);
        s.mkdir("a");
        let [atime, mtime, ctime] = times(s, "");
        s.saw("access", atime.0);
        s.saw(
            "modification is change, and new",
            mtime == ctime && mtime.0 > 1000,
        );
    }),
    ("c.utimes", |s| {
        s.mkdir("a");
        for name in ["a", DEPTH] {
            set_times(s, name, 12345);
            let [atime, mtime, ctime] = times(s, name);
            s.saw("times", (atime, mtime, ctime.0 > 12345));
        }
    }),
    ("c.chmod", |s| {
        s.mkdir("a");
        for name in ["a", DEPTH, "cgroup.events"] {
            for mode in [0o600, 0o777, 0, 0o4755, 0o2755, 0o1644] {
                let answer = fs::set_permissions(s.at(name), Permissions::from_mode(mode));
                s.told(&format!("chmod {name} {mode:o}"), answer);
                s.stat(name);
            }
        }
    }),
    ("c.chmod.removed", |s| {
        s.mkdir("a");
        let file = s.file("a/cgroup.procs");
        s.rmdir("a");
        s.told(
            "fchmod",
            file.set_permissions(Permissions::from_mode(0o600)),
        );
        let answer = file.metadata().map(|stat| format!("{:o}", stat.mode()));
        s.told("mode", answer);
    }),
    ("c.chown", |s| {
        s.mkdir("a");
        for name in ["a", DEPTH] {
            for owner in [(Some(1000), None), (None, Some(100)), (Some(0), Some(0))] {
                s.told(
                    &format!("chown {owner:?}"),
                    chown(s.at(name), owner.0, owner.1),
                );
                s.stat(name);
            }
        }
    }),
    ("c.chown.setuid", |s| {
        let answer = fs::set_permissions(s.at(DEPTH), Permissions::from_mode(0o6755));
        s.told("chmod", answer);
        s.told("chown", chown(s.at(DEPTH), Some(1000), Some(1000)));
        s.stat(DEPTH);
    }),
    ("c.sgid", |s| {
        s.mkdir("a");
        s.told("chown", chown(s.at("a"), None, Some(100)));
        let answer = fs::set_permissions(s.at("a"), Permissions::from_mode(0o2755));
        s.told("chmod", answer);
        s.mkdir("a/b");
        s.stat("a/b");
        s.stat("a/b/cgroup.procs");
        s.mkdir("a/b/c");
        s.stat("a/b/c");
    }),
    ("c.owner", |s| {
        s.mkdir_mode("a", 0o755);
        s.told("chown", chown(s.at("a"), Some(65534), Some(65534)));
        as_nobody(|| {
            s.mkdir("b");
            s.mkdir("a/b");
            s.stat("a/b");
            COMMON
                .iter()
                .for_each(|name| s.stat(&format!("a/b/{name}")));
            s.write("a/b/cgroup.freeze", "1");
            s.read("a/b/cgroup.events");
            s.write("a/cgroup.freeze", "1");
            s.read("a/cgroup.kill");
            s.rmdir("a/b");
            s.rmdir("a");
        });
    }),
    ("c.owner.attributes", |s| {
        as_nobody(|| {
            let answer = fs::set_permissions(s.at(DEPTH), Permissions::from_mode(0o666));
            s.told("chmod", answer);
            s.told("chown", chown(s.at(DEPTH), Some(65534), None));
            s.told("setxattr", setxattr(s.at(DEPTH), "user.x", b"1", ANY));
            s.told("trusted", setxattr(s.at(""), "trusted.x", b"1", ANY));
        });
    }),
    ("c.xattr.user", |s| {
        s.mkdir("a");
        for name in ["a", DEPTH] {
            let path = s.at(name);
            get(s, &path, "user.x");
            s.told("set", setxattr(&path, "user.x", b"1", ANY));
            get(s, &path, "user.x");
            s.told("set empty", setxattr(&path, "user.empty", b"", ANY));
            get(s, &path, "user.empty");
            list(s, &path);
            s.told("remove", removexattr(&path, "user.x"));
            s.told("remove", removexattr(&path, "user.x"));
            get(s, &path, "user.x");
            list(s, &path);
        }
    }),
    ("c.xattr.how", |s| {
        let path = s.at("");
        for flags in [XattrFlags::REPLACE, XattrFlags::CREATE, XattrFlags::CREATE] {
            s.told(
                &format!("{flags:?}"),
                setxattr(&path, "user.x", b"1", flags),
            );
        }
        s.told(
            "replace",
            setxattr(&path, "user.x", b"22", XattrFlags::REPLACE),
        );
        let both = XattrFlags::REPLACE | XattrFlags::CREATE;
        s.told("both", setxattr(&path, "user.y", b"2", both));
        get(s, &path, "user.x");
    }),
    ("c.xattr.spaces", |s| {
        let path = s.at(DEPTH);
        for name in [
            "trusted.x",
            "security.x",
            "user.",
            "user",
            "system.x",
            "foo.x",
            "",
        ] {
            s.told(&format!("set {name}"), setxattr(&path, name, b"1", ANY));
            get(s, &path, name);
            s.told(&format!("remove {name}"), removexattr(&path, name));
        }
    }),
    ("c.xattr.list", |s| {
        let path = s.at("");
        for name in ["user.b", "trusted.a", "user.a"] {
            s.told(name, setxattr(&path, name, b"1", ANY));
        }
        list(s, &path);
        as_nobody(|| list(s, &path));
    }),
    ("c.xattr.sizes", |s| {
        let path = s.at("");
        s.told("set", setxattr(&path, "user.x", &[7; 300], ANY));
        for room in [0, 10, 299, 300, 301] {
            let mut value = vec![0; room];
            s.told(
                &format!("get {room}"),
                getxattr(&path, "user.x", &mut value[..]),
            );
        }
        for room in [0, 1, 7, 8] {
            let mut names = vec![0; room];
            s.told(&format!("list {room}"), listxattr(&path, &mut names[..]));
        }
    }),
    ("c.xattr.long", |s| {
        let path = s.at("");
        for len in [250, 251] {
            let name = format!("user.{}", "n".repeat(len));
            s.told(&format!("name {len}"), setxattr(&path, name, b"1", ANY));
        }
        for len in [65536, 65537] {
            let value = vec![b'v'; len];
            s.told(
                &format!("value {len}"),
                setxattr(&path, "user.v", &value, ANY),
            );
        }
    }),
    ("c.xattr.user.limit", |s| {
        let path = s.at(DEPTH);
        let set = |n: usize| setxattr(&path, format!("user.{n}"), b"1", ANY);
        let all = (0..200).take_while(|&n| set(n).is_ok()).count();
        s.saw("names", all);
        s.told("one more", set(all));
        s.told("replaced", set(0));
        s.told("removed", removexattr(&path, "user.0"));
        s.told("in its place", set(all));
        s.told("trusted", setxattr(&path, "trusted.x", b"1", ANY));
    }),
    ("c.xattr.user.size", |s| {
        let path = s.at("");
        let half = vec![b'v'; 65536];
        for name in ["user.a", "user.b", "user.c"] {
            s.told(name, setxattr(&path, name, &half, ANY));
        }
        s.told("one byte", setxattr(&path, "user.d", b"1", ANY));
        s.told("nothing", setxattr(&path, "user.e", b"", ANY));
        s.told("removed", removexattr(&path, "user.a"));
        s.told("one byte", setxattr(&path, "user.d", b"1", ANY));
    }),
    ("c.xattr.removed", |s| {
        s.mkdir("a");
        let file = s.file("a/cgroup.procs");
        s.rmdir("a");
        s.told("set", fsetxattr(&file, "user.x", b"1", ANY));
        let mut value = [0; 10];
        s.told("get", fgetxattr(&file, "user.x", &mut value[..]));
        s.told("links and size", fstat(&file).map(|stat| stat.st_size));
    }),
    ("c.handle.kind", |s| {
        let handle = Handle::of(&s.at(DEPTH));
        s.told(
            "bytes and type",
            handle.map(|handle| (handle.bytes, handle.kind)),
        );
    }),
    ("c.handle.open", |s| {
        s.mkdir("a");
        let handle = Handle::of(&s.at("a")).expect("supported");
        let root = s.file("");
        s.told("open", handle.open(&root));
        s.rmdir("a");
        s.told("open", handle.open(&root));
        s.mkdir("a");
        s.told("open", handle.open(&root));
    }),
];

/// Access, modification, change.
fn times(s: &Script, name: &str) -> [(i64, i64); 3] {
    let stat = fs::metadata(s.at(name)).expect("there");
    [
        (stat.atime(), stat.atime_nsec()),
        (stat.mtime(), stat.mtime_nsec()),
        (stat.ctime(), stat.ctime_nsec()),
    ]
}

fn set_times(s: &mut Script, name: &str, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, 678);
    let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
    let answer = s.file(name).set_times(times);
    s.told(&format!("utimes {name}"), answer);
}

fn get(s: &mut Script, path: &Path, name: &str) {
    let mut value = [0; 100];
    let answer = getxattr(path, name, &mut value[..]);
    let answer = answer.map(|len| String::from_utf8_lossy(&value[..len]).into_owned());
    s.told(&format!("get {name}"), answer);
}

fn list(s: &mut Script, path: &Path) {
    let mut names = [0; 1000];
    let answer = listxattr(path, &mut names[..]).map(|len| {
        let text = String::from_utf8_lossy(&names[..len]).into_owned();
        let mut names: Vec<_> = text.split_terminator('\0').map(str::to_owned).collect();
        names.sort();
        // What a security module shows of everything is not ours.
        names.retain(|name| name != "security.selinux");
        names
    });
    s.told("list", answer);
}

/// Runs it as user and group 65534.
pub(crate) fn as_nobody(run: impl FnOnce() + Send) {
    let thread = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: the raw calls change the calling thread only, which ends here, and touch no memory.
            let groups = unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) };
            // SAFETY: as above.
            let gid = unsafe { libc::syscall(libc::SYS_setresgid, 65534, 65534, 65534) };
            // SAFETY: as above.
            let uid = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
            assert_eq!((groups, gid, uid), (0, 0, 0));
            run();
        });
        thread.join()
    });
    if let Err(panic) = thread {
        std::panic::resume_unwind(panic);
    }
}

/// A file handle.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; 128],
}

impl Handle {
    fn of(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut handle = Self {
            bytes: 128,
            kind: 0,
            data: [0; 128],
        };
        let (mut mount, at) = (0, libc::AT_FDCWD);
        let to = (&raw mut handle).cast();
        // SAFETY: a NUL-terminated path; room for a header that says how much data follows it, and a number.
        match unsafe { libc::name_to_handle_at(at, path.as_ptr(), to, &raw mut mount, 0) } {
            0 => Ok(handle),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn open(&self, mount: &fs::File) -> io::Result<()> {
        use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
        let from = (&raw const *self).cast_mut().cast();
        // SAFETY: a handle as the kernel gave it, which it reads.
        let fd = unsafe { libc::open_by_handle_at(mount.as_raw_fd(), from, libc::O_RDONLY) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: new, and nobody else's.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(())
    }
}

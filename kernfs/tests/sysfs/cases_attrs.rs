//! poll, mode and owner, extended attributes, handles.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use crate::calls::{self, Inotify, bytes, ok, open, pread, read, said};
use crate::table::{Case, SKIPPED, Seen, one};

const MTU: &str = "kfb0/mtu";

/// Xattrs of it are never touched by another case.
const UNTOUCHED: &str = "kfb0/ifindex";

pub(crate) const CASES: &[Case] = &[
    ("s.poll.unread", |place| {
        one(calls::poll(
            &open(&place.dev(MTU), libc::O_RDONLY).expect("mode 0644"),
        ))
    }),
    ("s.poll.read", |place| {
        let file = open(&place.dev(MTU), libc::O_RDONLY).expect("mode 0644");
        read(&file, 100).expect("readable");
        one(calls::poll(&file))
    }),
    ("s.poll.write", |place| {
        let file = open(&place.dev(MTU), libc::O_RDONLY).expect("mode 0644");
        read(&file, 100).expect("readable");
        calls::store(&place.dev(MTU), "1400\n");
        one(calls::poll(&file))
    }),
    ("x.poll.what_reads", |place| {
        // Only what runs show takes the change.
        let fresh = || open(&place.dev(MTU), libc::O_RDWR).expect("mode 0644");
        let after = |what: &dyn Fn(&fs::File)| {
            let file = fresh();
            what(&file);
            calls::poll(&file)
        };
        vec![
            (
                "seek",
                after(&|file| {
                    let _ = std::io::Seek::seek(&mut &*file, std::io::SeekFrom::End(0));
                }),
            ),
            ("nothing", after(&|file| drop(read(file, 0)))),
            ("elsewhere", after(&|file| drop(pread(file, 2, 3)))),
            (
                "write",
                after(&|file| drop(std::io::Write::write(&mut &*file, b"1400\n"))),
            ),
        ]
    }),
    ("x.poll.failed", |place| {
        let file = open(&place.dev("kfb0/speed"), libc::O_RDONLY).expect("mode 0444");
        let _ = read(&file, 100);
        one(calls::poll(&file))
    }),
    ("x.poll.dir", |place| {
        one(calls::poll(
            &open(&place.dev("kfb0"), libc::O_RDONLY).expect("a directory"),
        ))
    }),
    ("s.xattr.user", |place| {
        one(said(calls::setxattr(&place.dev(MTU), "user.foo", b"1", 0)))
    }),
    ("s.xattr.user.get", |place| {
        one(bytes(calls::getxattr(&place.dev(UNTOUCHED), "user.foo")))
    }),
    ("s.xattr.list", |place| {
        one(said(
            calls::listxattr(&place.dev(UNTOUCHED)).map(|names| format!("{names:?}")),
        ))
    }),
    ("s.xattr.trusted", |place| {
        let path = place.dev(MTU);
        let set = said(calls::setxattr(&path, "trusted.kf", b"1", 0));
        let get = bytes(calls::getxattr(&path, "trusted.kf"));
        one(format!(
            "{set} {get} {}",
            said(calls::removexattr(&path, "trusted.kf"))
        ))
    }),
    ("x.xattr.how", |place| {
        let path = place.dev(MTU);
        let set = |flags| said(calls::setxattr(&path, "trusted.kf", b"1", flags));
        let missing = set(libc::XATTR_REPLACE);
        let new = set(libc::XATTR_CREATE);
        let again = set(libc::XATTR_CREATE);
        let list = said(calls::listxattr(&path).map(|names| format!("{names:?}")));
        let removed = said(calls::removexattr(&path, "trusted.kf"));
        let twice = said(calls::removexattr(&path, "trusted.kf"));
        let get = bytes(calls::getxattr(&path, "trusted.kf"));
        one(format!(
            "{missing} {new} {again} {list} {removed} {twice} {get}"
        ))
    }),
    ("x.xattr.names", |place| {
        let path = place.dev(MTU);
        let long = format!("trusted.{}", "x".repeat(248));
        let names = ["system.foo", "foo", "user.", "trusted.", &long];
        let set = names.map(|name| said(calls::setxattr(&path, name, b"1", 0)));
        let get = names.map(|name| bytes(calls::getxattr(&path, name)));
        one(format!("{} {}", set.join(" "), get.join(" ")))
    }),
    ("x.xattr.sizes", |place| {
        let path = place.dev(MTU);
        let sizes = [0, 4096, 65536, 65537];
        let set = sizes.map(|len| said(calls::setxattr(&path, "trusted.kf", &vec![1; len], 0)));
        let get = bytes(calls::getxattr(&path, "trusted.kf"));
        one(format!(
            "{} {get} {}",
            set.join(" "),
            said(calls::removexattr(&path, "trusted.kf"))
        ))
    }),
    ("x.xattr.dir", |place| {
        let path = place.dev("kfb0/power");
        let set = said(calls::setxattr(&path, "trusted.kf", b"1", 0));
        let list = said(calls::listxattr(&path).map(|names| format!("{names:?}")));
        one(format!(
            "{set} {list} {}",
            said(calls::removexattr(&path, "trusted.kf"))
        ))
    }),
    ("s.handle", |place| {
        one(said(calls::handle(&place.dev(MTU))))
    }),
    ("x.chmod", |place| {
        let path = place.dev("kfb0/tx_queue_len");
        let mode = || fs::metadata(&path).expect("there").mode();
        let mut seen = Vec::new();
        for new in [0o600, 0o7777, 0, 0o644] {
            let set = ok(fs::set_permissions(&path, fs::Permissions::from_mode(new)));
            seen.push(format!("{set} {:o}", mode()));
        }
        one(seen.join(" "))
    }),
    ("x.chown", |place| {
        let path = place.dev("kfb0/tx_queue_len");
        let set = |uid, gid| ok(chown(&path, uid, gid));
        let there = [set(Some(0), Some(0)), set(None, None)];
        let stat = fs::metadata(&path).expect("there");
        one(format!(
            "{there:?} {} {} {:o}",
            stat.uid(),
            stat.gid(),
            stat.mode()
        ))
    }),
    ("x.times", |place| {
        let file = open(&place.dev("kfb0/tx_queue_len"), libc::O_RDONLY).expect("mode 0644");
        let at = |secs| std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(secs, 5);
        let times = fs::FileTimes::new()
            .set_accessed(at(1000))
            .set_modified(at(2000));
        let set = ok(file.set_times(times));
        drop(read(&file, 100));
        let stat = file.metadata().expect("open");
        one(format!(
            "{set} {} {} {} {}",
            stat.atime(),
            stat.atime_nsec(),
            stat.mtime(),
            stat.mtime_nsec()
        ))
    }),
    ("x.identity", |place| {
        // By path, by descriptor, by a second mount: one inode.
        let file = open(&place.dev(MTU), libc::O_RDONLY).expect("mode 0644");
        let path = fs::metadata(place.dev(MTU)).expect("there").ino();
        let again = fs::metadata(place.again.join(crate::place::DEVICES).join(MTU));
        let again = again.expect("there").ino();
        one(format!(
            "{} {}",
            file.metadata().expect("open").ino() == path,
            again == path
        ))
    }),
    ("x.nobody", |place| {
        as_nobody(|| {
            let path = place.dev(MTU);
            let free = place.dev("kfb0/new");
            let power = place.dev("kfb0/power");
            vec![
                ("read", ok(open(&path, libc::O_RDONLY))),
                ("write", ok(open(&path, libc::O_WRONLY))),
                ("trunc", ok(open(&path, libc::O_RDONLY | libc::O_TRUNC))),
                (
                    "secret",
                    ok(open(&place.dev("kfb0/bridge/flush"), libc::O_WRONLY)),
                ),
                ("access", said(calls::access(&path, libc::W_OK))),
                (
                    "chmod",
                    ok(fs::set_permissions(
                        &path,
                        fs::Permissions::from_mode(0o666),
                    )),
                ),
                ("chown", ok(chown(&path, Some(65534), None))),
                ("creat", ok(open(&free, libc::O_WRONLY | libc::O_CREAT))),
                ("mkdir", ok(fs::create_dir(&free))),
                ("rmdir", ok(fs::remove_dir(&power))),
                ("unlink", ok(fs::remove_file(&path))),
                ("rename", ok(fs::rename(&path, &free))),
                ("symlink", ok(std::os::unix::fs::symlink("mtu", &free))),
                (
                    "trusted",
                    said(calls::setxattr(&path, "trusted.kf", b"1", 0)),
                ),
                ("trusted_get", bytes(calls::getxattr(&path, "trusted.kf"))),
                ("user", said(calls::setxattr(&path, "user.kf", b"1", 0))),
                ("list", ok(calls::listxattr(&path))),
            ]
        })
    }),
    ("x.inotify.write", |place| {
        let watch = Inotify::new(&[&place.dev(MTU), &place.dev("kfb0")]);
        drop(fs::read(place.dev(MTU)));
        // As a shell does, with O_TRUNC.
        fs::write(place.dev(MTU), "1400\n").expect("valid");
        place.owner.settle();
        one(watch.seen())
    }),
    ("x.inotify.chmod", |place| {
        let path = place.dev("kfb0/tx_queue_len");
        let watch = Inotify::new(&[&path, &place.dev("kfb0")]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        one(watch.seen())
    }),
];

/// Runs it as a user without rights, in a thread of its own.
fn as_nobody(what: impl FnOnce() -> Seen + Send) -> Seen {
    if !crate::support::have_nobody() {
        return one(SKIPPED);
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            crate::support::become_nobody();
            what()
        });
        thread.join().expect("no panic")
    })
}

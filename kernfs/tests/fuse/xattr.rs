//! Extended attributes through the mount.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::thread;

use kernfs::fuse::{Mount, Options};
use kernfs::{Root, RootFlags, XattrHow};

use crate::support::{TempDir, become_nobody, c_string, errno, have_nobody, text, with_root};

fn length(ret: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(ret).map_err(|_| io::Error::last_os_error())
}

fn get(path: &Path, name: &str, room: usize) -> io::Result<Vec<u8>> {
    let (path, name) = (c_string(path), CString::new(name).expect("no NUL"));
    let mut value = vec![0_u8; room];
    // SAFETY: two strings and a buffer of `room` bytes that live over the call.
    let ret = unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            room,
        )
    };
    let len = length(ret)?;
    if room == 0 {
        return Ok(vec![b'?'; len]); // only how long it is
    }
    value.truncate(len);
    Ok(value)
}

fn set(path: &Path, name: &str, value: &[u8], flags: libc::c_int) -> io::Result<()> {
    let (path, name) = (c_string(path), CString::new(name).expect("no NUL"));
    let (data, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: two strings and a slice that live over the call.
    let ret = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), data, len, flags) };
    length(ret as libc::ssize_t).map(drop)
}

fn remove(path: &Path, name: &str) -> io::Result<()> {
    let (path, name) = (c_string(path), CString::new(name).expect("no NUL"));
    // SAFETY: two strings that live over the call.
    let ret = unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) };
    length(ret as libc::ssize_t).map(drop)
}

fn list(path: &Path) -> Vec<String> {
    let path = c_string(path);
    let mut names = vec![0_u8; 4096];
    // SAFETY: a string and a buffer that live over the call.
    let ret = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(length(ret).expect("listed"));
    let names = String::from_utf8(names).expect("ASCII");
    names.split_terminator('\0').map(str::to_owned).collect()
}

fn with_xattrs(test: impl FnOnce(&Root, &Path) + Send) {
    with_root(
        Root::with_flags(RootFlags::SUPPORT_USER_XATTR),
        |root| drop(text(root, "speed", "30")),
        |setup| test(&setup.root, &setup.at("speed")),
    );
}

#[test]
fn they_are_set_read_listed_and_removed() {
    with_xattrs(|root, path| {
        assert_eq!(errno(get(path, "user.a", 10)), libc::ENODATA);
        assert!(list(path).is_empty());
        set(path, "user.a", b"one", 0).expect("set");
        assert_eq!(
            errno(set(path, "user.a", b"x", libc::XATTR_CREATE)),
            libc::EEXIST
        );
        assert_eq!(
            errno(set(path, "user.b", b"x", libc::XATTR_REPLACE)),
            libc::ENODATA
        );
        let both = libc::XATTR_CREATE | libc::XATTR_REPLACE;
        assert_eq!(errno(set(path, "user.a", b"x", both)), libc::EEXIST);
        assert_eq!(errno(set(path, "user.b", b"x", both)), libc::ENODATA);
        set(path, "user.a", b"three", libc::XATTR_REPLACE).expect("set");
        set(path, "trusted.t", b"", libc::XATTR_CREATE).expect("set");
        assert_eq!(get(path, "user.a", 10).expect("get"), b"three");
        assert_eq!(get(path, "user.a", 0).expect("length").len(), 5);
        assert_eq!(errno(get(path, "user.a", 4)), libc::ERANGE);
        assert_eq!(get(path, "trusted.t", 10).expect("get"), b"");
        assert_eq!(list(path), ["trusted.t", "user.a"]);
        // One truth: the owner's.
        let node = root.find("speed").expect("there");
        assert_eq!(node.xattr("user.a").expect("there"), b"three");
        node.set_xattr("user.c", "owner", XattrHow::Set)
            .expect("set");
        assert_eq!(get(path, "user.c", 10).expect("get"), b"owner");
        remove(path, "user.a").expect("removed");
        assert_eq!(errno(remove(path, "user.a")), libc::ENODATA);
        assert_eq!(list(path), ["trusted.t", "user.c"]);
        assert_eq!(errno(get(path, "system.x", 10)), libc::EOPNOTSUPP);
    });
}

#[test]
fn the_limits_are_the_kernels() {
    with_xattrs(|_, path| {
        let large = vec![1; 65536];
        set(path, "user.0", &large, 0).expect("64 KiB");
        assert_eq!(get(path, "user.0", 1 << 16).expect("get"), large);
        set(path, "user.1", &large, 0).expect("128 KiB in all");
        assert_eq!(errno(set(path, "user.2", b"x", 0)), libc::ENOSPC);
        remove(path, "user.0").expect("there");
        remove(path, "user.1").expect("there");
        for n in 0..128 {
            set(path, &format!("user.{n}"), b"", 0).expect("128 names");
        }
        assert_eq!(errno(set(path, "user.128", b"", 0)), libc::ENOSPC);
        assert_eq!(errno(set(path, "user.0", b"", 0)), libc::ENOSPC);
        assert_eq!(list(path).len(), 128);
    });
}

#[test]
fn nobody_sees_or_sets_what_is_trusted() {
    if !have_nobody() {
        return;
    }
    with_xattrs(|_, path| {
        set(path, "trusted.t", b"1", 0).expect("set");
        set(path, "user.u", b"2", 0).expect("set");
        thread::scope(|scope| {
            scope.spawn(|| {
                become_nobody();
                assert_eq!(list(path), ["user.u"]);
                assert_eq!(errno(get(path, "trusted.t", 10)), libc::ENODATA);
                assert_eq!(errno(set(path, "trusted.t", b"3", 0)), libc::EPERM);
                // The file's mode is 0644.
                assert_eq!(get(path, "user.u", 10).expect("readable"), b"2");
                assert_eq!(errno(set(path, "user.u", b"3", 0)), libc::EACCES);
            });
        });
    });
}

#[test]
fn without_the_flag_users_set_none_and_without_the_option_nobody() {
    with_root(
        Root::new(),
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let path = setup.at("speed");
            assert_eq!(errno(set(&path, "user.a", b"x", 0)), libc::EOPNOTSUPP);
            assert_eq!(errno(get(&path, "user.a", 10)), libc::ENODATA);
            set(&path, "trusted.t", b"1", 0).expect("set");
            let other = TempDir::new();
            let options = Options::new().xattrs(false);
            let bare = Mount::new(&setup.root, &other.0, &options).expect("two mounts");
            let path = other.0.join("speed");
            for _ in 0..2 {
                assert_eq!(errno(get(&path, "trusted.t", 10)), libc::EOPNOTSUPP);
                assert_eq!(errno(set(&path, "trusted.t", b"1", 0)), libc::EOPNOTSUPP);
            }
            bare.unmount().expect("still ours");
        },
    );
}

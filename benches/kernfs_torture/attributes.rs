//! What clients do by names: look, change, make, remove, and what a tree refuses.

use std::ffi::{CStr, CString};

use crate::calls::Call;
use crate::client::Client;
use crate::contents::{offset, size};
use crate::held::Held;
use crate::paths;
use crate::sys::{self, At};

/// A path, where it begins, and the words for it.
fn place(client: &mut Client) -> (i32, CString, Vec<u8>) {
    let (from, path) = (client.from(), client.named().path);
    let words = path.to_bytes().to_vec();
    (from, path, words)
}

pub(crate) fn look(client: &mut Client) {
    let (from, path, what) = place(client);
    let at = At(from, &path);
    match client.dice.below(10) {
        0..4 => drop(client.call(Call::Stat, &what, |c| {
            sys::stat(at, c.dice.pick(&[0, libc::AT_SYMLINK_NOFOLLOW]))
        })),
        4..6 => drop(client.call(Call::Access, &what, |c| {
            sys::access(at, c.dice.below(8) as i32)
        })),
        6 | 7 => drop(client.call(Call::Readlink, &what, |c| {
            let size = c.dice.pick(&[1, 4, 4096]);
            sys::readlink(at, &mut c.buffer[..size])
        })),
        8 => drop(client.call(Call::Statfs, &what, |_| sys::statfs(&path))),
        _ => {
            if let Some(held) = client.held.any(&mut client.dice) {
                let (fd, what) = (held.fd, held.path.clone());
                client.call(Call::StatFd, &what, |_| sys::stat_fd(fd));
                client.call(Call::StatfsFd, &what, |_| sys::statfs_fd(fd));
            }
        }
    }
}

/// Modes, but for the directories whose search everybody needs.
fn mode(client: &mut Client) -> u32 {
    client
        .dice
        .pick(&[0o755, 0o777, 0o644, 0o666, 0o400, 0o2775, 0o1777, 0])
}

pub(crate) fn change(client: &mut Client) {
    let (from, path, what) = place(client);
    let at = At(from, &path);
    let held = client.held.any(&mut client.dice).map(|held| held.fd);
    let fd = held.unwrap_or(-1);
    let (id, group) = (
        client.dice.pick(&[0, 65534, u32::MAX, 7]),
        client.dice.pick(&[0, 65534, u32::MAX]),
    );
    let follow = client.dice.pick(&[0, libc::AT_SYMLINK_NOFOLLOW]);
    match client.dice.below(9) {
        0 | 1 => {
            let mode = mode(client);
            client.call(Call::Chmod, &what, |_| sys::chmod(at, mode));
        }
        2 => {
            let mode = mode(client);
            client.call(Call::ChmodFd, b"a descriptor", |_| sys::chmod_fd(fd, mode));
        }
        3 => drop(client.call(Call::Chown, &what, |_| sys::chown(at, id, group, follow))),
        4 => drop(client.call(Call::ChownFd, b"a descriptor", |_| {
            sys::chown_fd(fd, id, group)
        })),
        5 => drop(client.call(Call::Utimes, &what, |c| {
            let times = [offset(&mut c.dice) >> 32, 5];
            let times = c.dice.one_in(2).then_some(times);
            sys::utimes(at, times, follow)
        })),
        6 | 7 => drop(client.call(Call::Truncate, &what, |c| {
            sys::truncate(&path, offset(&mut c.dice))
        })),
        _ => drop(client.call(Call::TruncateFd, b"a descriptor", |c| {
            sys::truncate_fd(fd, offset(&mut c.dice))
        })),
    }
}

const XATTRS: [&CStr; 6] = [
    c"user.a",
    c"user.b",
    c"trusted.t",
    c"system.posix_acl_access",
    c"odd",
    c"user.",
];

pub(crate) fn extended(client: &mut Client) {
    let (_, path, what) = place(client);
    let long = CString::new(vec![b'u'; 256]).unwrap_or_default();
    let name = match client.dice.below(12) {
        0 => &long,
        n => XATTRS[n as usize % XATTRS.len()],
    };
    let size = match client.dice.one_in(16) {
        true => size(&mut client.dice).min(66_000),
        false => client.dice.index(300),
    };
    match client.dice.below(8) {
        0..3 => drop(client.call(Call::SetXattr, &what, |c| {
            let flags = c
                .dice
                .pick(&[0, 0, libc::XATTR_CREATE, libc::XATTR_REPLACE, 3, 77]);
            sys::set_xattr(&path, name, &c.buffer[..size], flags)
        })),
        3 => drop(client.call(Call::GetXattr, &what, |c| {
            sys::get_xattr(&path, name, &mut c.buffer[..size])
        })),
        4 => drop(client.call(Call::ListXattr, &what, |c| {
            sys::list_xattr(&path, &mut c.buffer[..size])
        })),
        5 | 6 => drop(client.call(Call::RemoveXattr, &what, |_| sys::remove_xattr(&path, name))),
        _ => {
            let fd = client.held.any(&mut client.dice).map_or(-1, |held| held.fd);
            client.call(Call::FdXattr, b"a descriptor", |_| {
                sys::set_xattr_fd(fd, c"user.a", b"v")
            });
        }
    }
}

/// Where users may; and now and then where they may not.
fn of_users(client: &mut Client) -> CString {
    match client.dice.one_in(8) {
        true => client.named().path,
        false => CString::new(paths::users(&mut client.dice)).unwrap_or_default(),
    }
}

pub(crate) fn make_and_remove(client: &mut Client) {
    let path = of_users(client);
    let what = path.to_bytes().to_vec();
    let at = At(libc::AT_FDCWD, &path);
    match client.dice.below(10) {
        0..5 => drop(client.with_alarm(|client| {
            client.call(Call::Mkdir, &what, |c| {
                sys::mkdir(at, c.dice.pick(&[0o755, 0o777, 0o2777]))
            })
        })),
        5..7 => drop(client.call(Call::Rmdir, &what, |_| sys::unlink(at, libc::AT_REMOVEDIR))),
        _ => {
            let to = of_users(client);
            let to = At(libc::AT_FDCWD, &to);
            client.call(Call::Rename, &what, |_| sys::rename(at, to));
        }
    }
}

/// What a tree refuses to all.
pub(crate) fn refused(client: &mut Client) {
    let (from, path, what) = place(client);
    let to = client.named().path;
    let (at, to) = (At(from, &path), At(libc::AT_FDCWD, &to));
    match client.dice.below(6) {
        0 => drop(client.call(Call::Unlink, &what, |_| sys::unlink(at, 0))),
        1 => drop(client.call(Call::Symlink, &what, |_| sys::symlink(c"text", at))),
        2 => drop(client.call(Call::Link, &what, |_| sys::link(at, to))),
        3 => drop(client.call(Call::Mknod, &what, |c| {
            let kind = c.dice.pick(&[libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK]);
            sys::mknod(at, kind | 0o666)
        })),
        4 => drop(client.call(Call::Rename2, &what, |c| {
            let flags = c
                .dice
                .pick(&[libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE, 77]);
            sys::rename2(at, to, flags)
        })),
        _ => watch(client, &path),
    }
}

/// Now and then it watches nothing any more: what is watched the kernel keeps, and so do we.
fn watch(client: &mut Client, path: &CStr) {
    if client.dice.one_in(20)
        && let Ok(new) = sys::inotify()
    {
        sys::close(std::mem::replace(&mut client.inotify, new));
    }
    client.call(Call::Watch, path.to_bytes(), |c| {
        sys::watch(c.inotify, path)
    });
}

/// File handles: of something that is there, and opened at once.
pub(crate) fn handles(client: &mut Client) {
    let (from, path, what) = place(client);
    let handle = client.call(Call::Handle, &what, |c| {
        let flags = c.dice.pick(&[0, libc::AT_SYMLINK_FOLLOW]);
        sys::handle(At(from, &path), flags)
    });
    let Some(mut handle) = handle else {
        return;
    };
    let Ok(top) = sys::open(At(libc::AT_FDCWD, c"/"), libc::O_RDONLY, 0) else {
        return;
    };
    if client.dice.one_in(4) {
        handle[2] ^= 1 << client.dice.below(8); // of something else
    }
    let fd = client.call(Call::ByHandle, &what, |c| {
        let flags = c.dice.pick(&[libc::O_RDONLY, libc::O_RDWR, libc::O_PATH]);
        sys::open_handle(top, &mut handle, flags | libc::O_NONBLOCK)
    });
    sys::close(top);
    if let Some(fd) = fd {
        let held = Held {
            fd,
            path: what,
            is_text: false,
        };
        client.held.add(held, &mut client.dice);
    }
}

//! Which errnos each call may fail with. What is not in this table is a fault; EIO is nowhere.
//!
//! From what sysfs and cgroup2 answer to the same calls, and the list in `kernfs::fuse` of what a FUSE mount cannot carry.

use libc::{
    E2BIG, EACCES, EAGAIN, EBADF, EBUSY, EEXIST, EFAULT, EFBIG, EINTR, EINVAL, EISDIR, ELOOP,
    ENAMETOOLONG, ENODATA, ENODEV, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, ENOTTY, EOPNOTSUPP, EPERM,
    ERANGE, ESTALE,
};

use crate::calls::Call;

/// One call.
struct Row {
    call: Call,
    /// It takes a path, so it may also fail with one of [`PATH`].
    path: bool,
    /// What anybody may get.
    errnos: &'static [i32],
    /// What only another user than root may get beyond that.
    others: &'static [i32],
    /// What needs a reason.
    odd: &'static [(i32, &'static str)],
}

/// A path leads nowhere: the name is gone or never was, is none of a directory, is too long; a link is not to be followed.
/// ENODEV and ESTALE are not among them: who comes by a name finds what it means now, or nothing.
const PATH: [i32; 4] = [ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP];

const fn by_path(call: Call, errnos: &'static [i32]) -> Row {
    Row {
        call,
        path: true,
        errnos,
        others: &[EACCES],
        odd: &[],
    }
}

const fn by_descriptor(call: Call, errnos: &'static [i32]) -> Row {
    Row {
        call,
        path: false,
        errnos,
        others: &[],
        odd: &[],
    }
}

const REMOVED: &str =
    "by O_PATH, of something removed that nobody has open; the kernel asks but once";
const TAKEN_AGAIN: &str = "its directory was removed, and made again; the kernel does not look again for who makes a name";
const EMPTY: &str = "the directory that stays empty";

const TABLE: &[Row] = &[
    by_path(Call::Open, &[EACCES, EISDIR, EINVAL]).odd(&[
        (EINTR, "a signal came while the callback of open blocked"),
        (EPERM, "O_NOATIME on somebody else's file"),
        (
            ENODEV,
            "what sysfs says of a file that is removed between the walk and the open; here if it is taken for one that is \
             opened again by a descriptor: a call of the same thread was told ESTALE of it and did not walk again \
             (open_by_handle_at(2))",
        ),
    ]),
    by_path(Call::Create, &[EACCES, EISDIR, EEXIST, EINVAL])
        .odd(&[(EINTR, "as for open, of a file that is there")]),
    by_path(Call::Temporary, &[EOPNOTSUPP]),
    by_path(Call::OpenPath, &[]),
    by_descriptor(
        Call::Reopen,
        &[ENODEV, ENOENT, ELOOP, EACCES, EISDIR, EINTR],
    )
    .odd(&[(ENOTDIR, "a file, asked for as a directory")]),
    by_descriptor(Call::Read, &[ENODEV, EBADF, EISDIR, EINTR, EINVAL]),
    by_descriptor(Call::ReadAt, &[ENODEV, EBADF, EISDIR, EINTR, EINVAL]),
    by_descriptor(Call::Write, &[ENODEV, EBADF, EINTR, EINVAL, E2BIG]).odd(&[(
        EFBIG,
        "the position stands at the end of the largest file there can be",
    )]),
    by_descriptor(Call::WriteAt, &[ENODEV, EBADF, EINTR, EINVAL, E2BIG])
        .odd(&[(EFBIG, "so does the offset")]),
    by_descriptor(Call::Seek, &[EINVAL, EBADF])
        .odd(&[(libc::ENXIO, "SEEK_DATA and SEEK_HOLE behind the end")]),
    by_descriptor(Call::Poll, &[EINTR]),
    by_descriptor(Call::List, &[ENOTDIR, EBADF, EINVAL, ENOENT]),
    by_descriptor(Call::Map, &[ENODEV, EACCES, EBADF, EINVAL]).odd(&[(
        libc::EOVERFLOW,
        "an offset and a length that are more than a file can have",
    )]),
    by_descriptor(Call::Touch, &[EFAULT]),
    by_descriptor(Call::SendFile, &[ENODEV, EBADF, EINVAL, EISDIR, EINTR]),
    by_descriptor(Call::Sync, &[EBADF, EINVAL]),
    by_descriptor(Call::Ioctl, &[ENOTTY, EBADF]),
    by_descriptor(Call::Allocate, &[EOPNOTSUPP, EBADF, EINVAL, EFBIG, ENODEV]).odd(&[(
        EISDIR,
        "of a directory that is open for writing: there is none, but the kernel asks first",
    )]),
    by_descriptor(Call::Lock, &[EAGAIN, EBADF]),
    by_path(Call::Truncate, &[EISDIR, EINVAL])
        .odd(&[(EACCES, "mode 0 of a file that is asked of another user")]),
    by_descriptor(Call::TruncateFd, &[EINVAL, EBADF]),
    by_path(Call::Stat, &[]),
    by_descriptor(Call::StatFd, &[]).odd(&[(ENOENT, REMOVED), (ESTALE, REMOVED)]),
    by_path(Call::Access, &[EACCES]),
    by_path(Call::Readlink, &[EINVAL]),
    by_path(Call::Mkdir, &[EPERM, EEXIST, EAGAIN, EINTR]).odd(&[(ESTALE, TAKEN_AGAIN)]),
    by_path(Call::Rmdir, &[EPERM, EINVAL, EBUSY, ENOTEMPTY, EINTR]),
    by_path(Call::Unlink, &[EPERM, EISDIR]),
    by_path(
        Call::Rename,
        &[
            EPERM, EEXIST, EINVAL, EBUSY, ENOTEMPTY, EAGAIN, EISDIR, EINTR,
        ],
    ),
    by_path(Call::Rename2, &[EPERM, EEXIST, EINVAL, EBUSY, ENOTEMPTY]),
    by_path(Call::Symlink, &[EPERM, EEXIST]).odd(&[(ESTALE, TAKEN_AGAIN)]),
    by_path(Call::Link, &[EPERM, EEXIST]).odd(&[(ESTALE, TAKEN_AGAIN)]),
    by_path(Call::Mknod, &[EPERM, EEXIST, EACCES]).odd(&[(ESTALE, TAKEN_AGAIN)]),
    by_path(Call::Chmod, &[])
        .for_others(&[EACCES, EPERM])
        .odd(&[(EPERM, EMPTY)]),
    by_descriptor(Call::ChmodFd, &[EBADF])
        .for_others(&[EPERM])
        .odd(&[(EPERM, EMPTY)]),
    by_path(Call::Chown, &[])
        .for_others(&[EACCES, EPERM])
        .odd(&[(EPERM, EMPTY)]),
    by_descriptor(Call::ChownFd, &[EBADF])
        .for_others(&[EPERM])
        .odd(&[(EPERM, EMPTY)]),
    by_path(Call::Utimes, &[])
        .for_others(&[EACCES, EPERM])
        .odd(&[(EPERM, EMPTY)]),
    by_path(
        Call::SetXattr,
        &[EOPNOTSUPP, EEXIST, ENODATA, ENOSPC, ERANGE, E2BIG, EINVAL],
    )
    .for_others(&[EACCES, EPERM])
    .odd(&[(
        EPERM,
        "user attributes of what is neither a file nor a directory",
    )]),
    by_path(Call::GetXattr, &[ENODATA, EOPNOTSUPP, ERANGE, EINVAL]).odd(&[(EPERM, "as above")]),
    by_path(Call::ListXattr, &[ERANGE]),
    by_path(Call::RemoveXattr, &[ENODATA, EOPNOTSUPP, ERANGE, EINVAL])
        .for_others(&[EACCES, EPERM])
        .odd(&[(EPERM, "as above")]),
    by_descriptor(Call::FdXattr, &[EBADF, EOPNOTSUPP, ENOSPC]).for_others(&[EACCES, EPERM]),
    by_path(Call::Statfs, &[]),
    by_descriptor(Call::StatfsFd, &[]),
    by_path(Call::Handle, &[EOPNOTSUPP]),
    by_descriptor(
        Call::ByHandle,
        &[ESTALE, EACCES, EINVAL, EISDIR, ELOOP, EINTR],
    )
    .for_others(&[EPERM])
    .odd(&[
        (
            ENOENT,
            "the kernel had the inode still, and asked to open it",
        ),
        (ENODEV, "as for the descriptor of a removed file"),
    ]),
    by_path(Call::Watch, &[]),
];

impl Row {
    const fn odd(self, odd: &'static [(i32, &'static str)]) -> Self {
        Self { odd, ..self }
    }

    const fn for_others(self, others: &'static [i32]) -> Self {
        Self { others, ..self }
    }
}

/// Whether a call may come to this; 0 is success.
pub(crate) fn is_allowed(call: Call, errno: i32, superuser: bool) -> bool {
    let Some(row) = TABLE.iter().find(|row| row.call == call) else {
        return false;
    };
    errno == 0
        || row.errnos.contains(&errno)
        || row.path && PATH.contains(&errno)
        || !superuser && row.others.contains(&errno)
        || row.odd.iter().any(|(odd, _)| *odd == errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::ALL;

    #[test]
    fn each_call_has_one_row_and_none_may_fail_with_eio() {
        assert_eq!(TABLE.len(), ALL.len());
        for call in ALL {
            let rows = TABLE.iter().filter(|row| row.call == *call);
            assert_eq!(rows.count(), 1, "{}", call.name());
            assert!(is_allowed(*call, 0, true));
            assert!(!is_allowed(*call, libc::EIO, false), "{}", call.name());
        }
        assert!(is_allowed(Call::Stat, EACCES, false) && !is_allowed(Call::Stat, EACCES, true));
    }
}

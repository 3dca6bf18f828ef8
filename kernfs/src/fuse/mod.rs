//! A tree as a file system, for shells, editors and whatever else opens files.
//!
//! The transport is our own: requests are read from /dev/fuse, answers written, nothing else is in
//! between. Text attributes are never cached, so what is read is what `show` writes now; names and
//! attributes are cached by the kernel and taken back when the tree changes.
//!
//! Needs the feature `fuse`, Linux 5.8 or later, /dev/fuse open to the user, and the right to mount: root, a user namespace
//! (`unshare -Urm`), or else the program fusermount3 (package fuse3). Where that is missing [`Mount::new`] says so in one
//! line, and the tree works on within the process. In a user namespace a node whose owner has no number there (one made
//! before, or given away) is nobody's, and cannot be written.
//!
//! mkdir, rmdir and rename are what [`SyscallOps`](crate::SyscallOps) of the tree say, without them refused as sysfs
//! refuses them. chmod, chown, utimes and extended attributes change the node, for whom the kernel lets. A tree may have
//! several mounts, each with the view of one name space ([`Options::ns`]).
//!
//! # What it cannot do
//! What is not in this table answers as sysfs does; a test compares the two, call by call.
//!
//! | in sysfs | through the mount |
//! |---|---|
//! | lseek(2) on a removed file is ENODEV | it works: the kernel does not ask us |
//! | a write of nothing to a removed file is ENODEV | 0: the kernel does not ask us |
//! | offsets in a file end at 2^31 (before Linux 7) | at 2^63 |
//! | a removed node keeps its link count (before Linux 7) | it has none |
//! | a descriptor on something removed shows its path | with " (deleted)" |
//! | a removed directory that nobody has open can be opened as "..", or where it is bound | ENOENT; where it is bound, at times |
//! | who makes a name in a directory that was just removed and made again finds the new one | mkdir(2), mknod(2), symlink(2) and link(2) may be ESTALE, until the kernel was told (and always where the old one is bound): it does not walk again for them |
//! | text cannot be mapped | not shared (ENODEV); a private mapping shows what a read gives, SIGBUS once the file is removed |
//! | some binary attributes can be mapped | privately all, shared none |
//! | O_TRUNC and a write leave the size | stat(2) and SEEK_END at that very moment may find it cut to nothing, or to what was written |
//! | a mapping has nothing to do with the size | a private one of text may make it the length of the text, until stat(2) asks again |
//! | splice(2) and sendfile(2) read | since Linux 6.5: what there was when the file was opened or last written through the mount, nothing of a file of size 0 |
//! | mounts of one tree with one name space are one file system | each has a device number of its own |
//! | an offset in a directory is a hash of 31 bits | 63 bits, of which no two are equal |
//! | statfs(2) tells the type | the type is FUSE |
//! | a file handle is 8 bytes, the inode number (cgroup) | 12, FUSE's own |
//! | no file handles, if the tree has none | before Linux 6.9: some that lead nowhere |
//! | a name has up to 4095 bytes | found so, with older kernels up to 1024; listed up to 4072, as programs read directories by the page |
//! | what is mounted below a directory that a user renames stays so | since Linux 6.2; before it is unmounted |
//! | a write of any length is one call ([`atomic_write_len`](crate::Ops::atomic_write_len)) | up to 1 MiB less 4096 bytes, more is E2BIG; each 256 buffers of a writev(2) are a call |
//! | inotify hears of what the owner does | of notifications with [`Options::inotify`], of what is made and removed never |
//! | ENOSYS of a callback is ENOSYS | of read and write; of others it is EOPNOTSUPP: the kernel would not ask again, of any file |
//! | a new owner, group or mode counts at once | for extended attributes of a sticky directory, for who may remove or rename what is in one, and for the set-group-ID bit of a chmod(2), when the kernel has asked for it: since the last stat(2) or open(2) |
//! | who has CAP_FOWNER changes modes and times of all | user 0 does |
//! | a removal is seen at once | by open, read, write and poll; by stat(2) when the kernel was told, see [`Mount::flush`] |
//! | a callback knows all about its caller | user, group and thread |
//! | a signal wakes a callback that sleeps | [`Cx::interrupted`](crate::Cx::interrupted) says so; what does not return for 50 ms, and at once what says [`Has::MAY_BLOCK`](crate::Has::MAY_BLOCK), runs on, and its client gets EINTR: what he asked for may have been done |
//! | a callback that blocks keeps its caller waiting | with [`Options::callback_limit`] that long, then it is ETIMEDOUT; when as many block as there may be threads ([`Options::most_threads`]), all callers |
//! | whom the mode lets in may come in | of a mount by fusermount3 its user alone, unless the machine allows more ([`Options::allow_other`]); of one in a user namespace who is in that |
//! | it is always there | ENOTCONN when the daemon was killed |
//!
//! * A removal wakes nobody who sleeps in poll(2), as in sysfs; [`notify`](crate::File::notify) the file
//!   after the removal, and he finds it dead.
//! * A client can have the kernel keep the lock of a directory: it lists that into memory which another file system has to
//!   give, and does not. News of names in it wait, and those behind them; not those of modes and owners, nor what
//!   `open` finds. Replies that come behind the news of what their callbacks changed come without them after 250 ms.
//! * While a callback of mkdir, rmdir or rename runs, the kernel's lock of the directory is taken, for which news of the
//!   directory wait, and those behind them. A daemon that is killed (SIGKILL) then does not die, nor does the client,
//!   before `umount -f`: the kernel waits for itself.
//! * Of a tree that changes faster than the kernel can be told (some microseconds a change) what must be told waits in a
//!   queue. That grows up to what the kernel itself remembers of the tree, and with each rename by a user to a name that
//!   is new.

mod abi;
mod adapter;
#[cfg(test)]
mod adapter_tests;
mod attributes;
mod channel;
mod exit;
#[cfg(test)]
mod fuzz_tests;
mod handles;
mod helper;
mod init;
mod limit;
mod listener;
mod listing;
mod load;
mod mount;
mod mountpoint;
mod notifier;
#[cfg(test)]
mod notifier_tests;
mod options;
mod place;
mod poker;
mod request;
mod retry;
mod session;
mod signals;
mod slot;
mod table;
mod threads;

pub use limit::LateCallback;
pub use mount::Mount;
pub use mountpoint::recover_stale;
pub use options::Options;
pub use signals::{Termination, TerminationHandle};

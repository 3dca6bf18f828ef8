//! A tree as a file system, for shells, editors and whatever else opens files.
//!
//! The transport is our own: requests are read from /dev/fuse, answers written, nothing else is in
//! between. Text attributes are never cached, so what is read is what `show` writes now; names and
//! attributes are cached by the kernel and taken back when the tree changes.
//!
//! Needs the feature `fuse`, Linux 5.8 or later, /dev/fuse, and the right to mount: root, or a user namespace
//! (`unshare -Urm`). Where that is missing [`Mount::new`] says so in one line, and the tree works on
//! within the process.
//!
//! mkdir, rmdir and rename are what [`SyscallOps`](crate::SyscallOps) of the tree say, without them refused as sysfs
//! refuses them. chmod, chown, utimes and extended attributes change the node, for whom the kernel lets. A tree may have
//! several mounts, each with the view of one name space ([`Options::ns`]).
//!
//! # What it cannot do
//! * lseek on a removed file answers no ENODEV: the kernel never asks us. inotify hears of changes only with
//!   [`Options::inotify`], of what is made and removed by the owner never.
//! * A removal wakes nobody who sleeps in poll(2), as in sysfs; [`notify`](crate::File::notify) the file
//!   after the removal, and he finds it dead.
//! * mmap from outside: shared mappings are refused as in sysfs (ENODEV), a private one shows what a read gives.
//! * A name of more than 4072 bytes is found, but not listed: programs read directories by the page.
//! * When callbacks block in as many threads as there may be ([`Options::most_threads`]) the mount waits for one of them.
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
mod init;
mod listener;
mod listing;
mod load;
mod mount;
mod mountpoint;
mod notifier;
#[cfg(test)]
mod notifier_tests;
mod options;
mod poker;
mod request;
mod retry;
mod session;
mod signals;
mod slot;
mod table;
mod threads;

pub use mount::Mount;
pub use mountpoint::recover_stale;
pub use options::Options;
pub use signals::Termination;

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
//! # What it cannot do
//! * inotify hears nothing of a change (poll does), lseek on a removed file answers no ENODEV: the kernel
//!   never asks us.
//! * A removal wakes nobody who sleeps in poll(2), as in sysfs; [`notify`](crate::File::notify) the file
//!   after the removal, and he finds it dead.
//! * mkdir, rmdir and rename are what [`SyscallOps`](crate::SyscallOps) of the tree say, without them refused as sysfs
//!   refuses them. chmod, chown, extended attributes, file handles and mmap from outside are refused, and a mount shows
//!   no name space.
//! * A name of more than 4072 bytes is found, but not listed: programs read directories by the page.
//! * When callbacks block in all service threads ([`Options::threads`]) the mount waits for one of them.
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
mod channel;
mod exit;
mod handles;
mod init;
mod listener;
mod listing;
mod mount;
mod mountpoint;
mod notifier;
#[cfg(test)]
mod notifier_tests;
mod options;
mod request;
mod retry;
mod session;
mod signals;
mod slot;
mod table;

pub use mount::Mount;
pub use mountpoint::recover_stale;
pub use options::Options;
pub use signals::Termination;

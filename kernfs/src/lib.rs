//! sysfs for your daemon: a live tree of directories, attributes and links.
//!
//! ```
//! use kernfs::{OpenFlags, Root, ro};
//! use std::io::Read;
//! use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
//!
//! static HITS: AtomicU64 = AtomicU64::new(0);
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let root = Root::new();
//!     let cache = root.create_dir("cache", 0o755)?;
//!     let hits = cache.attr("hits", ro(|| HITS.load(Relaxed)))?; // one line a value
//!
//!     HITS.store(3, Relaxed);
//!     hits.notify(); // wakes whoever polls it
//!
//!     let mut text = String::new();
//!     hits.open(OpenFlags::READ)?.read_to_string(&mut text)?;
//!     assert_eq!(text, "3\n");
//!
//!     cache.remove()?; // no callback below it runs any more, and none will
//!     Ok(())
//! }
//! ```
//!
//! # What it promises
//! * **[`Node::remove`] drains.** When it returns, no callback of the subtree runs and none ever will;
//!   open files answer ENODEV for ever; each was released exactly once.
//! * **Looking takes no lock.** [`Dir::find`], [`Dir::walk`], [`Dir::readdir`], [`Node::path`] and
//!   [`Node::stat`] are RCU read sections ([`urcu`]); they neither wait for anybody nor write to memory
//!   that others read, but for the count of the node that is returned.
//! * **[`File::notify`] works anywhere**, signal handlers included: no lock, no allocation.
//! * **A wrong argument, a panic in a callback, a callback that removes itself** are errors with an
//!   [`Errno`] and a line that names the node. None is a crash or a hang.
//!
//! # Where what is
//! * [`Root`] owns a tree; [`Node`] is any node, [`Dir`], [`File`] and [`Link`] are what it can be.
//! * [`ro`], [`rw`], [`wo`] make attributes of one line; [`Ops`] are the callbacks of a file in full.
//! * [`OpenFile`]: read, write, poll, wait.
//! * [`Watch`]: what a mount hears of a tree. [`kernel`]: the C names as one-liners.
#![cfg_attr(feature = "fuse", doc = "* [`fuse`]: mounts a tree.")]
//!
//! # What it costs you
//! * Waiting for a removal that waits for your callback, through a lock of your own, is a deadlock that
//!   this crate cannot see: do not hold a lock over [`Node::remove`] that a callback takes.
//! * A removed node's memory is freed after a grace period, and once its last handle is dropped.
//! * A change in a directory of n entries copies n/64 pointers.
//! * After `fork` only the parent may use the tree.
//! * No access control of its own: [`OpenFile`]s are for the process, a mount checks modes.
//!
//! # Where it comes from
//! The kernel's fs/kernfs; in particular the open-file machinery after Al Viro's review of April 2022
//! (open nodes published and freed by RCU, hashed mutexes, lock-free notify). Names of functions are
//! kernfs's where that reads well; search for the C name to find ours.

#![deny(unsafe_code)]

mod active;
mod attr;
mod children;
mod cx;
mod dir;
mod error;
mod file;
mod file_ops;
mod flags;
#[cfg(feature = "fuse")]
pub mod fuse;
mod held;
mod inner;
pub mod kernel;
mod locks;
mod mode;
mod name;
mod node;
mod notify;
mod open;
mod opened;
mod ops;
mod path;
mod readdir;
mod remove;
mod root;
mod seq;
#[expect(
    unsafe_code,
    reason = "system calls; nothing else of the crate is unsafe"
)]
mod sys;
mod tree;
mod watch;

pub use attr::{Attr, Stored, ro, rw, wo};
pub use cx::{Cancel, Cx};
pub use error::{Errno, Error, Result};
pub use flags::{Has, OpenFlags, PollFlags, RootFlags};
pub use mode::{Kind, Stat};
pub use node::{Dir, File, Link, Node};
pub use notify::Watching;
pub use open::OpenFile;
pub use ops::Ops;
pub use readdir::{Entries, Entry};
pub use root::{Root, Stats};
pub use seq::Seq;
pub use watch::Watch;

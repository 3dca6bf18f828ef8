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
//!   that others read, but for the count of the node that is returned; [`Node::within`] looks without it.
//! * **[`File::notify`] works anywhere**, signal handlers included: no lock, no allocation.
//! * **What you see was there**: a path, what a walk finds, a link's text, what stat shows are each of one moment,
//!   whatever is renamed meanwhile.
//! * **A wrong argument, a panic in a callback, a callback that waits for its own removal** are errors with an
//!   [`Errno`] and a line that names the node. None is a crash or a hang.
//!
//! # Where what is
//! * [`Root`] owns a tree; [`Node`] is any node, [`Dir`], [`File`] and [`Link`] are what it can be; [`NodeRef`] is one
//!   that was found in a read section and not counted.
//! * [`ro`], [`rw`], [`wo`] make attributes of one line; [`Ops`] are the callbacks of a file in full.
//! * [`ro_atomic`], [`rw_atomic`] and [`bin`] as well; [`Group`]s of attributes; an [`Object`] owns its directory;
//!   [`Uevents`] tell of objects.
//! * [`Dir::open_metrics`]: the numbers of a subtree for Prometheus.
//! * [`Limits`]: how far users of a mount may go; [`Stats`].
//! * [`OpenFile`]: read, write, map, poll, wait. [`Cx`] is what a callback knows of the call, [`Records`] a file of many
//!   records. [`on_slow_removal`] hears of callbacks that hold a removal up.
//! * [`Node::rename`], [`Node::hide`], [`Node::activate`], [`Node::setattr`], [`Node::set_xattr`], [`Creation`] (owner, name
//!   space): what else a node does.
//! * [`Watch`]: what a mount hears of a tree; [`SyscallOps`]: what its users may ask for. [`kernel`]: the C names as one-liners.
#![cfg_attr(feature = "fuse", doc = "* [`fuse`]: mounts a tree.")]
//!
//! [`docs`] has a guide for who builds a daemon: threads, signals, fork, the order of the end, hostile writers.
//!
//! # What it costs you
//! * Waiting for a removal that waits for your callback, through a lock of your own, is a deadlock that
//!   this crate cannot see: do not hold a lock over [`Node::remove`] that a callback takes.
//! * A removed node's memory is freed after a grace period, and once its last handle is dropped.
//! * A change in a directory copies at most 64 pointers, whatever its size.
//! * In a forked child the tree is dead: every call that can fail answers ENOTCONN at once and touches no lock of the
//!   parent's; dropping what belongs to a tree does nothing. What needs no lock ([`Dir::find`], [`Node::path`],
//!   [`Node::stat`], [`Dir::readdir`]) shows the tree as it was at the fork. A tree that the child makes is
//!   dead as well: a daemon forks, then calls [`Root::new`].
//! * [`File::open`] is for the process itself and asks for nobody's permission but what
//!   [`RootFlags::EXTRA_OPEN_PERM_CHECK`] says; [`File::open_as`] checks the modes for somebody else, as a mount does.
//! * A read clears the change for all who share that open file: who waits opens his own.
//! * Mapped memory is copied ([`Mapping`]); what another process writes at the moment of a removal may be lost.
//! * Two open files whose callbacks read or write each other can deadlock. Debug builds warn.
//!
//! # What is left out
//! * Super blocks, dentries and inodes, with the functions that are about them: [`kernel`] lists each with the reason.
//! * On a mount: some of what the tree has; see there.
//!
//! # Where it comes from
//! The kernel's fs/kernfs; in particular the open-file machinery after Al Viro's review of April 2022
//! (open nodes published and freed by RCU, hashed mutexes, lock-free notify). Names of functions are
//! kernfs's where that reads well; search for the C name to find ours.

#![deny(unsafe_code)]

mod active;
mod atomic;
mod attr;
mod attrs;
mod bell;
mod bin;
mod caught;
mod changes;
mod create;
mod cred;
mod cx;
mod dir;
pub mod docs;
mod error;
mod file;
mod file_ops;
mod flags;
#[cfg(feature = "fuse")]
pub mod fuse;
mod group;
mod guarded;
mod held;
mod host;
mod inner;
pub mod kernel;
mod life;
mod limits;
mod locks;
mod lookup;
mod mapping;
mod memory;
mod metrics;
mod mode;
mod name;
mod node;
mod notify;
mod ns;
mod object;
mod open;
mod open_node;
#[cfg(test)]
mod open_tests;
mod opened;
mod ops;
mod order;
#[cfg(test)]
mod pass_tests;
mod path;
mod pending;
mod poll;
mod pollers;
mod readdir;
mod reader;
mod record;
mod records;
mod remove;
mod rename;
mod root;
mod self_removal;
mod seq;
mod show;
mod slow;
mod spare;
mod state;
mod step;
#[expect(
    unsafe_code,
    reason = "system calls; nothing else of the crate is unsafe"
)]
mod sys;
mod syscalls;
mod tree;
mod uevent;
mod values;
mod watch;
mod within;
mod xattr;

pub use attr::{Attr, Stored, ro, rw, wo};
pub use bin::{Bin, bin};
pub use changes::{ChangeFd, Changed, OnChange};
pub use create::Creation;
pub use cred::{Caller, Cancel, Cred};
pub use cx::{Cx, SyscallCx, Unprotected};
pub use error::{Errno, Error, Result};
pub use flags::{Has, OpenFlags, PollFlags, RootFlags};
pub use group::{Group, GroupHandle};
pub use limits::Limits;
pub use mapping::Mapping;
pub use memory::Memory;
pub use mode::{Kind, SetAttr, Stat};
pub use node::{Dir, File, Link, Node};
pub use notify::Watching;
pub use ns::Ns;
pub use object::Object;
pub use open::OpenFile;
pub use ops::Ops;
pub use readdir::{Entries, Entry, EntryRef, Listing};
pub use records::{Records, Start, lines};
pub use root::{Root, Stats};
pub use seq::Seq;
pub use slow::{RunningCallback, SlowRemoval, on_slow_removal};
pub use syscalls::SyscallOps;
pub use uevent::{Action, Subscriber, Uevent, Uevents};
#[doc(no_inline)]
pub use urcu;
pub use values::{Atomic, ro_atomic, rw_atomic};
pub use watch::Watch;
pub use within::NodeRef;
pub use xattr::XattrHow;

//! Read-copy-update for user space: kernel verbs, kernel guarantees, no `unsafe` in your code.
//!
//! Readers follow a pointer inside a read section that costs less than a nanosecond and never waits.
//! Updaters replace the pointer, wait for a *grace period* (every section that began before has ended),
//! and free what no reader can hold any more. The borrow checker does what lockdep does in the kernel.
//!
//! ```
//! use urcu::{Memb, Rcu};
//!
//! static ROUTES: Rcu<Vec<(u32, &str)>> = Rcu::null();
//!
//! ROUTES.assign(vec![(10, "eth0")]); // rcu_assign_pointer
//! {
//!     let guard = Memb::read_lock(); // rcu_read_lock
//!     let routes = ROUTES.dereference(&guard).unwrap(); // rcu_dereference
//!     assert_eq!(routes[0], (10, "eth0"));
//! } // rcu_read_unlock
//! let old = ROUTES.replace(vec![(10, "eth1")]).unwrap();
//! let old = old.synchronize(); // synchronize_rcu: a Box, no reader holds it now
//! assert_eq!(old[0].1, "eth0");
//! ```
//!
//! # Flavors
//! | | reader | grace period | for |
//! |---|---|---|---|
//! | [`Memb`] | a compiler barrier | membarrier(2), and a scan | the default |
//! | [`Mb`] | one full barrier | a fence, and a scan | where membarrier(2) may vanish |
//! | [`Qsbr`] | nothing | a fence, and a scan | event loops that announce quiescent states |
//!
//! They are aliases of one generic and never mix: a guard of one does not type-check with another's
//! pointer. `Memb` works without membarrier too, with a fence in each section.
//!
//! [`Srcu`] is a domain as a value: its readers may sleep, leave their thread, and hold a guard across an
//! `.await`, and hold back nobody but the updaters of the same domain.
//!
//! # Where what is
//! * [`Rcu`], the pointer that anybody may replace; [`RcuLocked`], the pointer whose updaters share a lock;
//!   [`Retired`], what was unpublished and waits for its grace period.
//! * [`RcuArc`], the pointer to a shared object; [`Borrowed`], what its readers find and may keep;
//!   [`RetiredArc`], the count that it gave up.
//! * [`Srcu`], [`SrcuGuard`], [`SrcuPtr`], [`SrcuRetired`], [`SrcuCookie`]: the same for a domain of your own.
//! * [`Guard`], a read section; [`Thread`], a registration by hand.
//! * [`Domain`]: `read_lock`, `synchronize`, `call`, `barrier`, `stats`, for each flavor; [`Limits`], how much
//!   memory may wait for grace periods; [`RcuHead`], for callbacks without an allocation.
//! * [`OrdMap`] and [`RcuHashMap`], maps whose lookups write nothing; [`Idr`], ids that find shared objects;
//!   [`mod@list`], lists that readers walk while their writer changes them.
//! * [`wfcq`], the queue whose producers never wait; [`lfs`], the lock-free stack; [`llist`], the lock-free list
//!   of the kernel; [`Event`] and [`futex`], sleeping and waking.
//! * [`kernel`], the C names as one-liners.
//! * [`docs::memory_model`], why a grace period is one: barrier by barrier, with the formal models.
//!
//! # What it costs you
//! * A section that does not end holds back every later grace period of its domain, and so all memory
//!   that waits for one. That goes for a forgotten guard too: nothing dangles, whatever you forget, but
//!   the memory is not freed. [`set_report_hook`] and [`set_stall_timeout`] tell you who it is.
//! * Waiting inside a section of the same domain would deadlock; it panics, and names both places where
//!   urcu was built with debug assertions.
//! * The callbacks that are queued when the process exits do not run, unless you call `barrier`.
//! * After `fork` parent and child both go on; what other threads' sections protected is gone in the
//!   child, and so is the callback that another thread was running.
//! * `Memb` aborts the process when membarrier(2) worked at first and is refused later (a seccomp filter
//!   installed after the start): its readers have no fences then, and nothing safe is left.
//! * In signal handlers `read_lock`, `dereference` and dropping the guard are safe; `call`, `assign` and
//!   whatever allocates or waits is not. A guard made in a handler must be dropped in it.
//! * Linux, 64 bits. There is no `no_std` form.
//! * A shared object that contains urcu stays mapped after dlclose(3): threads, fork hooks and workers come
//!   back into it. On x86-64 with glibc it has initial-exec thread-locals, for which dlopen(3) has a small
//!   reserve (8 bytes for each flavor used, 24 for the rest, 32 with [`OrdMap`]); `RUSTFLAGS="--cfg urcu_std_tls"`
//!   chooses the slower model of `thread_local!`, as a Rust `dylib` needs.
//!
//! # Where the ideas come from
//! The verbs are those of the kernel and of liburcu (Desnoyers, McKenney, Stern, Dagenais, Walpole:
//! "User-Level Implementations of Read-Copy Update", IEEE TPDS 2012). The engine differs: one 64-bit
//! sequence, one barrier and one scan for each grace period instead of two flips; see the source of `gp`.

mod activity;
mod arc;
mod arena;
mod atomic;
mod backlog;
mod backoff;
mod barrier;
mod borrowed;
mod bound;
mod call;
mod container;
mod cpus;
pub mod docs;
mod domain;
mod flavor;
mod fork;
mod gp;
mod guard;
mod hash;
mod head;
mod home;
mod identity;
mod idr;
pub mod kernel;
mod leave;
pub mod lfs;
pub mod list;
pub mod llist;
mod locked;
mod ord;
mod owned;
mod pad;
mod park;
mod pin;
mod poll;
mod prefetch;
mod provenance;
mod ptr;
mod queue;
mod register;
mod retire;
mod retired_arc;
mod ring;
mod shard;
mod srcu;
mod stall;
mod started;
mod stats;
mod sys;
mod task;
#[cfg(any(test, doctest))]
mod tests;
mod thread;
mod tls;
mod trace;
pub mod wfcq;
mod word;
mod worker;

pub use activity::Activity;
pub use arc::{ExchangedArc, RcuArc};
#[cfg(feature = "torture")]
pub use atomic::torture;
pub use borrowed::Borrowed;
pub use bound::Limits;
pub use call::AlreadyQueued;
pub use flavor::{Domain, Flavor, Mb, Memb, Qsbr};
pub use guard::Guard;
pub use hash::{Change, Iter as HashMapIter, Occupied, RcuHashMap, RetiredEntry};
pub use head::RcuHead;
pub use idr::{Full, Id, Idr, Iter as IdrIter, Reservation};
pub use locked::{RcuLocked, Writer};
pub use ord::{DetachedMap, OrdMap, Range};
pub use park::{Event, futex};
pub use poll::{Cookie, GracePeriod};
pub use ptr::{Exchanged, Rcu};
pub use retire::Retired;
pub use retired_arc::RetiredArc;
pub use srcu::{
    Srcu, SrcuCookie, SrcuExchanged, SrcuGracePeriod, SrcuGuard, SrcuOwnedGuard, SrcuPtr,
    SrcuRetired,
};
pub use stall::{Culprit, Report, Straggler, set_report_hook, set_stall_timeout};
pub use started::Started;
pub use stats::Stats;
pub use thread::Thread;
pub use trace::{BarrierKind, Level, Trace, set_trace_hook};

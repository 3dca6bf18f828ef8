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
//! # Where what is
//! * [`Rcu`], the pointer that anybody may replace; [`RcuLocked`], the pointer whose updaters share a lock;
//!   [`Retired`], what was unpublished and waits for its grace period.
//! * [`Guard`], a read section; [`Thread`], a registration by hand.
//! * [`Domain`]: `read_lock`, `synchronize`, `call`, `barrier`, `stats`, for each flavor.
//! * [`llist`], the lock-free list of the kernel; [`Event`] and [`futex`], sleeping and waking.
//! * [`kernel`], the C names as one-liners.
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
//!
//! # Where the ideas come from
//! The verbs are those of the kernel and of liburcu (Desnoyers, McKenney, Stern, Dagenais, Walpole:
//! "User-Level Implementations of Read-Copy Update", IEEE TPDS 2012). The engine differs: one 64-bit
//! sequence, one barrier and one scan for each grace period instead of two flips; see the source of `gp`.

mod arena;
mod barrier;
mod call;
mod domain;
mod flavor;
mod fork;
mod gp;
mod guard;
pub mod kernel;
pub mod llist;
mod locked;
mod pad;
mod park;
mod ptr;
mod queue;
mod register;
mod retire;
mod stall;
mod stats;
mod sys;
#[cfg(any(test, doctest))]
mod tests;
mod thread;
mod word;

pub use flavor::{Domain, Flavor, Mb, Memb, Qsbr};
pub use guard::Guard;
pub use locked::{RcuLocked, Writer};
pub use park::{Event, futex};
pub use ptr::{Exchanged, Rcu};
pub use retire::Retired;
pub use stall::{Culprit, Report, set_report_hook, set_stall_timeout};
pub use stats::Stats;
pub use thread::Thread;

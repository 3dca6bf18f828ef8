//! The kernel's names, each a one-liner for the default flavor: for people with a C file in the other
//! window. The documentation stands at the method that each calls.
//!
//! ```
//! use urcu::Rcu;
//! use urcu::kernel::*;
//!
//! static GP: Rcu<u32> = Rcu::null();
//!
//! rcu_assign_pointer(&GP, 1);
//! let guard = rcu_read_lock();
//! assert_eq!(rcu_dereference(&GP, &guard), Some(&1));
//! rcu_read_unlock(guard);
//! let old = rcu_replace_pointer(&GP, 2).unwrap();
//! synchronize_rcu();
//! kfree_rcu(old);
//! rcu_barrier();
//! ```
//!
//! # Names that are not here
//! | kernel | why |
//! |---|---|
//! | `rcu_read_lock_bh`, `rcu_read_lock_sched`, `rcu_read_lock_sched_notrace`, `rcu_read_lock_dont_migrate`, and what goes with them | they add a context (no softirq, no preemption, no tracing) that a thread cannot have |
//! | `rcu_read_lock_any_held` | there is one kind of section in a domain |
//! | `rcu_dereference_raw`, `rcu_dereference_raw_check` | no load without proof; [`rcu_access_pointer`] gives the address |
//! | `unrcu_pointer`, `rcu_pointer_handoff` | no tag to take off: [`Rcu::compare_exchange`](crate::Rcu::compare_exchange); keep an `Arc` in the object and clone that |
//! | `RCU_INITIALIZER`, `RCU_POINTER_INITIALIZER` | [`Rcu::null`](crate::Rcu::null) is the static initialiser |
//! | `rcu_expedite_gp`, `rcu_unexpedite_gp`, `rcu_gp_is_expedited`, `rcu_gp_is_normal` | every grace period is expedited |
//! | `synchronize_net` | no network lock to hold meanwhile |
//! | `synchronize_rcu_mult` | `start_poll` in each domain, then `wait` for each cookie |
//! | `NUM_ACTIVE_RCU_POLL_OLDSTATE`, `NUM_ACTIVE_RCU_POLL_FULL_OLDSTATE` | grace periods overlap here, so there is no such bound |
//! | `kvfree_rcu_barrier`, `kvfree_rcu_barrier_on_cache` | no cache to destroy; for values that have a `Drop`, [`rcu_barrier`] |
//! | `queue_rcu_work`, `INIT_RCU_WORK` | [`Retired::call`] with the `spawn` of your executor in it |
//! | `rcu_head_init`, `init_rcu_head_on_stack`, `destroy_rcu_head` | nobody tracks where a head lives |
//! | `rcu_async_hurry`, `rcu_async_relax` | nothing waits longer than it must unless [`Memb::call_lazy`] says so |
//! | `rcu_is_watching`, `rcu_momentary_eqs`, `rcu_softirq_qs`, `cond_resched_tasks_rcu_qs`, `rcu_note_context_switch` | announced by hand in [`Qsbr`](crate::Qsbr) alone: `Thread::quiescent_state` |
//! | `synchronize_rcu_tasks`, `call_rcu_tasks`, `rcu_barrier_tasks`, their `_rude` and `_trace` forms | they wait for code that is being patched out; to unload code: `synchronize`, then `barrier` |
//! | `rcu_cpu_stall_reset` | [`set_stall_timeout`](crate::set_stall_timeout) |
//! | the families of `list_add_rcu`, `hlist_add_head_rcu` | methods of [`List`](crate::list::List), [`HList`](crate::list::HList) and their [`Cursor`](crate::list::Cursor) |
//! | the family of `idr_find` | methods of [`Idr`](crate::Idr) |
//! | the families of `xa_load`, `rcuref_get`, `rcu_sync_enter` | not written |
//! | `llist_del_first`, `llist_for_each_safe`, `llist_reverse_order` | [`llist_del_all`] gives an iterator |

mod llist;
mod pointer;
mod polled;
mod srcu;

pub use self::llist::*;
pub use self::pointer::*;
pub use self::polled::*;
pub use self::srcu::*;

use crate::flavor::Memb;
use crate::guard::Guard;
use crate::head::RcuHead;
use crate::retire::Retired;

/// [`Memb::read_lock`].
#[inline]
#[track_caller]
pub fn rcu_read_lock() -> Guard<'static> {
    Memb::read_lock()
}

/// [`Guard::unlock`].
#[inline]
pub fn rcu_read_unlock(guard: Guard<'_>) {
    guard.unlock();
}

/// [`Memb::read_lock_held`].
pub fn rcu_read_lock_held() -> bool {
    Memb::read_lock_held()
}

/// Asserts [`Memb::read_lock_held`], in builds with debug assertions.
#[track_caller]
pub fn lockdep_assert_in_rcu_reader() {
    debug_assert!(Memb::read_lock_held(), "not inside a read section");
}

/// [`Memb::synchronize`].
#[track_caller]
pub fn synchronize_rcu() {
    Memb::synchronize();
}

/// [`Memb::synchronize`]: no grace period has a slower form.
#[track_caller]
pub fn synchronize_rcu_expedited() {
    Memb::synchronize();
}

/// [`Memb::call`]; with a head in the object and without an allocation [`Memb::call_head`].
pub fn call_rcu(callback: impl FnOnce() + Send + 'static) {
    Memb::call(callback);
}

/// [`Memb::call_hurry`].
pub fn call_rcu_hurry(callback: impl FnOnce() + Send + 'static) {
    Memb::call_hurry(callback);
}

/// [`RcuHead::new`].
pub const fn init_rcu_head() -> RcuHead {
    RcuHead::new()
}

/// [`RcuHead::is_queued`].
pub fn rcu_head_after_call_rcu(head: &RcuHead) -> bool {
    head.is_queued()
}

/// [`Retired::free`].
pub fn kfree_rcu<T: Send + Sync>(old: Retired<T>) {
    old.free();
}

/// [`Retired::free`], which needs no head and does not sleep.
pub fn kfree_rcu_mightsleep<T: Send + Sync>(old: Retired<T>) {
    old.free();
}

/// [`Memb::barrier`].
#[track_caller]
pub fn rcu_barrier() {
    Memb::barrier();
}

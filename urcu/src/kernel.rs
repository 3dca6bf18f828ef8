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

use crate::flavor::Memb;
use crate::guard::Guard;
use crate::locked::{RcuLocked, Writer};
use crate::ptr::Rcu;
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

/// [`Rcu::dereference`].
#[inline]
pub fn rcu_dereference<'g, T: Send + Sync>(p: &'g Rcu<T>, guard: &'g Guard<'_>) -> Option<&'g T> {
    p.dereference(guard)
}

/// [`RcuLocked::get`].
#[track_caller]
pub fn rcu_dereference_protected<'w, T: Send + Sync>(
    p: &'w RcuLocked<T>,
    writer: &'w Writer,
) -> Option<&'w T> {
    p.get(writer)
}

/// [`Rcu::as_ptr`].
pub fn rcu_access_pointer<T: Send + Sync>(p: &Rcu<T>) -> *const T {
    p.as_ptr()
}

/// [`Rcu::assign`].
pub fn rcu_assign_pointer<T: Send + Sync>(p: &Rcu<T>, new: T) {
    p.assign(new);
}

/// [`Rcu::replace`].
pub fn rcu_replace_pointer<T: Send + Sync>(p: &Rcu<T>, new: T) -> Option<Retired<T>> {
    p.replace(new)
}

/// [`Memb::synchronize`].
#[track_caller]
pub fn synchronize_rcu() {
    Memb::synchronize();
}

/// [`Memb::call`].
pub fn call_rcu(callback: impl FnOnce() + Send + 'static) {
    Memb::call(callback);
}

/// [`Retired::free`].
pub fn kfree_rcu<T: Send + Sync>(old: Retired<T>) {
    old.free();
}

/// [`Memb::barrier`].
#[track_caller]
pub fn rcu_barrier() {
    Memb::barrier();
}

//! The names of srcu, which take the domain first, as in C.
//!
//! ```
//! use urcu::kernel::*;
//!
//! let srcu = init_srcu_struct();
//! let p = srcu.new_ptr(1);
//! let guard = srcu_read_lock(&srcu);
//! assert_eq!(srcu_dereference(&p, &guard), Some(&1));
//! srcu_read_unlock(guard);
//! let cookie = get_state_synchronize_srcu(&srcu);
//! synchronize_srcu(&srcu);
//! assert!(poll_state_synchronize_srcu(&cookie));
//! call_srcu(&srcu, || println!("nobody reads the old one now"));
//! srcu_barrier(&srcu);
//! srcu_up_read(srcu_down_read(&srcu));
//! cleanup_srcu_struct(srcu);
//! ```

use crate::srcu::{Srcu, SrcuCookie, SrcuGuard, SrcuOwnedGuard, SrcuPtr};

/// [`Srcu::new`].
pub fn init_srcu_struct() -> Srcu {
    Srcu::new()
}

/// The drop of a handle; the last one ends the domain, see [`Srcu`].
pub fn cleanup_srcu_struct(srcu: Srcu) {
    drop(srcu);
}

/// [`Srcu::read_lock`].
#[inline]
#[track_caller]
pub fn srcu_read_lock(srcu: &Srcu) -> SrcuGuard<'_> {
    srcu.read_lock()
}

/// [`SrcuGuard::unlock`].
#[inline]
pub fn srcu_read_unlock(guard: SrcuGuard<'_>) {
    guard.unlock();
}

/// [`Srcu::read_lock_held`].
pub fn srcu_read_lock_held(srcu: &Srcu) -> bool {
    srcu.read_lock_held()
}

/// [`Srcu::down_read`].
#[track_caller]
pub fn srcu_down_read(srcu: &Srcu) -> SrcuOwnedGuard {
    srcu.down_read()
}

/// [`SrcuOwnedGuard::up_read`].
pub fn srcu_up_read(guard: SrcuOwnedGuard) {
    guard.up_read();
}

/// [`SrcuPtr::dereference`].
#[inline]
#[track_caller]
pub fn srcu_dereference<'g, T: Send + Sync>(
    p: &'g SrcuPtr<T>,
    guard: &'g SrcuGuard<'_>,
) -> Option<&'g T> {
    p.dereference(guard)
}

/// [`Srcu::synchronize`].
#[track_caller]
pub fn synchronize_srcu(srcu: &Srcu) {
    srcu.synchronize();
}

/// [`Srcu::synchronize`]: no grace period here has a slower form.
#[track_caller]
pub fn synchronize_srcu_expedited(srcu: &Srcu) {
    srcu.synchronize();
}

/// [`Srcu::call`].
pub fn call_srcu(srcu: &Srcu, callback: impl FnOnce() + Send + 'static) {
    srcu.call(callback);
}

/// [`Srcu::barrier`].
#[track_caller]
pub fn srcu_barrier(srcu: &Srcu) {
    srcu.barrier();
}

/// [`Srcu::get_state`].
pub fn get_state_synchronize_srcu(srcu: &Srcu) -> SrcuCookie {
    srcu.get_state()
}

/// [`Srcu::start_poll`].
pub fn start_poll_synchronize_srcu(srcu: &Srcu) -> SrcuCookie {
    srcu.start_poll()
}

/// [`SrcuCookie::is_done`].
pub fn poll_state_synchronize_srcu(cookie: &SrcuCookie) -> bool {
    cookie.is_done()
}

//! The kernel's names of polled grace periods. A cookie is always exact here, so the `_full` forms are the
//! same, and every grace period is expedited, so the `_expedited` forms are too.
//!
//! ```
//! use urcu::kernel::*;
//!
//! let cookie = start_poll_synchronize_rcu();
//! cond_synchronize_rcu(cookie);
//! assert!(poll_state_synchronize_rcu(cookie));
//! assert!(!same_state_synchronize_rcu(cookie, get_state_synchronize_rcu()));
//! assert!(poll_state_synchronize_rcu(get_completed_synchronize_rcu()));
//! ```

use crate::flavor::Memb;
use crate::poll::Cookie;

/// [`Memb::get_state`].
pub fn get_state_synchronize_rcu() -> Cookie {
    Memb::get_state()
}

/// [`Memb::get_state`].
pub fn get_state_synchronize_rcu_full() -> Cookie {
    Memb::get_state()
}

/// [`Memb::start_poll`].
pub fn start_poll_synchronize_rcu() -> Cookie {
    Memb::start_poll()
}

/// [`Memb::start_poll`].
pub fn start_poll_synchronize_rcu_full() -> Cookie {
    Memb::start_poll()
}

/// [`Memb::start_poll`].
pub fn start_poll_synchronize_rcu_expedited() -> Cookie {
    Memb::start_poll()
}

/// [`Memb::start_poll`].
pub fn start_poll_synchronize_rcu_expedited_full() -> Cookie {
    Memb::start_poll()
}

/// [`Cookie::is_done`].
pub fn poll_state_synchronize_rcu(cookie: Cookie) -> bool {
    cookie.is_done()
}

/// [`Cookie::is_done`].
pub fn poll_state_synchronize_rcu_full(cookie: Cookie) -> bool {
    cookie.is_done()
}

/// [`Cookie::wait`].
#[track_caller]
pub fn cond_synchronize_rcu(cookie: Cookie) {
    cookie.wait();
}

/// [`Cookie::wait`].
#[track_caller]
pub fn cond_synchronize_rcu_full(cookie: Cookie) {
    cookie.wait();
}

/// [`Cookie::wait`].
#[track_caller]
pub fn cond_synchronize_rcu_expedited(cookie: Cookie) {
    cookie.wait();
}

/// [`Cookie::wait`].
#[track_caller]
pub fn cond_synchronize_rcu_expedited_full(cookie: Cookie) {
    cookie.wait();
}

/// [`Cookie::COMPLETED`].
pub fn get_completed_synchronize_rcu() -> Cookie {
    Cookie::COMPLETED
}

/// [`Cookie::COMPLETED`].
pub fn get_completed_synchronize_rcu_full() -> Cookie {
    Cookie::COMPLETED
}

/// Whether both are done at the same time: `==`.
pub fn same_state_synchronize_rcu(a: Cookie, b: Cookie) -> bool {
    a == b
}

/// Whether both are done at the same time: `==`.
pub fn same_state_synchronize_rcu_full(a: Cookie, b: Cookie) -> bool {
    a == b
}

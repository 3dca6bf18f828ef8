//! `urcu` as C functions in a shared library, the way a daemon calls liburcu when it does not compile its
//! inline headers. The shootout opens the library and measures the calls.

use core::ffi::c_void;
use core::mem::transmute;

use urcu::{Guard, Memb};

/// Enters a read section; the return value stands for it.
#[unsafe(no_mangle)]
pub extern "C" fn calls_memb_read_lock() -> *const () {
    // SAFETY: a guard is one pointer (`transmute` checks the size), and only `calls_memb_read_unlock` makes
    // these bits a guard again.
    unsafe { transmute::<Guard<'static, Memb>, *const ()>(Memb::read_lock()) }
}

/// Leaves a read section.
///
/// # Safety
/// 1. `section` came from `calls_memb_read_lock` on the same thread, and is given up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calls_memb_read_unlock(section: *const ()) {
    // SAFETY: clause 1: the bits are those of a guard of this thread that was not dropped.
    drop(unsafe { transmute::<*const (), Guard<'static, Memb>>(section) });
}

/// Calls `callback` with `data` after a grace period, on the worker.
///
/// # Safety
/// 1. `callback` may be called with `data`, once, on any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calls_memb_call(
    callback: unsafe extern "C" fn(*mut c_void),
    data: *mut c_void,
) {
    let data = Sent(data);
    Memb::call(move || {
        let data = data;
        // SAFETY: clause 1: callbacks run once.
        unsafe { callback(data.0) };
    });
}

/// Waits until all callbacks have run.
#[unsafe(no_mangle)]
pub extern "C" fn calls_memb_barrier() {
    Memb::barrier();
}

struct Sent(*mut c_void);

// SAFETY: clause 1 of `calls_memb_call`, the only place that makes one: on any thread.
unsafe impl Send for Sent {}

//! What a worker does before it leaves, for who is above the workers and leaves something in their threads: a thread's
//! end is too late, because nobody joins the worker that would have to be started then.

use crate::atomic::{AtomicPtr, Ordering};
use crate::gp::Engine;

type Hook = fn(&Engine);

/// A [`Hook`], or null.
static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// From now on workers that leave call this, each with the engine of its domain. There is one such function.
pub(crate) fn call_before(hook: Hook) {
    HOOK.store(hook as *mut (), Ordering::Release);
}

/// By a worker of `engine` that leaves.
pub(crate) fn settle(engine: &Engine) {
    // Who has left something in this thread has called `call_before` here.
    let at = HOOK.load(Ordering::Acquire);
    if !at.is_null() {
        // SAFETY: `call_before` alone stores here, and only values of this very type.
        let hook = unsafe { core::mem::transmute::<*mut (), Hook>(at) };
        hook(engine);
    }
}

//! What kernfs's files take from urcu and the models have otherwise: a futex word that loom sees, a pointer to an
//! `Arc` that gives nothing up. Read sections last as long as the model, so none is needed.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::sys::{self, Wake};

/// As `urcu::futex::Word`.
#[derive(Debug)]
pub(crate) struct Word(AtomicU32);

impl Word {
    pub(crate) const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// Without the time-out, after which a drain only tells that it lasts: a wake-up that is lost is a deadlock.
    pub(crate) fn wait(&self, expected: u32, _timeout: Option<Duration>) -> Wake {
        sys::futex_wait(self.0.as_ptr(), expected, None)
    }

    pub(crate) fn wake(&self, count: i32) {
        sys::futex_wake(self.0.as_ptr(), count);
    }
}

impl Deref for Word {
    type Target = AtomicU32;
    fn deref(&self) -> &AtomicU32 {
        &self.0
    }
}

/// As `urcu::Guard`.
pub(crate) struct Guard<'g>(PhantomData<&'g ()>);

/// As `urcu::Memb`.
pub(crate) struct Memb;

impl Memb {
    pub(crate) fn read_lock() -> Guard<'static> {
        Guard(PhantomData)
    }
}

/// As `urcu::RcuArc`, with its orderings. Leaks.
pub(crate) struct RcuArc<T>(AtomicPtr<T>);

impl<T> RcuArc<T> {
    pub(crate) const fn null() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    pub(crate) fn dereference<'g>(&'g self, _guard: &'g Guard<'_>) -> Option<&'g T> {
        // SAFETY: from `Arc::into_raw`, and leaked.
        unsafe { self.0.load(Ordering::Acquire).cast_const().as_ref() }
    }

    pub(crate) fn get(&self, guard: &Guard<'_>) -> Option<Arc<T>> {
        let at = std::ptr::from_ref(self.dereference(guard)?);
        // SAFETY: from `Arc::into_raw`, and leaked.
        unsafe { Arc::increment_strong_count(at) };
        // SAFETY: as above; the count is the new one.
        Some(unsafe { Arc::from_raw(at) })
    }

    pub(crate) fn assign(&self, new: Arc<T>) {
        let new = Arc::into_raw(new).cast_mut();
        self.0.swap(new, Ordering::AcqRel);
    }

    pub(crate) fn take(&self) -> Retired {
        self.0.swap(std::ptr::null_mut(), Ordering::AcqRel);
        Retired
    }
}

/// What was taken out.
pub(crate) struct Retired;

impl<T> fmt::Debug for RcuArc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

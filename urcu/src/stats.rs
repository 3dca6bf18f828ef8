//! Counters of one domain. Readers never touch them.

use core::sync::atomic::{AtomicU64, Ordering};

/// A counter that updaters and workers raise; Relaxed, because it orders nothing.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the grace-period engine counts.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) grace_periods: Counter,
    pub(crate) shared: Counter,
    pub(crate) heavy_barriers: Counter,
    pub(crate) sleeps: Counter,
    pub(crate) abandoned: Counter,
    pub(crate) callback_panics: Counter,
    pub(crate) callbacks_lost: Counter,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            grace_periods: Counter::new(),
            shared: Counter::new(),
            heavy_barriers: Counter::new(),
            sleeps: Counter::new(),
            abandoned: Counter::new(),
            callback_panics: Counter::new(),
            callbacks_lost: Counter::new(),
        }
    }
}

/// A snapshot of a domain's counters, taken without stopping anybody: each number is right for some
/// moment, not all for the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Grace periods that were run.
    pub grace_periods: u64,
    /// Calls of `synchronize` that were satisfied by somebody else's grace period.
    pub shared: u64,
    /// Heavy barriers executed (membarrier(2), or a fence where it is absent).
    pub heavy_barriers: u64,
    /// Times a grace period slept until a reader left.
    pub sleeps: u64,
    /// Reader slots in use by threads and handles.
    pub registered: u64,
    /// Threads that ended inside a section; each holds back all later grace periods.
    pub abandoned: u64,
    /// Callbacks queued so far.
    pub callbacks_queued: u64,
    /// Callbacks run so far.
    pub callbacks_run: u64,
    /// Callbacks queued and not yet run.
    pub callbacks_pending: u64,
    /// Callbacks that panicked (the panic is caught and reported).
    pub callback_panics: u64,
    /// Callbacks that were running in another thread when this process was forked, and are lost here.
    pub callbacks_lost: u64,
}

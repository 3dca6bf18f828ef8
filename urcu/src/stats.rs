//! Counters of one domain. Readers never touch them.

use core::time::Duration;

use crate::atomic::{Ordering, Tally};

/// A counter that updaters and workers raise; Relaxed, because it orders nothing.
#[derive(Debug)]
pub(crate) struct Counter(Tally);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(Tally::new(0))
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The longest of many durations.
#[derive(Debug)]
pub(crate) struct Longest(Tally);

impl Longest {
    pub(crate) const fn new() -> Self {
        Self(Tally::new(0))
    }

    pub(crate) fn note(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// What the grace-period engine counts.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) grace_periods: Counter,
    pub(crate) shared: Counter,
    pub(crate) heavy_barriers: Counter,
    pub(crate) patient_barriers: Counter,
    pub(crate) cooperative: Counter,
    pub(crate) sleeps: Counter,
    pub(crate) stalls: Counter,
    pub(crate) longest_wait: Longest,
    pub(crate) abandoned: Counter,
    pub(crate) unwatched: Counter,
    pub(crate) callback_panics: Counter,
    pub(crate) callbacks_lost: Counter,
    pub(crate) heads_refused: Counter,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            grace_periods: Counter::new(),
            shared: Counter::new(),
            heavy_barriers: Counter::new(),
            patient_barriers: Counter::new(),
            cooperative: Counter::new(),
            sleeps: Counter::new(),
            stalls: Counter::new(),
            longest_wait: Longest::new(),
            abandoned: Counter::new(),
            unwatched: Counter::new(),
            callback_panics: Counter::new(),
            callbacks_lost: Counter::new(),
            heads_refused: Counter::new(),
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
    /// Grace periods that are under way at the moment. They overlap when the older ones last long.
    pub in_flight: u64,
    /// Calls of `synchronize` that were satisfied by somebody else's grace period.
    pub shared: u64,
    /// Heavy barriers executed (membarrier(2), or a fence where it is absent).
    pub heavy_barriers: u64,
    /// Barriers at leisure, for lazy callbacks: no processor was interrupted.
    pub patient_barriers: u64,
    /// Heavy barriers that running readers' answers have replaced (`Memb`).
    pub cooperative: u64,
    /// Times a grace period slept until a reader left.
    pub sleeps: u64,
    /// Stall reports made: one for each time that [`set_stall_timeout`](crate::set_stall_timeout) has passed
    /// while a grace period waited for one reader.
    pub stalls: u64,
    /// The longest that a grace period slept until one reader left; those that spun only are not timed. A
    /// wait that is under way counts from its first stall report on.
    pub longest_wait: Duration,
    /// Reader slots in use by threads and handles.
    pub registered: u64,
    /// Threads that ended inside a section; each holds back all later grace periods.
    pub abandoned: u64,
    /// Threads registered so far whose end nobody will see, because the process had no pthread key left:
    /// their slots stay in use, 64 bytes each, and hold nothing back.
    pub unwatched: u64,
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
    /// Bytes that the pending callbacks hold, with the objects that wait to be freed.
    pub bytes_pending: u64,
    /// The most of them at any moment that somebody looked: each `call` while there are limits, the workers
    /// around each grace period, this function.
    pub bytes_peak: u64,
    /// Callbacks that were queued beyond the hard limit, because `call`, `free` and drops cannot be refused.
    pub over_limit: u64,
    /// Callbacks that `try_call` and `try_free` gave back.
    pub refused: u64,
    /// Heads that were queued already when `call_head` was asked to queue them.
    pub heads_refused: u64,
}

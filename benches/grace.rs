//! What waits for readers: `synchronize`, `call` until its callback, `barrier`.

use core::fmt::{self, Debug, Formatter};
use core::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use crate::peer::Reader;

/// Something with grace periods.
pub trait GracePeriods: Sync {
    /// The name in the table.
    fn name(&self) -> &'static str;
    /// Waits for a grace period; the calling thread is not registered or outside sections.
    fn synchronize(&self);
    /// Queues a callback.
    fn call(&self, callback: Box<dyn FnOnce() + Send>);
    /// Queues callbacks flat out until that moment, each of which adds one to `ran`; how many it were.
    fn flood(&self, until: Instant, ran: &'static AtomicU64) -> u64;
    /// Starts a grace period that can be polled: the question whether it is over. `None`: it cannot.
    fn start_poll(&self) -> Option<Box<dyn Fn() -> bool>> {
        None
    }
    /// Waits for all callbacks.
    fn barrier(&self);
    /// Reads flat out until told to stop.
    fn read_until(&self, stop: &AtomicBool);
    /// Runs `inside` in sections on this thread, one after the other, while there is `more`.
    fn sections(&self, inside: &mut dyn FnMut(), more: &mut dyn FnMut() -> bool);
    /// Runs `block` on a thread that is registered and outside sections.
    fn idle(&self, block: &mut dyn FnMut());
    /// The same on a thread that says so. `false`: there is no way to say it, nothing was run.
    fn parked(&self, _block: &mut dyn FnMut()) -> bool {
        false
    }
}

impl Debug for dyn GracePeriods + '_ {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// [`GracePeriods::sections`] of a peer.
pub fn sections(mut reader: impl Reader, inside: &mut dyn FnMut(), more: &mut dyn FnMut() -> bool) {
    while more() {
        reader.hold(inside);
        reader.pause();
    }
}

/// Calls `queue` until that moment, without looking at the clock each time; how often it was.
pub fn flood(until: Instant, mut queue: impl FnMut()) -> u64 {
    const BETWEEN_LOOKS: u64 = 64;
    let mut queued = 0;
    while Instant::now() < until {
        for _ in 0..BETWEEN_LOOKS {
            queue();
        }
        queued += BETWEEN_LOOKS;
    }
    queued
}

//! The end of all callbacks, before a daemon tells what is left.

#![forbid(unsafe_code)]

use urcu::{Memb, Stats};

/// Waits until no callback is left, nor one that another has queued; the counters then. Nobody else may queue any.
///
/// That none is pending is not enough: the shards are counted one after the other, and a callback that runs in a later
/// one queues the next in one that was counted already.
pub(crate) fn wait() -> Stats {
    loop {
        let before = Memb::stats().callbacks_run;
        Memb::barrier();
        let after = Memb::stats();
        // None ran beside the barrier, so there was none when it began, and no callback is left to queue one.
        if after.callbacks_run == before {
            return after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[test]
    fn what_callbacks_queue_has_run_too() {
        static RAN: AtomicU32 = AtomicU32::new(0);
        fn chain(left: u32) {
            Memb::call(move || {
                RAN.fetch_add(1, Relaxed);
                if left != 0 {
                    chain(left - 1);
                }
            });
        }
        for round in 1..=20 {
            chain(9);
            wait();
            assert_eq!(RAN.load(Relaxed), 10 * round);
        }
    }
}

//! Waiting for another thread that is between two instructions: spin, yield, sleep.
//!
//! Bounded in what it costs, not in what it waits for: at most some microseconds of spinning (none on one CPU, where
//! the other thread needs ours), a few yields, then sleeps of up to a millisecond, which also let run a thread of
//! lower priority that a yield would not.

use std::thread;
use std::time::Duration;

use crate::cpus::cpus;

const SPINS: u32 = 6;
const YIELDS: u32 = 8;
const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(1);

/// How long one has waited.
#[derive(Debug)]
pub(crate) struct Backoff {
    rounds: u32,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { rounds: 0 }
    }

    /// Waits a little, each time longer.
    #[cold]
    pub(crate) fn wait(&mut self) {
        if self.rounds == 0 && cpus() == 1 {
            self.rounds = SPINS;
        }
        if self.rounds < SPINS {
            for _ in 0..1 << self.rounds {
                core::hint::spin_loop();
            }
        } else if self.rounds < SPINS + YIELDS {
            thread::yield_now();
        } else {
            let doubled = SHORTEST * (1 << (self.rounds - SPINS - YIELDS).min(5));
            thread::sleep(doubled.min(LONGEST));
        }
        self.rounds = self.rounds.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_may_go_on_for_ever() {
        let mut backoff = Backoff::new();
        for _ in 0..20 {
            backoff.wait();
        }
        assert_eq!(backoff.rounds, if cpus() == 1 { 20 + SPINS } else { 20 });
        backoff.rounds = u32::MAX;
        backoff.wait();
        assert_eq!(backoff.rounds, u32::MAX);
    }
}

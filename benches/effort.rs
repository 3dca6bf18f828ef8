//! How much is measured: many rounds for figures, few for CI.

use core::time::Duration;

use crate::placement::PLACES;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of every measurement.
    pub rounds: usize,
    /// How long a loop of reads or updates runs in a round.
    pub loop_time: Duration,
    /// How long a loop of waits runs in a round.
    pub wait_time: Duration,
    /// Whether each measured thread stays on its own CPU.
    pub pinned: bool,
}

impl Effort {
    /// For figures: under a minute.
    pub const FULL: Self = Self {
        rounds: 3 * PLACES,
        loop_time: Duration::from_millis(20),
        wait_time: Duration::from_millis(4),
        pinned: false,
    };
    /// For CI: whether it runs at all, in 1 to 2 seconds.
    pub const QUICK: Self = Self {
        rounds: 3,
        loop_time: Duration::from_micros(400),
        wait_time: Duration::from_micros(200),
        pinned: false,
    };
}

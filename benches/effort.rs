//! How much is measured: many rounds for figures, few for CI.

use core::time::Duration;

use crate::placement::PLACES;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Whether it is [`QUICK`](Self::QUICK).
    pub quick: bool,
    /// Whether each thread of the loops stays on its own CPU.
    pub pinned: bool,
    /// Rounds of the loops and waits.
    pub rounds: usize,
    /// How long a loop of reads or updates runs in a round.
    pub loop_time: Duration,
    /// How long a loop of waits runs in a round.
    pub wait_time: Duration,
    /// Rounds of what runs in a process of its own.
    pub probes: usize,
    /// Rounds of those that last seconds.
    pub long_probes: usize,
    /// How long such a process measures.
    pub probe_time: Duration,
    /// How long callbacks are queued flat out.
    pub flood_time: Duration,
    /// How long a reader is stalled.
    pub stall_time: Duration,
    /// Threads that only are there.
    pub idle_threads: usize,
    /// Forks in a round.
    pub forks: usize,
}

impl Effort {
    /// For figures: under three minutes.
    pub const FULL: Self = Self {
        quick: false,
        pinned: false,
        rounds: 3 * PLACES,
        loop_time: Duration::from_millis(12),
        wait_time: Duration::from_millis(4),
        probes: 3,
        long_probes: 3,
        probe_time: Duration::from_millis(400),
        flood_time: Duration::from_secs(2),
        stall_time: Duration::from_secs(1),
        idle_threads: 10_000,
        forks: 100,
    };
    /// For CI: whether it runs at all.
    pub const QUICK: Self = Self {
        quick: true,
        pinned: false,
        rounds: 3,
        loop_time: Duration::from_micros(400),
        wait_time: Duration::from_micros(200),
        probes: 1,
        long_probes: 1,
        probe_time: Duration::from_millis(20),
        flood_time: Duration::from_millis(20),
        stall_time: Duration::from_millis(40),
        idle_threads: 500,
        forks: 5,
    };
}

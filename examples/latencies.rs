//! How long something took, many times.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::{Duration, Instant};

/// Durations; `Display` gives their number, median, 99th percentile and maximum.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Runs `f` and notes how long that took.
    pub fn time<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = f();
        self.0.push(start.elapsed());
        result
    }

    /// The duration that `percent` of all are not longer than; zero if there is none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} times, median {:.1?}, 99 % {:.1?}, longest {:.1?}",
            self.0.len(),
            self.percentile(50),
            self.percentile(99),
            self.percentile(100)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_durations() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), Duration::ZERO);
        latencies.0 = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(latencies.percentile(50), Duration::from_millis(51));
        assert_eq!(latencies.percentile(99), Duration::from_millis(100));
        assert_eq!(latencies.percentile(100), Duration::from_millis(100));
        assert_eq!(latencies.time(|| 7), 7);
        assert_eq!(latencies.0.len(), 101);
    }
}

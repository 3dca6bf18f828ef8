//! Which table is in use when, as long as the user does not choose.

use std::time::Duration;

use super::table::{Arm, Backend, Hash};

/// The shares of the run in percent; the order in which they come.
const SHARES: [(Arm, u32); 4] = [
    (Arm::new(Hash::Integer, Backend::Rcu), 40),
    (Arm::new(Hash::Integer, Backend::RwLock), 40),
    (Arm::new(Hash::Std, Backend::Rcu), 10),
    (Arm::new(Hash::Std, Backend::RwLock), 10),
];

/// The table for the moment `elapsed` of a run that takes `cycle`, and when that ends. Later moments
/// begin a new cycle.
pub(super) fn at(elapsed: Duration, cycle: Duration) -> (Arm, Duration) {
    let cycle_nanos = cycle.as_nanos().max(1);
    let begin = elapsed.as_nanos() / cycle_nanos * cycle_nanos;
    let mut end = begin;
    for (arm, share) in SHARES {
        end += cycle_nanos * u128::from(share) / 100;
        if elapsed.as_nanos() < end {
            return (arm, nanos(end));
        }
    }
    (SHARES[SHARES.len() - 1].0, nanos(begin + cycle_nanos))
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_shows_every_table_in_order_and_repeats() {
        assert_eq!(SHARES.iter().map(|(_, share)| share).sum::<u32>(), 100);
        let ms = Duration::from_millis;
        let cycle = ms(10_000);
        for begin in [ms(0), ms(10_000), ms(70_000)] {
            for (from, until, arm) in [
                (0, 4000, 0),
                (3999, 4000, 0),
                (4000, 8000, 1),
                (8000, 9000, 2),
                (9000, 10_000, 3),
                (9999, 10_000, 3),
            ] {
                assert_eq!(
                    at(begin + ms(from), cycle),
                    (Arm::ALL[arm], begin + ms(until))
                );
            }
        }
    }

    #[test]
    fn odd_lengths_leave_no_gap() {
        for cycle in [0, 1, 3, 99, 101].map(Duration::from_nanos) {
            for elapsed in (0..300).map(Duration::from_nanos) {
                assert!(at(elapsed, cycle).1 > elapsed);
            }
        }
    }
}

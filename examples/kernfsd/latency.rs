//! A histogram of times with a relative error of an eighth, in constant memory.

use std::time::Duration;

/// Each power of two is cut into this many buckets.
const SPLIT_BITS: u32 = 3;
const SPLIT: u64 = 1 << SPLIT_BITS;
const BUCKETS: usize = (64 - SPLIT_BITS as usize + 1) << SPLIT_BITS;

/// How long something took, many times.
#[derive(Debug)]
pub(super) struct Latency {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    max: Duration,
}

impl Latency {
    pub(super) fn new() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            count: 0,
            max: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(time);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn max(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.max)
    }

    /// The time that `percent` of all stay below.
    pub(super) fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.buckets
            .iter()
            .position(|&count| {
                seen += count;
                seen >= rank
            })
            .map(|index| Duration::from_nanos(upper_bound(index)).min(self.max))
    }
}

/// Small numbers have a bucket each; of the others the first four bits count.
fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(SPLIT_BITS + 1);
    let place = (u64::from(shift) << SPLIT_BITS) + (nanos >> shift);
    usize::try_from(place).map_or(BUCKETS - 1, |place| place.min(BUCKETS - 1))
}

/// The largest number of a bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < SPLIT {
        return index;
    }
    let shift = (index >> SPLIT_BITS) - 1;
    let first = SPLIT + (index & (SPLIT - 1));
    (first << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_bounds_fit() {
        for nanos in (0..5000).chain([1 << 40, u64::MAX - 1, u64::MAX]) {
            let bound = upper_bound(bucket(nanos));
            assert!(
                bound >= nanos && bound - nanos <= nanos / SPLIT,
                "{nanos} {bound}"
            );
        }
    }

    #[test]
    fn percentiles() {
        let mut latency = Latency::new();
        assert_eq!((latency.percentile(50), latency.max()), (None, None));
        for nanos in 1..=1000 {
            latency.add(Duration::from_nanos(nanos));
        }
        assert_eq!(latency.count(), 1000);
        assert_eq!(latency.max(), Some(Duration::from_nanos(1000)));
        let median = latency.percentile(50).unwrap().as_nanos();
        assert!((500..=563).contains(&median), "{median}");
        assert_eq!(latency.percentile(100), latency.max());
    }
}

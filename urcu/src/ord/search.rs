//! Where a key stands among the keys of one node.
//!
//! Small keys are counted and not halved: the last one of each block of eight, then those of one block. No comparison
//! waits for the one before, nor does its load, so a search costs one miss of the cache where halving has several, and
//! no jump that is guessed wrong. Large ones are halved: fewer are compared. (By their size: of a reference that an `Ord`
//! follows twice as many are.)

/// Keys that are counted at once: a cache line of `u64`s.
const BLOCK: usize = 8;
/// More are halved first.
const BLOCKS: usize = 8;

/// How many of the keys are `before`, which is true of none behind one of which it is not.
///
/// If it is so of some (an `Ord` that is no order) the number is any up to that of the keys.
#[inline]
pub(super) fn partition_point<K>(keys: &[K], before: impl Fn(&K) -> bool) -> usize {
    if size_of::<K>() > size_of::<u64>() {
        return keys.partition_point(before);
    }
    let count = |keys: &[K]| {
        keys.iter()
            .map(|key| usize::from(before(key)))
            .sum::<usize>()
    };
    let (blocks, _) = keys.as_chunks::<BLOCK>();
    let ends_before = |block: &[K; BLOCK]| before(&block[BLOCK - 1]);
    let whole = if blocks.len() <= BLOCKS {
        let ends = blocks.iter().map(|block| usize::from(ends_before(block)));
        ends.sum()
    } else {
        blocks.partition_point(ends_before)
    };
    let at = whole * BLOCK;
    let rest = &keys[at..];
    // A length that the compiler does not know: of eight it makes a vector, bit by bit.
    at + count(&rest[..rest.len().min(BLOCK)])
}

#[cfg(test)]
mod tests {
    use super::*;

    // As in std, for each number of keys that a node can have and for each place; of small keys and of large ones.
    #[test]
    fn every_place_is_found() {
        for len in 0..=256_u64 {
            let keys: Vec<u64> = (0..len).map(|n| 2 * n).collect();
            let large: Vec<[u64; 2]> = keys.iter().map(|key| [*key, 7]).collect();
            for key in 0..=2 * len {
                let place = keys.partition_point(|k| *k < key);
                assert_eq!(partition_point(&keys, |k| *k < key), place);
                assert_eq!(partition_point(&large, |k| k[0] < key), place);
            }
        }
    }

    // What is no order leads to some place, and to no panic.
    #[test]
    fn without_an_order_a_place_is_a_place() {
        for len in 0..=256_u32 {
            let keys: Vec<u32> = (0..len).collect();
            for seed in 0..64 {
                let before = |key: &u32| (key ^ seed).count_ones().is_multiple_of(2);
                assert!(partition_point(&keys, before) <= keys.len());
                let large: Vec<[u64; 2]> = keys.iter().map(|key| [u64::from(*key), 7]).collect();
                assert!(partition_point(&large, |k| k[0].count_ones() % 2 == 0) <= keys.len());
            }
        }
    }
}

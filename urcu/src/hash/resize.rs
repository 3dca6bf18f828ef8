//! When a table grows or shrinks, and who does the work.
//!
//! # No resize is lost
//! A resize is not asked for and not announced: there is no flag "somebody sees to it" that could be left behind
//! (liburcu's `resize_initiated` is stored after the work was queued, so the worker may clear it first; then it
//! stays set, and the table stays as it is). What there is is a level: the number of entries beside the number
//! of buckets. Whoever changes the number looks at it (each time in a small table, every 256th time in a large
//! one, and whenever a bucket had to be lengthened). Then either no resize is under way, and it begins one by one
//! CAS; or one is, and it helps. A resize has no owner that could sleep: the contents move by a few buckets with
//! each update, by whoever makes it, and the one that moves the last bucket looks at the level once more; a fence on
//! each side sees to it that he sees what was counted, or who counted sees that the resize is over. So a
//! table is too small or too large only for as long as nobody updates it, and by as much as it takes
//! to look: [`slack`].
//!
//! A resize that is half done when the updates end stays half done until the next one: both tables are kept, and
//! lookups in the moved part take one step more. [`RcuHashMap::settle`](super::RcuHashMap::settle) ends it.

use crate::atomic::{Ordering, fence};
use core::ptr::NonNull;

use super::node::Node;
use super::section::Section;
use super::table::{MAX_BITS, Table};
use super::tables::Tables;
use crate::flavor::Flavor;

/// Entries for each bucket at which a table grows. Six fit; at a mean of four one bucket in nine has more, and
/// a growing table has between two and four.
const FULL: usize = 4;
/// Buckets that an update moves while a resize is under way. A table of `n` buckets is moved by `n / 4` updates,
/// and its successor has room for `4 n`.
const STEP: usize = 4;
/// From so many buckets on the entries are counted in several lines.
const LARGE: usize = 64;

/// For how many entries a table may be too small or too large.
pub(super) fn slack(buckets: usize) -> usize {
    (buckets / 4).clamp(1, 256)
}

/// The least number of bits of a table for so many entries, or the most that there are.
pub(super) const fn bits_for(entries: usize) -> u32 {
    let bits = entries.div_ceil(FULL).next_power_of_two().trailing_zeros();
    if bits < MAX_BITS { bits } else { MAX_BITS }
}

/// The most entries that a table of this size has before it grows.
pub(super) fn capacity(bits: u32) -> usize {
    FULL << bits.max(1)
}

/// The size that a table should have, if it is another.
fn better(bits: u32, entries: usize, floor: u32) -> Option<u32> {
    let buckets = 1 << bits;
    if entries > FULL * buckets {
        // A small table soon grows again.
        let step = if bits < 5 { 2 } else { 1 };
        return Some(bits_for(entries).max(bits + step));
    }
    if entries < buckets / 4 * 3 {
        // Half full, so that it is neither shrunk nor grown soon.
        let less = bits_for(2 * entries).max(floor).max(1);
        return (less < bits).then_some(less);
    }
    None
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor> Tables<K, V, F> {
    /// After an entry was counted: `line` is what the caller's line holds now; `lengthened`: the bucket is full.
    pub(super) fn changed<'g>(&'g self, line: usize, lengthened: bool, section: Section<'g>) {
        // This load is what the fence before it is for: a table whose resize is over is not seen any more, or who ended
        // it has seen what was counted.
        let Some(table) = self.current(section) else {
            return;
        };
        if table.has_next() {
            self.help(section);
        } else if lengthened || line.is_multiple_of(slack(table.len())) {
            self.consider(table);
        }
    }

    /// Begins a resize if the table should have another size, and none has begun.
    pub(super) fn consider(&self, table: &Table<Node<K, V>>) {
        #[cfg(test)]
        if self.fault.considers() {
            return;
        }
        self.begin(table);
    }

    pub(super) fn begin(&self, table: &Table<Node<K, V>>) -> bool {
        let better = better(table.bits(), self.count.sum(), self.floor);
        let (Some(bits), false) = (better, table.has_next()) else {
            return false;
        };
        if 1 << bits >= LARGE {
            self.count.spread();
        }
        table.set_next(Table::new(bits))
    }

    /// Moves a few buckets, if a resize is under way.
    pub(super) fn help<'g>(&'g self, section: Section<'g>) {
        let Some(table) = self.current(section) else {
            return;
        };
        let Some(next) = table.next(section) else {
            return;
        };
        for _ in 0..STEP {
            if table.is_moved() {
                break;
            }
            Self::retire_segments(table.move_one(next, section));
        }
        if table.is_moved() {
            self.finish(table, next);
        }
    }

    /// Everything is in the next table: it takes this one's place.
    #[cold]
    fn finish(&self, table: &Table<Node<K, V>>, next: &Table<Node<K, V>>) {
        let (old, new) = (core::ptr::from_ref(table).cast_mut(), table.next_address());
        // Release publishes what `is_moved` acquired: lookups find all copies.
        let set = self
            .table
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
        if let Ok(old) = set
            && let Some(old) = NonNull::new(old)
        {
            // SAFETY: clause 1: we replaced it, so nobody else does.
            unsafe { Self::retire_table(old) };
        }
        // Once more, also by those who were late: what was counted meanwhile only helped. The fence pairs with that of
        // an update: who counted and did not see the end of this is seen here.
        fence(Ordering::SeqCst);
        self.consider(next);
    }

    /// Ends the resizes that are under way, and those that are due.
    pub(super) fn settle<'g>(&'g self, section: Section<'g>) {
        while let Some(table) = self.current(section) {
            if table.has_next() {
                self.help(section);
            } else if !self.begin(table) && !table.has_next() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resize_leads_to_a_size_that_is_kept_for_a_while() {
        for entries in (0..5000).chain([1 << 20, (1 << 20) + 1]) {
            for bits in 1..22 {
                if let Some(new) = better(bits, entries, 1) {
                    assert_ne!(new, bits);
                    assert_eq!(better(new, entries, 1), None, "{entries} in 2^{bits}");
                }
            }
        }
    }

    #[test]
    fn the_bits_hold_the_entries() {
        for entries in 0..10_000 {
            let buckets = 1 << bits_for(entries);
            assert!(entries <= FULL * buckets);
            assert!(entries > FULL * buckets / 2 || buckets == 1);
        }
        assert_eq!(capacity(bits_for(usize::MAX)), FULL << MAX_BITS);
    }
}

//! The row of free slots: who was freed first is used first, after a rest.
//!
//! The queue of Michael and Scott ("Simple, fast, and practical non-blocking and blocking concurrent queue
//! algorithms", PODC 1996), in its form with counted pointers: slots are never freed, so a link is an index and
//! a count that makes each value of a word new. A count comes again after 2^32 changes of one word; for that to
//! harm, a thread would have to be stopped meanwhile between two instructions.
//!
//! The queue keeps one slot back, behind which the others stand; at first that is slot 0, which is never given.

use crate::atomic::{AtomicU64, Ordering};

use super::slot::Slots;

/// An index (0: none), and the count of the word it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted(u64);

impl Counted {
    fn index(self) -> u32 {
        (self.0 & u64::from(u32::MAX)) as u32 // CAST: masked
    }

    /// What follows this in the same word.
    fn then(self, index: u32) -> Self {
        let count = (self.0 >> 32).wrapping_add(1);
        Self(count << 32 | u64::from(index))
    }

    fn load(word: &AtomicU64) -> Self {
        // Acquire pairs with `replace`: who finds an index sees what was done to its slot before.
        Self(word.load(Ordering::Acquire))
    }

    fn replace(self, word: &AtomicU64, index: u32) -> bool {
        let new = self.then(index).0;
        word.compare_exchange(self.0, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// Free slots.
///
/// # Invariants
/// 1. A slot is in the row once, from `put` until `take` has given it.
#[derive(Debug)]
pub(super) struct Free {
    /// The slot that is kept back.
    head: AtomicU64,
    tail: AtomicU64,
    /// How many `take` may give, and the one that is kept back once it is one of ours.
    len: AtomicU64,
}

impl Free {
    pub(super) const fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            len: AtomicU64::new(0),
        }
    }

    /// Puts a slot at the end. The caller owns it and gives it up. Lock-free.
    pub(super) fn put<T>(&self, index: u32, slots: &Slots<T>) {
        let slot = slots.at(index);
        let end = Counted::load(&slot.next).then(0);
        // Release: who finds this end and links behind it sees a tail that has come past the slot.
        slot.next.store(end.0, Ordering::Release);
        loop {
            let tail = Counted::load(&self.tail);
            let last = slots.at(tail.index());
            let next = Counted::load(&last.next);
            if Counted::load(&self.tail) != tail {
                continue;
            }
            if next.index() != 0 {
                // Somebody linked a slot and has not moved the tail yet.
                tail.replace(&self.tail, next.index());
            } else if next.replace(&last.next, index) {
                tail.replace(&self.tail, index);
                break;
            }
        }
        self.len.fetch_add(1, Ordering::Release);
    }

    /// Takes the slot that was put first, if more than so many rest. Lock-free.
    pub(super) fn take<T>(&self, resting: u64, slots: &Slots<T>) -> Option<u32> {
        debug_assert!(resting > 0, "one is kept back");
        let less = |len| (len > resting).then(|| len - 1);
        // Acquire pairs with `put`: what is counted is linked, so for each that got through here there is one.
        self.len
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, less)
            .ok()?;
        loop {
            let head = Counted::load(&self.head);
            let tail = Counted::load(&self.tail);
            let next = Counted::load(&slots.at(head.index()).next);
            if Counted::load(&self.head) != head || next.index() == 0 {
                continue;
            }
            if head.index() == tail.index() {
                tail.replace(&self.tail, next.index());
            } else if head.replace(&self.head, next.index()) && head.index() != 0 {
                return Some(head.index());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn first_put_first_taken_and_some_rest() {
        let (free, slots) = (Free::new(), Slots::<u8>::new());
        for index in 1..=100 {
            free.put(index, &slots);
        }
        for index in 1..=90 {
            assert_eq!(free.take(10, &slots), Some(index));
        }
        assert_eq!(free.take(10, &slots), None);
        assert_eq!(free.take(9, &slots), Some(91));
    }

    // Whoever was stopped with an old word in hand finds that it is old, also when the same slot is there again.
    #[test]
    fn no_word_comes_again() {
        let (free, slots) = (Free::new(), Slots::<u8>::new());
        let mut seen = [(); 3].map(|()| std::collections::HashSet::new());
        for index in 1..=2 {
            free.put(index, &slots);
        }
        for _ in 0..1000 {
            let index = free.take(1, &slots).unwrap();
            free.put(index, &slots);
            let words = [&free.head, &free.tail, &slots.at(1).next];
            for (seen, word) in seen.iter_mut().zip(words).take(2) {
                assert!(seen.insert(word.load(Ordering::Relaxed)));
            }
            // Of slot 1 every second round.
            seen[2].insert(words[2].load(Ordering::Relaxed));
        }
        assert!(seen[2].len() >= 500, "{}", seen[2].len());
    }

    // Each slot has one owner at a time, whoever puts and takes.
    #[test]
    fn a_storm_gives_no_slot_to_two() {
        const SLOTS: u32 = 8;
        let (free, slots) = (Free::new(), Slots::<u8>::new());
        let owned: Vec<_> = (0..=SLOTS).map(|_| AtomicBool::new(false)).collect();
        for index in 1..=SLOTS {
            free.put(index, &slots);
        }
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    let mut taken = 0;
                    while taken < 30_000 {
                        let Some(index) = free.take(1, &slots) else {
                            std::thread::yield_now();
                            continue;
                        };
                        let before = owned[index as usize].swap(true, Ordering::Relaxed);
                        assert!(!before, "{index} has two owners");
                        owned[index as usize].store(false, Ordering::Relaxed);
                        free.put(index, &slots);
                        taken += 1;
                    }
                });
            }
        });
        let mut left: Vec<_> = std::iter::from_fn(|| free.take(1, &slots)).collect();
        left.sort_unstable();
        left.dedup();
        assert_eq!(left.len(), SLOTS as usize - 1);
    }
}

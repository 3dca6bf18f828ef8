//! How many entries there are, counted in lines that threads do not share while the table is large.

use crate::atomic::{AtomicPtr, AtomicUsize, Ordering};
use core::ptr;

use crate::identity;

/// Lines of a large table. Threads are numbered, and neighbours have different lines.
const LINES: usize = 8;

#[repr(align(64))]
#[derive(Debug)]
struct Line(AtomicUsize);

/// A sum of one line, and of [`LINES`] more since the table was large for the first time. Nothing is allocated
/// before the first entry.
///
/// # Invariants
/// 1. `small` is null or from `Box::into_raw`, and so is `large`; set once, freed by `Drop`.
#[derive(Debug)]
pub(super) struct Count {
    small: AtomicPtr<Line>,
    large: AtomicPtr<[Line; LINES]>,
}

impl Count {
    pub(super) const fn new() -> Self {
        Self {
            small: AtomicPtr::new(ptr::null_mut()),
            large: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Counts up or down, and gives what the caller's line holds now, modulo its size.
    pub(super) fn add(&self, change: isize) -> usize {
        // SAFETY: invariant 1.
        let line = match unsafe { self.large.load(Ordering::Acquire).as_ref() } {
            Some(large) => &large[identity::thread_id() as usize % LINES], // CAST: 64 bits
            None => self.small(),
        };
        // Relaxed: a number, nothing is reached by it. That one of two sees what the other did, who counts here or who
        // ends a resize, is for the fences of `took_effect` and `finish`.
        let change = change.cast_unsigned();
        let before = line.0.fetch_add(change, Ordering::Relaxed);
        before.wrapping_add(change)
    }

    fn small(&self) -> &Line {
        let mut at = self.small.load(Ordering::Acquire);
        if at.is_null() {
            at = install(&self.small, || Line(AtomicUsize::new(0)));
        }
        // SAFETY: invariant 1.
        unsafe { &*at }
    }

    /// The table is large from now on.
    pub(super) fn spread(&self) {
        if self.large.load(Ordering::Relaxed).is_null() {
            install(&self.large, || [const { Line(AtomicUsize::new(0)) }; LINES]);
        }
    }

    /// The sum: exact while nobody counts, otherwise off by what is counted meanwhile.
    pub(super) fn sum(&self) -> usize {
        let value = |line: &Line| line.0.load(Ordering::Relaxed).cast_signed();
        // SAFETY: invariant 1.
        let small = unsafe { self.small.load(Ordering::Acquire).as_ref() }.map_or(0, value);
        // SAFETY: invariant 1.
        let large = unsafe { self.large.load(Ordering::Acquire).as_ref() };
        let large = large.map_or(0, |lines| lines.iter().map(value).sum());
        usize::try_from(small + large).unwrap_or(0)
    }
}

/// Sets a null pointer to a box, or takes the one that was faster.
fn install<T>(at: &AtomicPtr<T>, make: impl FnOnce() -> T) -> *mut T {
    let new = Box::into_raw(Box::new(make()));
    // INVARIANT: 1. Release publishes the contents, Acquire finds those of the other.
    match at.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => new,
        Err(first) => {
            // SAFETY: from the box above, and not stored.
            drop(unsafe { Box::from_raw(new) });
            first
        }
    }
}

fn take<T>(at: &mut AtomicPtr<T>) {
    let at = core::mem::replace(at.get_mut(), ptr::null_mut());
    if !at.is_null() {
        // SAFETY: invariant 1; the pointer was replaced by null.
        drop(unsafe { Box::from_raw(at) });
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        take(&mut self.small);
        take(&mut self.large);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::tests::join;

    #[test]
    fn the_sum_is_right_before_and_after_the_count_spreads_and_never_below_zero() {
        let count = Count::new();
        assert_eq!(count.sum(), 0);
        std::thread::scope(|s| {
            let threads = [(); 4].map(|()| {
                s.spawn(|| {
                    for n in 0..1000 {
                        count.add(1);
                        if n == 500 {
                            count.spread();
                        }
                    }
                })
            });
            join(threads.into());
        });
        assert_eq!(count.sum(), 4000);
        for _ in 0..4000 {
            count.add(-1);
        }
        assert_eq!(count.sum(), 0);
        count.add(-3);
        assert_eq!(count.sum(), 0);
    }
}

//! A lock-free list that many push to and one takes whole. The kernel's `llist`.
//!
//! Push is one CAS, allocates nothing, and may run in a signal handler; take is one swap, so there is no
//! ABA. Each element carries a `queued` flag, so that pushing it twice is refused instead of making a
//! cycle (kernfs shipped that bug in 2022 and went back to a lock).

use crate::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::fmt;
use core::ops::Deref;
use core::ptr;
use std::sync::Arc;

use crate::provenance::{exposed, reloaded};

/// A value that can be on one [`Llist`] at a time.
pub struct Linked<T> {
    next: AtomicPtr<Linked<T>>,
    queued: AtomicBool,
    value: T,
}

impl<T> Linked<T> {
    /// A value on no list.
    pub const fn new(value: T) -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            queued: AtomicBool::new(false),
            value,
        }
    }

    /// Whether the value is on a list at the moment, or just being put on one.
    pub fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Acquire)
    }
}

impl<T> Deref for Linked<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Linked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked")
            .field("queued", &self.is_queued())
            .field("value", &self.value)
            .finish()
    }
}

/// What [`Llist::push`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is on a list, or another thread is just putting it on one: whoever takes it from there delivers it
    /// later than this call.
    AlreadyQueued,
    /// The list was empty: the consumer may need to be woken.
    First,
    /// The list was not empty.
    Behind,
}

/// A list of `Arc<Linked<T>>`, newest first.
///
/// # Fork
/// What another thread was just putting on the list, or had taken off it and not come to yet, stays queued in the child
/// for ever: nobody delivers it there, and a push of it says [`Pushed::AlreadyQueued`]. The list itself is whole.
///
/// ```
/// use std::sync::Arc;
/// use urcu::llist::{Linked, Llist, Pushed};
///
/// let list = Llist::new();
/// let (a, b) = (Arc::new(Linked::new(1)), Arc::new(Linked::new(2)));
/// assert_eq!(list.push(&a), Pushed::First);
/// assert_eq!(list.push(&b), Pushed::Behind);
/// assert_eq!(list.push(&a), Pushed::AlreadyQueued);
/// let taken: Vec<i32> = list.take_all().map(|element| **element).collect();
/// assert_eq!(taken, [2, 1]);
/// ```
///
/// # Invariants
/// 1. The list is made of pointers from `Arc::into_raw`, each with one count that the list owns.
/// 2. An element's `next` is written only between setting its `queued` and publishing it.
pub struct Llist<T> {
    first: AtomicPtr<Linked<T>>,
}

impl<T: Send + Sync> Llist<T> {
    /// An empty list. `const`, for statics.
    pub const fn new() -> Self {
        Self {
            first: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Puts an element on the list unless it is on one. Lock-free, no allocation, never frees:
    /// async-signal-safe, also in a handler that interrupts a push of the same element.
    pub fn push(&self, element: &Arc<Linked<T>>) -> Pushed {
        // AcqRel pairs with the consumer's swap that clears the flag: either we find it cleared, and queue
        // the element for a later delivery, or that swap comes after ours and its delivery sees all that
        // we did before this call.
        if element.queued.swap(true, Ordering::AcqRel) {
            return Pushed::AlreadyQueued;
        }
        // INVARIANT: 1.
        let raw = exposed(Arc::into_raw(Arc::clone(element)).cast_mut());
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            element.next.store(first, Ordering::Relaxed);
            // Release pairs with the Acquire of `take_all`: the link and the element are visible. SeqCst,
            // so that who pushes and then looks whether the consumer sleeps meets who does the reverse.
            match self
                .first
                .compare_exchange_weak(first, raw, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) if first.is_null() => return Pushed::First,
                Ok(_) => return Pushed::Behind,
                Err(now) => first = now,
            }
        }
    }

    /// Takes everything. Any number of threads may take; each element goes to one of them. Wait-free.
    ///
    /// The iterator clears an element's flag before it yields it, so a push during the delivery queues
    /// the element again. Dropping the iterator early drops the rest undelivered.
    pub fn take_all(&self) -> TakeAll<T> {
        TakeAll {
            next: self.first.swap(ptr::null_mut(), Ordering::SeqCst),
        }
    }

    /// Whether nothing is on the list.
    pub fn is_empty(&self) -> bool {
        self.first.load(Ordering::SeqCst).is_null()
    }
}

impl<T: Send + Sync> Default for Llist<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Llist<T> {
    fn drop(&mut self) {
        drop(TakeAll {
            next: *self.first.get_mut(),
        });
    }
}

impl<T> fmt::Debug for Llist<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Llist")
            .field(&self.first.load(Ordering::Relaxed))
            .finish()
    }
}

// SAFETY: the list holds `Arc<Linked<T>>`s, gives them to the thread that takes them, and shares `&T`.
unsafe impl<T: Send + Sync> Send for Llist<T> {}
// SAFETY: as above; all shared state is atomic.
unsafe impl<T: Send + Sync> Sync for Llist<T> {}

/// What [`Llist::take_all`] took, newest first. What is left when it is forgotten counts as queued for ever.
pub struct TakeAll<T> {
    next: *mut Linked<T>,
}

impl<T> Iterator for TakeAll<T> {
    type Item = Arc<Linked<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next.is_null() {
            return None;
        }
        let at = reloaded(self.next).cast_const();
        // SAFETY: invariant 1 of Llist; the count is ours since the swap.
        let element = unsafe { Arc::from_raw(at) };
        // The link first, the flag second: once it is cleared, a push may overwrite the link.
        self.next = element.next.load(Ordering::Relaxed);
        element.queued.swap(false, Ordering::AcqRel);
        Some(element)
    }
}

// SAFETY: the iterator owns counts of `Arc<Linked<T>>`s.
unsafe impl<T: Send + Sync> Send for TakeAll<T> {}

impl<T> Drop for TakeAll<T> {
    fn drop(&mut self) {
        /// An element's drop that panics keeps none of the others: they would count as queued for ever.
        struct Rest<'t, T>(&'t mut TakeAll<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                self.0.by_ref().for_each(drop);
            }
        }
        let rest = Rest(self);
        rest.0.by_ref().for_each(drop);
    }
}

impl<T> fmt::Debug for TakeAll<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeAll").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    // What was behind an element whose drop panicked stayed queued, so that no push could queue it again.
    #[test]
    fn an_element_that_panics_kept_the_others_queued() {
        struct Panics(bool);
        impl Drop for Panics {
            fn drop(&mut self) {
                assert!(!self.0, "as it should");
            }
        }
        let list = Llist::new();
        let kept = Arc::new(Linked::new(Panics(false)));
        list.push(&kept);
        list.push(&Arc::new(Linked::new(Panics(true))));
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(list)));
        assert!(dropped.is_err() && !kept.is_queued());
        assert_eq!(Arc::strong_count(&kept), 1);
    }

    // A change made before `push` is seen by a delivery that starts later, whatever `push` answered, and
    // the list neither loses an element nor becomes a cycle.
    #[test]
    fn a_storm_on_few_elements_loses_no_last_change() {
        const PUSHES: u64 = 50_000;
        let elements: Vec<_> = (0..3)
            .map(|_| Arc::new(Linked::new(AtomicU64::new(0))))
            .collect();
        let list = Llist::new();
        let delivered: Vec<_> = (0..3).map(|_| AtomicU64::new(0)).collect();
        let deliver = || {
            for element in list.take_all() {
                let i = elements
                    .iter()
                    .position(|e| Arc::ptr_eq(e, &element))
                    .unwrap();
                delivered[i].fetch_max(element.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        };
        std::thread::scope(|s| {
            let producers: Vec<_> = (0..2)
                .map(|_| {
                    s.spawn(|| {
                        for n in 0..PUSHES {
                            let element = &elements[(n % 3) as usize];
                            element.fetch_add(1, Ordering::Relaxed);
                            list.push(element);
                        }
                    })
                })
                .collect();
            while producers.iter().any(|p| !p.is_finished()) {
                deliver();
            }
        });
        deliver();
        for (element, delivered) in elements.iter().zip(&delivered) {
            assert_eq!(
                element.load(Ordering::Relaxed),
                delivered.load(Ordering::Relaxed)
            );
            assert_eq!(Arc::strong_count(element), 1);
            assert!(!element.is_queued());
        }
    }

    #[test]
    fn dropping_the_list_or_the_iterator_drops_every_element_once() {
        let elements: Vec<_> = (0..10).map(|n| Arc::new(Linked::new(n))).collect();
        let list = Llist::new();
        for element in &elements {
            list.push(element);
        }
        let mut taken = list.take_all();
        assert!(taken.next().is_some());
        drop(taken);
        for element in &elements[..5] {
            assert_ne!(list.push(element), Pushed::AlreadyQueued);
        }
        drop(list);
        for element in &elements {
            assert_eq!(Arc::strong_count(element), 1);
        }
    }
}

//! [`Borrowed<'g, T>`]: a shared object that a reader has found, and may keep.
//!
//! What is published as an `Arc` (in [`RcuArc`](crate::RcuArc), an [`OrdMap`](crate::OrdMap) or an index) has one
//! strong count that belongs to the place, and that the place gives up only after a grace period. So a reader
//! that finds the object inside a section may make the count greater whenever it likes: the count cannot have
//! reached zero meanwhile, and nothing like the kernel's `kref_get_unless_zero` is needed. A walk over many objects
//! pays for the count of the one that it keeps.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use std::sync::Arc;

/// A reference to an object in an `Arc`, for as long as a read section lasts; [`get`](Self::get) counts it, for
/// longer. `Copy`, one pointer.
///
/// ```
/// use std::sync::Arc;
/// use urcu::{Borrowed, Memb, RcuArc};
///
/// let p: RcuArc<String> = RcuArc::new(Arc::new("hello".to_owned()));
/// let kept = {
///     let guard = Memb::read_lock();
///     let found: Borrowed<'_, String> = p.dereference(&guard).unwrap();
///     assert_eq!(found.len(), 5); // no count
///     found.get() // one count
/// };
/// drop(p);
/// assert_eq!(*kept, "hello");
/// ```
///
/// # Invariants
/// 1. `at` came from `Arc::into_raw`, and during `'g` somebody else owns a strong count of it.
pub struct Borrowed<'g, T> {
    /// Not a `&'g T`: that could not reach the counts, which lie beside the object (its provenance ends at
    /// the object, rule A18).
    at: NonNull<T>,
    lives: PhantomData<&'g Arc<T>>,
}

// SAFETY: as `&Arc<T>`, which it stands for: it shares `&T`, and gives out `Arc<T>`s that may drop the object.
unsafe impl<T: Send + Sync> Send for Borrowed<'_, T> {}
// SAFETY: as above; it is `Copy`, so a shared one is as good as an own one.
unsafe impl<T: Send + Sync> Sync for Borrowed<'_, T> {}

impl<'g, T> Borrowed<'g, T> {
    /// # Safety
    /// 1. `at` came from `Arc::into_raw`.
    /// 2. During `'g` somebody else owns a strong count of it, and does not give it up.
    #[inline]
    pub(crate) unsafe fn new(at: NonNull<T>) -> Self {
        // INVARIANT: 1 by both clauses.
        Self {
            at,
            lives: PhantomData,
        }
    }

    /// The object with a count of its own, to be kept beyond the section. Wait-free: one atomic addition;
    /// async-signal-safe. Aborts the process at `isize::MAX` counts, as `Arc::clone` does.
    #[inline]
    pub fn get(self) -> Arc<T> {
        let at = self.at.as_ptr().cast_const();
        // SAFETY: invariant 1.
        unsafe { Arc::increment_strong_count(at) };
        // SAFETY: invariant 1; the count that was just added becomes this `Arc`'s.
        unsafe { Arc::from_raw(at) }
    }

    /// The object, for as long as the section lasts: what `Deref` gives ends with the `Borrowed`.
    #[inline]
    pub fn into_ref(self) -> &'g T {
        // SAFETY: invariant 1: the object lives during 'g.
        unsafe { self.at.as_ref() }
    }

    /// The object's address, to compare: it is that of `Arc::as_ptr`.
    pub fn as_ptr(self) -> *const T {
        self.at.as_ptr()
    }
}

/// What the caller has a count of, for code that takes what a reader found too.
impl<'g, T> From<&'g Arc<T>> for Borrowed<'g, T> {
    fn from(arc: &'g Arc<T>) -> Self {
        let at = NonNull::new(Arc::as_ptr(arc).cast_mut()).expect("an Arc is not null");
        // SAFETY: 1: `as_ptr` is what `into_raw` gives; 2: `arc` owns a count, and is borrowed for 'g.
        unsafe { Self::new(at) }
    }
}

impl<T> Deref for Borrowed<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.into_ref()
    }
}

impl<T> Clone for Borrowed<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Borrowed<'_, T> {}

impl<T: fmt::Debug> fmt::Debug for Borrowed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Borrowed").field(&**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_get_counts_and_each_count_is_given_back() {
        let arc = Arc::new(7);
        let one = Borrowed::from(&arc);
        let (two, same) = (one, one.into_ref());
        assert_eq!((*one, *two, *same, Arc::strong_count(&arc)), (7, 7, 7, 1));
        let kept = [one.get(), two.get()];
        assert_eq!(Arc::strong_count(&arc), 3);
        assert!(Arc::ptr_eq(&arc, &kept[0]) && one.as_ptr() == Arc::as_ptr(&arc));
        drop(kept);
        assert_eq!(Arc::strong_count(&arc), 1);
    }
}

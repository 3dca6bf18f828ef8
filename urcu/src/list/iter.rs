//! Walks along a list.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;

use crate::atomic::{AtomicPtr, Ordering};

use super::Ends;
use super::links::{Link, Links};
use super::node::Node;

/// A reader's walk. See [`RcuList::iter`](super::RcuList::iter).
///
/// # Invariants
/// 1. What can be reached by `to_next` are nodes of `T`, which are not freed during `'g`.
pub struct Iter<'g, T> {
    /// What leads to the next one: looked at when that is asked for, not before.
    to_next: &'g AtomicPtr<Link>,
    values: PhantomData<&'g T>,
}

// SAFETY: as `&'g T`.
unsafe impl<T: Sync> Send for Iter<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Iter<'_, T> {}

impl<'g, T> Iter<'g, T> {
    /// # Safety
    /// 1. It is the first of a list of nodes of `T`; during `'g` a read section is open, the list is not dropped, and what is
    ///    taken off it is freed after a grace period.
    pub(super) unsafe fn new(first: &'g AtomicPtr<Link>) -> Self {
        // INVARIANT: 1 by clause 1: what is reached was on the list at some moment of the section, or behind such a node, whose
        // `next` stays as it was when that was taken off.
        Self {
            to_next: first,
            values: PhantomData,
        }
    }
}

impl<'g, T> Iterator for Iter<'g, T> {
    type Item = &'g T;

    #[inline]
    fn next(&mut self) -> Option<&'g T> {
        // Acquire pairs with the store that published the node.
        let at = self.to_next.load(Ordering::Acquire);
        // SAFETY: 1: invariant 1.
        let node = unsafe { Node::<T>::of(at) }?;
        self.to_next = node.link().next();
        Some(&node.value)
    }
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self {
            to_next: self.to_next,
            values: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

/// A walk with the writer in hand. See [`RcuList::iter_locked`](super::RcuList::iter_locked).
///
/// # Invariants
/// 1. During `'w` the list of nodes of `T` does not change; from `front` to `back` there are `left` nodes. `back` is null while it is not
///    known.
pub struct WriterIter<'w, T> {
    front: *mut Link,
    back: *mut Link,
    left: usize,
    list: PhantomData<&'w T>,
}

// SAFETY: as `&'w T`: that nobody changes the list is a matter of the borrowed writer, not of the thread.
unsafe impl<T: Sync> Send for WriterIter<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for WriterIter<'_, T> {}

impl<T> WriterIter<'_, T> {
    /// # Safety
    /// 1. During the lifetime the list, which is one of nodes of `T`, does not change.
    pub(super) unsafe fn new<E: Ends>(links: &Links<E>) -> Self {
        // INVARIANT: 1 by clause 1.
        Self {
            front: links.first().load(Ordering::Relaxed),
            back: links.known_last(),
            left: links.len(),
            list: PhantomData,
        }
    }
}

impl<'w, T> Iterator for WriterIter<'w, T> {
    type Item = &'w T;

    fn next(&mut self) -> Option<&'w T> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: 1: invariant 1.
        let node = unsafe { Node::<T>::of(self.front) }?;
        self.front = node.link().after();
        Some(&node.value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> DoubleEndedIterator for WriterIter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if self.back.is_null() {
            self.back = self.front;
            for _ in 0..self.left {
                // SAFETY: 1: invariant 1.
                self.back = unsafe { Node::<T>::of(self.back) }?.link().after();
            }
        }
        // SAFETY: 1: invariant 1.
        let node = unsafe { Node::<T>::of(self.back) }?;
        self.back = node.link().before();
        Some(&node.value)
    }
}

impl<T> ExactSizeIterator for WriterIter<'_, T> {}
impl<T> FusedIterator for WriterIter<'_, T> {}

impl<T> fmt::Debug for WriterIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterIter")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

//! [`TakeAll`]: a chain that was taken off.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use crate::atomic::Ordering;
use crate::backoff::Backoff;

use super::node::Inner;
use super::{Node, Nothing};

type Raw<T> = NonNull<Inner<T>>;

/// A chain of nodes from `first` to `last`, or nothing: then both are null.
///
/// # Invariants
/// 1. The nodes are this chain's alone, but that pushes which began before may still store links of all but the last.
pub(super) struct Owned<T> {
    first: *mut Inner<T>,
    last: *mut Inner<T>,
}

impl<T> Owned<T> {
    /// The caller gives the chain up.
    pub(super) const fn new(first: *mut Inner<T>, last: *mut Inner<T>) -> Self {
        // INVARIANT: 1.
        Self { first, last }
    }

    pub(super) const fn empty() -> Self {
        Self::new(ptr::null_mut(), ptr::null_mut())
    }

    fn try_next(&mut self) -> Result<Node<T>, Nothing> {
        let node = NonNull::new(self.first).ok_or(Nothing::Empty)?;
        let mut next = ptr::null_mut();
        if self.first != self.last {
            // SAFETY: 1: invariant 1. Acquire pairs with the push that stores it.
            next = unsafe { Inner::next(node) }.load(Ordering::Acquire);
            if next.is_null() {
                return Err(Nothing::Pending);
            }
        }
        self.first = next;
        // SAFETY: 1: invariant 1: it is the last one, whose link nobody writes, or its link has just been seen.
        Ok(unsafe { Node::from_raw(node) })
    }

    fn drop_rest(&mut self) {
        while let Ok(node) = self.try_next() {
            drop(node);
        }
    }
}

impl<T> Drop for Owned<T> {
    /// Drops all, or all up to a push that is not finished: the rest is leaked.
    fn drop(&mut self) {
        /// An element's drop that panics keeps none of the others.
        struct Rest<'o, T>(&'o mut Owned<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                self.0.drop_rest();
            }
        }
        Rest(self).0.drop_rest();
    }
}

/// What [`Consumer::take_all`](super::Consumer::take_all) took, in the order of the pushes.
///
/// `next` waits at an element that is just being pushed, as [`Consumer::pop`](super::Consumer::pop) does, and so does
/// dropping it with elements left.
pub struct TakeAll<T>(Owned<T>);

// SAFETY: owns its elements.
unsafe impl<T: Send> Send for TakeAll<T> {}
// SAFETY: nothing can be done with `&TakeAll`.
unsafe impl<T: Send> Sync for TakeAll<T> {}

impl<T> TakeAll<T> {
    pub(super) fn new(chain: Owned<T>) -> Self {
        Self(chain)
    }

    /// The next element with its memory; waits as `next` does.
    pub fn next_node(&mut self) -> Option<Node<T>> {
        let mut backoff = Backoff::new();
        loop {
            match self.0.try_next() {
                Ok(node) => return Some(node),
                Err(Nothing::Empty) => return None,
                Err(Nothing::Pending) => backoff.wait(),
            }
        }
    }

    /// The next element, without waiting.
    ///
    /// # Errors
    /// There is none, or it is being pushed.
    pub fn try_next(&mut self) -> Result<T, Nothing> {
        self.0.try_next().map(Node::into_inner)
    }

    /// First and last node; gives them up.
    pub(super) fn into_chain(self) -> Option<(Raw<T>, Raw<T>)> {
        let this = ManuallyDrop::new(self);
        NonNull::new(this.0.first).zip(NonNull::new(this.0.last))
    }
}

impl<T> Iterator for TakeAll<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.next_node().map(Node::into_inner)
    }
}

impl<T> Drop for TakeAll<T> {
    fn drop(&mut self) {
        /// As in `Owned`, which would not wait.
        struct Rest<'t, T>(&'t mut TakeAll<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                while let Some(node) = self.0.next_node() {
                    drop(node);
                }
            }
        }
        let rest = Rest(self);
        while let Some(node) = rest.0.next_node() {
            drop(node);
        }
    }
}

impl<T> fmt::Debug for TakeAll<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeAll").finish_non_exhaustive()
    }
}

//! [`TakeAll`]: a chain that was taken off.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr;

use crate::atomic::Ordering;
use crate::backoff::Backoff;

use super::block;
use super::node::Inner;
use super::place::{Item, Place};
use super::{Node, Nothing};

/// An element that was taken, in its memory if it was pushed so.
pub(super) enum Element<T> {
    Value(T),
    Node(Node<T>),
}

impl<T> Element<T> {
    #[inline]
    pub(super) fn into_inner(self) -> T {
        match self {
            Self::Value(value) => value,
            Self::Node(node) => node.into_inner(),
        }
    }

    pub(super) fn into_node(self) -> Node<T> {
        match self {
            Self::Value(value) => Node::new(value),
            Self::Node(node) => node,
        }
    }
}

/// A chain of nodes and blocks from `first` to `last`, or nothing: then both are null.
///
/// # Invariants
/// 1. They are this chain's alone, but that pushes which began before may still store links of all but the last, and values
///    into slots that they have claimed.
pub(super) struct Owned<T> {
    first: *mut Item<T>,
    last: *mut Item<T>,
}

impl<T> Owned<T> {
    /// The caller gives the chain up.
    pub(super) const fn new(first: *mut Item<T>, last: *mut Item<T>) -> Self {
        // INVARIANT: 1.
        Self { first, last }
    }

    pub(super) const fn empty() -> Self {
        Self::new(ptr::null_mut(), ptr::null_mut())
    }

    fn try_next(&mut self) -> Result<Element<T>, Nothing> {
        loop {
            match Place::of(self.first) {
                Place::Nothing => return Err(Nothing::Empty),
                Place::Node(node) => {
                    let mut next = ptr::null_mut();
                    if self.first != self.last {
                        // SAFETY: 1: invariant 1. Acquire pairs with the push that stores it.
                        next = unsafe { Inner::next(node) }.load(Ordering::Acquire);
                        if next.is_null() {
                            return Err(Nothing::Pending);
                        }
                    }
                    self.first = next;
                    // SAFETY: 1: invariant 1: it is the last one, whose link nobody writes, or its link has just been
                    // seen.
                    return Ok(Element::Node(unsafe { Node::from_raw(node) }));
                }
                Place::Block(at, _) => {
                    // SAFETY: invariant 1.
                    let block = unsafe { &*at.as_ptr() };
                    // SAFETY: 1: invariant 1.
                    if let Some(value) = unsafe { block.take() } {
                        return Ok(Element::Value(value));
                    }
                    let (end, next) = match Place::of(self.last).claims_of(at) {
                        Some(claims) => (claims.claimed, ptr::null_mut()),
                        None => {
                            // Acquire pairs with the push that stores it, after `end`.
                            let next = block.next().load(Ordering::Acquire);
                            if next.is_null() {
                                return Err(Nothing::Pending);
                            }
                            (block.end(), next)
                        }
                    };
                    if block.taken() != end {
                        return Err(Nothing::Pending);
                    }
                    self.first = next;
                    // SAFETY: 1: as a node: all who claimed a slot have written it, and the link, if there will be one,
                    // has just been seen.
                    unsafe { block::free(at) };
                }
            }
        }
    }

    fn drop_rest(&mut self) {
        while let Ok(element) = self.try_next() {
            drop(element);
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

    /// The next element with memory, as of [`pop_node`](super::Consumer::pop_node); waits as `next` does.
    pub fn next_node(&mut self) -> Option<Node<T>> {
        self.next_element().map(Element::into_node)
    }

    fn next_element(&mut self) -> Option<Element<T>> {
        let mut backoff = Backoff::new();
        loop {
            match self.0.try_next() {
                Ok(element) => return Some(element),
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
        self.0.try_next().map(Element::into_inner)
    }

    /// First and last; gives them up.
    pub(super) fn into_chain(self) -> Option<(*mut Item<T>, *mut Item<T>)> {
        let this = ManuallyDrop::new(self);
        (!this.0.first.is_null()).then_some((this.0.first, this.0.last))
    }
}

impl<T> Iterator for TakeAll<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.next_element().map(Element::into_inner)
    }
}

impl<T> Drop for TakeAll<T> {
    fn drop(&mut self) {
        /// As in `Owned`, which would not wait.
        struct Rest<'t, T>(&'t mut TakeAll<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                while let Some(element) = self.0.next_element() {
                    drop(element);
                }
            }
        }
        let rest = Rest(self);
        while let Some(element) = rest.0.next_element() {
            drop(element);
        }
    }
}

impl<T> fmt::Debug for TakeAll<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeAll").finish_non_exhaustive()
    }
}

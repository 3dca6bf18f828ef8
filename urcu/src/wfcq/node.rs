//! [`Node`]: a value in the memory by which it is queued.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

use crate::atomic::{AtomicPtr, Ordering};

use super::place::Item;

/// A node's memory.
#[repr(C)]
pub(super) struct Inner<T> {
    item: Item<T>,
    value: T,
}

impl<T> Inner<T> {
    /// The link of a node, without a reference to its value.
    ///
    /// # Safety
    /// 1. The node lives during `'n`.
    pub(super) unsafe fn next<'n>(node: NonNull<Self>) -> &'n AtomicPtr<Item<T>> {
        // SAFETY: clause 1: the field is in bounds.
        let next = unsafe { &raw const (*node.as_ptr()).item.next };
        // SAFETY: clause 1.
        unsafe { &*next }
    }
}

/// A value that can be queued without an allocation; it is on no queue. One that comes out of a queue may go into the
/// next.
///
/// ```
/// use urcu::wfcq::{Node, Queue};
///
/// let (work, done) = (Queue::new(), Queue::new());
/// work.push_node(Node::new(1));
/// let mut consumer = work.consumer().unwrap();
/// while let Some(mut node) = consumer.pop_node() {
///     *node += 1;
///     done.push_node(node); // the same memory
/// }
/// assert_eq!(done.consumer().unwrap().pop(), Some(2));
/// ```
///
/// # Invariants
/// 1. The pointer came from `Box::into_raw` and is this node's alone; its `next` is null.
pub struct Node<T>(NonNull<Inner<T>>);

// SAFETY: owns a `T`, like a box.
unsafe impl<T: Send> Send for Node<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Node<T> {}

impl<T> Node<T> {
    /// Allocates.
    pub fn new(value: T) -> Self {
        let item = Item::new();
        let inner = Box::new(Inner { item, value });
        if cfg!(loom) {
            inner.item.use_first();
        }
        let inner = Box::into_raw(inner);
        // INVARIANT: 1.
        // SAFETY: `Box::into_raw` never gives null.
        Self(unsafe { NonNull::new_unchecked(inner) })
    }

    /// The value, without its memory.
    pub fn into_inner(self) -> T {
        let inner = self.into_raw();
        // SAFETY: invariant 1.
        unsafe { Box::from_raw(inner.as_ptr()) }.value
    }

    pub(super) fn into_raw(self) -> NonNull<Inner<T>> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// 1. The node came from [`into_raw`](Self::into_raw), is on no chain any more, and nobody else has it or will write its
    ///    link.
    pub(super) unsafe fn from_raw(node: NonNull<Inner<T>>) -> Self {
        // SAFETY: 1 by clause 1.
        unsafe { Inner::next(node) }.store(ptr::null_mut(), Ordering::Relaxed);
        // INVARIANT: 1.
        Self(node)
    }
}

impl<T> Deref for Node<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: invariant 1.
        unsafe { &(*self.0.as_ptr()).value }
    }
}

impl<T> DerefMut for Node<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: invariant 1.
        unsafe { &mut (*self.0.as_ptr()).value }
    }
}

impl<T> Drop for Node<T> {
    fn drop(&mut self) {
        // SAFETY: invariant 1.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<T> From<T> for Node<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&**self).finish()
    }
}

//! The nodes of an [`OrdMap`](crate::OrdMap): one allocation each, a header, then the keys, then what they lead to.
//!
//! A leaf holds up to [`LEAF`] entries, an inner node up to [`INNER`] children, each with the least key that may be
//! below it (which, of the first child, nobody looks at). Keys and values of a published node never change; the
//! pointer to a child may, see [`super`].
//!
//! Keys stand together and pointers stand together: a search touches keys only, and no byte is lost between a
//! small key and its pointer.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

use crate::atomic::{AtomicPtr, Ordering};

/// Entries in a leaf, at most: what an update copies. Tests have small nodes, so that few entries make many.
pub(super) const LEAF: usize = if cfg!(test) { 8 } else { 64 };
/// Children of an inner node, at most: what is copied when a leaf splits or goes away.
pub(super) const INNER: usize = if cfg!(test) { 8 } else { 256 };

/// The bits of a node's address that are always 0.
pub(super) const ALIGN: usize = 16;

/// The header of a node. What follows it is reached through a [`View`] or a [`Draft`].
///
/// # Invariants
/// 1. It begins an allocation of `layout(len)`. `len` keys follow at `KEYS_AT`, and at `items_at(len)` as many
///    values, if `level` is 0, or children.
/// 2. A value came from `Arc::into_raw`, with a strong count that belongs to the tree. A child is a node of the
///    level below, and never null.
/// 3. Once it is published nothing of it changes but the pointers to its children.
#[repr(C)]
pub(super) struct Node<K, T> {
    len: u16,
    /// The distance to the leaves.
    level: u16,
    holds: PhantomData<(K, *const T)>,
}

impl<K, T> Node<K, T> {
    const KEYS_AT: usize = size_of::<Self>().next_multiple_of(align_of::<K>());

    const fn items_at(len: usize) -> usize {
        (Self::KEYS_AT + len * size_of::<K>()).next_multiple_of(size_of::<usize>())
    }

    /// How a node is allocated.
    pub(super) fn layout(len: usize) -> Layout {
        let align = if align_of::<K>() > ALIGN {
            align_of::<K>()
        } else {
            ALIGN
        };
        let size = Self::items_at(len) + len * size_of::<usize>();
        Layout::from_size_align(size, align).expect("keys that fit on a stack fit into memory")
    }
}

// Values and children are laid out alike.
static_assertions::assert_eq_size!(AtomicPtr<u8>, NonNull<u8>, usize);
static_assertions::assert_eq_align!(AtomicPtr<u8>, NonNull<u8>, usize);

/// What the keys of a run lead to.
pub(super) enum Items<'a, K, T> {
    /// The values of a leaf.
    Values(&'a [NonNull<T>]),
    /// The children of a published node.
    Children(&'a [AtomicPtr<Node<K, T>>]),
    /// Children that are about to be published.
    Fresh(&'a [NonNull<Node<K, T>>]),
}

/// Keys, and what they lead to: as many.
pub(super) struct Run<'a, K, T> {
    keys: &'a [K],
    items: Items<'a, K, T>,
}

impl<'a, K, T> Run<'a, K, T> {
    pub(super) fn new(keys: &'a [K], items: Items<'a, K, T>) -> Self {
        let len = match &items {
            Items::Values(values) => values.len(),
            Items::Children(children) => children.len(),
            Items::Fresh(fresh) => fresh.len(),
        };
        assert_eq!(keys.len(), len);
        Self { keys, items }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The run before `at`, and from there on.
    #[inline]
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        let (low, high) = self.keys.split_at(at);
        let (left, right) = match self.items {
            Items::Values(values) => {
                let (left, right) = values.split_at(at);
                (Items::Values(left), Items::Values(right))
            }
            Items::Children(children) => {
                let (left, right) = children.split_at(at);
                (Items::Children(left), Items::Children(right))
            }
            Items::Fresh(fresh) => {
                let (left, right) = fresh.split_at(at);
                (Items::Fresh(left), Items::Fresh(right))
            }
        };
        (Self::new(low, left), Self::new(high, right))
    }
}

/// A node that is not freed during `'a`.
///
/// # Invariants
/// 1. During `'a` neither the node is freed nor any node that its pointers lead to, now or after a change, nor is
///    the tree's count of a value in them given up. (A read section began before the node was found, and lasts
///    for `'a`; or the tree belongs to the caller.)
pub(super) struct View<'a, K, T> {
    at: NonNull<Node<K, T>>,
    lives: PhantomData<&'a Node<K, T>>,
}

impl<K, T> Clone for View<'_, K, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, T> Copy for View<'_, K, T> {}

impl<'a, K, T> View<'a, K, T> {
    /// # Safety
    /// 1. Invariant 1 holds, and `at` is a published node, or one of a tree that was.
    #[inline]
    pub(super) unsafe fn new(at: NonNull<Node<K, T>>) -> Self {
        // INVARIANT: 1 by clause 1.
        Self {
            at,
            lives: PhantomData,
        }
    }

    pub(super) fn at(self) -> NonNull<Node<K, T>> {
        self.at
    }

    /// How many entries, or children. Never 0.
    #[inline]
    pub(super) fn len(self) -> usize {
        // SAFETY: invariant 1; the header never changes.
        unsafe { (*self.at.as_ptr()).len }.into()
    }

    #[inline]
    pub(super) fn level(self) -> u16 {
        // SAFETY: invariant 1; the header never changes.
        unsafe { (*self.at.as_ptr()).level }
    }

    #[inline]
    pub(super) fn keys(self) -> &'a [K] {
        // SAFETY: invariant 1 of `Node`: inside the allocation.
        let keys = unsafe { self.at.byte_add(Node::<K, T>::KEYS_AT) };
        // SAFETY: there are `len` of them, which never change and live for 'a.
        unsafe { core::slice::from_raw_parts(keys.cast().as_ptr(), self.len()) }
    }

    #[inline]
    pub(super) fn items(self) -> Items<'a, K, T> {
        let len = self.len();
        // SAFETY: invariant 1 of `Node`: inside the allocation.
        let items = unsafe { self.at.byte_add(Node::<K, T>::items_at(len)) };
        if self.level() == 0 {
            // SAFETY: invariant 1 of `Node`: so many values, which never change and live for 'a.
            Items::Values(unsafe { core::slice::from_raw_parts(items.cast().as_ptr(), len) })
        } else {
            // SAFETY: invariant 1 of `Node`: so many children, which are atomic and live for 'a.
            Items::Children(unsafe { core::slice::from_raw_parts(items.cast().as_ptr(), len) })
        }
    }

    pub(super) fn run(self) -> Run<'a, K, T> {
        Run::new(self.keys(), self.items())
    }

    /// The values of a leaf; `None` for an inner node.
    #[inline]
    pub(super) fn values(self) -> Option<&'a [NonNull<T>]> {
        match self.items() {
            Items::Values(values) => Some(values),
            _ => None,
        }
    }

    /// Where the pointer to a child stands.
    ///
    /// # Panics
    /// In a leaf.
    #[inline]
    pub(super) fn slot(self, index: usize) -> &'a AtomicPtr<Node<K, T>> {
        match self.items() {
            Items::Children(children) => &children[index],
            _ => unreachable!("a leaf has no children"),
        }
    }

    /// The child at the moment.
    #[inline]
    pub(super) fn child(self, index: usize) -> Self {
        // Acquire pairs with the Release that published the child: its contents are seen.
        let child = self.slot(index).load(Ordering::Acquire);
        // SAFETY: invariant 2 of `Node`.
        let child = unsafe { NonNull::new_unchecked(child) };
        // SAFETY: invariant 1.
        unsafe { Self::new(child) }
    }
}

impl<K, T> fmt::Debug for View<'_, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("View").field(&self.at).finish()
    }
}

/// Gives a node's memory back. The values and children in it are not touched.
///
/// # Safety
/// 1. `node` is a node that nobody uses any more.
pub(super) unsafe fn free<K, T>(node: NonNull<Node<K, T>>) {
    // SAFETY: clause 1: the header is initialised.
    let len = unsafe { (*node.as_ptr()).len };
    let layout = Node::<K, T>::layout(len.into());
    // SAFETY: clause 1; invariant 1 of `Node`.
    unsafe { dealloc(node.as_ptr().cast(), layout) };
}

/// A node that is being filled. Dropping it frees its memory; what is in it belongs to others until it is
/// published.
///
/// # Invariants
/// 1. `at` is ours, allocated and with a header as a node's; its first `filled` keys and items are initialised.
pub(super) struct Draft<K, T> {
    at: NonNull<Node<K, T>>,
    filled: usize,
}

impl<K: Copy, T> Draft<K, T> {
    /// A node for so many entries or children. Allocates.
    pub(super) fn new(level: u16, len: usize) -> Self {
        let layout = Node::<K, T>::layout(len);
        // SAFETY: the size is not 0: there is a header.
        let at = unsafe { alloc(layout) }.cast::<Node<K, T>>();
        let Some(at) = NonNull::new(at) else {
            handle_alloc_error(layout)
        };
        let header = Node {
            len: u16::try_from(len).expect("at most INNER"),
            level,
            holds: PhantomData,
        };
        // SAFETY: just allocated, large and aligned enough.
        unsafe { at.write(header) };
        // INVARIANT: 1.
        Self { at, filled: 0 }
    }

    pub(super) fn at(&self) -> NonNull<Node<K, T>> {
        self.at
    }

    fn len(&self) -> usize {
        // SAFETY: invariant 1: initialised.
        unsafe { (*self.at.as_ptr()).len }.into()
    }

    pub(super) fn room(&self) -> usize {
        self.len() - self.filled
    }

    /// Where key `index` stands, which need not be initialised.
    fn key_at(&self, index: usize) -> NonNull<K> {
        assert!(index < self.len());
        // SAFETY: invariant 1: inside the allocation.
        let keys = unsafe { self.at.byte_add(Node::<K, T>::KEYS_AT) }.cast::<K>();
        // SAFETY: as above: there is room for `len` keys.
        unsafe { keys.add(index) }
    }

    /// The first key.
    pub(super) fn first_key(&self) -> K {
        assert!(self.filled > 0);
        // SAFETY: initialised, as just asserted.
        unsafe { self.key_at(0).read() }
    }

    /// Gives a key that is there another value.
    pub(super) fn set_key(&mut self, index: usize, key: K) {
        assert!(index < self.filled);
        // SAFETY: it is ours; a key is `Copy`, so nothing is to be dropped.
        unsafe { self.key_at(index).write(key) };
    }

    /// Appends a run. Copies keys as bytes: nothing of the user's runs.
    ///
    /// # Panics
    /// If there is no room, or it is of the wrong kind.
    #[inline]
    pub(super) fn push(&mut self, run: &Run<'_, K, T>) {
        let count = run.len();
        if count == 0 {
            return;
        }
        assert!(count <= self.room());
        // SAFETY: invariant 1: initialised.
        let is_leaf = unsafe { (*self.at.as_ptr()).level } == 0;
        assert_eq!(is_leaf, matches!(run.items, Items::Values(_)));
        // From the slice and not from its first key: a pointer made of a reference to one reaches no further.
        let from = NonNull::from(run.keys).cast::<K>();
        // SAFETY: `count` keys there; as much room here, by the assertion; a draft overlaps nothing shared.
        unsafe {
            self.key_at(self.filled)
                .copy_from_nonoverlapping(from, count)
        };
        // SAFETY: invariant 1: inside the allocation.
        let items = unsafe { self.at.byte_add(Node::<K, T>::items_at(self.len())) };
        // SAFETY: as above: there is room for `len` items.
        let items = unsafe { items.cast::<usize>().add(self.filled) };
        match run.items {
            Items::Values(values) => {
                let from = NonNull::from(values).cast::<NonNull<T>>();
                // SAFETY: as for the keys.
                unsafe { items.cast().copy_from_nonoverlapping(from, count) };
            }
            Items::Children(children) => {
                // Relaxed: who fills holds the lock, under which they were stored.
                let children = children.iter().map(|child| child.load(Ordering::Relaxed));
                // SAFETY: clause 1: as for the keys.
                unsafe { Self::write_children(items, children) };
            }
            Items::Fresh(fresh) => {
                let children = fresh.iter().map(|child| child.as_ptr());
                // SAFETY: clause 1: as for the keys.
                unsafe { Self::write_children(items, children) };
            }
        }
        self.filled += count;
    }

    /// # Safety
    /// 1. At `at` is room for as many pointers as there are `children`, and nobody else's.
    unsafe fn write_children(at: NonNull<usize>, children: impl Iterator<Item = *mut Node<K, T>>) {
        let at = at.cast::<AtomicPtr<Node<K, T>>>();
        for (index, child) in children.enumerate() {
            // SAFETY: clause 1.
            let at = unsafe { at.add(index) };
            // SAFETY: clause 1.
            unsafe { at.write(AtomicPtr::new(child)) };
        }
    }

    /// The node, whole. It is the caller's to publish.
    ///
    /// # Panics
    /// If it is not filled.
    pub(super) fn finish(self) -> NonNull<Node<K, T>> {
        assert_eq!(self.room(), 0);
        let at = self.at;
        core::mem::forget(self);
        at
    }
}

impl<K, T> Drop for Draft<K, T> {
    fn drop(&mut self) {
        // SAFETY: clause 1 by invariant 1.
        unsafe { free(self.at) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Odd key sizes and alignments: what was pushed is found, and each item is aligned.
    fn is_laid_out<K: Copy + PartialEq + fmt::Debug>(keys: &[K]) {
        let values: Vec<u64> = (0..keys.len() as u64).collect();
        let pointers: Vec<_> = values.iter().map(NonNull::from).collect();
        let mut draft = Draft::<K, u64>::new(0, keys.len());
        draft.push(&Run::new(&keys[..1], Items::Values(&pointers[..1])));
        draft.push(&Run::new(&keys[1..], Items::Values(&pointers[1..])));
        let node = draft.finish();
        assert_eq!(node.addr().get() % ALIGN, 0);
        // SAFETY: clause 1: it is ours until it is freed below.
        let view = unsafe { View::new(node) };
        assert_eq!(
            (view.len(), view.level(), view.keys()),
            (keys.len(), 0, keys)
        );
        assert_eq!(view.values().unwrap(), pointers);
        assert!(view.keys().as_ptr().is_aligned() && view.values().unwrap().as_ptr().is_aligned());
        // SAFETY: clause 1: the views end here.
        unsafe { free(node) };
    }

    #[test]
    fn keys_of_all_shapes_are_laid_out() {
        #[derive(Clone, Copy, PartialEq, Debug)]
        #[repr(align(64))]
        struct Wide(u8);
        is_laid_out(&[1_u8, 2, 3, 4, 5]);
        is_laid_out(&[1_u16, 2, 3]);
        is_laid_out(&[1_u32, 2, 3]);
        is_laid_out(&[1_u64; 8]);
        is_laid_out(&[1_u128, 2]);
        is_laid_out(&[[7_u8; 3]; 5]);
        is_laid_out(&[(); 4]);
        is_laid_out(&[Wide(1), Wide(2)]);
    }

    #[test]
    #[should_panic(expected = "count <= self.room()")]
    fn a_draft_takes_no_more_than_it_has_room_for() {
        let value = NonNull::from(&1_u64);
        let mut draft = Draft::<u64, u64>::new(0, 1);
        draft.push(&Run::new(&[1, 2], Items::Values(&[value, value])));
    }
}

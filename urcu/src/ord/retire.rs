//! What becomes of nodes that are unpublished: one at a time after an update, or a whole tree.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::sync::Arc;

use crate::flavor::{Flavor, Memb};
use crate::head::{Callback, footprint};
use crate::home::Process;
use crate::retired_arc::{RetiredArc, arc_bytes};
use crate::ring;
use crate::worker;

use super::node::{self, Items, Node, View};

/// A node's memory, on its way to the worker.
struct Memory<K, T>(NonNull<Node<K, T>>);

// SAFETY: only its memory is given back, which any thread may do.
unsafe impl<K, T> Send for Memory<K, T> {}

impl<K, T> Memory<K, T> {
    /// # Safety
    /// 1. A grace period that began after the node was unpublished is over.
    unsafe fn free(self) {
        // SAFETY: clause 1 by our own.
        unsafe { node::free(self.0) };
    }
}

#[cfg(test)]
thread_local! {
    /// Whether retiring unwinds, for a test of what that does.
    pub(super) static UNWINDS: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
}

/// Frees a node's memory after a grace period; what is in it has moved to other nodes. Never waits.
///
/// # Safety
/// 1. The node was unpublished by the caller, who gives it up.
pub(super) unsafe fn node<F: Flavor, K: 'static, T: 'static>(at: NonNull<Node<K, T>>) {
    #[cfg(test)]
    assert!(!UNWINDS.get(), "on purpose");
    // SAFETY: clause 1: it is not freed yet.
    let len = unsafe { View::new(at) }.len();
    let layout = Node::<K, T>::layout(len);
    // SAFETY: clause 1: allocated with this layout, unpublished and ours; keys are `Copy`, pointers need no drop.
    if unsafe { ring::retire::<F::Barriers>(at.cast(), layout) } {
        return;
    }
    let memory = Memory(at);
    let free = move || {
        // SAFETY: clause 1: callbacks run after a grace period that began after they were posted.
        unsafe { memory.free() };
    };
    let callback = Callback::owning(free, layout.size());
    worker::post(&Process::<F::Barriers>::HOME, callback);
}

/// A tree that belongs to whoever has this. Dropping it frees the nodes and gives the counts of the values up.
///
/// # Invariants
/// 1. No writer reaches the tree, and nobody else frees it. When it is dropped, no reader does.
pub(super) struct Tree<K, T> {
    /// Nodes that nothing has been done with yet.
    nodes: Vec<NonNull<Node<K, T>>>,
    /// A leaf, and how many of its values are given up.
    leaf: Option<(NonNull<Node<K, T>>, usize)>,
}

// SAFETY: it owns `Arc<T>`s, and keys, which it does not touch.
unsafe impl<K: Send, T: Send + Sync> Send for Tree<K, T> {}

impl<K, T> Tree<K, T> {
    /// # Safety
    /// 1. Invariant 1 holds.
    pub(super) unsafe fn new(root: NonNull<Node<K, T>>) -> Self {
        // INVARIANT: 1 by clause 1.
        Self {
            nodes: vec![root],
            leaf: None,
        }
    }

    /// How many bytes its allocations take, the values' included.
    pub(super) fn weigh(&self) -> usize {
        // SAFETY: invariant 1: nothing is freed while `self` is borrowed.
        let views = self.nodes.iter().map(|at| unsafe { View::new(*at) });
        views.map(weigh_below).sum()
    }

    /// Takes the next value out; frees nodes on the way.
    fn next(&mut self) -> Option<Arc<T>> {
        loop {
            if let Some((at, given)) = &mut self.leaf {
                // SAFETY: invariant 1: it is freed below.
                let leaf = unsafe { View::new(*at) };
                if let Some(value) = leaf.values().and_then(|values| values.get(*given)) {
                    *given += 1;
                    // SAFETY: invariant 2 of `Node`: the tree's count, given up once.
                    return Some(unsafe { Arc::from_raw(value.as_ptr().cast_const()) });
                }
                let at = *at;
                self.leaf = None;
                // SAFETY: clause 1 by invariant 1, and it is out of the list.
                unsafe { node::free(at) };
            }
            let at = self.nodes.pop()?;
            // SAFETY: invariant 1: it is freed below, or as a leaf above.
            let node = unsafe { View::new(at) };
            if let Items::Children(children) = node.items() {
                let children = (0..children.len()).map(|index| node.child(index).at());
                self.nodes.extend(children);
                // SAFETY: clause 1 by invariant 1, and it is out of the list.
                unsafe { node::free(at) };
            } else {
                self.leaf = Some((at, 0));
            }
        }
    }
}

fn weigh_below<K, T>(node: View<'_, K, T>) -> usize {
    let own = footprint(Node::<K, T>::layout(node.len()).size());
    let below = match node.items() {
        Items::Values(values) => values.len() * footprint(arc_bytes::<T>()),
        _ => (0..node.len())
            .map(|index| weigh_below(node.child(index)))
            .sum(),
    };
    own + below
}

impl<K, T> Drop for Tree<K, T> {
    fn drop(&mut self) {
        /// Goes on where a value's `Drop` has panicked.
        struct Rest<'a, K, T>(&'a mut Tree<K, T>);
        impl<K, T> Drop for Rest<'_, K, T> {
            fn drop(&mut self) {
                while let Some(value) = self.0.next() {
                    drop(value);
                }
            }
        }
        while let Some(value) = self.next() {
            let rest = Rest(self);
            drop(value);
            core::mem::forget(rest);
        }
    }
}

/// All that was in an [`OrdMap`](crate::OrdMap) at a moment. No new reader comes to it, and old ones still may be there.
///
/// Dropping it gives the values and the nodes up after a grace period, in one callback; it looks at each leaf, to know
/// how many bytes wait.
///
/// # Invariants
/// 1. The tree is unpublished, and nobody else frees it.
#[must_use = "dropping it gives the values up after a grace period"]
pub struct DetachedMap<K, T, F = Memb>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    root: NonNull<Node<K, T>>,
    owns: PhantomData<(K, Arc<T>, F)>,
}

// SAFETY: it stands for keys and `Arc`s, whose bounds stand on the type.
unsafe impl<K, T, F> Send for DetachedMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
}
// SAFETY: nothing can be done with `&DetachedMap`.
unsafe impl<K, T, F> Sync for DetachedMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
}

impl<K, T, F> DetachedMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    /// # Safety
    /// 1. Invariant 1 holds.
    pub(super) unsafe fn new(root: NonNull<Node<K, T>>) -> Self {
        // INVARIANT: 1 by clause 1.
        Self {
            root,
            owns: PhantomData,
        }
    }

    /// Appends the values to a list, in the order of their keys, each with the map's count. The nodes are freed after a
    /// grace period as an update's are: with few values that costs no callback. Never waits.
    pub fn take_values(self, into: &mut Vec<RetiredArc<T, F>>) {
        let mut nodes = vec![self.root];
        core::mem::forget(self);
        while let Some(at) = nodes.pop() {
            // SAFETY: invariant 1: it is retired below, once.
            let view = unsafe { View::new(at) };
            match view.items() {
                Items::Values(values) => into.extend(values.iter().map(|value| {
                    // SAFETY: clause 1: invariant 2 of `Node`; the tree's count, which is given up here.
                    unsafe { RetiredArc::new(*value) }
                })),
                // The last one is popped first.
                _ => nodes.extend((0..view.len()).rev().map(|index| view.child(index).at())),
            }
            // SAFETY: clause 1: by invariant 1 unpublished, and given up: what is in it has moved.
            unsafe { node::<F, K, T>(at) };
        }
    }
}

impl<K, T, F> Drop for DetachedMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    fn drop(&mut self) {
        // SAFETY: clause 1 by invariant 1: no writer comes to it; `tree` drops it after a grace period.
        let whole = unsafe { Tree::new(self.root) };
        tree::<F, K, T>(whole);
    }
}

impl<K, T, F> fmt::Debug for DetachedMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DetachedMap").field(&self.root).finish()
    }
}

/// Gives a tree up after a grace period, on a worker. Never waits.
fn tree<F: Flavor, K, T>(tree: Tree<K, T>)
where
    K: Send + 'static,
    T: Send + Sync + 'static,
{
    let bytes = tree.weigh();
    let callback = Callback::holding(move || drop(tree), bytes);
    worker::post(&Process::<F::Barriers>::HOME, callback);
}

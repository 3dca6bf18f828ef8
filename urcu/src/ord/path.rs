//! The way from the root to where a key is or would be.

use crate::atomic::Ordering;
use core::cell::Cell;
use core::cmp;
use core::ptr::{self, NonNull};

use super::node::View;
use super::search;

/// Levels, at most. Of two neighbours below one parent the one that changed last has a quarter of a full node at
/// least, or would not fit into the other: so a node has an eighth on average, in the middle of a tree 32 children.
/// So many levels of such would have more nodes than there are addresses.
pub(super) const LEVELS: usize = 16;

/// A node, and the child or entry of it that the key leads to.
pub(super) struct Step<'a, K, T> {
    pub(super) node: View<'a, K, T>,
    pub(super) index: usize,
}

impl<K, T> Clone for Step<'_, K, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, T> Copy for Step<'_, K, T> {}

/// The steps from the root to a leaf; none in an empty map.
pub(super) struct Path<'a, K, T> {
    steps: [Option<Step<'a, K, T>>; LEVELS],
    len: usize,
    /// The last index is that of the key's entry; otherwise the entry would go there.
    found: bool,
}

impl<'a, K: Copy + Ord, T> Path<'a, K, T> {
    /// Searches. Runs the user's `Ord`.
    ///
    /// # Panics
    /// As `Ord` does.
    pub(super) fn find(root: Option<View<'a, K, T>>, key: &K) -> Self {
        let mut path = Self {
            steps: [None; LEVELS],
            len: 0,
            found: false,
        };
        let Some(mut node) = root else { return path };
        while node.level() != 0 {
            let index = child_of(node.keys(), key);
            path.push(Step { node, index });
            node = node.child(index);
        }
        let keys = node.keys();
        let index = search::partition_point(keys, |k| k.cmp(key).is_lt());
        path.found = keys.get(index).is_some_and(|k| k.cmp(key).is_eq());
        path.push(Step { node, index });
        path
    }

    fn push(&mut self, step: Step<'a, K, T>) {
        self.steps[self.len] = Some(step);
        self.len += 1;
    }
}

impl<'a, K, T> Path<'a, K, T> {
    /// How many levels the tree has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The step at a depth: 0 is the root.
    pub(super) fn step(&self, depth: usize) -> Step<'a, K, T> {
        self.steps[depth].expect("a depth of the path")
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = Step<'a, K, T>> {
        self.steps.iter().map_while(|step| *step)
    }

    /// The leaf.
    pub(super) fn leaf(&self) -> Option<Step<'a, K, T>> {
        self.len.checked_sub(1).map(|depth| self.step(depth))
    }

    pub(super) fn is_found(&self) -> bool {
        self.found
    }

    /// The key's value.
    pub(super) fn present(&self) -> Option<NonNull<T>> {
        let leaf = self.leaf().filter(|_| self.found)?;
        leaf.node.values().map(|values| values[leaf.index])
    }

    /// Whether the nodes above `depth` lead to it through their last child each.
    pub(super) fn is_rightmost(&self, depth: usize) -> bool {
        let mut above = self.steps().take(depth);
        above.all(|step| step.index + 1 == step.node.len())
    }

    /// Whether the tree still is what the path says, from its root down.
    ///
    /// By address, so nothing of the user's runs. Addresses do not deceive: what was found in a section is not
    /// freed in it, so nothing else can have come to lie there.
    pub(super) fn holds(&self, tree: Option<NonNull<super::node::Node<K, T>>>) -> bool {
        let mut expected = tree;
        for step in self.steps() {
            if expected != Some(step.node.at()) {
                return false;
            }
            expected = None;
            if step.node.level() != 0 {
                // Relaxed: under the lock all stores have happened before.
                let child = step.node.slot(step.index).load(Ordering::Relaxed);
                expected = NonNull::new(child);
            }
        }
        expected.is_none()
    }
}

/// The child where `key` is or would be. The first key of a node is no bound: who came here has passed a tighter
/// one above, or there is none.
#[inline]
pub(super) fn child_of<K: Ord>(keys: &[K], key: &K) -> usize {
    search::partition_point(&keys[1..], |k| k.cmp(key) != cmp::Ordering::Greater)
}

/// The leaf where `key` is or would be.
#[inline]
pub(super) fn leaf_of<'a, K: Ord, T>(root: View<'a, K, T>, key: &K) -> View<'a, K, T> {
    let mut node = root;
    while node.level() != 0 {
        node = node.child(child_of(node.keys(), key));
    }
    node
}

/// A search of an update that is going on, on the stack of its thread.
///
/// `Ord` may call anything, also an update of the map that it is called for. That one would succeed and make the
/// outer one start again, perhaps for ever; so it panics.
///
/// # Invariants
/// 1. `outer` is null or on the stack of this thread, below, until this one is dropped.
pub(super) struct Searching {
    map: *const (),
    outer: *const Self,
}

thread_local! {
    /// The innermost one. Nothing to drop: works also while the thread ends.
    static SEARCHES: Cell<*const Searching> = const { Cell::new(ptr::null()) };
}

impl Searching {
    /// Runs `search` for an update of `map`.
    ///
    /// # Panics
    /// If a search for an update of `map` is going on in this thread.
    #[track_caller]
    pub(super) fn within<R>(map: *const (), search: impl FnOnce() -> R) -> R {
        let outer = SEARCHES.get();
        let mut at = outer;
        while !at.is_null() {
            // SAFETY: the invariant: on the stack, below.
            let searching = unsafe { &*at };
            assert!(
                searching.map != map,
                "urcu: an OrdMap was changed by the Ord of its own keys, inside of a change"
            );
            at = searching.outer;
        }
        let this = Self { map, outer };
        SEARCHES.set(&raw const this);
        let _restored = Restored(outer);
        search()
    }
}

/// Puts the outer search back, also when the inner one unwinds.
struct Restored(*const Searching);

impl Drop for Restored {
    fn drop(&mut self) {
        SEARCHES.set(self.0);
    }
}

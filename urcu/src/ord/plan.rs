//! What an update will do: built beside the tree, then verified and published by one store.
//!
//! From the leaf upwards: new nodes take the place of old ones. One for one is a store into the parent's slot, and
//! that is the end. Otherwise (a split, a merge, a leaf that is empty) the parent is replaced too.

use core::ptr::NonNull;

use crate::atomic::{AtomicPtr, Ordering};
use crate::flavor::Flavor;

use super::node::{Draft, INNER, Items, LEAF, Node, Run, View};
use super::path::Path;
use super::retire;
use super::root::Root;

/// What to do with a key's entry.
#[derive(Clone, Copy)]
pub(super) enum Edit<T> {
    /// The value takes the place of the present one, or is added.
    Put(NonNull<T>),
    /// The entry is there, and goes.
    Remove,
}

/// A node with less than a quarter of what it could have looks for a neighbour to merge with, and takes one if
/// as much stays free: the next insertion does not split it again.
pub(super) const fn slack(full: usize) -> usize {
    full / 4
}

/// The nodes that take the place of others: none, one, or two.
struct Fresh<K, T>(Option<Draft<K, T>>, Option<Draft<K, T>>);

impl<K: Copy, T> Fresh<K, T> {
    /// Nodes for so many entries or children. What is `appended` to at its end goes on growing there, so the
    /// first one stays full; otherwise each gets half.
    fn for_len(level: u16, len: usize, appended: bool) -> Self {
        let full = full(level);
        let draft = |len: usize| (len > 0).then(|| Draft::new(level, len));
        let first = match len {
            _ if len <= full => len,
            _ if appended => full,
            _ => len / 2,
        };
        Self(draft(first), draft(len - first))
    }

    fn len(&self) -> usize {
        usize::from(self.0.is_some()) + usize::from(self.1.is_some())
    }

    fn push(&mut self, run: Run<'_, K, T>) {
        let room = self.0.as_ref().map_or(0, Draft::room);
        let room = room.min(run.len());
        let (low, high) = run.split_at(room);
        for (draft, run) in [(&mut self.0, low), (&mut self.1, high)] {
            if run.len() > 0 {
                draft.as_mut().expect("as large as what goes in").push(&run);
            }
        }
    }

    fn is_filled(&self) -> bool {
        let mut drafts = [&self.0, &self.1].into_iter().flatten();
        drafts.all(|draft| draft.room() == 0)
    }

    /// They are about to be published: no drafts any more.
    fn finish(&mut self) {
        for draft in [self.0.take(), self.1.take()].into_iter().flatten() {
            draft.finish();
        }
    }
}

fn full(level: u16) -> usize {
    if level == 0 { LEAF } else { INNER }
}

/// The old nodes of one level that go, in order, and the new ones that take their place.
struct Level<'a, K, T> {
    depth: usize,
    /// The node of the path; `None` only in an empty map.
    node: Option<View<'a, K, T>>,
    /// Neighbours that it merges with: one at most.
    left: Option<View<'a, K, T>>,
    right: Option<View<'a, K, T>>,
    /// Where the first of them stands in the parent.
    slot: usize,
    fresh: Fresh<K, T>,
}

impl<'a, K: Copy + Ord, T> Level<'a, K, T> {
    fn old(&self) -> impl Iterator<Item = View<'a, K, T>> + use<'a, K, T> {
        [self.left, self.node, self.right].into_iter().flatten()
    }

    /// One for one: the parent keeps its keys.
    fn is_exchange(&self) -> bool {
        self.old().count() == 1 && self.fresh.len() == 1
    }

    /// A level for a node that will have `len` entries or children, without new nodes yet.
    fn with_neighbour(path: &Path<'a, K, T>, depth: usize, len: usize) -> Self {
        let node = (path.len() > 0).then(|| path.step(depth).node);
        let mut this = Self {
            depth,
            node,
            left: None,
            right: None,
            slot: 0,
            fresh: Fresh(None, None),
        };
        let Some(above) = depth.checked_sub(1).map(|above| path.step(above)) else {
            return this;
        };
        this.slot = above.index;
        let full = full(above.node.level() - 1);
        if len == 0 || len >= slack(full) {
            return this;
        }
        let has_room = |index: usize| {
            let neighbour = (index < above.node.len()).then(|| above.node.child(index))?;
            (neighbour.len() + len <= full - slack(full)).then_some(neighbour)
        };
        if let Some(right) = has_room(above.index + 1) {
            this.right = Some(right);
        } else if let Some(left) = above.index.checked_sub(1).and_then(has_room) {
            this.left = Some(left);
            this.slot = above.index - 1;
        }
        this
    }

    fn neighbours_len(&self) -> usize {
        let len = |view: Option<View<'a, K, T>>| view.map_or(0, View::len);
        len(self.left) + len(self.right)
    }

    /// The new leaves, filled.
    fn of_leaf(path: &Path<'a, K, T>, key: K, edit: Edit<T>) -> Self {
        let Some(leaf) = path.leaf() else {
            let mut this = Self::with_neighbour(path, 0, 1);
            this.fresh = Fresh::for_len(0, 1, false);
            if let Edit::Put(value) = edit {
                this.fresh.push(Run::new(&[key], Items::Values(&[value])));
            }
            return this;
        };
        let replaced = usize::from(path.is_found());
        let added = usize::from(matches!(edit, Edit::Put(_)));
        let len = leaf.node.len() - replaced + added;
        let depth = path.len() - 1;
        let mut this = Self::with_neighbour(path, depth, len);
        let appended = leaf.index == leaf.node.len() && path.is_rightmost(depth);
        this.fresh = Fresh::for_len(0, len + this.neighbours_len(), appended);
        let (before, rest) = leaf.node.run().split_at(leaf.index);
        let (_, after) = rest.split_at(replaced);
        if let Some(left) = this.left {
            this.fresh.push(left.run());
        }
        this.fresh.push(before);
        if let Edit::Put(value) = edit {
            this.fresh.push(Run::new(&[key], Items::Values(&[value])));
        }
        this.fresh.push(after);
        if let Some(right) = this.right {
            this.fresh.push(right.run());
        }
        this
    }

    /// The level above one that is no exchange. Its nodes are filled under the lock: until then, others may change
    /// the children that stay.
    fn above(path: &Path<'a, K, T>, below: &Self) -> Self {
        let depth = below.depth - 1;
        let node = path.step(depth).node;
        let stays = node.len() - below.old().count();
        let len = stays + below.fresh.len();
        let mut this = Self::with_neighbour(path, depth, len);
        if depth == 0 && len == 1 {
            return this; // its only child becomes the root
        }
        let appended = below.slot == stays && path.is_rightmost(depth);
        this.fresh = Fresh::for_len(node.level(), len + this.neighbours_len(), appended);
        this
    }

    /// Fills the new inner nodes.
    fn fill(&mut self, path: &Path<'a, K, T>, below: &Self) {
        let (Some(node), true) = (self.node, self.fresh.len() > 0) else {
            return;
        };
        if let Some(left) = self.left {
            self.fresh.push(left.run());
        }
        let (before, rest) = node.run().split_at(below.slot);
        let (_, after) = rest.split_at(below.old().count());
        // The first new child has the bound of the first old one, the second one its own first key.
        let bound = node.keys()[below.slot];
        let stays = before.len() + after.len();
        self.fresh.push(before);
        match &below.fresh {
            Fresh(Some(first), None) => {
                let nodes = [first.at()];
                self.fresh.push(Run::new(&[bound], Items::Fresh(&nodes)));
            }
            Fresh(Some(first), Some(second)) => {
                let (keys, nodes) = ([bound, second.first_key()], [first.at(), second.at()]);
                self.fresh.push(Run::new(&keys, Items::Fresh(&nodes)));
            }
            Fresh(None, _) => {}
        }
        self.fresh.push(after);
        if let Some(right) = self.right {
            self.fresh.push(right.run());
        }
        // The first key of the right one of two was no bound in its old node; between the two it is, and what it
        // has to be stands above.
        let joint = match (self.left, self.right) {
            (Some(left), _) => left.len(),
            (_, Some(_)) => stays + below.fresh.len(),
            (None, None) => return,
        };
        let above = path.step(self.depth - 1).node;
        if let Fresh(Some(merged), None) = &mut self.fresh {
            merged.set_key(joint, above.keys()[self.slot + 1]);
        }
    }

    /// Whether the neighbours still are where they were found.
    fn holds(&self, path: &Path<'a, K, T>) -> bool {
        let neighbour = |view: Option<View<'a, K, T>>, slot: usize| {
            view.is_none_or(|view| {
                let above = path.step(self.depth - 1).node;
                // Relaxed: under the lock all stores have happened before.
                above.slot(slot).load(Ordering::Relaxed) == view.at().as_ptr()
            })
        };
        neighbour(self.left, self.slot) && neighbour(self.right, self.slot + 1)
    }
}

/// Where the highest new node goes.
enum Top<'a, K, T> {
    /// Into the parent's slot.
    Slot(&'a AtomicPtr<Node<K, T>>),
    /// Into the map's root; nothing, if the map becomes empty.
    Root(Option<NonNull<Node<K, T>>>),
    /// Under a new root, which makes the tree a level higher.
    Grown(Draft<K, T>),
    /// The root has one child left, an old one. That is the root now; or if it has a single child, that one, and
    /// so on.
    Shrunk(View<'a, K, T>, usize),
}

/// An update, ready to be published.
pub(super) struct Plan<'p, 'a, K, T> {
    path: &'p Path<'a, K, T>,
    leaf: Level<'a, K, T>,
    /// What a split or a merge brings with it, upwards.
    above: Vec<Level<'a, K, T>>,
    top: Top<'a, K, T>,
}

impl<'p, 'a, K: Copy + Ord + 'static, T: 'static> Plan<'p, 'a, K, T> {
    /// Copies and allocates what will be published. Nothing of the user's runs.
    pub(super) fn new(path: &'p Path<'a, K, T>, key: K, edit: Edit<T>) -> Self {
        let leaf = Level::of_leaf(path, key, edit);
        let mut above: Vec<Level<'a, K, T>> = Vec::new();
        loop {
            let highest = above.last().unwrap_or(&leaf);
            let top = if highest.depth == 0 {
                let below = match above.as_slice() {
                    [] => None,
                    [_] => Some(&leaf),
                    [.., below, _] => Some(below),
                };
                new_root(highest, below)
            } else if highest.is_exchange() {
                Top::Slot(path.step(highest.depth - 1).node.slot(highest.slot))
            } else {
                let next = Level::above(path, highest);
                above.push(next);
                continue;
            };
            return Self {
                path,
                leaf,
                above,
                top,
            };
        }
    }

    /// Publishes the update if the tree still is what it was planned for. Then the new nodes are the tree's, with the
    /// value, and the old ones are given out; otherwise nothing has happened.
    pub(super) fn commit(mut self, root: &Root<K, T>) -> Option<Replaced<'a, K, T>> {
        let locked = root.lock();
        let mut levels = core::iter::once(&self.leaf).chain(&self.above);
        if !self.path.holds(locked.tree()) || !levels.all(|level| level.holds(self.path)) {
            return None; // the lock first, the drafts then
        }
        let below = self.fill();
        let (mut new, mut passed) = (below, None);
        match &self.top {
            Top::Slot(_) => {}
            Top::Root(only) => new = *only,
            Top::Grown(draft) => new = Some(draft.at()),
            Top::Shrunk(old, kept) => {
                let first = old.child(*kept);
                let last = below_single_children(first);
                new = Some(last.at());
                passed = Some((first, last.at()));
            }
        }
        // The last that may unwind.
        let slot = self.finish();
        match (slot, new) {
            (Some(slot), Some(new)) => {
                // Release pairs with the Acquire of `View::child`: who finds the node sees what is in it.
                slot.store(new.as_ptr(), Ordering::Release);
                drop(locked);
            }
            // SAFETY: clause 1: a filled node, or a node of the tree as it was.
            _ => unsafe { locked.publish(new) },
        }
        Some(Replaced::Levels(Levels {
            leaf: self.leaf,
            above: self.above,
            passed,
        }))
    }

    /// Fills all new inner nodes; gives the highest one.
    fn fill(&mut self) -> Option<NonNull<Node<K, T>>> {
        let mut below = &self.leaf;
        for level in &mut self.above {
            level.fill(self.path, below);
            below = level;
        }
        if let (Top::Grown(root), Fresh(Some(first), Some(second))) = (&mut self.top, &below.fresh)
        {
            let (keys, nodes) = (
                [first.first_key(), second.first_key()],
                [first.at(), second.at()],
            );
            root.push(&Run::new(&keys, Items::Fresh(&nodes)));
            assert_eq!(root.room(), 0);
        }
        let mut levels = core::iter::once(&self.leaf).chain(&self.above);
        assert!(levels.all(|level| level.fresh.is_filled()));
        let highest = self.above.last().unwrap_or(&self.leaf);
        highest.fresh.0.as_ref().map(Draft::at)
    }

    /// Gives all drafts up. The slot that the highest new node goes into; `None` if it is the root.
    fn finish(&mut self) -> Option<&'a AtomicPtr<Node<K, T>>> {
        for level in core::iter::once(&mut self.leaf).chain(&mut self.above) {
            level.fresh.finish();
        }
        match core::mem::replace(&mut self.top, Top::Root(None)) {
            Top::Slot(slot) => return Some(slot),
            Top::Grown(root) => _ = root.finish(),
            Top::Root(_) | Top::Shrunk(..) => {}
        }
        None
    }
}

/// Where a tree became lower: the nodes with a single child, from the first down to the second, which is the root now.
type Passed<'a, K, T> = (View<'a, K, T>, NonNull<Node<K, T>>);

/// What an update has taken out of the tree, and nobody owns any more. Dropping it leaks.
#[must_use = "nodes that are not retired leak"]
pub(super) enum Replaced<'a, K, T> {
    /// By an [`exchange`](super::exchange).
    Leaf(View<'a, K, T>),
    /// By a plan.
    Levels(Levels<'a, K, T>),
}

/// What a [`Plan`] has replaced.
pub(super) struct Levels<'a, K, T> {
    leaf: Level<'a, K, T>,
    above: Vec<Level<'a, K, T>>,
    passed: Option<Passed<'a, K, T>>,
}

impl<K: Copy + Ord + 'static, T: 'static> Replaced<'_, K, T> {
    /// Frees the old nodes after a grace period.
    pub(super) fn retire<F: Flavor>(self) {
        let all = match self {
            Self::Leaf(old) => {
                // SAFETY: clause 1: its place is another one's; only we have done that.
                return unsafe { retire::node::<F, K, T>(old.at()) };
            }
            Self::Levels(all) => all,
        };
        if let Some((mut passed, root)) = all.passed {
            while passed.at() != root {
                let next = passed.child(0);
                // SAFETY: clause 1: it was between the old root and the new one; only we have unpublished it.
                unsafe { retire::node::<F, K, T>(passed.at()) };
                passed = next;
            }
        }
        for level in core::iter::once(all.leaf).chain(all.above) {
            for old in level.old() {
                // SAFETY: clause 1: its parent points elsewhere, or is retired itself; only we have done that.
                unsafe { retire::node::<F, K, T>(old.at()) };
            }
        }
    }
}

/// What becomes of the root where the path's nodes are all replaced, up to it.
fn new_root<'a, K: Copy + Ord, T>(
    root: &Level<'a, K, T>,
    below: Option<&Level<'a, K, T>>,
) -> Top<'a, K, T> {
    match (&root.fresh, root.node, below) {
        (Fresh(Some(_), Some(_)), node, _) => {
            let level = node.map_or(0, View::level);
            Top::Grown(Draft::new(level + 1, 2))
        }
        (Fresh(Some(only), None), ..) => Top::Root(Some(only.at())),
        // The last leaf is empty.
        (Fresh(None, _), None, _) | (Fresh(None, _), _, None) => Top::Root(None),
        // The root would have one child, a new one or an old one; or none.
        (Fresh(None, _), Some(node), Some(below)) => match &below.fresh.0 {
            Some(only) => Top::Root(Some(only.at())),
            None if node.len() == below.old().count() => Top::Root(None),
            None if below.slot == 0 => Top::Shrunk(node, node.len() - 1),
            None => Top::Shrunk(node, 0),
        },
    }
}

fn below_single_children<K, T>(mut view: View<'_, K, T>) -> View<'_, K, T> {
    while view.level() != 0 && view.len() == 1 {
        view = view.child(0);
    }
    view
}

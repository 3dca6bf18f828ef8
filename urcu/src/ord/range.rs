//! Scans: [`Range`], which goes on by key.

use core::cmp;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ops::Bound;
use core::ptr::{self, NonNull};

use crate::borrowed::Borrowed;
use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;

use super::OrdMap;
use super::node::{INNER, Node, View};
use super::path::{LEVELS, child_of};
use super::search::partition_point;

/// The entries of an [`OrdMap`] in a range of keys, in order, as [`OrdMap::range`] gives them.
///
/// Holds one leaf as it was when the scan came to it. At its end the scan searches the map anew for the key at
/// which the leaf's share of the keys ended, see the argument in the source.
pub struct Range<'g, K, T, F = Memb>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    map: &'g OrdMap<K, T, F>,
    section: PhantomData<&'g Guard<'g, F>>,
    /// What is left of the leaf.
    keys: &'g [K],
    values: &'g [NonNull<T>],
    /// Where the next leaf begins; `None` when there is none.
    next: Option<Bound<K>>,
    /// How the last search came to its leaf.
    way: Way<K, T>,
    end: Bound<K>,
}

impl<'g, K, T, F> Range<'g, K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    pub(super) fn new(
        map: &'g OrdMap<K, T, F>,
        start: Bound<K>,
        end: Bound<K>,
        _section: &'g Guard<'_, F>,
    ) -> Self {
        Self {
            map,
            section: PhantomData,
            keys: &[],
            values: &[],
            next: Some(start),
            way: Way::new(),
            end,
        }
    }

    /// Goes to the leaf at `start`. If the comparisons panic the scan stays where it was.
    fn enter(&mut self, start: Bound<K>) {
        let mut way = self.way;
        // SAFETY: clause 1: the section lasts for 'g, and began before this load.
        let root = unsafe { self.map.view() };
        let Some(place) = root.and_then(|root| seek(root, &start, &mut way)) else {
            self.next = None;
            return;
        };
        let Place {
            leaf,
            index,
            behind,
        } = place;
        let keys = leaf.keys();
        let stop = match &self.end {
            Bound::Unbounded => keys.len(),
            end => partition_point(keys, |key| !is_beyond(key, end)),
        };
        let stop = stop.min(share(keys, behind.as_ref()));
        let behind = behind.filter(|behind| !is_beyond(behind, &self.end));
        // Behind a range that is the wrong way round there is nothing.
        let here = index.min(stop)..stop;
        self.keys = &keys[here.clone()];
        self.values = leaf.values().map_or(&[], |values| &values[here]);
        self.next = behind.map(Bound::Included);
        self.way = way;
    }
}

/// How a search came to its leaf: inner nodes, from the root down, and which child of each. So the next one can
/// tell whether it gets further.
///
/// The next search is for a greater key. In a node that both come through it takes the same child or one behind, for
/// the keys of a node never change; and behind in that of which the key is. Where they come to different nodes one
/// took the other's place meanwhile: somebody has changed the map. So a search that gets no further has been led
/// astray by an `Ord` that is no order; who stops there has an end.
pub(super) struct Way<K, T> {
    nodes: [*const Node<K, T>; LEVELS],
    children: [u8; LEVELS],
}

static_assertions::const_assert!(INNER <= 1 << u8::BITS);

impl<K, T> Clone for Way<K, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, T> Copy for Way<K, T> {}

impl<K, T> Way<K, T> {
    /// Of no search yet: each gets further.
    pub(super) fn new() -> Self {
        Self {
            nodes: [ptr::null(); LEVELS],
            children: [0; LEVELS],
        }
    }

    /// Goes to a child, where all was the same so far. Whether that is `Greater` than what the last search did, the
    /// same, or before it.
    fn go(&mut self, depth: usize, node: View<'_, K, T>, child: usize) -> cmp::Ordering {
        let at = node.at().as_ptr().cast_const();
        let child = child as u8; // CAST: less than INNER
        let last = (self.nodes[depth], self.children[depth]);
        (self.nodes[depth], self.children[depth]) = (at, child);
        if last.0 == at {
            child.cmp(&last.1)
        } else {
            cmp::Ordering::Greater
        }
    }
}

/// Whether a key is behind the end of a range.
fn is_beyond<K: Ord>(key: &K, end: &Bound<K>) -> bool {
    match end {
        Bound::Included(end) => key.cmp(end).is_gt(),
        Bound::Excluded(end) => key.cmp(end).is_ge(),
        Bound::Unbounded => false,
    }
}

/// How many keys of a leaf are in its share, as the path to it had it.
///
/// All of them, but where an inner node on the path was frozen, its last child was not, and a neighbour's share has
/// come to that child meanwhile. The path's share ends where it did; what follows is the next search's to find.
pub(super) fn share<K: Ord>(keys: &[K], behind: Option<&K>) -> usize {
    match (behind, keys.last()) {
        (Some(behind), Some(last)) if last.cmp(behind).is_ge() => {
            keys.partition_point(|key| key.cmp(behind).is_lt())
        }
        _ => keys.len(),
    }
}

/// A place in a leaf.
pub(super) struct Place<'g, K, T> {
    pub(super) leaf: View<'g, K, T>,
    /// Of the first entry that is not before the place; the leaf's length if there is none in it.
    pub(super) index: usize,
    /// The least key that is not the leaf's: other leaves have it, and those behind it.
    pub(super) behind: Option<K>,
}

/// The leaf that has `start`, and the place in it. `None` if that gets no further than the search before it.
pub(super) fn seek<'g, K: Copy + Ord, T>(
    root: View<'g, K, T>,
    start: &Bound<K>,
    way: &mut Way<K, T>,
) -> Option<Place<'g, K, T>> {
    let (mut node, mut behind) = (root, None);
    let mut progress = cmp::Ordering::Equal;
    for depth in 0.. {
        if node.level() == 0 {
            break;
        }
        let index = match start {
            Bound::Included(key) | Bound::Excluded(key) => child_of(node.keys(), key),
            Bound::Unbounded => 0,
        };
        progress = progress.then(way.go(depth, node, index));
        behind = node.keys().get(index + 1).copied().or(behind);
        node = node.child(index);
    }
    if progress.is_lt() || (progress.is_eq() && root.level() != 0) {
        return None;
    }
    let keys = node.keys();
    let index = match start {
        Bound::Included(start) => partition_point(keys, |key| key.cmp(start).is_lt()),
        Bound::Excluded(start) => partition_point(keys, |key| key.cmp(start).is_le()),
        Bound::Unbounded => 0,
    };
    Some(Place {
        leaf: node,
        index,
        behind,
    })
}

impl<'g, K, T, F> Iterator for Range<'g, K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    type Item = (K, Borrowed<'g, T>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let ([key, keys @ ..], [value, values @ ..]) = (self.keys, self.values) {
                (self.keys, self.values) = (keys, values);
                // SAFETY: 1: invariant 2 of `Node`; 2: the map's count, which outlasts the section, and the borrow
                // keeps the map from being dropped.
                return Some((*key, unsafe { Borrowed::new(*value) }));
            }
            self.enter(self.next?);
        }
    }
}

impl<K, T, F> FusedIterator for Range<'_, K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
}

impl<K, T, F> Clone for Range<'_, K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<K, T, F> fmt::Debug for Range<'_, K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range")
            .field("left_in_leaf", &self.keys.len())
            .finish_non_exhaustive()
    }
}

//! An update that replaces one leaf by one, as most do: above it nothing changes but a pointer.
//!
//! [`super::plan`] does the others, and could do these too. It keeps account of levels, neighbours and a new root; where
//! there are none that costs more than the copy of the leaf.

use crate::atomic::Ordering;

use super::node::{Draft, Items, LEAF, Run, View};
use super::path::Path;
use super::plan::{Edit, slack};
use super::root::Root;

/// What became of an update.
pub(super) enum Exchange<'a, K, T> {
    /// It is published. This leaf is out of the tree, and nobody owns it any more.
    Done(View<'a, K, T>),
    /// Nothing has happened: the tree is not what the path says any more.
    Late,
    /// Nothing has happened: it is for a [`Plan`](super::plan::Plan). The leaf would be the first one, too full, empty,
    /// or so sparse that it may be merged.
    Unfit,
}

/// Replaces the leaf of a path, if that is all. Nothing of the user's runs.
pub(super) fn exchange<'a, K: Copy + Ord, T>(
    path: &Path<'a, K, T>,
    key: K,
    edit: &Edit<T>,
    root: &Root<K, T>,
) -> Exchange<'a, K, T> {
    let Some(leaf) = path.leaf() else {
        return Exchange::Unfit;
    };
    let replaced = usize::from(path.is_found());
    let added = usize::from(matches!(edit, Edit::Put(_)));
    let len = leaf.node.len() - replaced + added;
    let above = path.len().checked_sub(2).map(|depth| path.step(depth));
    let least = above.map_or(1, |_| slack(LEAF));
    if !(least..=LEAF).contains(&len) {
        return Exchange::Unfit;
    }
    let mut draft = Draft::new(0, len);
    let (before, rest) = leaf.node.run().split_at(leaf.index);
    let (_, after) = rest.split_at(replaced);
    draft.push(&before);
    if let Edit::Put(value) = edit {
        draft.push(&Run::new(&[key], Items::Values(&[*value])));
    }
    draft.push(&after);
    let locked = root.lock();
    if !path.holds(locked.tree()) {
        return Exchange::Late; // the lock is given back first, the draft is freed then
    }
    // The last that may unwind.
    let new = draft.finish();
    match above {
        Some(above) => {
            // Release pairs with the Acquire of `View::child`: who finds the leaf sees what is in it.
            let slot = above.node.slot(above.index);
            slot.store(new.as_ptr(), Ordering::Release);
            drop(locked);
        }
        // SAFETY: clause 1: a filled leaf.
        None => unsafe { locked.publish(Some(new)) },
    }
    Exchange::Done(leaf.node)
}

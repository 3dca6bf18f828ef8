//! Removed nodes whose memory waits to be a node again: the kernel's cache of `kernfs_node`s.
//!
//! A worker of urcu gives removed nodes up, another thread makes new ones. Through the allocator each block of these
//! would be freed by one processor and wanted by another one, and they would meet at the allocator's lock: that cost
//! as much as all the rest of making and removing a node. So the worker brings them here, and who makes a node takes
//! one, with what it allocates for itself.
//!
//! A spare node holds its tree, and so the tree would hold itself: removal of the root closes this.

use core::fmt;
use core::mem;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// So many are kept: about 1 MiB. In a millisecond, the pace of the workers, half as many are made and removed.
pub(crate) const MOST: usize = 4096;

/// Spare nodes `N` of a tree, those that came back and are not yet at hand.
pub(crate) struct Spares<N> {
    /// A leaf among the locks. Only [`close`](Self::close) waits for it: in the child of a fork, where removal is
    /// refused, it may be held for ever.
    back: Mutex<Back<N>>,
    /// Here and at hand.
    kept: AtomicUsize,
}

struct Back<N> {
    nodes: Vec<Arc<N>>,
    is_closed: bool,
}

/// Spare nodes at hand: they belong to the tree lock.
pub(crate) struct AtHand<N>(Vec<Arc<N>>);

impl<N> Spares<N> {
    pub(crate) fn new() -> Self {
        Self {
            back: Mutex::new(Back {
                nodes: Vec::new(),
                is_closed: false,
            }),
            kept: AtomicUsize::new(0),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// How many more are kept.
    pub(crate) fn room(&self) -> usize {
        MOST.saturating_sub(self.len())
    }

    /// Keeps nodes of which nobody else has a count; if it cannot, they are dropped.
    pub(crate) fn keep(&self, nodes: &mut Vec<Arc<N>>) {
        if let Ok(mut back) = self.back.try_lock()
            && !back.is_closed
        {
            self.kept.fetch_add(nodes.len(), Ordering::Relaxed);
            back.nodes.append(nodes);
        }
        nodes.clear(); // with the lock given back: what a drop does is not ours
    }

    /// Gives one out.
    pub(crate) fn take(&self, at_hand: &mut AtHand<N>) -> Option<Arc<N>> {
        if at_hand.0.is_empty()
            && self.len() > 0
            && let Ok(mut back) = self.back.try_lock()
        {
            mem::swap(&mut at_hand.0, &mut back.nodes);
        }
        let node = at_hand.0.pop()?;
        self.kept.fetch_sub(1, Ordering::Relaxed);
        Some(node)
    }

    /// From now on keeps none. Those that it kept: to be dropped outside of all locks.
    pub(crate) fn close(&self, at_hand: &mut AtHand<N>) -> Vec<Arc<N>> {
        let mut nodes = mem::take(&mut at_hand.0);
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        back.is_closed = true;
        nodes.append(&mut back.nodes);
        self.kept.fetch_sub(nodes.len(), Ordering::Relaxed);
        nodes
    }
}

impl<N> AtHand<N> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }
}

impl<N> fmt::Debug for Spares<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spares").field(&self.len()).finish()
    }
}

impl<N> fmt::Debug for AtHand<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AtHand").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Weak;

    fn nodes(count: usize) -> (Vec<Arc<u8>>, Vec<Weak<u8>>) {
        let nodes: Vec<_> = (0..count).map(|_| Arc::new(0)).collect();
        let weak = nodes.iter().map(Arc::downgrade).collect();
        (nodes, weak)
    }

    fn alive(weak: &[Weak<u8>]) -> usize {
        weak.iter().filter(|node| node.strong_count() > 0).count()
    }

    #[test]
    fn what_is_kept_is_given_out_once_and_counted() {
        let (spares, mut at_hand) = (Spares::new(), AtHand::new());
        assert!(spares.take(&mut at_hand).is_none());
        let (mut first, weak) = nodes(3);
        spares.keep(&mut first);
        assert_eq!((first.len(), spares.len(), spares.room()), (0, 3, MOST - 3));
        let one = spares.take(&mut at_hand).unwrap();
        let (mut more, _) = nodes(2);
        spares.keep(&mut more);
        let others: Vec<_> = core::iter::from_fn(|| spares.take(&mut at_hand)).collect();
        assert_eq!((others.len(), spares.len()), (4, 0));
        let mut places: Vec<_> = others.iter().chain([&one]).map(Arc::as_ptr).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!((places.len(), alive(&weak)), (5, 3));
    }

    // A spare node holds the tree that holds it.
    #[test]
    fn what_comes_after_the_end_is_dropped() {
        let (spares, mut at_hand) = (Spares::new(), AtHand::new());
        let (mut first, weak) = nodes(4);
        spares.keep(&mut first);
        drop(spares.take(&mut at_hand));
        let all = spares.close(&mut at_hand);
        assert_eq!((all.len(), spares.len(), alive(&weak)), (3, 0, 3));
        drop(all);
        let (mut late, more) = nodes(2);
        spares.keep(&mut late);
        assert_eq!((alive(&weak), alive(&more)), (0, 0));
        assert!(spares.take(&mut at_hand).is_none() && spares.len() == 0);
    }

    // Who holds the lock may be another thread of the process that this one was forked from.
    #[test]
    fn nobody_waits_for_who_keeps() {
        let (spares, mut at_hand) = (Spares::new(), AtHand::new());
        let (mut first, weak) = nodes(2);
        spares.keep(&mut first);
        let held = spares.back.lock().unwrap();
        assert!(spares.take(&mut at_hand).is_none());
        let (mut late, more) = nodes(2);
        spares.keep(&mut late);
        drop(held);
        assert_eq!((alive(&weak), alive(&more)), (2, 0));
        assert!(spares.take(&mut at_hand).is_some());
    }
}

//! Iteration in one read section: in the order of the hashes, so that one number says how far it has come,
//! whatever the tables do meanwhile.

use core::fmt;
use core::iter::FusedIterator;

use super::bucket::{Bucket, SLOTS};
use super::node::{Hash, Node};
use super::section::Section;
use super::tables::Tables;
use crate::flavor::{Flavor, Memb};

/// The entries of a [`RcuHashMap`](super::RcuHashMap), in no order that means anything. Made by
/// [`iter`](super::RcuHashMap::iter), where it stands what it may see.
pub struct Iter<'g, K, V, F = Memb>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    F: Flavor,
{
    tables: &'g Tables<K, V, F>,
    section: Section<'g>,
    /// What is left of the bucket that the iteration is in.
    segment: Option<Bucket<'g, Node<K, V>>>,
    slot: usize,
    /// The hashes of that bucket that are its to tell.
    first: Hash,
    last: Hash,
    /// Where the next bucket's begin; `None` behind the greatest hash.
    next: Option<Hash>,
}

impl<'g, K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor> Iter<'g, K, V, F> {
    pub(super) fn new(tables: &'g Tables<K, V, F>, section: Section<'g>) -> Self {
        Self {
            tables,
            section,
            segment: None,
            slot: 0,
            first: Hash(0),
            last: Hash(0),
            next: Some(Hash(0)),
        }
    }

    /// The next entry of the bucket. Slots are read each once, and the bucket was not moved when it was
    /// entered: what is in it then stays in its slot, or is what it was when the bucket was moved.
    fn next_in_bucket(&mut self) -> Option<&'g Node<K, V>> {
        while let Some(segment) = self.segment {
            while self.slot < SLOTS {
                let entry = segment.entry(self.slot, self.section);
                self.slot += 1;
                // A bucket of a smaller table has hashes that were told before, and copies of what is still
                // to be found in the larger one.
                if let Some(node) = entry
                    && (self.first..=self.last).contains(&node.hash)
                {
                    return Some(node);
                }
            }
            self.slot = 0;
            self.segment = segment.next(self.section);
        }
        None
    }

    /// Goes to the bucket that has the next hash: in the first table in which it is not moved. The bucket tells
    /// the hashes that it shares with all those passed on the way.
    fn enter_next(&mut self) -> Option<()> {
        self.first = self.next?;
        let mut table = self.tables.current(self.section)?;
        self.last = Hash(u64::MAX);
        loop {
            let bucket = table.bucket_of(self.first);
            self.last = self.last.min(table.last_of(self.first));
            if !bucket.word().is_moved() {
                self.segment = Some(bucket);
                self.next = self.last.0.checked_add(1).map(Hash);
                return Some(());
            }
            table = table.next(self.section)?;
        }
    }

    /// The next node.
    pub(super) fn next_node(&mut self) -> Option<&'g Node<K, V>> {
        loop {
            if let Some(node) = self.next_in_bucket() {
                return Some(node);
            }
            self.enter_next()?;
        }
    }
}

impl<'g, K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor> Iterator
    for Iter<'g, K, V, F>
{
    type Item = (&'g K, &'g V);

    fn next(&mut self) -> Option<Self::Item> {
        let node = self.next_node()?;
        Some((&node.key, &node.value))
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor> FusedIterator
    for Iter<'_, K, V, F>
{
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor> Clone for Iter<'_, K, V, F> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<K, V, F> fmt::Debug for Iter<'_, K, V, F>
where
    K: fmt::Debug + Send + Sync + 'static,
    V: fmt::Debug + Send + Sync + 'static,
    F: Flavor,
{
    /// The entries that are left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

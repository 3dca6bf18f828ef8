//! The entries of a directory: an ordered index that readers search without a lock.
//!
//! Two levels, copy on write: an array of chunks, each a sorted array of at most 64 entries. A change
//! copies one chunk and the array above it, and publishes the new array; the old one is freed by RCU. So a
//! lookup is two binary searches in memory that never changes, and a change costs O(64 + n/64).
//!
//! Keys are `name hash << 32 | low half of the id`: order and offsets of a directory listing. To be
//! replaced by an ordered map of `urcu` that copies less in huge directories.

use core::fmt;
use std::sync::Arc;

use urcu::{Guard, RcuLocked, Writer};

/// Entries in a chunk, at most.
const FULL: usize = 64;
/// A chunk this small is put together with a neighbour.
const SMALL: usize = 16;

/// A directory's entries. Changed with the tree's [`Writer`] only.
pub(crate) struct Children<T: Send + Sync + 'static>(RcuLocked<Index<T>>);

/// One state of the directory. Immutable.
struct Index<T> {
    /// Never empty, nor is a chunk; ordered by the first key.
    chunks: Vec<(u64, Arc<Chunk<T>>)>,
}

type Chunk<T> = Vec<(u64, Arc<T>)>;

impl<T> Index<T> {
    /// The chunk where `key` is or would be.
    fn chunk_of(&self, key: u64) -> usize {
        self.chunks
            .partition_point(|(first, _)| *first <= key)
            .saturating_sub(1)
    }

    /// The entries from `key` on.
    fn from(&self, key: u64) -> impl Iterator<Item = (u64, &Arc<T>)> {
        let at = self.chunk_of(key);
        let skip = self.chunks[at].1.partition_point(|(k, _)| *k < key);
        let all = self.chunks[at..].iter().flat_map(|(_, chunk)| chunk.iter());
        all.skip(skip).map(|(key, value)| (*key, value))
    }

    /// A copy of the index with chunks `range` replaced.
    fn with(&self, range: core::ops::Range<usize>, new: impl Iterator<Item = Chunk<T>>) -> Self {
        let new = new.map(|chunk| (chunk[0].0, Arc::new(chunk)));
        let mut chunks = Vec::with_capacity(self.chunks.len() + 1);
        chunks.extend_from_slice(&self.chunks[..range.start]);
        chunks.extend(new);
        chunks.extend_from_slice(&self.chunks[range.end..]);
        Self { chunks }
    }
}

impl<T: Send + Sync + 'static> Children<T> {
    /// An empty directory of the tree that `writer` changes.
    pub(crate) fn new(writer: &Writer) -> Self {
        Self(RcuLocked::null(writer))
    }

    /// The entries from `key` on, in order, as they are at this moment.
    pub(crate) fn from<'g>(
        &'g self,
        key: u64,
        guard: &'g Guard<'_>,
    ) -> impl Iterator<Item = (u64, &'g Arc<T>)> {
        let index = self.0.dereference(guard);
        index.into_iter().flat_map(move |index| index.from(key))
    }

    /// The same for who holds the writer.
    pub(crate) fn get_from<'w>(
        &'w self,
        key: u64,
        writer: &'w Writer,
    ) -> impl Iterator<Item = (u64, &'w Arc<T>)> {
        let index = self.0.get(writer);
        index.into_iter().flat_map(move |index| index.from(key))
    }

    /// Adds an entry. `false` if there is one with this key.
    pub(crate) fn insert(&self, writer: &mut Writer, key: u64, value: Arc<T>) -> bool {
        let new = match self.0.get(writer) {
            None => Index {
                chunks: vec![(key, Arc::new(vec![(key, value)]))],
            },
            Some(index) => {
                let at = index.chunk_of(key);
                let old = &index.chunks[at].1;
                let Err(position) = old.binary_search_by_key(&key, |(k, _)| *k) else {
                    return false;
                };
                let mut low = Vec::with_capacity(old.len() + 1);
                low.extend_from_slice(&old[..position]);
                low.push((key, value));
                low.extend_from_slice(&old[position..]);
                let high = (low.len() > FULL).then(|| low.split_off(FULL / 2));
                index.with(at..at + 1, core::iter::once(low).chain(high))
            }
        };
        self.0.assign(writer, new);
        true
    }

    /// Takes an entry out. `false` if there is none.
    pub(crate) fn remove(&self, writer: &mut Writer, key: u64) -> bool {
        let Some(index) = self.0.get(writer) else {
            return false;
        };
        let at = index.chunk_of(key);
        let old = &index.chunks[at].1;
        let Ok(position) = old.binary_search_by_key(&key, |(k, _)| *k) else {
            return false;
        };
        let mut rest = Vec::with_capacity(old.len());
        rest.extend_from_slice(&old[..position]);
        rest.extend_from_slice(&old[position + 1..]);
        let mut range = at..at + 1;
        // Small chunks go into their right neighbour (the last one into its left), where there is room.
        if rest.len() < SMALL {
            let room = |i: usize| index.chunks.get(i).filter(|(_, c)| c.len() < FULL - SMALL);
            if let Some((_, right)) = room(at + 1) {
                rest.extend_from_slice(right);
                range.end += 1;
            } else if let Some((_, left)) = at.checked_sub(1).and_then(room) {
                rest.splice(0..0, left.iter().cloned());
                range.start -= 1;
            }
        }
        let rest = Some(rest).filter(|rest| !rest.is_empty());
        let new = index.with(range, rest.into_iter());
        if new.chunks.is_empty() {
            drop(self.0.take(writer));
        } else {
            self.0.assign(writer, new);
        }
        true
    }

    /// Takes all entries out.
    pub(crate) fn clear(&self, writer: &mut Writer) {
        drop(self.0.take(writer));
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Children<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = urcu::Memb::read_lock();
        f.debug_list()
            .entries(self.from(0, &guard).map(|(key, _)| key))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use urcu::Memb;

    /// xorshift; the sequence is the same in every run.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn behaves_like_a_btreemap() {
        let mut writer = Writer::new();
        let children = Children::new(&writer);
        let mut model = BTreeMap::new();
        let mut state = 42;
        for step in 0..20_000_u64 {
            let key = random(&mut state) % 2000;
            // First it grows, then it shrinks to nothing.
            if random(&mut state) % 20_000 > step {
                let new = model.insert(key, step).is_none();
                assert_eq!(children.insert(&mut writer, key, Arc::new(step)), new);
                if !new {
                    model.insert(key, **children.get_from(key, &writer).next().unwrap().1);
                }
            } else {
                let had = model.remove(&key).is_some();
                assert_eq!(children.remove(&mut writer, key), had);
            }
            if step % 100 == 0 {
                let guard = Memb::read_lock();
                for from in [0, key, key + 1, 1999, 2000] {
                    let found = children.from(from, &guard).map(|(k, v)| (k, **v));
                    assert!(found.eq(model.range(from..).map(|(k, v)| (*k, *v))));
                }
                if let Some(index) = children.0.dereference(&guard) {
                    assert!(index.chunks.iter().all(|(first, c)| *first == c[0].0));
                    assert!(index.chunks.iter().all(|(_, c)| c.len() <= FULL));
                }
            }
        }
        for key in 0..2000 {
            children.remove(&mut writer, key);
        }
        assert!(children.0.is_null());
    }

    #[test]
    fn small_chunks_are_put_together() {
        let mut writer = Writer::new();
        let children = Children::new(&writer);
        for key in 0..1000 {
            children.insert(&mut writer, key, Arc::new(()));
        }
        for key in (0..1000).filter(|key| key % 50 != 0) {
            children.remove(&mut writer, key);
        }
        let chunks = children.0.get(&writer).unwrap().chunks.len();
        assert!(chunks <= 4, "{chunks} chunks for 20 entries");
    }

    #[test]
    fn entries_are_dropped_exactly_once() {
        let mut writer = Writer::new();
        let children = Children::new(&writer);
        let value = Arc::new(());
        for key in 0..500 {
            children.insert(&mut writer, key, value.clone());
        }
        for key in 0..250 {
            children.remove(&mut writer, key);
        }
        children.clear(&mut writer);
        Memb::barrier();
        assert_eq!(Arc::strong_count(&value), 1);
    }
}

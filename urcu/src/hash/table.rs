//! [`Table`]: an array of buckets, and the next table while a resize is under way.

use crate::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use core::ptr::{self, NonNull};
use std::alloc::{self, Layout};

use super::bucket::{Bucket, Further, Line, Locked, SLOTS, Spares};
use super::node::{Hash, Node};
use super::section::Section;

/// An array of 2^`bits` buckets. The top bits of a hash choose one, so bucket `i` has a range of hashes, and in a
/// table of twice the size buckets `2i` and `2i + 1` share it.
///
/// # Invariants
/// 1. `lines` and `words` are arrays of so many, in memory from the global allocator at `memory` with `layout`.
/// 2. `next` is null, or from `Box::into_raw` and set once; it is retired after this table.
/// 3. While a bucket is not moved, what it holds is not in the next table, unless somebody copies it just now,
///    or has died in the middle of that (see [`lock`](Self::lock)).
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Table<N> {
    words: NonNull<AtomicU64>,
    lines: NonNull<Line<N>>,
    bits: u32,
    next: AtomicPtr<Table<N>>,
    memory: NonNull<u8>,
    /// Not on the line that lookups read.
    progress: Progress,
}

/// How far the contents have moved to the next table.
#[repr(align(64))]
#[derive(Debug, Default)]
struct Progress {
    /// The next bucket to look at, modulo their number: the second time round there may be some whose mover was
    /// slow, or is not in this process.
    cursor: AtomicUsize,
    moved: AtomicUsize,
}

// SAFETY: a table is memory that all threads share; what is in it is atomic. Its nodes are `Send` and `Sync`,
// which stands on the map.
unsafe impl<N: Send + Sync> Send for Table<N> {}
// SAFETY: as above.
unsafe impl<N: Send + Sync> Sync for Table<N> {}

/// So many and more have no table: 2^57 buckets of 64 bytes are the address space.
pub(super) const MAX_BITS: u32 = 56;

impl<N> Table<N> {
    /// A table of 2^`bits` empty buckets, at least 2.
    pub(super) fn new(bits: u32) -> Box<Self> {
        let bits = bits.clamp(1, MAX_BITS);
        let layout = Self::layout(bits);
        // SAFETY: the layout is not of size 0.
        let Some(memory) = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }) else {
            alloc::handle_alloc_error(layout);
        };
        let offset = memory.align_offset(align_of::<Line<N>>());
        // SAFETY: the layout has room for what the alignment takes.
        let lines = unsafe { memory.add(offset) }.cast::<Line<N>>();
        // SAFETY: the layout has room for the words behind the lines.
        let words = unsafe { lines.add(1 << bits) }.cast();
        // INVARIANT: 1: all-zero bytes are empty buckets.
        Box::new(Self {
            words,
            lines,
            bits,
            next: AtomicPtr::new(ptr::null_mut()),
            memory,
            progress: Progress::default(),
        })
    }

    /// Not with the alignment of a bucket: allocators give zeroed memory of large alignment by writing zeros, and
    /// of small alignment as the kernel maps it.
    fn layout(bits: u32) -> Layout {
        let align = align_of::<u128>();
        let bucket = size_of::<Line<N>>() + size_of::<AtomicU64>();
        let bytes = (bucket << bits) + align_of::<Line<N>>() - align;
        Layout::from_size_align(bytes, align).expect("no machine has such a table")
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// The number of buckets.
    pub(super) fn len(&self) -> usize {
        1 << self.bits
    }

    /// The bytes of the array.
    pub(super) fn bytes(&self) -> usize {
        Self::layout(self.bits).size() + size_of::<Self>()
    }

    #[inline]
    pub(super) fn index_of(&self, hash: Hash) -> usize {
        (hash.0 >> (u64::BITS - self.bits)) as usize // CAST: 64 bits
    }

    /// The greatest hash in the bucket of this one.
    pub(super) fn last_of(&self, hash: Hash) -> Hash {
        Hash(hash.0 | u64::MAX >> self.bits)
    }

    /// The bucket of a hash.
    #[inline]
    pub(super) fn bucket_of(&self, hash: Hash) -> Bucket<'_, N> {
        self.bucket(self.index_of(hash))
    }

    #[inline]
    pub(super) fn bucket(&self, index: usize) -> Bucket<'_, N> {
        debug_assert!(index < self.len());
        // SAFETY: invariant 1; the index has `bits` bits.
        let word = unsafe { self.words.add(index) };
        // SAFETY: invariant 1; words are only shared.
        let word = unsafe { word.as_ref() };
        // SAFETY: invariant 1; the index has `bits` bits.
        let line = unsafe { self.lines.add(index) };
        // SAFETY: invariant 1; lines are only shared, but in `take_nodes`.
        let line = unsafe { line.as_ref() };
        Bucket::new(word, line)
    }

    fn line_mut(&mut self, index: usize) -> &mut Line<N> {
        debug_assert!(index < self.len());
        // SAFETY: invariant 1.
        let mut at = unsafe { self.lines.add(index) };
        // SAFETY: invariant 1; the table is borrowed exclusively.
        unsafe { at.as_mut() }
    }

    /// The table that the contents move to.
    #[inline]
    pub(super) fn next<'g>(&self, _section: Section<'g>) -> Option<&'g Self> {
        // Acquire: pairs with `set_next`, the table is initialised.
        let at = self.next.load(Ordering::Acquire);
        // SAFETY: invariant 2; the section holds back what is retired in it.
        unsafe { at.as_ref() }
    }

    pub(super) fn has_next(&self) -> bool {
        !self.next.load(Ordering::Relaxed).is_null()
    }

    /// Begins a resize, unless one has begun.
    pub(super) fn set_next(&self, next: Box<Self>) -> bool {
        let next = Box::into_raw(next);
        let set =
            self.next
                .compare_exchange(ptr::null_mut(), next, Ordering::AcqRel, Ordering::Relaxed);
        if set.is_err() {
            // SAFETY: from the box above, and not stored.
            drop(unsafe { Box::from_raw(next) });
        }
        set.is_ok()
    }

    /// The pointer to the next table, as it came from its box.
    pub(super) fn next_address(&self) -> *mut Self {
        self.next.load(Ordering::Acquire)
    }

    /// Whether everything is in the next table.
    pub(super) fn is_moved(&self) -> bool {
        // Acquire: pairs with `count_moved`, so that whoever publishes the next table publishes its contents.
        self.progress.moved.load(Ordering::Acquire) >= self.len()
    }

    fn count_moved(&self) {
        self.progress.moved.fetch_add(1, Ordering::AcqRel);
    }

    /// The bucket that somebody should move next.
    fn turn(&self) -> usize {
        let turn = self.progress.cursor.fetch_add(1, Ordering::Relaxed);
        let index = turn & (self.len() - 1);
        if index == 0 && turn != 0 {
            self.look_round();
        }
        index
    }

    /// Each time round: if all buckets are marked, that is known without those who have not come to count theirs,
    /// because they lost their processor or are not in this process. All or nothing: a part that is counted here
    /// would be counted once more by its movers, and the table be taken for moved too early.
    #[cold]
    fn look_round(&self) {
        // Acquire in `word`, Release here, Acquire in `is_moved`: the copies are visible to who publishes them.
        if (0..self.len()).all(|i| self.bucket(i).word().is_moved()) {
            self.progress.moved.fetch_max(self.len(), Ordering::AcqRel);
        }
    }
}

impl<K, V> Table<Node<K, V>> {
    /// Locks the bucket of a hash; `None` if it was moved.
    ///
    /// What a thread that is not in this process was copying out of it is cleaned up first. It had the lock since
    /// before the fork, so the bucket has not changed since it began to copy, and the copies are known by their
    /// addresses. Without that the entry could be removed here, and its copy would be left to dangle.
    pub(super) fn lock<'g>(
        &'g self,
        index: usize,
        section: Section<'g>,
    ) -> Option<Locked<'g, Node<K, V>>> {
        let locked = self.bucket(index).lock()?;
        if locked.deserted
            && let Some(next) = self.next(section)
        {
            self.purge(index, next, section);
        }
        Some(locked)
    }

    /// Takes everything out of the next table that is in this bucket, too.
    #[cold]
    pub(super) fn purge<'g>(&'g self, index: usize, next: &'g Self, section: Section<'g>) {
        // Without a list of them: locks are held, and the allocator may be the user's.
        let bucket = self.bucket(index);
        let is_here = |at| {
            bucket
                .places(section)
                .any(|place| place.node.as_ptr() == at)
        };
        for target in self.targets(index, next) {
            if let Some(mut target) = next.bucket(target).lock() {
                target.purge(is_here, section);
            }
        }
    }

    /// The same for the owner of all tables.
    pub(super) fn purge_deserted<'g>(&'g self, section: Section<'g>) {
        let Some(next) = self.next(section) else {
            return;
        };
        for index in 0..self.len() {
            let word = self.bucket(index).word();
            if word.is_locked() && !word.is_moved() {
                self.purge(index, next, section);
            }
        }
    }

    /// The buckets of the next table that share hashes with this one.
    fn targets(&self, index: usize, next: &Self) -> core::ops::Range<usize> {
        if next.bits >= self.bits {
            let shift = next.bits - self.bits;
            index << shift..(index + 1) << shift
        } else {
            let index = index >> (self.bits - next.bits);
            index..index + 1
        }
    }

    /// Moves one bucket's contents, unless that is done. Gives its further segments up: the first one, see
    /// [`Locked::set_moved`].
    ///
    /// Memory for segments is got while no lock is held: the allocator may be the user's.
    pub(super) fn move_one<'g>(
        &'g self,
        next: &'g Self,
        section: Section<'g>,
    ) -> *mut Further<Node<K, V>> {
        let index = self.turn();
        let mut spares = Spares::new();
        loop {
            let Some(locked) = self.lock(index, section) else {
                return ptr::null_mut();
            };
            match self.copy(index, next, &mut spares, section) {
                Ok(()) => {
                    let further = locked.set_moved();
                    self.count_moved();
                    return further;
                }
                Err(short) => {
                    drop(locked);
                    spares.extend((0..short).map(|_| Box::new(Further::new())));
                }
            }
        }
    }

    /// Copies a locked bucket's pointers. With too few spares nothing is copied, and it says how many are missing.
    pub(super) fn copy<'g>(
        &'g self,
        index: usize,
        next: &'g Self,
        spares: &mut Spares<Node<K, V>>,
        section: Section<'g>,
    ) -> Result<(), usize> {
        let bucket = self.bucket(index);
        let going_to = |target: usize| {
            let places = bucket.places(section);
            let nodes = places.map(move |place| (place.node, place.get(section).hash));
            nodes.filter(move |&(_, hash)| next.index_of(hash) == target)
        };
        // A bucket of the next table is not moved before this table is, so it can be locked. In a larger table
        // nobody else goes to it yet, and the room stays what it is; in a smaller one there is one target.
        let lock = |target| next.bucket(target).lock().expect("moved in turn");
        let targets = self.targets(index, next);
        let mut locked = (targets.len() == 1).then(|| lock(targets.start));
        let missing = |target: usize| {
            let room = next.bucket(target).room(section);
            let too_many = going_to(target).count().saturating_sub(room);
            too_many.div_ceil(SLOTS)
        };
        let missing: usize = targets.clone().map(missing).sum();
        if missing > spares.len() {
            return Err(missing - spares.len());
        }
        for target in targets {
            let mut locked = locked.take().unwrap_or_else(|| lock(target));
            let mut from = locked.bucket();
            for (node, hash) in going_to(target) {
                // SAFETY: clause 1: as it came from the slot here, which will not be looked at again.
                let put = unsafe { locked.put(&mut from, node, hash.tag(), spares, section) };
                debug_assert!(put, "counted above");
            }
        }
        Ok(())
    }
}

impl<N> Table<N> {
    /// Takes the nodes of a bucket out, unless they are in the next table: their pointers came from
    /// `Box::into_raw`.
    pub(super) fn take_nodes(&mut self, index: usize, mut take: impl FnMut(NonNull<N>)) {
        if self.bucket(index).word().is_moved() {
            return;
        }
        let mut take_all = |line: &mut Line<N>| {
            (0..SLOTS)
                .filter_map(|slot| NonNull::new(line.take_node(slot)))
                .for_each(&mut take);
            line.take_further()
        };
        let mut further = take_all(self.line_mut(index));
        while !further.is_null() {
            // SAFETY: invariant 3 of `Line`: from `Box::into_raw`, and out of the table.
            let mut segment = unsafe { Box::from_raw(further) };
            further = take_all(segment.line_mut());
        }
    }
}

impl<N> Drop for Table<N> {
    fn drop(&mut self) {
        // SAFETY: invariant 1. Nodes and segments are not the table's: `take_nodes`.
        unsafe { alloc::dealloc(self.memory.as_ptr(), Self::layout(self.bits)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::tests::Plain;
    use crate::tests::libc_calls::fork_and_wait;
    use crate::{Memb, RcuHashMap};

    type Map = RcuHashMap<u64, u64, Plain>;

    /// A map of 64 keys, and its table, from which a resize has just begun.
    fn with_resize(test: impl FnOnce(&Map, &Table<Node<u64, u64>>, Section<'_>)) {
        let map = Map::with_hasher(Plain);
        let guard = Memb::read_lock();
        (0..64).for_each(|key| drop(map.insert(key, key, &guard)));
        map.settle(&guard);
        let section = Section::of(&guard);
        let table = map.tables.current(section).unwrap();
        assert!(table.len() >= 8 && table.set_next(Table::new(table.bits() + 1)));
        test(&map, table, section);
        map.settle(&guard);
        assert!((0..64).all(|key| map.get(&key, &guard) == Some(&key)));
        assert_eq!((map.iter(&guard).count(), map.len()), (64, 64));
    }

    /// A mover that has marked its bucket and not counted it yet.
    fn mark_one(table: &Table<Node<u64, u64>>, section: Section<'_>) {
        let (next, index) = (table.next(section).unwrap(), table.turn());
        let locked = table.lock(index, section).unwrap();
        table
            .copy(index, next, &mut Spares::new(), section)
            .unwrap();
        assert!(locked.set_moved().is_null());
    }

    // In a forked child the marks were counted, and a live mover then counted its own once more: the table was
    // taken for moved with a bucket left, whose entries were gone.
    #[test]
    fn a_mover_in_a_child_counted_what_was_counted_for_it() {
        with_resize(|_, table, section| {
            // Two threads that the child has not have got their turns.
            let (_, _) = (table.turn(), table.turn());
            let status = fork_and_wait(|| {
                let next = table.next(section).unwrap();
                (2..table.len() - 1).for_each(|_| assert!(table.move_one(next, section).is_null()));
                mark_one(table, section);
                assert!(table.move_one(next, section).is_null());
                table.count_moved();
                assert!(!table.is_moved(), "a bucket is left");
            });
            assert_eq!(status, 0);
        });
    }

    // `settle` turned round and round, without a pause and inside its section, until who had marked the last bucket
    // came to count it.
    #[test]
    fn settle_waited_for_a_mover_that_had_lost_its_processor() {
        with_resize(|map, table, section| {
            mark_one(table, section);
            map.settle(&Memb::read_lock());
            assert!(table.is_moved());
            table.count_moved();
            assert!(table.is_moved());
        });
    }
}

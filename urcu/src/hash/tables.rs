//! [`Tables`]: what a map is without a hasher. How entries are found, put in, replaced and taken out.
//!
//! An update looks the key up first, in its section and without a lock, so that the user's `Eq` runs where
//! nothing is held. Then it takes the bucket's lock and asks only whether what it found still holds: the slot
//! still has the same node (the section keeps its address from being used again), or every node with the same
//! 64 bits of hash is one that was compared and found unequal. If not, it looks again; each such turn is
//! another update's success on that key.

use crate::atomic::{AtomicPtr, Ordering, fence};
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use super::bucket::{Bucket, Further, Locked, Place, Spares, Word};
use super::count::Count;
use super::node::{Hash, Node};
use super::resize;
use super::section::Section;
use super::table::Table;
use crate::flavor::{Domain, Flavor};
use crate::retire::Retired;

/// # Invariants
/// 1. `table` is null or from `Box::into_raw`, and is retired after it was replaced by its `next`.
/// 2. Each entry of the map is in the bucket in charge of its hash: of this table, or of those that follow.
pub(super) struct Tables<K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor> {
    pub(super) table: AtomicPtr<Table<Node<K, V>>>,
    pub(super) count: Count,
    /// Never fewer buckets than 2^this.
    pub(super) floor: u32,
    #[cfg(test)]
    pub(super) fault: super::fault::Fault,
    owns: PhantomData<Box<Node<K, V>>>,
    flavor: PhantomData<F>,
}

/// The table whose bucket of a hash is not moved, the bucket, and the word that said so.
type InCharge<'g, N> = (&'g Table<N>, Bucket<'g, N>, Word);

/// What an update found when it looked.
pub(super) struct Spot<'g, K, V> {
    table: &'g Table<Node<K, V>>,
    hash: Hash,
    found: Found<'g, K, V>,
}

enum Found<'g, K, V> {
    Here(Place<'g, Node<K, V>>),
    /// The nodes with the same hash, which are others.
    Nowhere(Vec<NonNull<Node<K, V>>>),
}

/// What [`Tables::store`] did.
pub(super) struct Stored<'g, K, V> {
    pub(super) new: &'g Node<K, V>,
    /// Given up by the table: from `Box::into_raw`, and found by nobody any more.
    pub(super) old: Option<NonNull<Node<K, V>>>,
}

impl<'g, K, V> Spot<'g, K, V> {
    pub(super) fn node(&self, section: Section<'g>) -> Option<&'g Node<K, V>> {
        match &self.found {
            Found::Here(place) => Some(place.get(section)),
            Found::Nowhere(_) => None,
        }
    }

    /// Locks the bucket, if what was found still holds.
    fn lock(&self, section: Section<'g>) -> Option<Locked<'g, Node<K, V>>> {
        let index = self.table.index_of(self.hash);
        let locked = self.table.lock(index, section)?;
        let holds = match &self.found {
            Found::Here(place) => place.is_current(),
            Found::Nowhere(others) => {
                // In the order of the slots, as they were found.
                let mut others = others.iter();
                same_hash(locked.bucket(), self.hash, section)
                    .all(|place| others.any(|&other| other == place.node))
            }
        };
        holds.then_some(locked)
    }
}

/// The entries of a bucket that have this hash.
fn same_hash<'g, K, V>(
    bucket: Bucket<'g, Node<K, V>>,
    hash: Hash,
    section: Section<'g>,
) -> impl Iterator<Item = Place<'g, Node<K, V>>> {
    let tagged = move |segment: Bucket<'g, Node<K, V>>| {
        let candidates = segment.word().candidates(hash.tag());
        candidates.filter_map(move |index| segment.place(index))
    };
    let all = bucket.segments(section).flat_map(tagged);
    all.filter(move |place| place.get(section).hash == hash)
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor> Tables<K, V, F> {
    pub(super) const fn new(floor: u32) -> Self {
        Self {
            table: AtomicPtr::new(ptr::null_mut()),
            count: Count::new(),
            floor,
            #[cfg(test)]
            fault: super::fault::Fault::new(),
            owns: PhantomData,
            flavor: PhantomData,
        }
    }

    /// The oldest table that is not all moved.
    #[inline]
    pub(super) fn current<'g>(&'g self, _section: Section<'g>) -> Option<&'g Table<Node<K, V>>> {
        // Acquire: pairs with the CASes that install a table.
        let at = self.table.load(Ordering::Acquire);
        // SAFETY: invariant 1; the section holds back what is retired in it.
        unsafe { at.as_ref() }
    }

    #[cold]
    fn first_table<'g>(&'g self, section: Section<'g>) -> &'g Table<Node<K, V>> {
        let new = Box::into_raw(Table::new(self.floor));
        let set =
            self.table
                .compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Relaxed);
        if set.is_err() {
            // SAFETY: from the box above, and not stored.
            drop(unsafe { Box::from_raw(new) });
        }
        self.current(section).expect("never null again")
    }

    /// Where this hash is looked up.
    #[inline]
    fn table_of<'g>(
        &self,
        first: &'g Table<Node<K, V>>,
        hash: Hash,
        section: Section<'g>,
    ) -> InCharge<'g, Node<K, V>> {
        let mut table = first;
        loop {
            let bucket = table.bucket_of(hash);
            bucket.prefetch();
            let word = bucket.word();
            if !word.is_moved() {
                return (table, bucket, word);
            }
            table = table.next(section).expect("it was moved somewhere");
        }
    }

    /// The entry with this hash of which `is` says yes. Wait-free but for a step to the next table for each
    /// resize that passed the bucket.
    #[inline]
    pub(super) fn get<'g>(
        &'g self,
        hash: Hash,
        mut is: impl FnMut(&K) -> bool,
        section: Section<'g>,
    ) -> Option<&'g Node<K, V>> {
        let (_, mut segment, mut word) = self.table_of(self.current(section)?, hash, section);
        let tag = hash.tag();
        loop {
            for index in word.candidates(tag) {
                // Not the hash: few others have the tag, and the hash may be on another line than the key.
                if let Some(node) = segment.entry(index, section)
                    && is(&node.key)
                {
                    return Some(node);
                }
            }
            if !word.has_further() {
                return None;
            }
            segment = segment.next(section)?;
            word = segment.word();
        }
    }

    /// The same for an update. Calls nothing of the user's but `is`, and holds nothing.
    pub(super) fn search<'g>(
        &'g self,
        hash: Hash,
        mut is: impl FnMut(&Node<K, V>) -> bool,
        section: Section<'g>,
    ) -> Spot<'g, K, V> {
        let first = self.current(section);
        let first = first.unwrap_or_else(|| self.first_table(section));
        let (table, mut segment, mut word) = self.table_of(first, hash, section);
        let mut others = Vec::new();
        loop {
            for index in word.candidates(hash.tag()) {
                let Some(place) = segment.place(index) else {
                    continue;
                };
                let node = place.get(section);
                if node.hash == hash {
                    if is(node) {
                        let found = Found::Here(place);
                        return Spot { table, hash, found };
                    }
                    others.push(place.node);
                }
            }
            // As in `get`: an absent key waits for no line.
            let further = word.has_further().then(|| segment.next(section));
            let Some(next) = further.flatten() else {
                break;
            };
            segment = next;
            word = segment.word();
        }
        let found = Found::Nowhere(others);
        Spot { table, hash, found }
    }

    /// Stores the node: in place of what was found, which it gives up, or as a new entry. `Err`: something has
    /// changed, the caller looks again.
    ///
    /// The node stays, in the map or retired, as long as the section.
    pub(super) fn store<'g>(
        &'g self,
        spot: &Spot<'g, K, V>,
        mut node: Box<Node<K, V>>,
        section: Section<'g>,
    ) -> Result<Stored<'g, K, V>, Box<Node<K, V>>> {
        debug_assert_eq!(spot.hash, node.hash);
        let mut spares = Spares::new();
        loop {
            let Some(mut locked) = spot.lock(section) else {
                return Err(node);
            };
            match &spot.found {
                Found::Here(place) => {
                    let at = into_raw(node);
                    // SAFETY: clause 1: from a box; the place is current, and was found by the key.
                    let old = unsafe { locked.replace(place, at) };
                    self.took_effect(locked, 0);
                    self.help(section);
                    // SAFETY: from a box, and retired in our section at the earliest.
                    let new = unsafe { at.as_ref() };
                    return Ok(Stored {
                        new,
                        old: Some(old),
                    });
                }
                Found::Nowhere(_) => {
                    let mut from = locked.bucket();
                    let (tag, at) = (node.hash.tag(), into_raw(node));
                    // SAFETY: clause 1: from a box.
                    let put = unsafe { locked.put(&mut from, at, tag, &mut spares, section) };
                    let line = self.took_effect(locked, put.into());
                    if put {
                        let further = from != spot.table.bucket_of(spot.hash);
                        self.changed(line, further, section);
                        // SAFETY: as above.
                        let new = unsafe { at.as_ref() };
                        return Ok(Stored { new, old: None });
                    }
                    // SAFETY: from the box above, and not stored.
                    node = unsafe { Box::from_raw(at.as_ptr()) };
                    // No lock is held: the allocator may be the user's.
                    spares.push(Box::new(Further::new()));
                }
            }
        }
    }

    /// Takes out what was found, and gives it up. `Err`: as [`store`](Self::store).
    pub(super) fn take<'g>(
        &'g self,
        spot: &Spot<'g, K, V>,
        section: Section<'g>,
    ) -> Result<Option<NonNull<Node<K, V>>>, ()> {
        let Found::Here(place) = &spot.found else {
            return Ok(None);
        };
        let mut locked = spot.lock(section).ok_or(())?;
        let segment = locked.take(place, section);
        let line = self.took_effect(locked, -1);
        if let Some(segment) = segment {
            // SAFETY: clause 1: as `take` says.
            drop(unsafe { Retired::<_, F>::new(segment) });
        }
        self.changed(line, false, section);
        Ok(Some(place.node))
    }

    /// The end of an update by which there are so many more entries; what the caller's line of counters holds now.
    ///
    /// The fence stands between its store and whatever its thread looks up next, as that of another update does: of
    /// two threads that each change a key and then look the other's up, one sees the other's change. Without it each
    /// update has its moment for whoever looks at one key only. It also stands between the counting and the look at how
    /// far a resize has come, and pairs with the one in `finish`: either the resize is seen to be over here, or who
    /// ends it sees what was counted.
    fn took_effect(&self, locked: Locked<'_, Node<K, V>>, more: isize) -> usize {
        drop(locked); // first: counting may allocate
        let line = if more == 0 { 0 } else { self.count.add(more) };
        fence(Ordering::SeqCst);
        line
    }

    pub(super) fn capacity(&self, section: Section<'_>) -> usize {
        let current = self.current(section);
        let newest = current.map(|table| table.next(section).unwrap_or(table));
        resize::capacity(newest.map_or(self.floor, Table::bits))
    }

    /// Frees segments that were given up, the first one and those that follow, after a grace period.
    pub(super) fn retire_segments(mut first: *mut Further<Node<K, V>>) {
        while let Some(segment) = NonNull::new(first) {
            // SAFETY: from `Box::into_raw`, and not retired yet.
            let at = unsafe { segment.as_ref() };
            first = at.next_address();
            // SAFETY: clause 1: unlinked, or in a bucket that was moved.
            drop(unsafe { Retired::<_, F>::new(segment) });
        }
    }

    /// Frees a table that was replaced, after a grace period.
    ///
    /// # Safety
    /// 1. It came from `Box::into_raw`, nobody finds it any more, and nobody else frees it.
    pub(super) unsafe fn retire_table(table: NonNull<Table<Node<K, V>>>) {
        // SAFETY: clause 1: not freed yet.
        let bytes = unsafe { table.as_ref() }.bytes();
        let table = Unlinked(table);
        Domain::<F::Barriers>::call_sized(bytes, move || table.free());
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor> Drop for Tables<K, V, F> {
    /// Frees everything at once: what lookups gave out borrows the map. A destructor that panics does not keep
    /// the others from being run.
    fn drop(&mut self) {
        // SAFETY: clause 1: borrowed exclusively until the end, and nothing is retired here.
        let section = unsafe { Section::exclusive() };
        if let Some(table) = self.current(section) {
            table.purge_deserted(section);
        }
        Sweep {
            table: *self.table.get_mut(),
            bucket: 0,
        }
        .run();
    }
}

/// Tables to be freed with all that is in them: the pointers came from boxes, and nobody else has them.
struct Sweep<K, V> {
    table: *mut Table<Node<K, V>>,
    bucket: usize,
}

impl<K, V> Sweep<K, V> {
    fn run(&mut self) {
        while !self.table.is_null() {
            // SAFETY: not freed yet, and nobody else has it.
            let table = unsafe { &mut *self.table };
            while self.bucket < table.len() {
                let mut nodes = Vec::new();
                table.take_nodes(self.bucket, |node| {
                    // SAFETY: from `Box::into_raw`, and out of the table.
                    nodes.push(unsafe { Box::from_raw(node.as_ptr()) });
                });
                self.bucket += 1;
                drop(nodes); // the user's code
            }
            // SAFETY: from `Box::into_raw`, and nobody else has it.
            let table = unsafe { Box::from_raw(self.table) };
            self.table = table.next_address();
            self.bucket = 0;
        }
    }
}

impl<K, V> Drop for Sweep<K, V> {
    /// After a panic: the rest. A second one aborts, as everywhere.
    fn drop(&mut self) {
        self.run();
    }
}

/// A table that nobody finds any more, from `Box::into_raw`.
struct Unlinked<N>(NonNull<Table<N>>);

// SAFETY: a table may be freed on any thread.
unsafe impl<N: Send + Sync> Send for Unlinked<N> {}

impl<N> Unlinked<N> {
    /// Called after the grace period.
    fn free(self) {
        // SAFETY: from `Box::into_raw`, and nobody else has it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

fn into_raw<T>(value: Box<T>) -> NonNull<T> {
    NonNull::from(Box::leak(value))
}

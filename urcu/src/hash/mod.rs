//! [`RcuHashMap`]: a hash map whose lookups write nothing, take no lock, and never look twice.
//!
//! # How it is made
//! A bucket ([`bucket`]) is a word with six tags of eight bits, a cache line with six pointers to entries, and a
//! link to a further such pair for the few buckets with more than six. The words lie side by side. A lookup loads
//! the word, and at the same time has the line fetched; then it follows the pointers whose tag fits (for a key that
//! is absent mostly none), and compares the key. The entry has key, value and hash in one allocation.
//!
//! So a key that is absent waits for 8 bytes of each bucket only, which a near cache holds for long (the line comes, and
//! nobody waits for it), and one that is there waits for two misses that depend on each other: the line, the entry. That
//! the entry is not in the table, which would make it one, has two reasons. What a lookup gave out has to stay where it
//! is until the section ends, also while the table is resized, and values may be written through `&V` (atomics, locks), so
//! that a copy would be another value; Rust does not let us tell those that cannot. And a place in the table could be
//! used again only after a grace period: for so long each removal would take room from its bucket.
//!
//! Updates lock one bucket, by a bit of its word, for some hundred instructions, and never while anything of
//! the user's runs ([`tables`]). A resize ([`resize`], [`table`]) copies *pointers*: an entry can be in both
//! tables at once, so it is neither unzipped (Triplett, McKenney, Walpole: "Resizable, Scalable, Concurrent Hash
//! Tables via Relativistic Programming", 2011) nor has it two links (Xu's bridge tables), no grace period
//! separates the steps, and none is waited for. That lookups go on to a second table while it fills is the
//! kernel's `rhashtable`.
//!
//! # What a lookup may see, and why
//! Write *present* for: in the map from before the lookup began until after it ended, "began" and "ended" in the
//! order of happens-before. The bucket *in charge* of a hash is the one in the first table in which that hash's
//! bucket is not marked `MOVED`. Tables form a list, and a mark is never taken back.
//!
//! 1. **A key that is present is found.** Suppose the lookup loads the word of the bucket in charge, B, without the
//!    mark. The key's entry is then in one slot of B, where it stays (entries never change their slot), and its
//!    tag has been in the word since before its pointer was in the slot, as has the flag of a further line. So the
//!    lookup follows that slot. If B is moved meanwhile, its slots stay as they were; a line is unlinked when it is
//!    empty, so not that one. Suppose it loads the word with the mark: the next table has had a copy of the entry since
//!    before the mark was set, Release and Acquire, and the argument goes on there.
//! 2. **A replaced key is never absent, and no third value is seen**: [`insert`](RcuHashMap::insert) over an
//!    old entry, [`replace`](RcuHashMap::replace) and [`update`](RcuHashMap::update) store one pointer over the
//!    other. A copy made by a resize is made under the lock that the replacement needs.
//! 3. **Lookups and updates of one key are linearizable.** An update takes effect with one store of a pointer, in the
//!    bucket in charge, under its lock. A lookup that finds an entry takes effect when it loads the slot, or, if
//!    the bucket was moved by then, when it was moved: a slot that does not change any more has what was true
//!    then. One that finds nothing takes effect when it loads the word, if the key was absent then; otherwise the
//!    key was taken out of the slot that the word spoke of, after that and before the lookup ended. Across keys
//!    this needs the fence behind each update.
//! 4. **An iteration tells each entry that is present exactly once**, and whatever else it tells was in the map at
//!    some moment of it. It goes through the hashes from 0 to 2^64 in steps, each step the range of the bucket
//!    in charge cut down to the ranges of the buckets before it in the list. An entry has one hash, so one
//!    step; within it one slot, by 1; and what a bucket has outside the range is passed over.
//! 5. **An entry that a lookup gave out stays as it is until its section ends**, taken out or not: it was reachable
//!    in the section, so it is freed after it. A pointer that was left behind in a moved bucket is followed by
//!    nobody who did not load the word before the mark: the entry can be taken out of the next table only after
//!    the mark, so whoever entered a section after that, and is not waited for, sees the mark.
//!
//! # Progress
//! Lookups are wait-free, but that a resize which ends while a lookup runs may send it on by one table. Updates
//! block on the holder of the same bucket's lock, and while a resize is under way on those of the buckets that they
//! help to move. Iterations never wait.

mod bucket;
mod count;
mod entry;
#[cfg(test)]
mod fault;
mod iter;
mod node;
mod resize;
mod section;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod traits;
mod update;

pub use entry::RetiredEntry;
pub use iter::Iter;
pub use update::{Change, Occupied};

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use std::collections::hash_map::RandomState;

use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use section::Section;
use tables::Tables;

/// A hash map that readers look keys up in under a [`Guard`], and anybody may change.
///
/// Lookups write nothing and wait for nobody, also while the table is resized; updates lock one bucket for
/// a moment, and a few more while it is resized. All methods take the guard of the section that they run in, an update being a reader, too; what
/// they give out lives as long as the guard. What an update displaces comes back as a [`RetiredEntry`].
///
/// ```
/// use urcu::{Memb, RcuHashMap};
///
/// let map: RcuHashMap<String, u32> = RcuHashMap::new();
/// let guard = Memb::read_lock();
/// map.insert("eth0".to_owned(), 1, &guard);
/// assert_eq!(map.get("eth0", &guard), Some(&1));
/// let old = map.insert("eth0".to_owned(), 2, &guard).expect("it was there");
/// assert_eq!((old.value(), map.get("eth0", &guard)), (&1, Some(&2)));
/// ```
///
/// # Guarantees
/// * A key that is in the map throughout a lookup is found by it.
/// * A lookup beside an [`insert`](Self::insert) over an old entry, a [`replace`](Self::replace) or an
///   [`update`](Self::update) sees the old entry or the new one, never neither.
/// * Lookups and updates of one key have an order: each takes effect at one moment between its begin and its end.
///   Whoever sees an update sees what was done before it.
/// * An update is followed by a full memory barrier: of two threads that each change a key and then look the
///   other's up, one sees the other's change.
/// * [`iter`](Self::iter) tells an entry that is there throughout exactly once.
/// * All of these hold while the table grows and shrinks. Why is in the source of this module.
///
/// # Costs
/// A lookup costs the hash, a load from an array of 8 bytes for each bucket, and two cache misses if the key is there
/// (of the bucket, fetched along with that load, and of the entry); an update one allocation, one compare-and-swap,
/// and what retiring costs. Memory: the entry (key, value and 8 bytes), and 18 to 36 bytes of the table while it
/// grows, at most 96 before it shrinks, twice that while a resize is under way. An empty map is 48 bytes and no
/// allocation (with a `RandomState`).
///
/// The table grows at a mean of four entries for each bucket and shrinks at three quarters of one. The
/// updates that come next move the contents, four buckets each: no update waits for a grace period, and none for a
/// whole resize. See [`settle`](Self::settle).
///
/// # The user's code
/// `Hash`, `Eq`, `Borrow` and the closures of updates run in the section and without a lock. They may use the same
/// map, and may panic: the map stays as it was. They may not wait for a grace period, which panics. Keys and
/// values are dropped as [`Retired::free`](crate::Retired::free) drops, or with the map.
///
/// # Contexts
/// Lookups may be made wherever a section may be, in signal handlers too (if hashing may). Updates allocate and
/// take a lock: not in signal handlers. They may be made in callbacks and with locks held. In a forked child the map
/// works: a bucket whose lock another thread held is taken over; [`len`](Self::len) may be off by
/// what other threads were just counting.
///
/// With keys that others choose keep the default hasher, whose seed is random: all keys in one bucket make the
/// map a list.
#[doc(alias = "cds_lfht")]
#[doc(alias = "rhashtable")]
pub struct RcuHashMap<K, V, S = RandomState, F = Memb>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    F: Flavor,
{
    tables: Tables<K, V, F>,
    hasher: S,
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor>
    RcuHashMap<K, V, RandomState, F>
{
    /// An empty map with a hasher seeded at random. Allocates nothing.
    pub fn new() -> Self {
        Self::with_hasher(RandomState::new())
    }

    /// An empty map whose table has room for so many entries from the first one on, and never less.
    pub fn with_capacity(entries: usize) -> Self {
        Self::with_capacity_and_hasher(entries, RandomState::new())
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S, F: Flavor> RcuHashMap<K, V, S, F> {
    /// An empty map with this hasher. `const`, for statics with a hasher that can be made in one.
    ///
    /// ```
    /// use std::hash::{BuildHasherDefault, DefaultHasher};
    /// use urcu::{Memb, RcuHashMap};
    /// type Fixed = BuildHasherDefault<DefaultHasher>; // for keys of your own: the seed is no secret
    ///
    /// static USERS: RcuHashMap<u32, String, Fixed> = RcuHashMap::with_hasher(Fixed::new());
    ///
    /// let guard = Memb::read_lock();
    /// USERS.insert(0, "root".to_owned(), &guard);
    /// assert_eq!(USERS.get(&0, &guard).map(String::as_str), Some("root"));
    /// ```
    pub const fn with_hasher(hasher: S) -> Self {
        Self::with_capacity_and_hasher(0, hasher)
    }

    /// An empty map with this hasher, whose table has room for so many entries from the first one on, and never
    /// less. Allocates nothing before the first update but `remove`.
    pub const fn with_capacity_and_hasher(entries: usize, hasher: S) -> Self {
        Self {
            tables: Tables::new(resize::bits_for(entries)),
            hasher,
        }
    }

    /// The hasher.
    pub fn hasher(&self) -> &S {
        &self.hasher
    }

    /// How many entries there are: exact while nobody changes the map, otherwise off by what is changed meanwhile.
    /// A sum of nine numbers at most, no section.
    #[doc(alias = "cds_lfht_count_nodes")]
    pub fn len(&self) -> usize {
        self.tables.count.sum()
    }

    /// Whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of entries at which the table will grow next.
    pub fn capacity(&self, guard: &Guard<'_, F>) -> usize {
        self.tables.capacity(Section::of(guard))
    }

    /// All entries. Wait-free: a step for each bucket and each entry.
    ///
    /// An entry that is in the map from the first call of `next` to the last is told exactly once, also while the
    /// table is resized. One that is put in, replaced or taken out meanwhile may be told or not, before or after;
    /// a key that is taken out and put in again may be told twice.
    #[doc(alias = "cds_lfht_for_each")]
    pub fn iter<'g>(&'g self, guard: &'g Guard<'_, F>) -> Iter<'g, K, V, F> {
        Iter::new(&self.tables, Section::of(guard))
    }

    /// All keys, as [`iter`](Self::iter).
    pub fn keys<'g>(&'g self, guard: &'g Guard<'_, F>) -> impl Iterator<Item = &'g K> {
        self.iter(guard).map(|(key, _)| key)
    }

    /// All values, as [`iter`](Self::iter).
    pub fn values<'g>(&'g self, guard: &'g Guard<'_, F>) -> impl Iterator<Item = &'g V> {
        self.iter(guard).map(|(_, value)| value)
    }

    /// Ends the resizes that are under way or due, which otherwise the updates to come do, by and by. For maps
    /// that are filled once and then only read. Takes time as the table is large.
    #[doc(alias = "cds_lfht_resize")]
    pub fn settle(&self, guard: &Guard<'_, F>) {
        self.tables.settle(Section::of(guard));
    }
}

impl<K, V, S, F> RcuHashMap<K, V, S, F>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
    F: Flavor,
{
    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> node::Hash {
        node::Hash::of(self.hasher.hash_one(key))
    }

    #[inline]
    fn find<'g, Q>(&'g self, key: &Q, guard: &'g Guard<'_, F>) -> Option<&'g node::Node<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let is = |other: &K| other.borrow() == key;
        self.tables.get(self.hash(key), is, Section::of(guard))
    }

    /// The value of a key. Wait-free, but for a step to the next table for each resize that passed it; writes
    /// nothing.
    ///
    /// It borrows the map for as long as the guard: what it gives out cannot outlive either.
    ///
    /// ```compile_fail,E0505
    /// # use urcu::{Memb, RcuHashMap};
    /// let guard = Memb::read_lock();
    /// let map: RcuHashMap<u32, u32> = RcuHashMap::new();
    /// let value = map.get(&1, &guard);
    /// drop(map);
    /// println!("{value:?}");
    /// ```
    #[doc(alias = "cds_lfht_lookup")]
    #[inline]
    pub fn get<'g, Q>(&'g self, key: &Q, guard: &'g Guard<'_, F>) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key, guard).map(|node| &node.value)
    }

    /// The key as it is in the map, and its value; as [`get`](Self::get).
    #[inline]
    pub fn get_key_value<'g, Q>(
        &'g self,
        key: &Q,
        guard: &'g Guard<'_, F>,
    ) -> Option<(&'g K, &'g V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key, guard).map(|node| (&node.key, &node.value))
    }

    /// Whether the key is there; as [`get`](Self::get).
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q, guard: &Guard<'_, F>) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key, guard).is_some()
    }
}

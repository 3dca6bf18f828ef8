//! The updates of [`RcuHashMap`].

use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::ptr::{self, NonNull};

use super::node::{self, Node};
use super::section::Section;
use super::{RcuHashMap, RetiredEntry};
use crate::flavor::Flavor;
use crate::guard::Guard;

/// What the closure of [`RcuHashMap::update`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<V> {
    /// Leave it as it is.
    Keep,
    /// Put this value in, in place of the old one if there is one.
    Set(V),
    /// Take the entry out, if there is one.
    Remove,
}

/// The key was there: what [`RcuHashMap::insert_unique`] found, and what it was given.
pub struct Occupied<'g, K, V> {
    /// The value in the map.
    pub present: &'g V,
    /// The key that was not put in.
    pub key: K,
    /// The value that was not put in.
    pub value: V,
}

impl<K, V> fmt::Debug for Occupied<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Occupied").finish_non_exhaustive()
    }
}

impl<K, V> fmt::Display for Occupied<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key is in the map already")
    }
}

impl<K, V> core::error::Error for Occupied<'_, K, V> {}

/// What an update took out.
type Displaced<K, V, F> = Option<RetiredEntry<K, V, F>>;

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S, F: Flavor> RcuHashMap<K, V, S, F> {
    /// Takes out every entry that it comes by, as [`iter`](Self::iter) does: those that are there from begin to end,
    /// and perhaps others. Not one step: others may see a part of them gone. For the rest see
    /// [`remove`](RcuHashMap::remove).
    pub fn clear(&self, guard: &Guard<'_, F>) {
        self.retain(|_, _| false, guard);
    }

    /// Takes out every entry of which `keep` says no, as [`iter`](Self::iter) comes by them. An entry that is
    /// replaced after `keep` has seen it stays.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool, guard: &Guard<'_, F>) {
        let section = Section::of(guard);
        let mut iter = self.iter(guard);
        while let Some(node) = iter.next_node() {
            if !keep(&node.key, &node.value) {
                let is = |other: &Node<K, V>| ptr::eq(other, node);
                drop(self.take(node.hash, is, section));
            }
        }
    }

    /// Takes out the entry of which `is` says yes.
    fn take<'g>(
        &'g self,
        hash: node::Hash,
        mut is: impl FnMut(&Node<K, V>) -> bool,
        section: Section<'g>,
    ) -> Displaced<K, V, F> {
        self.tables.current(section)?; // no table is made for nothing
        loop {
            let spot = self.tables.search(hash, &mut is, section);
            if let Ok(taken) = self.tables.take(&spot, section) {
                return taken.map(Self::retire);
            }
        }
    }

    fn retire(node: NonNull<Node<K, V>>) -> RetiredEntry<K, V, F> {
        // SAFETY: clause 1: `Tables` gives up what came from a box and is out of the table.
        unsafe { RetiredEntry::new(node) }
    }
}

impl<K, V, S, F> RcuHashMap<K, V, S, F>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
    F: Flavor,
{
    /// Puts an entry in, in place of the one with the same key if there is one, which comes back. Other than in
    /// `std`'s map, the key is replaced, too.
    ///
    /// Lookups see the old entry or the new one, never neither. Blocks on who has the same bucket's lock; allocates;
    /// moves a few buckets while a resize is under way.
    #[doc(alias = "cds_lfht_add_replace")]
    pub fn insert(&self, key: K, value: V, guard: &Guard<'_, F>) -> Displaced<K, V, F> {
        let section = Section::of(guard);
        let hash = self.hash(&key);
        let mut node = Box::new(Node { hash, key, value });
        loop {
            let is = |other: &Node<K, V>| other.key == node.key;
            let spot = self.tables.search(hash, is, section);
            match self.tables.store(&spot, node, section) {
                Ok(stored) => return stored.old.map(Self::retire),
                Err(back) => node = back,
            }
        }
    }

    /// Puts an entry in unless its key is there. Of many threads with the same key one succeeds.
    ///
    /// As [`insert`](Self::insert); where the key is there it takes no lock.
    ///
    /// # Errors
    /// What is there, and what was not put in.
    ///
    /// ```
    /// use urcu::{Memb, RcuHashMap};
    /// let map: RcuHashMap<u32, &str> = RcuHashMap::new();
    /// let guard = Memb::read_lock();
    /// assert_eq!(map.insert_unique(1, "one", &guard).unwrap(), &"one");
    /// let refused = map.insert_unique(1, "eins", &guard).unwrap_err();
    /// assert_eq!((*refused.present, refused.value), ("one", "eins"));
    /// ```
    #[doc(alias = "cds_lfht_add_unique")]
    pub fn insert_unique<'g>(
        &'g self,
        key: K,
        value: V,
        guard: &'g Guard<'_, F>,
    ) -> Result<&'g V, Occupied<'g, K, V>> {
        let section = Section::of(guard);
        let hash = self.hash(&key);
        let (mut key, mut value) = (key, value);
        loop {
            let is = |other: &Node<K, V>| other.key == key;
            let spot = self.tables.search(hash, is, section);
            if let Some(present) = spot.node(section) {
                let present = &present.value;
                return Err(Occupied {
                    present,
                    key,
                    value,
                });
            }
            let node = Box::new(Node { hash, key, value });
            match self.tables.store(&spot, node, section) {
                Ok(stored) => return Ok(&stored.new.value),
                Err(back) => (key, value) = back.into_pair(),
            }
        }
    }

    /// Replaces the entry of a key, if there is one, which comes back. As [`insert`](Self::insert); where the key
    /// is not there it takes no lock.
    ///
    /// # Errors
    /// The key is not there: gives back what was not put in.
    #[doc(alias = "cds_lfht_replace")]
    pub fn replace(
        &self,
        key: K,
        value: V,
        guard: &Guard<'_, F>,
    ) -> Result<RetiredEntry<K, V, F>, (K, V)> {
        let section = Section::of(guard);
        let hash = self.hash(&key);
        let (mut key, mut value) = (key, value);
        loop {
            let is = |other: &Node<K, V>| other.key == key;
            let spot = self.tables.search(hash, is, section);
            if spot.node(section).is_none() {
                return Err((key, value));
            }
            let node = Box::new(Node { hash, key, value });
            match self.tables.store(&spot, node, section) {
                Ok(stored) => {
                    let old = stored.old.expect("stored over what was found");
                    return Ok(Self::retire(old));
                }
                Err(back) => (key, value) = back.into_pair(),
            }
        }
    }

    /// Takes the entry of a key out, if there is one: of many threads one gets it. Blocks on who has the same
    /// bucket's lock; where the key is not there it takes none. Allocates nothing, but for what retiring costs and
    /// for a resize.
    #[doc(alias = "cds_lfht_del")]
    pub fn remove<Q>(&self, key: &Q, guard: &Guard<'_, F>) -> Displaced<K, V, F>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let is = |other: &Node<K, V>| other.key.borrow() == key;
        self.take(self.hash(key), is, Section::of(guard))
    }

    /// Changes the entry of a key as `f` says, in one step: nobody changes it between what `f` is shown and what
    /// it wants. What is displaced comes back.
    ///
    /// `f` runs in the section and without a lock, so it may use the map; if somebody else changed the entry
    /// meanwhile it is called again with the new one, and what it said before is dropped. Where `f` says
    /// [`Keep`](Change::Keep), or to remove what is not there, no lock is taken. If it panics the map is as before.
    ///
    /// ```
    /// use urcu::{Change, Memb, RcuHashMap};
    /// let hits: RcuHashMap<&str, u64> = RcuHashMap::new();
    /// let guard = Memb::read_lock();
    /// for page in ["a", "b", "a"] {
    ///     hits.update(page, |hits| Change::Set(hits.map_or(1, |n| n + 1)), &guard);
    /// }
    /// assert_eq!((hits.get("a", &guard), hits.get("b", &guard)), (Some(&2), Some(&1)));
    /// ```
    pub fn update(
        &self,
        key: K,
        mut f: impl FnMut(Option<&V>) -> Change<V>,
        guard: &Guard<'_, F>,
    ) -> Displaced<K, V, F> {
        let section = Section::of(guard);
        let hash = self.hash(&key);
        let mut key = key;
        loop {
            let is = |other: &Node<K, V>| other.key == key;
            let spot = self.tables.search(hash, is, section);
            match f(spot.node(section).map(|node| &node.value)) {
                Change::Keep => return None,
                Change::Remove => {
                    if let Ok(taken) = self.tables.take(&spot, section) {
                        return taken.map(Self::retire);
                    }
                }
                Change::Set(value) => {
                    let node = Box::new(Node { hash, key, value });
                    match self.tables.store(&spot, node, section) {
                        Ok(stored) => return stored.old.map(Self::retire),
                        Err(back) => key = back.into_pair().0,
                    }
                }
            }
        }
    }

    /// The value of a key; if it is not there, what `make` makes is put in. `make` runs as in
    /// [`update`](Self::update), once at most; if somebody else is faster, what it made is dropped.
    pub fn get_or_insert_with<'g>(
        &'g self,
        key: K,
        make: impl FnOnce() -> V,
        guard: &'g Guard<'_, F>,
    ) -> &'g V {
        match self.get(&key, guard) {
            Some(present) => present,
            None => match self.insert_unique(key, make(), guard) {
                Ok(value) => value,
                Err(occupied) => occupied.present,
            },
        }
    }
}

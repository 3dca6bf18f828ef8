//! Hash maps from u64 to u64, all with the same hasher, each with a section, pin or lock for each operation.
//!
//! The operations are those that all of them have: look up, insert unless the key is there, remove.

use core::hash::{BuildHasher, Hasher};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use urcu::{Memb, RcuHashMap};

use super::flavors::MEMB;
use super::lfht::Lfht;

/// Names that aims refer to.
pub mod names {
    /// scc's map for readers.
    pub const SCC_INDEX: &str = "scc HashIndex";
    /// papaya's map.
    pub const PAPAYA: &str = "papaya";
    /// dashmap's map.
    pub const DASHMAP: &str = "dashmap";
    /// flurry's map.
    pub const FLURRY: &str = "flurry";
    /// std's map in std's lock.
    pub const STD_MAP: &str = "std RwLock<HashMap>";
    /// liburcu's table.
    pub const LFHT: &str = "liburcu cds_lfht, memb";
}

/// A map and what a thread needs to use it.
pub trait Map: Sync + Sized {
    /// The name in the table.
    const NAME: &'static str;
    /// What a thread has while it uses the map. Not sent.
    type Handle<'a>
    where
        Self: 'a;

    /// An empty map that grows by itself.
    ///
    /// # Errors
    /// Why it is not to be had here.
    fn new() -> Result<Self, String>;

    /// The same for the throughput of a map that holds so many: the best case for those that take a size.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    fn sized(entries: usize) -> Result<Self, String> {
        let _ = entries;
        Self::new()
    }

    /// Called by each thread before it begins.
    fn enter(&self) -> Self::Handle<'_>;
    /// The value of a key.
    fn get(&self, handle: &Self::Handle<'_>, key: u64) -> Option<u64>;
    /// Inserts unless the key is there.
    fn insert(&self, handle: &Self::Handle<'_>, key: u64, value: u64);
    /// Takes out, if it is there.
    fn remove(&self, handle: &Self::Handle<'_>, key: u64);
}

/// One hasher for all: the finalizer of MurmurHash3, which mixes all bits. `std`'s takes 10 ns and would make
/// the maps look alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix;

impl BuildHasher for Mix {
    type Hasher = Mixer;
    #[inline]
    fn build_hasher(&self) -> Mixer {
        Mixer(0)
    }
}

/// The state of [`Mix`].
#[derive(Clone, Copy, Debug)]
pub struct Mixer(u64);

impl Mixer {
    /// The hash of a key.
    #[inline]
    pub fn mix(key: u64) -> u64 {
        let key = (key ^ key >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let key = (key ^ key >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        key ^ key >> 33
    }
}

impl Hasher for Mixer {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
    #[inline]
    fn write_u64(&mut self, key: u64) {
        self.0 = Self::mix(key);
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = Self::mix(self.0 ^ u64::from(*byte));
        }
    }
}

/// Something generic to do with each map.
pub trait MapVisitor {
    /// Called once for each.
    fn visit<M: Map + 'static>(&mut self);
}

/// Shows every map to the visitor.
pub fn visit_maps(visitor: &mut impl MapVisitor) {
    visitor.visit::<RcuHashMap<u64, u64, Mix>>();
    visitor.visit::<scc::HashIndex<u64, u64, Mix>>();
    visitor.visit::<papaya::HashMap<u64, u64, Mix>>();
    visitor.visit::<dashmap::DashMap<u64, u64, Mix>>();
    visitor.visit::<flurry::HashMap<u64, u64, Mix>>();
    visitor.visit::<RwLock<HashMap<u64, u64, Mix>>>();
    visitor.visit::<Lfht>();
}

impl Map for RcuHashMap<u64, u64, Mix> {
    const NAME: &'static str = MEMB;
    type Handle<'a> = ();

    fn new() -> Result<Self, String> {
        Ok(Self::with_hasher(Mix))
    }

    fn enter(&self) {}

    #[inline]
    fn get(&self, (): &(), key: u64) -> Option<u64> {
        RcuHashMap::get(self, &key, &Memb::read_lock()).copied()
    }

    #[inline]
    fn insert(&self, (): &(), key: u64, value: u64) {
        _ = self.insert_unique(key, value, &Memb::read_lock());
    }

    #[inline]
    fn remove(&self, (): &(), key: u64) {
        drop(RcuHashMap::remove(self, &key, &Memb::read_lock()));
    }
}

impl Map for scc::HashIndex<u64, u64, Mix> {
    const NAME: &'static str = names::SCC_INDEX;
    type Handle<'a> = ();

    fn new() -> Result<Self, String> {
        Ok(Self::with_hasher(Mix))
    }

    fn enter(&self) {}

    #[inline]
    fn get(&self, (): &(), key: u64) -> Option<u64> {
        self.peek_with(&key, |_, value| *value)
    }

    #[inline]
    fn insert(&self, (): &(), key: u64, value: u64) {
        _ = self.insert_sync(key, value);
    }

    #[inline]
    fn remove(&self, (): &(), key: u64) {
        self.remove_sync(&key);
    }
}

impl Map for papaya::HashMap<u64, u64, Mix> {
    const NAME: &'static str = names::PAPAYA;
    type Handle<'a> = ();

    fn new() -> Result<Self, String> {
        Ok(Self::with_hasher(Mix))
    }

    fn enter(&self) {}

    #[inline]
    fn get(&self, (): &(), key: u64) -> Option<u64> {
        self.pin().get(&key).copied()
    }

    #[inline]
    fn insert(&self, (): &(), key: u64, value: u64) {
        _ = self.pin().try_insert(key, value);
    }

    #[inline]
    fn remove(&self, (): &(), key: u64) {
        self.pin().remove(&key);
    }
}

impl Map for dashmap::DashMap<u64, u64, Mix> {
    const NAME: &'static str = names::DASHMAP;
    type Handle<'a> = ();

    fn new() -> Result<Self, String> {
        Ok(Self::with_hasher(Mix))
    }

    fn enter(&self) {}

    #[inline]
    fn get(&self, (): &(), key: u64) -> Option<u64> {
        dashmap::DashMap::get(self, &key).map(|value| *value)
    }

    #[inline]
    fn insert(&self, (): &(), key: u64, value: u64) {
        self.entry(key).or_insert(value);
    }

    #[inline]
    fn remove(&self, (): &(), key: u64) {
        dashmap::DashMap::remove(self, &key);
    }
}

impl Map for flurry::HashMap<u64, u64, Mix> {
    const NAME: &'static str = names::FLURRY;
    type Handle<'a> = ();

    fn new() -> Result<Self, String> {
        Ok(Self::with_hasher(Mix))
    }

    fn enter(&self) {}

    #[inline]
    fn get(&self, (): &(), key: u64) -> Option<u64> {
        flurry::HashMap::get(self, &key, &self.guard()).copied()
    }

    #[inline]
    fn insert(&self, (): &(), key: u64, value: u64) {
        _ = self.try_insert(key, value, &self.guard());
    }

    #[inline]
    fn remove(&self, (): &(), key: u64) {
        flurry::HashMap::remove(self, &key, &self.guard());
    }
}

impl Map for RwLock<HashMap<u64, u64, Mix>> {
    const NAME: &'static str = names::STD_MAP;
    type Handle<'a> = ();

    fn new() -> Result<Self, String> {
        Ok(Self::default())
    }

    fn enter(&self) {}

    #[inline]
    fn get(&self, (): &(), key: u64) -> Option<u64> {
        let map = self.read().unwrap_or_else(PoisonError::into_inner);
        map.get(&key).copied()
    }

    #[inline]
    fn insert(&self, (): &(), key: u64, value: u64) {
        let mut map = self.write().unwrap_or_else(PoisonError::into_inner);
        map.entry(key).or_insert(value);
    }

    #[inline]
    fn remove(&self, (): &(), key: u64) {
        let mut map = self.write().unwrap_or_else(PoisonError::into_inner);
        map.remove(&key);
    }
}

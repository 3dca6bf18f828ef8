//! Tests of the map: against a model, beside each other, with keys and closures that misbehave.

mod beside;
mod leaks;
mod linear;
mod lost;
mod misuse;
mod model;
mod small;

use core::hash::{BuildHasher, Hasher};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::ScopedJoinHandle;

use super::RcuHashMap;
use crate::{Flavor, Memb};

/// The key is its own hash; not even the bits are spread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plain;

impl BuildHasher for Plain {
    type Hasher = PlainHasher;
    fn build_hasher(&self) -> PlainHasher {
        PlainHasher(0)
    }
}

pub(super) struct PlainHasher(u64);

impl Hasher for PlainHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// All keys in one bucket, or in few.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Few(pub(super) u64);

impl BuildHasher for Few {
    type Hasher = FewHasher;
    fn build_hasher(&self) -> FewHasher {
        FewHasher(0, self.0)
    }
}

pub(super) struct FewHasher(u64, u64);

impl Hasher for FewHasher {
    fn finish(&self) -> u64 {
        self.0 % self.1.max(1)
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.wrapping_mul(31) ^ u64::from(byte);
        }
    }
}

/// Counts how many of its kind are alive.
#[derive(Debug)]
pub(super) struct Counted<T> {
    pub(super) value: T,
    alive: &'static AtomicUsize,
}

impl<T> Counted<T> {
    pub(super) fn new(value: T, alive: &'static AtomicUsize) -> Self {
        alive.fetch_add(1, Relaxed);
        Self { value, alive }
    }
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        let before = self.alive.fetch_sub(1, Relaxed);
        assert_ne!(before, 0, "dropped twice");
    }
}

impl<T: PartialEq> PartialEq for Counted<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Counted<T> {}

impl<T: core::hash::Hash> core::hash::Hash for Counted<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl<T> core::borrow::Borrow<T> for Counted<T> {
    fn borrow(&self) -> &T {
        &self.value
    }
}

/// Waits for threads of a scope, one by one: what the scope does at its end ThreadSanitizer does not see.
pub(super) fn join<R>(threads: Vec<ScopedJoinHandle<'_, R>>) -> Vec<R> {
    let ends: Vec<_> = threads.into_iter().map(ScopedJoinHandle::join).collect();
    ends.into_iter().map(Result::unwrap).collect()
}

/// One thread less that the others go on beside, also where an assertion of its fails.
pub(super) struct OneLess<'a>(pub(super) &'a AtomicUsize);

impl Drop for OneLess<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A small generator: xorshift64 (Marsaglia 2003).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// Resizes the map to and fro until `over`, with many sizes.
pub(super) fn resize_all_the_time<K, V, S>(
    map: &RcuHashMap<K, V, S>,
    bits: u64,
    over: impl Fn() -> bool,
) where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let mut dice = Dice::new(7);
    while !over() {
        let guard = Memb::read_lock();
        let section = super::section::Section::of(&guard);
        force(map, 1 + dice.below(bits) as u32, section);
        for _ in 0..=dice.below(1 << bits) / 4 {
            map.tables.help(section);
        }
        drop(guard);
        if dice.below(64) == 0 {
            std::thread::yield_now();
        }
    }
}

/// The buckets of the newest table.
pub(super) fn buckets<K, V, S>(map: &RcuHashMap<K, V, S>) -> usize
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    map.capacity(&Memb::read_lock()) / 4
}

/// Begins a resize to this size, whatever the size should be, unless one is under way.
pub(super) fn force<K, V, S, F: Flavor>(
    map: &RcuHashMap<K, V, S, F>,
    bits: u32,
    section: super::section::Section<'_>,
) where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    if let Some(table) = map.tables.current(section)
        && !table.has_next()
    {
        table.set_next(super::table::Table::new(bits));
    }
}

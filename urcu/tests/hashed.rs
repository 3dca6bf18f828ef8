//! The hash map gives its memory back: entries, tables, and the lines behind full buckets, wherever they go.
//!
//! One test in a process of its own: the allocator counts.

mod counting;

use std::hash::{BuildHasher, Hasher};

use counting::settled;
use urcu::{Memb, RcuHashMap};

/// So few hashes that buckets are long.
#[derive(Clone, Copy)]
struct Few(u64);

impl BuildHasher for Few {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Few {
    fn finish(&self) -> u64 {
        self.0 % 50
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

const ENTRIES: u64 = 2000;

/// Grows and shrinks, with forty entries for each hash, and is dropped with half of them.
fn live_and_die() {
    let map = RcuHashMap::with_hasher(Few(0));
    for key in 0..ENTRIES {
        assert!(map.insert(key, key, &Memb::read_lock()).is_none());
    }
    for key in 0..ENTRIES {
        assert!(map.remove(&key, &Memb::read_lock()).is_some());
    }
    // Empty, and small again: tables and lines are gone, but for the last and its counters.
    map.settle(&Memb::read_lock());
    for key in 0..ENTRIES / 2 {
        assert!(map.insert(key, key, &Memb::read_lock()).is_none());
    }
}

#[test]
fn what_a_map_took_comes_back() {
    live_and_die(); // whatever is made once
    let before = settled();
    for round in 0..3 {
        live_and_die();
        assert_eq!(settled(), before, "round {round}");
    }
}

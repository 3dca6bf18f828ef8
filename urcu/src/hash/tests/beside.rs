//! Lookups and iterations beside updates, while the table is resized all the time.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use super::{Dice, Few, OneLess, Plain, join, resize_all_the_time};
use crate::{Change, Memb, RcuHashMap};

const LOOKUPS: usize = 200_000;

/// Runs readers, at least one of which has its lookups to do, beside threads that go on until it has.
fn beside<S: Sync>(
    map: &RcuHashMap<u64, u64, S>,
    read: impl Fn(usize) + Sync,
    write: &[&(dyn Fn(&mut Dice) + Sync)],
    bits: u64,
) {
    const READERS: usize = 2;
    let left = AtomicUsize::new(READERS);
    thread::scope(|s| {
        let mut threads = Vec::new();
        for reader in 0..READERS {
            let (read, left) = (&read, &left);
            threads.push(s.spawn(move || {
                let _one_less = OneLess(left);
                read(reader);
            }));
        }
        for (seed, write) in write.iter().enumerate() {
            let left = &left;
            threads.push(s.spawn(move || {
                let mut dice = Dice::new(seed as u64 + 1);
                while left.load(Relaxed) > 0 {
                    write(&mut dice);
                }
            }));
        }
        threads.push(s.spawn(|| resize_all_the_time(map, bits, || left.load(Relaxed) == 0)));
        join(threads);
    });
}

const STABLE: u64 = 64;

fn stable<S: std::hash::BuildHasher>(hasher: S) -> RcuHashMap<u64, u64, S> {
    let map = RcuHashMap::with_hasher(hasher);
    let guard = Memb::read_lock();
    for key in 0..STABLE {
        assert!(map.insert(key, key, &guard).is_none());
    }
    map
}

/// Puts other keys in and takes them out, in waves.
fn churn<S: std::hash::BuildHasher>(map: &RcuHashMap<u64, u64, S>, dice: &mut Dice) {
    let wave = 1 + dice.below(400);
    let from = STABLE + dice.below(2000);
    for key in from..from + wave {
        drop(map.insert(key, key, &Memb::read_lock()));
    }
    for key in from..from + wave {
        drop(map.remove(&key, &Memb::read_lock()));
    }
}

fn stable_keys_are_found<S: std::hash::BuildHasher + Sync>(hasher: S) {
    let map = stable(hasher);
    let read = |_| {
        for n in 0..LOOKUPS as u64 {
            let key = n % STABLE;
            let guard = Memb::read_lock();
            assert_eq!(map.get(&key, &guard), Some(&key), "a key was missed");
        }
    };
    let churn = |dice: &mut Dice| churn(&map, dice);
    beside(&map, read, &[&churn, &churn], 8);
}

#[test]
fn a_key_that_is_there_is_found_while_two_threads_grow_and_shrink() {
    stable_keys_are_found(std::hash::RandomState::new());
}

#[test]
fn a_key_that_is_there_is_found_in_a_long_chain() {
    stable_keys_are_found(Few(40));
}

#[test]
fn a_replaced_key_is_never_absent_and_never_goes_back() {
    let map: RcuHashMap<u64, u64, Plain> = RcuHashMap::with_hasher(Plain);
    let keys = 0..8_u64;
    for key in keys.clone() {
        drop(map.insert(key, 0, &Memb::read_lock()));
    }
    let read = |_| {
        let mut seen = [0; 8];
        for n in 0..LOOKUPS as u64 {
            let key = n % 8;
            let guard = Memb::read_lock();
            let now = *map.get(&key, &guard).expect("neither old nor new");
            let before = &mut seen[key as usize];
            assert!(now >= *before, "{now} after {before}");
            *before = now;
        }
    };
    let add = |dice: &mut Dice| {
        let guard = Memb::read_lock();
        let add = |old: Option<&u64>| Change::Set(old.expect("neither old nor new") + 1);
        let old = map.update(dice.below(8), add, &guard);
        assert!(old.is_some());
    };
    beside(&map, read, &[&add, &add], 5);
    // No two updates made the same step.
    let guard = Memb::read_lock();
    assert_eq!(map.iter(&guard).count(), 8);
}

fn iterations_are_exact<S: std::hash::BuildHasher + Sync>(hasher: S) {
    let map = stable(hasher);
    let read = |reader| {
        let mut dice = Dice::new(reader as u64);
        for _ in 0..LOOKUPS / 400 {
            let guard = Memb::read_lock();
            let mut seen = [0_u8; STABLE as usize];
            for (&key, &value) in map.iter(&guard) {
                assert_eq!(key, value);
                if dice.below(64) == 0 {
                    thread::yield_now();
                }
                if key < STABLE {
                    seen[key as usize] += 1;
                }
            }
            assert_eq!(seen, [1; STABLE as usize]);
        }
    };
    let churn = |dice: &mut Dice| churn(&map, dice);
    beside(&map, read, &[&churn], 8);
}

#[test]
fn an_iteration_tells_each_entry_that_stays_once() {
    iterations_are_exact(std::hash::RandomState::new());
}

#[test]
fn an_iteration_tells_each_entry_of_long_chains_once() {
    iterations_are_exact(Few(10));
}

/// Every update of a counter is counted.
#[test]
fn updates_of_one_key_are_one_after_another() {
    let map: RcuHashMap<u64, u64> = RcuHashMap::new();
    const UPDATES: usize = 20_000;
    let read = |_| {
        for _ in 0..UPDATES {
            let add = |old: Option<&u64>| Change::Set(old.map_or(1, |old| old + 1));
            drop(map.update(7, add, &Memb::read_lock()));
        }
    };
    beside(&map, read, &[], 3);
    assert_eq!(map.get(&7, &Memb::read_lock()), Some(&(2 * UPDATES as u64)));
}

/// A key that takes its time to be compared: what was found is old when it is found.
#[derive(Debug, PartialOrd, Ord)]
struct Slow(u64);

impl PartialEq for Slow {
    fn eq(&self, other: &Self) -> bool {
        thread::yield_now();
        self.0 == other.0
    }
}

impl Eq for Slow {}

impl std::hash::Hash for Slow {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Of many that insert one key, or take it out, one succeeds.
#[test]
fn inserts_and_removes_of_one_key_have_one_winner() {
    let map: RcuHashMap<Slow, u64, Few> = RcuHashMap::with_hasher(Few(1));
    let balance = [const { AtomicUsize::new(0) }; 4];
    let left = AtomicUsize::new(3);
    thread::scope(|s| {
        let mut threads = Vec::new();
        for seed in 0..3 {
            let (map, balance, left) = (&map, &balance, &left);
            threads.push(s.spawn(move || {
                let _one_less = OneLess(left);
                let mut dice = Dice::new(seed);
                for n in 0..1_000 {
                    let key = dice.below(4);
                    let guard = Memb::read_lock();
                    let balance = &balance[key as usize];
                    if dice.below(2) == 0 {
                        if map.insert_unique(Slow(key), n, &guard).is_ok() {
                            balance.fetch_add(1, Relaxed);
                        }
                    } else if map.remove(&Slow(key), &guard).is_some() {
                        balance.fetch_sub(1, Relaxed);
                    }
                }
            }));
        }
        threads.push(s.spawn(|| resize_all_the_time(&map, 4, || left.load(Relaxed) == 0)));
        join(threads);
    });
    let guard = Memb::read_lock();
    for (key, balance) in (0..).zip(&balance) {
        let there = usize::from(map.contains_key(&Slow(key), &guard));
        assert_eq!(balance.load(Relaxed), there, "key {key}");
    }
    assert_eq!(map.len(), map.iter(&guard).count());
}

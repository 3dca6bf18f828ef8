//! Each key and each value is dropped exactly once, whatever happened to it.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;

use super::{Counted, Dice, Few, OneLess, join, resize_all_the_time};
use crate::{Change, Memb, RcuHashMap, RetiredEntry};

type Map = RcuHashMap<Counted<u64>, Counted<u64>, Few>;

fn churn(map: &Map, dice: &mut Dice, alive: &'static AtomicUsize) {
    let new = |n| Counted::new(n, alive);
    let key = dice.below(200);
    let guard = Memb::read_lock();
    match dice.below(9) {
        0 => drop(map.insert(new(key), new(1), &guard)),
        1 => _ = map.insert_unique(new(key), new(2), &guard).is_ok(),
        2 => _ = map.replace(new(key), new(3), &guard).is_ok(),
        3 => drop(map.remove(&key, &guard)),
        4 => {
            let change = |old: Option<&Counted<u64>>| match old {
                Some(old) if old.value % 2 == 0 => Change::Remove,
                Some(_) => Change::Keep,
                None => Change::Set(new(4)),
            };
            drop(map.update(new(key), change, &guard));
        }
        5 => drop(map.get_or_insert_with(new(key), || new(5), &guard)),
        6 => {
            if let Some(old) = map.remove(&key, &guard) {
                old.call(move |old, _| assert_eq!(old.value, key));
            }
        }
        7 => {
            let old = map.insert(new(key), new(6), &guard);
            drop(guard);
            if let Some((old, _)) = old.map(RetiredEntry::synchronize) {
                assert_eq!(old.value, key);
            }
        }
        _ if dice.below(50) == 0 => map.clear(&guard),
        _ => {
            if let Some(old) = map.remove(&key, &guard) {
                assert!(old.try_free().is_ok());
            }
        }
    }
}

#[test]
fn every_key_and_value_is_dropped_once() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let map = Map::with_hasher(Few(60));
    let left = AtomicUsize::new(2);
    thread::scope(|s| {
        let mut threads = Vec::new();
        for seed in 0..2 {
            let (map, left) = (&map, &left);
            threads.push(s.spawn(move || {
                let _one_less = OneLess(left);
                let mut dice = Dice::new(seed);
                for _ in 0..4_000 {
                    churn(map, &mut dice, &ALIVE);
                }
            }));
        }
        threads.push(s.spawn(|| resize_all_the_time(&map, 6, || left.load(Relaxed) == 0)));
        join(threads);
    });
    Memb::barrier();
    let entries = map.len();
    assert_eq!(entries, map.iter(&Memb::read_lock()).count());
    assert_eq!(ALIVE.load(SeqCst), 2 * entries, "retired entries are freed");
    // In the middle of a resize, if one is under way.
    drop(map);
    assert_eq!(ALIVE.load(SeqCst), 0);
}

#[test]
fn a_map_that_is_dropped_in_the_middle_of_a_resize_drops_everything_once() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    for helped in 0..20 {
        for bits in [1, 3, 6] {
            let map = Map::with_hasher(Few(50));
            let guard = Memb::read_lock();
            let section = super::super::section::Section::of(&guard);
            for n in 0..100 {
                let new = |n| Counted::new(n, &ALIVE);
                assert!(map.insert(new(n), new(n), &guard).is_none());
            }
            map.settle(&guard);
            super::force(&map, bits, section);
            for _ in 0..helped {
                map.tables.help(section);
            }
            assert_eq!(map.iter(&guard).count(), 100);
            drop(guard);
            drop(map);
            assert_eq!(ALIVE.load(SeqCst), 0);
        }
    }
}

#[test]
fn what_was_taken_out_outlives_the_map() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let map = Map::with_hasher(Few(1));
    let new = |n| Counted::new(n, &ALIVE);
    let old = {
        let guard = Memb::read_lock();
        assert!(map.insert(new(1), new(2), &guard).is_none());
        map.insert(new(1), new(3), &guard).unwrap()
    };
    drop(map);
    assert_eq!((old.key().value, old.value().value), (1, 2));
    assert_eq!(ALIVE.load(SeqCst), 2);
    let (key, value) = old.synchronize();
    assert_eq!((key.value, value.value), (1, 2));
    drop((key, value));
    assert_eq!(ALIVE.load(SeqCst), 0);
}

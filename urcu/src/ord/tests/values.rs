//! What becomes of values: each is there until it is taken out, and dropped once.

use super::{Counted, LEAF, Map};
use crate::Memb;
use crate::ord::retire;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

#[test]
fn every_value_is_dropped_once() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let map: Map<u32, Counted> = Map::new();
    let guard = Memb::read_lock();
    for n in 0..500 {
        map.insert(n % 200, Counted::new(n, &ALIVE), &guard);
    }
    assert!(
        map.insert_unique(3, Counted::new(0, &ALIVE), &guard)
            .is_err()
    );
    assert!(map.replace(900, Counted::new(0, &ALIVE), &guard).is_err());
    for n in 0..100 {
        map.remove(n, &guard);
    }
    let kept = map.get(150, &guard).unwrap().get();
    map.clear();
    map.clear();
    for n in 0..50 {
        map.insert(n, Counted::new(n, &ALIVE), &guard);
    }
    drop(guard);
    Memb::barrier();
    assert_eq!(ALIVE.load(Ordering::SeqCst), 51);
    drop((map, kept));
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
}

// What a reader has found stays whatever happens to the map.
#[test]
fn what_was_found_outlives_clear_and_removal() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let map: Map<u32, Counted> = Map::new();
    let guard = Memb::read_lock();
    for n in 0..40 {
        map.insert(n, Counted::new(n, &ALIVE), &guard);
    }
    let mut scan = map.iter(&guard);
    let (_, first) = scan.next().unwrap();
    let removed = map.remove(1, &guard).unwrap();
    let (kept, cleared) = (removed.get(), map.get(20, &guard).unwrap());
    removed.free();
    map.clear();
    assert!(map.is_empty() && map.get(0, &guard).is_none());
    assert_eq!(
        (first.0, kept.0, cleared.0, cleared.get().0),
        (0, 1, 20, 20)
    );
    // The leaf as it was, and nothing behind it.
    assert!((1..LEAF).contains(&scan.count()));
    drop(guard);
    Memb::barrier();
    assert_eq!(ALIVE.load(Ordering::SeqCst), 1);
    drop(kept);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
}

// All that is there at a moment goes: found by readers of before, by none that come later, each value given out once
// and in the order of the keys, in trees of each height.
#[test]
fn what_is_detached_is_given_out_once_and_in_order() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    for count in [1, LEAF, 10 * LEAF, 60 * LEAF] {
        let map: Map<usize, Counted> = Map::new();
        assert!(map.detach().is_none());
        let guard = Memb::read_lock();
        for n in 0..count {
            let key = (n * 7919) % 100_003;
            map.insert(
                key,
                Counted::new(u32::try_from(key).unwrap(), &ALIVE),
                &guard,
            );
        }
        let before: Vec<u32> = map.iter(&guard).map(|(_, value)| value.0).collect();
        let found = map.get(0, &guard).unwrap();
        let mut old = Vec::new();
        map.detach().unwrap().take_values(&mut old);
        assert!(map.is_empty() && map.get(0, &guard).is_none());
        assert!(old.iter().map(|value| value.0).eq(before));
        map.insert(5, Counted::new(5, &ALIVE), &guard);
        let kept = old[0].get();
        crate::RetiredArc::free_all(old);
        assert_eq!((found.0, ALIVE.load(Ordering::SeqCst)), (0, count + 1));
        drop(guard);
        Memb::barrier();
        assert_eq!(ALIVE.load(Ordering::SeqCst), 2);
        drop((map, kept));
        assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn what_is_detached_and_dropped_is_given_up_once() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let map: Map<u32, Counted> = Map::new();
    for n in 0..100 {
        map.insert(n, Counted::new(n, &ALIVE), &Memb::read_lock());
    }
    let guard = Memb::read_lock();
    drop(map.detach());
    assert_eq!(ALIVE.load(Ordering::SeqCst), 100);
    drop(guard);
    Memb::barrier();
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
}

// Several detach, others insert: each value is given to one.
#[test]
fn each_value_is_detached_by_one() {
    const ALL: u32 = 3000;
    let map: Map<u32, u32> = Map::new();
    let stop = AtomicBool::new(false);
    let mut all = std::thread::scope(|scope| {
        let detachers = [0; 2].map(|_| {
            scope.spawn(|| {
                let mut old = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    if let Some(some) = map.detach() {
                        some.take_values(&mut old);
                    }
                }
                old.iter().map(|value| **value).collect::<Vec<_>>()
            })
        });
        let writers = [0, 1].map(|first| {
            let map = &map;
            scope.spawn(move || {
                for n in (first..ALL).step_by(2) {
                    map.insert(n, Arc::new(n), &Memb::read_lock());
                }
            })
        });
        let [(), ()] = writers.map(|writer| writer.join().unwrap());
        stop.store(true, Ordering::SeqCst);
        detachers.map(|detacher| detacher.join().unwrap()).concat()
    });
    all.extend(map.iter(&Memb::read_lock()).map(|(key, _)| key));
    all.sort_unstable();
    assert!(all.into_iter().eq(0..ALL));
}

#[test]
fn a_value_whose_drop_panics_does_not_keep_the_others() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Panics(bool);
    impl Drop for Panics {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
            assert!(!self.0, "on purpose");
        }
    }
    let map: Map<u32, Panics> = Map::new();
    for n in 0..100 {
        map.insert(n, Arc::new(Panics(n == 50)), &Memb::read_lock());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(map))).is_err());
    assert_eq!(DROPS.load(Ordering::SeqCst), 100);
}

// An update is published, then the old nodes are retired, and that unwinds: the new nodes and the value were freed
// although the tree had them.
#[test]
fn what_unwinds_after_an_update_was_published_takes_nothing_back() {
    let map: Map<u32, u32> = Map::new();
    let value = Arc::new(7);
    let guard = Memb::read_lock();
    let unwinding = |update: &dyn Fn()| {
        retire::UNWINDS.set(true);
        let outcome = catch_unwind(AssertUnwindSafe(update));
        retire::UNWINDS.set(false);
        outcome.is_err()
    };
    map.insert(0, value.clone(), &guard);
    const COUNT: u32 = 300;
    for key in 1..COUNT {
        assert!(unwinding(&|| drop(map.insert(key, value.clone(), &guard))));
        assert_eq!(Arc::strong_count(&value), key as usize + 2, "{key}");
        assert!(map.contains_key(key, &guard));
        map.check(&guard);
    }
    assert!(map.check(&guard) > 2);
    for key in 0..COUNT {
        assert!(unwinding(&|| drop(map.remove(key * 7 % COUNT, &guard))));
        assert_eq!(map.len(&guard), (COUNT - 1 - key) as usize);
        map.check(&guard);
    }
    // What was not retired leaks; what is used after it was freed AddressSanitizer would tell.
    assert_eq!(Arc::strong_count(&value), COUNT as usize + 1);
}

// Each writer has its own keys, in the same leaves; a reader scans. Nothing is lost, stable entries are seen once.
#[test]
fn writers_in_the_same_leaves_lose_nothing_and_scans_see_what_stays() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    const ROUNDS: u32 = 60;
    const SPAN: u32 = 400;
    let map: Map<u32, Counted> = Map::new();
    let add = |key| {
        let guard = Memb::read_lock();
        let added = map.insert_unique(key, Counted::new(key, &ALIVE), &guard);
        assert!(added.is_ok(), "{key} was not removed");
    };
    let stable: Vec<u32> = (0..SPAN).filter(|key| key % 4 == 0).collect();
    stable.iter().copied().for_each(add);
    let over = AtomicBool::new(false);
    std::thread::scope(|s| {
        let writers: Vec<_> = [1, 2]
            .map(|residue| {
                let (map, add) = (&map, &add);
                s.spawn(move || {
                    let keys = || (0..SPAN).filter(move |key| key % 4 == residue);
                    for round in 0..ROUNDS {
                        keys().for_each(add);
                        let mut found = 0;
                        for key in keys() {
                            let guard = Memb::read_lock();
                            found += usize::from(map.get(key, &guard).is_some_and(|v| v.0 == key));
                        }
                        assert_eq!(found, keys().count(), "an entry was lost");
                        for key in keys() {
                            let guard = Memb::read_lock();
                            let key = if round % 2 == 0 {
                                key
                            } else {
                                SPAN + 2 * residue - 4 - key
                            };
                            let removed = map.remove(key, &guard);
                            assert_eq!(removed.map(|old| old.0), Some(key), "{key}");
                        }
                    }
                })
            })
            .into();
        let reader = s.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let guard = Memb::read_lock();
                let seen: Vec<u32> = map
                    .iter(&guard)
                    .map(|(key, value)| {
                        assert_eq!(key, value.0);
                        key
                    })
                    .collect();
                assert!(seen.is_sorted_by(|a, b| a < b));
                let stays = seen.iter().filter(|key| *key % 4 == 0);
                assert!(stays.eq(&stable), "a scan missed what was there");
                let len = map.len(&guard);
                assert!((stable.len()..=SPAN as usize).contains(&len));
            }
        });
        let ends: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        ends.into_iter().for_each(|end| end.unwrap());
    });
    let guard = Memb::read_lock();
    map.check(&guard);
    assert!(map.iter(&guard).map(|(key, _)| key).eq(stable));
    drop(guard);
    Memb::barrier();
    assert_eq!(ALIVE.load(Ordering::SeqCst), map.len(&Memb::read_lock()));
    drop(map);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
}

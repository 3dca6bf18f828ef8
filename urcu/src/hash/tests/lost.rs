//! No fill ends with a table that is too short, neither on one CPU nor by two threads. With liburcu's order of
//! statements one does.

use std::sync::mpsc;
use std::thread;

use super::super::resize::slack;
use super::super::section::Section;
use super::{Plain, buckets, join};
use crate::tests::libc_calls::run_on_one_processor;
use crate::{Memb, RcuHashMap};

type Map = RcuHashMap<u64, u64, Plain>;

fn fill(map: &Map, entries: u64) {
    for key in 0..entries {
        assert!(map.insert(key, key, &Memb::read_lock()).is_none());
    }
}

/// More entries than the table is for, and than it takes to look.
fn is_short(map: &Map, entries: u64) -> bool {
    let buckets = buckets(map);
    entries as usize > 4 * buckets + slack(buckets)
}

/// On a thread of its own, which nobody else uses.
fn on_one_cpu<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|s| {
        let pinned = || {
            run_on_one_processor().unwrap();
            f()
        };
        s.spawn(pinned).join().unwrap()
    })
}

#[test]
fn none_of_a_thousand_fills_ends_with_a_short_table() {
    on_one_cpu(|| {
        for n in 0..1000 {
            let map = Map::with_hasher(Plain);
            let entries = 100 + 3 * n;
            fill(&map, entries);
            assert!(!is_short(&map, entries), "{entries} in {}", buckets(&map));
        }
    });
}

/// Two threads, each of which may see the other resize.
#[test]
fn no_fill_by_two_ends_with_a_short_table() {
    for n in 0..100 {
        let map = Map::with_hasher(Plain);
        let entries = 500 + 30 * n;
        thread::scope(|s| {
            let halves = [0, 1].map(|half| {
                let map = &map;
                s.spawn(move || {
                    for key in (half..entries).step_by(2) {
                        drop(map.insert(key, key, &Memb::read_lock()));
                    }
                })
            });
            join(halves.into());
        });
        let buckets = buckets(&map);
        // Each thread may have looked just before the other's last ones were counted.
        assert!(
            entries as usize <= 4 * buckets + 2 * slack(buckets),
            "{entries} in {buckets}"
        );
    }
}

/// A resize whose size has become wrong by its end is followed by another one, also if all that come then replace
/// what is there, and change no number of entries.
#[test]
fn a_resize_that_ends_with_a_short_table_is_not_the_last() {
    const ENTRIES: u64 = 1000;
    let map = Map::with_hasher(Plain);
    fill(&map, ENTRIES);
    let guard = Memb::read_lock();
    map.settle(&guard);
    let before = buckets(&map);
    super::force(&map, 1, Section::of(&guard));
    assert_eq!(buckets(&map), 2);
    // Each moves some buckets, of this resize and of the next.
    for key in 0..ENTRIES {
        assert!(map.insert(key, key + 1, &guard).is_some());
    }
    assert!(buckets(&map) >= before, "{} of {before}", buckets(&map));
    assert!((0..ENTRIES).all(|key| map.get(&key, &guard) == Some(&(key + 1))));
}

/// A worker that is told as liburcu's is.
fn fill_with_a_worker(entries: u64) -> bool {
    let map = Map::with_hasher(Plain);
    let (work, queue) = mpsc::channel();
    map.tables.fault.set_worker(work.clone());
    thread::scope(|s| {
        let map = &map;
        let worker = s.spawn(move || {
            while queue.recv() == Ok(true) {
                map.tables.settle(Section::of(&Memb::read_lock()));
                map.tables.fault.served();
            }
        });
        fill(map, entries);
        // What is queued is served before this: a resize that has not come by then never comes.
        work.send(false).unwrap();
        worker.join().unwrap();
    });
    is_short(&map, entries)
}

#[test]
fn control_with_liburcus_order_of_statements_a_fill_ends_short() {
    assert!(fill_with_a_worker(2_000), "the lost resize was not seen");
}

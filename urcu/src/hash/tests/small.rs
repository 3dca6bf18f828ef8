//! Sizes, growth and shrinking, and what is `const`.

use std::hash::{BuildHasherDefault, DefaultHasher};

use super::super::bucket::Line;
use super::super::table::Table;
use super::{Plain, buckets};
use crate::{Mb, Memb, Qsbr, RcuHashMap};

type Fixed = BuildHasherDefault<DefaultHasher>;

static MAP: RcuHashMap<u64, &str, Fixed> = RcuHashMap::with_hasher(Fixed::new());

#[test]
fn a_static_map_is_made_by_the_compiler() {
    let guard = Memb::read_lock();
    assert_eq!(MAP.get(&1, &guard), None);
    assert!(MAP.insert(1, "one", &guard).is_none());
    assert_eq!(MAP.get(&1, &guard), Some(&"one"));
}

/// An empty map has no heap: its table and its counters come with the first entry.
#[test]
fn an_empty_map_is_small() {
    let map: RcuHashMap<String, String> = RcuHashMap::with_capacity(1 << 20);
    let fault = size_of::<super::super::fault::Fault>();
    assert!(size_of_val(&map) - fault <= 48);
    let guard = Memb::read_lock();
    assert_eq!(map.get("", &guard), None);
    assert_eq!(map.iter(&guard).count(), 0);
    assert!(
        map.tables
            .current(super::super::section::Section::of(&guard))
            .is_none()
    );
}

#[test]
fn a_map_with_one_entry_takes_less_than_half_a_kilobyte() {
    let table = Table::<u64>::new(0);
    assert_eq!((table.len(), size_of::<Line<u64>>()), (2, 64));
    assert!(table.bytes() <= 384, "{}", table.bytes());
}

#[test]
fn the_table_follows_the_number_of_entries_up_and_down() {
    let map: RcuHashMap<u64, u64, Plain> = RcuHashMap::with_hasher(Plain);
    const ENTRIES: u64 = 20_000;
    for key in 0..ENTRIES {
        drop(map.insert(key, key, &Memb::read_lock()));
    }
    assert!((ENTRIES as usize / 4..ENTRIES as usize).contains(&buckets(&map)));
    for key in 0..ENTRIES {
        assert!(map.remove(&key, &Memb::read_lock()).is_some());
        let (left, buckets) = ((ENTRIES - key) as usize, buckets(&map));
        // Shrinks at 3/4 of an entry for each bucket; while it does, others go.
        assert!(buckets < 4 * left + 600, "{buckets} buckets for {left}");
    }
    let guard = Memb::read_lock();
    map.settle(&guard);
    assert_eq!(buckets(&map), 2);
    assert_eq!((map.len(), map.iter(&guard).count()), (0, 0));
}

/// The same number of entries, always others: nothing grows.
#[test]
fn churn_takes_no_more_memory() {
    let map: RcuHashMap<u64, u64> = RcuHashMap::new();
    const ENTRIES: u64 = 1000;
    let mut most = 0;
    for key in 0..60 * ENTRIES {
        drop(map.insert(key, key, &Memb::read_lock()));
        if key >= ENTRIES {
            assert!(map.remove(&(key - ENTRIES), &Memb::read_lock()).is_some());
        }
        most = most.max(buckets(&map));
    }
    assert!(most <= ENTRIES as usize, "{most} buckets");
    // Lines that were added to full buckets are unlinked when they are empty.
    let guard = Memb::read_lock();
    map.settle(&guard);
    let section = super::super::section::Section::of(&guard);
    let table = map.tables.current(section).unwrap();
    let lines = |i| table.bucket(i).segments(section).count();
    let lines: usize = (0..table.len()).map(lines).sum();
    assert!(4 * lines < 7 * table.len(), "{lines} in {}", table.len());
}

#[test]
fn a_capacity_is_kept() {
    let map: RcuHashMap<u64, u64, Plain> = RcuHashMap::with_capacity_and_hasher(1000, Plain);
    let guard = Memb::read_lock();
    assert!(map.capacity(&guard) >= 1000);
    for key in 0..1000 {
        drop(map.insert(key, key, &guard));
        assert_eq!(map.capacity(&guard), 1024);
    }
    map.clear(&guard);
    map.settle(&guard);
    assert_eq!(map.capacity(&guard), 1024);
}

#[test]
fn other_flavors_have_maps_too() {
    let map: RcuHashMap<u32, u32, Plain, Mb> = [(1, 2), (3, 4)].into_iter().collect();
    assert_eq!(map.get(&3, &Mb::read_lock()), Some(&4));
    assert_eq!(format!("{map:?}").len(), "{1: 2, 3: 4}".len());

    let mut thread = Qsbr::register();
    let map: RcuHashMap<u32, String, Plain, Qsbr> = RcuHashMap::default();
    let old = {
        let guard = thread.read_lock();
        assert!(map.insert(1, "one".to_owned(), &guard).is_none());
        map.insert(1, "eins".to_owned(), &guard).unwrap()
    };
    thread.quiescent_state();
    assert_eq!(old.synchronize_with(&mut thread), (1, "one".to_owned()));
    assert_eq!(format!("{map:?}"), "RcuHashMap { len: 1, .. }");
}

#[test]
fn the_traits_of_std_do_what_they_do_there() {
    let mut map: RcuHashMap<u64, u64> = RcuHashMap::from([(1, 1), (2, 2), (1, 3)]);
    assert_eq!(map.len(), 2);
    map.extend((0..100).map(|n| (n, n)));
    assert_eq!(map.len(), 100);
    let guard = Memb::read_lock();
    let mut keys: Vec<_> = map.keys(&guard).copied().collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..100).collect::<Vec<_>>());
    assert_eq!(map.values(&guard).sum::<u64>(), 4950);
    let mut iter = map.iter(&guard);
    iter.by_ref().take(98).for_each(drop);
    assert_eq!(iter.clone().count(), 2);
    assert!(format!("{iter:?}").matches(": ").count() == 2);
    assert_eq!(iter.by_ref().count(), 2);
    assert!(iter.next().is_none());
}

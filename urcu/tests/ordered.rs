//! The ordered map as it is shipped: how much memory it takes, and that it gives it back.
//!
//! One test in a process of its own: the allocator counts.

mod counting;

use std::sync::Arc;

use counting::settled;
use urcu::{Memb, OrdMap};

/// The same sequence in every run; hits each number below 2^bits once.
fn mixed(n: u64, bits: u32) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & ((1 << bits) - 1)
}

type Map = OrdMap<u64, ()>;

fn insert(map: &Map, key: u64, value: &Arc<()>) {
    assert!(map.insert(key, value.clone(), &Memb::read_lock()).is_none());
}

fn remove(map: &Map, key: u64) {
    assert!(map.remove(key, &Memb::read_lock()).is_some());
}

/// Bytes of the map itself: the values share one allocation.
fn bytes_of(map: &Map, before: usize) -> usize {
    settled() - before + size_of_val(map)
}

#[test]
fn memory_is_20_bytes_an_entry_at_most_and_comes_back() {
    let value = Arc::new(());
    // Whatever is made once.
    let map = Map::new();
    (0..10_000).for_each(|key| insert(&map, key, &value));
    (0..10_000).for_each(|key| remove(&map, key));
    let before = settled();
    assert_eq!(bytes_of(&map, before), 8, "an empty map is a word");

    for n in 1..=19 {
        insert(&map, mixed(n, 20), &value);
    }
    let small = bytes_of(&map, before);
    assert!(small <= 19 * 20, "{small} bytes for 19 entries");
    map.clear();
    assert_eq!(bytes_of(&map, before), 8, "cleared");

    const BITS: u32 = 20;
    for n in 0..1_u64 << BITS {
        insert(&map, mixed(n, BITS), &value);
    }
    let large = bytes_of(&map, before);
    assert!(large <= 20 << BITS, "{large} bytes for 2^{BITS} entries");

    // What becomes sparse is merged: of 2^20 entries every 64th stays, which may be one for each leaf.
    for key in (0..1_u64 << BITS).filter(|key| !key.is_multiple_of(64)) {
        remove(&map, key);
    }
    let left = 1_usize << (BITS - 6);
    let sparse = bytes_of(&map, before);
    assert!(sparse <= left * 20, "{sparse} bytes for {left} entries");
    assert_eq!(map.len(&Memb::read_lock()), left);
    (0..left as u64).for_each(|key| remove(&map, key * 64));
    assert_eq!(bytes_of(&map, before), 8, "emptied");

    // A queue of timers: what comes at one end goes at the other.
    const WAITING: u64 = 1000;
    for due in 0..200_000 {
        insert(&map, due, &value);
        if due >= WAITING {
            remove(&map, due - WAITING);
        }
    }
    let queue = bytes_of(&map, before);
    assert!(
        queue <= WAITING as usize * 20,
        "{queue} bytes for {WAITING} timers"
    );
    // And entries that come and go anywhere.
    map.clear();
    for n in 0..200_000 {
        insert(&map, mixed(n, 40), &value);
        if n >= WAITING {
            remove(&map, mixed(n - WAITING, 40));
        }
    }
    let churned = bytes_of(&map, before);
    assert!(
        churned <= WAITING as usize * 20,
        "{churned} bytes for {WAITING} entries"
    );
    drop(map);
    assert_eq!(settled(), before);
    assert_eq!(Arc::strong_count(&value), 1);
    // Not before: what is printed is kept by the test harness, in memory that would be counted.
    println!(
        "bytes: {small} for 19 entries, {large} for {}, sparse {sparse} for {left}, queue {queue} and churned \
         {churned} for {WAITING}",
        1 << BITS
    );
}

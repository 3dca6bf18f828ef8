//! The hash map's tables: lookups beside a resize and beside updates, and who begins the next resize.

#[path = "../../../urcu/src/hash/bucket.rs"]
mod bucket;
#[path = "../../../urcu/src/hash/count.rs"]
mod count;
#[path = "../../../urcu/src/hash/iter.rs"]
mod iter;
#[path = "../../../urcu/src/hash/node.rs"]
mod node;
#[path = "../../../urcu/src/hash/resize.rs"]
mod resize;
#[path = "../../../urcu/src/hash/section.rs"]
mod section;
#[path = "../../../urcu/src/hash/table.rs"]
mod table;
#[path = "../../../urcu/src/hash/tables.rs"]
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::thread;

use crate::flavor::Memb;
use crate::lists::Watched;
use iter::Iter;
use node::{Hash, Node};
use section::Section;
use table::Table;
use tables::Tables;

type Map = Tables<u64, Watched, Memb>;

/// Keys are their own hashes: the top bit chooses the bucket, the low byte is the tag.
const KEYS: [u64; 2] = [2, 1 << 63 | 4];

fn section<'g>() -> Section<'g> {
    // SAFETY: clause 1: in the models nothing is freed before all threads have ended.
    unsafe { Section::exclusive() }
}

/// The first values of a table's atomics belong to nobody.
fn touch(table: &Table<Node<u64, Watched>>) {
    let _ = format!("{table:?}");
    for index in 0..table.len() {
        let bucket = table.bucket(index);
        let _ = (bucket.word(), bucket.places(section()).count());
        drop(bucket.lock()); // what it looks at, too
    }
}

/// Puts a value in; tells whether there was one.
fn put(map: &Map, key: u64, number: u32) -> bool {
    let value = Watched::new();
    value.set(number);
    let hash = Hash(key);
    let mut node = Box::new(Node { hash, key, value });
    loop {
        let spot = map.search(hash, |node| node.key == key, section());
        match map.store(&spot, node, section()) {
            Ok(stored) => return stored.old.is_some(),
            Err(back) => node = back,
        }
    }
}

/// Takes a key out.
fn take(map: &Map, key: u64) {
    loop {
        let spot = map.search(Hash(key), |node| node.key == key, section());
        if let Ok(taken) = map.take(&spot, section()) {
            assert!(taken.is_some());
            return;
        }
    }
}

fn get(map: &Map, key: u64) -> Option<u32> {
    let found = map.get(Hash(key), |other| *other == key, section());
    found.map(|node| node.value.get())
}

fn newest(map: &Map) -> &Table<Node<u64, Watched>> {
    let table = map.current(section()).expect("there are entries");
    table.next(section()).unwrap_or(table)
}

/// A map with these entries, all 1, in two buckets.
fn with(keys: &[u64]) -> Arc<Map> {
    let map = Map::new(1);
    // A table there is from the first search on.
    let _ = map.search(Hash(0), |_| true, section());
    touch(newest(&map));
    for &key in keys {
        assert!(!put(&map, key, 1));
    }
    assert!(!newest(&map).has_next());
    // Counters too.
    let _ = map.count.add(0);
    Arc::new(map)
}

/// Begins a resize, to a table of the same size.
fn begin_resize(map: &Map) {
    let table = newest(map);
    assert!(table.set_next(Table::new(table.bits())));
    touch(newest(map));
}

/// Both at a time, in threads of their own: of what the first thread does loom does not try all orders.
fn beside(
    map: &Arc<Map>,
    one: impl FnOnce(&Map) + Send + 'static,
    other: impl FnOnce(&Map) + Send + 'static,
) {
    let (first, second) = (Arc::clone(map), Arc::clone(map));
    let one = thread::spawn(move || one(&first));
    let other = thread::spawn(move || other(&second));
    one.join().expect("the one");
    other.join().expect("the other");
}

/// Everything is moved to the next table, which takes the first one's place; lookups beside that find each key, before or
/// after.
pub(crate) fn moved() {
    let map = with(&KEYS);
    begin_resize(&map);
    beside(
        &map,
        |map| {
            for key in KEYS {
                assert_eq!(get(map, key), Some(1), "neither old nor new");
            }
        },
        |map| map.help(section()),
    );
    assert!(!map.current(section()).is_some_and(Table::has_next));
    assert!(KEYS.iter().all(|&key| get(&map, key) == Some(1)));
}

/// An entry is replaced while its bucket is moved: lookups see the old one or the new one, and the old one not again.
pub(crate) fn replaced() {
    let map = with(&KEYS[..1]);
    begin_resize(&map);
    beside(
        &map,
        |map| {
            let seen = [(); 2].map(|()| get(map, KEYS[0]).expect("neither old nor new"));
            assert!(seen[0] <= seen[1]);
        },
        |map| assert!(put(map, KEYS[0], 2)),
    );
    assert_eq!(get(&map, KEYS[0]), Some(2), "the update was lost");
}

/// Two put the same key in: one of them finds that of the other.
pub(crate) fn one_winner() {
    let map = with(&[]);
    let losers = Arc::new(AtomicUsize::new(0));
    let put = |number| {
        let losers = Arc::clone(&losers);
        move |map: &Map| _ = losers.fetch_add(put(map, KEYS[0], number).into(), Relaxed)
    };
    beside(&map, put(1), put(2));
    assert_eq!(losers.load(Relaxed), 1);
    assert_eq!((map.count.sum(), count(&map)), (1, 1));
}

fn count(map: &Map) -> usize {
    let mut entries = Iter::new(map, section());
    std::iter::from_fn(|| entries.next_node()).count()
}

/// Who has met an entry in an iteration finds it; who finds none does not meet it afterwards.
pub(crate) fn seen_again(removed: bool) {
    let map = with(if removed { &KEYS[..1] } else { &[] });
    let is_met = |map: &Map| count(map) > 0;
    if removed {
        let look = move |map: &Map| {
            let found = get(map, KEYS[0]);
            assert!(!is_met(map) || found.is_some(), "it was gone, and came back");
        };
        beside(&map, look, |map| take(map, KEYS[0]));
    } else {
        let look = move |map: &Map| {
            let met = is_met(map);
            assert!(get(map, KEYS[0]).is_some() || !met, "it was there, and gone");
        };
        beside(&map, look, |map| assert!(!put(map, KEYS[0], 1)));
    }
    assert_eq!(get(&map, KEYS[0]).is_some(), !removed);
}

/// One more entry than the table is for comes while a resize that was begun before is being ended: another one begins.
pub(crate) fn growth_is_not_lost() {
    let map = with(&KEYS[..1]);
    begin_resize(&map);
    let table = map.current(section()).expect("there is one");
    let next = table.next(section()).expect("just begun");
    assert!(table.move_one(next, section()).is_null());
    // As if there were so many: as many as two buckets are for.
    let _ = map.count.add(7);
    beside(
        &map,
        |map| {
            assert!(!put(map, KEYS[1], 1));
        },
        |map| map.help(section()),
    );
    assert!(newest(&map).len() > 2, "nobody sees to it");
}

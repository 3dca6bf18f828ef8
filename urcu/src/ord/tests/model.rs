//! Beside `BTreeMap`: all operations, scans with updates between their steps, and trees of many levels.

use super::{Counted, KEYS, Map};
use crate::guard::Guard;
use crate::{Mb, Memb, OrdMap, RetiredArc};
use core::ops::{Bound, RangeBounds as _};
use core::sync::atomic::AtomicUsize;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
enum Op {
    Insert(u16),
    Unique(u16),
    Replace(u16),
    Remove(u16),
    /// Some keys in a row, as they come to a directory of timers.
    InsertRow(u16, u16),
    RemoveRow(u16, u16),
    Range(Bound<u16>, Bound<u16>),
    Clear,
}

fn bound() -> impl Strategy<Value = Bound<u16>> {
    prop_oneof![
        (0..KEYS).prop_map(Bound::Included),
        (0..KEYS).prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..KEYS).prop_map(Op::Insert),
        2 => (0..KEYS).prop_map(Op::Unique),
        2 => (0..KEYS).prop_map(Op::Replace),
        8 => (0..KEYS).prop_map(Op::Remove),
        4 => (0..KEYS, 0..60_u16).prop_map(|(from, n)| Op::InsertRow(from, n)),
        3 => (0..KEYS, 0..60_u16).prop_map(|(from, n)| Op::RemoveRow(from, n)),
        4 => (bound(), bound()).prop_map(|(start, end)| Op::Range(start, end)),
        1 => Just(Op::Clear),
    ]
}

fn apply(map: &Map<u16, Counted>, model: &mut BTreeMap<u16, u32>, op: Op, n: u32) {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let new = || Counted::new(n, &ALIVE);
    let guard = Memb::read_lock();
    let number = |old: RetiredArc<Counted>| old.0;
    match op {
        Op::Insert(key) => {
            let old = map.insert(key, new(), &guard).map(number);
            assert_eq!(old, model.insert(key, n));
        }
        Op::Unique(key) => {
            let refused = map.insert_unique(key, new(), &guard).err();
            let refused = refused.map(|(present, back)| (present.0, back.0));
            assert_eq!(refused, model.get(&key).map(|present| (*present, n)));
            model.entry(key).or_insert(n);
        }
        Op::Replace(key) => {
            let replaced = map.replace(key, new(), &guard);
            let replaced = replaced.map(number).map_err(|back| back.0);
            assert_eq!(replaced.ok(), model.get(&key).copied());
            model.entry(key).and_modify(|value| *value = n);
        }
        Op::Remove(key) => {
            assert_eq!(
                map.remove(key, &guard).map(number),
                model.remove(&key),
                "{key}"
            );
        }
        Op::InsertRow(from, count) => {
            (from..from + count).for_each(|key| apply(map, model, Op::Insert(key), n));
        }
        Op::RemoveRow(from, count) => {
            (from..from + count).for_each(|key| apply(map, model, Op::Remove(key), n));
        }
        Op::Range(start, end) => {
            let found: Vec<_> = map
                .range((start, end), &guard)
                .map(|(k, v)| (k, v.0))
                .collect();
            // BTreeMap refuses what is the wrong way round.
            let inside = |key: &u16| (start, end).contains(key);
            let expected = model.iter().filter(|(key, _)| inside(key));
            assert!(found.into_iter().eq(expected.map(|(k, v)| (*k, *v))));
        }
        Op::Clear => {
            map.clear();
            model.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_btreemap(ops in vec(op(), 1..150)) {
        let map = Map::new();
        let mut model = BTreeMap::new();
        for (n, op) in (0..).zip(ops) {
            apply(&map, &mut model, op, n);
            let guard = Memb::read_lock();
            map.check(&guard);
            let all = map.iter(&guard).map(|(key, value)| (key, value.0));
            prop_assert!(all.eq(model.iter().map(|(k, v)| (*k, *v))));
            prop_assert_eq!((map.len(&guard), map.is_empty()), (model.len(), model.is_empty()));
            let from = n as u16 * 7 % KEYS; // CAST: few operations
            for key in from..from + 20 {
                prop_assert_eq!(map.get(key, &guard).map(|v| v.0), model.get(&key).copied());
                let least = model.range(key..).next().map(|(k, v)| (*k, *v));
                let found = map.lower_bound(key, &guard).map(|(k, v)| (k, v.0));
                prop_assert_eq!(found, least);
            }
        }
    }

    // Updates between the steps of a scan, in one thread: what is there throughout is seen once and in order, and
    // what is seen was there at some time.
    #[test]
    fn a_scan_sees_what_stays_exactly_once(
        first in vec(0..KEYS, 0..300),
        steps in vec(vec(op(), 0..4), 0..200),
    ) {
        let faults = scan_between(&first, &steps, |map, guard| {
            let mut scan = map.iter(guard);
            Box::new(move || scan.next().map(|(key, _)| key))
        });
        prop_assert_eq!(faults, 0);
    }
}

type Scan<'g> = Box<dyn FnMut() -> Option<u16> + 'g>;

/// How many keys a scan with updates between its steps misses, doubles or disorders. Multiples of 5 stay.
fn scan_between(
    first: &[u16],
    steps: &[Vec<Op>],
    scan: impl for<'g> Fn(&'g Map<u16, Counted>, &'g Guard<'g>) -> Scan<'g>,
) -> usize {
    let stays = |key: u16| key.is_multiple_of(5);
    let map = Map::new();
    let mut model = BTreeMap::new();
    for &key in first {
        apply(&map, &mut model, Op::Insert(key), 0);
    }
    let stable: Vec<u16> = model.keys().copied().filter(|key| stays(*key)).collect();
    let guard = Memb::read_lock();
    let mut next = scan(&map, &guard);
    let mut seen = Vec::new();
    let mut steps = steps.iter();
    while let Some(key) = next() {
        seen.push(key);
        let ops = steps.next().into_iter().flatten().copied();
        for op in ops.flat_map(singly) {
            let touched = match op {
                Op::Insert(key) | Op::Unique(key) | Op::Replace(key) | Op::Remove(key) => key,
                _ => continue,
            };
            if !(stays(touched) && matches!(op, Op::Remove(_) | Op::Insert(_))) {
                apply(&map, &mut model, op, 1);
            }
        }
    }
    let disorder = seen.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    let missed = stable.iter().filter(|key| !seen.contains(key)).count();
    disorder + missed
}

fn singly(op: Op) -> Vec<Op> {
    match op {
        Op::InsertRow(from, n) => (from..from + n).map(Op::Insert).collect(),
        Op::RemoveRow(from, n) => (from..from + n).map(Op::Remove).collect(),
        op => vec![op],
    }
}

// The control: a scan that goes on by position, at the n-th entry, fails the same test.
#[test]
fn a_scan_by_position_is_found_out() {
    let first: Vec<u16> = (0..100).collect();
    let steps: Vec<Vec<Op>> = (0..100)
        .map(|n| {
            if n % 2 == 0 {
                vec![Op::RemoveRow(n, 7)]
            } else {
                vec![Op::InsertRow(0, 90)]
            }
        })
        .collect();
    let faults = scan_between(&first, &steps, |map, guard| {
        let mut position = 0;
        Box::new(move || {
            position += 1;
            map.iter(guard).nth(position - 1).map(|(key, _)| key)
        })
    });
    assert_ne!(faults, 0);
    let by_key = scan_between(&first, &steps, |map, guard| {
        let mut scan = map.iter(guard);
        Box::new(move || scan.next().map(|(key, _)| key))
    });
    assert_eq!(by_key, 0);
}

#[test]
fn many_levels_grow_and_shrink_again() {
    let map: OrdMap<u32, u32, Mb> = OrdMap::new();
    let guard = Mb::read_lock();
    const COUNT: u32 = 4096;
    // An odd factor goes once through all residues.
    for (order, factor) in [("ascending", 1), ("descending", COUNT - 1), ("mixed", 2731)] {
        let key = |n: u32| n * factor % COUNT;
        let mut highest = 0;
        for n in 0..COUNT {
            assert!(map.insert(key(n), Arc::new(n), &guard).is_none(), "{order}");
            highest = highest.max(map.check(&guard));
        }
        assert!((4..=7).contains(&highest), "{order}: {highest} levels");
        for n in 0..COUNT {
            assert_eq!(map.remove(key(n), &guard).as_deref(), Some(&n), "{order}");
            map.check(&guard);
            if n + 4 >= COUNT {
                assert!(
                    map.check(&guard) <= 2,
                    "{order}: few entries in many levels"
                );
            }
        }
        assert!(map.is_empty());
    }
}

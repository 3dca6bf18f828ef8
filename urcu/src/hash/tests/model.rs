//! The map beside `std`'s.

use std::collections::HashMap;
use std::hash::BuildHasher;

use proptest::prelude::*;

use super::super::section::Section;
use super::{Few, Plain, force};
use crate::{Change, Memb, RcuHashMap};

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u32),
    InsertUnique(u16, u32),
    Replace(u16, u32),
    Remove(u16),
    Add(u16, u32),
    RemoveOdd(u16),
    Get(u16),
    Iterate,
    Retain(u32),
    Clear,
    Settle,
    Resize(u32),
    Help(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..300_u16;
    let step = prop_oneof![
        20 => (key.clone(), any::<u32>()).prop_map(|(k, v)| Step::Insert(k, v)),
        8 => (key.clone(), any::<u32>()).prop_map(|(k, v)| Step::InsertUnique(k, v)),
        8 => (key.clone(), any::<u32>()).prop_map(|(k, v)| Step::Replace(k, v)),
        15 => key.clone().prop_map(Step::Remove),
        8 => (key.clone(), 0..9_u32).prop_map(|(k, v)| Step::Add(k, v)),
        4 => key.clone().prop_map(Step::RemoveOdd),
        8 => key.prop_map(Step::Get),
        2 => Just(Step::Iterate),
        1 => (2..5_u32).prop_map(Step::Retain),
        1 => Just(Step::Clear),
        1 => Just(Step::Settle),
        6 => (1..8_u32).prop_map(Step::Resize),
        4 => (0..9_u8).prop_map(Step::Help),
    ];
    prop::collection::vec(step, 1..600)
}

fn pair(entry: Option<crate::RetiredEntry<u16, u32>>) -> Option<(u16, u32)> {
    entry.map(|entry| (*entry.key(), *entry.value()))
}

fn check<S: BuildHasher>(steps: Vec<Step>, hasher: S) {
    let map: RcuHashMap<u16, u32, S> = RcuHashMap::with_hasher(hasher);
    let mut model = HashMap::new();
    for step in steps {
        let guard = Memb::read_lock();
        match step {
            Step::Insert(k, v) => {
                let old = model.insert(k, v).map(|old| (k, old));
                assert_eq!(pair(map.insert(k, v, &guard)), old);
            }
            Step::InsertUnique(k, v) => match map.insert_unique(k, v, &guard) {
                Ok(&stored) => {
                    assert_eq!(stored, v);
                    assert_eq!(model.insert(k, v), None);
                }
                Err(occupied) => {
                    assert_eq!((occupied.key, occupied.value), (k, v));
                    assert_eq!(Some(occupied.present), model.get(&k));
                }
            },
            Step::Replace(k, v) => match map.replace(k, v, &guard) {
                Ok(old) => assert_eq!(Some(*old.value()), model.insert(k, v)),
                Err(back) => {
                    assert_eq!(back, (k, v));
                    assert!(!model.contains_key(&k));
                }
            },
            Step::Remove(k) => {
                let old = model.remove(&k).map(|old| (k, old));
                assert_eq!(pair(map.remove(&k, &guard)), old);
            }
            Step::Add(k, n) => {
                let add = |old: Option<&u32>| Change::Set(old.map_or(n, |old| old.wrapping_add(n)));
                let old = model.get(&k).copied();
                model.insert(k, old.map_or(n, |old| old.wrapping_add(n)));
                assert_eq!(pair(map.update(k, add, &guard)), old.map(|old| (k, old)));
            }
            Step::RemoveOdd(k) => {
                let odd = |old: Option<&u32>| match old {
                    Some(old) if old % 2 == 1 => Change::Remove,
                    _ => Change::Keep,
                };
                let is_odd = model.get(&k).is_some_and(|old| old % 2 == 1);
                let old = is_odd.then(|| (k, model.remove(&k).unwrap()));
                assert_eq!(pair(map.update(k, odd, &guard)), old);
            }
            Step::Get(k) => {
                assert_eq!(map.get(&k, &guard), model.get(&k));
                assert_eq!(map.contains_key(&k, &guard), model.contains_key(&k));
                assert_eq!(map.get_key_value(&k, &guard), model.get_key_value(&k));
            }
            Step::Iterate => {
                let all: Vec<_> = map.iter(&guard).map(|(k, v)| (*k, *v)).collect();
                assert_eq!(all.len(), model.len());
                assert_eq!(all.into_iter().collect::<HashMap<_, _>>(), model);
            }
            Step::Retain(n) => {
                map.retain(|_, v| v % n != 0, &guard);
                model.retain(|_, v| *v % n != 0);
            }
            Step::Clear => {
                map.clear(&guard);
                model.clear();
            }
            Step::Settle => map.settle(&guard),
            Step::Resize(bits) => force(&map, bits, Section::of(&guard)),
            Step::Help(times) => (0..times).for_each(|_| map.tables.help(Section::of(&guard))),
        }
        assert_eq!(map.len(), model.len());
        assert_eq!(map.is_empty(), model.is_empty());
    }
    let guard = Memb::read_lock();
    for k in 0..300 {
        assert_eq!(map.get(&k, &guard), model.get(&k));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_map_with_a_good_hasher_is_stds(steps in steps()) {
        check(steps, std::hash::RandomState::new());
    }

    #[test]
    fn a_map_with_the_keys_as_hashes_is_stds(steps in steps()) {
        check(steps, Plain);
    }

    // Long chains: further lines are linked, unlinked, moved and merged.
    #[test]
    fn a_map_with_few_hashes_is_stds(steps in steps(), hashes in 1..20_u64) {
        check(steps, Few(hashes));
    }
}

//! Keys whose order does more than to compare: it changes the map meanwhile, panics, or is no order.

use super::{Counted, INNER, KEYS, LEAF, Map};
use crate::Memb;
use crate::guard::Guard;
use core::cell::Cell;
use core::cmp;
use core::sync::atomic::{AtomicUsize, Ordering};
use proptest::collection::vec;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What the next comparisons of this thread do.
type Hook = Box<dyn FnMut(Odd, Odd) -> Option<cmp::Ordering>>;

thread_local! {
    static HOOK: Cell<Option<Hook>> = const { Cell::new(None) };
}

fn with_hook<R>(
    hook: impl FnMut(Odd, Odd) -> Option<cmp::Ordering> + 'static,
    f: impl FnOnce() -> R,
) -> R {
    struct Unhook;
    impl Drop for Unhook {
        fn drop(&mut self) {
            HOOK.set(None);
        }
    }
    HOOK.set(Some(Box::new(hook)));
    let _unhook = Unhook;
    f()
}

/// A key whose order misbehaves on demand.
#[derive(Clone, Copy, Debug)]
struct Odd(u32);

impl Ord for Odd {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        // Out of the cell while it runs: its own comparisons are plain.
        let Some(mut hook) = HOOK.take() else {
            return self.0.cmp(&other.0);
        };
        let order = hook(*self, *other);
        HOOK.set(Some(hook));
        order.unwrap_or_else(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Odd {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Odd {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Odd {}

fn even_keys() -> Map<Odd, u32> {
    let map = Map::new();
    for n in 0..100 {
        map.insert(Odd(2 * n), Arc::new(n), &Memb::read_lock());
    }
    map
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    // Updates *inside* of the searches of a scan, while it looks at nodes that are replaced under it: each
    // comparison may bring some, as another thread would. What is there throughout is seen once, and in order.
    #[test]
    fn a_scan_whose_nodes_are_replaced_under_it_sees_what_stays_exactly_once(
        first in 20..KEYS,
        rows in vec((0..KEYS, 1..90_u16, any::<bool>()), 1..60),
        every in 1..12_u32,
        stays in prop_oneof![Just(u32::MAX), 3..40_u32],
    ) {
        let map: Arc<Map<Odd, u32>> = Arc::new(Map::new());
        let put = |map: &Map<Odd, u32>, key: u32| {
            drop(map.insert_unique(Odd(key), Arc::new(key), &Memb::read_lock()));
        };
        for key in 0..first {
            put(&map, key.into());
        }
        let (mut rows, mut comparisons) = (rows.into_iter().cycle().take(300), 0);
        let shared = map.clone();
        let churn = move |_, _| {
            comparisons += 1;
            if comparisons % every == 0
                && let Some((from, count, insert)) = rows.next()
            {
                for key in (from..from + count).map(u32::from) {
                    if insert {
                        put(&shared, key);
                    } else if !key.is_multiple_of(stays) {
                        shared.remove(Odd(key), &Memb::read_lock());
                    }
                }
            }
            None
        };
        let guard = Memb::read_lock();
        let seen: Vec<u32> = with_hook(churn, || map.iter(&guard).map(|(key, _)| key.0).collect());
        prop_assert!(seen.is_sorted_by(|a, b| a < b), "twice, or not in order: {:?}", seen);
        let stable = (0..u32::from(first)).filter(|key| key.is_multiple_of(stays));
        for key in stable {
            prop_assert!(seen.contains(&key), "{} was missed", key);
        }
        map.check(&guard);
    }
}

// A scan has loaded the root, and compares there, when one of the root's children becomes empty: a new root gives
// its share to the child before it, which goes on to change in place. The scan comes to that child by the old root, and
// finds a key there that is behind the share that it came for. It is not seen now and then again.
#[test]
fn a_share_that_grows_under_a_scan_is_not_seen_twice() {
    const BELOW: u32 = (LEAF * INNER) as u32; // keys below each child of the root
    for child in 0..INNER as u32 - 2 {
        let map: Arc<Map<Odd, u32>> = Arc::new(Map::new());
        let put = |map: &Map<Odd, u32>, key: u32| {
            drop(map.insert(Odd(key), Arc::new(key), &Memb::read_lock()));
        };
        (0..BELOW * INNER as u32).for_each(|key| put(&map, key));
        assert_eq!(map.check(&Memb::read_lock()), 3);
        let (end, next) = (BELOW * (child + 1), BELOW * (child + 2));
        let shared = map.clone();
        let mut done = false;
        let churn = move |_, _| {
            if !core::mem::replace(&mut done, true) {
                for key in (end..next).chain(end - 4..end) {
                    assert!(shared.remove(Odd(key), &Memb::read_lock()).is_some());
                }
                put(&shared, end + 5); // into the room that this made
            }
            None
        };
        let guard = Memb::read_lock();
        let from = Odd(end - LEAF as u32);
        let scan = || map.range(from.., &guard).map(|(key, _)| key.0).collect();
        let seen: Vec<u32> = with_hook(churn, scan);
        let all = (end - 8..end - 4).chain([end + 5]).chain(next..BELOW * 8);
        assert!(seen.iter().copied().eq(all), "{seen:?}");
    }
}

// The n-th comparison panics, for each n until there are no more.
fn panics_everywhere(update: impl Fn(&Map<Odd, u32>, Arc<u32>, &Guard<'_>)) {
    let map = even_keys();
    let before: Vec<(u32, u32)> = {
        let guard = Memb::read_lock();
        map.to_vec(&guard).iter().map(|(k, v)| (k.0, *v)).collect()
    };
    for n in 0.. {
        let value = Arc::new(7);
        let mut left = n;
        let panicking = move |_, _| {
            assert_ne!(left, 0, "on purpose");
            left -= 1;
            None
        };
        let given = value.clone();
        let guard = Memb::read_lock();
        let done = catch_unwind(AssertUnwindSafe(|| {
            with_hook(panicking, || update(&map, given, &guard));
        }));
        map.check(&guard);
        if done.is_ok() {
            assert!(n > 5, "a map of 100 is not searched in {n} comparisons");
            return;
        }
        assert_eq!(Arc::strong_count(&value), 1, "kept, or dropped twice");
        let after = map.to_vec(&guard);
        assert!(
            after
                .iter()
                .map(|(k, v)| (k.0, *v))
                .eq(before.iter().copied())
        );
    }
}

#[test]
fn an_ord_that_panics_anywhere_leaves_the_map_as_it_was() {
    panics_everywhere(|map, value, guard| drop(map.insert(Odd(51), value, guard)));
    panics_everywhere(|map, value, guard| drop(map.insert(Odd(50), value, guard)));
    panics_everywhere(|map, value, guard| drop(map.insert_unique(Odd(199), value, guard)));
    panics_everywhere(|map, value, guard| drop(map.replace(Odd(0), value, guard)));
    panics_everywhere(|map, value, guard| {
        drop(value);
        drop(map.remove(Odd(120), guard));
    });
    // A scan goes on where it was.
    let map = even_keys();
    let guard = Memb::read_lock();
    let mut scan = map.range(..Odd(150), &guard);
    let mut seen = Vec::new();
    for n in 0_u32.. {
        let hook = move |_, _| (n.is_multiple_of(2)).then(|| panic!("on purpose"));
        match catch_unwind(AssertUnwindSafe(|| with_hook(hook, || scan.next()))) {
            Ok(Some((key, _))) => seen.push(key.0),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    assert!(seen.into_iter().eq((0..75).map(|n| 2 * n)));
}

#[test]
fn an_ord_that_changes_its_own_map_panics_and_does_not_hang() {
    static MAP: Map<Odd, u32> = Map::new();
    static OTHER: Map<Odd, u32> = Map::new();
    for n in 0..50 {
        MAP.insert(Odd(n), Arc::new(n), &Memb::read_lock());
    }
    let inside = |f: fn(&Guard<'_>)| {
        let guard = Memb::read_lock();
        let hook = move |_, _| {
            f(&Memb::read_lock());
            None
        };
        catch_unwind(AssertUnwindSafe(|| {
            with_hook(hook, || MAP.insert(Odd(100), Arc::new(1), &guard));
        }))
    };
    let message = inside(|guard| drop(MAP.insert(Odd(1), Arc::new(0), guard))).unwrap_err();
    let message = message.downcast_ref::<&str>().unwrap();
    assert!(message.contains("by the Ord of its own keys"), "{message}");
    assert!(inside(|guard| drop(MAP.remove(Odd(1), guard))).is_err());
    let guard = Memb::read_lock();
    assert_eq!((MAP.len(&guard), MAP.check(&guard) > 1), (50, true));
    // What does not change this map may be done, and clearing it makes the update search once more.
    inside(|guard| assert!(MAP.get(Odd(7), guard).is_some() && MAP.iter(guard).count() > 49))
        .unwrap();
    inside(|guard| drop(OTHER.insert(Odd(1), Arc::new(0), guard))).unwrap();
    assert_eq!((MAP.len(&guard), OTHER.len(&guard)), (51, 1));
    inside(|_| MAP.clear()).unwrap();
    assert_eq!(MAP.to_vec(&guard).len(), 1);
    // And nothing is left behind in the thread.
    assert!(MAP.insert(Odd(3), Arc::new(3), &guard).is_none());
    drop(guard);
    MAP.clear();
    OTHER.clear();
}

#[test]
fn an_ord_that_is_none_does_no_harm() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let map: Map<Odd, Counted> = Map::new();
    let mut state = 1_u64;
    let random = move |_, _| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(
            [
                cmp::Ordering::Less,
                cmp::Ordering::Equal,
                cmp::Ordering::Greater,
            ][(state % 3) as usize],
        )
    };
    with_hook(random, || {
        for n in 0..20_000 {
            let guard = Memb::read_lock();
            match n % 5 {
                0..=2 => drop(map.insert(Odd(n), Counted::new(n, &ALIVE), &guard)),
                3 => drop(map.remove(Odd(n), &guard)),
                _ => {
                    let found = map.range(Odd(n).., &guard).take(50);
                    assert!(found.map(|(_, value)| value.0).all(|number| number <= n));
                }
            }
        }
    });
    drop(map);
    Memb::barrier();
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
}

// A scan went on at the key where the last leaf ended, and came to that leaf again, for ever.
#[test]
fn a_scan_ends_whatever_the_ord_says() {
    use cmp::Ordering::{Equal, Greater, Less};
    const MOST: u32 = 400_000; // a search of each leaf takes a quarter of it
    let map: Map<Odd, u32> = Map::new();
    for n in 0..4096 {
        map.insert(Odd(n), Arc::new(n), &Memb::read_lock());
    }
    assert!(map.check(&Memb::read_lock()) > 3);
    let bounded = |what: &str, order: fn(u32, u32, u32) -> cmp::Ordering| {
        type Scan = fn(&Map<Odd, u32>, &Guard<'_>) -> usize;
        let scans: [Scan; 4] = [
            |map, guard| map.iter(guard).count(),
            |map, guard| map.len(guard),
            |map, guard| map.range(Odd(100)..Odd(4000), guard).count(),
            |map, guard| usize::from(map.lower_bound(Odd(100), guard).is_some()),
        ];
        for (n, scan) in scans.into_iter().enumerate() {
            let mut left = MOST;
            let hook = move |a: Odd, b: Odd| {
                left = left.checked_sub(1).expect("it goes on for ever");
                Some(order(a.0, b.0, left))
            };
            let guard = Memb::read_lock();
            let found = catch_unwind(AssertUnwindSafe(|| with_hook(hook, || scan(&map, &guard))));
            assert!(found.is_ok_and(|found| found <= 4096), "scan {n}, {what}");
        }
    };
    bounded("greater", |_, _, _| Greater);
    bounded("less", |_, _, _| Less);
    bounded("equal", |_, _, _| Equal);
    bounded("the wrong way round", |a, b, _| b.cmp(&a));
    bounded("in a circle", |a, b, _| {
        [Equal, Less, Greater][(a.wrapping_sub(b) % 3) as usize]
    });
    bounded("by turns", |_, _, left| {
        [Less, Greater][(left % 2) as usize]
    });
    bounded("greater than itself only", |a, b, _| {
        if a == b { Greater } else { a.cmp(&b) }
    });
    bounded("the last bits", |a, b, _| (a % 64).cmp(&(b % 64)));
}

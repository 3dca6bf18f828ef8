//! Keys, values and closures that panic, or that use the map they are in.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

use super::{Counted, Few, Plain};
use crate::hash::bucket::Further;
use crate::hash::section::Section;
use crate::tests::libc_calls::fork_and_wait;
use crate::{Change, Mb, Memb, RcuHashMap};

thread_local! {
    /// After so many calls of `Hash` or `Eq` one panics.
    static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
}

fn burn() {
    FUSE.with(|fuse| match fuse.get() {
        Some(0) => panic!("as arranged"),
        left => fuse.set(left.map(|n| n - 1)),
    });
}

#[derive(Debug)]
struct Fragile(Counted<u64>);

impl Hash for Fragile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

impl PartialEq for Fragile {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Eq for Fragile {}

/// Wherever `Hash`, `Eq` or the closure panics: the map is as it was, and nothing leaks.
#[test]
fn a_panic_of_the_users_leaves_the_map_as_it_was() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let new = |n| Counted::new(n, &ALIVE);
    let map: RcuHashMap<Fragile, Counted<u64>, Few> = RcuHashMap::with_hasher(Few(2));
    for n in 0..30 {
        let guard = Memb::read_lock();
        assert!(map.insert(Fragile(new(n)), new(n), &guard).is_none());
    }
    let content = || {
        let guard = Memb::read_lock();
        let pairs = map.iter(&guard).map(|(k, v)| (k.0.value, v.value));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        pairs
    };
    let before = content();
    let key = |n| Fragile(new(n));
    let attempts: [&dyn Fn(u64); 6] = [
        &|n| drop(map.insert(key(n), new(0), &Memb::read_lock())),
        &|n| {
            _ = map
                .insert_unique(key(n), new(0), &Memb::read_lock())
                .is_ok()
        },
        &|n| _ = map.replace(key(n), new(0), &Memb::read_lock()).is_ok(),
        &|n| drop(map.remove(&key(n), &Memb::read_lock())),
        &|n| {
            let panic = |_: Option<&Counted<u64>>| panic!("as arranged");
            drop(map.update(key(n), panic, &Memb::read_lock()));
        },
        &|n| _ = map.get(&key(n), &Memb::read_lock()),
    ];
    let mut panics = 0;
    for attempt in attempts {
        for n in [3, 29, 40] {
            // At least the first Hash, or the second call.
            for fuse in 0..2 {
                FUSE.set(Some(fuse));
                panics += usize::from(catch_unwind(AssertUnwindSafe(|| attempt(n))).is_err());
                FUSE.set(None);
                assert_eq!(content(), before);
            }
        }
    }
    assert_eq!(panics, 36);
    assert_eq!(ALIVE.load(SeqCst), 60);
    let predicate = |_: &Fragile, _: &Counted<u64>| panic!("as arranged");
    let retain = || map.retain(predicate, &Memb::read_lock());
    assert!(catch_unwind(AssertUnwindSafe(retain)).is_err());
    assert_eq!(content(), before);
    drop(map);
    assert_eq!(ALIVE.load(SeqCst), 0);
}

/// One of them panics on drop; the others are dropped all the same.
#[test]
fn a_panic_in_a_destructor_does_not_keep_the_others() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
            assert!(!self.0, "as arranged");
        }
    }
    let map: RcuHashMap<u64, Bomb> = RcuHashMap::new();
    for n in 0..500 {
        drop(map.insert(n, Bomb(n == 250), &Memb::read_lock()));
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(map))).is_err());
    assert_eq!(DROPPED.load(SeqCst), 500);
    // On the worker it is caught and told, and the domain lives. Not `Memb`: the forked child of another test runs the
    // callbacks of that, and to tell it needs locks of std that a thread of the parent may have had.
    let map: RcuHashMap<u64, Bomb, Plain, Mb> = RcuHashMap::with_hasher(Plain);
    {
        let guard = Mb::read_lock();
        drop(map.insert(1, Bomb(true), &guard));
        map.remove(&1, &guard).unwrap().free();
    }
    Mb::barrier();
    assert_eq!(DROPPED.load(SeqCst), 501);
}

static NESTED: RcuHashMap<Nosy, u64, Plain> = RcuHashMap::with_hasher(Plain);

/// Uses the map whenever it is hashed or compared.
#[derive(Debug)]
struct Nosy(u64);

thread_local! {
    static DEEP: Cell<bool> = const { Cell::new(false) };
}

fn use_the_map() {
    if !DEEP.replace(true) {
        let guard = Memb::read_lock();
        NESTED.insert(Nosy(1000), 1, &guard);
        NESTED.insert(Nosy(1001), 1, &guard);
        NESTED.update(Nosy(1000), |_| Change::Remove, &guard);
        NESTED.remove(&Nosy(1001), &guard);
        NESTED.iter(&guard).for_each(drop);
        DEEP.set(false);
    }
}

impl Hash for Nosy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        use_the_map();
        state.write_u64(self.0 % 4);
    }
}

impl PartialEq for Nosy {
    fn eq(&self, other: &Self) -> bool {
        use_the_map();
        self.0 == other.0
    }
}

impl Eq for Nosy {}

impl Drop for Nosy {
    fn drop(&mut self) {
        if self.0 == 7 {
            use_the_map();
        }
    }
}

#[test]
fn keys_and_closures_may_use_the_map_that_they_are_in() {
    thread::scope(|s| {
        let threads = [(); 2].map(|()| {
            s.spawn(|| {
                for n in 0..200 {
                    let guard = Memb::read_lock();
                    NESTED.insert(Nosy(n), n, &guard);
                    assert_eq!(NESTED.get(&Nosy(n), &guard), Some(&n));
                    let nest = |old: Option<&u64>| {
                        NESTED.insert(Nosy(2000), 1, &guard);
                        NESTED.update(Nosy(2001), |_| Change::Set(1), &guard);
                        Change::Set(*old.unwrap())
                    };
                    NESTED.update(Nosy(n), nest, &guard);
                }
            })
        });
        super::join(threads.into());
    });
    // The last destructors of `Nosy(7)` use the map, too, and their worker may come late: not below.
    Memb::barrier();
    // The closure changes what it was asked about: it is asked again.
    let guard = Memb::read_lock();
    let mut calls = 0;
    let meddle = |old: Option<&u64>| {
        calls += 1;
        if calls == 1 {
            NESTED.insert(Nosy(5), 77, &guard);
        }
        Change::Set(old.unwrap() + 1)
    };
    NESTED.update(Nosy(5), meddle, &guard);
    assert_eq!((calls, NESTED.get(&Nosy(5), &guard)), (2, Some(&78)));
}

#[test]
fn waiting_for_what_was_taken_out_inside_the_section_is_told() {
    let map: RcuHashMap<u64, u64> = RcuHashMap::new();
    let guard = Memb::read_lock();
    drop(map.insert(1, 1, &guard));
    let old = map.remove(&1, &guard).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| old.synchronize())).is_err());
}

/// The other thread goes on then, also where an assertion fails before.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What another thread was doing at the time of the fork is finished or undone in the child.
#[test]
fn a_child_takes_over_the_locks_of_threads_that_it_has_not() {
    let map: RcuHashMap<u64, u64, Plain> = RcuHashMap::with_hasher(Plain);
    for key in 0..64 {
        drop(map.insert(key, key, &Memb::read_lock()));
    }
    map.settle(&Memb::read_lock());
    let (is_locked, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|s| {
        let over_at_the_end = Over(&over);
        let other = s.spawn(|| {
            let guard = Memb::read_lock();
            let section = Section::of(&guard);
            super::force(&map, 3, section);
            map.tables.help(section);
            let table = map.tables.current(section).unwrap();
            let next = table.next(section).unwrap();
            // Every bucket is locked, and half of them are copied and not marked.
            let locks: Vec<_> = (0..table.len()).map(|i| table.lock(i, section)).collect();
            for (i, lock) in locks.iter().enumerate().take(table.len() / 2) {
                if lock.is_some() {
                    let mut spares = (0..2).map(|_| Box::new(Further::new())).collect();
                    table.copy(i, next, &mut spares, section).unwrap();
                }
            }
            is_locked.store(true, SeqCst);
            while !over.load(SeqCst) {
                thread::yield_now();
            }
            // As it was, for this process.
            for (i, lock) in locks.iter().enumerate().take(table.len() / 2) {
                if lock.is_some() {
                    table.purge(i, next, section);
                }
            }
        });
        while !is_locked.load(SeqCst) && !other.is_finished() {
            thread::yield_now();
        }
        let status = fork_and_wait(|| {
            for key in 0..64 {
                let guard = Memb::read_lock();
                assert_eq!(map.get(&key, &guard), Some(&key));
                assert_eq!(*map.remove(&key, &guard).unwrap().value(), key);
                assert_eq!(map.get(&key, &guard), None);
            }
            Memb::barrier();
            for key in 0..200 {
                drop(map.insert(key, 2 * key, &Memb::read_lock()));
            }
            let guard = Memb::read_lock();
            map.settle(&guard);
            assert_eq!(map.iter(&guard).count(), 200);
            assert!((0..200).all(|key| map.get(&key, &guard) == Some(&(2 * key))));
        });
        drop(over_at_the_end);
        assert_eq!(status, 0);
    });
    let guard = Memb::read_lock();
    assert_eq!(map.iter(&guard).count(), 64);
    assert_eq!(map.len(), 64);
}

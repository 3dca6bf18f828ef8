//! [`urcu::Idr`].

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use urcu::{Full, Id, Idr, Mb, Memb, Qsbr};

use crate::counted::{Counted, Counter, Panics};

/// An object that knows its id.
type Thing = Counted<Id>;

fn add(idr: &Idr<Thing>, counter: &Counter) -> Id {
    let reservation = idr.reserve().unwrap();
    let id = reservation.id();
    reservation.publish(Arc::new(counter.value(id)))
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish,
    GiveUp,
    Unpublish(usize),
    Release(usize),
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Publish),
        1 => Just(Step::GiveUp),
        2 => (0_usize..64).prop_map(Step::Unpublish),
        2 => (0_usize..64).prop_map(Step::Release),
        1 => (0_usize..64).prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 1..120)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Published,
    Hidden,
    Free,
}

/// The `Idr`, and what it should hold.
struct Both {
    slots: u32,
    idr: Idr<Thing>,
    model: BTreeMap<Id, Known>,
    /// In the order in which they were given.
    ids: Vec<Id>,
    counter: Counter,
}

impl Both {
    fn step(&mut self, step: Step) {
        let pick = |ids: &[Id], n: usize| ids.get(n % ids.len().max(1)).copied();
        match step {
            Step::Publish | Step::GiveUp => self.reserve(matches!(step, Step::Publish)),
            Step::Unpublish(n) | Step::Remove(n) => {
                let Some(id) = pick(&self.ids, n) else { return };
                let (object, left) = if matches!(step, Step::Remove(_)) {
                    (self.idr.remove(id), Known::Free)
                } else {
                    (self.idr.unpublish(id), Known::Hidden)
                };
                let was_published = self.model[&id] == Known::Published;
                assert_eq!(
                    object.map(|object| object.value),
                    was_published.then_some(id)
                );
                if was_published {
                    self.model.insert(id, left);
                }
            }
            Step::Release(n) => {
                let Some(id) = pick(&self.ids, n) else { return };
                let was_hidden = self.model[&id] == Known::Hidden;
                assert_eq!(self.idr.release(id), was_hidden);
                if was_hidden {
                    self.model.insert(id, Known::Free);
                }
            }
        }
    }

    fn reserve(&mut self, publishes: bool) {
        let used = self
            .model
            .values()
            .filter(|&&known| known != Known::Free)
            .count();
        let reservation = match self.idr.reserve() {
            Ok(reservation) => reservation,
            // One slot is kept back once slots have been given back.
            Err(Full) => return assert!(used + 1 >= self.slots as usize, "{used} used"),
        };
        let id = reservation.id();
        assert!(used < self.slots as usize && id.index() <= self.slots);
        assert!(!self.model.contains_key(&id), "{id:?} came again");
        assert!(!self.idr.release(id), "it is reserved");
        assert!(self.idr.unpublish(id).is_none(), "it is reserved");
        self.ids.push(id);
        if publishes {
            reservation.publish(Arc::new(self.counter.value(id)));
            self.model.insert(id, Known::Published);
        } else {
            drop(reservation);
            self.model.insert(id, Known::Free);
        }
    }

    /// Looks up every id that ever was.
    fn compare(&self) {
        let guard = Memb::read_lock();
        let is_published = |id: &Id| self.model[id] == Known::Published;
        for id in &self.ids {
            let found = self.idr.get(*id, &guard).map(|found| found.value);
            assert_eq!(found, is_published(id).then_some(*id));
        }
        let expected: Vec<Id> = self.model.keys().copied().filter(is_published).collect();
        let walked: Vec<_> = self
            .idr
            .iter(&guard)
            .map(|(id, found)| (id, found.value))
            .collect();
        assert!(walked.iter().all(|(id, value)| id == value));
        assert!(walked.iter().map(|(id, _)| id).eq(&expected));
        assert_eq!(self.idr.len(), expected.len());
        if let Some(middle) = self.ids.first() {
            let behind = self.idr.iter_after(*middle, &guard).map(|(id, _)| id);
            let expected = expected
                .into_iter()
                .filter(|id| id.index() > middle.index());
            assert!(behind.eq(expected));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    // Few slots, so that they are used again.
    #[test]
    fn does_what_a_map_does(steps in steps(), slots in 1_u32..8) {
        let counter = Counter::default();
        let idr = Idr::with_slots(slots);
        let mut both = Both { slots, idr, model: BTreeMap::new(), ids: Vec::new(), counter };
        for step in steps {
            both.step(step);
            both.compare();
        }
        let Both { idr, counter, .. } = both;
        drop(idr);
        Memb::barrier();
        prop_assert_eq!(counter.alive(), 0);
    }
}

#[test]
fn the_first_ids_are_1_2_3_and_the_last_object_may_be_kept() {
    static IDS: Idr<String> = Idr::new();
    let first = IDS.insert(Arc::new("one".to_owned())).unwrap();
    let second = IDS.insert(Arc::new("two".to_owned())).unwrap();
    assert_eq!((first.raw(), second.raw()), (1, 2));
    let kept = {
        let guard = Memb::read_lock();
        IDS.get(first, &guard).unwrap().get()
    };
    assert_eq!(Arc::strong_count(&kept), 2);
    let removed = IDS.remove(first).unwrap().synchronize();
    assert!(Arc::ptr_eq(&kept, &removed));
    drop(removed);
    assert_eq!((kept.as_str(), Arc::strong_count(&kept)), ("one", 1));
}

#[test]
fn numbers_from_outside_find_what_they_name_or_nothing() {
    let idr: Idr<u32, Mb> = Idr::new();
    let id = idr.insert(Arc::new(7)).unwrap();
    let guard = Mb::read_lock();
    for raw in [1, 2, 63, 64, 65, u64::from(u32::MAX), 1 << 32 | 1, u64::MAX] {
        let found = Id::from_raw(raw).and_then(|id| idr.get(id, &guard));
        assert_eq!(found.map(|found| *found), (raw == id.raw()).then_some(7));
        let Some(other) = Id::from_raw(raw).filter(|other| *other != id) else {
            continue;
        };
        assert!(idr.unpublish(other).is_none() && !idr.release(other));
    }
    assert_eq!((Id::from_raw(0), Id::from_raw(5 << 32)), (None, None));
    assert_eq!(idr.capacity(), 64, "looking up made memory");
}

// A million ids, few at a time: the slots that ever were in use at a time, and those that rest.
#[test]
fn memory_is_bounded_under_cyclic_ids() {
    const AT_A_TIME: usize = 100;
    let idr: Idr<u64> = Idr::new();
    let object = Arc::new(0);
    let mut ids = std::collections::VecDeque::new();
    let mut before: u64 = 0;
    for _ in 0..1_000_000 {
        if ids.len() == AT_A_TIME {
            let id: Id = ids.pop_front().unwrap();
            assert!(idr.remove(id).is_some());
        }
        let id = idr.insert(Arc::clone(&object)).unwrap();
        // Cyclic: up by one each time, or from the start in the next generation.
        let slots = (AT_A_TIME + 1024) as u64;
        assert!(u64::from(id.index()) <= slots, "{id:?}");
        let now = u64::from(id.generation()) * (slots + 1) + u64::from(id.index());
        assert!(now > before, "{id:?}");
        before = now;
        ids.push_back(id);
    }
    assert_eq!(idr.capacity(), 64 * 31);
}

// Readers that ask for ids of any age get the object of that id or nothing, while slots are used again all the time.
#[test]
fn a_storm_never_finds_another_object() {
    const IDS: usize = 16;
    let counter = Counter::default();
    let idr: Idr<Thing> = Idr::with_slots(4);
    let told: Vec<Mutex<Option<Id>>> = (0..IDS).map(|_| Mutex::new(None)).collect();
    let (stop, found) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                let mut ids: [Option<Id>; IDS] = [None; IDS];
                while !stop.load(Ordering::Relaxed) {
                    for (known, told) in ids.iter_mut().zip(&told) {
                        if let Ok(told) = told.try_lock() {
                            *known = *told;
                        }
                    }
                    for id in ids.iter().flatten() {
                        // The next of that slot, too, which nobody has told us.
                        for raw in [id.raw(), id.raw() + (1 << 32)] {
                            let id = Id::from_raw(raw).unwrap();
                            let guard = Memb::read_lock();
                            if let Some(object) = idr.get(id, &guard) {
                                assert_eq!(object.value, id);
                                found.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
        let owners: Vec<_> = (0..2)
            .map(|owner| {
                let (idr, told, counter) = (&idr, &told, &counter);
                s.spawn(move || {
                    for n in 0..10_000 {
                        let id = add(idr, counter);
                        *told[(n * 2 + owner) % IDS].lock().unwrap() = Some(id);
                        assert!(!idr.release(id));
                        let object = idr.unpublish(id).unwrap();
                        assert_eq!(object.value, id);
                        assert!(idr.release(id) && !idr.release(id));
                    }
                })
            })
            .collect();
        for owner in owners {
            owner.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(idr.is_empty() && idr.iter(&Memb::read_lock()).next().is_none());
    Memb::barrier();
    assert_eq!(counter.alive(), 0);
    assert_eq!(idr.capacity(), 64);
}

// Of many that hide or release the same id one succeeds, and none takes what comes next into the slot.
#[test]
fn one_of_many_hides_and_one_releases() {
    let idr: Idr<u32, Mb> = Idr::with_slots(2);
    let mut id = idr.insert(Arc::new(0)).unwrap();
    for round in 1..1_000 {
        let (hid, released) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let contend = || {
            let hidden = idr.unpublish(id);
            if let Some(hidden) = &hidden {
                assert_eq!(**hidden, round - 1);
                hid.fetch_add(1, Ordering::Relaxed);
            }
            if idr.release(id) {
                let next = idr.insert(Arc::new(round)).unwrap();
                released.lock().unwrap().push(next);
            }
        };
        contend_by_two(&contend);
        assert_eq!(hid.into_inner(), 1);
        let released = released.into_inner().unwrap();
        assert_eq!(released.len(), 1);
        id = released[0];
        assert_eq!(
            idr.get(id, &Mb::read_lock()).map(|found| *found),
            Some(round)
        );
    }
}

/// Runs it on two threads at about the same time.
fn contend_by_two(f: &(dyn Fn() + Sync)) {
    let ready = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            ready.store(true, Ordering::Release);
            f();
        });
        while !ready.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        f();
    });
}

#[test]
fn dropping_it_drops_each_object_once_also_when_one_of_the_drops_panics() {
    let counter = Counter::default();
    let idr: Idr<Panics> = Idr::new();
    for n in 0..200 {
        let panics = Panics(counter.value(()), n == 50);
        assert!(idr.insert(Arc::new(panics)).is_ok());
    }
    let forgotten = idr.reserve().unwrap();
    std::mem::forget(forgotten);
    assert_eq!(counter.alive(), 200);
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(idr)));
    assert!(dropped.is_err());
    assert_eq!(counter.alive(), 0);
}

// A18, A7: nothing that is found outlives the index, whatever is forgotten.
#[test]
fn a_retired_object_outlives_the_index() {
    let counter = Counter::default();
    let idr: Idr<Thing> = Idr::new();
    let id = add(&idr, &counter);
    let old = idr.remove(id).unwrap();
    drop(idr);
    assert_eq!((old.value, counter.alive()), (id, 1));
    drop(old.synchronize());
    assert_eq!(counter.alive(), 0);
}

#[test]
fn every_flavor_has_its_own() {
    let idr: Idr<u8, Qsbr> = Idr::new();
    let id = idr.insert(Arc::new(1)).unwrap();
    let mut thread = Qsbr::register();
    assert_eq!(
        idr.get(id, &thread.read_lock()).map(|found| *found),
        Some(1)
    );
    let old = idr.remove(id).unwrap();
    assert_eq!(*old.synchronize_with(&mut thread), 1);
}

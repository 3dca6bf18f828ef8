//! [`urcu::list`].

use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use urcu::list::{BothEnds, Ends, FrontOnly, HList, List, RcuList};
use urcu::{Memb, Qsbr, Writer};

use crate::counted::{Counted, Counter, Panics};

#[derive(Clone, Copy, Debug)]
enum Step {
    Next,
    Prev,
    InsertAfter,
    InsertBefore,
    Remove,
    Replace,
    PushFront,
    PushBack,
    RetainOdd,
    /// Takes all, waits, appends it again.
    Splice,
    /// Takes all and forgets it.
    Clear,
    /// Appends a list of so many.
    Append(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Next),
        2 => Just(Step::Prev),
        4 => Just(Step::InsertAfter),
        4 => Just(Step::InsertBefore),
        3 => Just(Step::Remove),
        3 => Just(Step::Replace),
        1 => Just(Step::PushFront),
        1 => Just(Step::PushBack),
        1 => Just(Step::RetainOdd),
        1 => Just(Step::Splice),
        1 => Just(Step::Clear),
        1 => (0_usize..4).prop_map(Step::Append),
    ];
    prop::collection::vec(step, 1..80)
}

type Value = Counted<u32>;

/// A list and its model; the cursor is a number, the place between the ends is `len`.
struct Both<E: Ends> {
    writer: Writer,
    list: RcuList<Value, Memb, E>,
    model: VecDeque<u32>,
    at: usize,
    fresh: u32,
    counter: Counter,
}

impl<E: Ends> Both<E> {
    fn new() -> Self {
        let writer = Writer::new();
        let list = RcuList::new(&writer);
        let (model, counter) = (VecDeque::new(), Counter::default());
        Self {
            writer,
            list,
            model,
            at: 0,
            fresh: 0,
            counter,
        }
    }

    fn value(&mut self) -> (u32, Value) {
        self.fresh += 1;
        (self.fresh, self.counter.value(self.fresh))
    }

    fn step(&mut self, step: Step) {
        let (fresh, value) = self.value();
        let len = self.model.len();
        let mut cursor = self.list.cursor(&mut self.writer);
        if self.at < len {
            for _ in 0..=self.at {
                cursor.move_next();
            }
        }
        assert_eq!(
            cursor.current().map(|value| value.value),
            self.model.get(self.at).copied()
        );
        match step {
            Step::Next => {
                cursor.move_next();
                self.at = if self.at == len { 0 } else { self.at + 1 };
            }
            Step::Prev => {
                cursor.move_prev();
                self.at = self.at.checked_sub(1).unwrap_or(len);
            }
            Step::InsertAfter => {
                cursor.insert_after(value);
                let place = if self.at == len { 0 } else { self.at + 1 };
                self.model.insert(place, fresh);
                self.at += usize::from(self.at == len);
            }
            Step::InsertBefore => {
                cursor.insert_before(value);
                self.model.insert(self.at, fresh);
                self.at += 1;
            }
            Step::Remove => {
                let removed = cursor.remove().map(|removed| removed.value);
                assert_eq!(removed, self.model.remove(self.at));
            }
            Step::Replace => match cursor.replace(value) {
                Ok(old) => {
                    let model = &mut self.model[self.at];
                    assert_eq!(old.value, std::mem::replace(model, fresh));
                }
                Err(back) => assert!(back.value == fresh && self.at == len),
            },
            _ => {
                return self.step_of_list(step, fresh, value);
            }
        }
        let now = cursor.current().map(|value| value.value);
        assert_eq!(now, self.model.get(self.at).copied());
    }

    fn step_of_list(&mut self, step: Step, fresh: u32, value: Value) {
        self.at = 0;
        let writer = &mut self.writer;
        match step {
            Step::PushFront => {
                self.list.push_front(writer, value);
                self.model.push_front(fresh);
            }
            Step::PushBack => {
                self.list.push_back(writer, value);
                self.model.push_back(fresh);
            }
            Step::RetainOdd => {
                let removed = self.list.retain(writer, |value| value.value % 2 == 1);
                let before = self.model.len();
                self.model.retain(|value| value % 2 == 1);
                assert_eq!(removed, before - self.model.len());
            }
            Step::Splice => {
                let taken = self.list.take_all(writer);
                assert_eq!(taken.len(), self.model.len());
                assert!(self.list.is_empty());
                self.list.push_front(writer, value);
                self.model.push_front(fresh);
                let taken = taken.synchronize(writer);
                self.list.append(writer, taken);
            }
            Step::Clear => {
                drop(self.list.take_all(writer));
                self.model.clear();
            }
            Step::Append(len) => {
                let mut other_writer = Writer::new();
                let other = RcuList::new(&other_writer);
                for _ in 0..len {
                    self.fresh += 1;
                    other.push_back(&mut other_writer, self.counter.value(self.fresh));
                    self.model.push_back(self.fresh);
                }
                self.list.append(writer, other);
            }
            _ => unreachable!("of the cursor"),
        }
    }

    fn compare(&self) {
        let guard = Memb::read_lock();
        assert!(
            self.list
                .iter(&guard)
                .map(|value| value.value)
                .eq(self.model.iter().copied())
        );
        assert_eq!(
            self.list.front(&guard).map(|value| value.value),
            self.model.front().copied()
        );
        let locked = || self.list.iter_locked(&self.writer).map(|value| value.value);
        assert!(locked().eq(self.model.iter().copied()));
        assert!(locked().rev().eq(self.model.iter().rev().copied()));
        let mut both_ways = locked();
        let halves: Vec<_> =
            std::iter::from_fn(|| both_ways.next().map(|front| (front, both_ways.next_back())))
                .collect();
        let mut model = self.model.clone();
        let expected: Vec<_> =
            std::iter::from_fn(|| model.pop_front().map(|front| (front, model.pop_back())))
                .collect();
        assert_eq!(halves, expected);
        assert_eq!(self.list.len(&self.writer), self.model.len());
        assert_eq!(self.list.is_empty(), self.model.is_empty());
    }
}

fn compared<E: Ends>(steps: &[Step]) -> isize {
    let mut both = Both::<E>::new();
    for &step in steps {
        both.step(step);
        both.compare();
    }
    let Both { list, counter, .. } = both;
    drop(list);
    Memb::barrier();
    counter.alive()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn does_what_a_deque_does(steps in steps()) {
        prop_assert_eq!(compared::<BothEnds>(&steps), 0);
        prop_assert_eq!(compared::<FrontOnly>(&steps), 0);
    }
}

const KEYS: u64 = 24;
/// What is written over a value that is freed.
const FREED: u64 = u64::MAX;

/// A value that a reader would see being freed.
struct Item {
    key: u64,
    /// The same for every version of the key, until it is dropped.
    check: AtomicU64,
    #[expect(dead_code, reason = "for its drop")]
    counted: Counted<()>,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.check.store(FREED, Ordering::Relaxed);
    }
}

// Even keys stay, odd ones come, go and are replaced all the time, in their places. Each walk sees the even ones once, in
// order, the odd ones in between at most once, nothing that is freed, and it ends.
fn a_storm<E: Ends>() {
    let counter = Counter::default();
    let item = |key| Item {
        key,
        check: AtomicU64::new(key),
        counted: counter.value(()),
    };
    let lock = Mutex::new(Writer::new());
    let list: RcuList<Item, Memb, E> = RcuList::new(&lock.lock().unwrap());
    for key in (0..KEYS).step_by(2) {
        list.push_back(&mut lock.lock().unwrap(), item(key));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                s.spawn(|| {
                    let mut odd = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        let guard = Memb::read_lock();
                        let mut last = None;
                        let mut even = 0;
                        for item in list.iter(&guard) {
                            assert_eq!(item.check.load(Ordering::Relaxed), item.key, "freed");
                            assert!(last < Some(item.key), "{} behind {last:?}", item.key);
                            last = Some(item.key);
                            even += 1 - item.key % 2;
                            odd += item.key % 2;
                        }
                        assert_eq!(even, KEYS / 2, "a walk lost its way");
                    }
                    odd
                })
            })
            .collect();
        let writers: Vec<_> = (0..2_u64)
            .map(|n| {
                let (lock, list, item) = (&lock, &list, &item);
                s.spawn(move || {
                    for round in 0..6_000_u64 {
                        let key = (round * 7 + n * 3) % (KEYS / 2) * 2 + 1;
                        let mut writer = lock.lock().unwrap();
                        let mut cursor = list.cursor_front(&mut writer);
                        while cursor.current().is_some_and(|item| item.key < key) {
                            cursor.move_next();
                        }
                        match cursor.current() {
                            Some(there) if there.key == key && round % 3 == 0 => {
                                drop(cursor.replace(item(key)));
                            }
                            Some(there) if there.key == key => drop(cursor.remove()),
                            _ => cursor.insert_before(item(key)),
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    drop(list);
    Memb::barrier();
    assert_eq!(counter.alive(), 0);
}

#[test]
fn walks_keep_their_way_in_a_storm() {
    a_storm::<BothEnds>();
}

#[test]
fn walks_keep_their_way_in_a_storm_of_an_hlist() {
    a_storm::<FrontOnly>();
}

// A reader that stands on an element that is removed, then its neighbours are too, then all is taken off.
#[test]
fn who_stands_on_a_removed_element_goes_on() {
    let mut writer = Writer::new();
    let list: List<u32> = List::new(&writer);
    for n in 0..6 {
        list.push_back(&mut writer, n);
    }
    let guard = Memb::read_lock();
    let mut walk = list.iter(&guard);
    assert_eq!((walk.next(), walk.next()), (Some(&0), Some(&1)));
    let removed = list.retain(&mut writer, |&n| n == 0 || n > 3);
    assert_eq!(removed, 3);
    let stale = walk.clone();
    assert!(stale.eq(&[2, 3, 4, 5]), "what is removed keeps its way");
    assert!(list.iter(&guard).eq(&[0, 4, 5]));
    let taken = list.take_all(&mut writer);
    list.push_front(&mut writer, 7);
    assert!(walk.eq(&[2, 3, 4, 5]), "nobody is led into what came later");
    assert!(list.iter(&guard).eq(&[7]));
    drop(guard);
    let taken = taken.synchronize(&writer);
    assert!(taken.iter(&Memb::read_lock()).eq(&[0, 4, 5]));
}

// A1: `&mut` of another writer excludes nobody.
#[test]
fn another_writer_is_refused() {
    let (mine, mut other) = (Writer::new(), Writer::new());
    let list: HList<u32> = HList::new(&mine);
    let mut refused = |f: &mut dyn FnMut(&mut Writer)| {
        let call = std::panic::AssertUnwindSafe(|| f(&mut other));
        std::panic::catch_unwind(call).is_err()
    };
    assert!(refused(&mut |other| list.push_front(other, 1)));
    assert!(refused(&mut |other| list.push_back(other, 1)));
    assert!(refused(&mut |other| _ = list.cursor(other)));
    assert!(refused(&mut |other| _ = list.cursor_front(other)));
    assert!(refused(&mut |other| _ = list.cursor_back(other)));
    assert!(refused(&mut |other| drop(list.take_all(other))));
    assert!(refused(&mut |other| _ = list.retain(other, |_| true)));
    assert!(refused(&mut |other| _ = list.len(other)));
    assert!(refused(&mut |other| _ = list.iter_locked(other)));
    assert!(refused(&mut |other| list.append(other, HList::new(&mine))));
    assert!(list.is_empty());
}

#[test]
fn values_are_dropped_once_also_when_a_drop_or_a_closure_panics() {
    let counter = Counter::default();
    let mut writer = Writer::new();
    let list: List<Panics> = List::new(&writer);
    for n in 0..20 {
        list.push_back(&mut writer, Panics(counter.value(()), n == 5));
    }
    // In the middle of a walk: what was removed is, the rest stays.
    let mut looked = 0;
    let walk = std::panic::AssertUnwindSafe(|| {
        list.retain(&mut writer, |_| {
            looked += 1;
            assert!(looked < 4, "as it should");
            false
        })
    });
    assert!(std::panic::catch_unwind(walk).is_err());
    assert_eq!(list.len(&writer), 17);
    assert_eq!(list.iter(&Memb::read_lock()).count(), 17);
    assert_eq!(list.iter_locked(&writer).rev().count(), 17);
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(list)));
    assert!(dropped.is_err());
    Memb::barrier();
    assert_eq!(counter.alive(), 0);
}

#[test]
fn removed_values_come_back_each_way() {
    let counter = Counter::default();
    let mut writer = Writer::new();
    let list: List<Value> = List::new(&writer);
    for n in 0..4 {
        list.push_back(&mut writer, counter.value(n));
    }
    let mut cursor = list.cursor_front(&mut writer);
    let [a, b, c, d] = std::array::from_fn(|_| cursor.remove().unwrap());
    assert!(cursor.remove().is_none() && cursor.current().is_none());
    drop(list);
    assert_eq!((a.value, b.value, c.value, d.value), (0, 1, 2, 3));
    assert_eq!(a.synchronize().value, 0);
    let (send, receive) = std::sync::mpsc::channel();
    b.call(move |value| send.send(value.value).unwrap());
    assert_eq!(receive.recv(), Ok(1));
    c.free();
    assert!(d.try_free().is_ok());
    Memb::barrier();
    assert_eq!(counter.alive(), 0);
}

#[test]
fn a_qsbr_thread_waits_by_its_handle() {
    let mut thread = Qsbr::register();
    let mut writer = Writer::new();
    let list: List<u32, Qsbr> = List::new(&writer);
    list.push_front(&mut writer, 1);
    list.push_front(&mut writer, 2);
    assert!(list.iter(&thread.read_lock()).eq(&[2, 1]));
    let removed = list.cursor_front(&mut writer).remove().unwrap();
    assert_eq!(removed.synchronize_with(&mut thread), 2);
    let taken = list.take_all(&mut writer);
    let taken = taken.synchronize_with(&mut thread, &writer);
    assert!(taken.iter(&thread.read_lock()).eq(&[1]));
}

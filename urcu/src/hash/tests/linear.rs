//! Recorded histories of lookups and updates are linearizable. Keys are independent (Herlihy and Wing: locality),
//! so each key's history is checked alone, by trying all orders (Wing and Gong), with the states seen noted.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use super::{Dice, Few, OneLess, join, resize_all_the_time};
use crate::{Change, Memb, RcuHashMap};

/// A step and what it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Get(Option<u64>),
    Insert(u64, Option<u64>),
    InsertUnique(u64, Option<u64>),
    Replace(u64, Option<u64>),
    Remove(Option<u64>),
    Add(Option<u64>),
}

impl Step {
    /// The state behind the step, if it could have answered so in this state.
    fn apply(self, state: Option<u64>) -> Option<Option<u64>> {
        let (answer, then) = match self {
            Self::Get(answer) => (answer, state),
            Self::Insert(new, answer) => (answer, Some(new)),
            Self::InsertUnique(new, answer) => (answer, state.or(Some(new))),
            Self::Replace(new, answer) => (answer, state.and(Some(new))),
            Self::Remove(answer) => (answer, None),
            Self::Add(answer) => (answer, Some(state.map_or(1, |n| n + 1))),
        };
        (answer == state).then_some(then)
    }
}

#[derive(Clone, Copy, Debug)]
struct Event {
    begun: u64,
    ended: u64,
    step: Step,
}

fn is_linearizable(history: &[Event]) -> bool {
    assert!(history.len() <= 64);
    let mut seen = HashSet::new();
    let mut open = vec![(0_u64, None)];
    while let Some((done, state)) = open.pop() {
        let left = |i: &usize| done >> i & 1 == 0;
        let Some(earliest) = (0..history.len())
            .filter(left)
            .map(|i| history[i].ended)
            .min()
        else {
            return true;
        };
        for i in (0..history.len()).filter(left) {
            if history[i].begun < earliest
                && let Some(then) = history[i].step.apply(state)
                && seen.insert((done | 1 << i, then))
            {
                open.push((done | 1 << i, then));
            }
        }
    }
    false
}

const KEYS: u64 = 3;
const THREADS: u64 = 3;
const STEPS: u64 = 24;

fn step(map: &RcuHashMap<u64, u64, Few>, key: u64, what: u64, fresh: u64) -> Step {
    let guard = Memb::read_lock();
    let value = |old: Option<crate::RetiredEntry<u64, u64>>| old.map(|old| *old.value());
    match what {
        0 | 1 => Step::Get(map.get(&key, &guard).copied()),
        2 => Step::Insert(fresh, value(map.insert(key, fresh, &guard))),
        3 => {
            let refused = map.insert_unique(key, fresh, &guard).err();
            Step::InsertUnique(fresh, refused.map(|occupied| *occupied.present))
        }
        4 => Step::Replace(fresh, value(map.replace(key, fresh, &guard).ok())),
        5 => Step::Remove(value(map.remove(&key, &guard))),
        _ => {
            let add = |old: Option<&u64>| Change::Set(old.map_or(1, |n| n + 1));
            Step::Add(value(map.update(key, add, &guard)))
        }
    }
}

#[test]
fn histories_are_linearizable_while_the_table_is_resized() {
    for round in 0..150 {
        let map = RcuHashMap::with_hasher(Few(1 + round % 3));
        let clock = AtomicU64::new(0);
        let left = AtomicUsize::new(THREADS as usize);
        let start = Barrier::new(THREADS as usize + 1);
        let mut histories = vec![Vec::new(); KEYS as usize];
        thread::scope(|s| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (map, clock, left, start) = (&map, &clock, &left, &start);
                    s.spawn(move || {
                        let mut dice = Dice::new(round * THREADS + thread);
                        let mut events = Vec::new();
                        start.wait();
                        let _one_less = OneLess(left);
                        for n in 0..STEPS {
                            let key = dice.below(KEYS);
                            let fresh = (thread + 1) * 1_000_000 + n * 1000;
                            let begun = clock.fetch_add(1, SeqCst);
                            let step = step(map, key, dice.below(7), fresh);
                            let ended = clock.fetch_add(1, SeqCst);
                            events.push((key, Event { begun, ended, step }));
                        }
                        events
                    })
                })
                .collect();
            start.wait();
            resize_all_the_time(&map, 3, || left.load(SeqCst) == 0);
            for (key, event) in join(threads).into_iter().flatten() {
                histories[key as usize].push(event);
            }
        });
        for history in &histories {
            assert!(is_linearizable(history), "{history:#?}");
        }
    }
}

/// The checker is no referee that always says yes.
#[test]
fn a_wrong_history_is_refused() {
    let event = |begun, ended, step| Event { begun, ended, step };
    let put = event(0, 1, Step::Insert(5, None));
    assert!(is_linearizable(&[put, event(2, 3, Step::Get(Some(5)))]));
    assert!(!is_linearizable(&[put, event(2, 3, Step::Get(None))]));
    // At the same time: either answer.
    assert!(is_linearizable(&[put, event(0, 3, Step::Get(None))]));
    // One after the other, new and then old.
    let wide = event(0, 9, Step::Insert(5, None));
    let new = event(1, 2, Step::Get(Some(5)));
    assert!(!is_linearizable(&[wide, new, event(3, 4, Step::Get(None))]));
    // Two winners.
    let won = event(0, 9, Step::InsertUnique(6, None));
    assert!(!is_linearizable(&[
        won,
        event(0, 9, Step::InsertUnique(7, None))
    ]));
}

/// Whoever waits for this thread at its end, also where an assertion of its fails, goes on.
struct Gone<'a>(&'a AtomicU64);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX, SeqCst);
    }
}

// Both updates were in the store buffers of their processors when the lookups ran: neither saw the other. Shows in
// optimised builds, in one round of a thousand.
#[test]
fn two_changed_a_key_each_and_neither_saw_the_others() {
    const ROUNDS: u64 = 100_000;
    // Beside other work each meeting may take two time slices. The first thread says in time that a round is the last.
    const ENOUGH: Duration = Duration::from_secs(10);
    let (begun, last) = (Instant::now(), AtomicU64::new(ROUNDS));
    let map: RcuHashMap<u64, u64> = RcuHashMap::new();
    let guard = Memb::read_lock();
    (0..2).for_each(|key| drop(map.insert(key, 0, &guard)));
    drop(guard);
    let (at, seen) = (
        [const { AtomicU64::new(0) }; 2],
        [const { AtomicU64::new(0) }; 2],
    );
    let meet = |me: usize, step: u64| {
        at[me].store(step, SeqCst);
        let mut looks = 0;
        while at[1 - me].load(SeqCst) < step {
            looks += 1;
            if looks % 1000 == 0 {
                thread::yield_now();
            }
        }
    };
    thread::scope(|s| {
        let threads = [0, 1].map(|me| {
            let (map, seen, meet, last) = (&map, &seen, &meet, &last);
            let gone = Gone(&at[me]);
            s.spawn(move || {
                let _gone = gone;
                for round in 1..=ROUNDS {
                    meet(me, 2 * round - 1);
                    let guard = Memb::read_lock();
                    let old = map.insert(me as u64, round, &guard);
                    let other = *map.get(&(1 - me as u64), &guard).unwrap();
                    seen[me].store(other, SeqCst);
                    drop((old, guard));
                    if me == 0 && round % 64 == 0 && begun.elapsed() > ENOUGH {
                        last.store(round, SeqCst);
                    }
                    meet(me, 2 * round);
                    let [one, two] = seen.each_ref().map(|seen| seen.load(SeqCst));
                    assert!(one == round || two == round, "round {round}: {one}, {two}");
                    if last.load(SeqCst) == round {
                        break;
                    }
                }
            })
        });
        join(threads.into());
    });
}

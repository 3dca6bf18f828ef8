//! [`urcu::lfs`].

use proptest::prelude::*;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use urcu::lfs::{Pushed, Stack};
use urcu::{Mb, Memb, Qsbr};

use crate::counted::{Counted, Counter, Panics};
use crate::linear::{Clock, Order, is_linearizable};

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u32),
    Pop,
    TakeAll(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<u32>().prop_map(Step::Push),
        2 => Just(Step::Pop),
        1 => (0_usize..6).prop_map(Step::TakeAll),
    ];
    prop::collection::vec(step, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn does_what_a_vec_does(steps in steps()) {
        let counter = Counter::default();
        let stack: Stack<Counted<u32>> = Stack::new();
        let mut model = Vec::new();
        for step in steps {
            match step {
                Step::Push(value) => {
                    let pushed = if model.is_empty() { Pushed::First } else { Pushed::Above };
                    prop_assert_eq!(stack.push(counter.value(value)), pushed);
                    model.push(value);
                }
                Step::Pop => {
                    let popped = stack.pop(&Memb::read_lock()).map(|counted| counted.value);
                    prop_assert_eq!(popped, model.pop());
                }
                Step::TakeAll(looks) => {
                    let taken: Vec<u32> = stack.take_all().take(looks).map(|counted| counted.value).collect();
                    prop_assert!(taken.into_iter().eq(model.drain(..).rev().take(looks)));
                    model.clear();
                }
            }
            prop_assert_eq!(stack.is_empty(), model.is_empty());
            // The values, at once; only memory waits.
            prop_assert_eq!(counter.alive() as usize, model.len());
        }
        drop(stack);
        prop_assert_eq!(counter.alive(), 0);
    }
}

// Everybody pushes what he has popped: under ABA a value is lost or doubled, and what is read is not what was written.
#[test]
fn a_storm_loses_and_doubles_nothing() {
    const VALUES: u64 = 4;
    let counter = Counter::default();
    let stack: Stack<Counted<(u64, u64)>> = Stack::new();
    for n in 0..VALUES {
        stack.push(counter.value((n, n ^ 0xabcd)));
    }
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                for round in 0..20_000 {
                    let one = stack.pop(&Memb::read_lock());
                    let two = stack.pop(&Memb::read_lock());
                    for counted in [one, two].into_iter().flatten() {
                        let (n, check) = counted.value;
                        assert!(n < VALUES && check == n ^ 0xabcd);
                        stack.push(counted);
                    }
                    if round % 64 == 0 {
                        stack.take_all().for_each(|counted| _ = stack.push(counted));
                    }
                }
            });
        }
    });
    let mut left: Vec<_> = stack.take_all().map(|counted| counted.value.0).collect();
    left.sort_unstable();
    assert!(left.into_iter().eq(0..VALUES));
    assert_eq!(counter.alive(), 0);
}

#[test]
fn recorded_histories_are_those_of_a_stack() {
    for round in 0..500_u32 {
        let (stack, clock, start) = (Stack::<u32, Mb>::new(), Clock::default(), Barrier::new(3));
        let work = |base: u32| {
            let mut history = Vec::new();
            start.wait();
            for n in 0..5 {
                history.push(clock.push(base + n, |value| _ = stack.push(value)));
                let guard = Mb::read_lock();
                history.push(if (n + round + base) % 6 == 5 {
                    clock.take_all(|| stack.take_all())
                } else {
                    clock.pop(|| stack.pop(&guard))
                });
            }
            history
        };
        let mut history = std::thread::scope(|s| {
            let others = [100, 200].map(|base| s.spawn(move || work(base)));
            let mut history = work(0);
            history.extend(others.into_iter().flat_map(|other| other.join().unwrap()));
            history
        });
        history.push(clock.take_all(|| stack.take_all()));
        assert!(is_linearizable(&history, Order::Lifo), "{history:#?}");
    }
}

#[test]
fn values_are_dropped_once_wherever_they_are_also_when_a_drop_panics() {
    let counter = Counter::default();
    let stack: Stack<Panics> = Stack::new();
    let fill = || {
        for n in 0..20 {
            stack.push(Panics(counter.value(()), n == 5));
        }
    };
    let panics =
        |f: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    fill();
    assert!(panics(&mut || drop(stack.take_all())));
    assert_eq!(counter.alive(), 0);
    fill();
    let mut stack = Some(stack);
    assert!(panics(&mut || drop(stack.take())));
    assert_eq!(counter.alive(), 0);
}

// Not in rings: too large, so through the worker; and a section that stays open holds back memory only.
#[test]
fn large_values_and_every_flavor() {
    let guard = Memb::read_lock();
    let (counter, stack) = (Counter::default(), Stack::<_, Qsbr>::new());
    let thread = Qsbr::register();
    for _ in 0..4 {
        stack.push((counter.value(()), [7_u8; 300 << 10]));
    }
    for _ in 0..4 {
        let (_, bytes) = stack.pop(&thread.read_lock()).unwrap();
        assert_eq!(bytes[9999], 7);
    }
    assert!(stack.pop(&thread.read_lock()).is_none());
    assert_eq!(counter.alive(), 0);
    drop(guard);
}

static DROPPED_LATE: AtomicUsize = AtomicUsize::new(0);

// In the destructor of a thread-local, where a ring may be gone already.
#[test]
fn a_stack_may_be_used_while_its_thread_ends() {
    static STACK: Stack<u32> = Stack::new();
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            STACK.push(1);
            assert_eq!(STACK.pop(&Memb::read_lock()), Some(1));
            DROPPED_LATE.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local!(static LATE: Late = const { Late });
    std::thread::spawn(|| LATE.with(|_| _ = STACK.push(2)))
        .join()
        .unwrap();
    assert_eq!(DROPPED_LATE.load(Ordering::Relaxed), 1);
    assert_eq!(STACK.take_all().collect::<Vec<_>>(), [2]);
}

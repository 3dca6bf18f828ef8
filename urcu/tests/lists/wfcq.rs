//! [`urcu::wfcq`].

use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use urcu::wfcq::{Node, Nothing, Pushed, Queue};

use crate::counted::{Counted, Counter, Panics};
use crate::linear::{Clock, Order, is_linearizable};

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u32),
    PushNode(u32),
    Pop,
    TryPop,
    /// Takes all, and looks at so many.
    TakeAll(usize),
    SpliceInto,
    SpliceBack,
    NewConsumer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<u32>().prop_map(Step::Push),
        1 => any::<u32>().prop_map(Step::PushNode),
        3 => Just(Step::Pop),
        1 => Just(Step::TryPop),
        1 => (0_usize..6).prop_map(Step::TakeAll),
        1 => Just(Step::SpliceInto),
        1 => Just(Step::SpliceBack),
        1 => Just(Step::NewConsumer),
    ];
    prop::collection::vec(step, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn does_what_a_deque_does(steps in steps()) {
        let counter = Counter::default();
        let (queue, other) = (Queue::new(), Queue::new());
        let (mut model, mut other_model) = (VecDeque::new(), VecDeque::new());
        let mut consumer = queue.consumer().unwrap();
        let mut other_consumer = other.consumer().unwrap();
        for step in steps {
            let pushed = if model.is_empty() { Pushed::First } else { Pushed::Behind };
            match step {
                Step::Push(value) => {
                    prop_assert_eq!(queue.push(counter.value(value)), pushed);
                    model.push_back(value);
                }
                Step::PushNode(value) => {
                    prop_assert_eq!(queue.push_node(Node::new(counter.value(value))), pushed);
                    model.push_back(value);
                }
                Step::Pop => prop_assert_eq!(consumer.pop().map(|counted| counted.value), model.pop_front()),
                Step::TryPop => {
                    let popped = consumer.try_pop().map(|counted| counted.value);
                    prop_assert_eq!(popped, model.pop_front().ok_or(Nothing::Empty));
                }
                Step::TakeAll(looks) => {
                    let taken: Vec<u32> = consumer.take_all().take(looks).map(|counted| counted.value).collect();
                    prop_assert!(taken.into_iter().eq(model.drain(..).take(looks)));
                    model.clear();
                }
                Step::SpliceInto => {
                    let pushed = match (model.is_empty(), other_model.is_empty()) {
                        (true, _) => None,
                        (_, true) => Some(Pushed::First),
                        _ => Some(Pushed::Behind),
                    };
                    prop_assert_eq!(consumer.splice_into(&other), pushed);
                    other_model.append(&mut model);
                }
                Step::SpliceBack => {
                    other_consumer.splice_into(&queue);
                    model.append(&mut other_model);
                }
                Step::NewConsumer => {
                    prop_assert!(queue.consumer().is_none());
                    drop(consumer);
                    consumer = queue.consumer().unwrap();
                }
            }
            prop_assert_eq!(queue.is_empty(), model.is_empty());
            prop_assert_eq!(counter.alive() as usize, model.len() + other_model.len());
        }
        drop((consumer, other_consumer));
        drop((queue, other));
        prop_assert_eq!(counter.alive(), 0);
    }
}

// Two producers and a consumer that pops, takes all and splices: nothing is lost or doubled, each producer's values come in its
// order, and one that a pop calls empty was.
#[test]
fn a_storm_keeps_each_producers_order() {
    const EACH: usize = 30_000;
    let counter = Counter::default();
    let (queue, aside) = (Queue::new(), Queue::new());
    let finished = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for producer in 0..2 {
            let (queue, counter, finished) = (&queue, &counter, &finished);
            s.spawn(move || {
                for n in 0..EACH {
                    let counted = counter.value((producer, n));
                    // Nodes end blocks early.
                    if n % 50 == 49 {
                        queue.push_node(Node::new(counted));
                    } else {
                        queue.push(counted);
                    }
                }
                finished.fetch_add(1, Ordering::Release);
            });
        }
        let mut next = [0; 2];
        let (mut seen, mut taken) = (0, 0);
        let mut see = |counted: Counted<(usize, usize)>| {
            let (producer, n) = counted.value;
            assert_eq!(n, next[producer], "of producer {producer}");
            next[producer] += 1;
            seen += 1;
        };
        let (mut consumer, mut spliced) = (queue.consumer().unwrap(), aside.consumer().unwrap());
        loop {
            let all = finished.load(Ordering::Acquire) == 2;
            for _ in 0..10 {
                consumer.pop().into_iter().for_each(&mut see);
            }
            while let Ok(counted) = consumer.try_pop() {
                see(counted);
                taken += 1;
                if taken % 7 == 0 {
                    break;
                }
            }
            consumer.take_all().for_each(&mut see);
            if consumer.splice_into(&aside).is_none() {
                std::thread::yield_now();
            }
            while let Some(counted) = spliced.pop() {
                see(counted);
            }
            if all && consumer.try_pop().is_err() {
                break;
            }
        }
        assert_eq!(seen, 2 * EACH);
    });
    assert_eq!(counter.alive(), 0);
}

// Small histories, recorded with one clock, in which every value is different.
#[test]
fn recorded_histories_are_those_of_a_queue() {
    for round in 0..500_u32 {
        let (queue, clock, start) = (Queue::new(), Clock::default(), Barrier::new(3));
        let history = std::thread::scope(|s| {
            let producers = [0, 100].map(|base| {
                let (queue, clock, start) = (&queue, &clock, &start);
                s.spawn(move || {
                    start.wait();
                    let push = |n: u32| clock.push(base + n, |value| _ = queue.push(value));
                    (0..6).map(push).collect::<Vec<_>>()
                })
            });
            let mut consumer = queue.consumer().unwrap();
            start.wait();
            let mut history: Vec<_> = (0..8)
                .map(|n| {
                    if (n + round) % 5 == 4 {
                        clock.take_all(|| consumer.take_all())
                    } else {
                        clock.pop(|| consumer.pop())
                    }
                })
                .collect();
            history.extend(
                producers
                    .into_iter()
                    .flat_map(|producer| producer.join().unwrap()),
            );
            history.push(clock.take_all(|| consumer.take_all()));
            history
        });
        assert!(is_linearizable(&history, Order::Fifo), "{history:#?}");
    }
}

#[test]
fn elements_are_dropped_once_wherever_they_are_also_when_a_drop_panics() {
    let counter = Counter::default();
    let filled =
        || -> Queue<Panics> { (0..20).map(|n| Panics(counter.value(()), n == 5)).collect() };
    let panics =
        |f: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();

    let mut queue = Some(filled());
    assert!(panics(&mut || drop(queue.take())));
    assert_eq!(counter.alive(), 0);

    let mut taken = filled().consumer().map(|mut consumer| consumer.take_all());
    assert_eq!(counter.alive(), 20);
    assert!(panics(&mut || drop(taken.take())));
    assert_eq!(counter.alive(), 0);
}

#[test]
fn a_forgotten_consumer_keeps_the_queue_until_it_is_somebodys_alone() {
    let mut queue: Queue<u32> = (0..3).collect();
    std::mem::forget(queue.consumer());
    assert!(queue.consumer().is_none());
    assert_eq!(queue.consumer_mut().pop(), Some(0));
    assert_eq!(queue.consumer().unwrap().pop(), Some(1));
}

// The memory of a node goes round; what was borrowed need not be 'static.
#[test]
fn nodes_go_round() {
    let text = String::from("text");
    let queue: Queue<&str> = Queue::new();
    queue.push(&text);
    let mut consumer = queue.consumer().unwrap();
    let mut node = consumer.pop_node().unwrap();
    let address = std::ptr::from_ref(&*node);
    for _ in 0..100 {
        *node = &node[..2];
        queue.push_node(node);
        queue.push(&text);
        node = consumer.pop_node().unwrap();
        assert_eq!(consumer.take_all().count(), 1);
    }
    assert_eq!((*node, std::ptr::from_ref(&*node)), ("te", address));
    assert_eq!(node.into_inner(), "te");
}

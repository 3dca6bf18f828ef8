//! Whether a recorded history can be that of a queue or a stack: the search of Wing and Gong ("Testing and verifying
//! concurrent objects", 1993), with states that were tried already remembered (Lowe 2017).
//!
//! An operation begins and ends at moments of one clock that all threads step. The search looks for an order of the
//! operations that keeps who ended before whom began, and in which a sequential queue, or stack, would have answered the same.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Push(u32),
    /// And what it gave.
    Pop(Option<u32>),
    TakeAll,
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) call: Call,
    /// What `TakeAll` gave, in order.
    pub(crate) taken: Vec<u32>,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

/// One clock for all threads.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    fn step(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn push(&self, value: u32, push: impl FnOnce(u32)) -> Operation {
        let began = self.step();
        push(value);
        let (call, taken, ended) = (Call::Push(value), Vec::new(), self.step());
        Operation {
            call,
            taken,
            began,
            ended,
        }
    }

    pub(crate) fn pop(&self, pop: impl FnOnce() -> Option<u32>) -> Operation {
        let began = self.step();
        let popped = pop();
        let (call, taken, ended) = (Call::Pop(popped), Vec::new(), self.step());
        Operation {
            call,
            taken,
            began,
            ended,
        }
    }

    /// `take` takes; what it took is looked at after the clock was stepped.
    pub(crate) fn take_all<I: Iterator<Item = u32>>(&self, take: impl FnOnce() -> I) -> Operation {
        let began = self.step();
        let all = take();
        let ended = self.step();
        let (call, taken) = (Call::TakeAll, all.collect());
        Operation {
            call,
            taken,
            began,
            ended,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Fifo,
    Lifo,
}

/// Whether the history, of at most 64 operations, is linearizable.
pub(crate) fn is_linearizable(history: &[Operation], order: Order) -> bool {
    assert!(history.len() <= 64);
    let mut search = Search {
        history,
        order,
        dead: HashSet::new(),
    };
    search.goes_on(0, &mut VecDeque::new())
}

struct Search<'h> {
    history: &'h [Operation],
    order: Order,
    /// From here there is no way: which operations are done, and what is in the queue then.
    dead: HashSet<(u64, VecDeque<u32>)>,
}

impl Search<'_> {
    fn goes_on(&mut self, done: u64, state: &mut VecDeque<u32>) -> bool {
        let open = |n: &usize| done >> n & 1 == 0;
        let Some(first_end) = (0..self.history.len())
            .filter(open)
            .map(|n| self.history[n].ended)
            .min()
        else {
            return true;
        };
        if self.dead.contains(&(done, state.clone())) {
            return false;
        }
        for n in (0..self.history.len()).filter(open) {
            let operation = &self.history[n];
            if operation.began > first_end {
                continue;
            }
            let mut next = state.clone();
            if self.would_answer(operation, &mut next) && self.goes_on(done | 1 << n, &mut next) {
                return true;
            }
        }
        self.dead.insert((done, state.clone()));
        false
    }

    fn would_answer(&self, operation: &Operation, state: &mut VecDeque<u32>) -> bool {
        match (operation.call, self.order) {
            (Call::Push(value), _) => {
                state.push_back(value);
                true
            }
            (Call::Pop(popped), Order::Fifo) => state.pop_front() == popped,
            (Call::Pop(popped), Order::Lifo) => state.pop_back() == popped,
            (Call::TakeAll, Order::Fifo) => state.drain(..).eq(operation.taken.iter().copied()),
            (Call::TakeAll, Order::Lifo) => {
                state.drain(..).rev().eq(operation.taken.iter().copied())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(call: Call, began: u64, ended: u64) -> Operation {
        let taken = Vec::new();
        Operation {
            call,
            taken,
            began,
            ended,
        }
    }

    #[test]
    fn the_checker_tells_good_from_bad() {
        use Call::{Pop, Push};
        let two = |a, b| {
            vec![
                operation(Push(1), 0, 1),
                operation(Push(2), 2, 3),
                operation(a, 4, 5),
                operation(b, 6, 7),
            ]
        };
        let fifo = two(Pop(Some(1)), Pop(Some(2)));
        let lifo = two(Pop(Some(2)), Pop(Some(1)));
        assert!(is_linearizable(&fifo, Order::Fifo) && !is_linearizable(&fifo, Order::Lifo));
        assert!(is_linearizable(&lifo, Order::Lifo) && !is_linearizable(&lifo, Order::Fifo));
        // Twice the same; one that nobody pushed; nothing, while there was something all the time.
        for (a, b) in [
            (Pop(Some(1)), Pop(Some(1))),
            (Pop(Some(1)), Pop(Some(3))),
            (Pop(None), Pop(Some(1))),
        ] {
            assert!(!is_linearizable(&two(a, b), Order::Fifo), "{a:?} {b:?}");
        }
        // Pushes that overlap may come in either order, and a pop may come before or behind a push that it overlaps.
        let overlapping = vec![
            operation(Push(1), 0, 3),
            operation(Push(2), 1, 2),
            operation(Pop(None), 0, 5),
            operation(Pop(Some(2)), 4, 6),
            operation(Pop(Some(1)), 7, 8),
        ];
        assert!(is_linearizable(&overlapping, Order::Fifo));
        assert!(is_linearizable(&overlapping, Order::Lifo));
    }

    #[test]
    fn all_is_taken_at_one_moment() {
        let taken = |values: &[u32]| Operation {
            call: Call::TakeAll,
            taken: values.to_vec(),
            began: 4,
            ended: 5,
        };
        let pushes = [
            operation(Call::Push(1), 0, 1),
            operation(Call::Push(2), 2, 3),
        ];
        for (values, order, good) in [
            (&[1, 2][..], Order::Fifo, true),
            (&[2, 1], Order::Fifo, false),
            (&[2, 1], Order::Lifo, true),
            (&[1], Order::Fifo, false),
            (&[], Order::Lifo, false),
        ] {
            let history = [pushes.to_vec(), vec![taken(values)]].concat();
            assert_eq!(
                is_linearizable(&history, order),
                good,
                "{values:?} {order:?}"
            );
        }
    }
}

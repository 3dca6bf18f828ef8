//! Queues and a stack, of numbers: by one thread, in bursts, from one thread to another, and by two threads at both ends.
//!
//! A figure is the time for one element, pushed and taken. Where two threads are at it, that is the time until everything
//! pushed has been taken, so a queue that grows under its producer pays for that. Two threads have a processor each: on one
//! they would take turns of milliseconds.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crossbeam_queue::{ArrayQueue, SegQueue};
use urcu::{Memb, lfs, wfcq};

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::peers::names::MEMB;
use crate::placement::consume;
use crate::sys;

/// Pushes between two looks at the clock.
const BATCH: u64 = 64;
/// Two threads that are at it, and what they have left, make a round longer than its loop.
const ROUNDS: usize = 9;
/// What the bounded queue holds. Who finds it full tries again.
const BOUND: usize = 1024;

pub(super) fn run(effort: Effort, report: &mut Report) {
    // Urcu's worker starts before any thread is pinned: it would inherit that.
    Memb::call(|| {});
    Memb::barrier();
    report.groups.push(measure(effort));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// One thread pushes and takes in turn.
    InTurn,
    /// One thread pushes some, then takes them.
    Bursts,
    /// One thread pushes, another takes.
    Across,
    /// Two threads push, one of them takes.
    TwoPush,
    /// Two threads push and take in turn.
    Mixed,
}

const COLUMNS: [(Work, &str, &str, [&str; 2]); 5] = [
    (
        Work::InTurn,
        "queue",
        "Push and pop in turn",
        ["in turn", "1 thr"],
    ),
    (
        Work::Bursts,
        "queue_bursts",
        "64 pushes, 64 pops",
        ["bursts", "1 thr"],
    ),
    (
        Work::Across,
        "queue_across",
        "One producer, one consumer",
        ["1 prod", "1 cons"],
    ),
    (
        Work::TwoPush,
        "queue_two_push",
        "Two producers, one of them takes",
        ["2 prod", "1 cons"],
    ),
    (
        Work::Mixed,
        "queue_mixed",
        "Two threads push and pop in turn",
        ["mixed", "2 thr"],
    ),
];

fn measure(effort: Effort) -> Group {
    let queues: [&dyn Contender; 6] = [
        &Of::<wfcq::Queue<u64>>::NEW,
        &Of::<lfs::Stack<u64>>::NEW,
        &Of::<SegQueue<u64>>::NEW,
        &Of::<Bounded>::NEW,
        &Of::<Channel>::NEW,
        &Of::<Mutex<VecDeque<u64>>>::NEW,
    ];
    let charts = COLUMNS.map(|(work, key, title, [upper, lower])| {
        let alone = matches!(work, Work::InTurn | Work::Bursts);
        let typical = if alone { Typical::Min } else { Typical::Median };
        Chart::new(key, title, Unit::Ns, typical).headed(upper, lower)
    });
    let mut charts = Vec::from(charts);
    for round in 0..effort.rounds.min(ROUNDS) {
        for ((work, ..), chart) in COLUMNS.iter().zip(&mut charts) {
            for i in 0..queues.len() {
                let queue = queues[(round + i) % queues.len()];
                chart.add(queue.name(), queue.round(*work, effort.loop_time));
            }
        }
    }
    // Each name in its place, whoever began a round.
    for chart in &mut charts {
        let order = |name: &str| queues.iter().position(|queue| queue.name() == name);
        chart.lines.sort_by_key(|line| order(&line.name));
    }
    Group {
        title: "an element through a queue (urcu memb: wfcq, which has one consumer)",
        charts,
    }
}

/// What the loops need of a queue.
trait Queue: Sync {
    const NAME: &'static str;
    /// Whether two may take at a time.
    const MANY_TAKE: bool;
    /// Whether a push waits for a pop: then the one who takes cannot push.
    const BOUNDED: bool = false;
    type Consumer<'q>
    where
        Self: 'q;
    fn new() -> Self;
    fn push(&self, value: u64);
    fn consumer(&self) -> Self::Consumer<'_>;
    fn pop(consumer: &mut Self::Consumer<'_>) -> Option<u64>;
    /// Waits for what the loops have left to others.
    fn settle() {}
}

impl Queue for wfcq::Queue<u64> {
    const NAME: &'static str = MEMB;
    const MANY_TAKE: bool = false;
    type Consumer<'q> = wfcq::Consumer<'q, u64>;
    fn new() -> Self {
        Self::new()
    }
    #[inline]
    fn push(&self, value: u64) {
        self.push(value);
    }
    fn consumer(&self) -> Self::Consumer<'_> {
        self.consumer().expect("one thread takes")
    }
    #[inline]
    fn pop(consumer: &mut Self::Consumer<'_>) -> Option<u64> {
        consumer.pop()
    }
}

impl Queue for lfs::Stack<u64> {
    const NAME: &'static str = "urcu memb, lfs (a stack)";
    const MANY_TAKE: bool = true;
    type Consumer<'q> = &'q Self;
    fn new() -> Self {
        Self::new()
    }
    #[inline]
    fn push(&self, value: u64) {
        self.push(value);
    }
    fn consumer(&self) -> Self::Consumer<'_> {
        self
    }
    #[inline]
    fn pop(consumer: &mut Self::Consumer<'_>) -> Option<u64> {
        consumer.pop(&Memb::read_lock())
    }
    fn settle() {
        Memb::barrier();
    }
}

impl Queue for SegQueue<u64> {
    const NAME: &'static str = "crossbeam SegQueue";
    const MANY_TAKE: bool = true;
    type Consumer<'q> = &'q Self;
    fn new() -> Self {
        Self::new()
    }
    #[inline]
    fn push(&self, value: u64) {
        self.push(value);
    }
    fn consumer(&self) -> Self::Consumer<'_> {
        self
    }
    #[inline]
    fn pop(consumer: &mut Self::Consumer<'_>) -> Option<u64> {
        SegQueue::pop(consumer)
    }
}

/// Allocates nothing and makes producers wait.
struct Bounded(ArrayQueue<u64>);

impl Queue for Bounded {
    const NAME: &'static str = "crossbeam ArrayQueue, 1024";
    const MANY_TAKE: bool = true;
    const BOUNDED: bool = true;
    type Consumer<'q> = &'q Self;
    fn new() -> Self {
        Self(ArrayQueue::new(BOUND))
    }
    #[inline]
    fn push(&self, value: u64) {
        let mut tries = 0_u32;
        while self.0.push(value).is_err() {
            tries += 1;
            if tries.is_multiple_of(64) {
                thread::yield_now();
            }
            core::hint::spin_loop();
        }
    }
    fn consumer(&self) -> Self::Consumer<'_> {
        self
    }
    #[inline]
    fn pop(consumer: &mut Self::Consumer<'_>) -> Option<u64> {
        consumer.0.pop()
    }
}

struct Channel {
    sender: Sender<u64>,
    receiver: Mutex<Receiver<u64>>,
}

impl Queue for Channel {
    const NAME: &'static str = "std mpsc";
    const MANY_TAKE: bool = false;
    type Consumer<'q> = MutexGuard<'q, Receiver<u64>>;
    fn new() -> Self {
        let (sender, receiver) = channel();
        let receiver = Mutex::new(receiver);
        Self { sender, receiver }
    }
    #[inline]
    fn push(&self, value: u64) {
        _ = self.sender.send(value);
    }
    fn consumer(&self) -> Self::Consumer<'_> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }
    #[inline]
    fn pop(consumer: &mut Self::Consumer<'_>) -> Option<u64> {
        consumer.try_recv().ok()
    }
}

impl Queue for Mutex<VecDeque<u64>> {
    const NAME: &'static str = "std Mutex<VecDeque>";
    const MANY_TAKE: bool = true;
    type Consumer<'q> = &'q Self;
    fn new() -> Self {
        Self::default()
    }
    #[inline]
    fn push(&self, value: u64) {
        let mut queue = self.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(value);
    }
    fn consumer(&self) -> Self::Consumer<'_> {
        self
    }
    #[inline]
    fn pop(consumer: &mut Self::Consumer<'_>) -> Option<u64> {
        let mut queue = consumer.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    }
}

/// A queue of any kind.
trait Contender {
    fn name(&self) -> &'static str;
    /// Nanoseconds for an element; `None` where it cannot do that.
    fn round(&self, work: Work, time: Duration) -> Option<f64>;
}

/// A new queue for each round.
struct Of<Q>(core::marker::PhantomData<fn() -> Q>);

impl<Q> Of<Q> {
    const NEW: Self = Self(core::marker::PhantomData);
}

impl<Q: Queue> Contender for Of<Q> {
    fn name(&self) -> &'static str {
        Q::NAME
    }

    fn round(&self, work: Work, time: Duration) -> Option<f64> {
        if (work == Work::Mixed && !Q::MANY_TAKE) || (work == Work::TwoPush && Q::BOUNDED) {
            return None;
        }
        let queue = Q::new();
        let (took, elements) = match work {
            Work::InTurn => in_turn(&queue, time, 1),
            Work::Bursts => in_turn(&queue, time, BATCH),
            Work::Across => across(&queue, time, false),
            Work::TwoPush => across(&queue, time, true),
            Work::Mixed => mixed(&queue, time),
        };
        drop(queue);
        Q::settle();
        Some(took.as_nanos() as f64 / elements as f64)
    }
}

/// So many pushes, so many pops, and again.
fn in_turn<Q: Queue>(queue: &Q, time: Duration, burst: u64) -> (Duration, u64) {
    let mut consumer = queue.consumer();
    let (begun, mut done) = (Instant::now(), 0);
    loop {
        for _ in 0..BATCH / burst {
            for n in 0..burst {
                queue.push(done + n);
            }
            for _ in 0..burst {
                consume(Q::pop(&mut consumer).unwrap_or(0));
            }
        }
        done += BATCH;
        let took = begun.elapsed();
        if took >= time {
            return (took, done);
        }
    }
}

/// Threads that meet spinning: whoever sleeps starts late and runs alone.
struct Meeting(AtomicUsize);

impl Meeting {
    fn of_two() -> Self {
        Self(AtomicUsize::new(2))
    }

    fn meet(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
        while self.0.load(Ordering::Acquire) > 0 {
            core::hint::spin_loop();
        }
    }
}

/// One thread pushes, the other takes, and pushes as much as it has taken if `both_push`.
fn across<Q: Queue>(queue: &Q, time: Duration, both_push: bool) -> (Duration, u64) {
    let (meeting, finished) = (Meeting::of_two(), AtomicBool::new(false));
    thread::scope(|scope| {
        let producer = scope.spawn(|| {
            sys::pin(1);
            meeting.meet();
            let (begun, mut pushed) = (Instant::now(), 0);
            while begun.elapsed() < time {
                for n in 0..BATCH {
                    queue.push(pushed + n);
                }
                pushed += BATCH;
            }
            finished.store(true, Ordering::Release);
            pushed
        });
        let taker = scope.spawn(|| {
            sys::pin(0);
            let mut consumer = queue.consumer();
            meeting.meet();
            let (begun, mut taken, mut pushed) = (Instant::now(), 0, 0);
            loop {
                // Before the look at the queue: what it then finds empty stays so.
                let last = finished.load(Ordering::Acquire);
                if let Some(value) = Q::pop(&mut consumer) {
                    consume(value);
                    taken += 1;
                    if both_push && !last && taken % 2 == 0 {
                        queue.push(taken);
                        pushed += 1;
                    }
                } else if last {
                    return (begun.elapsed(), taken, pushed);
                } else {
                    core::hint::spin_loop();
                }
            }
        });
        let (took, taken, pushed) = taker.join().expect("it does not panic");
        let pushed_by_other = producer.join().expect("it does not panic");
        assert_eq!(taken, pushed + pushed_by_other, "{} lost elements", Q::NAME);
        (took, taken)
    })
}

/// Both push and take in turn.
fn mixed<Q: Queue>(queue: &Q, time: Duration) -> (Duration, u64) {
    let meeting = Meeting::of_two();
    let work = |cpu| {
        sys::pin(cpu);
        meeting.meet();
        in_turn(queue, time, 1)
    };
    thread::scope(|scope| {
        let [one, other] = [0, 1].map(|cpu| scope.spawn(move || work(cpu)));
        let (took, done) = one.join().expect("it does not panic");
        let (also_took, also_done) = other.join().expect("it does not panic");
        // What one thread sees.
        (took + also_took, done + also_done)
    })
}

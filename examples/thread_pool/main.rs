//! A thread pool whose jobs are QSBR readers: how to embed urcu where threads are somebody else's.
//!
//! A worker registers when it starts, announces a quiescent state between two jobs, and is offline while the
//! queue is empty. Jobs get the registration by reference: the borrow checker sees to it that they can read,
//! but neither announce nor keep what they have read.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use examples::cli;
use examples::latencies::Latencies;
use urcu::{Qsbr, Rcu, Thread};

const ABOUT: &str = "thread_pool: a thread pool whose jobs read under QSBR";
const BURST: u64 = 20_000;

type Job = Box<dyn FnOnce(&Thread<Qsbr>) + Send>;

#[derive(Default)]
struct Queue {
    /// `None` tells one worker to end.
    jobs: Mutex<VecDeque<Option<Job>>>,
    pushed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Option<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Option<Job>) {
        self.lock().push_back(job);
        self.pushed.notify_one();
    }

    fn pop(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            match jobs.pop_front() {
                Some(job) => return job,
                None => {
                    jobs = self
                        .pushed
                        .wait(jobs)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }
}

fn work(queue: &Queue) {
    let mut thread = Qsbr::register();
    loop {
        // Offline only where the worker may sleep: that costs two exchanges, an announcement two loads.
        let ready = queue.lock().pop_front();
        let Some(job) = ready.unwrap_or_else(|| thread.offline(|| queue.pop())) else {
            return;
        };
        job(&thread);
        thread.quiescent_state();
    }
}

struct Pool {
    queue: Arc<Queue>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    fn new(workers: usize) -> Self {
        let queue = Arc::<Queue>::default();
        let start = |_| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || work(&queue))
        };
        let workers = (0..workers).map(start).collect();
        Self { queue, workers }
    }

    fn submit(&self, job: impl FnOnce(&Thread<Qsbr>) + Send + 'static) {
        self.queue.push(Some(Box::new(job)));
    }

    /// Waits for all jobs.
    fn finish(self) {
        self.workers.iter().for_each(|_| self.queue.push(None));
        for worker in self.workers {
            worker.join().expect("no job of ours panics");
        }
    }
}

/// What the jobs look things up in: the squares of the numbers below 1000, plus the table's age.
struct Table(Vec<u64>);

static TABLE: Rcu<Table, Qsbr> = Rcu::null();
static DONE: AtomicU64 = AtomicU64::new(0);

fn table(age: u64) -> Table {
    Table((0..1000).map(|n| n * n + age).collect())
}

fn look_up(thread: &Thread<Qsbr>, n: u64) {
    let guard = thread.read_lock();
    let Table(squares) = TABLE.dereference(&guard).expect("main has set it");
    let at = usize::try_from(n % 1000).expect("below 1000");
    let age = squares[0];
    assert_eq!(black_box(squares[at]), (n % 1000).pow(2) + age);
    DONE.fetch_add(1, Relaxed);
}

fn main() {
    let time = cli::seconds(ABOUT, 2);
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    TABLE.assign(table(0));
    let pool = Pool::new(cpus);
    let (mut busy, mut idle) = (Latencies::default(), Latencies::default());
    let (mut submitted, mut age) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < time {
        for n in 0..BURST {
            pool.submit(move |thread| look_up(thread, n));
        }
        submitted += BURST;
        // Tables change while jobs run, and once more when the pool has gone idle.
        let mut working = true;
        while working {
            working = DONE.load(Relaxed) < submitted;
            age += 1;
            let old = TABLE.replace(table(age)).expect("main has set it");
            let latencies = if working { &mut busy } else { &mut idle };
            let Table(old) = *latencies.time(|| old.synchronize());
            assert_eq!(old[0], age - 1);
            thread::sleep(Duration::from_micros(100));
        }
    }
    pool.finish();
    println!("{submitted} jobs on {cpus} workers; {age} tables replaced under them");
    println!("  grace periods, workers busy: {busy}");
    println!("  grace periods, workers idle: {idle}");
}

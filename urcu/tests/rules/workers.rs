//! The workers: shards, batches, lazy and hurried callbacks, shutdown (rcu-semantics 2.13 to 2.15, rule A6).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use crate::child::in_child;
use crate::flavors::{Reader, Stage, every_flavor, wait_until};
use crate::libc_calls::{self, fork_and_wait};
use urcu::{Memb, Rcu};

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn count<R: Reader>(ran: &'static AtomicUsize) {
    R::call(|| _ = ran.fetch_add(1, SeqCst));
}

/// Runs `f` on a thread of its own, and so mostly on another shard.
fn elsewhere(f: impl FnOnce() + Send + 'static) {
    std::thread::spawn(f).join().unwrap();
}

/// How often each worker of a flavor was switched out, by its name and number: one that was joined is listed for a
/// moment longer, beside its successor.
fn workers(flavor: &str) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        // A thread may end between the two calls.
        let Ok(status) = std::fs::read_to_string(entry.unwrap().path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        if field("Name:").starts_with(&format!("urcu-{flavor}/")) {
            let switches = field("voluntary_ctxt_switches:").parse().unwrap();
            found.insert(format!("{} {}", field("Name:"), field("Pid:")), switches);
        }
    }
    found
}

/// Whether a worker of a flavor is in futex(2) with the value that says that only lazy callbacks wait
/// (`Sleep::Lazy` in urcu/src/shard.rs).
fn one_sleeps_lazily(flavor: &str) -> bool {
    let lazily = [libc::SYS_futex.to_string(), "0x2".to_owned()];
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|entry| entry.unwrap().path()).any(|task| {
        // A thread may end between the calls.
        let read = |file| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        let call = read("syscall");
        let words: Vec<_> = call.split(' ').collect();
        read("comm").starts_with(&format!("urcu-{flavor}/"))
            && words.len() > 3
            && [words[0], words[3]] == [&lazily[0], &lazily[1]]
    })
}

/// Joined threads are in /proc for a moment longer.
fn no_workers<R: Reader>() {
    wait_until(|| workers(R::NAME).is_empty());
}

/// 2.14 (e): what threads queued that have ended since, in whatever shard.
fn covers_all_shards<R: Reader>() {
    let ran = leaked(AtomicUsize::new(0));
    let mut reader = R::join();
    for round in 1..=50 {
        for _ in 0..4 {
            elsewhere(|| {
                for _ in 0..5 {
                    R::call(|| _ = ran.fetch_add(1, Relaxed));
                }
            });
        }
        reader.barrier();
        // Relaxed on both sides: the barrier orders them.
        assert_eq!(ran.load(Relaxed), round * 20);
    }
}
every_flavor!(barrier_covers_the_shards_of_all_threads, covers_all_shards);

fn one_worker_a_shard<R: Reader>() {
    let cpus = std::thread::available_parallelism().unwrap().get().min(16);
    assert_eq!(shards_in_use::<R>(), cpus);
}
every_flavor!(each_processor_has_a_shard_with_a_worker, one_worker_a_shard in child);

// The CPUs were counted at first use, by the mask of whoever that was: one shard, and no cooperation and no
// spinning either, for the life of the process.
fn first_caller_on_one_cpu<R: Reader>() {
    let cpus = std::thread::available_parallelism().unwrap().get().min(16);
    libc_calls::run_on_one_processor().unwrap();
    assert_eq!(shards_in_use::<R>(), cpus);
}
every_flavor!(a_pinned_first_caller_was_taken_for_a_machine_of_one_processor, first_caller_on_one_cpu in child);

/// How many there are after callbacks of many threads.
fn shards_in_use<R: Reader>() -> usize {
    let ran = leaked(AtomicUsize::new(0));
    let mut reader = R::join();
    for _ in 0..40 {
        elsewhere(|| count::<R>(ran));
    }
    reader.barrier();
    assert_eq!(ran.load(SeqCst), 40);
    workers(R::NAME).len()
}

/// The kernel's forward-progress test: a callback that queues itself again.
fn requeueing<R: Reader>() {
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    static STOP: AtomicUsize = AtomicUsize::new(0);
    fn again<R: Reader>() {
        ROUNDS.fetch_add(1, SeqCst);
        // 1: asked to stop; 2: stopped.
        if STOP.compare_exchange(1, 2, SeqCst, SeqCst).is_err() {
            R::call(again::<R>);
        }
    }
    let ran = leaked(AtomicUsize::new(0));
    let mut reader = R::join();
    R::call(again::<R>);
    for n in 1..=100 {
        // Neither does a barrier wait for the callback to stop, nor do others starve behind it.
        count::<R>(ran);
        reader.barrier();
        assert_eq!(ran.load(SeqCst), n);
    }
    // It goes on by itself. A barrier looks at one shard after the other, and the callback may move between them.
    reader.away(|| wait_until(|| ROUNDS.load(SeqCst) >= 100));
    STOP.store(1, SeqCst);
    reader.away(|| wait_until(|| STOP.load(SeqCst) == 2));
}
every_flavor!(a_callback_that_queues_itself_starves_nobody, requeueing in child);

/// A hurried callback does not stand in line: at most a slice of the others runs before it.
fn hurried<R: Reader>() {
    static TAKEN: Stage = Stage::new();
    static PUSHED: Stage = Stage::new();
    static RAN: AtomicUsize = AtomicUsize::new(0);
    static RAN_BEFORE: AtomicUsize = AtomicUsize::new(usize::MAX);
    let mut reader = R::join();
    {
        // One batch: the section holds it back until all are queued.
        let _guard = reader.lock();
        R::call(|| {
            TAKEN.next();
            PUSHED.wait_for(1);
        });
        for _ in 0..200 {
            R::call(|| {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(1) {
                    std::hint::spin_loop(); // a third of a slice
                }
                RAN.fetch_add(1, SeqCst);
            });
        }
    }
    reader.away(|| {
        TAKEN.wait_for(1);
        R::call_hurry(|| RAN_BEFORE.store(RAN.load(SeqCst), SeqCst));
        PUSHED.next();
    });
    reader.barrier();
    let before = RAN_BEFORE.load(SeqCst);
    assert_eq!(RAN.load(SeqCst), 200);
    assert!(before < 50, "{before} callbacks ran before the hurried one");
}
every_flavor!(a_hurried_callback_overtakes_the_backlog, hurried in child);

/// Lazy callbacks wake nobody, and wait for nothing but the first occasion.
fn lazy<R: Reader>() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let ran = || _ = RAN.fetch_add(1, SeqCst);
    let mut reader = R::join();
    R::call_lazy(ran);
    reader.barrier();
    assert_eq!(RAN.load(SeqCst), 1);
    // The first wakes the worker once, which then sleeps until the time is over. A barrier may ask for haste once more
    // when its own pass has begun: the next callback uses that up.
    let mut calls = 1;
    while RAN.load(SeqCst) == calls {
        R::call_lazy(ran);
        calls += 1;
        reader.away(|| wait_until(|| one_sleeps_lazily(R::NAME) || RAN.load(SeqCst) == calls));
    }
    let before = (workers(R::NAME), R::stats().grace_periods);
    for _ in 0..1000 {
        R::call_lazy(ran);
    }
    assert_eq!((workers(R::NAME), R::stats().grace_periods), before);
    assert_eq!(RAN.load(SeqCst), calls - 1);
    // Flushed by a call of the same thread, with which they share the grace period.
    let (done, answer) = std::sync::mpsc::channel();
    R::call(move || done.send(RAN.load(SeqCst)).unwrap());
    calls += 1000;
    assert_eq!(reader.away(|| answer.recv().unwrap()), calls);
    // By their number.
    for _ in 0..10_000 {
        R::call_lazy(ran);
    }
    reader.away(|| wait_until(|| RAN.load(SeqCst) == calls + 10_000));
    // By the time, with a barrier that interrupts nobody, where the kernel has one.
    drop(reader.lock()); // or there is nobody to be ordered
    let patient = R::stats().patient_barriers;
    R::set_lazy_delay(Duration::from_millis(1));
    R::call_lazy(ran);
    reader.away(|| wait_until(|| RAN.load(SeqCst) == calls + 10_001));
    if R::NAME == "memb" && libc_calls::has_global_membarrier() {
        assert_eq!(R::stats().patient_barriers, patient + 1);
    }
}
every_flavor!(lazy_callbacks_wake_nobody_until_an_occasion, lazy in child);

fn shut_down<R: Reader>() {
    let ran = leaked(AtomicUsize::new(0));
    let mut reader = R::join();
    reader.shutdown(); // nothing is there
    for round in 1..=20 {
        for _ in 0..3 {
            elsewhere(|| count::<R>(ran));
        }
        R::call_lazy(|| _ = ran.fetch_add(1, SeqCst));
        reader.shutdown();
        assert_eq!(ran.load(SeqCst), round * 4);
        no_workers::<R>();
    }
    // In a forked child, before and after workers of its own.
    count::<R>(ran);
    let status = fork_and_wait(|| {
        reader.shutdown();
        count::<R>(ran);
        reader.shutdown();
        no_workers::<R>();
    });
    assert_eq!(status, 0);
}
every_flavor!(shutdown_drains_and_joins_and_calls_start_anew, shut_down in child);

// The worker's own ring went to a new worker as its thread ended, which nobody joined.
fn retiring_callback<R: Reader>() {
    let p: &Rcu<u64, R::F> = leaked(Rcu::new(0));
    let mut reader = R::join();
    for n in 1..=20 {
        R::call(move || drop(p.replace(n)));
        reader.shutdown();
        no_workers::<R>();
    }
    assert_eq!(R::stats().callbacks_pending, 0);
}
every_flavor!(shutdown_returned_beside_a_worker_that_freed_what_callbacks_had_retired, retiring_callback in child);

// One start failed, and from then on one call in 64 tried again: a callback that no other followed was stuck.
#[test]
fn a_lone_callback_was_stuck_after_one_failed_start() {
    in_child(
        "workers::a_lone_callback_was_stuck_after_one_failed_start",
        || {
            static RAN: AtomicBool = AtomicBool::new(false);
            let spawn = || std::thread::Builder::new().spawn(|| {});
            let limit = libc_calls::limit_address_space(1 << 20);
            assert!(spawn().is_err(), "threads start in 1 MiB");
            Memb::call(|| RAN.store(true, SeqCst));
            libc_calls::restore_address_space(limit);
            let cookie = Memb::start_poll();
            wait_until(|| cookie.is_done());
            wait_until(|| RAN.load(SeqCst));
        },
    );
}

/// Calls, barriers and shutdowns from all sides: no callback is lost, no wait hangs.
fn shut_down_storm<R: Reader>() {
    const EACH: usize = 2000;
    let ran = leaked(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut reader = R::join();
                for n in 0..EACH {
                    match (thread, n % 7) {
                        (0, 0) => reader.shutdown(),
                        (1, 0) => reader.barrier(),
                        (2, 0) => R::call_lazy(|| _ = ran.fetch_add(1, SeqCst)),
                        (_, 1) => R::call_hurry(|| _ = ran.fetch_add(1, SeqCst)),
                        _ => count::<R>(ran),
                    }
                }
                EACH - if thread < 2 { EACH.div_ceil(7) } else { 0 }
            })
        })
        .collect();
    let called: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    let mut reader = R::join();
    reader.barrier();
    assert_eq!(ran.load(SeqCst), called);
    reader.shutdown();
    no_workers::<R>();
}
every_flavor!(shutdowns_among_calls_lose_nothing, shut_down_storm in child);

fn shut_down_in_a_callback<R: Reader>() {
    static REFUSED: AtomicBool = AtomicBool::new(false);
    let mut reader = R::join();
    R::call(|| {
        let mut inside = R::join();
        let shutdown = catch_unwind(AssertUnwindSafe(|| inside.shutdown()));
        REFUSED.store(shutdown.is_err(), SeqCst);
    });
    reader.barrier();
    assert!(REFUSED.load(SeqCst));
    let guarded = R::join();
    let guard = guarded.lock();
    assert!(catch_unwind(Memb::shutdown).is_err() || R::NAME != "memb");
    drop(guard);
}
every_flavor!(shutdown_where_it_would_wait_for_itself_panics, shut_down_in_a_callback in child);

/// A6 with more than one shard: what waits in each is run by the child, what runs in each is lost there.
#[test]
fn a06_a_child_takes_over_every_shard() {
    in_child("workers::a06_a_child_takes_over_every_shard", || {
        static RAN: AtomicUsize = AtomicUsize::new(0);
        static INSIDE: Stage = Stage::new();
        static GO: Stage = Stage::new();
        let shards = std::thread::available_parallelism().unwrap().get().min(16);
        let threads = 8 * shards; // so that some push to each shard, whatever numbers they have
        for _ in 0..threads {
            elsewhere(|| {
                Memb::call(|| {
                    INSIDE.next();
                    GO.wait_for(1);
                    RAN.fetch_add(1, SeqCst);
                });
                Memb::call(|| _ = RAN.fetch_add(1, SeqCst));
                Memb::call_hurry(|| _ = RAN.fetch_add(1, SeqCst));
                Memb::call_lazy(|| _ = RAN.fetch_add(1, SeqCst));
            });
        }
        // One callback is inside in each shard, and has all the others behind it.
        INSIDE.wait_for(shards);
        let run = RAN.load(SeqCst);
        let left = 4 * threads - run - shards;
        let status = fork_and_wait(|| {
            let stats = Memb::stats();
            assert_eq!(
                (stats.callbacks_lost, stats.callbacks_pending),
                (shards as u64, left as u64)
            );
            GO.next();
            Memb::barrier();
            assert_eq!(RAN.load(SeqCst), run + left);
            assert_eq!(Memb::stats().bytes_pending, 0);
            Memb::shutdown();
        });
        assert_eq!(status, 0);
        assert_eq!(RAN.load(SeqCst), run);
        GO.next();
        Memb::barrier();
        assert_eq!(RAN.load(SeqCst), 4 * threads);
    });
}

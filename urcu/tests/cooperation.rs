//! Rule A12: a hot reader answers grace periods, a parked thread is passed by, and both are still waited for.
//!
//! A program of its own: one registered thread that neither reads nor parks, in another test, would keep
//! everybody from cooperating.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use urcu::Memb;

/// A counter that one thread raises and others wait for, without a clock.
struct Stage(AtomicUsize);

impl Stage {
    fn new() -> Self {
        Self(AtomicUsize::new(0))
    }
    fn next(&self) {
        self.0.fetch_add(1, SeqCst);
    }
    fn wait_for(&self, stage: usize) {
        wait_until(|| self.0.load(SeqCst) >= stage);
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether cooperation is possible at all.
fn impossible() -> bool {
    let one = std::thread::available_parallelism().map_or(1, usize::from) < 2;
    if one {
        println!("SKIP cooperative rounds: one CPU, the reader cannot answer while somebody asks");
    }
    one
}

/// Runs `body` beside a thread that is in and out of sections all the time.
fn beside_a_hot_reader(body: impl FnOnce()) {
    let (runs, over) = (Stage::new(), AtomicBool::new(false));
    std::thread::scope(|s| {
        s.spawn(|| {
            drop(Memb::read_lock());
            runs.next();
            while !over.load(SeqCst) {
                drop(Memb::read_lock());
            }
        });
        runs.wait_for(1);
        let _ends = Ends(&over);
        body();
    });
}

/// Ends the reader also when the body panics: the scope waits for it.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Grace periods until so many were answered by readers. An answer takes two CPUs at the same moment: on a
/// machine that has none to spare there is nothing to see. That an answer is taken for one, and who need not
/// answer, is tested beside the code, without a race.
fn synchronize_until_answered(times: u64) {
    let enough = Memb::stats().cooperative + times;
    for _ in 0..300_000 {
        Memb::synchronize();
        if Memb::stats().cooperative >= enough {
            return;
        }
    }
    println!(
        "SKIP cooperative rounds: no two CPUs at the same moment, {:?}",
        Memb::stats()
    );
}

#[test]
fn a12_a_hot_reader_answers() {
    let _one = one_at_a_time();
    if !impossible() {
        beside_a_hot_reader(|| synchronize_until_answered(100));
    }
}

#[test]
fn a12_a_parked_thread_and_a_worker_do_not_keep_others_from_cooperating() {
    let _one = one_at_a_time();
    if impossible() {
        return;
    }
    Memb::call(|| drop(Memb::read_lock())); // a worker that has read once
    Memb::barrier();
    let parked = &Stage::new();
    // The parked thread really sleeps: the CPUs are for the reader and the updater.
    let (over, until_over) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|s| {
        s.spawn(move || {
            drop(Memb::read_lock());
            Memb::park(|| {
                parked.next();
                let _ = until_over.recv();
            });
        });
        parked.wait_for(1);
        beside_a_hot_reader(|| synchronize_until_answered(100));
        drop(over);
    });
}

/// A section that begins while its thread is parked, or that was begun there and outlives the parking.
#[test]
fn a12_sections_of_parked_threads_are_waited_for() {
    let _one = one_at_a_time();
    for outlives in [false, true] {
        let (inside, end) = (&Stage::new(), &Stage::new());
        let (returned, asleep) = (&AtomicBool::new(false), Memb::stats().sleeps);
        std::thread::scope(|s| {
            s.spawn(move || {
                drop(Memb::read_lock());
                let wait = |guard| {
                    inside.next();
                    end.wait_for(1);
                    assert!(!returned.load(SeqCst), "not waited for");
                    drop(guard);
                };
                if outlives {
                    wait(Memb::park(Memb::read_lock));
                } else {
                    Memb::park(|| wait(Memb::read_lock()));
                }
                assert!(!Memb::read_lock_held());
            });
            inside.wait_for(1);
            s.spawn(move || {
                Memb::synchronize();
                returned.store(true, SeqCst);
            });
            wait_until(|| Memb::stats().sleeps > asleep || returned.load(SeqCst));
            end.next();
        });
    }
}

/// Parking inside a section must not end it.
#[test]
fn a12_parking_inside_a_section_keeps_the_section() {
    let _one = one_at_a_time();
    let guard = Memb::read_lock();
    Memb::park(|| assert!(Memb::read_lock_held()));
    assert!(Memb::read_lock_held());
    drop(guard);
    assert!(!Memb::read_lock_held());
}

//! A21: panics in callbacks and hooks, waits where they would never end, a worker that cannot start.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use crate::child::{DONE, in_child, outcome_of_child};
use crate::flavors::{Auto, Reader, Stage, every_flavor, wait_until};
use crate::libc_calls;
use crate::reports;
use urcu::{Mb, Memb, Qsbr, Rcu, Report};

/// A panic payload whose drop panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("the payload's own panic"));
    }
}

fn panicking_callbacks<R: Reader>() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    reports::collect();
    let mut reader = R::join();
    for n in 0..100 {
        R::call(move || {
            RAN.fetch_add(1, SeqCst);
            if n % 4 == 0 {
                resume_unwind(Box::new(Bomb));
            }
        });
    }
    reader.barrier();
    assert_eq!((RAN.load(SeqCst), R::stats().callback_panics), (100, 25));
    assert_eq!(R::stats().callbacks_pending, 0);
    let told = |r: &Report| matches!(r, Report::CallbackPanicked { flavor } if *flavor == R::NAME);
    reports::wait_for(25, told);
    assert_eq!(reports::count(told), 25);
    // An object whose Drop panics is no different.
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            resume_unwind(Box::new(()));
        }
    }
    let p: Rcu<Panics, R::F> = Rcu::new(Panics);
    p.take().unwrap().free();
    reader.barrier();
    assert_eq!(R::stats().callback_panics, 26);
}
every_flavor!(a21_a_panic_in_a_callback_is_caught_counted_and_told, panicking_callbacks in child);

fn callbacks_that_queue<R: Reader>() {
    let ran: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    fn again<R: Reader>(ran: &'static AtomicUsize, left: usize) {
        ran.fetch_add(1, SeqCst);
        if left > 0 {
            R::call(move || again::<R>(ran, left - 1));
        }
    }
    let mut reader = R::join();
    R::call(move || again::<R>(ran, 50));
    // Not covered by one barrier, but each barrier covers what is queued.
    for n in 1..=51 {
        reader.barrier();
        assert!(ran.load(SeqCst) >= n);
    }
    assert_eq!(ran.load(SeqCst), 51);
}
every_flavor!(a21_callbacks_may_queue_callbacks, callbacks_that_queue);

fn waits_in_a_callback<R: Reader>() {
    static BARRIER_PANICKED: AtomicBool = AtomicBool::new(false);
    static SYNCHRONIZED: AtomicBool = AtomicBool::new(false);
    let mut reader = R::join();
    R::call(|| {
        let mut inside = R::join();
        let barrier = catch_unwind(AssertUnwindSafe(|| inside.barrier()));
        BARRIER_PANICKED.store(barrier.is_err(), SeqCst);
        drop(inside.lock());
        inside.synchronize();
        SYNCHRONIZED.store(true, SeqCst);
    });
    reader.barrier();
    assert!(
        BARRIER_PANICKED.load(SeqCst),
        "a barrier in a callback would wait for itself"
    );
    assert!(SYNCHRONIZED.load(SeqCst));
}
every_flavor!(a21_in_a_callback_barrier_panics_and_synchronize_works, waits_in_a_callback in child);

/// Another domain's barrier is no obstacle.
#[test]
fn a21_a_callback_may_wait_for_another_domains_barrier() {
    static DONE: AtomicBool = AtomicBool::new(false);
    Memb::call(|| {
        Mb::call(|| DONE.store(true, SeqCst));
        Mb::barrier();
        assert!(DONE.load(SeqCst));
    });
    Memb::barrier();
    assert!(DONE.load(SeqCst));
}

#[test]
fn a21_barrier_is_not_a_grace_period() {
    in_child("a21_smaller::a21_barrier_is_not_a_grace_period", || {
        static INSIDE: Stage = Stage::new();
        static OVER: Stage = Stage::new();
        let reader = std::thread::spawn(|| {
            let _guard = Memb::read_lock();
            INSIDE.next();
            OVER.wait_for(1);
        });
        INSIDE.wait_for(1);
        Memb::barrier(); // nothing is queued: returns although a reader is inside
        OVER.next();
        reader.join().unwrap();
    });
}

fn barrier_covers<R: Reader>() {
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                let mut reader = R::join();
                for n in 0..200_usize {
                    let ran = std::sync::Arc::new(AtomicUsize::new(0));
                    for _ in 0..n % 7 {
                        let ran = std::sync::Arc::clone(&ran);
                        R::call(move || {
                            ran.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        });
                    }
                    reader.barrier();
                    // Relaxed on both sides: the barrier orders them.
                    assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), n % 7);
                }
            });
        }
    });
}
every_flavor!(a21_barrier_covers_the_callers_own_callbacks, barrier_covers);

#[test]
fn a21_a_hook_may_panic() {
    in_child("a21_smaller::a21_a_hook_may_panic", || {
        static CALLED: AtomicUsize = AtomicUsize::new(0);
        urcu::set_report_hook(|_| {
            CALLED.fetch_add(1, SeqCst);
            resume_unwind(Box::new(Bomb));
        });
        Memb::call(|| resume_unwind(Box::new(())));
        Memb::call(|| resume_unwind(Box::new(())));
        Memb::barrier();
        wait_until(|| CALLED.load(SeqCst) == 2);
        Memb::synchronize();
    });
}

#[test]
fn a21_waits_in_a_hook_are_refused_and_calls_work() {
    in_child(
        "a21_smaller::a21_waits_in_a_hook_are_refused_and_calls_work",
        || {
            static REFUSED: Mutex<Vec<bool>> = Mutex::new(Vec::new());
            static RAN: AtomicBool = AtomicBool::new(false);
            urcu::set_report_hook(|_| {
                let waits: [fn(); 6] = [
                    Memb::synchronize,
                    Memb::barrier,
                    Mb::synchronize,
                    Qsbr::synchronize,
                    || drop(Rcu::<u32>::new(1).take().unwrap().synchronize()),
                    || Memb::register().synchronize(),
                ];
                let refused = waits.map(|wait| catch_unwind(wait).is_err());
                *REFUSED.lock().unwrap() = refused.to_vec();
                drop(Memb::read_lock());
                Memb::call(|| RAN.store(true, SeqCst));
            });
            Memb::call(|| resume_unwind(Box::new(())));
            wait_until(|| RAN.load(SeqCst));
            assert_eq!(*REFUSED.lock().unwrap(), [true; 6]);
        },
    );
}

/// No thread can be started: callbacks stay, are told, and `barrier` runs them.
#[test]
fn a21_without_a_worker_barrier_runs_the_callbacks() {
    let output = outcome_of_child(
        "a21_smaller::a21_without_a_worker_barrier_runs_the_callbacks",
        None,
        || {
            static RAN: AtomicUsize = AtomicUsize::new(0);
            reports::collect();
            let calls = [libc::SYS_clone, libc::SYS_clone3];
            libc_calls::refuse(&calls, libc::EAGAIN).unwrap();
            assert!(std::thread::Builder::new().spawn(|| {}).is_err());
            for _ in 0..100 {
                Memb::call(|| {
                    RAN.fetch_add(1, SeqCst);
                });
            }
            assert_eq!(RAN.load(SeqCst), 0, "`call` ran a callback");
            Memb::barrier();
            assert_eq!(RAN.load(SeqCst), 100);
            // Objects too, and inside a section nothing is run.
            let p: Rcu<u32> = Rcu::new(1);
            {
                let _guard = Memb::read_lock();
                p.take().unwrap().free();
                assert!(catch_unwind(Memb::barrier).is_err());
            }
            Memb::barrier();
            assert_eq!(Memb::stats().callbacks_pending, 0);
        },
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(DONE), "{told}");
    // No thread for the hook either: the line is printed.
    assert!(told.contains("cannot start the callback worker"), "{told}");
}

/// While one thread helps, others only wait; and when threads can be started again, a worker is.
#[test]
fn a21_without_a_worker_two_barriers_share_the_work() {
    in_child(
        "a21_smaller::a21_without_a_worker_two_barriers_share_the_work",
        || {
            static RAN: AtomicUsize = AtomicUsize::new(0);
            static START: Stage = Stage::new();
            static FINISHED: Stage = Stage::new();
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    std::thread::spawn(|| {
                        START.wait_for(1);
                        // The filter is this thread's own: it cannot start a worker.
                        libc_calls::refuse(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN)
                            .unwrap();
                        for _ in 0..200 {
                            for _ in 0..5 {
                                Mb::call(|| {
                                    RAN.fetch_add(1, SeqCst);
                                });
                            }
                            Mb::barrier();
                        }
                        FINISHED.next();
                    })
                })
                .collect();
            START.next();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!((FINISHED.get(), RAN.load(SeqCst)), (2, 2000));
            // A worker comes although nobody calls barrier; after failed starts not every call tries.
            wait_until(|| {
                Mb::call(|| {
                    RAN.fetch_add(1, SeqCst);
                });
                RAN.load(SeqCst) > 2000
            });
        },
    );
}

/// Nest overflow is a unit test in `guard.rs`; this is the depth that a user may reach.
fn deep<R: Reader>() {
    std::thread::spawn(|| {
        let mut reader = R::join();
        let guards: Vec<_> = (0..100_000).map(|_| reader.lock()).collect();
        drop(guards);
        reader.synchronize();
    })
    .join()
    .unwrap();
}
every_flavor!(a07_sections_nest_a_hundred_thousand_deep, deep);

/// All threads of all flavors at once, one process: nothing is shared that should not be.
#[test]
fn domains_do_not_wait_for_each_other() {
    let memb = Memb::read_lock();
    Mb::synchronize();
    Mb::barrier();
    std::thread::spawn(|| {
        let mut qsbr = Qsbr::register();
        qsbr.synchronize();
        qsbr.barrier();
    })
    .join()
    .unwrap();
    drop(memb);
    let _ = Auto::<Memb>::join();
}

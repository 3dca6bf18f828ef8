//! A6: parent and child both go on after fork, whatever the process was in the middle of.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use crate::child::in_child;
use crate::flavors::{Reader, Stage, every_flavor, wait_until};
use crate::libc_calls::{exit_at_once, fork, fork_and_wait, wait_for};
use crate::reports;
use urcu::{Mb, Memb, Qsbr, Rcu};

/// What must work in every child and parent afterwards.
fn everything_works<R: Reader>() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let mut reader = R::join();
    let p: Rcu<u32, R::F> = Rcu::new(1);
    assert_eq!(p.dereference(&reader.lock()), Some(&1));
    let old = p.replace(2).unwrap();
    assert_eq!(*reader.give_back(old), 1);
    let before = RAN.load(SeqCst);
    for _ in 0..100 {
        R::call(|| {
            RAN.fetch_add(1, SeqCst);
        });
    }
    reader.barrier();
    assert_eq!(RAN.load(SeqCst), before + 100);
    assert_eq!(R::stats().callbacks_pending, 0);
}

fn quiet<R: Reader>() {
    everything_works::<R>();
    for _ in 0..3 {
        assert_eq!(fork_and_wait(everything_works::<R>), 0);
        everything_works::<R>();
    }
    // A child of a child.
    let status = fork_and_wait(|| assert_eq!(fork_and_wait(everything_works::<R>), 0));
    assert_eq!(status, 0);
}
every_flavor!(a06_fork_outside_of_everything, quiet in child);

/// Other threads are in sections; one leads a grace period and waits for the forking thread, which is in
/// a section itself; callbacks wait for it, too.
fn busy<R: Reader>() {
    static INSIDE: Stage = Stage::new();
    static OVER: AtomicBool = AtomicBool::new(false);
    static RETURNED: AtomicBool = AtomicBool::new(false);
    static PENDING: AtomicUsize = AtomicUsize::new(0);
    reports::collect();
    let mut reader = R::join();
    let p: Rcu<String, R::F> = Rcu::new("old".to_owned());
    let other = std::thread::spawn(|| {
        let reader = R::join();
        let guard = reader.lock();
        INSIDE.next();
        wait_until(|| OVER.load(SeqCst));
        drop(guard);
    });
    reader.away(|| INSIDE.wait_for(1));
    {
        let guard = reader.lock();
        let value = p.dereference(&guard).unwrap();
        for _ in 0..10 {
            R::call(|| {
                PENDING.fetch_add(1, SeqCst);
            });
        }
        let leader = std::thread::spawn(|| {
            R::join().synchronize();
            RETURNED.store(true, SeqCst);
        });
        reports::wait_for(1, reports::is_stall); // somebody leads, and waits
        let old = p.replace("new".to_owned()).unwrap();

        let pid = reports::while_silent(fork);
        if pid == 0 {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                in_the_child::<R>(value);
            }));
            if result.is_err() {
                exit_at_once(101);
            }
            drop(guard); // the section goes on in the child until here
            drop(leader);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                assert_eq!(*reader.give_back(old), "old");
                reader.barrier();
                assert_eq!(PENDING.load(SeqCst), 10, "pending callbacks were lost");
                drop(reader);
                everything_works::<R>();
                // The slots of the threads that are not here are free: main and at most the worker.
                assert!(R::stats().registered <= 2, "{:?}", R::stats());
            }));
            exit_at_once(if result.is_ok() { 0 } else { 101 });
        }
        assert_eq!(wait_for(pid), 0);
        // In the parent nothing has changed.
        assert!(!RETURNED.load(SeqCst));
        assert_eq!((value.as_str(), PENDING.load(SeqCst)), ("old", 0));
        drop(guard);
        OVER.store(true, SeqCst);
        reader.away(|| {
            leader.join().unwrap();
            other.join().unwrap();
        });
        assert_eq!(*reader.give_back(old), "old");
    }
    reader.barrier();
    assert_eq!(PENDING.load(SeqCst), 10);
    drop(reader);
    everything_works::<R>();
}
every_flavor!(a06_fork_in_a_section_under_load, busy in child);

/// The forking thread is still inside the section that it had: a grace period of the child waits for it.
fn in_the_child<R: Reader>(value: &str) {
    static RETURNED: AtomicBool = AtomicBool::new(false);
    let stalls = reports::count(reports::is_stall);
    std::thread::spawn(|| {
        R::join().synchronize();
        RETURNED.store(true, SeqCst);
    });
    reports::wait_for(stalls + 2, reports::is_stall);
    assert!(
        !RETURNED.load(SeqCst),
        "the child ended its own section's grace period"
    );
    assert_eq!(value, "old");
}

/// One callback runs, others wait behind it: the child loses the one, and counts it, and runs the rest.
#[test]
fn a06_the_running_callback_is_lost_and_counted_and_the_rest_runs() {
    in_child(
        "a06_fork::a06_the_running_callback_is_lost_and_counted_and_the_rest_runs",
        || {
            static GATE: Stage = Stage::new();
            static INSIDE: Stage = Stage::new();
            static RAN: AtomicUsize = AtomicUsize::new(0);
            {
                // One batch: the section holds it back until all are queued.
                let _guard = Memb::read_lock();
                Memb::call(|| {
                    INSIDE.next();
                    GATE.wait_for(1);
                    RAN.fetch_add(1, SeqCst);
                });
                for _ in 0..5 {
                    Memb::call(|| {
                        RAN.fetch_add(1, SeqCst);
                    });
                }
            }
            INSIDE.wait_for(1);
            let status = fork_and_wait(|| {
                let stats = Memb::stats();
                assert_eq!((stats.callbacks_lost, stats.callbacks_pending), (1, 5));
                Memb::barrier();
                assert_eq!(RAN.load(SeqCst), 5);
                everything_works::<crate::flavors::Auto<Memb>>();
            });
            assert_eq!(status, 0);
            assert_eq!(RAN.load(SeqCst), 0);
            GATE.next();
            Memb::barrier();
            assert_eq!((RAN.load(SeqCst), Memb::stats().callbacks_lost), (6, 0));
        },
    );
}

/// fork inside a callback: the thread that goes on in the child is the worker.
#[test]
fn a06_fork_inside_a_callback() {
    in_child("a06_fork::a06_fork_inside_a_callback", || {
        static STATUS: AtomicUsize = AtomicUsize::new(usize::MAX);
        Mb::call(|| {
            let pid = fork();
            if pid == 0 {
                // Behind this one, in the child only. It runs when the forked callback has returned.
                Mb::call(|| exit_at_once(i32::from(Mb::stats().callbacks_lost != 0)));
                return;
            }
            STATUS.store(usize::try_from(wait_for(pid)).unwrap(), SeqCst);
        });
        Mb::barrier();
        assert_eq!(STATUS.load(SeqCst), 0);
    });
}

/// Forks while other threads hammer all flavors: every queue and arena state is met some time.
#[test]
fn a06_fork_storm() {
    in_child("a06_fork::a06_fork_storm", || {
        static OVER: AtomicBool = AtomicBool::new(false);
        static P: Rcu<u64> = Rcu::null();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(|| {
                    let mut qsbr = Qsbr::register();
                    for n in 0.. {
                        if OVER.load(SeqCst) {
                            break;
                        }
                        P.assign(n);
                        assert!(P.dereference(&Memb::read_lock()).is_some());
                        Mb::call(|| {});
                        if n % 16 == 0 {
                            qsbr.synchronize();
                            Memb::barrier();
                            Mb::barrier();
                        }
                        qsbr.quiescent_state();
                    }
                })
            })
            .collect();
        for _ in 0..60 {
            let status = fork_and_wait(|| {
                Memb::barrier();
                Mb::barrier();
                Qsbr::synchronize();
                everything_works::<crate::flavors::Auto<Memb>>();
                everything_works::<urcu::Thread<Qsbr>>();
            });
            assert_eq!(status, 0);
        }
        OVER.store(true, SeqCst);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

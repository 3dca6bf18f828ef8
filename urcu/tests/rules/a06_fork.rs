//! A6: parent and child both go on after fork, whatever the process was in the middle of.

use std::io::Read as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize};
use std::task::{Context, Wake, Waker};

use crate::child::in_child;
use crate::flavors::{Reader, Stage, every_flavor, wait_until};
use crate::libc_calls::{
    exit_at_once, fork, fork_and_wait, on_sigusr1, redirect_stderr, send_sigusr1, this_thread,
    wait_for,
};
use crate::regressions::{my_tid, wait_until_asleep};
use crate::reports;
use urcu::{Mb, Memb, OrdMap, Qsbr, Rcu, Srcu};

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

/// A report took std's lock of standard error, which another thread of the parent may hold.
#[test]
fn a06_a_report_waited_for_a_lock_of_the_parent() {
    in_child(
        "a06_fork::a06_a_report_waited_for_a_lock_of_the_parent",
        || {
            static HELD: Stage = Stage::new();
            static RELEASED: Stage = Stage::new();
            let holder = std::thread::spawn(|| {
                let _lock = std::io::stderr().lock();
                HELD.next();
                RELEASED.wait_for(1);
            });
            HELD.wait_for(1);
            let status = fork_and_wait(|| {
                let (mut told, stderr) = std::io::pipe().unwrap();
                redirect_stderr(&stderr);
                let leaker = std::thread::spawn(|| std::mem::forget(Mb::read_lock()));
                leaker.join().unwrap();
                let mut line = [0; 1000];
                let length = told.read(&mut line).unwrap();
                let line = str::from_utf8(&line[..length]).unwrap();
                assert!(line.contains("ended inside a read section") && line.ends_with('\n'));
            });
            assert_eq!(status, 0);
            RELEASED.next();
            holder.join().unwrap();
        },
    );
}

/// The reporter is a thread, which a child has not: the next report starts another.
#[test]
fn a06_a_reporter_is_at_work_while_the_process_forks() {
    in_child(
        "a06_fork::a06_a_reporter_is_at_work_while_the_process_forks",
        || {
            static REPORTS: Stage = Stage::new();
            static RELEASED: Stage = Stage::new();
            let leak = || {
                let leaker = std::thread::spawn(|| std::mem::forget(Mb::read_lock()));
                leaker.join().unwrap();
            };
            urcu::set_report_hook(|_| {
                REPORTS.next();
                RELEASED.wait_for(1);
            });
            leak();
            REPORTS.wait_for(1);
            let status = fork_and_wait(|| {
                leak();
                REPORTS.wait_for(2);
            });
            assert_eq!(status, 0);
            RELEASED.next();
        },
    );
}

/// A waker was exchanged under a lock, and the old one dropped there, which is code of the user's.
#[test]
fn a06_a_callback_waited_for_a_poller_of_the_parent() {
    in_child(
        "a06_fork::a06_a_callback_waited_for_a_poller_of_the_parent",
        || {
            static HELD: Stage = Stage::new();
            static RELEASED: Stage = Stage::new();
            struct Slow;
            impl Wake for Slow {
                fn wake(self: Arc<Self>) {}
            }
            impl Drop for Slow {
                fn drop(&mut self) {
                    HELD.next();
                    RELEASED.wait_for(1);
                }
            }
            let guard = Memb::read_lock(); // no alarm yet
            let poller = std::thread::spawn(|| {
                let mut grace_period = pin!(Memb::get_state().done());
                for waker in [Waker::from(Arc::new(Slow)), Waker::noop().clone()] {
                    let mut context = Context::from_waker(&waker);
                    let _ = grace_period.as_mut().poll(&mut context);
                }
            });
            HELD.wait_for(1);
            let status = fork_and_wait(|| {
                drop(guard);
                Memb::barrier();
            });
            assert_eq!(status, 0);
            RELEASED.next();
            poller.join().unwrap();
        },
    );
}

// A fork may come while another thread holds an ordered map's lock: in the child it is nobody's, and is taken over.
#[test]
fn a06_an_ordered_map_is_whole_and_unlocked_in_the_child() {
    let name = "a06_fork::a06_an_ordered_map_is_whole_and_unlocked_in_the_child";
    in_child(name, fork_beside_ordered_maps);
}

fn fork_beside_ordered_maps() {
    /// Odd keys stay; the even ones come and go.
    static MAP: OrdMap<u32, u32> = OrdMap::new();
    /// Locked half of the time, and by who allocates nothing: malloc stops the others while fork copies.
    static EMPTY: OrdMap<u32, u32> = OrdMap::new();
    static OVER: AtomicBool = AtomicBool::new(false);
    let keys = |first: u32| (first..300).step_by(2);
    let insert = |key| MAP.insert(key, Arc::new(key), &Memb::read_lock());
    let remove = |key| MAP.remove(key, &Memb::read_lock());
    let everything = || {
        for key in 0..300 {
            assert!(insert(key).is_some() || key % 2 == 0, "{key} was lost");
        }
        let guard = Memb::read_lock();
        let all = MAP.iter(&guard).map(|(key, value)| (key, *value));
        assert!(all.eq((0..300).map(|key| (key, key))));
        keys(0).for_each(|key| assert!(remove(key).is_some()));
        assert_eq!(MAP.len(&guard), 150);
        EMPTY.insert(1, Arc::new(1), &guard);
        assert_eq!(EMPTY.len(&guard), 1);
    };
    keys(1).for_each(|key| assert!(insert(key).is_none()));
    let others: [fn(); 2] = [
        || EMPTY.clear(),
        || {
            for key in (0..300).step_by(2) {
                MAP.insert(key, Arc::new(key), &Memb::read_lock());
                MAP.remove(key, &Memb::read_lock());
            }
        },
    ];
    let others = others.map(|work| {
        std::thread::spawn(move || {
            while !OVER.load(SeqCst) {
                work();
            }
        })
    });
    for _ in 0..100 {
        assert_eq!(fork_and_wait(everything), 0);
    }
    OVER.store(true, SeqCst);
    others.into_iter().for_each(|other| other.join().unwrap());
    let guard = Memb::read_lock();
    assert!(MAP.iter(&guard).map(|(key, _)| key).eq(keys(1)));
}

// A thread that forked in a signal handler while it waited slept on in the child: whoever would have woken it is not
// there, and the next one did not see it counted.
#[test]
fn a06_who_forked_inside_a_wait_slept_on_in_the_child() {
    in_child(
        "a06_fork::a06_who_forked_inside_a_wait_slept_on_in_the_child",
        || {
            static TID: AtomicI32 = AtomicI32::new(0);
            static CHILD: AtomicI32 = AtomicI32::new(-1);
            static INSIDE: Stage = Stage::new();
            static RELEASED: Stage = Stage::new();
            extern "C" fn fork_here(_: i32) {
                CHILD.store(fork(), SeqCst);
            }
            on_sigusr1(fork_here);
            Memb::call(|| {
                INSIDE.next();
                RELEASED.wait_for(1);
            });
            INSIDE.wait_for(1);
            let waiter = this_thread() as usize;
            let other = std::thread::spawn(move || {
                wait_until(|| TID.load(SeqCst) != 0);
                wait_until_asleep(&TID);
                send_sigusr1(waiter as libc::pthread_t);
                wait_until(|| CHILD.load(SeqCst) != -1);
                RELEASED.next();
            });
            TID.store(my_tid(), SeqCst);
            Memb::barrier();
            let child = CHILD.load(SeqCst);
            if child == 0 {
                exit_at_once(0); // the callback that ran is lost here: nothing is left to wait for
            }
            assert_eq!(wait_for(child), 0);
            other.join().unwrap();
        },
    );
}

// The callback that would have run the grace period was in the parent's queue, where no worker of the child looked, and
// a new cookie relied on it.
#[test]
fn a06_a_cookie_was_never_done_in_the_child() {
    in_child("a06_fork::a06_a_cookie_was_never_done_in_the_child", || {
        static P: Rcu<u32> = Rcu::null();
        let guard = Memb::read_lock();
        let before = Memb::start_poll();
        let status = fork_and_wait(|| {
            drop(guard);
            wait_until(|| before.is_done());
        });
        assert_eq!(status, 0);
        wait_until(|| before.is_done());

        static INSIDE: Stage = Stage::new();
        static RELEASED: Stage = Stage::new();
        Memb::call(|| {
            INSIDE.next();
            RELEASED.wait_for(1);
        });
        INSIDE.wait_for(1);
        P.assign(1);
        let _before = Memb::start_poll(); // its callback waits behind the other
        let status = fork_and_wait(|| {
            let old = P.replace(2).unwrap().start();
            wait_until(|| old.is_ready());
            assert!(old.try_into_box().is_ok_and(|old| *old == 1));
        });
        assert_eq!(status, 0);
        RELEASED.next();
    });
}

// What other threads had queued waited for a barrier.
#[test]
fn a06_a_call_in_the_child_left_the_other_shards_to_themselves() {
    in_child(
        "a06_fork::a06_a_call_in_the_child_left_the_other_shards_to_themselves",
        || {
            static RAN: AtomicUsize = AtomicUsize::new(0);
            static OF_SRCU: AtomicUsize = AtomicUsize::new(0);
            let srcu = Srcu::new();
            let guards = (Memb::read_lock(), srcu.read_lock());
            for _ in 0..40 {
                let queue = || Memb::call(|| _ = RAN.fetch_add(1, SeqCst));
                std::thread::spawn(queue).join().unwrap();
            }
            srcu.call(|| _ = OF_SRCU.fetch_add(1, SeqCst));
            let status = fork_and_wait(|| {
                drop(guards);
                Memb::call(|| {});
                wait_until(|| RAN.load(SeqCst) == 40);
                let cookie = srcu.get_state();
                wait_until(|| cookie.is_done() && OF_SRCU.load(SeqCst) == 1);
            });
            assert_eq!(status, 0);
        },
    );
}

//! What was wrong once, each under the name of what went wrong.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32};
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;

use crate::child::in_child;
use crate::flavors::wait_until;
use crate::libc_calls::fork_and_wait;
use crate::reports;
use urcu::{Guard, Memb, Rcu, Report, Thread};

/// Yields until the thread with this tid sleeps in the kernel.
pub(crate) fn wait_until_asleep(tid: &AtomicI32) {
    wait_until(|| {
        let path = format!("/proc/self/task/{}/stat", tid.load(SeqCst));
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('S'))
    });
}

pub(crate) fn my_tid() -> i32 {
    let link = std::fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

// Waiting barriers were told of every 64th callback and of the batch's end. One whose target was met slept
// on while a later callback of the batch ran, for ever if that one waited for what followed the barrier.
#[test]
fn a_barrier_slept_on_behind_a_later_callback_that_waited_for_it() {
    in_child(
        "regressions::a_barrier_slept_on_behind_a_later_callback_that_waited_for_it",
        || {
            static TID: AtomicI32 = AtomicI32::new(0);
            let (go, first_waits) = mpsc::channel::<()>();
            let (inside, first_is_inside) = mpsc::channel::<()>();
            let (returned, barrier_returned) = mpsc::channel::<()>();
            let (first_waits, barrier_returned) =
                (Mutex::new(first_waits), Mutex::new(barrier_returned));
            Memb::call(move || {
                inside.send(()).unwrap();
                first_waits.lock().unwrap().recv().unwrap();
            });
            first_is_inside.recv().unwrap();
            Memb::call(|| {});
            let waiter = thread::spawn(move || {
                TID.store(my_tid(), SeqCst);
                Memb::barrier();
                returned.send(()).unwrap();
            });
            wait_until(|| TID.load(SeqCst) != 0);
            wait_until_asleep(&TID); // in the barrier, whose target does not cover what comes now
            Memb::call(move || barrier_returned.lock().unwrap().recv().unwrap());
            go.send(()).unwrap();
            waiter.join().unwrap();
            Memb::barrier();
        },
    );
}

// The hook ran on the leader of the grace period: a lock that it took, held by a follower, stopped both.
#[test]
fn a_hook_that_took_a_followers_lock_stopped_all_grace_periods() {
    in_child(
        "regressions::a_hook_that_took_a_followers_lock_stopped_all_grace_periods",
        || {
            static LOG: Mutex<()> = Mutex::new(());
            static IN_HOOK: AtomicBool = AtomicBool::new(false);
            static INSIDE: Barrier = Barrier::new(2);
            static LEADING: AtomicI32 = AtomicI32::new(0);
            static FOLLOWING: AtomicI32 = AtomicI32::new(0);
            urcu::set_report_hook(|_| {
                if FOLLOWING.load(SeqCst) != 0 {
                    IN_HOOK.store(true, SeqCst);
                    drop(LOG.lock().unwrap());
                }
            });
            urcu::set_stall_timeout(std::time::Duration::from_millis(1));
            let reader = thread::spawn(|| {
                let _guard = Memb::read_lock();
                INSIDE.wait();
                wait_until(|| IN_HOOK.load(SeqCst));
            });
            INSIDE.wait();
            let leader = thread::spawn(|| {
                LEADING.store(my_tid(), SeqCst);
                Memb::synchronize();
            });
            wait_until(|| LEADING.load(SeqCst) != 0);
            wait_until_asleep(&LEADING);
            let follower = thread::spawn(|| {
                let _log = LOG.lock().unwrap();
                FOLLOWING.store(my_tid(), SeqCst);
                Memb::synchronize();
            });
            for thread in [reader, leader, follower] {
                thread.join().unwrap();
            }
        },
    );
}

// Only automatic registrations had an exit hook. A forked child gave the slot of a leaked handle back, and
// the reference that its leaked guard protected dangled.
#[test]
fn a_child_freed_what_a_leaked_handle_of_a_dead_thread_protected() {
    in_child(
        "regressions::a_child_freed_what_a_leaked_handle_of_a_dead_thread_protected",
        || {
            static P: Rcu<String> = Rcu::null();
            static RETURNED: AtomicBool = AtomicBool::new(false);
            reports::collect();
            P.assign("old".to_owned());
            let value: &'static String = thread::spawn(|| {
                let handle: &'static Thread = Box::leak(Box::new(Memb::register()));
                let guard: &'static Guard<'static> = Box::leak(Box::new(handle.read_lock()));
                P.dereference(guard).unwrap()
            })
            .join()
            .unwrap();
            reports::wait_for(1, |r| matches!(r, Report::DiedInSection { .. }));
            let status = fork_and_wait(|| {
                thread::spawn(|| {
                    drop(P.replace("new".to_owned()).unwrap().synchronize());
                    RETURNED.store(true, SeqCst);
                });
                let stalls = reports::count(reports::is_stall);
                reports::wait_for(stalls + 3, |r| {
                    matches!(r, Report::Stall { dead: true, .. })
                });
                assert!(!RETURNED.load(SeqCst), "the child's grace period ended");
                assert_eq!(value, "old");
            });
            assert_eq!(status, 0);
        },
    );
}

// `registered` was computed from two counters in the wrong order, and fell below 0.
#[test]
fn registered_fell_below_zero_while_threads_died_in_sections() {
    in_child(
        "regressions::registered_fell_below_zero_while_threads_died_in_sections",
        || {
            static OVER: AtomicBool = AtomicBool::new(false);
            urcu::set_report_hook(|_| {});
            let before = Memb::stats().registered; // of the main thread, before `main`
            let looks = thread::spawn(|| {
                let mut most = 0;
                while !OVER.load(SeqCst) {
                    most = Memb::stats().registered.max(most);
                }
                most
            });
            for _ in 0..100 {
                let pair = [(); 4].map(|()| thread::spawn(|| std::mem::forget(Memb::read_lock())));
                pair.into_iter().for_each(|thread| thread.join().unwrap());
            }
            OVER.store(true, SeqCst);
            // Two loads make one number, and any number of threads may come and go between them.
            assert!(looks.join().unwrap() <= before + 400);
            assert_eq!(
                (Memb::stats().registered, Memb::stats().abandoned),
                (before, 400)
            );
        },
    );
}

//! A5: after `offline` the thread is online again, also when the closure panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::child::in_child;
use crate::reports;
use urcu::{Qsbr, Rcu};

#[test]
fn a05_a_panic_in_offline_leaves_the_thread_online() {
    in_child(
        "a05_offline::a05_a_panic_in_offline_leaves_the_thread_online",
        || {
            static P: Rcu<String, Qsbr> = Rcu::null();
            static RETURNED: AtomicBool = AtomicBool::new(false);
            reports::collect();
            P.assign("old".to_owned());
            let mut thread = Qsbr::register();
            let panic = catch_unwind(AssertUnwindSafe(|| {
                thread.offline(|| {
                    assert!(!Qsbr::read_lock_held());
                    Qsbr::synchronize(); // nobody holds it back
                    std::panic::resume_unwind(Box::new(()));
                });
            }));
            assert!(panic.is_err());
            assert!(Qsbr::read_lock_held());
            let guard = thread.read_lock();
            let value = P.dereference(&guard).unwrap();
            let updater = std::thread::spawn(|| {
                drop(P.replace("new".to_owned()).unwrap().synchronize());
                RETURNED.store(true, SeqCst);
            });
            // The grace period is known to wait for us, and has not returned.
            reports::wait_for(2, reports::is_stall);
            assert!(
                !RETURNED.load(SeqCst),
                "a grace period did not wait for this thread"
            );
            assert_eq!(value, "old");
            drop(guard);
            thread.offline(|| updater.join().unwrap());
        },
    );
}

// What the closure did is seen by who waited, and the reverse.
#[test]
fn a05_offline_hands_over_both_ways() {
    let mut thread = Qsbr::register();
    let seen = AtomicBool::new(false);
    std::thread::scope(|s| {
        thread.offline(|| {
            s.spawn(|| {
                Qsbr::synchronize();
                seen.store(true, Relaxed);
            })
            .join()
            .unwrap();
        });
    });
    assert!(seen.load(Relaxed));
}

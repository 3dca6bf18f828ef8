//! A14 and A8: a grace period that sleeps is woken by the reader that leaves. The stall time-out is an
//! hour here, so a lost wake-up is a hang, and the child's watchdog ends it.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::child::in_child;
use crate::flavors::{Reader, Stage, every_flavor, wait_until};
use urcu::{Event, Srcu};

const ROUNDS: usize = 100;

fn woken<R: Reader>() {
    static INSIDE: Stage = Stage::new();
    static DONE: Stage = Stage::new();
    urcu::set_stall_timeout(Duration::from_secs(3600));
    let reader = std::thread::spawn(|| {
        let mut reader = R::join();
        for round in 1..=ROUNDS {
            let before = R::stats().sleeps;
            let guard = reader.lock();
            INSIDE.next();
            // Three sleeps: the first two may be the short ones that need no proof of a wake-up.
            wait_until(|| R::stats().sleeps >= before + 3 || one_sleep_is_long::<R>(before));
            drop(guard);
            reader.away(|| DONE.wait_for(round));
        }
    });
    let mut updater = R::join();
    for round in 1..=ROUNDS {
        updater.away(|| INSIDE.wait_for(round));
        updater.synchronize();
        DONE.next();
    }
    updater.away(|| reader.join().unwrap());
}
every_flavor!(a14_a_sleeping_grace_period_is_woken_by_the_exit, woken in child);

/// The same for srcu, whose sections end on other threads, too.
#[test]
fn a14_a_sleeping_srcu_grace_period_is_woken_by_the_exit() {
    in_child(
        "a14_wakeup::a14_a_sleeping_srcu_grace_period_is_woken_by_the_exit",
        || {
            urcu::set_stall_timeout(Duration::from_secs(3600));
            let srcu = Srcu::new();
            for round in 0..ROUNDS {
                let before = srcu.stats().sleeps;
                let guard = srcu.down_read();
                std::thread::scope(|s| {
                    s.spawn(|| srcu.synchronize());
                    // As above: the third sleep has no end of its own.
                    wait_until(|| srcu.stats().sleeps >= before + 3);
                    if round % 2 == 0 {
                        s.spawn(move || drop(guard));
                    } else {
                        drop(guard);
                    }
                });
            }
        },
    );
}

/// qsbr proves its wake-ups: the second sleep, after the lead is handed over, has no end of its own.
fn one_sleep_is_long<R: Reader>(before: u64) -> bool {
    R::NAME == "qsbr" && R::stats().sleeps > before + 1
}

/// Two readers, two updaters: the one reader's wake-up must not be the other sleeper's loss.
fn two_sleepers<R: Reader>() {
    static ENTERED: [Stage; 2] = [const { Stage::new() }; 2];
    static RETURNED: AtomicUsize = AtomicUsize::new(0);
    urcu::set_stall_timeout(Duration::from_secs(3600));
    let rounds = 50;
    std::thread::scope(|s| {
        for me in 0..2 {
            s.spawn(move || {
                let mut reader = R::join();
                for round in 1..=rounds {
                    let before = R::stats().sleeps; // updaters come when both have entered
                    let guard = reader.lock();
                    ENTERED[me].next();
                    ENTERED[1 - me].wait_for(round);
                    wait_until(|| R::stats().sleeps > before + me as u64);
                    drop(guard);
                    reader.away(|| wait_until(|| RETURNED.load(SeqCst) >= 2 * round));
                }
            });
        }
        for _ in 0..2 {
            s.spawn(move || {
                let mut updater = R::join();
                for round in 1..=rounds {
                    updater.away(|| ENTERED.iter().for_each(|e| e.wait_for(round)));
                    updater.synchronize();
                    RETURNED.fetch_add(1, SeqCst);
                    updater.away(|| wait_until(|| RETURNED.load(SeqCst) >= 2 * round));
                }
            });
        }
    });
}
every_flavor!(a08_no_sleeper_is_left_behind, two_sleepers in child);

/// One signal is for all who sleep.
#[test]
fn a08_a_signal_wakes_all_sleepers() {
    in_child("a14_wakeup::a08_a_signal_wakes_all_sleepers", || {
        static EVENT: Event = Event::new();
        static WAITING: Stage = Stage::new();
        const SLEEPERS: usize = 3;
        const SIGNALS: u32 = 1000;
        let sleepers: Vec<_> = (0..SLEEPERS)
            .map(|_| {
                std::thread::spawn(|| {
                    for seen in 0..SIGNALS {
                        WAITING.next();
                        assert!(EVENT.wait_while(seen, None));
                    }
                })
            })
            .collect();
        for signal in 1..=SIGNALS as usize {
            WAITING.wait_for(SLEEPERS * signal);
            std::thread::yield_now(); // most have gone to sleep by now
            EVENT.signal();
        }
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
    });
}

//! The barrier test: so many threads queue one callback each, then `barrier`; all must have run, and once.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Barrier};
use std::thread::{self, Builder};
use std::time::Duration;

use crate::faults::Fault;
use crate::ops::{Ops, pause_if_asked};
use crate::state::{Torture, count};

/// Runs rounds until the torture is over.
pub(crate) fn barrier_test<O: Ops>(torture: &'static Torture) {
    let mut ops = O::join();
    let member = torture.stutter.join();
    let mut dice = torture.dice("barrier", 0);
    let posters = torture.options.barrier_callbacks;
    let round = Arc::new(Barrier::new(posters as usize + 1));
    let ran: &'static AtomicU64 = Box::leak(Box::default());
    let stop: &'static AtomicBool = Box::leak(Box::default());
    let threads: Vec<_> = (0..posters)
        .map(|n| {
            let round = Arc::clone(&round);
            let poster = Builder::new().name(format!("poster/{n}"));
            let poster = poster.spawn(move || {
                loop {
                    round.wait();
                    if stop.load(Relaxed) {
                        return;
                    }
                    O::call(move || _ = ran.fetch_add(1, Relaxed));
                    round.wait();
                }
            });
            poster.expect("a thread")
        })
        .collect();
    let mut expected = 0;
    loop {
        pause_if_asked(&member, &mut ops, |_| {});
        let nap = Duration::from_micros(dice.below(4000));
        // Decided before the rendezvous, so that all see the same.
        let last = torture.is_over();
        stop.store(last, Relaxed);
        ops.away(|| {
            thread::sleep(nap);
            round.wait();
        });
        if last {
            break;
        }
        ops.away(|| round.wait());
        expected += posters;
        ops.barrier();
        let ran = ran.load(SeqCst);
        if ran != expected {
            torture.faults.tell(Fault::Barrier, || {
                format!(
                    "{expected} callbacks were queued before the barrier, {ran} had run after it"
                )
            });
        }
        count(&torture.deeds.barrier_rounds);
    }
    for thread in threads {
        _ = ops.away(|| thread.join());
    }
}

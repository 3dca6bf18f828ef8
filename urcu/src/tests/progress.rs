//! Readers go on whatever an updater does (2.11), and updaters whatever readers do (2.12).

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, SeqCst};

use super::subject::{Reader, every_flavor};

const SECTIONS: usize = 20_000;

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

/// A reader stays in its section, so a grace period sleeps; another reader does all its sections.
fn readers_go_on<R: Reader>() {
    let sleeps = || R::stats().sleeps;
    let before = sleeps();
    let (inside, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|s| {
        s.spawn(|| {
            let reader = R::join();
            let guard = reader.lock();
            inside.store(1, SeqCst);
            // Not away: this reader is what the grace period waits for.
            wait_until(|| finished.load(Acquire) == 1);
            drop(guard);
        });
        wait_until(|| inside.load(Acquire) == 1);
        s.spawn(|| {
            R::join().synchronize();
            assert_eq!(finished.load(SeqCst), 1, "ended before its reader");
        });
        s.spawn(|| {
            let mut reader = R::join();
            reader.away(|| wait_until(|| sleeps() > before));
            for _ in 0..SECTIONS {
                drop(reader.lock());
                reader.quiescent();
            }
            finished.store(1, SeqCst);
        });
    });
}
every_flavor!(readers_go_on_while_a_grace_period_waits, readers_go_on);

/// Two readers hand over: each leaves only when the other is inside. No moment is without a reader.
fn overlapping<R: Reader>() {
    const GRACE_PERIODS: usize = 50;
    let (turn, waited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = AtomicUsize::new(0);
    let over = || waited.load(Acquire) == GRACE_PERIODS;
    std::thread::scope(|s| {
        for me in 0..2 {
            let (turn, over, begun) = (&turn, &over, &begun);
            s.spawn(move || {
                let mut reader = R::join();
                begun.fetch_add(1, SeqCst);
                while !over() {
                    let guard = reader.lock();
                    // Entered: the other, whose turn it was, may leave.
                    turn.store(me, SeqCst);
                    wait_until(|| turn.load(Acquire) != me || over());
                    drop(guard);
                    reader.quiescent();
                }
            });
        }
        let mut reader = R::join();
        // Or all the grace periods are over before the readers come.
        reader.away(|| wait_until(|| begun.load(SeqCst) == 2));
        for _ in 0..GRACE_PERIODS {
            reader.synchronize();
            waited.fetch_add(1, SeqCst);
        }
    });
}
every_flavor!(grace_periods_end_under_overlapping_readers, overlapping);

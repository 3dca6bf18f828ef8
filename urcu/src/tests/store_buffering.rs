//! The litmus tests of the store-buffering shape: those that need the heavy barrier.
//!
//! ```text
//! thread 0: x = 1; first;  r0 = y        thread 1: y = 1; second; r1 = x        never r0 == 0 and r1 == 0
//! ```
//! Without any barrier the outcome is rare unless the store of `x` is held up. So the two run in lockstep
//! over many pairs of variables (after litmus7, which does that with arrays), and thread 0 first fills its
//! store buffer with stores that miss: lines that thread 1 wrote last. That only works in optimised code:
//! unoptimised code between `x = 1` and `r0 = y` writes more to its stack than the buffer holds, which is
//! why the workspace's dev profile optimises this crate.

use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicUsize, fence};

use super::litmus::Outcomes;
use super::subject::{Dice, Reader};
use crate::pad::Padded;

/// Rounds between two evaluations.
const BATCH: usize = 512;
/// Stores that hold up the next one. Less than a store buffer.
pub(super) const CLOG: usize = 40;
pub(super) const FAR: usize = 1 << 14;

pub(super) struct Shape<R> {
    pub(super) name: &'static str,
    first: fn(&mut R),
    second: fn(&mut R),
}

/// A reader with an empty section against an updater.
pub(super) fn empty_section<R: Reader>() -> Shape<R> {
    Shape {
        name: "U-empty-section",
        first: |r| {
            drop(r.lock());
            r.quiescent();
        },
        second: R::synchronize,
    }
}

/// All of them. The last is rule A13 for a caller that shares a grace period.
pub(super) fn shapes<R: Reader>() -> [Shape<R>; 3] {
    [
        empty_section(),
        Shape {
            name: "U-sync-is-mb",
            first: R::synchronize,
            second: |_| fence(SeqCst),
        },
        Shape {
            name: "two synchronize at once",
            first: R::synchronize,
            second: R::synchronize,
        },
    ]
}

pub(super) type Line = Padded<AtomicU32>;

pub(super) fn lines(n: usize) -> Vec<Line> {
    (0..n).map(|_| Padded::new(AtomicU32::new(0))).collect()
}

/// Two threads that let each other go, round by round.
struct Lockstep([Padded<AtomicUsize>; 2]);

impl Lockstep {
    fn meet<R: Reader>(&self, me: usize, reader: &mut R, round: &mut usize) {
        *round += 1;
        self.0[me].store(*round, SeqCst);
        reader.away(|| {
            let mut spins = 0;
            while self.0[1 - me].load(Acquire) < *round {
                spins += 1;
                if spins > 2000 {
                    std::thread::yield_now();
                }
            }
        });
    }
}

impl<R: Reader> Shape<R> {
    /// Runs `rounds` rounds, or to the end of the batch with the first outcome.
    pub(super) fn run(&self, rounds: usize, first_only: bool) -> Outcomes {
        let (x, y, r0, r1) = (lines(BATCH), lines(BATCH), lines(BATCH), lines(BATCH));
        let far = lines(FAR);
        let lockstep = Lockstep([const { Padded::new(AtomicUsize::new(0)) }; 2]);
        let over = AtomicUsize::new(0);
        let mut found = Outcomes { seen: 0, rounds: 0 };
        std::thread::scope(|s| {
            s.spawn(|| {
                let (mut reader, mut dice, mut round) = (R::join(), Dice::new(0), 0);
                while over.load(Relaxed) == 0 {
                    for i in 0..BATCH {
                        let clog = dice.below(FAR - CLOG);
                        let clog = &far[clog..clog + CLOG];
                        lockstep.meet(0, &mut reader, &mut round);
                        dice.waver();
                        for line in clog {
                            line.store(1, Relaxed);
                        }
                        x[i].store(1, Relaxed);
                        (self.first)(&mut reader);
                        r0[i].store(y[i].load(Relaxed), Relaxed);
                    }
                    lockstep.meet(0, &mut reader, &mut round);
                    lockstep.meet(0, &mut reader, &mut round);
                }
            });
            let (mut reader, mut dice, mut round) = (R::join(), Dice::new(1), 0);
            while over.load(Relaxed) == 0 {
                for i in 0..BATCH {
                    lockstep.meet(1, &mut reader, &mut round);
                    dice.waver();
                    y[i].store(1, Relaxed);
                    (self.second)(&mut reader);
                    r1[i].store(x[i].load(Relaxed), Relaxed);
                }
                lockstep.meet(1, &mut reader, &mut round);
                for i in 0..BATCH {
                    let none = r0[i].load(Relaxed) == 0 && r1[i].load(Relaxed) == 0;
                    found.seen += usize::from(none);
                    x[i].store(0, Relaxed);
                    y[i].store(0, Relaxed);
                }
                for line in &far {
                    line.store(0, Relaxed);
                }
                found.rounds += BATCH;
                let enough = found.rounds >= rounds || (first_only && found.seen > 0);
                over.store(usize::from(enough), Relaxed);
                lockstep.meet(1, &mut reader, &mut round);
            }
        });
        found
    }
}

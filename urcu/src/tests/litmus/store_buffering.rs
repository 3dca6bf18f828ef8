//! The litmus tests of the store-buffering shape: those that need the heavy barrier.
//!
//! ```text
//! thread 0: x = 1; first;  r0 = y        thread 1: y = 1; second; r1 = x        never r0 == 0 and r1 == 0
//! ```
//! Where a thread's two accesses are inside a section, the names are those of [`super::rings`]. Its other two
//! rings of this kind have `x = 2` last in thread 1: then the outcome is `r0 == 0` and 1 the last value of x.
//!
//! Without any barrier the outcome is rare unless the store of `x` is held up. So the two run in lockstep
//! over many pairs of variables (after litmus7, which does that with arrays), and thread 0 first fills its
//! store buffer with stores that miss: lines that thread 1 wrote last. That only works in optimised code:
//! unoptimised code between `x = 1` and `r0 = y` writes more to its stack than the buffer holds, which is
//! why the workspace's dev profile optimises this crate.

use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicUsize, fence};
use std::time::Instant;

use super::world::{Outcomes, patience};
use crate::pad::Padded;
use crate::tests::subject::{Dice, Reader};

/// Rounds between two evaluations.
const BATCH: usize = 512;
/// Stores that hold up the next one. Less than a store buffer.
pub(in crate::tests) const CLOG: usize = 40;
pub(in crate::tests) const FAR: usize = 1 << 14;

/// One thread's accesses to its own variable and the other's; gives what it read.
type Side<R> = fn(&mut R, own: &AtomicU32, other: &AtomicU32) -> u32;

pub(super) struct Shape<R> {
    pub(super) name: &'static str,
    first: Side<R>,
    second: Side<R>,
    /// The outcome, from what the two have read and the last value of the first's variable.
    exists: fn(r0: u32, r1: u32, x: u32) -> bool,
}

fn around<R: Reader>(reader: &mut R, own: &AtomicU32, other: &AtomicU32, f: fn(&mut R)) -> u32 {
    own.store(1, Relaxed);
    f(reader);
    other.load(Relaxed)
}

/// Both accesses in one section.
fn within<R: Reader>(reader: &mut R, own: &AtomicU32, other: &AtomicU32) -> u32 {
    let guard = reader.lock();
    own.store(1, Relaxed);
    let read = other.load(Relaxed);
    drop(guard);
    reader.quiescent();
    read
}

fn around_synchronize<R: Reader>(reader: &mut R, own: &AtomicU32, other: &AtomicU32) -> u32 {
    around(reader, own, other, R::synchronize)
}

const NONE_READ: fn(u32, u32, u32) -> bool = |r0, r1, _| r0 == 0 && r1 == 0;
const FIRST_IS_LAST: fn(u32, u32, u32) -> bool = |r0, _, x| r0 == 0 && x == 1;

/// A reader with an empty section against an updater.
pub(super) fn empty_section<R: Reader>() -> Shape<R> {
    Shape {
        name: "U-empty-section",
        first: |r, own, other| {
            around(r, own, other, |r| {
                drop(r.lock());
                r.quiescent();
            })
        },
        second: around_synchronize,
        exists: NONE_READ,
    }
}

/// All of them. `two synchronize at once` is rule A13 for a caller that shares a grace period.
pub(super) fn shapes<R: Reader>() -> Vec<Shape<R>> {
    let overwrites: Side<R> = |r, own, other| {
        own.store(1, Relaxed);
        r.synchronize();
        other.store(2, Relaxed);
        0
    };
    vec![
        empty_section(),
        Shape {
            name: "U-sync-is-mb",
            first: around_synchronize,
            second: |r, own, other| around(r, own, other, |_| fence(SeqCst)),
            exists: NONE_READ,
        },
        Shape {
            name: "two synchronize at once",
            first: around_synchronize,
            second: around_synchronize,
            exists: NONE_READ,
        },
        Shape {
            name: "WR-R+WR-G",
            first: within,
            second: around_synchronize,
            exists: NONE_READ,
        },
        Shape {
            name: "WR-R+WW-G",
            first: within,
            second: overwrites,
            exists: FIRST_IS_LAST,
        },
        Shape {
            name: "WR-G+WW-R",
            first: around_synchronize,
            second: |r, own, other| {
                let guard = r.lock();
                own.store(1, Relaxed);
                other.store(2, Relaxed);
                drop(guard);
                r.quiescent();
                0
            },
            exists: FIRST_IS_LAST,
        },
    ]
}

/// By callback: its round trip is long, so it is apart from the others.
pub(super) fn by_callback<R: Reader>() -> Shape<R> {
    Shape {
        name: "WR-R+WR-C",
        first: within,
        second: |r, own, other| around(r, own, other, R::synchronize_by_callback),
        exists: NONE_READ,
    }
}

/// What readers do *not* order: two sections against each other.
pub(super) fn two_readers<R: Reader>() -> Shape<R> {
    Shape {
        name: "WR-R+WR-R",
        first: within,
        second: within,
        exists: NONE_READ,
    }
}

pub(in crate::tests) type Line = Padded<AtomicU32>;

pub(in crate::tests) fn lines(n: usize) -> Vec<Line> {
    (0..n).map(|_| Padded::new(AtomicU32::new(0))).collect()
}

/// Two threads that let each other go, round by round.
struct Lockstep([Padded<AtomicUsize>; 2]);

impl Lockstep {
    /// Tells whether the other thread came soon: then both have a processor.
    fn meet<R: Reader>(&self, me: usize, reader: &mut R, round: &mut usize) -> bool {
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
            spins <= 2000
        })
    }
}

impl<R: Reader> Shape<R> {
    /// Runs `rounds` rounds, or as many as [`patience`] allows; or to the end of the batch with the first outcome. To see
    /// that one, only the rounds count in which both threads had a processor: on a loaded machine most have not.
    pub(super) fn run(&self, rounds: usize, first_only: bool) -> Outcomes {
        let (x, y, r0, r1) = (lines(BATCH), lines(BATCH), lines(BATCH), lines(BATCH));
        let far = lines(FAR);
        let lockstep = Lockstep([const { Padded::new(AtomicUsize::new(0)) }; 2]);
        let over = AtomicUsize::new(0);
        let mut found = Outcomes { seen: 0, rounds: 0 };
        let (begun, patience) = (Instant::now(), patience(rounds));
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
                        r0[i].store((self.first)(&mut reader, &x[i], &y[i]), Relaxed);
                    }
                    lockstep.meet(0, &mut reader, &mut round);
                    lockstep.meet(0, &mut reader, &mut round);
                }
            });
            let (mut reader, mut dice, mut round) = (R::join(), Dice::new(1), 0);
            let mut together = 0;
            while over.load(Relaxed) == 0 {
                for i in 0..BATCH {
                    together += usize::from(lockstep.meet(1, &mut reader, &mut round));
                    dice.waver();
                    r1[i].store((self.second)(&mut reader, &y[i], &x[i]), Relaxed);
                }
                lockstep.meet(1, &mut reader, &mut round);
                for i in 0..BATCH {
                    let of = |line: &[Line]| line[i].load(Relaxed);
                    found.seen += usize::from((self.exists)(of(&r0), of(&r1), of(&x)));
                    x[i].store(0, Relaxed);
                    y[i].store(0, Relaxed);
                }
                for line in &far {
                    line.store(0, Relaxed);
                }
                found.rounds += BATCH;
                let enough = if first_only {
                    found.seen > 0 || together >= rounds
                } else {
                    found.rounds >= rounds || begun.elapsed() >= patience
                };
                over.store(usize::from(enough), Relaxed);
                lockstep.meet(1, &mut reader, &mut round);
            }
        });
        found
    }
}

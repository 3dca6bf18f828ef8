//! One round of one peer: threads that run its loop and are timed, and how long a loop must be.

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use crate::peer::{Peer, Reader, Settled};
use crate::placement::{PLACES, consume, pad};
use crate::sys;

/// Reads between two pauses.
const READS: u64 = 1024;
/// Updates between two pauses.
const UPDATES: u64 = 64;

/// What the threads of a round do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One thread reads.
    Read,
    /// Two threads read.
    ReadByTwo,
    /// One thread updates.
    Update,
    /// One thread updates, another reads.
    UpdateBesideReader,
}

impl Work {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 4] = [
        Self::Read,
        Self::ReadByTwo,
        Self::Update,
        Self::UpdateBesideReader,
    ];

    fn leader_updates(self) -> bool {
        matches!(self, Self::Update | Self::UpdateBesideReader)
    }

    fn has_follower(self) -> bool {
        matches!(self, Self::ReadByTwo | Self::UpdateBesideReader)
    }
}

/// How a round is run.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// What the threads do.
    pub work: Work,
    /// The number of the round; chooses the placement of the read loop.
    pub number: usize,
    /// How many blocks the leading thread executes.
    pub blocks: u64,
    /// Whether each thread stays on its own CPU.
    pub pinned: bool,
}

/// Nanoseconds for one operation, as one thread sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Of a read, if somebody read.
    pub read: Option<f64>,
    /// Of an update, if somebody updated: what it costs the caller.
    pub update: Option<f64>,
    /// The same until all old values are freed, if the peer can tell.
    pub freed: Option<f64>,
}

/// A [`Peer`] of any type.
pub trait Contender {
    /// The name in the table.
    fn name(&self) -> &'static str;

    /// Runs one round.
    fn run(&self, round: Round) -> Figures;

    /// How many blocks the leading thread can execute in about `time`.
    fn calibrate(&self, work: Work, time: Duration, pinned: bool) -> u64;

    /// Makes one update on the calling thread, so that the peer's own threads exist.
    fn warm_up(&self);
}

impl<P: Peer> Contender for P {
    fn name(&self) -> &'static str {
        Peer::name(self)
    }

    fn run(&self, round: Round) -> Figures {
        let (leader, follower) = run(self, round);
        let mut figures = Figures::default();
        if round.work.leader_updates() {
            let settled = self.settle();
            let freed = leader.begun.elapsed();
            figures.update = Some(leader.time.as_nanos() as f64 / leader.operations as f64);
            figures.read = follower.map(|follower| per_operation(&[follower]));
            // Beside a reader the calling thread's own time is the figure.
            if settled == Settled::AllFreed && follower.is_none() {
                figures.freed = Some(freed.as_nanos() as f64 / leader.operations as f64);
            }
        } else {
            let all: Vec<Share> = [Some(leader), follower].into_iter().flatten().collect();
            figures.read = Some(per_operation(&all));
        }
        figures
    }

    fn calibrate(&self, work: Work, time: Duration, pinned: bool) -> u64 {
        let mut blocks = 1;
        loop {
            let (leader, _) = run(
                self,
                Round {
                    work,
                    number: 0,
                    blocks,
                    pinned,
                },
            );
            if work.leader_updates() {
                self.settle();
            }
            if leader.time >= time / 4 {
                let wanted = blocks as f64 * time.as_secs_f64() / leader.time.as_secs_f64();
                return (wanted as u64).max(1);
            }
            blocks *= 4;
        }
    }

    fn warm_up(&self) {
        let mut reader = self.reader();
        reader.update(1);
        reader.pause();
        drop(reader);
        self.settle();
    }
}

/// What one thread did in a round.
#[derive(Clone, Copy, Debug)]
struct Share {
    begun: Instant,
    time: Duration,
    operations: u64,
}

fn per_operation(shares: &[Share]) -> f64 {
    let time: Duration = shares.iter().map(|share| share.time).sum();
    let operations: u64 = shares.iter().map(|share| share.operations).sum();
    time.as_nanos() as f64 / operations as f64
}

/// Where the threads of a round meet, spinning: whoever sleeps starts late and runs alone.
struct Gate {
    missing: AtomicUsize,
    over: AtomicBool,
}

impl Gate {
    fn pass(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
        while self.missing.load(Ordering::Acquire) > 0 {
            core::hint::spin_loop();
        }
    }
}

fn run<P: Peer>(peer: &P, round: Round) -> (Share, Option<Share>) {
    let gate = Gate {
        missing: AtomicUsize::new(1 + usize::from(round.work.has_follower())),
        over: AtomicBool::new(false),
    };
    let gate = &gate;
    thread::scope(|scope| {
        let follower = round.work.has_follower().then(|| {
            scope.spawn(move || {
                place(round, 1);
                let mut reader = peer.reader();
                measure(gate, || {
                    reads(&mut reader, round.number, u64::MAX, &gate.over)
                })
            })
        });
        let leader = scope.spawn(move || {
            place(round, 0);
            let mut reader = peer.reader();
            let share = if round.work.leader_updates() {
                measure(gate, || updates(&mut reader, round.blocks))
            } else {
                measure(gate, || {
                    reads(&mut reader, round.number, round.blocks, &gate.over)
                })
            };
            gate.over.store(true, Ordering::Relaxed);
            share
        });
        (join(leader), follower.map(join))
    })
}

fn place(round: Round, cpu: usize) {
    if round.pinned {
        sys::pin(cpu);
    }
}

fn join(thread: ScopedJoinHandle<'_, Share>) -> Share {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn measure(gate: &Gate, run: impl FnOnce() -> u64) -> Share {
    gate.pass();
    let begun = Instant::now();
    let operations = run();
    Share {
        begun,
        time: begun.elapsed(),
        operations,
    }
}

/// Reads in the placement of this round, until `blocks` are done or `over` is set. Tells how many reads.
fn reads<R: Reader>(reader: &mut R, round: usize, blocks: u64, over: &AtomicBool) -> u64 {
    const { assert!(PLACES == 5) };
    let blocks = match round % PLACES {
        0 => read_loop::<R, 0>(reader, blocks, over),
        1 => read_loop::<R, 1>(reader, blocks, over),
        2 => read_loop::<R, 2>(reader, blocks, over),
        3 => read_loop::<R, 3>(reader, blocks, over),
        _ => read_loop::<R, 4>(reader, blocks, over),
    };
    blocks * READS
}

#[inline(never)]
fn read_loop<R: Reader, const PLACE: usize>(reader: &mut R, blocks: u64, over: &AtomicBool) -> u64 {
    pad::<PLACE>();
    let mut done = 0;
    while done < blocks && !over.load(Ordering::Relaxed) {
        for _ in 0..READS {
            consume(reader.read());
        }
        reader.pause();
        done += 1;
    }
    done
}

#[inline(never)]
fn updates<R: Reader>(reader: &mut R, blocks: u64) -> u64 {
    for _ in 0..blocks {
        for i in 0..UPDATES {
            reader.update(black_box(i));
        }
        reader.pause();
    }
    blocks * UPDATES
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    /// Counts what the loops do.
    #[derive(Default)]
    struct Counting {
        reads: AtomicU64,
        updates: AtomicU64,
        pauses: AtomicU64,
    }

    impl Peer for Counting {
        type Reader<'a> = &'a Self;
        fn name(&self) -> &'static str {
            "counting"
        }
        fn reader(&self) -> &Self {
            self
        }
        fn settle(&self) -> Settled {
            Settled::AllFreed
        }
    }

    impl Reader for &Counting {
        fn read(&mut self) -> u64 {
            self.reads.fetch_add(1, Ordering::Relaxed)
        }
        fn update(&mut self, _new: u64) {
            self.updates.fetch_add(1, Ordering::Relaxed);
        }
        fn pause(&mut self) {
            self.pauses.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted(work: Work, number: usize) -> (Counting, Figures) {
        let peer = Counting::default();
        let figures = Contender::run(
            &peer,
            Round {
                work,
                number,
                blocks: 3,
                pinned: false,
            },
        );
        (peer, figures)
    }

    #[test]
    fn every_placement_runs_the_same_loop() {
        for number in 0..2 * PLACES {
            let (peer, figures) = counted(Work::Read, number);
            assert_eq!(peer.reads.into_inner(), 3 * READS);
            assert_eq!(peer.pauses.into_inner(), 3);
            assert!(figures.read.is_some() && figures.update.is_none());
        }
    }

    #[test]
    fn the_follower_reads_until_the_leader_is_done() {
        let (peer, figures) = counted(Work::ReadByTwo, 0);
        assert!(peer.reads.into_inner() >= 3 * READS);
        assert!(figures.read.is_some() && figures.freed.is_none());
        let (peer, figures) = counted(Work::UpdateBesideReader, 0);
        assert_eq!(peer.updates.into_inner(), 3 * UPDATES);
        assert!(figures.update.is_some() && figures.freed.is_none());
    }

    #[test]
    fn freed_includes_the_update_itself() {
        let (peer, figures) = counted(Work::Update, 0);
        assert_eq!(peer.updates.into_inner(), 3 * UPDATES);
        assert_eq!(peer.reads.into_inner(), 0);
        assert!(figures.freed >= figures.update && figures.update.is_some());
    }
}

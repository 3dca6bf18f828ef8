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
use crate::work::{Figures, Follower, Round, Share, Work};

/// Reads between two pauses.
pub const READS: u64 = 1024;
/// Updates between two pauses.
pub const UPDATES: u64 = 64;

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
        let freed = round
            .work
            .leader_updates()
            .then(|| (self.settle(), leader.begun.elapsed()))
            .and_then(|(settled, time)| (settled == Settled::AllFreed).then_some(time));
        Figures::of(round.work, leader.share, follower, freed)
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
            let took = leader.share.time;
            if took >= time / 4 {
                let wanted = blocks as f64 * time.as_secs_f64() / took.as_secs_f64();
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

/// On cache lines of its own, so that what it shares with others by chance is no part of it.
#[repr(align(128))]
pub(crate) struct Apart<P>(pub(crate) P);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Leader {
    begun: Instant,
    pub(crate) share: Share,
}

/// Where the threads of a round meet, spinning: whoever sleeps starts late and runs alone.
pub(crate) struct Gate {
    missing: AtomicUsize,
    over: AtomicBool,
}

impl Gate {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            missing: AtomicUsize::new(threads),
            over: AtomicBool::new(false),
        }
    }

    /// Whether the leader is done.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn pass(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
        while self.missing.load(Ordering::Acquire) > 0 {
            core::hint::spin_loop();
        }
    }
}

fn run<P: Peer>(peer: &P, round: Round) -> (Leader, Option<Share>) {
    let second = round.work.follower();
    let own = [Follower::Updates, Follower::ReadsAnother];
    let another = second
        .is_some_and(|second| own.contains(&second))
        .then(|| Apart(peer.another()));
    let followed = another.as_ref().map_or(peer, |Apart(another)| another);
    let gate = Gate::new(1 + usize::from(second.is_some()));
    let gate = &gate;
    thread::scope(|scope| {
        let follower = second.map(|second| {
            scope.spawn(move || {
                place(round, 1);
                let mut reader = followed.reader();
                let leader = measure(gate, || match second {
                    Follower::Reads | Follower::ReadsAnother => {
                        reads(&mut reader, round.number, u64::MAX, &gate.over)
                    }
                    Follower::Updates => updates(&mut reader, u64::MAX, &gate.over),
                });
                leader.share
            })
        });
        let leader = scope.spawn(move || {
            place(round, 0);
            let mut reader = peer.reader();
            let share = if round.work.leader_updates() {
                measure(gate, || updates(&mut reader, round.blocks, &gate.over))
            } else {
                measure(gate, || {
                    reads(&mut reader, round.number, round.blocks, &gate.over)
                })
            };
            gate.end();
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

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

pub(crate) fn measure(gate: &Gate, run: impl FnOnce() -> u64) -> Leader {
    gate.pass();
    let begun = Instant::now();
    let operations = run();
    let time = begun.elapsed();
    Leader {
        begun,
        share: Share { time, operations },
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
fn updates<R: Reader>(reader: &mut R, blocks: u64, over: &AtomicBool) -> u64 {
    let mut done = 0;
    while done < blocks && !over.load(Ordering::Relaxed) {
        for i in 0..UPDATES {
            reader.update(black_box(i));
        }
        reader.pause();
        done += 1;
    }
    done * UPDATES
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
        fn another(&self) -> Self {
            Self::default()
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
        fn hold(&mut self, inside: &mut dyn FnMut()) {
            inside();
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
        // On a busy machine the reader may come too late to read.
        assert!(figures.update.is_some() && figures.freed.is_some());
        let (peer, figures) = counted(Work::UpdateByTwo, 0);
        // The second updater has a pointer, and here counters, of its own.
        assert_eq!(peer.updates.into_inner(), 3 * UPDATES);
        assert!(figures.update.is_some() && figures.read.is_none());
    }

    #[test]
    fn freed_includes_the_update_itself() {
        let (peer, figures) = counted(Work::Update, 0);
        assert_eq!(peer.updates.into_inner(), 3 * UPDATES);
        assert_eq!(peer.reads.into_inner(), 0);
        assert!(figures.freed >= figures.update && figures.update.is_some());
    }
}

//! Latencies of what waits: `synchronize`, `call` until its callback, `barrier`; and the bare membarrier
//! that the first is made of.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::panic::resume_unwind;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use crate::effort::Effort;
use crate::samples::Samples;
use crate::sys;

/// How long a worker gets to fall asleep before something "idle" is measured.
const FALL_ASLEEP: Duration = Duration::from_micros(300);

/// Something with grace periods.
pub trait GracePeriods: Sync {
    /// The name in the table.
    fn name(&self) -> &'static str;
    /// Waits for a grace period; the calling thread is not registered or outside sections.
    fn synchronize(&self);
    /// Queues a callback.
    fn call(&self, callback: Box<dyn FnOnce() + Send>);
    /// Waits for all callbacks.
    fn barrier(&self);
    /// Reads flat out until told to stop.
    fn read_until(&self, stop: &AtomicBool);
    /// Runs `block` on a thread that is registered and outside sections.
    fn idle(&self, block: &mut dyn FnMut());
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// `synchronize`, no other thread runs; of liburcu the `call_rcu` worker is registered, and asleep.
    SynchronizeAlone,
    /// `synchronize`, another thread is registered and sleeps.
    SynchronizeBesideSleeper,
    /// `synchronize`, another thread reads flat out.
    SynchronizeBesideReader,
    /// From `call` to the callback, the worker asleep.
    Call,
    /// `barrier` with nothing queued.
    Barrier,
    /// `call` and `barrier`, the worker asleep.
    CallAndBarrier,
}

impl Wait {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self::SynchronizeAlone,
        Self::SynchronizeBesideSleeper,
        Self::SynchronizeBesideReader,
        Self::Call,
        Self::Barrier,
        Self::CallAndBarrier,
    ];

    /// The heading in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::SynchronizeAlone => "synchronize, no other thread running",
            Self::SynchronizeBesideSleeper => "synchronize, a registered thread asleep",
            Self::SynchronizeBesideReader => "synchronize, a thread reading flat out",
            Self::Call => "call to callback, idle",
            Self::Barrier => "barrier, nothing queued",
            Self::CallAndBarrier => "call + barrier, idle",
        }
    }

    /// Measures it once: mean nanoseconds of as many calls as fit into the wait time, at least one.
    pub fn measure(self, of: &dyn GracePeriods, effort: Effort) -> Option<f64> {
        let synchronize = || mean(effort, || of.synchronize());
        Some(match self {
            Self::SynchronizeAlone => synchronize(),
            Self::SynchronizeBesideSleeper => beside_sleeper(of, effort, synchronize),
            Self::SynchronizeBesideReader => beside_reader(of, effort, synchronize),
            Self::Call => return call_to_callback(of),
            Self::Barrier => mean(effort, || of.barrier()),
            Self::CallAndBarrier => {
                thread::sleep(FALL_ASLEEP);
                let begun = Instant::now();
                of.call(Box::new(|| ()));
                of.barrier();
                begun.elapsed().as_nanos() as f64
            }
        })
    }
}

/// The bare membarrier(2) as a row of its own: it has no callbacks, only what `synchronize` stands on.
/// Its other threads are those of the flavor it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Membarrier<'a>(pub &'a dyn GracePeriods);

impl core::fmt::Debug for dyn GracePeriods + '_ {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl Membarrier<'_> {
    /// The name in the table.
    pub const NAME: &'static str = "membarrier(2)";

    /// As [`Wait::measure`]; `None` where membarrier has no counterpart.
    pub fn measure(self, wait: Wait, effort: Effort) -> Option<f64> {
        let bare = || mean(effort, || _ = sys::membarrier());
        if !sys::membarrier() {
            return None;
        }
        match wait {
            Wait::SynchronizeAlone => Some(bare()),
            Wait::SynchronizeBesideSleeper => Some(beside_sleeper(self.0, effort, bare)),
            Wait::SynchronizeBesideReader => Some(beside_reader(self.0, effort, bare)),
            Wait::Call | Wait::Barrier | Wait::CallAndBarrier => None,
        }
    }
}

/// The latencies of one peer, a [`Samples`] for each of [`Wait::ALL`].
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Whose.
    pub name: &'static str,
    /// In the order of [`Wait::ALL`].
    pub waits: [Samples; Wait::ALL.len()],
}

impl Latencies {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            waits: core::array::from_fn(|_| Samples::default()),
        }
    }

    /// The samples of one kind.
    pub fn of(&self, wait: Wait) -> &Samples {
        &self.waits[wait as usize]
    }
}

/// Measures all waits of all peers, interleaved. The first of `peers` lends membarrier its threads.
pub fn measure_all(peers: &[Box<dyn GracePeriods>], effort: Effort) -> Vec<Latencies> {
    for peer in peers {
        peer.call(Box::new(|| ())); // starts its worker, unpinned
        peer.barrier();
    }
    // On a thread of its own: the caller stays unpinned, and the main thread only waits.
    thread::scope(|scope| {
        let measured = scope.spawn(|| {
            place(effort, 0);
            measure_rounds(peers, effort)
        });
        measured.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn measure_rounds(peers: &[Box<dyn GracePeriods>], effort: Effort) -> Vec<Latencies> {
    let mut bare = Latencies::new(Membarrier::NAME);
    let mut all: Vec<Latencies> = peers.iter().map(|p| Latencies::new(p.name())).collect();
    for round in 0..effort.rounds {
        for wait in Wait::ALL {
            if let Some(lender) = peers.first() {
                let figure = Membarrier(&**lender).measure(wait, effort);
                bare.waits[wait as usize].extend(figure);
            }
            for i in 0..peers.len() {
                let i = (round + i) % peers.len();
                let figure = wait.measure(&*peers[i], effort);
                all[i].waits[wait as usize].extend(figure);
            }
        }
    }
    all.insert(0, bare);
    all
}

fn place(effort: Effort, cpu: usize) {
    if effort.pinned {
        sys::pin(cpu);
    }
}

fn mean(effort: Effort, mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    call();
    let first = begun.elapsed().max(Duration::from_nanos(20));
    if first >= effort.wait_time {
        return first.as_nanos() as f64;
    }
    let calls = (effort.wait_time.as_nanos() / first.as_nanos()).clamp(1, 100_000);
    let begun = Instant::now();
    for _ in 0..calls {
        call();
    }
    begun.elapsed().as_nanos() as f64 / calls as f64
}

fn call_to_callback(of: &dyn GracePeriods) -> Option<f64> {
    thread::sleep(FALL_ASLEEP);
    let (done, ran) = channel();
    let begun = Instant::now();
    // The time is taken in the callback: waking the receiver is not part of it.
    of.call(Box::new(move || _ = done.send(begun.elapsed())));
    ran.recv().ok().map(|latency| latency.as_nanos() as f64)
}

fn beside_sleeper(of: &dyn GracePeriods, effort: Effort, measure: impl FnOnce() -> f64) -> f64 {
    thread::scope(|scope| {
        let (ready, is_ready) = channel();
        let (release, released) = channel::<()>();
        scope.spawn(move || {
            place(effort, 1);
            of.idle(&mut || {
                _ = ready.send(());
                _ = released.recv();
            });
        });
        _ = is_ready.recv();
        thread::sleep(FALL_ASLEEP);
        let figure = measure();
        drop(release);
        figure
    })
}

fn beside_reader(of: &dyn GracePeriods, effort: Effort, measure: impl FnOnce() -> f64) -> f64 {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (ready, is_ready) = channel();
        let stop = &stop;
        scope.spawn(move || {
            place(effort, 1);
            _ = ready.send(());
            of.read_until(stop);
        });
        _ = is_ready.recv();
        thread::sleep(FALL_ASLEEP);
        let figure = measure();
        stop.store(true, Ordering::Relaxed);
        figure
    })
}

//! One worker's share of a domain's callbacks: two queues, and how the worker sleeps, starts and stops.
//!
//! # Sleeping
//! `asleep` says how deep the worker sleeps, and is its futex word. Who pushes or asks for haste stores
//! that first and loads `asleep` second; the worker stores `asleep` first and looks second, all SeqCst:
//! either the worker sees it and stays awake, or the other sees how it sleeps, and wakes it if that is
//! shallow enough for the occasion.
//!
//! # Leaving
//! The same with `worker`: it stores "none" and then looks at the queues once more; who pushes looks at
//! `worker` afterwards. Either the one that leaves sees the callback and starts a successor, or the other
//! sees that there is no worker and starts one.

use crate::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::ptr;
use std::time::Duration;

use crate::head::{Callback, Weight};
use crate::pad::Padded;
use crate::park::Event;
use crate::queue::{Haste, Pushed, Queue};
use crate::sys;

/// Which queue of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// `call_hurry`: run before the others.
    Hurry = 0,
    /// Everything else.
    Main = 1,
}

pub(crate) const LANES: [Lane; 2] = [Lane::Hurry, Lane::Main];

/// How the worker sleeps; each depth is disturbed by less than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sleep {
    /// Nothing is queued: everything wakes it.
    Idle = 1,
    /// Only lazy callbacks are queued: others wake it.
    Lazy = 2,
    /// It spaces its grace periods: only haste wakes it.
    Paced = 3,
}

const AWAKE: u32 = 0;

/// Whether the worker exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    None,
    Starting,
    Running,
}

const NONE: u32 = 0;
const STARTING: u32 = 1;
const RUNNING: u32 = 2;

/// What a worker has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// To go on.
    No,
    /// To leave when nothing is queued.
    WhenEmpty,
    /// To leave.
    Now,
}

/// What those who push read; a line apart from what changes with every callback.
#[derive(Debug)]
struct Signs {
    /// How the worker sleeps: [`AWAKE`] or a [`Sleep`]. Its futex word.
    asleep: AtomicU32,
    /// Somebody waits: no pause before the next pass.
    haste: AtomicBool,
    stop: AtomicU32,
    worker: AtomicU32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shard {
    lanes: [Queue; 2],
    signs: Padded<Signs>,
    /// The `thread_id` of the worker, or of the thread that helps out for it; 0: nobody.
    consumer: AtomicU64,
    /// The worker's handle in a box, for who joins it; null if there is none.
    thread: AtomicPtr<sys::Thread>,
    /// Held while callbacks are taken, O(batch), or popped; fork waits for it.
    taking: AtomicBool,
    /// Lane + 1 of the callback that has been taken off and has not returned, and what it weighs.
    running: AtomicU32,
    running_weight: AtomicU64,
    running_apart: AtomicU64,
    /// Signalled when a sum that somebody [wants](Queue::want) is reached, and when `worker` has moved.
    progress: Event,
}

impl Shard {
    pub(crate) const fn new() -> Self {
        Self {
            lanes: [const { Queue::new() }; 2],
            signs: Padded::new(Signs {
                asleep: AtomicU32::new(AWAKE),
                haste: AtomicBool::new(false),
                stop: AtomicU32::new(Stop::No as u32),
                worker: AtomicU32::new(NONE),
            }),
            consumer: AtomicU64::new(0),
            thread: AtomicPtr::new(ptr::null_mut()),
            taking: AtomicBool::new(false),
            running: AtomicU32::new(0),
            running_weight: AtomicU64::new(0),
            running_apart: AtomicU64::new(0),
            progress: Event::new(),
        }
    }

    pub(crate) fn lane(&self, lane: Lane) -> &Queue {
        &self.lanes[lane as usize]
    }

    pub(crate) fn lanes(&self) -> &[Queue; 2] {
        &self.lanes
    }

    /// Queues a callback, and wakes the worker if that is due. Never waits, never runs one.
    #[inline]
    pub(crate) fn push(&self, callback: Callback, lane: Lane, haste: Haste) {
        self.lane(lane).push(callback, haste);
        self.wake(match (lane, haste) {
            (Lane::Hurry, _) => Sleep::Paced,
            (Lane::Main, Haste::Prompt) => Sleep::Lazy,
            (Lane::Main, Haste::Lazy) => Sleep::Idle,
        });
    }

    /// Wakes the worker unless it sleeps deeper than `reach`.
    #[inline]
    pub(crate) fn wake(&self, reach: Sleep) {
        let asleep = self.signs.asleep.load(Ordering::SeqCst);
        if asleep != AWAKE && asleep <= reach as u32 {
            self.wake_slowly(reach);
        }
    }

    #[cold]
    fn wake_slowly(&self, reach: Sleep) {
        let rouse = |asleep| (asleep != AWAKE && asleep <= reach as u32).then_some(AWAKE);
        let roused = self
            .signs
            .asleep
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, rouse);
        if roused.is_ok() {
            sys::futex_wake(self.signs.asleep.as_ptr(), 1);
        }
    }

    /// Sleeps unless `stay_awake`, asked when the sleep has been announced. May return early. For the
    /// worker alone.
    pub(crate) fn sleep(
        &self,
        depth: Sleep,
        limit: Option<Duration>,
        stay_awake: impl FnOnce() -> bool,
    ) {
        self.signs.asleep.store(depth as u32, Ordering::SeqCst);
        if !stay_awake() {
            sys::futex_wait(self.signs.asleep.as_ptr(), depth as u32, limit);
        }
        self.signs.asleep.store(AWAKE, Ordering::SeqCst);
    }

    /// Makes the worker go on without a pause.
    pub(crate) fn hasten(&self) {
        self.signs.haste.store(true, Ordering::SeqCst);
        self.wake(Sleep::Paced);
    }

    /// Whether somebody hastened since [`begin_pass`](Self::begin_pass).
    pub(crate) fn is_hastened(&self) -> bool {
        self.signs.haste.load(Ordering::SeqCst)
    }

    /// Whether somebody waits for what is queued here: haste may have been used up by a pass for which it was not
    /// there yet, as a push counts first.
    pub(crate) fn is_wanted(&self) -> bool {
        self.lanes.iter().any(Queue::is_wanted)
    }

    /// What waits in the main lane to be taken.
    pub(crate) fn main_pushed(&self) -> Pushed {
        self.lane(Lane::Main).pushed()
    }

    /// Whether a callback of the hurry lane waits to be taken.
    pub(crate) fn hurry_pushed(&self) -> bool {
        self.lane(Lane::Hurry).pushed() != Pushed::Nothing
    }

    /// Whether a batch is not finished.
    pub(crate) fn has_batch(&self) -> bool {
        self.lanes.iter().any(Queue::has_batch)
    }

    /// Whether there is anything to run.
    pub(crate) fn has_work(&self) -> bool {
        self.has_batch()
            || self
                .lanes
                .iter()
                .any(|lane| lane.pushed() != Pushed::Nothing)
    }

    /// Takes what is pushed in lanes without a batch: for each lane what it took.
    pub(crate) fn begin_pass(&self) -> [Pushed; 2] {
        // Before the take: who hastens for a callback that this pass misses hastens the next pass. And only by a pass
        // that takes: while a batch lasts, what he waits for may be behind it.
        let takes = !self.lane(Lane::Main).has_batch();
        let hastened = takes && self.signs.haste.swap(false, Ordering::SeqCst);
        let locked = self.lock();
        let taken = LANES.map(|lane| match self.lane(lane) {
            queue if queue.has_batch() => Pushed::Nothing,
            queue => queue.take(),
        });
        drop(locked);
        match taken {
            // Somebody waits for them.
            [hurry, Pushed::OnlyLazy] if hastened || self.is_wanted() => [hurry, Pushed::Prompt],
            taken => taken,
        }
    }

    /// While a batch of the main lane runs: brings what is pushed meanwhile into its order. For the consumer.
    pub(crate) fn gather(&self) {
        let locked = self.lock();
        self.lane(Lane::Main).gather();
        drop(locked);
    }

    /// Takes the oldest callback of a lane's batch. [`Shard::ran`] follows when it has returned.
    pub(crate) fn pop(&self, lane: Lane) -> Option<Callback> {
        let locked = self.lock();
        let callback = self.lane(lane).pop();
        if let Some(callback) = &callback {
            let bytes = callback.bytes();
            self.running_weight
                .store(bytes.weight().raw(), Ordering::Relaxed);
            self.running_apart.store(bytes.apart(), Ordering::Relaxed);
            self.running.store(lane as u32 + 1, Ordering::Relaxed);
        }
        drop(locked);
        callback
    }

    fn running(&self, lane: Lane) -> Option<(Weight, u64)> {
        (self.running.load(Ordering::Relaxed) == lane as u32 + 1).then(|| {
            let weight = Weight::from_raw(self.running_weight.load(Ordering::Relaxed));
            (weight, self.running_apart.load(Ordering::Relaxed))
        })
    }

    /// Counts the callback that [`Shard::pop`] gave, and wakes who waits for it: at once, because the next one
    /// may block for what the waiter does; and nobody else, because a waking costs more than a callback.
    pub(crate) fn ran(&self, lane: Lane) {
        if let Some((weight, apart)) = self.running(lane) {
            self.running.store(0, Ordering::Relaxed);
            if self.lane(lane).ran(weight, apart) {
                self.progress.signal();
            }
        }
    }

    /// Makes the thread with this `thread_id` the consumer (0: nobody).
    pub(crate) fn set_consumer(&self, thread: u64) {
        self.consumer.store(thread, Ordering::Relaxed);
    }

    /// Whether the thread with this `thread_id` is the consumer: if it asks, it is inside a callback, or in
    /// the grace period before one.
    pub(crate) fn is_consumer(&self, thread: u64) -> bool {
        self.consumer.load(Ordering::Relaxed) == thread
    }

    /// Signalled when a sum that somebody [wants](Queue::want) is reached, and when [`Shard::worker`] has moved.
    pub(crate) fn progress(&self) -> &Event {
        &self.progress
    }

    /// SeqCst: asked after a push, see the module.
    #[inline]
    pub(crate) fn worker(&self) -> Worker {
        match self.signs.worker.load(Ordering::SeqCst) {
            NONE => Worker::None,
            STARTING => Worker::Starting,
            _ => Worker::Running,
        }
    }

    /// Whether there is something to run, and nobody who would.
    pub(crate) fn is_stranded(&self) -> bool {
        self.worker() == Worker::None && self.has_work()
    }

    /// The right to start the worker, or to act for it; `None` if it exists or somebody else has the right.
    pub(crate) fn claim_start(&self) -> Option<Start<'_>> {
        let claimed =
            self.signs
                .worker
                .compare_exchange(NONE, STARTING, Ordering::SeqCst, Ordering::Relaxed);
        // Not `then_some`: it would make the value in any case, and drop it, which gives up the claim.
        claimed.is_ok().then(|| {
            // Told when the one before had left. Whoever means this one tells it once more when it runs.
            self.forget_stop();
            Start(self)
        })
    }

    /// Tells the worker to leave.
    pub(crate) fn tell(&self, stop: Stop) {
        self.signs.stop.store(stop as u32, Ordering::SeqCst);
        self.wake(Sleep::Paced);
    }

    /// What the worker has been told.
    pub(crate) fn told(&self) -> Stop {
        match self.signs.stop.load(Ordering::SeqCst) {
            0 => Stop::No,
            1 => Stop::WhenEmpty,
            _ => Stop::Now,
        }
    }

    /// The worker's last act but one: there is none any more. The caller looks at the queues afterwards,
    /// and starts a successor if there is work.
    pub(crate) fn leave(&self) {
        // The starter has stored the handle and "running" when this wait is over.
        loop {
            let seen = self.progress.value();
            if self.worker() == Worker::Running {
                break;
            }
            self.progress.wait_while(seen, None);
        }
        self.set_consumer(0);
        self.forget_stop();
        self.signs.worker.store(NONE, Ordering::SeqCst);
        self.progress.signal();
    }

    /// To leave is told to one worker; to leave when nothing is queued, to all that come.
    fn forget_stop(&self) {
        let (now, no) = (Stop::Now as u32, Stop::No as u32);
        let _ = self
            .signs
            .stop
            .compare_exchange(now, no, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The thread of the worker that was started last, for who joins it. Once for each worker.
    pub(crate) fn take_thread(&self) -> Option<sys::Thread> {
        let at = self.thread.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: `Start::succeeded` alone stores here, from Box::into_raw; the swap made it ours.
        (!at.is_null()).then(|| *unsafe { Box::from_raw(at) })
    }

    /// Locks both lanes for the consumer.
    fn lock(&self) -> Locked<'_> {
        self.lock_for_fork();
        Locked(self)
    }

    /// A spin lock that yields: held by the consumer for the reversal of a batch, or by a forking thread.
    pub(crate) fn lock_for_fork(&self) {
        while self.taking.swap(true, Ordering::Acquire) {
            sys::yield_now();
        }
    }

    pub(crate) fn unlock_after_fork(&self) {
        self.taking.store(false, Ordering::Release);
    }

    #[cfg(test)]
    pub(crate) fn is_locked(&self) -> bool {
        self.taking.load(Ordering::Relaxed)
    }

    /// In a forked child, which holds the lock from before the fork: the worker is gone, the callback that
    /// ran is lost (the result tells), the rest is still here. If `me` is the consumer, the fork happened
    /// inside a callback, and the thread that goes on in the child is still the consumer.
    pub(crate) fn after_fork_in_child(&self, me: u64) -> bool {
        let runs_here = self.is_consumer(me);
        let lost = !runs_here && self.running.swap(0, Ordering::Relaxed) != 0;
        for lane in LANES {
            self.lane(lane).after_fork_in_child(self.running(lane));
        }
        self.progress.forget_waiters_after_fork();
        if runs_here && self.worker() == Worker::Starting {
            // Its starter, who would have stored this, is not here. The thread that is there is its predecessor's.
            self.thread.store(ptr::null_mut(), Ordering::Relaxed);
            self.signs.worker.store(RUNNING, Ordering::SeqCst);
        }
        if !runs_here {
            self.signs.asleep.store(AWAKE, Ordering::Relaxed);
            self.consumer.store(0, Ordering::Relaxed);
            self.signs.worker.store(NONE, Ordering::Relaxed);
            self.forget_stop();
            // Not freed: that would detach a thread of the parent.
            self.thread.store(ptr::null_mut(), Ordering::Relaxed);
        }
        self.unlock_after_fork();
        lost
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        drop(self.take_thread()); // detached: it is this thread, or has told that it leaves
    }
}

struct Locked<'s>(&'s Shard);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.0.unlock_after_fork();
    }
}

/// The right to start the worker. Dropping it gives the right back and wakes who waits for the outcome.
#[must_use]
pub(crate) struct Start<'s>(&'s Shard);

impl Start<'_> {
    /// The worker runs.
    pub(crate) fn succeeded(self, thread: sys::Thread) {
        let shard = self.0;
        core::mem::forget(self);
        drop(shard.take_thread()); // of a worker that has left, and that nobody joined
        let thread = Box::into_raw(Box::new(thread));
        shard.thread.store(thread, Ordering::Release);
        shard.signs.worker.store(RUNNING, Ordering::SeqCst);
        shard.progress.signal();
    }
}

impl Drop for Start<'_> {
    fn drop(&mut self) {
        self.0.signs.worker.store(NONE, Ordering::SeqCst);
        self.0.progress.signal();
    }
}

#[cfg(test)]
mod tests;

//! The queue of call_rcu: many threads push, one worker takes everything.
//!
//! A push is one addition and one CAS, a take one swap (Treiber's stack with take-all, the kernel's
//! `llist`), so there is no ABA. What is taken stays reachable from here, the batch's cursor stepped before each
//! callback runs: a forked child finds what the parent's worker held and runs the rest (rule A6).
//!
//! While a batch runs, what is pushed meanwhile is gathered for the next one, piece by piece: turning the stack
//! round reads every head, and when a long batch has run they would all have to come from memory, twice.
//!
//! Callbacks leave in the order of their pushes, so that a sum says which have run: see [`Queue::queued`]. For
//! that a push counts before it publishes. So who is preempted in between counts as pending, by one callback, and
//! holds up a `barrier` until it goes on; counted later, a barrier could return before callbacks that it covers.
//!
//! Progress: push is lock-free and never waits; `take`, `gather` and `pop` are for one thread at a time, which the
//! shard's lock sees to.

use crate::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::ptr::{self, NonNull};

use crate::head::{Callback, RcuHead, Weight};
use crate::pad::Padded;
use crate::provenance::{exposed, reloaded};

/// Bit 0 of the pointer to the newest callback: one that may not wait is among the pushed.
const PROMPT: usize = 1;

/// Whether a callback may wait until others come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Haste {
    Lazy,
    Prompt,
}

/// What has been pushed and not been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pushed {
    Nothing,
    OnlyLazy,
    Prompt,
}

impl Pushed {
    /// By the newest, with its tag.
    fn of(newest: *mut RcuHead) -> Self {
        match newest.addr() {
            0 => Self::Nothing,
            at if at & PROMPT != 0 => Self::Prompt,
            _ => Self::OnlyLazy,
        }
    }
}

/// What those who push write.
#[derive(Debug)]
struct Front {
    /// The pushed ones, newest first; bit 0 is [`PROMPT`].
    pushed: AtomicPtr<RcuHead>,
    /// Raised before a push: a sum of weights.
    queued: AtomicU64,
    /// Bytes that are summed apart, of all that is pending.
    apart: AtomicU64,
}

/// What the worker writes.
#[derive(Debug)]
struct Back {
    /// What is left of the batch in work, oldest first; written under the shard's lock.
    batch: AtomicPtr<RcuHead>,
    /// What was gathered for the next batch, oldest first; and its newest, with [`PROMPT`]. Under the lock.
    gathered: AtomicPtr<RcuHead>,
    newest: AtomicPtr<RcuHead>,
    /// The sum of weights of those that have run.
    done: AtomicU64,
    /// The sum that somebody waits for, the nearest of several; 0: nobody does.
    wanted: AtomicU64,
    run: AtomicU64,
}

/// Callbacks in a row. See the module.
///
/// # Invariants
/// 1. The lists are made of heads from [`Callback::into_queue`], each on one list once; whoever takes a
///    head off gives it to [`Callback::from_queue`].
#[derive(Debug)]
pub(crate) struct Queue {
    front: Padded<Front>,
    back: Padded<Back>,
}

fn is_prompt(top: *mut RcuHead) -> bool {
    top.addr() & PROMPT != 0
}

fn untagged(top: *mut RcuHead) -> *mut RcuHead {
    top.map_addr(|at| at & !PROMPT)
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            front: Padded::new(Front {
                pushed: AtomicPtr::new(ptr::null_mut()),
                queued: AtomicU64::new(0),
                apart: AtomicU64::new(0),
            }),
            back: Padded::new(Back {
                batch: AtomicPtr::new(ptr::null_mut()),
                gathered: AtomicPtr::new(ptr::null_mut()),
                newest: AtomicPtr::new(ptr::null_mut()),
                done: AtomicU64::new(0),
                wanted: AtomicU64::new(0),
                run: AtomicU64::new(0),
            }),
        }
    }

    /// Queues a callback. Never waits, never runs one.
    #[inline]
    pub(crate) fn push(&self, callback: Callback, haste: Haste) {
        let bytes = callback.bytes();
        // SeqCst: before the CAS in the one order of all, so that `queued` covers every push that is seen.
        self.front
            .queued
            .fetch_add(bytes.weight().raw(), Ordering::SeqCst);
        if bytes.apart() != 0 {
            self.front.apart.fetch_add(bytes.apart(), Ordering::Relaxed);
        }
        let head = callback.into_queue();
        exposed(head.as_ptr());
        let mut top = self.front.pushed.load(Ordering::Relaxed);
        loop {
            // SAFETY: the head is ours until the CAS below publishes it.
            let next = unsafe { head.as_ref() }.next();
            next.store(untagged(top), Ordering::Relaxed);
            let new = if haste == Haste::Prompt || is_prompt(top) {
                head.as_ptr().map_addr(|at| at | PROMPT)
            } else {
                head.as_ptr()
            };
            // INVARIANT: 1. SeqCst: Release for the taker, and a store before the loads with which the
            // caller looks whether the worker sleeps or is gone, see `Shard`.
            match self.front.pushed.compare_exchange_weak(
                top,
                new,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// What waits to be taken. SeqCst: the worker asks after it has told that it sleeps or leaves.
    pub(crate) fn pushed(&self) -> Pushed {
        // The tag says of each whether it holds a prompt one. Relaxed: the consumer writes it; who asks while there is
        // none was told so by the shard's `worker`, which the last one stored (SeqCst) behind what it left here.
        let pushed = Pushed::of(self.front.pushed.load(Ordering::SeqCst));
        pushed.max(Pushed::of(self.back.newest.load(Ordering::Relaxed)))
    }

    /// Turns what is pushed round, oldest first, and puts it behind what was gathered before. Only under the
    /// shard's lock.
    ///
    /// Turning round touches each head: early, while a batch runs, they are still in the cache of who pushed them.
    pub(crate) fn gather(&self) {
        // Acquire pairs with the push: the heads are visible.
        let top = self.front.pushed.swap(ptr::null_mut(), Ordering::Acquire);
        let (mut at, mut oldest) = (reloaded(untagged(top)), ptr::null_mut());
        if at.is_null() {
            return;
        }
        // SAFETY: invariant 1: the swap made the whole list ours; each head stays until it is run.
        while let Some(head) = unsafe { at.as_ref() } {
            let next = reloaded(head.next().load(Ordering::Relaxed));
            head.next().store(oldest, Ordering::Relaxed);
            oldest = at;
            at = next;
        }
        let before = self.back.newest.load(Ordering::Relaxed);
        // SAFETY: invariant 1: gathered, so it stays until it is run; under the lock nobody else links it.
        match unsafe { reloaded(untagged(before)).as_ref() } {
            Some(newest) => newest.next().store(oldest, Ordering::Relaxed),
            None => self.back.gathered.store(oldest, Ordering::Relaxed),
        }
        let tag = (before.addr() | top.addr()) & PROMPT;
        let newest = untagged(top).map_addr(|at| at | tag);
        self.back.newest.store(newest, Ordering::Relaxed);
    }

    /// Makes everything that is gathered and pushed the batch, oldest first, and tells what it was. Only under
    /// the shard's lock, and when there is no batch.
    pub(crate) fn take(&self) -> Pushed {
        debug_assert!(!self.has_batch());
        self.gather();
        let oldest = self.back.gathered.load(Ordering::Relaxed);
        let newest = self.back.newest.load(Ordering::Relaxed);
        self.back.gathered.store(ptr::null_mut(), Ordering::Relaxed);
        self.back.newest.store(ptr::null_mut(), Ordering::Relaxed);
        self.back.batch.store(oldest, Ordering::Relaxed);
        Pushed::of(newest)
    }

    /// Whether taken callbacks are left. A batch that is not finished (its worker left, or stayed behind
    /// in the parent of this process) is run before another is taken.
    pub(crate) fn has_batch(&self) -> bool {
        !self.back.batch.load(Ordering::Relaxed).is_null()
    }

    /// Takes the oldest callback of the batch. Only under the shard's lock; [`Queue::ran`] follows when it
    /// has returned.
    pub(crate) fn pop(&self) -> Option<Callback> {
        let oldest = NonNull::new(self.back.batch.load(Ordering::Relaxed))?;
        // SAFETY: on the batch, so nobody has run it; the lock makes us the only one who takes from it.
        let next = unsafe { oldest.as_ref() }.next().load(Ordering::Relaxed);
        self.back.batch.store(next, Ordering::Relaxed);
        // SAFETY: invariant 1: this head was just taken off.
        Some(unsafe { Callback::from_queue(oldest) })
    }

    /// Counts a callback that has returned. SeqCst: who sees the sum sees what the callback did.
    ///
    /// Tells whether the sum that somebody [wants](Self::want) is reached: the caller wakes all who wait.
    pub(crate) fn ran(&self, weight: Weight, apart: u64) -> bool {
        if apart != 0 {
            self.front.apart.fetch_sub(apart, Ordering::Relaxed);
        }
        // Only the consumer writes this; consumers follow each other through the shard's `worker`.
        let run = self.back.run.load(Ordering::Relaxed) + 1;
        self.back.run.store(run, Ordering::Relaxed);
        let raw = weight.raw();
        let before = self.back.done.fetch_add(raw, Ordering::SeqCst);
        // Pairs with `want`: there the wish is stored first and the sum read second, here the reverse, all
        // SeqCst. Either we see the wish, or who wants sees the sum and does not sleep.
        match self.back.wanted.load(Ordering::SeqCst) {
            0 => false,
            wanted if !Weight::covers(before.wrapping_add(raw), wanted) => false,
            // A wish that came meanwhile goes with it: its owner is woken, looks, and wishes again.
            _ => self.back.wanted.swap(0, Ordering::SeqCst) != 0,
        }
    }

    /// Who waits for this sum wants to be told when it is reached. Whether it is reached already.
    ///
    /// The wish is good for one waking. So read the event count that [`ran`](Self::ran)'s caller will signal
    /// before this, and wish again before each sleep.
    pub(crate) fn want(&self, queued: u64) -> bool {
        let nearer = |wanted| {
            let farther = wanted == 0 || !Weight::covers(queued, wanted);
            // 0 says that nobody waits: then the sum before it, which is told of earlier, and often.
            farther.then_some(if queued == 0 { u64::MAX } else { queued })
        };
        _ = self
            .back
            .wanted
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, nearer);
        self.is_done(queued)
    }

    /// Whether somebody waits for more than has run.
    pub(crate) fn is_wanted(&self) -> bool {
        // SeqCst, see `want`. A wish that came too late to be told of is not one.
        let wanted = self.back.wanted.load(Ordering::SeqCst);
        wanted != 0 && !self.is_done(wanted)
    }

    /// The sum of everything ever queued. When [`is_done`](Self::is_done) says so for a sum read now, every
    /// callback has run whose push happened before: those are the first in the row, and what has run is
    /// its beginning, of at least this weight.
    pub(crate) fn queued(&self) -> u64 {
        self.front.queued.load(Ordering::SeqCst)
    }

    /// Whether everything counted in this sum has run.
    pub(crate) fn is_done(&self, queued: u64) -> bool {
        Weight::covers(self.back.done.load(Ordering::SeqCst), queued)
    }

    /// What is queued and has not run.
    pub(crate) fn pending(&self) -> Weight {
        let done = self.back.done.load(Ordering::Relaxed);
        Weight::pending(self.front.queued.load(Ordering::Relaxed), done)
    }

    /// Bytes of what is pending.
    pub(crate) fn bytes(&self) -> u64 {
        self.pending().bytes() + self.front.apart.load(Ordering::Relaxed)
    }

    /// Callbacks that have run.
    pub(crate) fn run(&self) -> u64 {
        self.back.run.load(Ordering::Relaxed)
    }

    /// In a forked child: counts anew what is left, `running` besides what stands here. Threads that were
    /// between counting and pushing are gone with their callbacks, which count as done: the sum of what was
    /// queued never falls, or a barrier that began before the fork would wait for ever.
    pub(crate) fn after_fork_in_child(&self, running: Option<(Weight, u64)>) {
        let (mut left, mut apart) = running.map_or((0, 0), |(weight, apart)| (weight.raw(), apart));
        for list in [&self.front.pushed, &self.back.gathered, &self.back.batch] {
            let mut at = reloaded(untagged(list.load(Ordering::Relaxed)));
            // SAFETY: invariant 1; this is the only thread.
            while let Some(head) = unsafe { at.as_ref() } {
                left += head.bytes().weight().raw();
                apart += head.bytes().apart();
                at = reloaded(head.next().load(Ordering::Relaxed));
            }
        }
        let queued = self.front.queued.load(Ordering::Relaxed);
        self.back
            .done
            .store(queued.wrapping_sub(left), Ordering::Relaxed);
        self.back.wanted.store(0, Ordering::Relaxed); // whoever waited is not here
        self.front.apart.store(apart, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    fn run_batch(queue: &Queue) -> usize {
        let mut run = 0;
        while let Some(callback) = queue.pop() {
            let bytes = callback.bytes();
            callback.run();
            queue.ran(bytes.weight(), bytes.apart());
            run += 1;
        }
        run
    }

    #[test]
    fn callbacks_come_out_oldest_first_and_once() {
        let queue = Queue::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        assert_eq!(queue.take(), Pushed::Nothing);
        for round in 0..3 {
            let before = queue.queued();
            for i in 0..5 {
                let seen = Arc::clone(&seen);
                let note = move || seen.lock().unwrap().push(round * 5 + i);
                queue.push(Callback::new(note), Haste::Prompt);
            }
            assert!(queue.is_done(before) && !queue.is_done(queue.queued()));
            assert_eq!(queue.pending().count(), 5);
            assert_eq!(queue.take(), Pushed::Prompt);
            assert_eq!(run_batch(&queue), 5);
        }
        assert_eq!(*seen.lock().unwrap(), (0..15).collect::<Vec<_>>());
        assert!(queue.is_done(queue.queued()));
        assert_eq!((queue.run(), queue.bytes()), (15, 0));
    }

    #[test]
    fn what_is_gathered_while_a_batch_runs_comes_behind_it_in_order() {
        let queue = Queue::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let push = |i, haste| {
            let seen = Arc::clone(&seen);
            let note = move || seen.lock().unwrap().push(i);
            queue.push(Callback::new(note), haste);
        };
        (0..2).for_each(|i| push(i, Haste::Prompt));
        assert_eq!(queue.take(), Pushed::Prompt);
        for i in [2, 4, 6] {
            push(i, Haste::Lazy);
            push(i + 1, Haste::Lazy);
            queue.gather();
            assert_eq!(queue.pushed(), Pushed::OnlyLazy, "gathered, and not taken");
        }
        push(8, Haste::Prompt);
        queue.gather();
        push(9, Haste::Lazy);
        assert_eq!(queue.pushed(), Pushed::Prompt);
        assert_eq!(run_batch(&queue), 2);
        assert_eq!(
            (queue.take(), queue.pushed()),
            (Pushed::Prompt, Pushed::Nothing)
        );
        assert_eq!(run_batch(&queue), 8);
        assert_eq!(*seen.lock().unwrap(), (0..10).collect::<Vec<_>>());
        assert!(queue.is_done(queue.queued()));
        assert_eq!(queue.take(), Pushed::Nothing);
    }

    #[test]
    fn one_prompt_callback_makes_all_prompt() {
        let queue = Queue::new();
        assert_eq!(queue.pushed(), Pushed::Nothing);
        let pushes = [Haste::Lazy, Haste::Lazy, Haste::Prompt, Haste::Lazy];
        let found = pushes.map(|haste| {
            queue.push(Callback::new(|| {}), haste);
            queue.pushed()
        });
        use Pushed::{OnlyLazy, Prompt};
        assert_eq!(found, [OnlyLazy, OnlyLazy, Prompt, Prompt]);
        assert_eq!(queue.take(), Prompt);
        assert_eq!((queue.pushed(), run_batch(&queue)), (Pushed::Nothing, 4));
        queue.push(Callback::new(|| {}), Haste::Lazy);
        assert_eq!((queue.take(), run_batch(&queue)), (OnlyLazy, 1));
    }

    #[test]
    fn bytes_are_counted_while_they_are_pending() {
        let queue = Queue::new();
        queue.push(Callback::new(|| {}), Haste::Prompt);
        let small = queue.bytes();
        assert!((24..=48).contains(&small), "{small}");
        let array = [0_u8; 1000];
        queue.push(
            Callback::new(move || assert_eq!(array[999], 0)),
            Haste::Prompt,
        );
        queue.push(Callback::owning(|| {}, 4000), Haste::Prompt);
        queue.push(Callback::owning(|| {}, 1 << 20), Haste::Prompt);
        queue.push(Callback::claiming(|| {}, 1 << 30), Haste::Prompt);
        let expected = 5000 + (1 << 20) + (1 << 30);
        let all = queue.bytes();
        assert!((expected..expected + 300).contains(&all), "{all}");
        queue.take();
        run_batch(&queue);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn who_wants_a_sum_is_told_when_it_is_reached_and_not_before() {
        let queue = Queue::new();
        let push = || {
            queue.push(Callback::new(|| {}), Haste::Prompt);
            queue.queued()
        };
        let run_one = || {
            let callback = queue.pop().unwrap();
            let bytes = callback.bytes();
            callback.run();
            queue.ran(bytes.weight(), bytes.apart())
        };
        let sums: Vec<u64> = (0..6).map(|_| push()).collect();
        queue.take();
        assert!(!queue.want(sums[3]) && !queue.want(sums[1]) && !queue.want(sums[4]));
        let told: Vec<bool> = (0..2).map(|_| run_one()).collect();
        assert_eq!(told, [false, true], "the nearest of three");
        assert!(queue.want(sums[1]), "it is reached");
        run_one(); // tells once more, of the wish that came too late
        assert!(!queue.want(sums[4]) && !queue.want(sums[3]));
        let told: Vec<bool> = (0..3).map(|_| run_one()).collect();
        assert_eq!(told, [true, false, false], "a wish is good for one waking");
    }

    #[test]
    fn pushes_from_many_threads_are_all_taken() {
        const EACH: usize = 10_000;
        let queue = Queue::new();
        let ran = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..EACH {
                        let ran = Arc::clone(&ran);
                        let count = move || _ = ran.fetch_add(1, Ordering::Relaxed);
                        queue.push(Callback::new(count), Haste::Prompt);
                    }
                });
            }
            while queue.run() < 3 * EACH as u64 {
                queue.take();
                if run_batch(&queue) == 0 {
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(ran.load(Ordering::Relaxed), 3 * EACH);
        assert!(queue.is_done(queue.queued()));
    }
}

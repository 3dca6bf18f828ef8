//! The queue of call_rcu: many threads push, one worker takes everything.
//!
//! A push is one CAS, a take one swap (Treiber's stack with take-all, the kernel's `llist`), so there
//! is no ABA. The taken batch stays reachable from here, its cursor stepped before each callback runs:
//! a forked child finds what the parent's worker held and runs the rest (rule A6).
//!
//! Progress: push is lock-free and never waits; `next_batch` and `pop` are for one thread at a time.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::park::Event;
use crate::sys;

/// The head of a queued callback, first field of the record that it heads.
///
/// # Invariants
/// 1. `run` takes exactly the record that this head begins, frees it, and may be called once.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Head {
    next: Cell<*mut Head>,
    run: unsafe fn(NonNull<Head>),
}

#[repr(C)]
struct Record<C> {
    head: Head,
    callback: C,
}

/// A callback that is on no queue: run it or push it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Callback(NonNull<Head>);

// SAFETY: the record was made from a `Send` closure (`Callback::new`), and a `Callback` owns it.
unsafe impl Send for Callback {}

impl Callback {
    /// Boxes a closure with its head. The only allocation of call_rcu.
    pub(crate) fn new<C: FnOnce() + Send + 'static>(callback: C) -> Self {
        /// # Safety
        /// 1. `head` begins a `Record<C>` that came from `Box::into_raw`, and nobody uses it again.
        unsafe fn run<C: FnOnce()>(head: NonNull<Head>) {
            // SAFETY: clause 1; `head` is the first field of a repr(C) record.
            let record = unsafe { Box::from_raw(head.cast::<Record<C>>().as_ptr()) };
            (record.callback)();
        }
        // INVARIANT 1 of Head: `run::<C>` frees a `Record<C>`, and this is one.
        let head = Head {
            next: Cell::new(ptr::null_mut()),
            run: run::<C>,
        };
        let record = Box::into_raw(Box::new(Record { head, callback }));
        // SAFETY: Box::into_raw never gives null.
        Self(unsafe { NonNull::new_unchecked(record.cast()) })
    }

    /// Runs and frees it.
    pub(crate) fn run(self) {
        // SAFETY: a `Callback` owns its record, which nobody else can reach.
        let run = unsafe { self.0.as_ref() }.run;
        // SAFETY: invariant 1 of Head; `self` is used up, so this is the only call.
        unsafe { run(self.0) };
    }
}

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

/// Callbacks of one domain. See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The pushed ones, newest first.
    pushed: AtomicPtr<Head>,
    /// What is left of the batch in work, oldest first; written under `taking`.
    batch: AtomicPtr<Head>,
    /// A callback has been taken off `batch` and has not returned.
    running: AtomicBool,
    /// Held while the pushed ones are moved to `batch`, O(batch); fork waits for it.
    taking: AtomicBool,
    /// Raised before a push, so that `done >= queued` covers every push that returned.
    queued: AtomicU64,
    done: AtomicU64,
    /// 1 while the worker sleeps or is about to: the futex word of the worker.
    asleep: AtomicU32,
    worker: AtomicU32,
    /// The `thread_id` of the worker, or of the thread that helps out for it; 0: nobody.
    consumer: AtomicU64,
    /// Signalled when `done` has moved.
    progress: Event,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            pushed: AtomicPtr::new(ptr::null_mut()),
            batch: AtomicPtr::new(ptr::null_mut()),
            running: AtomicBool::new(false),
            taking: AtomicBool::new(false),
            queued: AtomicU64::new(0),
            done: AtomicU64::new(0),
            asleep: AtomicU32::new(0),
            worker: AtomicU32::new(NONE),
            consumer: AtomicU64::new(0),
            progress: Event::new(),
        }
    }

    /// Queues a callback. Never waits, never runs one.
    pub(crate) fn push(&self, callback: Callback) {
        self.queued.fetch_add(1, Ordering::SeqCst);
        let head = callback.0;
        let mut top = self.pushed.load(Ordering::Relaxed);
        loop {
            // SAFETY: the record is ours until the CAS below publishes it.
            unsafe { head.as_ref() }.next.set(top);
            // SeqCst: Release for the taker, and store-before-load against `sleep`, see there.
            match self.pushed.compare_exchange_weak(
                top,
                head.as_ptr(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => top = now,
            }
        }
        // Pairs with `sleep`: it raises `asleep` and then looks at `pushed`; we pushed and then look at
        // `asleep`, all SeqCst. Either it sees our push and stays awake, or we see it and wake it.
        if self.asleep.load(Ordering::SeqCst) == 1 && self.asleep.swap(0, Ordering::SeqCst) == 1 {
            sys::futex_wake(self.asleep.as_ptr(), 1);
        }
    }

    /// Moves all pushed callbacks to the batch, oldest first; `false` if there was none. A batch that
    /// is not finished (after a fork, or a worker that died) stays in front.
    pub(crate) fn next_batch(&self) -> bool {
        self.lock_taking();
        if self.batch.load(Ordering::Relaxed).is_null() {
            // Acquire pairs with the push: the records are visible.
            let mut newest = self.pushed.swap(ptr::null_mut(), Ordering::Acquire);
            let mut oldest = ptr::null_mut();
            // SAFETY: the swap made the whole list ours; each record lives until it is run.
            while let Some(head) = unsafe { newest.as_ref() } {
                let next = head.next.replace(oldest);
                oldest = newest;
                newest = next;
            }
            self.batch.store(oldest, Ordering::Relaxed);
        }
        self.unlock_taking();
        !self.batch.load(Ordering::Relaxed).is_null()
    }

    /// Takes the oldest callback of the batch. [`Queue::ran`] must follow when it has returned.
    pub(crate) fn pop(&self) -> Option<Callback> {
        self.lock_taking();
        let oldest = NonNull::new(self.batch.load(Ordering::Relaxed));
        if let Some(head) = oldest {
            // SAFETY: on the batch, so nobody has run it; only this thread takes from the batch.
            let next = unsafe { head.as_ref() }.next.get();
            self.batch.store(next, Ordering::Relaxed);
            self.running.store(true, Ordering::Relaxed);
        }
        self.unlock_taking();
        oldest.map(Callback)
    }

    /// Counts a callback that has returned, and wakes who waits for that: each one, because the next may
    /// block for what the waiter does. SeqCst: who sees the count sees what the callback did.
    pub(crate) fn ran(&self) {
        self.running.store(false, Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::SeqCst);
        self.announce();
    }

    /// Wakes whoever waits for the count, or the worker's state, to move.
    fn announce(&self) {
        self.progress.signal();
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

    /// Callbacks ever queued. A value read now covers every `push` that happened before.
    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(Ordering::SeqCst)
    }

    /// Callbacks that have run.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Signalled when [`Queue::done`] or [`Queue::worker`] has moved.
    pub(crate) fn progress(&self) -> &Event {
        &self.progress
    }

    /// Sleeps until something is pushed. For the worker alone; no system call follows until then.
    pub(crate) fn sleep(&self) {
        self.asleep.store(1, Ordering::SeqCst);
        while self.pushed.load(Ordering::SeqCst).is_null() {
            // Whoever wakes us stores 0 first: then we look again and raise it again.
            sys::futex_wait(self.asleep.as_ptr(), 1, None);
            self.asleep.store(1, Ordering::SeqCst);
        }
        self.asleep.store(0, Ordering::SeqCst);
    }

    pub(crate) fn worker(&self) -> Worker {
        match self.worker.load(Ordering::Acquire) {
            NONE => Worker::None,
            STARTING => Worker::Starting,
            _ => Worker::Running,
        }
    }

    /// The right to start the worker, or to act for it; `None` if it exists or somebody else has the right.
    pub(crate) fn claim_start(&self) -> Option<Start<'_>> {
        let claimed =
            self.worker
                .compare_exchange(NONE, STARTING, Ordering::AcqRel, Ordering::Relaxed);
        // Not `then_some`: it would make the value in any case, and drop it, which gives up the claim.
        claimed.is_ok().then(|| Start(self))
    }

    /// Whether something is pushed that is in no batch yet.
    pub(crate) fn has_pushed(&self) -> bool {
        !self.pushed.load(Ordering::SeqCst).is_null()
    }

    // A spin lock that yields: held by the consumer for the reversal of a batch, or by a forking thread.
    pub(crate) fn lock_taking(&self) {
        while self.taking.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
    }

    pub(crate) fn unlock_taking(&self) {
        self.taking.store(false, Ordering::Release);
    }

    /// In a forked child, which holds `taking` from before the fork: the worker is gone, the callback
    /// that ran is lost (the result tells), the rest is still here. If `me` is the consumer, the fork
    /// happened inside a callback, and the thread that goes on in the child is still the consumer.
    pub(crate) fn after_fork_in_child(&self, me: u64) -> bool {
        let runs_here = self.is_consumer(me);
        let lost = !runs_here && self.running.swap(false, Ordering::Relaxed);
        let mut left = u64::from(runs_here && self.running.load(Ordering::Relaxed));
        for list in [&self.pushed, &self.batch] {
            let mut at = list.load(Ordering::Relaxed);
            // SAFETY: queued records live until they are run, and this is the only thread.
            while let Some(head) = unsafe { at.as_ref() } {
                left += 1;
                at = head.next.get();
            }
        }
        // Threads that were between counting and pushing are gone with their callbacks, which count as done:
        // `queued` never falls, or a barrier that began before the fork would wait for ever.
        self.done.store(
            self.queued.load(Ordering::Relaxed) - left,
            Ordering::Relaxed,
        );
        self.progress.forget_waiters_after_fork();
        if !runs_here {
            self.asleep.store(0, Ordering::Relaxed);
            self.consumer.store(0, Ordering::Relaxed);
            self.worker.store(NONE, Ordering::Relaxed);
        }
        self.unlock_taking();
        lost
    }
}

/// The right to start the worker. Dropping it gives the right back and wakes who waits for the outcome.
#[must_use]
pub(crate) struct Start<'q>(&'q Queue);

impl Start<'_> {
    /// The worker runs.
    pub(crate) fn succeeded(self) {
        self.0.worker.store(RUNNING, Ordering::Release);
        core::mem::forget(self);
    }
}

impl Drop for Start<'_> {
    fn drop(&mut self) {
        self.0.worker.store(NONE, Ordering::Release);
        self.0.announce();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn callbacks_come_out_oldest_first_and_once() {
        let queue = Queue::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        assert!(!queue.next_batch());
        for round in 0..3 {
            for i in 0..5 {
                let seen = Arc::clone(&seen);
                queue.push(Callback::new(move || {
                    seen.lock().unwrap().push(round * 5 + i)
                }));
            }
            assert!(queue.next_batch());
            while let Some(callback) = queue.pop() {
                callback.run();
                queue.ran();
            }
        }
        assert_eq!(*seen.lock().unwrap(), (0..15).collect::<Vec<_>>());
        assert_eq!((queue.queued(), queue.done()), (15, 15));
    }

    #[test]
    fn a_child_keeps_what_the_worker_held_and_loses_what_ran() {
        let queue = Queue::new();
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            let ran = Arc::clone(&ran);
            queue.push(Callback::new(move || {
                ran.fetch_add(1, Ordering::Relaxed);
            }));
        }
        assert!(queue.next_batch());
        let in_parent = queue.pop().unwrap(); // the callback that runs while somebody forks
        queue.lock_taking();
        assert!(queue.after_fork_in_child(1));
        assert_eq!((queue.queued(), queue.done()), (4, 1));
        assert!(queue.next_batch());
        while let Some(callback) = queue.pop() {
            callback.run();
            queue.ran();
        }
        assert_eq!((queue.done(), ran.load(Ordering::Relaxed)), (4, 3));
        in_parent.run();
    }

    // `then_some` again: a refused claim made the worker that exists look absent.
    #[test]
    fn a_refused_claim_gave_the_worker_up() {
        let queue = Queue::new();
        let start = queue.claim_start().unwrap();
        assert!(queue.claim_start().is_none() && queue.claim_start().is_none());
        assert_eq!(queue.worker(), Worker::Starting);
        start.succeeded();
        assert!(queue.claim_start().is_none() && queue.claim_start().is_none());
        assert_eq!(queue.worker(), Worker::Running);
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
                        queue.push(Callback::new(move || {
                            ran.fetch_add(1, Ordering::Relaxed);
                        }));
                    }
                });
            }
            while queue.done() < 3 * EACH as u64 {
                if !queue.next_batch() {
                    queue.sleep();
                }
                while let Some(callback) = queue.pop() {
                    callback.run();
                    queue.ran();
                }
            }
        });
        assert_eq!(ran.load(Ordering::Relaxed), 3 * EACH);
    }
}

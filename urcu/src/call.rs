//! call_rcu: callbacks after a grace period, run by one worker thread for each domain.
//!
//! The worker starts with the first callback, blocks all signals, and sleeps on a futex when it has
//! nothing to do: an idle process makes no system call. Callbacks of a batch share one grace period.

use core::sync::atomic::{AtomicU32, Ordering, fence};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;

use crate::arena::thread_id;
use crate::flavor::{Domain, Flavor};
use crate::gp::Barriers;
use crate::queue::{Callback, Queue, Worker};
use crate::register;
use crate::stall::{self, Report};
use crate::sys;
use crate::thread::Thread;

/// While no worker can be started, each so many calls try again.
const RETRY_EVERY: u32 = 64;

impl<B: Barriers> Domain<B> {
    /// Runs `callback` on the domain's worker after a grace period that begins after this call.
    ///
    /// Never blocks, never runs a callback itself: may be called in read sections and with locks held
    /// (not in signal handlers: it allocates). Callbacks may block, but delay those behind them; they may
    /// call `call` and `synchronize`. No order among callbacks is promised. A panic is caught, reported,
    /// and counts as run. Cost: one allocation, one or two atomic exchanges, a futex wake-up when the
    /// worker sleeps.
    ///
    /// In a child forked inside a callback no further callback runs before that one returns.
    ///
    /// Callbacks still queued when the process exits do not run; call [`Domain::barrier`] for that.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use urcu::Memb;
    /// static DONE: AtomicBool = AtomicBool::new(false);
    /// Memb::call(|| DONE.store(true, Ordering::Relaxed));
    /// Memb::barrier();
    /// assert!(DONE.load(Ordering::Relaxed));
    /// ```
    #[doc(alias = "call_rcu")]
    pub fn call(callback: impl FnOnce() + Send + 'static) {
        let queue = &B::engine().queue;
        queue.push(Callback::new(callback));
        if queue.worker() == Worker::None && may_retry() {
            start_worker::<B>();
        }
    }

    /// Waits until all callbacks have run whose `call` happened before.
    ///
    /// Not a grace period: with nothing queued it returns at once, also while readers are inside.
    /// Callbacks that those callbacks queue are not covered. A full memory barrier. To unload code: stop
    /// posting, `synchronize`, `barrier`.
    ///
    /// # Panics
    /// Where it would never return: in a callback of the same domain, inside a section of it, in the
    /// report hook.
    #[doc(alias = "rcu_barrier")]
    #[track_caller]
    pub fn barrier() {
        register::assert_may_wait::<B>("barrier", None);
        barrier::<B>();
    }
}

impl<F: Flavor> Thread<F> {
    /// As [`Domain::barrier`], with the proof that this registration has no section open.
    ///
    /// # Panics
    /// In a callback of the same domain; if this thread is inside a section through another registration.
    #[doc(alias = "rcu_barrier")]
    #[track_caller]
    pub fn barrier(&mut self) {
        self.wait("barrier", barrier::<F::Barriers>);
    }
}

#[track_caller]
fn barrier<B: Barriers>() {
    let queue = &*B::engine().queue;
    assert!(
        !queue.is_consumer(thread_id()),
        "urcu {}: barrier inside a callback of the same domain would wait for itself",
        B::NAME
    );
    let target = queue.queued();
    loop {
        let seen = queue.progress().value();
        if queue.done() >= target {
            fence(Ordering::SeqCst);
            return;
        }
        if queue.worker() == Worker::None && !start_worker::<B>() {
            help::<B>(queue);
        } else {
            // Every callback that returns and every start that fails is announced: `seen` is then stale.
            queue.progress().wait_while(seen, None);
        }
    }
}

/// Failed starts since the last success, in all domains: what is short is the process's.
static FAILED: AtomicU32 = AtomicU32::new(0);

/// The back-off of `call`: always when no start has failed, else one call in [`RETRY_EVERY`].
fn may_retry() -> bool {
    static SKIPPED: AtomicU32 = AtomicU32::new(0);
    FAILED.load(Ordering::Relaxed) == 0
        || SKIPPED.fetch_add(1, Ordering::Relaxed) % RETRY_EVERY == RETRY_EVERY - 1
}

/// Starts the worker unless somebody else does; `false` if that failed.
#[cold]
fn start_worker<B: Barriers>() -> bool {
    let Some(start) = B::engine().queue.claim_start() else {
        return true;
    };
    let name = format!("urcu-{}", B::NAME);
    let spawned = sys::with_signals_blocked(|| Builder::new().name(name).spawn(work::<B>));
    if spawned.is_ok() {
        FAILED.store(0, Ordering::Relaxed);
        start.succeeded();
        return true;
    }
    drop(start);
    if FAILED.fetch_add(1, Ordering::Relaxed) == 0 {
        stall::report(Report::NoWorker { flavor: B::NAME });
    }
    false
}

/// Runs what is queued on the calling thread, where no worker can be started (rule A21).
fn help<B: Barriers>(queue: &Queue) {
    let Some(start) = queue.claim_start() else {
        return;
    };
    queue.set_consumer(thread_id());
    if queue.next_batch() {
        run_batch::<B>();
    }
    queue.set_consumer(0);
    drop(start);
    if queue.has_pushed() {
        // Who called meanwhile saw a start under way and left it to us.
        start_worker::<B>();
    }
}

fn work<B: Barriers>() {
    let queue = &B::engine().queue;
    queue.set_consumer(thread_id());
    loop {
        if queue.next_batch() {
            run_batch::<B>();
        } else {
            queue.sleep();
        }
    }
}

/// A grace period, then the batch. The grace period begins after the batch was taken, and each callback
/// was pushed before that.
fn run_batch<B: Barriers>() {
    let engine = B::engine();
    let queue = &*engine.queue;
    engine.synchronize::<B>(usize::from(B::thread_slot().is_some()));
    while let Some(callback) = queue.pop() {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback.run())) {
            core::mem::forget(payload); // its Drop could panic too (rule A21)
            engine.counters.callback_panics.add_one();
            stall::report(Report::CallbackPanicked { flavor: B::NAME });
        }
        queue.ran();
    }
}

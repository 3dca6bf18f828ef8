//! call_rcu: callbacks after a grace period, run by one worker thread for each domain.
//!
//! The worker starts with the first callback, blocks all signals, and sleeps on a futex when it has
//! nothing to do: an idle process makes no system call. Callbacks of a batch share one grace period.

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{Ordering, fence};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;

use crate::flavor::{Domain, Flavor};
use crate::gp::{Barriers, Engine};
use crate::queue::{Callback, Queue, Worker};
use crate::register;
use crate::stall::{self, Report};
use crate::sys;
use crate::thread::Thread;

/// How many callbacks run before waiting barriers look again.
const ANNOUNCE_EVERY: u64 = 64;
/// While no worker can be started, how many further calls pass before the next try.
const RETRY_EVERY: u64 = 64;

thread_local! {
    /// The domain whose callback the calling thread runs.
    static IN_CALLBACK: Cell<*const Engine> = const { Cell::new(ptr::null()) };
}

impl<B: Barriers> Domain<B> {
    /// Runs `callback` on the domain's worker after a grace period that begins after this call.
    ///
    /// Never blocks, never runs a callback itself: may be called in read sections and with locks held
    /// (not in signal handlers: it allocates). Callbacks may block, but delay those behind them; they may
    /// call `call` and `synchronize`. No order among callbacks is promised. A panic is caught, reported,
    /// and counts as run. Cost: one allocation, one or two atomic exchanges, a futex wake-up when the
    /// worker sleeps.
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
        if queue.worker() == Worker::None {
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
    let engine = B::engine();
    assert!(
        !in_callback_of(engine),
        "urcu {}: barrier inside a callback of the same domain would wait for itself",
        B::NAME
    );
    let queue = &*engine.queue;
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
            // `announce` follows every move of `done` and every failed start: `seen` is then stale.
            queue.progress().wait_while(seen, None);
        }
    }
}

/// Starts the worker unless somebody else does; `false` if that failed.
#[cold]
fn start_worker<B: Barriers>() -> bool {
    let queue = &*B::engine().queue;
    if !queue.claim_start() {
        return true;
    }
    let name = format!("urcu-{}", B::NAME);
    let spawned = sys::with_signals_blocked(|| Builder::new().name(name).spawn(work::<B>));
    let success = spawned.is_ok();
    queue.started(success);
    if !success {
        queue.announce();
        if queue.queued() % RETRY_EVERY == 1 {
            stall::report(&Report::NoWorker { flavor: B::NAME });
        }
    }
    success
}

/// Runs what is queued on the calling thread, where no worker can be started (rule A21).
fn help<B: Barriers>(queue: &Queue) {
    if queue.claim_start() {
        if queue.next_batch() {
            run_batch::<B>();
        }
        queue.started(false);
        queue.announce();
    }
}

fn work<B: Barriers>() {
    let queue = &B::engine().queue;
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
    let outer = IN_CALLBACK.replace(engine);
    let mut ran = 0_u64;
    while let Some(callback) = queue.pop() {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback.run())) {
            core::mem::forget(payload); // its Drop could panic too (rule A21)
            engine.counters.callback_panics.add_one();
            stall::report(&Report::CallbackPanicked { flavor: B::NAME });
        }
        queue.ran();
        ran += 1;
        if ran.is_multiple_of(ANNOUNCE_EVERY) {
            queue.announce();
        }
    }
    IN_CALLBACK.set(outer);
    queue.announce();
}

/// Whether the calling thread runs a callback of this domain: after a fork inside it, the child's only
/// thread goes on as the worker.
pub(crate) fn in_callback_of(engine: &Engine) -> bool {
    ptr::eq(IN_CALLBACK.get(), engine)
}

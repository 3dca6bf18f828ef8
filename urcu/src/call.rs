//! call_rcu: callbacks after a grace period. Who runs them is in [`crate::worker`].

use core::fmt;
use core::panic::Location;
use core::ptr::NonNull;
use std::time::Duration;

use crate::flavor::{Domain, Flavor};
use crate::gp::Global;
use crate::head::{Callback, RcuHead};
use crate::home::Process;
use crate::queue::Haste;
use crate::register;
use crate::shard::Lane;
use crate::stall::{self, Report};
use crate::thread::Thread;
use crate::worker;

/// The head was queued already; it stays queued once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyQueued;

impl fmt::Display for AlreadyQueued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the head is queued already")
    }
}

impl core::error::Error for AlreadyQueued {}

impl<B: Global> Domain<B> {
    /// Runs `callback` on a worker of the domain after a grace period that begins after this call.
    ///
    /// Never blocks, never runs a callback itself: may be called in read sections and with locks held
    /// (not in signal handlers: it allocates). Callbacks may block, but delay those behind them; they may
    /// call `call` and `synchronize`. No order among callbacks is promised, and callbacks of different
    /// threads may run at the same time. A panic is caught, reported, and counts as run. Cost: one
    /// allocation, two atomic additions or exchanges, a futex wake-up when the worker sleeps.
    ///
    /// An idle worker serves the call at once; one that is flooded (four callbacks wait, or one with 4 KiB behind it)
    /// begins a grace period each millisecond.
    /// [`call_hurry`](Self::call_hurry) does not wait for that, [`call_lazy`](Self::call_lazy) waits longer.
    ///
    /// In a child forked inside a callback no further callback of that thread's worker runs before that
    /// one returns.
    ///
    /// Callbacks still queued when the process exits do not run; call [`Domain::barrier`] or
    /// [`Domain::shutdown`] for that.
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
        post::<B>(Callback::new(callback), Lane::Main, Haste::Prompt);
    }

    /// As [`call`](Self::call), for a callback that somebody waits for: its grace period begins at once also
    /// while the worker is flooded, and it runs before what the others have queued, at most one slice of
    /// those (3 ms, or one callback that takes longer) later.
    ///
    /// ```
    /// let (done, answer) = std::sync::mpsc::channel();
    /// urcu::Memb::call_hurry(move || done.send(7).unwrap());
    /// assert_eq!(answer.recv(), Ok(7));
    /// ```
    #[doc(alias = "call_rcu_hurry")]
    pub fn call_hurry(callback: impl FnOnce() + Send + 'static) {
        post::<B>(Callback::new(callback), Lane::Hurry, Haste::Prompt);
    }

    /// As [`call`](Self::call), for a callback that nobody waits for: it waits for others, so that many
    /// share a grace period and no call wakes the worker.
    ///
    /// It waits until the delay that [`set_lazy_delay`](Self::set_lazy_delay) set is over, or 10 000 lazy
    /// callbacks or 1 MiB wait in one shard, or something else makes a grace period there: a `call`, a
    /// `barrier`, the soft limit. The first lazy callback wakes the worker once, for it to set its clock.
    ///
    /// ```
    /// urcu::Memb::call_lazy(|| println!("some time"));
    /// urcu::Memb::barrier(); // waits for it, and not for the delay
    /// ```
    #[doc(alias = "call_rcu_lazy")]
    pub fn call_lazy(callback: impl FnOnce() + Send + 'static) {
        post::<B>(Callback::new(callback), Lane::Main, Haste::Lazy);
    }

    /// Sets how long lazy callbacks wait at most; beyond 10 s, which is the default, means 10 s. Takes effect
    /// when a worker next begins to wait.
    #[doc(alias = "rcu_set_lazy")]
    pub fn set_lazy_delay(delay: Duration) {
        B::engine().backlog.set_lazy_delay(delay);
    }

    /// As [`call`](Self::call), for a callback that will free so many bytes which urcu cannot see: they count
    /// against the [limits](Self::set_limits). At most 32 GiB are counted for one callback.
    pub fn call_sized(bytes: usize, callback: impl FnOnce() + Send + 'static) {
        let callback = Callback::claiming(callback, bytes);
        post::<B>(callback, Lane::Main, Haste::Prompt);
    }

    /// Runs `f(head)` on a worker of the domain after a grace period that begins after this call: call_rcu
    /// without an allocation, and the only unsafe door of callbacks. Two atomic exchanges more than none.
    ///
    /// `f` gets the very pointer that is given here; [`container_of!`](crate::container_of) makes the whole
    /// object of it. When `f` is called the head is free again: `f` may free the object, or queue it anew.
    /// For the rest see [`call`](Self::call).
    ///
    /// # Errors
    /// The head is queued already: nothing happens, it is counted, and told to the report hook.
    ///
    /// # Safety
    /// 1. `head` points to an initialised [`RcuHead`], and goes on doing so, at this address, until `f` is
    ///    called with it.
    /// 2. `head` was made from a pointer to everything that `f` accesses through it, not from a `&RcuHead`.
    /// 3. `f(head)` may be called once, on another thread, when all sections of this domain that have begun
    ///    by now have ended; whatever it accesses may be accessed there and then.
    /// 4. `f` stays callable until it has returned: code is unloaded after [`barrier`](Self::barrier).
    ///
    /// ```
    /// use std::ptr::NonNull;
    /// use urcu::{Memb, RcuHead, container_of};
    ///
    /// struct Node {
    ///     value: u64,
    ///     head: RcuHead,
    /// }
    ///
    /// /// # Safety
    /// /// 1. `head` is that of a `Node` from `Box::into_raw` that nobody reaches any more.
    /// unsafe fn free(head: NonNull<RcuHead>) {
    ///     let node: *mut Node = container_of!(head.as_ptr(), Node, head);
    ///     // SAFETY: clause 1; the pointer to the head was made from the pointer to the node.
    ///     drop(unsafe { Box::from_raw(node) });
    /// }
    ///
    /// let node = Box::into_raw(Box::new(Node { value: 1, head: RcuHead::of_object(size_of::<Node>()) }));
    /// // .. published, read, unpublished ..
    /// // SAFETY: `node` is not null.
    /// let head = unsafe { NonNull::new_unchecked(&raw mut (*node).head) };
    /// // SAFETY: 1: only `free` will free it; 2: made from `node`; 3: a `Node` is `Send`, and unpublished;
    /// // 4: nothing is unloaded.
    /// let queued = unsafe { Memb::call_head(head, free) };
    /// assert_eq!(queued, Ok(()));
    /// Memb::barrier();
    /// ```
    #[doc(alias = "call_rcu")]
    #[track_caller]
    pub unsafe fn call_head(
        head: NonNull<RcuHead>,
        f: unsafe fn(NonNull<RcuHead>),
    ) -> Result<(), AlreadyQueued> {
        // SAFETY: 1 by clause 1; 2 by clauses 3 and 4.
        let Some(callback) = (unsafe { Callback::of_head(head, f) }) else {
            B::engine().counters.heads_refused.add_one();
            stall::report(Report::HeadQueuedTwice {
                flavor: B::NAME,
                place: Location::caller(),
            });
            return Err(AlreadyQueued);
        };
        post::<B>(callback, Lane::Main, Haste::Prompt);
        Ok(())
    }

    /// Waits until all callbacks have run whose `call` happened before, lazy ones too.
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
        worker::wait_for_all(&Process::<B>::HOME);
    }

    /// As [`barrier`](Self::barrier), then ends the workers and waits for their threads. Calls that come
    /// later start workers anew, and so may those that come meanwhile, from callbacks or other threads: when this
    /// returns, what they queued may still wait, and its worker live.
    ///
    /// For the end of `main`, for leak checkers, before a fork that shall have one thread to copy. urcu does
    /// this nowhere by itself: at exit it would hang wherever exit(3) is called inside a section.
    ///
    /// # Panics
    /// As [`barrier`](Self::barrier).
    ///
    /// ```
    /// let (send, receive) = std::sync::mpsc::channel();
    /// urcu::Mb::call(move || send.send(1).unwrap());
    /// urcu::Mb::shutdown();
    /// assert_eq!(receive.try_recv(), Ok(1));
    /// ```
    #[track_caller]
    pub fn shutdown() {
        register::assert_may_wait::<B>("shutdown", None);
        worker::shutdown(&Process::<B>::HOME);
    }
}

#[inline]
fn post<B: Global>(callback: Callback, lane: Lane, haste: Haste) {
    worker::post_to(&Process::<B>::HOME, callback, lane, haste);
}

impl<F: Flavor> Thread<F> {
    /// As [`Domain::barrier`], with the proof that this registration has no section open.
    ///
    /// # Panics
    /// In a callback of the same domain; if this thread is inside a section through another registration.
    #[doc(alias = "rcu_barrier")]
    #[track_caller]
    pub fn barrier(&mut self) {
        self.wait("barrier", |_| {
            worker::wait_for_all(&Process::<F::Barriers>::HOME);
        });
    }

    /// As [`Domain::shutdown`], with the proof that this registration has no section open.
    ///
    /// # Panics
    /// As [`Thread::barrier`].
    #[track_caller]
    pub fn shutdown(&mut self) {
        self.wait("shutdown", |_| {
            worker::shutdown(&Process::<F::Barriers>::HOME);
        });
    }
}

//! Polled grace periods: a [`Cookie`] tells whether one has passed, a [`GracePeriod`] future waits for it.
//!
//! A cookie is the number of the first round that starts after it was taken. There is one sequence of
//! rounds, so a cookie is exact (the kernel's "full" state): never done early, and done with the first whole
//! grace period, whoever asked for that one. Not more than two distinct cookies that are not done can exist
//! while rounds do not overlap, so objects can be kept in two lists by cookie; where a round lasts long and
//! others overlap it there are more.

use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::atomic::Ordering;
use crate::flavor::{Domain, Flavor, Memb, engine};
use crate::gp::{Barriers as _, Caller, Global};
use crate::head::Callback;
use crate::home::{Home, Process};
use crate::register;
use crate::task::{Alarm, Task};
use crate::thread::Thread;
use crate::worker;

/// A moment of the domain `F`: it is *done* when a full grace period has passed since.
///
/// Made by [`Domain::get_state`] or [`Domain::start_poll`]; `Copy`, comparable, may be sent anywhere. It
/// speaks of what its maker had unpublished before, so nothing of urcu frees memory on the word of a cookie.
///
/// ```
/// use urcu::Memb;
/// let cookie = Memb::start_poll();
/// cookie.wait(); // or ask now and then
/// assert!(cookie.is_done());
/// ```
#[doc(alias = "rcu_gp_oldstate")]
pub struct Cookie<F: Flavor = Memb> {
    round: u64,
    flavor: PhantomData<fn() -> F>,
}

impl<B: Global> Domain<B> {
    /// A cookie that is done when a full grace period has passed from now on, if somebody asks for one.
    ///
    /// A full fence and a load. Never blocks; may be called in sections and in signal handlers.
    #[doc(alias = "get_state_synchronize_rcu")]
    #[doc(alias = "get_state_synchronize_rcu_full")]
    pub fn get_state() -> Cookie<Self> {
        Cookie {
            round: B::engine().round_from_now(),
            flavor: PhantomData,
        }
    }

    /// The same, and sees to it that the grace period happens: a callback worker runs it.
    ///
    /// Never blocks; may be called in sections. Not in signal handlers: the first call for each grace period
    /// allocates a callback.
    #[doc(alias = "start_poll_synchronize_rcu")]
    #[doc(alias = "start_poll_synchronize_rcu_full")]
    #[doc(alias = "start_poll_synchronize_rcu_expedited")]
    #[doc(alias = "start_poll_synchronize_rcu_expedited_full")]
    pub fn start_poll() -> Cookie<Self> {
        Cookie {
            round: round_that_will_run(&Process::<B>::HOME),
            flavor: PhantomData,
        }
    }
}

/// The next round, and a callback that waits for it.
pub(crate) fn round_that_will_run<H: Home>(home: &H) -> u64 {
    let engine = home.engine();
    let round = engine.round_from_now();
    // Queued first, noted second: who reads the note can rely on the callback, whose grace period starts
    // later than this round was taken. Two at once queue two, which costs nothing but that.
    if engine.polled.load(Ordering::Acquire) < round {
        worker::post(home, Callback::new(|| {}));
        engine.polled.fetch_max(round, Ordering::Release);
    }
    worker::resume(home);
    round
}

impl<F: Flavor> Cookie<F> {
    /// The cookie of a domain as that of its flavor: `F` is `Domain<F::Barriers>`, which generic code cannot
    /// tell.
    pub(crate) fn of_flavor(cookie: Cookie<Domain<F::Barriers>>) -> Self {
        Self {
            round: cookie.round,
            flavor: PhantomData,
        }
    }

    /// A cookie that is done.
    #[doc(alias = "get_completed_synchronize_rcu")]
    #[doc(alias = "get_completed_synchronize_rcu_full")]
    pub const COMPLETED: Self = Self {
        round: 0,
        flavor: PhantomData,
    };

    /// Whether a full grace period has passed since the cookie was made. If so, it is as if `synchronize`
    /// had been called in between, full fence included.
    ///
    /// A load, and a fence when it is done. Never blocks; may be called in sections (where it cannot become
    /// true for a cookie made inside) and in signal handlers; but where callbacks wait and have no worker, after a
    /// fork or because none could be started, it starts one, which handlers must not.
    #[doc(alias = "poll_state_synchronize_rcu")]
    #[doc(alias = "poll_state_synchronize_rcu_full")]
    #[must_use]
    pub fn is_done(self) -> bool {
        let over = engine::<F>().is_over(self.round);
        if !over {
            worker::resume(&Process::<F::Barriers>::HOME);
        }
        over
    }

    /// Returns at once if a grace period has passed since the cookie was made, else waits for one. Blocks.
    ///
    /// # Panics
    /// Where waiting would never return, also if there is nothing to wait for: see [`Domain::synchronize`].
    #[doc(alias = "cond_synchronize_rcu")]
    #[doc(alias = "cond_synchronize_rcu_full")]
    #[doc(alias = "cond_synchronize_rcu_expedited")]
    #[doc(alias = "cond_synchronize_rcu_expedited_full")]
    #[track_caller]
    pub fn wait(self) {
        register::assert_may_wait::<F::Barriers>("a cookie's wait", None);
        self.wait_as(Caller::here::<F::Barriers>(None));
    }

    fn wait_as(self, caller: Caller<'_>) {
        engine::<F>().synchronize_to::<F::Barriers>(self.round, caller);
    }

    /// A future that is ready when the cookie is done, for any executor. Dropping it cancels nothing.
    pub fn done(self) -> GracePeriod<F> {
        GracePeriod {
            cookie: self,
            task: Task::default(),
        }
    }
}

impl<F: Flavor> Thread<F> {
    /// As [`Cookie::wait`], with the proof that this registration has no section open. A
    /// [`Qsbr`](crate::Qsbr) thread is offline meanwhile.
    ///
    /// # Panics
    /// If this thread is inside a section of the same domain through another registration.
    #[doc(alias = "cond_synchronize_rcu")]
    #[track_caller]
    pub fn wait_for(&mut self, cookie: Cookie<F>) {
        self.wait("a cookie's wait", |caller| cookie.wait_as(caller));
    }
}

impl<F: Flavor> Clone for Cookie<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Flavor> Copy for Cookie<F> {}

impl<F: Flavor> PartialEq for Cookie<F> {
    /// Whether both are done at the same time.
    fn eq(&self, other: &Self) -> bool {
        self.round == other.round
    }
}

impl<F: Flavor> Eq for Cookie<F> {}

impl<F: Flavor> fmt::Debug for Cookie<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie")
            .field("flavor", &F::Barriers::NAME)
            .field("round", &self.round)
            .finish()
    }
}

/// A grace period to `.await`. Made by [`Cookie::done`].
///
/// ```
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     use std::task::{Context, Poll, Wake, Waker};
/// #     struct Unpark(std::thread::Thread);
/// #     impl Wake for Unpark { fn wake(self: std::sync::Arc<Self>) { self.0.unpark() } }
/// #     let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
/// #     let mut future = std::pin::pin!(future);
/// #     loop {
/// #         match future.as_mut().poll(&mut Context::from_waker(&waker)) {
/// #             Poll::Ready(value) => return value,
/// #             Poll::Pending => std::thread::park(),
/// #         }
/// #     }
/// # }
/// use urcu::Memb;
/// let cookie = Memb::get_state();
/// block_on(async { cookie.done().await });
/// assert!(cookie.is_done());
/// ```
///
/// The first poll that finds the cookie not done queues a callback, which wakes the task: no runtime, no
/// timer, no thread of its own. It does not block; a task that awaits it inside a read section of the same
/// domain waits for ever (guards are `!Send`, so a task that may move cannot).
#[must_use = "futures do nothing unless polled"]
pub struct GracePeriod<F: Flavor = Memb> {
    cookie: Cookie<F>,
    task: Task,
}

impl<F: Flavor> Future for GracePeriod<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.cookie.is_done() {
            return Poll::Ready(());
        }
        // Its grace period starts now or later, so when it runs the cookie is done.
        let queue = |alarm: Alarm| Domain::<F::Barriers>::call(move || alarm.ring());
        self.task.poll(context, queue)
    }
}

impl<F: Flavor> fmt::Debug for GracePeriod<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GracePeriod")
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}

//! [`SrcuCookie`]: a moment in a domain's time, to ask later whether a grace period has passed since, or to
//! await one. As [`crate::poll`], with the domain in hand.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::home::Home as _;
use crate::poll::round_that_will_run;
use crate::srcu::Srcu;
use crate::srcu::barriers::SrcuBarriers;
use crate::srcu::domain::refuse_in_hook;
use crate::task::{Alarm, Task};
use crate::worker;

/// A moment, from [`Srcu::get_state`] or [`Srcu::start_poll`]. Carries its domain, so it cannot be asked of
/// another.
///
/// ```
/// let srcu = urcu::Srcu::new();
/// let cookie = srcu.get_state(); // get_state_synchronize_srcu
/// assert!(!cookie.is_done());
/// srcu.synchronize();
/// assert!(cookie.is_done()); // poll_state_synchronize_srcu
/// ```
#[derive(Clone)]
pub struct SrcuCookie {
    domain: Srcu,
    round: u64,
}

impl Srcu {
    /// Notes this moment. Starts nothing: the cookie is done when somebody's grace period has passed.
    /// A full fence; never blocks.
    #[doc(alias = "get_state_synchronize_srcu")]
    pub fn get_state(&self) -> SrcuCookie {
        self.clone().into_cookie()
    }

    /// The same, made of this handle.
    pub(super) fn into_cookie(self) -> SrcuCookie {
        SrcuCookie {
            round: self.0.core().engine().round_from_now(),
            domain: self,
        }
    }

    /// The same, and sees to it that a grace period passes. Never blocks; allocates, as [`call`](Self::call).
    #[doc(alias = "start_poll_synchronize_srcu")]
    pub fn start_poll(&self) -> SrcuCookie {
        SrcuCookie {
            round: round_that_will_run(self.0.core()),
            domain: self.clone(),
        }
    }
}

impl SrcuCookie {
    /// Whether a grace period has passed since: every section that was open then has ended, as if
    /// `synchronize` had been called in between. Never early. Never blocks: inside sections, too.
    #[doc(alias = "poll_state_synchronize_srcu")]
    #[must_use]
    pub fn is_done(&self) -> bool {
        let core = self.domain.0.core();
        let over = core.engine().is_over(self.round);
        if !over {
            worker::resume(core);
        }
        over
    }

    /// Waits until it is done; at once if it is. Otherwise as [`Srcu::synchronize`].
    ///
    /// # Panics
    /// In the report hook.
    #[track_caller]
    pub fn wait(&self) {
        refuse_in_hook("a cookie's wait");
        if self.is_done() {
            return;
        }
        let core = self.domain.0.core();
        core.look_before_waiting("a cookie's wait");
        let engine = core.engine();
        engine.synchronize_to::<SrcuBarriers>(self.round, core.caller());
    }

    /// A future that is ready when the cookie is done, for any executor. Dropping it cancels nothing.
    pub fn done(self) -> SrcuGracePeriod {
        SrcuGracePeriod {
            cookie: self,
            task: Task::default(),
        }
    }

    /// The domain.
    pub fn domain(&self) -> &Srcu {
        &self.domain
    }
}

/// Of the same domain, and the same grace period ends both.
impl PartialEq for SrcuCookie {
    fn eq(&self, other: &Self) -> bool {
        self.round == other.round && self.domain.is_same(&other.domain)
    }
}

impl Eq for SrcuCookie {}

impl fmt::Debug for SrcuCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrcuCookie")
            .field("round", &self.round)
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}

/// A grace period of one domain to `.await`. Made by [`SrcuCookie::done`]; as
/// [`GracePeriod`](crate::GracePeriod), and `Send`. A task that awaits it with a guard of the same domain in
/// its hands waits for ever.
///
/// ```
/// async fn update(config: &urcu::SrcuPtr<u32>, new: u32) -> Box<u32> {
///     let old = config.replace(new).unwrap();
///     old.cookie().clone().done().await;
///     old.try_into_box().unwrap()
/// }
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct SrcuGracePeriod {
    cookie: SrcuCookie,
    task: Task,
}

impl Future for SrcuGracePeriod {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.cookie.is_done() {
            return Poll::Ready(());
        }
        let Self { cookie, task } = &mut *self;
        // Its grace period starts now or later, so when it runs the cookie is done.
        task.poll(context, |alarm: Alarm| {
            cookie.domain.call(move || alarm.ring());
        })
    }
}

impl fmt::Debug for SrcuGracePeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrcuGracePeriod")
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}

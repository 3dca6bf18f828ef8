//! [`Started`]: an object whose grace period has been asked for, to be taken without waiting (rule A16).

use core::fmt;

use crate::flavor::{Domain, Flavor, Memb};
use crate::poll::Cookie;
use crate::retire::Retired;
use crate::thread::Thread;

/// A [`Retired`] with a number of its own: it knows when its grace period has passed.
///
/// Made by [`Retired::start`]. The number is taken there, after the object was unpublished, and by us: a
/// cookie of somebody's may be older than the object's removal, or another domain's, and must not free it
/// (rule A16). It is not taken by every `Retired`, because it costs eight bytes and a full fence, which a
/// `replace` whose result is freed or waited for has no use for.
///
/// Dropping it is [`Retired::free`].
#[must_use = "dropping it frees the object after a grace period; say `.into_retired().free()` if you mean that"]
pub struct Started<T: Send + Sync + 'static, F: Flavor = Memb> {
    /// # Invariants
    /// 1. The cookie is the younger one: its object was unpublished before it was made.
    retired: Retired<T, F>,
    cookie: Cookie<F>,
}

impl<T: Send + Sync + 'static, F: Flavor> Retired<T, F> {
    /// Begins to wait without waiting: [`Started::try_into_box`] gives the object as soon as its grace period
    /// has passed, which a callback worker sees to.
    ///
    /// Never blocks: may be called in sections, with locks held. Costs a full fence, and for the first object
    /// of each grace period a [`call`](Domain::call).
    ///
    /// ```
    /// use urcu::{Memb, Rcu};
    /// let p: Rcu<u32> = Rcu::new(1);
    /// let mut old = p.replace(2).expect("it held 1").start();
    /// let old = loop {
    ///     // .. other work ..
    ///     match old.try_into_box() {
    ///         Ok(old) => break old,
    ///         Err(not_yet) => old = not_yet,
    ///     }
    /// };
    /// assert_eq!(*old, 1);
    /// ```
    #[doc(alias = "start_poll_synchronize_rcu")]
    pub fn start(self) -> Started<T, F> {
        // INVARIANT: 1: a `Retired` has been unpublished, and `start_poll` begins with a full fence.
        let cookie = Domain::<F::Barriers>::start_poll();
        Started {
            retired: self,
            cookie: Cookie::of_flavor(cookie),
        }
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Started<T, F> {
    /// Whether the grace period has passed: [`try_into_box`](Self::try_into_box) would succeed. A load.
    pub fn is_ready(&self) -> bool {
        self.cookie.is_done()
    }

    /// The object, if its grace period has passed. Never blocks; may be called in sections.
    ///
    /// # Errors
    /// Gives `self` back while it has not.
    #[doc(alias = "poll_state_synchronize_rcu")]
    pub fn try_into_box(self) -> Result<Box<T>, Self> {
        if !self.cookie.is_done() {
            return Err(self);
        }
        // SAFETY: clause 1: by invariant 1 the grace period began after the removal, and it is over.
        Ok(unsafe { self.retired.into_box() })
    }

    /// Waits for what is left of the grace period. Blocks; see [`Domain::synchronize`].
    ///
    /// # Panics
    /// As [`Retired::synchronize`].
    #[doc(alias = "cond_synchronize_rcu")]
    #[track_caller]
    pub fn synchronize(self) -> Box<T> {
        self.cookie.wait();
        // SAFETY: clause 1: by invariant 1 the grace period began after the removal, and it is over.
        unsafe { self.retired.into_box() }
    }

    /// The same through a registration; the form for `Qsbr` threads.
    ///
    /// # Panics
    /// As [`Retired::synchronize_with`].
    #[track_caller]
    pub fn synchronize_with(self, thread: &mut Thread<F>) -> Box<T> {
        thread.wait_for(self.cookie);
        // SAFETY: clause 1: by invariant 1 the grace period began after the removal, and it is over.
        unsafe { self.retired.into_box() }
    }

    /// Forgets the number.
    pub fn into_retired(self) -> Retired<T, F> {
        self.retired
    }
}

impl<T: Send + Sync + 'static, F: Flavor> fmt::Debug for Started<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started")
            .field("retired", &self.retired)
            .field("cookie", &self.cookie)
            .finish()
    }
}

//! [`Srcu`]: domains as values, whose readers may sleep. The kernel's sleepable RCU, and its async form.
//!
//! The grace period is that of all flavors ([`crate::gp`]). What differs: a section belongs to a guard and not
//! to a thread, so each guard has a slot of its own, from a pool in the domain's own arena ([`pool`]).

mod barriers;
mod cookie;
mod domain;
mod guard;
mod pointer;
mod pool;
pub(crate) mod registry;
mod retired;

pub(crate) use pool::after_fork_in_child;
#[cfg(test)]
pub(crate) use pool::keeper_address;

pub use cookie::{SrcuCookie, SrcuGracePeriod};
pub use guard::{SrcuGuard, SrcuOwnedGuard};
pub use pointer::{SrcuExchanged, SrcuPtr};
pub use retired::SrcuRetired;

use core::fmt;
use core::panic::Location;
use core::ptr;
use std::sync::Arc;

use crate::head::Callback;
use crate::home::Home as _;
use crate::srcu::barriers::SrcuBarriers;
use crate::srcu::domain::Shared;
use crate::stats::Stats;
use crate::worker;

/// A domain whose readers may sleep: block, wait for other domains, hold their guard across an `.await`.
///
/// Grace periods wait for the readers of their own domain only, so a reader that sleeps for long holds back
/// nobody else's memory. A clone is another handle of the same domain. For a static, use a `LazyLock`.
///
/// | | cost |
/// |---|---|
/// | [`read_lock`](Self::read_lock) and its end | three to four times a `Memb` section, no locked instruction, while the thread has one guard of the domain at a time; each further one a compare-and-swap |
/// | [`synchronize`](Self::synchronize) | one membarrier(2), a look at as many slots as guards ever lived at once, the longest open section |
/// | a domain | 24 KB at most; 8 KB more for every 64 guards that live at once; a thread while callbacks are in use |
///
/// ```
/// use urcu::Srcu;
///
/// let srcu = Srcu::new(); // init_srcu_struct
/// let config = srcu.new_ptr(String::from("old"));
/// let guard = srcu.read_lock(); // srcu_read_lock
/// assert_eq!(config.dereference(&guard).unwrap(), "old"); // srcu_dereference
/// let old = config.replace(String::from("new")).unwrap();
/// drop(guard); // srcu_read_unlock
/// assert_eq!(*old.synchronize(), "old"); // synchronize_srcu
/// ```
///
/// # The end of a domain
/// Dropping the last handle never waits. What was queued by [`call`](Self::call) still runs: the domain's
/// worker keeps the domain until its queue is empty. (The kernel's `cleanup_srcu_struct` warns and leaks.)
/// Sections cannot be open then, except forgotten ones: the domain is leaked and reported.
///
/// # After fork
/// Both processes go on. The child keeps the sections that the forking thread opened, and ends those of all
/// other threads; see [`SrcuGuard`]. What was queued runs in both, in the child from its next `call`, `barrier` or look
/// at a cookie of the domain on. Where a worker ran, the child never gives the memory of the domain back.
///
/// Not for signal handlers. Waiting for a grace period inside a section of *another* domain is fine, as long
/// as nobody does so the other way round.
#[derive(Clone)]
#[doc(alias = "srcu_struct")]
pub struct Srcu(Arc<Shared>);

impl Srcu {
    /// A new domain, independent of all others. Allocates.
    #[doc(alias = "init_srcu_struct")]
    #[doc(alias = "DEFINE_SRCU")]
    pub fn new() -> Self {
        Self(Arc::new(Shared::new()))
    }

    fn shared(&self) -> &Shared {
        &self.0
    }

    /// The domain's engine.
    #[cfg(test)]
    pub(crate) fn engine_in_tests(&self) -> &crate::gp::Engine {
        crate::home::Home::engine(self.shared().core())
    }

    /// Whether both are handles of the same domain.
    pub fn is_same(&self, other: &Self) -> bool {
        ptr::eq(self.shared(), other.shared())
    }

    /// Begins a read section; it ends when the guard is dropped, on any thread.
    ///
    /// Lock-free, and no system call but for a thread's first; not for signal handlers. May be called while
    /// other guards of this or other domains live: sections overlap as they like.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use urcu::Srcu;
    /// async fn report(srcu: Srcu, text: Arc<urcu::SrcuPtr<String>>) -> usize {
    ///     let guard = srcu.read_lock();
    ///     let text = text.dereference(&guard).unwrap();
    ///     std::future::ready(()).await; // the section goes on, on whatever thread
    ///     text.len()
    /// }
    /// fn is_send<T: Send>(_: T) {}
    /// let srcu = Srcu::new();
    /// let text = Arc::new(srcu.new_ptr("hello".to_owned()));
    /// is_send(report(srcu, text));
    /// ```
    #[doc(alias = "srcu_read_lock")]
    #[inline]
    #[track_caller]
    pub fn read_lock(&self) -> SrcuGuard<'_> {
        SrcuGuard::new(self.shared(), Location::caller())
    }

    /// Begins a section whose guard owns a handle and is meant to be ended by somebody else.
    #[doc(alias = "srcu_down_read")]
    #[track_caller]
    pub fn down_read(&self) -> SrcuOwnedGuard {
        SrcuOwnedGuard::new(self.clone(), Location::caller())
    }

    /// Whether a section that the calling thread began by [`read_lock`](Self::read_lock) is open, here or
    /// wherever its guard went. Looks at all slots.
    #[doc(alias = "srcu_read_lock_held")]
    pub fn read_lock_held(&self) -> bool {
        self.0.core().own_section().is_some()
    }

    /// Waits until every section of the domain that began before the call has ended. A full memory barrier.
    ///
    /// Blocks; concurrent callers share grace periods. [`get_state`](Self::get_state) gives a cookie to poll or
    /// to await instead. Not inside a section of the same domain: a guard
    /// belongs to no thread, so that cannot be told for certain, and is not refused; but a report
    /// ([`Report::WaitsForItself`](crate::Report::WaitsForItself)) is made before the wait, once for each
    /// domain, and the stall report names the thread and the place.
    ///
    /// # Panics
    /// In the report hook.
    #[doc(alias = "synchronize_srcu")]
    #[doc(alias = "synchronize_srcu_expedited")]
    #[track_caller]
    pub fn synchronize(&self) {
        self.0.core().look_before_waiting("synchronize");
        let core = self.0.core();
        core.engine().synchronize::<SrcuBarriers>(core.caller());
    }

    /// Runs `callback` on the domain's worker after a grace period that begins after this call. Never
    /// blocks, never runs a callback itself; inside sections, too. A panic is caught and reported.
    ///
    /// The worker starts with the first callback and ends with the domain, after the last.
    #[doc(alias = "call_srcu")]
    pub fn call(&self, callback: impl FnOnce() + Send + 'static) {
        worker::post(self.0.core(), Callback::new(callback));
    }

    /// Waits until all callbacks have run whose `call` happened before. Not a grace period: with nothing
    /// queued it returns at once. Not inside a section, as for [`synchronize`](Self::synchronize).
    ///
    /// # Panics
    /// In a callback of the same domain; in the report hook.
    #[doc(alias = "srcu_barrier")]
    #[track_caller]
    pub fn barrier(&self) {
        let core = self.0.core();
        if core.engine().stats().callbacks_pending != 0 {
            core.look_before_waiting("barrier");
        }
        domain::refuse_in_hook("barrier");
        worker::wait_for_all(core);
    }

    /// A pointer to nothing, for readers of this domain.
    pub fn null<T: Send + Sync + 'static>(&self) -> SrcuPtr<T> {
        SrcuPtr::null(self.clone())
    }

    /// A pointer to `value`, for readers of this domain. Allocates.
    pub fn new_ptr<T: Send + Sync + 'static>(&self, value: T) -> SrcuPtr<T> {
        SrcuPtr::from_box(self.clone(), Box::new(value))
    }

    /// A snapshot of the domain's counters; `registered` is how many sections are open.
    pub fn stats(&self) -> Stats {
        let core = self.0.core();
        let mut stats = core.engine().stats();
        stats.registered = core.sections().count() as u64;
        stats
    }
}

impl Default for Srcu {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Srcu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Srcu")
            .field("at", &ptr::from_ref(self.shared()))
            .field("stats", &self.stats())
            .finish()
    }
}

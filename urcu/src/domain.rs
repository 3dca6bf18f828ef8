//! What a [`Domain`] does: read sections and grace periods. Callbacks are in [`crate::call`].

use crate::flavor::{Automatic, Domain};
use crate::gp::Barriers;
use crate::guard::Guard;
use crate::register;
use crate::stats::Stats;
use crate::thread::Thread;

impl<B: Automatic> Domain<B> {
    /// Enters a read section; it ends when the guard is dropped.
    ///
    /// Wait-free and, for `Memb`, without a fence. Nests. The first call of a thread registers it (a
    /// claim in the arena, a few system calls); the thread's end takes the registration back. May be
    /// called in signal handlers, TLS destructors and before `main`.
    ///
    /// ```
    /// use urcu::{Memb, Rcu};
    /// static VALUE: Rcu<String> = Rcu::null();
    /// VALUE.assign("hello".to_owned());
    /// let guard = Memb::read_lock();
    /// assert_eq!(VALUE.dereference(&guard).map(String::as_str), Some("hello"));
    /// ```
    #[doc(alias = "rcu_read_lock")]
    #[doc(alias = "urcu_memb_read_lock")]
    #[doc(alias = "urcu_mb_read_lock")]
    #[inline]
    #[track_caller]
    pub fn read_lock() -> Guard<'static, Self> {
        Guard::enter_automatic()
    }
}

impl<B: Barriers> Domain<B> {
    /// Waits until every read section of the domain that began before the call has ended. Sections that
    /// begin later are not waited for. A full memory barrier for the caller.
    ///
    /// Concurrent callers share grace periods. Blocks; costs a membarrier(2) for `Memb` (0.3 us when no
    /// other thread runs), a scan of the registered threads, and the longest open section.
    ///
    /// # Panics
    /// Where it would never return: inside a section of the same domain on this thread, on a thread that
    /// owns an online `Qsbr` registration (use [`Thread::synchronize`]), in the report hook.
    ///
    /// ```should_panic
    /// let _guard = urcu::Memb::read_lock();
    /// urcu::Memb::synchronize(); // told, not hung
    /// ```
    #[doc(alias = "synchronize_rcu")]
    #[doc(alias = "urcu_memb_synchronize_rcu")]
    #[track_caller]
    pub fn synchronize() {
        register::assert_may_wait::<B>("synchronize", None);
        B::engine().synchronize::<B>(usize::from(B::thread_slot().is_some()));
    }

    /// Registers the calling thread by hand. The only way in for `Qsbr`; a thread may hold several.
    #[doc(alias = "rcu_register_thread")]
    pub fn register() -> Thread<Self> {
        Thread::new()
    }

    /// Whether the calling thread is inside a section of this domain (`Qsbr`: owns an online
    /// registration). Exact, not a debug guess.
    #[doc(alias = "rcu_read_lock_held")]
    pub fn read_lock_held() -> bool {
        register::open_section::<B>(None).is_some()
    }

    /// A snapshot of the domain's counters. Stops nobody.
    pub fn stats() -> Stats {
        B::engine().stats()
    }
}

//! What a [`Domain`] does: read sections and grace periods. Callbacks are in [`crate::call`].

use crate::arena::Slot;
use crate::flavor::{Automatic, Domain};
use crate::gp::{Caller, Global};
use crate::guard::Guard;
use crate::register;
use crate::ring;
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

    /// Runs `blocking`, which is going to sleep or to run long without read sections, and tells grace
    /// periods not to wait for an answer of this thread meanwhile.
    ///
    /// Never needed for correctness: a thread outside all sections holds nothing back. But `Memb` grace
    /// periods spare themselves the interrupts of membarrier(2) when every registered thread is either in
    /// and out of sections all the time or parked (10 us become a quarter of one). Threads that wait in
    /// urcu are parked already. Sections inside `blocking` work, and cost a full fence. Without effect
    /// inside a section, on a thread that has never read, and for [`Mb`](crate::Mb). What the thread
    /// has retired and not freed yet goes to the workers. Costs a fence at the end.
    ///
    /// ```
    /// use urcu::Memb;
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// std::thread::spawn(move || sender.send(1));
    /// assert_eq!(Memb::park(|| receiver.recv()), Ok(1));
    /// ```
    pub fn park<R>(blocking: impl FnOnce() -> R) -> R {
        ring::flush();
        // Not the sentinel, which is nobody's to write to.
        let _parked = B::thread_slot().map(Slot::park);
        blocking()
    }
}

impl<B: Global> Domain<B> {
    /// Waits until every read section of the domain that began before the call has ended. Sections that
    /// begin later are not waited for. A full memory barrier for the caller.
    ///
    /// Concurrent callers share grace periods. Blocks; costs a membarrier(2) for `Memb` (0.3 us when no
    /// other thread runs, microseconds when one does; less when all running readers answer, see
    /// [`park`](Self::park)), a scan of the registered threads, and the longest open section. It does not
    /// wait for a batch to fill: it is what the kernel calls expedited.
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
    #[doc(alias = "synchronize_rcu_expedited")]
    #[doc(alias = "urcu_memb_synchronize_rcu")]
    #[track_caller]
    pub fn synchronize() {
        register::assert_may_wait::<B>("synchronize", None);
        B::engine().synchronize::<B>(Caller::here::<B>(None));
    }

    /// Registers the calling thread by hand. The only way in for `Qsbr`; a thread may hold several.
    #[doc(alias = "rcu_register_thread")]
    #[track_caller]
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

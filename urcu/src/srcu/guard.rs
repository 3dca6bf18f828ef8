//! [`SrcuGuard`] and [`SrcuOwnedGuard`]: sections that may sleep, and leave their thread.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::panic::Location;
use core::ptr;

use crate::arena::Slot;
use crate::atomic::Ordering;
use crate::srcu::Srcu;
use crate::srcu::domain::Shared;
use crate::srcu::pool;

/// Evidence of a read section of one [`Srcu`] domain. Ends it when dropped, on whatever thread.
///
/// `Send` and `Sync`: it may cross an `.await`, sit in a future that changes threads, be shared by scoped
/// threads. What is dereferenced under it lives no longer than it. It borrows the handle that it was made
/// with; [`Srcu::down_read`] makes one that owns a handle.
///
/// * Sections do not nest: each guard is a section of its own, and they may overlap as they like.
/// * Forgetting a guard is safe. The section never ends: grace periods of its domain wait for ever, and the
///   stall report names the thread that opened it and the place.
/// * After fork, a section belongs to the thread that opened it: the child ends those of all other threads.
///   A guard of one of them that the child still has is refused by `dereference`, and harmless when dropped.
/// * Not for signal handlers.
///
/// ```
/// let srcu = urcu::Srcu::new();
/// let guard = srcu.read_lock();
/// std::thread::scope(|s| {
///     s.spawn(move || drop(guard)); // the section ends there
/// });
/// srcu.synchronize();
/// ```
#[must_use = "the read section ends when the guard is dropped"]
pub struct SrcuGuard<'d> {
    slot: &'d Slot,
    domain: &'d Shared,
}

impl<'d> SrcuGuard<'d> {
    #[inline]
    pub(super) fn new(domain: &'d Shared, place: &'static Location<'static>) -> Self {
        Self {
            slot: pool::enter(domain.core().pool(), place),
            domain,
        }
    }

    /// Ends the section, as dropping the guard does.
    #[doc(alias = "srcu_read_unlock")]
    #[inline]
    pub fn unlock(self) {
        drop(self);
    }

    /// Panics unless this is a section of that domain, and still one.
    #[inline]
    #[track_caller]
    pub(super) fn assert_of(&self, domain: &Shared) {
        if !ptr::eq(self.domain, domain) || self.slot.word().depth() == 0 {
            self.refuse(domain);
        }
    }

    #[cold]
    #[track_caller]
    fn refuse(&self, domain: &Shared) -> ! {
        if ptr::eq(self.domain, domain) {
            panic!(
                "urcu srcu: the section of this guard ended at a fork: another thread had opened it"
            );
        }
        panic!("urcu srcu: the guard is of another domain than the pointer");
    }
}

impl Drop for SrcuGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        pool::leave(self.domain.core().pool(), self.slot);
    }
}

impl fmt::Debug for SrcuGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrcuGuard")
            .field("place", &self.slot.place())
            .finish_non_exhaustive()
    }
}

/// A [`SrcuGuard`] that owns a handle of its domain, and so borrows nothing. `&owned` goes wherever a
/// `&SrcuGuard` goes.
///
/// Made by [`Srcu::down_read`] to be handed to whoever ends it: a request in flight, a queue, a callback.
/// Costs two more atomic operations on a line that all handles of the domain share.
///
/// ```
/// use urcu::{Srcu, SrcuOwnedGuard};
/// struct Request {
///     section: SrcuOwnedGuard,
/// }
/// let srcu = Srcu::new();
/// let request = Request { section: srcu.down_read() };
/// let done = std::thread::spawn(move || request.section.up_read());
/// srcu.synchronize(); // waits for the request
/// # done.join().unwrap();
/// ```
///
/// # Invariants
/// 1. `guard` was made with the `Shared` that `srcu` holds, and is dropped before it. Its `'static` is not
///    given out: `Deref` lends the guard, and nothing is got from a lent guard that outlives the loan.
#[must_use = "the read section ends when the guard is dropped"]
pub struct SrcuOwnedGuard {
    guard: ManuallyDrop<SrcuGuard<'static>>,
    srcu: Srcu,
}

impl SrcuOwnedGuard {
    pub(super) fn new(srcu: Srcu, place: &'static Location<'static>) -> Self {
        let domain: *const Shared = srcu.shared();
        // SAFETY: invariant 1: `srcu` is kept beside the guard, and an `Arc` does not move what it holds.
        let domain = unsafe { &*domain };
        let guard = ManuallyDrop::new(SrcuGuard::new(domain, place));
        guard.slot.deeper.store(1, Ordering::Relaxed);
        // INVARIANT: 1.
        Self { guard, srcu }
    }

    /// Ends the section, as dropping the guard does.
    #[doc(alias = "srcu_up_read")]
    pub fn up_read(self) {
        drop(self);
    }

    /// The domain.
    pub fn domain(&self) -> &Srcu {
        &self.srcu
    }
}

impl Deref for SrcuOwnedGuard {
    type Target = SrcuGuard<'static>;
    fn deref(&self) -> &SrcuGuard<'static> {
        &self.guard
    }
}

impl Drop for SrcuOwnedGuard {
    fn drop(&mut self) {
        self.guard.slot.deeper.store(0, Ordering::Relaxed);
        // SAFETY: dropped here only, and before `srcu`, as invariant 1 says.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
    }
}

impl fmt::Debug for SrcuOwnedGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.fmt(f)
    }
}

//! [`SrcuRetired`]: an object that no new reader of its domain can reach, and old readers still may.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use crate::srcu::{Srcu, SrcuCookie};

/// What a [`SrcuPtr`](crate::SrcuPtr) unpublished, before its grace period has passed. As
/// [`Retired`](crate::Retired), with its domain in hand.
///
/// # Invariants
/// 1. `object` came from `Box::into_raw`, was unpublished for the readers of `domain` before the cookie was
///    made, and nobody else will free it.
/// 2. It is a raw pointer and no `Box` until the grace period is over: readers still hold `&T` (rule A4).
#[must_use = "dropping it frees the object after a grace period; say `.free()` if you mean that"]
pub struct SrcuRetired<T: Send + Sync + 'static> {
    object: NonNull<T>,
    since: ManuallyDrop<SrcuCookie>,
    owns: PhantomData<Box<T>>,
}

// SAFETY: the right to free a `T` later, on any thread: needs `T: Send`. Old readers may hold `&T` at the same
// time: needs `T: Sync`. Both stand on the type. The cookie is `Send`.
unsafe impl<T: Send + Sync + 'static> Send for SrcuRetired<T> {}
// SAFETY: through `&SrcuRetired` there is only the cookie, which is `Sync`.
unsafe impl<T: Send + Sync + 'static> Sync for SrcuRetired<T> {}

impl<T: Send + Sync + 'static> SrcuRetired<T> {
    /// # Safety
    /// 1. `object` came from `Box::into_raw` and was unpublished by the caller, who gives it up.
    /// 2. Only readers of `domain` could reach it.
    pub(super) unsafe fn new(object: NonNull<T>, domain: Srcu) -> Self {
        // INVARIANT: 1 by clauses 1 and 2: the cookie is made here, behind its own full fence.
        Self {
            object,
            since: ManuallyDrop::new(domain.into_cookie()),
            owns: PhantomData,
        }
    }

    /// The domain whose readers may still hold the object.
    pub fn domain(&self) -> &Srcu {
        self.since.domain()
    }

    /// The moment when it was unpublished. Done when [`try_into_box`](Self::try_into_box) succeeds.
    pub fn cookie(&self) -> &SrcuCookie {
        &self.since
    }

    /// Waits for a grace period and gives the object back; at once if one has passed already. Blocks; see
    /// [`Srcu::synchronize`].
    ///
    /// # Panics
    /// As [`Srcu::synchronize`], before it waits; the object is then freed after a grace period.
    #[doc(alias = "synchronize_srcu")]
    #[track_caller]
    pub fn synchronize(self) -> Box<T> {
        self.since.wait();
        // SAFETY: clause 1: the wait is over.
        unsafe { self.into_box() }
    }

    /// Gives the object back if a grace period has passed since it was unpublished. Never blocks.
    ///
    /// # Errors
    /// Itself, if none has.
    pub fn try_into_box(self) -> Result<Box<T>, Self> {
        if !self.since.is_done() {
            return Err(self);
        }
        // SAFETY: clause 1: it is done. The cookie is this object's own (rule A16).
        Ok(unsafe { self.into_box() })
    }

    /// Frees the object after a grace period. Never blocks: may be called in sections, with locks held.
    pub fn free(self) {
        drop(self);
    }

    /// Gives the object to `f` on the domain's worker after a grace period. Never blocks.
    #[doc(alias = "call_srcu")]
    pub fn call(self, f: impl FnOnce(Box<T>) + Send + 'static) {
        let domain = self.domain().clone();
        domain.call(move || {
            // SAFETY: clause 1: callbacks run after a grace period that began after `call`.
            f(unsafe { self.into_box() });
        });
    }

    /// # Safety
    /// 1. A grace period of the domain that began after the object was unpublished is over.
    unsafe fn into_box(self) -> Box<T> {
        let mut whole = ManuallyDrop::new(self);
        // SAFETY: `whole` is not used again, so this is the cookie's only drop.
        unsafe { ManuallyDrop::drop(&mut whole.since) };
        // SAFETY: invariant 1; by clause 1 no reader holds a reference any more.
        unsafe { Box::from_raw(whole.object.as_ptr()) }
    }
}

impl<T: Send + Sync + 'static> Drop for SrcuRetired<T> {
    fn drop(&mut self) {
        // INVARIANT: 1: `self` is never used again, the copy takes its place.
        let copy = Self {
            object: self.object,
            // SAFETY: `self` is dropped and its cookie is not, so the copy is the only one.
            since: ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut self.since) }),
            owns: PhantomData,
        };
        Self::call(copy, drop);
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for SrcuRetired<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrcuRetired")
            .field("object", &self.object)
            .field("since", &*self.since)
            .finish()
    }
}

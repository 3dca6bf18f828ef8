//! [`Retired`]: an object that no new reader can reach, and old readers still may.

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;

use crate::flavor::{Domain, Flavor, Memb};
use crate::gp::Barriers;
use crate::thread::Thread;

/// What a [`Rcu`](crate::Rcu) unpublished, before its grace period has passed.
///
/// The only ways to the object go through a grace period: wait for it ([`synchronize`](Self::synchronize)),
/// free it afterwards ([`free`](Self::free), also what dropping does), or get it in a callback
/// ([`call`](Self::call)). Dropping never waits, never frees at once and never panics. Forgetting leaks.
///
/// # Invariants
/// 1. `object` came from `Box::into_raw`, is unpublished, and nobody else will free it.
/// 2. It is a raw pointer and no `Box` until the grace period is over: readers still hold `&T` (rule A4).
#[must_use = "dropping it frees the object after a grace period; say `.free()` if you mean that"]
pub struct Retired<T: Send + Sync + 'static, F: Flavor = Memb> {
    object: NonNull<T>,
    owns: PhantomData<(Box<T>, F)>,
}

// SAFETY: a `Retired` is the right to free a `T` later, on any thread: needs `T: Send`. Old readers may
// hold `&T` at the same time: needs `T: Sync`. Both stand on the type.
unsafe impl<T: Send + Sync + 'static, F: Flavor> Send for Retired<T, F> {}
// SAFETY: nothing can be done with `&Retired`.
unsafe impl<T: Send + Sync + 'static, F: Flavor> Sync for Retired<T, F> {}

impl<T: Send + Sync + 'static, F: Flavor> Retired<T, F> {
    /// # Safety
    /// 1. `object` came from `Box::into_raw` and was unpublished by the caller, who gives it up.
    pub(crate) unsafe fn new(object: NonNull<T>) -> Self {
        // INVARIANT: 1 by clause 1.
        Self {
            object,
            owns: PhantomData,
        }
    }

    /// Waits for a grace period and gives the object back. Blocks; see [`Domain::synchronize`].
    ///
    /// # Panics
    /// As [`Domain::synchronize`], before it waits; the object is then freed after a grace period.
    ///
    /// ```
    /// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
    /// let old = p.replace(2).expect("it held 1");
    /// assert_eq!(*old.synchronize(), 1);
    /// ```
    #[doc(alias = "synchronize_rcu")]
    #[track_caller]
    pub fn synchronize(self) -> Box<T> {
        Domain::<F::Barriers>::synchronize();
        // SAFETY: clause 1: the grace period began after the object was unpublished, and is over.
        unsafe { self.into_box() }
    }

    /// The same through a registration; the form for `Qsbr` threads.
    ///
    /// # Panics
    /// As [`Thread::synchronize`], before it waits; the object is then freed after a grace period.
    #[track_caller]
    pub fn synchronize_with(self, thread: &mut Thread<F>) -> Box<T> {
        thread.synchronize();
        // SAFETY: clause 1: the grace period began after the object was unpublished, and is over.
        unsafe { self.into_box() }
    }

    /// Frees the object after a grace period. Never blocks: may be called in sections, with locks held.
    #[doc(alias = "kfree_rcu")]
    pub fn free(self) {
        drop(self);
    }

    /// Gives the object to `f` on the domain's worker after a grace period. Never blocks.
    #[doc(alias = "call_rcu")]
    pub fn call(self, f: impl FnOnce(Box<T>) + Send + 'static) {
        Domain::<F::Barriers>::call(move || {
            // SAFETY: clause 1: callbacks run after a grace period that began after `call`.
            f(unsafe { self.into_box() });
        });
    }

    /// # Safety
    /// 1. A grace period of `F` that began after the object was unpublished is over.
    unsafe fn into_box(self) -> Box<T> {
        let object = self.object;
        mem::forget(self);
        // SAFETY: invariant 1; by clause 1 no reader holds a reference any more.
        unsafe { Box::from_raw(object.as_ptr()) }
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Drop for Retired<T, F> {
    fn drop(&mut self) {
        // INVARIANT: 1: `self` is never used again, the copy takes its place.
        let object = Self {
            object: self.object,
            owns: PhantomData,
        };
        Self::call(object, drop);
    }
}

impl<T: Send + Sync + 'static, F: Flavor> fmt::Debug for Retired<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retired")
            .field("flavor", &F::Barriers::NAME)
            .field("object", &self.object)
            .finish()
    }
}

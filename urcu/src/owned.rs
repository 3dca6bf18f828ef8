//! The owned, nullable, atomic pointer under [`crate::Rcu`], [`crate::RcuArc`] and [`crate::SrcuPtr`], which add
//! who may dereference it, and what becomes of the objects that it gives up.
//!
//! # Orderings
//! * A reader's load is Acquire. The kernel's `rcu_dereference` relies on the data dependency; Rust has no
//!   way to say that, and LLVM may break one it does not know of. Free on x86.
//! * An update is a swap with AcqRel: Release publishes the new object's contents to those loads; Acquire
//!   gives whoever frees the old object a happens-before with the one who made it.

use crate::atomic::{AtomicPtr, Ordering};
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use std::sync::Arc;

/// What owns the object that an [`Owned`] points to: a box owns it whole, an `Arc` one of its counts.
pub(crate) trait Pointer {
    /// The object.
    type Target;

    /// The object's address, with the ownership. Never null.
    fn into_raw(self) -> *mut Self::Target;

    /// # Safety
    /// 1. `at` came from [`into_raw`](Self::into_raw), and its ownership passes to the result.
    unsafe fn from_raw(at: *mut Self::Target) -> Self;
}

impl<T> Pointer for Box<T> {
    type Target = T;

    fn into_raw(self) -> *mut T {
        Self::into_raw(self)
    }

    unsafe fn from_raw(at: *mut T) -> Self {
        // SAFETY: clause 1.
        unsafe { Self::from_raw(at) }
    }
}

impl<T> Pointer for Arc<T> {
    type Target = T;

    fn into_raw(self) -> *mut T {
        Self::into_raw(self).cast_mut()
    }

    unsafe fn from_raw(at: *mut T) -> Self {
        // SAFETY: clause 1.
        unsafe { Self::from_raw(at.cast_const()) }
    }
}

/// A pointer to one object, or null.
///
/// # Invariants
/// 1. The pointer is null or came from `P::into_raw` and is owned by this `Owned`.
#[derive(Debug)]
pub(crate) struct Owned<P: Pointer> {
    at: AtomicPtr<P::Target>,
    owns: PhantomData<P>,
}

/// What a failed exchange gives back: the present object, and the value that was not stored.
pub(crate) type NotExchanged<'a, T> = (Option<&'a T>, Box<T>);

/// The address of an object, or null.
type At<P> = Option<NonNull<<P as Pointer>::Target>>;

impl<P: Pointer> Owned<P> {
    pub(crate) const fn null() -> Self {
        Self {
            at: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    pub(crate) fn new(value: P) -> Self {
        // INVARIANT: 1.
        Self {
            at: AtomicPtr::new(value.into_raw()),
            owns: PhantomData,
        }
    }

    /// Where the object is. Acquire also for updaters: another thread than the caller may have published last;
    /// a mutex between them orders that already, and on x86 it costs nothing.
    #[inline]
    pub(crate) fn find(&self) -> Option<NonNull<P::Target>> {
        let at = self.at.load(Ordering::Acquire);
        NonNull::new(at)
    }

    /// Publishes `new`, or null, and gives up the old object: it came from `P::into_raw`, is unpublished, and is
    /// the caller's to free when no reader holds it.
    pub(crate) fn swap(&self, new: Option<P>) -> Option<NonNull<P::Target>> {
        let new = new.map_or(ptr::null_mut(), P::into_raw);
        NonNull::new(self.at.swap(new, Ordering::AcqRel))
    }

    /// Publishes `new` if the pointer still is `expected`, and gives up the old object as `swap` does.
    /// Otherwise gives back where the pointer points now, and `new`.
    pub(crate) fn swap_if(&self, expected: *const P::Target, new: P) -> Result<At<P>, (At<P>, P)> {
        let new = new.into_raw();
        // Acquire on failure: the caller goes on with what it finds.
        let exchanged = self.at.compare_exchange(
            expected.cast_mut(),
            new,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        match exchanged {
            // The pointer that the atomic returned, not the one made from the caller's reference.
            Ok(old) => Ok(NonNull::new(old)),
            Err(now) => {
                // SAFETY: clause 1: `new` came from `into_raw` above and was not stored.
                Err((NonNull::new(now), unsafe { P::from_raw(new) }))
            }
        }
    }

    /// The address at the moment, to compare and not to follow.
    pub(crate) fn address(&self) -> *const P::Target {
        self.at.load(Ordering::Relaxed)
    }

    /// The object, where ownership proves that there is no reader.
    pub(crate) fn into_inner(mut self) -> Option<P> {
        self.take()
    }

    fn take(&mut self) -> Option<P> {
        let at = core::mem::replace(self.at.get_mut(), ptr::null_mut());
        // SAFETY: clause 1 by invariant 1; the pointer was replaced by null, so this is the only owner.
        (!at.is_null()).then(|| unsafe { P::from_raw(at) })
    }
}

impl<T> Owned<Box<T>> {
    /// The object.
    ///
    /// # Safety
    /// 1. While the result lives, what [`swap`](Self::swap) and [`compare_exchange`](Self::compare_exchange)
    ///    give out is not freed: a read section of the caller holds it back, or nobody calls them.
    #[inline]
    pub(crate) unsafe fn load(&self) -> Option<&T> {
        let at = self.find()?;
        // SAFETY: invariant 1; by clause 1 the object outlives the result even if it is unpublished meanwhile,
        // and the borrow keeps this `Owned` from being dropped.
        Some(unsafe { at.as_ref() })
    }

    /// Publishes `new` if the pointer still is `current`, and gives up the old object as `swap` does.
    ///
    /// # Safety
    /// 1. As of [`load`](Self::load), from the load of `current` on: its address is not used again.
    pub(crate) unsafe fn compare_exchange<'a>(
        &'a self,
        current: Option<&'a T>,
        new: Box<T>,
    ) -> Result<Option<NonNull<T>>, NotExchanged<'a, T>> {
        let expected = current.map_or(ptr::null(), ptr::from_ref);
        self.swap_if(expected, new).map_err(|(now, new)| {
            // SAFETY: as in `load`, by clause 1.
            (now.map(|now| unsafe { now.as_ref() }), new)
        })
    }

    /// The object, where `&mut` proves that there is no reader.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: invariant 1; `&mut self` excludes readers and updaters.
        unsafe { self.at.get_mut().as_mut() }
    }
}

impl<P: Pointer> Drop for Owned<P> {
    /// Gives the object up at once: references from `load` borrow the `Owned`, so none is left.
    fn drop(&mut self) {
        drop(self.take());
    }
}

//! [`Retired`]: an object that no new reader can reach, and old readers still may.

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;
use std::alloc::Layout;

use crate::flavor::{Domain, Flavor, Memb};
use crate::gp::{Barriers as _, Global as _};
use crate::head::Callback;
use crate::home::Process;
use crate::ring;
use crate::thread::Thread;
use crate::worker;

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

    /// The object, which lives, and may be shared as readers share it, as long as this `Retired` does.
    pub(crate) fn object(&self) -> &T {
        // SAFETY: invariant 1: not freed before `self` is used up; invariant 2: there is no `Box`.
        unsafe { self.object.as_ref() }
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

    /// The same for many objects, with one grace period for all.
    ///
    /// # Panics
    /// As [`Domain::synchronize`], before it waits; the objects are then freed after a grace period.
    ///
    /// ```
    /// use urcu::{Rcu, Retired};
    /// let table: [Rcu<u32>; 3] = [1, 2, 3].map(Rcu::new);
    /// let old = table.iter().filter_map(|p| p.replace(0)).collect();
    /// let sum: u32 = Retired::synchronize_all(old).into_iter().map(|old| *old).sum();
    /// assert_eq!(sum, 6);
    /// ```
    #[track_caller]
    pub fn synchronize_all(all: Vec<Self>) -> Vec<Box<T>> {
        Domain::<F::Barriers>::synchronize();
        let boxes = all.into_iter().map(|retired| {
            // SAFETY: clause 1: the grace period began after the object was unpublished, and is over.
            unsafe { retired.into_box() }
        });
        boxes.collect()
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
    ///
    /// A type with drop glue is dropped by the domain's worker, as in [`call`](Self::call). The memory of
    /// others goes into a ring of the calling thread, which frees an old object for each new one: a few
    /// nanoseconds, and at most 1 MiB and two objects held for each thread and flavor until the thread ends or
    /// [parks](Domain::park). [`Domain::barrier`] does not wait for rings: nobody could tell. In a forked
    /// child the rings of other threads are lost.
    /// Dropping a `Retired` is the same.
    #[doc(alias = "kfree_rcu")]
    pub fn free(self) {
        drop(self);
    }

    /// As [`free`](Self::free), unless the object would exceed the domain's hard limit.
    ///
    /// # Errors
    /// Gives the object back. It was not queued; see [`Domain::try_call`]. Dropping it frees it beyond the
    /// limit, so keep it, or [`throttle`](Domain::throttle) and try again.
    ///
    /// ```
    /// use urcu::{Memb, Rcu};
    /// let p: Rcu<u32> = Rcu::new(1);
    /// let mut old = p.replace(2).expect("it held 1");
    /// while let Err(refused) = old.try_free() {
    ///     old = refused;
    ///     Memb::throttle();
    /// }
    /// ```
    pub fn try_free(self) -> Result<(), Self> {
        if !Self::is_admitted::<fn(Box<T>)>() {
            return Err(self);
        }
        self.free();
        Ok(())
    }

    /// Gives the object to `f` on a worker of the domain after a grace period. Never blocks.
    #[doc(alias = "call_rcu")]
    pub fn call(self, f: impl FnOnce(Box<T>) + Send + 'static) {
        self.post(f);
    }

    /// As [`call`](Self::call), unless that would exceed the domain's hard limit.
    ///
    /// # Errors
    /// Gives both back, see [`try_free`](Self::try_free).
    pub fn try_call<C>(self, f: C) -> Result<(), (Self, C)>
    where
        C: FnOnce(Box<T>) + Send + 'static,
    {
        if !Self::is_admitted::<C>() {
            return Err((self, f));
        }
        self.post(f);
        Ok(())
    }

    fn is_admitted<C>() -> bool {
        let bytes = Callback::size_of::<(Self, C)>(size_of::<T>());
        F::Barriers::engine().backlog.admits(bytes)
    }

    /// The one way to the workers: queues the object, with the bytes it holds.
    fn post(self, f: impl FnOnce(Box<T>) + Send + 'static) {
        let deliver = move || {
            // SAFETY: clause 1: callbacks run after a grace period that began after they were posted.
            f(unsafe { self.into_box() });
        };
        let callback = Callback::owning(deliver, size_of::<T>());
        let home = &Process::<F::Barriers>::HOME;
        worker::post(home, callback);
    }

    /// # Safety
    /// 1. A grace period of `F` that began after the object was unpublished is over.
    pub(crate) unsafe fn into_box(self) -> Box<T> {
        let object = self.object;
        mem::forget(self);
        // SAFETY: invariant 1; by clause 1 no reader holds a reference any more.
        unsafe { Box::from_raw(object.as_ptr()) }
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Drop for Retired<T, F> {
    fn drop(&mut self) {
        let layout = Layout::new::<T>();
        if !mem::needs_drop::<T>() && layout.size() != 0 {
            // SAFETY: clause 1: by invariant 1 from a box, so from the global allocator with this layout,
            // unpublished, and ours; its type needs no drop.
            if unsafe { ring::retire::<F::Barriers>(self.object.cast(), layout) } {
                return;
            }
        }
        // INVARIANT: 1: `self` is never used again, the copy takes its place.
        let object = Self {
            object: self.object,
            owns: PhantomData,
        };
        object.post(drop);
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

//! [`RetiredArc`]: the count that a place gave up, and that old readers may still rely on.

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ops::Deref;
use core::ptr::NonNull;
use std::alloc::Layout;
use std::sync::Arc;

use crate::flavor::{Domain, Flavor, Memb};
use crate::gp::{Barriers as _, Global as _};
use crate::head::{Callback, footprint};
use crate::home::Process;
use crate::thread::Thread;
use crate::worker;

/// How large the allocation of an `Arc<T>` is: two counts, then the object.
pub(crate) fn arc_bytes<T>() -> usize {
    let counts = Layout::new::<[usize; 2]>();
    let whole = counts.extend(Layout::new::<T>());
    let (whole, _) = whole.expect("there is an Arc of it");
    whole.pad_to_align().size()
}

/// What a place for an `Arc` ([`RcuArc`](crate::RcuArc), [`OrdMap`](crate::OrdMap)) unpublished, before its grace
/// period has passed: one strong count.
///
/// Readers hold [`Borrowed`](crate::Borrowed)s of the object and may count it at any time, so *this* count is given
/// up after a grace period only: by waiting for it ([`synchronize`](Self::synchronize)), in a callback
/// ([`call`](Self::call)), or later on a worker of the domain ([`free`](Self::free), also what dropping does).
/// Unlike a [`Retired`](crate::Retired), which has the object for itself, it can be read and counted meanwhile:
/// it dereferences to the object, and [`get`](Self::get) gives an `Arc` at once.
///
/// Dropping never waits, never drops the object itself and never panics. Forgetting leaks a count.
///
/// # Invariants
/// 1. `object` came from `Arc::into_raw`; one strong count of it is ours.
/// 2. The count is given up after a grace period that began after the object was unpublished.
#[must_use = "dropping it gives the count up after a grace period; say `.free()` if you mean that"]
pub struct RetiredArc<T: Send + Sync + 'static, F: Flavor = Memb> {
    object: NonNull<T>,
    owns: PhantomData<(Arc<T>, F)>,
}

// SAFETY: it stands for an `Arc<T>`, whose bounds stand on the type.
unsafe impl<T: Send + Sync + 'static, F: Flavor> Send for RetiredArc<T, F> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync + 'static, F: Flavor> Sync for RetiredArc<T, F> {}

impl<T: Send + Sync + 'static, F: Flavor> RetiredArc<T, F> {
    /// # Safety
    /// 1. `object` came from `Arc::into_raw` and was unpublished by the caller, who gives its count up.
    pub(crate) unsafe fn new(object: NonNull<T>) -> Self {
        // INVARIANT: 1 by clause 1.
        Self {
            object,
            owns: PhantomData,
        }
    }

    /// The object with a count of its own, at once: no grace period is needed for *more* counts.
    pub fn get(&self) -> Arc<T> {
        let at = self.object.as_ptr().cast_const();
        // SAFETY: invariant 1: there is a count, ours.
        unsafe { Arc::increment_strong_count(at) };
        // SAFETY: invariant 1; the count that was just added becomes this `Arc`'s.
        unsafe { Arc::from_raw(at) }
    }

    /// Waits for a grace period and gives the count back. Blocks; see [`Domain::synchronize`].
    ///
    /// Afterwards no reader borrows the object; those that counted it may still have it.
    ///
    /// # Panics
    /// As [`Domain::synchronize`], before it waits; the count is then given up after a grace period.
    ///
    /// ```
    /// use std::sync::Arc;
    /// let p: urcu::RcuArc<u32> = urcu::RcuArc::new(Arc::new(1));
    /// let old = p.replace(Arc::new(2)).expect("it held 1");
    /// assert_eq!(Arc::into_inner(old.synchronize()), Some(1));
    /// ```
    #[doc(alias = "synchronize_rcu")]
    #[track_caller]
    pub fn synchronize(self) -> Arc<T> {
        Domain::<F::Barriers>::synchronize();
        // SAFETY: clause 1: the grace period began after the object was unpublished, and is over.
        unsafe { self.into_arc() }
    }

    /// The same through a registration; the form for `Qsbr` threads.
    ///
    /// # Panics
    /// As [`Thread::synchronize`], before it waits; the count is then given up after a grace period.
    #[track_caller]
    pub fn synchronize_with(self, thread: &mut Thread<F>) -> Arc<T> {
        thread.synchronize();
        // SAFETY: clause 1: the grace period began after the object was unpublished, and is over.
        unsafe { self.into_arc() }
    }

    /// Gives the count up after a grace period, on a worker of the domain; if it is the last one the object is
    /// dropped there. Never blocks: may be called in sections, with locks held. Costs as
    /// [`Domain::call`]. Dropping a `RetiredArc` is the same.
    #[doc(alias = "kfree_rcu")]
    pub fn free(self) {
        drop(self);
    }

    /// As [`free`](Self::free), unless the object would exceed the domain's hard limit.
    ///
    /// # Errors
    /// Gives the count back, see [`Retired::try_free`](crate::Retired::try_free).
    pub fn try_free(self) -> Result<(), Self> {
        let bytes = Callback::size_of::<(Self, fn(Arc<T>))>(arc_bytes::<T>());
        if !F::Barriers::engine().backlog.admits(bytes) {
            return Err(self);
        }
        self.free();
        Ok(())
    }

    /// Gives the `Arc` to `f` on a worker of the domain after a grace period. Never blocks.
    #[doc(alias = "call_rcu")]
    pub fn call(self, f: impl FnOnce(Arc<T>) + Send + 'static) {
        let deliver = move || {
            // SAFETY: clause 1: callbacks run after a grace period that began after they were posted.
            f(unsafe { self.into_arc() });
        };
        let callback = Callback::owning(deliver, arc_bytes::<T>());
        worker::post(&Process::<F::Barriers>::HOME, callback);
    }

    /// Gives up many after one grace period: one callback, where [`free`](Self::free) takes one each. Never waits. If the
    /// drop of one panics the others are given up all the same. Between two drops the worker does nothing else; a fork
    /// meanwhile loses the rest in the child, counted as one callback.
    pub fn free_all(all: Vec<Self>) {
        if all.is_empty() {
            return;
        }
        let bytes = footprint(all.capacity() * size_of::<Self>());
        let bytes = bytes + all.len() * footprint(arc_bytes::<T>());
        let give_up = move || {
            for one in all {
                // SAFETY: clause 1: callbacks run after a grace period that began after they were posted. (What a panic
                // leaves behind is dropped by the iterator, and posted anew.)
                drop(unsafe { one.into_arc() });
            }
        };
        let callback = Callback::holding(give_up, bytes);
        worker::post(&Process::<F::Barriers>::HOME, callback);
    }

    /// Gives the `Arc`s of many to `f` on a worker of the domain after one grace period: one callback, where
    /// [`call`](Self::call) takes one each. Never blocks; `f` is not called for none.
    ///
    /// ```
    /// use std::sync::{Arc, mpsc};
    /// use urcu::{Memb, RcuArc, RetiredArc};
    ///
    /// let table: [RcuArc<u32>; 3] = [1, 2, 3].map(|n| RcuArc::new(Arc::new(n)));
    /// let old = table.iter().filter_map(|p| p.replace(Arc::new(0))).collect();
    /// let (sender, sums) = mpsc::channel();
    /// RetiredArc::call_all(old, move |all| sender.send(all.iter().map(|n| **n).sum()).unwrap());
    /// assert_eq!(sums.recv(), Ok(6_u32));
    /// ```
    #[doc(alias = "call_rcu")]
    pub fn call_all(all: Vec<Self>, f: impl FnOnce(Vec<Arc<T>>) + Send + 'static) {
        if all.is_empty() {
            return;
        }
        let bytes = footprint(all.capacity() * size_of::<Self>());
        let bytes = bytes + all.len() * footprint(arc_bytes::<T>());
        let deliver = move || {
            let all = all.into_iter().map(|one| {
                // SAFETY: clause 1: callbacks run after a grace period that began after they were posted.
                unsafe { one.into_arc() }
            });
            f(all.collect());
        };
        let callback = Callback::holding(deliver, bytes);
        worker::post(&Process::<F::Barriers>::HOME, callback);
    }

    /// # Safety
    /// 1. A grace period of `F` that began after the object was unpublished is over.
    unsafe fn into_arc(self) -> Arc<T> {
        let object = self.object;
        mem::forget(self);
        // SAFETY: invariant 1; invariant 2 by clause 1.
        unsafe { Arc::from_raw(object.as_ptr()) }
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Deref for RetiredArc<T, F> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: invariant 1: our count keeps it alive, and what is in an `Arc` is shared.
        unsafe { self.object.as_ref() }
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Drop for RetiredArc<T, F> {
    fn drop(&mut self) {
        // INVARIANT: 1: `self` is never used again, the copy takes its place.
        let object = Self {
            object: self.object,
            owns: PhantomData,
        };
        object.call(drop);
    }
}

impl<T: Send + Sync + 'static, F: Flavor> fmt::Debug for RetiredArc<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetiredArc")
            .field("flavor", &F::Barriers::NAME)
            .field("object", &self.object)
            .finish()
    }
}

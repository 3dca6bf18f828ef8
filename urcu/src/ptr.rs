//! [`Rcu<T>`]: the pointer that readers follow and anybody may replace.
//!
//! # Orderings
//! * A reader's load is Acquire. The kernel's `rcu_dereference` relies on the data dependency; Rust has no
//!   way to say that, and LLVM may break one it does not know of. Free on x86.
//! * An update is a swap with AcqRel: Release publishes the new object's contents to those loads; Acquire
//!   gives whoever frees the old object a happens-before with the one who made it.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use crate::retire::Retired;

/// What [`Rcu::compare_exchange`] gives: the old object, or the present one and the value not stored.
pub type Exchanged<'g, T, F = Memb> = Result<Option<Retired<T, F>>, (Option<&'g T>, Box<T>)>;

/// An owned, nullable pointer: readers dereference it under a [`Guard`], anybody may replace it.
///
/// ```
/// use urcu::{Memb, Rcu};
///
/// static MOTD: Rcu<String> = Rcu::null();
///
/// MOTD.assign("hello".to_owned());
/// {
///     let guard = Memb::read_lock();
///     assert_eq!(MOTD.dereference(&guard).unwrap(), "hello");
/// }
/// let old = MOTD.replace("bye".to_owned()).unwrap();
/// assert_eq!(*old.synchronize(), "hello"); // no reader can hold it now
/// ```
///
/// `T: Send + Sync + 'static`, on the type: readers on all threads share `&T`, and the object is dropped
/// on the worker at some later time (rule A3). Writers that need a look before they change it exclude each
/// other with [`RcuLocked`](crate::RcuLocked), or use [`compare_exchange`](Self::compare_exchange).
///
/// # Invariants
/// 1. The pointer is null or came from `Box::into_raw` and is owned by this `Rcu`.
/// 2. What is taken out of a shared `Rcu` goes into a [`Retired`].
pub struct Rcu<T: Send + Sync + 'static, F: Flavor = Memb> {
    pointer: AtomicPtr<T>,
    owns: PhantomData<(Box<T>, F)>,
}

impl<T: Send + Sync + 'static, F: Flavor> Rcu<T, F> {
    /// A pointer to nothing. `const`, for statics.
    pub const fn null() -> Self {
        Self {
            pointer: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    /// A pointer to `value`. Allocates.
    #[doc(alias = "RCU_INIT_POINTER")]
    pub fn new(value: T) -> Self {
        Self::from_box(Box::new(value))
    }

    /// A pointer to a boxed value.
    pub fn from_box(value: Box<T>) -> Self {
        // INVARIANT: 1.
        Self {
            pointer: AtomicPtr::new(Box::into_raw(value)),
            owns: PhantomData,
        }
    }

    /// The object, for as long as the read section lasts. Wait-free: one load.
    #[doc(alias = "rcu_dereference")]
    #[inline]
    pub fn dereference<'g>(&'g self, guard: &'g Guard<'_, F>) -> Option<&'g T> {
        let _ = guard;
        let at = self.pointer.load(Ordering::Acquire);
        // SAFETY: null or a live object: it was reachable inside a section, which lasts for 'g, so its
        // grace period cannot be over before 'g; nor can this `Rcu` be dropped.
        unsafe { at.as_ref() }
    }

    /// The object without a section.
    ///
    /// # Safety
    /// 1. Nobody changes the pointer while the result is in use.
    pub(crate) unsafe fn dereference_protected(&self) -> Option<&T> {
        // Acquire also here: the writer may be another thread than the one that published last; a mutex
        // between them orders that already, and on x86 it costs nothing.
        let at = self.pointer.load(Ordering::Acquire);
        // SAFETY: invariant 1; by clause 1 the object stays published.
        unsafe { at.as_ref() }
    }

    /// Publishes `new`. The old object is freed after a grace period. Never blocks; allocates.
    #[doc(alias = "rcu_assign_pointer")]
    pub fn assign(&self, new: T) {
        drop(self.replace(new));
    }

    /// [`assign`](Self::assign) for a value that is boxed already.
    pub fn assign_box(&self, new: Box<T>) {
        drop(self.replace_box(new));
    }

    /// Publishes `new` and gives the old object out. Never blocks; allocates.
    #[doc(alias = "rcu_replace_pointer")]
    pub fn replace(&self, new: T) -> Option<Retired<T, F>> {
        self.replace_box(Box::new(new))
    }

    /// [`replace`](Self::replace) for a value that is boxed already.
    pub fn replace_box(&self, new: Box<T>) -> Option<Retired<T, F>> {
        self.swap(Box::into_raw(new))
    }

    /// Publishes null and gives the old object out.
    pub fn take(&self) -> Option<Retired<T, F>> {
        self.swap(ptr::null_mut())
    }

    fn swap(&self, new: *mut T) -> Option<Retired<T, F>> {
        let old = NonNull::new(self.pointer.swap(new, Ordering::AcqRel))?;
        // SAFETY: clause 1: by invariant 1 it came from a box; the swap unpublished it.
        Some(unsafe { Retired::new(old) })
    }

    /// Publishes `new` if the pointer still is `current`, as `dereference` gave it under the same guard.
    /// Otherwise gives back what it is now, and `new`.
    ///
    /// One guard from the load to the exchange rules ABA out: the address of `current` cannot be used
    /// again meanwhile. For a zero-sized `T` only null and not null differ. Lock-free: one CAS.
    ///
    /// # Errors
    /// The present object and the value that was not stored.
    ///
    /// ```
    /// use urcu::{Memb, Rcu};
    /// let counter: Rcu<u64> = Rcu::new(1);
    /// let guard = Memb::read_lock();
    /// let mut current = counter.dereference(&guard);
    /// let mut new = Box::new(0);
    /// loop {
    ///     *new = current.unwrap() + 1;
    ///     match counter.compare_exchange(current, new, &guard) {
    ///         Ok(_retired) => break,
    ///         Err((now, back)) => (current, new) = (now, back),
    ///     }
    /// }
    /// assert_eq!(counter.dereference(&guard), Some(&2));
    /// ```
    #[doc(alias = "cmpxchg")]
    pub fn compare_exchange<'g>(
        &'g self,
        current: Option<&'g T>,
        new: Box<T>,
        guard: &'g Guard<'_, F>,
    ) -> Exchanged<'g, T, F> {
        let _ = guard;
        let expected = current.map_or(ptr::null_mut(), |at| ptr::from_ref(at).cast_mut());
        let new = Box::into_raw(new);
        // Acquire on failure: the caller goes on with what it finds.
        match self
            .pointer
            .compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire)
        {
            // The pointer that the atomic returned, not the one made from the caller's reference.
            Ok(old) => Ok(NonNull::new(old).map(|old| {
                // SAFETY: clause 1: by invariant 1 it came from a box; the exchange unpublished it.
                unsafe { Retired::new(old) }
            })),
            Err(now) => {
                // SAFETY: as in `dereference`.
                let now = unsafe { now.as_ref() };
                // SAFETY: `new` came from the box above and was not stored.
                Err((now, unsafe { Box::from_raw(new) }))
            }
        }
    }

    /// The address of the object at the moment, to compare and not to follow. Needs no guard.
    #[doc(alias = "rcu_access_pointer")]
    pub fn as_ptr(&self) -> *const T {
        self.pointer.load(Ordering::Relaxed)
    }

    /// Whether there is no object at the moment. Needs no guard.
    pub fn is_null(&self) -> bool {
        self.pointer.load(Ordering::Relaxed).is_null()
    }

    /// The object, where `&mut` proves that there is no reader.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: invariant 1; `&mut self` excludes readers and updaters.
        unsafe { self.pointer.get_mut().as_mut() }
    }

    /// The object, where ownership proves that there is no reader.
    pub fn into_inner(mut self) -> Option<Box<T>> {
        let at = core::mem::replace(self.pointer.get_mut(), ptr::null_mut());
        // SAFETY: invariant 1; the pointer was replaced by null, so this is the only owner.
        (!at.is_null()).then(|| unsafe { Box::from_raw(at) })
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Drop for Rcu<T, F> {
    /// Frees the object at once: references from `dereference` borrow the `Rcu`, so none is left.
    fn drop(&mut self) {
        let at = *self.pointer.get_mut();
        if !at.is_null() {
            // SAFETY: invariant 1; `&mut self` excludes readers and updaters.
            drop(unsafe { Box::from_raw(at) });
        }
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Default for Rcu<T, F> {
    fn default() -> Self {
        Self::null()
    }
}

impl<T: Send + Sync + 'static, F: Flavor> From<Box<T>> for Rcu<T, F> {
    fn from(value: Box<T>) -> Self {
        Self::from_box(value)
    }
}

impl<T: Send + Sync + 'static, F: Flavor> fmt::Debug for Rcu<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rcu")
            .field(&self.pointer.load(Ordering::Relaxed))
            .finish()
    }
}

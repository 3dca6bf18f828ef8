//! [`Rcu<T>`]: the pointer that readers follow and anybody may replace. Its orderings stand in
//! [`crate::owned`].

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use crate::owned::Owned;
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
/// 1. What is taken out of a shared `Rcu` goes into a [`Retired`].
pub struct Rcu<T: Send + Sync + 'static, F: Flavor = Memb> {
    pointer: Owned<Box<T>>,
    flavor: PhantomData<F>,
}

impl<T: Send + Sync + 'static, F: Flavor> Rcu<T, F> {
    /// A pointer to nothing. `const`, for statics.
    pub const fn null() -> Self {
        Self {
            pointer: Owned::null(),
            flavor: PhantomData,
        }
    }

    /// A pointer to `value`. Allocates.
    #[doc(alias = "RCU_INIT_POINTER")]
    pub fn new(value: T) -> Self {
        Self::from_box(Box::new(value))
    }

    /// A pointer to a boxed value.
    pub fn from_box(value: Box<T>) -> Self {
        Self {
            pointer: Owned::new(value),
            flavor: PhantomData,
        }
    }

    /// The object, for as long as the read section lasts. Wait-free: one load.
    #[doc(alias = "rcu_dereference")]
    #[inline]
    pub fn dereference<'g>(&'g self, guard: &'g Guard<'_, F>) -> Option<&'g T> {
        let _ = guard;
        // SAFETY: clause 1: the section lasts for 'g, and by invariant 1 an object that is unpublished in it
        // waits for a grace period.
        unsafe { self.pointer.load() }
    }

    /// The object without a section.
    ///
    /// # Safety
    /// 1. Nobody changes the pointer while the result is in use.
    pub(crate) unsafe fn dereference_protected(&self) -> Option<&T> {
        // SAFETY: clause 1 by clause 1: the object stays published.
        unsafe { self.pointer.load() }
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
        self.swap(Some(new))
    }

    /// Publishes null and gives the old object out.
    pub fn take(&self) -> Option<Retired<T, F>> {
        self.swap(None)
    }

    fn swap(&self, new: Option<Box<T>>) -> Option<Retired<T, F>> {
        self.pointer.swap(new).map(Self::retire)
    }

    fn retire(old: NonNull<T>) -> Retired<T, F> {
        // SAFETY: clause 1: `Owned` gives up what came from a box and is unpublished.
        unsafe { Retired::new(old) }
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
        // SAFETY: clause 1: the guard lives since `current` was loaded and for 'g; invariant 1.
        let exchanged = unsafe { self.pointer.compare_exchange(current, new) };
        exchanged.map(|old| old.map(Self::retire))
    }

    /// The address of the object at the moment, to compare and not to follow. Needs no guard.
    #[doc(alias = "rcu_access_pointer")]
    pub fn as_ptr(&self) -> *const T {
        self.pointer.address()
    }

    /// Whether there is no object at the moment. Needs no guard.
    pub fn is_null(&self) -> bool {
        self.pointer.address().is_null()
    }

    /// The object, where `&mut` proves that there is no reader.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.pointer.get_mut()
    }

    /// The object, where ownership proves that there is no reader.
    pub fn into_inner(self) -> Option<Box<T>> {
        self.pointer.into_inner()
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
        f.debug_tuple("Rcu").field(&self.pointer.address()).finish()
    }
}

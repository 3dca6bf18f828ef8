//! [`SrcuPtr<T>`]: the pointer of one domain's readers.

use core::fmt;
use core::ptr::NonNull;

use crate::owned::Owned;
use crate::srcu::{Srcu, SrcuGuard, SrcuRetired};

/// What [`SrcuPtr::compare_exchange`] gives: the old object, or the present one and the value not stored.
pub type SrcuExchanged<'g, T> = Result<Option<SrcuRetired<T>>, (Option<&'g T>, Box<T>)>;

/// An owned, nullable pointer: readers of its domain dereference it under a [`SrcuGuard`], anybody may
/// replace it. Made by [`Srcu::new_ptr`] or [`Srcu::null`]; holds a handle of the domain.
///
/// As [`Rcu`](crate::Rcu), except that the domain is a value, so a guard of another domain compiles, and
/// panics.
///
/// ```
/// use urcu::Srcu;
/// let srcu = Srcu::new();
/// let motd = srcu.null::<String>();
/// motd.assign("hello".to_owned());
/// {
///     let guard = srcu.read_lock();
///     assert_eq!(motd.dereference(&guard).unwrap(), "hello");
/// }
/// let old = motd.replace("bye".to_owned()).unwrap();
/// assert_eq!(*old.synchronize(), "hello"); // no reader can hold it now
/// ```
///
/// # Invariants
/// 1. What is taken out of a shared `SrcuPtr` goes into a [`SrcuRetired`] of the same domain.
pub struct SrcuPtr<T: Send + Sync + 'static> {
    pointer: Owned<Box<T>>,
    domain: Srcu,
}

impl<T: Send + Sync + 'static> SrcuPtr<T> {
    pub(super) fn null(domain: Srcu) -> Self {
        let pointer = Owned::null();
        Self { pointer, domain }
    }

    pub(super) fn from_box(domain: Srcu, value: Box<T>) -> Self {
        let pointer = Owned::new(value);
        Self { pointer, domain }
    }

    /// The domain whose guards it takes.
    pub fn domain(&self) -> &Srcu {
        &self.domain
    }

    /// The object, for as long as the guard lives. Wait-free: one load, and a look at the guard.
    ///
    /// # Panics
    /// If the guard is of another domain, or another thread had opened its section before the process was
    /// forked and this is the child.
    #[doc(alias = "srcu_dereference")]
    #[inline]
    #[track_caller]
    pub fn dereference<'g>(&'g self, guard: &'g SrcuGuard<'_>) -> Option<&'g T> {
        guard.assert_of(self.domain.shared());
        // SAFETY: clause 1: the section is one of this domain and lasts for 'g, and by invariant 1 an object
        // that is unpublished in it waits for a grace period of this domain.
        unsafe { self.pointer.load() }
    }

    /// Publishes `new`. The old object is freed after a grace period. Never blocks; allocates.
    pub fn assign(&self, new: T) {
        drop(self.replace(new));
    }

    /// [`assign`](Self::assign) for a value that is boxed already.
    pub fn assign_box(&self, new: Box<T>) {
        drop(self.replace_box(new));
    }

    /// Publishes `new` and gives the old object out. Never blocks; allocates.
    pub fn replace(&self, new: T) -> Option<SrcuRetired<T>> {
        self.replace_box(Box::new(new))
    }

    /// [`replace`](Self::replace) for a value that is boxed already.
    pub fn replace_box(&self, new: Box<T>) -> Option<SrcuRetired<T>> {
        let old = self.pointer.swap(Some(new))?;
        Some(self.retire(old))
    }

    /// Publishes null and gives the old object out.
    pub fn take(&self) -> Option<SrcuRetired<T>> {
        let old = self.pointer.swap(None)?;
        Some(self.retire(old))
    }

    fn retire(&self, old: NonNull<T>) -> SrcuRetired<T> {
        // SAFETY: clause 1: `Owned` gives up what came from a box and is unpublished; clause 2: this domain.
        unsafe { SrcuRetired::new(old, self.domain.clone()) }
    }

    /// Publishes `new` if the pointer still is `current`, as `dereference` gave it under the same guard.
    /// Otherwise gives back what it is now, and `new`. As
    /// [`Rcu::compare_exchange`](crate::Rcu::compare_exchange).
    ///
    /// # Errors
    /// The present object and the value that was not stored.
    ///
    /// # Panics
    /// As [`dereference`](Self::dereference), before anything is changed.
    #[track_caller]
    pub fn compare_exchange<'g>(
        &'g self,
        current: Option<&'g T>,
        new: Box<T>,
        guard: &'g SrcuGuard<'_>,
    ) -> SrcuExchanged<'g, T> {
        guard.assert_of(self.domain.shared());
        // SAFETY: clause 1: the guard, of this domain, lives since `current` was loaded and for 'g;
        // invariant 1.
        let exchanged = unsafe { self.pointer.compare_exchange(current, new) };
        exchanged.map(|old| old.map(|old| self.retire(old)))
    }

    /// The address of the object at the moment, to compare and not to follow. Needs no guard.
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

impl<T: Send + Sync + 'static> fmt::Debug for SrcuPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SrcuPtr")
            .field(&self.pointer.address())
            .finish()
    }
}

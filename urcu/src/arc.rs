//! [`RcuArc<T>`]: the pointer to a shared object. Its orderings stand in [`crate::owned`].
//!
//! A type beside [`Rcu`](crate::Rcu) and not `Rcu<Arc<T>>` with a trait for what owns the object: `Rcu<Arc<T>>` is
//! in use already, for a box around an `Arc` (two loads, no count for readers), and `Rcu<Box<T>>` for every plain
//! `Rcu<T>` would make each signature that names one longer.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use std::sync::Arc;

use crate::borrowed::Borrowed;
use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use crate::owned::Owned;
use crate::retired_arc::RetiredArc;

/// What [`RcuArc::compare_exchange`] gives: the old object, or the present one and the `Arc` not stored.
pub type ExchangedArc<'g, T, F = Memb> =
    Result<Option<RetiredArc<T, F>>, (Option<Borrowed<'g, T>>, Arc<T>)>;

/// An owned, nullable pointer to an object in an `Arc`: readers dereference it under a [`Guard`] and may keep
/// what they find, anybody may replace it.
///
/// As [`Rcu`](crate::Rcu), for objects that outlive their place: the pointer owns one strong count, and gives it
/// up only after a grace period. A reader that does not keep the object writes nothing shared.
///
/// ```
/// use std::sync::Arc;
/// use urcu::{Memb, RcuArc};
///
/// static CONFIG: RcuArc<String> = RcuArc::null();
///
/// CONFIG.assign(Arc::new("v1".to_owned()));
/// let kept = CONFIG.get(&Memb::read_lock()).unwrap(); // counted: needs no section any more
/// let old = CONFIG.replace(Arc::new("v2".to_owned())).unwrap();
/// old.free(); // the pointer's count, after a grace period
/// assert_eq!(*kept, "v1");
/// ```
///
/// # Invariants
/// 1. A count that is taken out of a shared `RcuArc` goes into a [`RetiredArc`].
pub struct RcuArc<T: Send + Sync + 'static, F: Flavor = Memb> {
    pointer: Owned<Arc<T>>,
    flavor: PhantomData<F>,
}

impl<T: Send + Sync + 'static, F: Flavor> RcuArc<T, F> {
    /// A pointer to nothing. `const`, for statics.
    pub const fn null() -> Self {
        Self {
            pointer: Owned::null(),
            flavor: PhantomData,
        }
    }

    /// A pointer to `object`, whose count it takes over.
    #[doc(alias = "RCU_INIT_POINTER")]
    pub fn new(object: Arc<T>) -> Self {
        Self {
            pointer: Owned::new(object),
            flavor: PhantomData,
        }
    }

    /// The object, for as long as the read section lasts, and with [`Borrowed::get`] for longer. Wait-free: one
    /// load.
    #[doc(alias = "rcu_dereference")]
    #[inline]
    pub fn dereference<'g>(&'g self, guard: &'g Guard<'_, F>) -> Option<Borrowed<'g, T>> {
        let _ = guard;
        let at = self.pointer.find()?;
        // SAFETY: 1: by the invariant of `Owned`; 2: by invariant 1 the count that was the pointer's when this
        // was loaded outlasts the section, which lasts for 'g, and the borrow keeps the pointer from being
        // dropped.
        Some(unsafe { Borrowed::new(at) })
    }

    /// The object with a count of its own. Wait-free: one load, one atomic addition.
    #[doc(alias = "kref_get")]
    #[inline]
    pub fn get(&self, guard: &Guard<'_, F>) -> Option<Arc<T>> {
        self.dereference(guard).map(Borrowed::get)
    }

    /// Publishes `new`. The old object's count is given up after a grace period. Never blocks; allocates if there
    /// was an old object.
    #[doc(alias = "rcu_assign_pointer")]
    pub fn assign(&self, new: Arc<T>) {
        drop(self.replace(new));
    }

    /// Publishes `new` and gives the old object out. Never blocks. One swap.
    #[doc(alias = "rcu_replace_pointer")]
    pub fn replace(&self, new: Arc<T>) -> Option<RetiredArc<T, F>> {
        self.pointer.swap(Some(new)).map(Self::retire)
    }

    /// Publishes null and gives the old object out.
    pub fn take(&self) -> Option<RetiredArc<T, F>> {
        self.pointer.swap(None).map(Self::retire)
    }

    fn retire(old: NonNull<T>) -> RetiredArc<T, F> {
        // SAFETY: clause 1: `Owned` gives up what came from an `Arc`, and its count, and has unpublished it.
        unsafe { RetiredArc::new(old) }
    }

    /// Publishes `new` if the pointer still is `current`, as `dereference` gave it under the same guard. Otherwise
    /// gives back what it is now, and `new`. Lock-free: one CAS.
    ///
    /// Compares which object it is. One that was replaced meanwhile and published again is the same.
    ///
    /// # Errors
    /// The present object and the `Arc` that was not stored.
    #[doc(alias = "cmpxchg")]
    pub fn compare_exchange<'g>(
        &'g self,
        current: Option<Borrowed<'g, T>>,
        new: Arc<T>,
        guard: &'g Guard<'_, F>,
    ) -> ExchangedArc<'g, T, F> {
        let _ = guard;
        let expected = current.map_or(ptr::null(), Borrowed::as_ptr);
        match self.pointer.swap_if(expected, new) {
            Ok(old) => Ok(old.map(Self::retire)),
            // SAFETY: 1, 2: as in `dereference`.
            Err((now, new)) => Err((now.map(|now| unsafe { Borrowed::new(now) }), new)),
        }
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

    /// The object with the pointer's count, where ownership proves that there is no reader.
    pub fn into_inner(self) -> Option<Arc<T>> {
        self.pointer.into_inner()
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Default for RcuArc<T, F> {
    fn default() -> Self {
        Self::null()
    }
}

impl<T: Send + Sync + 'static, F: Flavor> From<Arc<T>> for RcuArc<T, F> {
    fn from(object: Arc<T>) -> Self {
        Self::new(object)
    }
}

impl<T: Send + Sync + 'static, F: Flavor> fmt::Debug for RcuArc<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RcuArc")
            .field(&self.pointer.address())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mb, Memb};

    // The count that a reader relies on when it calls `get` must not be given up before its section ends.
    #[test]
    fn a_reader_may_count_what_was_retired_after_it_was_found() {
        let p: RcuArc<u64> = RcuArc::new(Arc::new(1));
        let guard = Memb::read_lock();
        let found = p.dereference(&guard).unwrap();
        p.assign(Arc::new(2));
        assert_eq!(p.get(&guard).as_deref(), Some(&2));
        let kept = found.get(); // the slot's old count and this one
        assert_eq!((*kept, Arc::strong_count(&kept)), (1, 2));
        drop(guard);
        Memb::barrier();
        assert_eq!(Arc::into_inner(kept), Some(1));
    }

    #[test]
    fn what_was_retired_can_be_counted_at_once_and_each_count_is_given_up_once() {
        let object = Arc::new(5);
        let p: RcuArc<i32, Mb> = RcuArc::from(object.clone());
        let old = p.take().unwrap();
        assert!(p.is_null() && p.take().is_none());
        assert_eq!((*old, *old.get()), (5, 5));
        assert_eq!(Arc::strong_count(&object), 2);
        assert_eq!(old.try_free().ok(), Some(()));
        p.assign(object.clone());
        let (send, receive) = std::sync::mpsc::channel();
        p.replace(object.clone())
            .unwrap()
            .call(move |old| send.send(old).unwrap());
        assert!(Arc::ptr_eq(&receive.recv().unwrap(), &object));
        drop(p.take().unwrap().synchronize());
        drop(p);
        Mb::barrier();
        assert_eq!(Arc::strong_count(&object), 1);
    }

    #[test]
    fn a_failed_exchange_gives_the_arc_back() {
        let p: RcuArc<u32> = RcuArc::null();
        let guard = Memb::read_lock();
        assert!(p.compare_exchange(None, Arc::new(1), &guard).is_ok());
        let (now, back) = p.compare_exchange(None, Arc::new(2), &guard).unwrap_err();
        assert_eq!((now.as_deref(), *back), (Some(&1), 2));
        let old = p.compare_exchange(now, back, &guard).unwrap().unwrap();
        assert_eq!((*old, p.dereference(&guard).as_deref()), (1, Some(&2)));
        assert_eq!(p.into_inner().as_deref(), Some(&2));
    }

    #[test]
    fn many_that_are_given_up_together_outlive_the_section_and_a_panic_keeps_none() {
        use crate::atomic::{AtomicUsize, Ordering};
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        struct Bomb(bool);
        impl Drop for Bomb {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Ordering::Relaxed);
                assert!(!self.0, "on purpose");
            }
        }
        RetiredArc::<Bomb, Mb>::free_all(Vec::new());
        let objects: Vec<Arc<Bomb>> = (0..5).map(|n| Arc::new(Bomb(n == 1))).collect();
        let places: Vec<RcuArc<Bomb, Mb>> = objects.iter().cloned().map(RcuArc::new).collect();
        let guard = Mb::read_lock();
        RetiredArc::free_all(places.iter().filter_map(RcuArc::take).collect());
        assert!(objects.iter().all(|object| Arc::strong_count(object) == 2));
        drop(objects);
        assert_eq!(DROPPED.load(Ordering::Relaxed), 0);
        drop(guard);
        Mb::barrier(); // the callback, which posts what its panic left
        Mb::barrier();
        assert_eq!(DROPPED.load(Ordering::Relaxed), 5);
    }

    // A reader counts an object while a writer replaces it, over and over: no count is lost or given twice.
    #[test]
    fn counts_are_exact_beside_readers_that_keep() {
        use crate::atomic::{AtomicUsize, Ordering};
        static ALIVE: AtomicUsize = AtomicUsize::new(0);
        struct Counted(u64);
        impl Counted {
            fn new(n: u64) -> Arc<Self> {
                ALIVE.fetch_add(1, Ordering::Relaxed);
                Arc::new(Self(n))
            }
        }
        impl Drop for Counted {
            fn drop(&mut self) {
                assert_ne!(core::mem::replace(&mut self.0, u64::MAX), u64::MAX);
                ALIVE.fetch_sub(1, Ordering::Relaxed);
            }
        }
        const LAST: u64 = 3_000;
        let p: RcuArc<Counted> = RcuArc::new(Counted::new(0));
        std::thread::scope(|s| {
            s.spawn(|| (1..=LAST).for_each(|n| p.assign(Counted::new(n))));
            let mut kept = p.get(&Memb::read_lock()).unwrap();
            while kept.0 < LAST {
                let next = p.get(&Memb::read_lock()).unwrap();
                assert!(next.0 >= kept.0 && next.0 <= LAST);
                kept = next;
            }
        });
        drop(p);
        Memb::barrier();
        assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
    }
}

//! [`RcuLocked<T>`]: the pointer whose updaters have a lock.
//!
//! `rcu_dereference_protected` is sound only if *every* change needs the same lock. Somebody's
//! `MutexGuard` proves nothing (rule A1); so the lock protects a [`Writer`], a value with an identity,
//! and nothing changes an `RcuLocked` without `&mut` of its writer.

use crate::atomic::{AtomicU64, Ordering};
use core::fmt;

use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use crate::ptr::Rcu;
use crate::retire::Retired;

/// The right to change the [`RcuLocked`] pointers that were made with it. Put it into a mutex.
///
/// Not `Clone`; its number is never given twice in a process.
#[derive(Debug)]
pub struct Writer {
    id: u64,
}

impl Writer {
    /// A writer unlike all others.
    #[expect(
        clippy::new_without_default,
        reason = "each one is different: not a default"
    )]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// The writer that a structure was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u64);

impl Owner {
    pub(crate) const fn of(writer: &Writer) -> Self {
        Self(writer.id)
    }

    /// Panics with another writer: then `&mut` of it excludes nobody.
    #[track_caller]
    #[inline]
    pub(crate) fn check(self, writer: &Writer, what: &str) {
        assert!(
            self.0 == writer.id,
            "urcu: {what} was made with writer {} and used with writer {}",
            self.0,
            writer.id
        );
    }
}

/// An owned, nullable pointer that readers follow under a [`Guard`] and one [`Writer`] changes.
///
/// Who holds the writer sees the object without a read section, because nobody else can change it:
///
/// ```
/// use std::sync::Mutex;
/// use urcu::{Memb, RcuLocked, Writer};
///
/// let lock = Mutex::new(Writer::new());
/// let list: RcuLocked<Vec<u32>> = RcuLocked::new(&lock.lock().unwrap(), vec![1]);
///
/// let mut writer = lock.lock().unwrap();
/// let mut longer = list.get(&writer).unwrap().clone(); // rcu_dereference_protected
/// longer.push(2);
/// list.assign(&mut writer, longer);
///
/// let guard = Memb::read_lock();
/// assert_eq!(list.dereference(&guard).unwrap(), &[1, 2]);
/// ```
///
/// What `get` gave cannot be kept across a change:
///
/// ```compile_fail,E0502
/// # use urcu::{RcuLocked, Writer};
/// let mut writer = Writer::new();
/// let p: RcuLocked<u32> = RcuLocked::new(&writer, 1);
/// let value = p.get(&writer).unwrap();
/// p.assign(&mut writer, 2);
/// println!("{value}");
/// ```
///
/// # Panics
/// All methods that take a writer panic if it is not the one that the pointer was made with.
pub struct RcuLocked<T: Send + Sync + 'static, F: Flavor = Memb> {
    pointer: Rcu<T, F>,
    owner: Owner,
}

impl<T: Send + Sync + 'static, F: Flavor> RcuLocked<T, F> {
    /// A pointer to nothing that `writer` may change.
    pub fn null(writer: &Writer) -> Self {
        Self {
            pointer: Rcu::null(),
            owner: Owner::of(writer),
        }
    }

    /// A pointer to `value` that `writer` may change. Allocates.
    pub fn new(writer: &Writer, value: T) -> Self {
        Self {
            pointer: Rcu::new(value),
            owner: Owner::of(writer),
        }
    }

    /// The object, for as long as the read section lasts. Wait-free: one load.
    #[doc(alias = "rcu_dereference")]
    #[inline]
    pub fn dereference<'g>(&'g self, guard: &'g Guard<'_, F>) -> Option<&'g T> {
        self.pointer.dereference(guard)
    }

    /// The object, for as long as the writer is borrowed: no section, no grace period, may block.
    ///
    /// # Panics
    /// With another pointer's writer.
    #[doc(alias = "rcu_dereference_protected")]
    #[track_caller]
    pub fn get<'w>(&'w self, writer: &'w Writer) -> Option<&'w T> {
        self.check(writer);
        // SAFETY: clause 1: changes need `&mut` of this very writer, which is borrowed for 'w.
        unsafe { self.pointer.dereference_protected() }
    }

    /// Publishes `new`. The old object is freed after a grace period. Never blocks.
    ///
    /// # Panics
    /// With another pointer's writer.
    #[doc(alias = "rcu_assign_pointer")]
    #[track_caller]
    pub fn assign(&self, writer: &mut Writer, new: T) {
        drop(self.replace(writer, new));
    }

    /// Publishes `new` and gives the old object out. Never blocks.
    ///
    /// # Panics
    /// With another pointer's writer.
    #[doc(alias = "rcu_replace_pointer")]
    #[track_caller]
    pub fn replace(&self, writer: &mut Writer, new: T) -> Option<Retired<T, F>> {
        self.check(writer);
        self.pointer.replace(new)
    }

    /// Publishes null and gives the old object out. Never blocks.
    ///
    /// # Panics
    /// With another pointer's writer.
    #[track_caller]
    pub fn take(&self, writer: &mut Writer) -> Option<Retired<T, F>> {
        self.check(writer);
        self.pointer.take()
    }

    /// Whether there is no object at the moment. Needs no guard.
    #[doc(alias = "rcu_access_pointer")]
    pub fn is_null(&self) -> bool {
        self.pointer.is_null()
    }

    /// The object, where `&mut` proves that there is no reader.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.pointer.get_mut()
    }

    #[track_caller]
    fn check(&self, writer: &Writer) {
        self.owner.check(writer, "an RcuLocked");
    }
}

impl<T: Send + Sync + 'static, F: Flavor> fmt::Debug for RcuLocked<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RcuLocked")
            .field("pointer", &self.pointer)
            .field("writer", &self.owner.0)
            .finish()
    }
}

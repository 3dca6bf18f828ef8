//! The kernel's names of pointer accesses.

use crate::guard::Guard;
use crate::locked::{RcuLocked, Writer};
use crate::ptr::Rcu;
use crate::retire::Retired;

/// What makes an [`rcu_dereference_check`] legal.
#[derive(Clone, Copy, Debug)]
pub enum Held<'h> {
    /// A read section.
    Section(&'h Guard<'h>),
    /// The writer that the updaters' lock protects.
    Lock(&'h Writer),
}

/// [`Rcu::dereference`].
#[inline]
pub fn rcu_dereference<'g, T: Send + Sync>(p: &'g Rcu<T>, guard: &'g Guard<'_>) -> Option<&'g T> {
    p.dereference(guard)
}

/// [`RcuLocked::get`].
#[track_caller]
pub fn rcu_dereference_protected<'w, T: Send + Sync>(
    p: &'w RcuLocked<T>,
    writer: &'w Writer,
) -> Option<&'w T> {
    p.get(writer)
}

/// [`RcuLocked::dereference`] or [`RcuLocked::get`]: for code that both readers and updaters run.
///
/// ```
/// use urcu::kernel::*;
/// use urcu::{RcuLocked, Writer};
///
/// fn limit(p: &RcuLocked<u32>, held: Held<'_>) -> u32 {
///     rcu_dereference_check(p, held).map_or(0, |limit| *limit)
/// }
///
/// let writer = Writer::new();
/// let p = RcuLocked::new(&writer, 3);
/// assert_eq!(limit(&p, Held::Lock(&writer)), 3);
/// assert_eq!(limit(&p, Held::Section(&rcu_read_lock())), 3);
/// ```
#[track_caller]
pub fn rcu_dereference_check<'h, T: Send + Sync>(
    p: &'h RcuLocked<T>,
    held: Held<'h>,
) -> Option<&'h T> {
    match held {
        Held::Section(guard) => p.dereference(guard),
        Held::Lock(writer) => p.get(writer),
    }
}

/// [`Rcu::as_ptr`].
pub fn rcu_access_pointer<T: Send + Sync>(p: &Rcu<T>) -> *const T {
    p.as_ptr()
}

/// [`Rcu::assign`].
pub fn rcu_assign_pointer<T: Send + Sync>(p: &Rcu<T>, new: T) {
    p.assign(new);
}

/// [`Rcu::replace`].
pub fn rcu_replace_pointer<T: Send + Sync>(p: &Rcu<T>, new: T) -> Option<Retired<T>> {
    p.replace(new)
}

/// An assignment to a pointer that no reader can reach: `&mut` proves it. Takes a value, or `None`.
///
/// ```
/// use urcu::Rcu;
/// use urcu::kernel::*;
///
/// let mut p: Rcu<u32> = Rcu::null();
/// RCU_INIT_POINTER(&mut p, 1);
/// assert_eq!(rcu_dereference(&p, &rcu_read_lock()), Some(&1));
/// RCU_INIT_POINTER(&mut p, None);
/// assert!(rcu_access_pointer(&p).is_null());
/// ```
#[expect(non_snake_case, reason = "the kernel's name")]
pub fn RCU_INIT_POINTER<T: Send + Sync>(p: &mut Rcu<T>, new: impl Into<Option<T>>) {
    *p = new.into().map_or_else(Rcu::null, Rcu::new);
}

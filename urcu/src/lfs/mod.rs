//! [`Stack<T>`]: many push, many pop, without a lock. liburcu's `lfstack`, which owns what is in it.
//!
//! Treiber's stack has one famous fault: a popper that was preempted between reading the link of the top and its CAS may
//! find the same address on top again, of another node, and put a link there that is long gone (ABA). Here it pops in a
//! read section, and the memory of a node that was taken off is used again after a grace period only.

mod raw;

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::atomic::Ordering;
use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use crate::provenance::reloaded;
use crate::retire::Retired;

use self::raw::{Inner, RawStack};

/// What [`Stack::push`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The stack was empty: somebody may need to be woken.
    First,
    /// The stack was not empty.
    Above,
}

/// A stack that any thread may push to and pop from.
///
/// ```
/// use urcu::Memb;
/// use urcu::lfs::{Pushed, Stack};
///
/// static STACK: Stack<String> = Stack::new();
///
/// assert_eq!(STACK.push("a".to_owned()), Pushed::First);
/// assert_eq!(STACK.push("b".to_owned()), Pushed::Above);
/// assert_eq!(STACK.push("c".to_owned()), Pushed::Above);
/// assert_eq!(STACK.pop(&Memb::read_lock()).as_deref(), Some("c"));
/// assert_eq!(STACK.take_all().collect::<Vec<_>>(), ["b", "a"]);
/// assert_eq!(STACK.pop(&Memb::read_lock()), None);
/// ```
///
/// # Progress and cost
/// * `push` and `pop` are lock-free: one CAS each that may have to be repeated when others are at it. `push` allocates.
///   `take_all` is wait-free: one exchange.
/// * A value is its taker's at once. The memory that it was in is freed after a grace period, a few nanoseconds later
///   through the ring of the calling thread, as [`Retired::free`] does for types without a `Drop`. So a section that does not
///   end holds memory back, and no value.
/// * Not async-signal-safe: memory is allocated and freed. [`llist`](crate::llist) is.
/// * No user's code runs inside but the drops of values, when the stack or a [`TakeAll`] is dropped.
/// * In a forked child it goes on.
///
/// # Ordering
/// Linearizable: each operation takes place at the moment of its last CAS or exchange (a pop that finds nothing at that
/// of its load). The popper sees what the pusher did before.
///
/// # Invariants
/// 1. A node's memory is retired to `F` after it was taken off; nodes are pushed once.
#[doc(alias = "cds_lfs_stack")]
pub struct Stack<T: Send + 'static, F: Flavor = Memb> {
    raw: RawStack<T>,
    owns: PhantomData<(T, F)>,
}

// SAFETY: values pass from thread to thread, no `&T` is shared.
unsafe impl<T: Send, F: Flavor> Send for Stack<T, F> {}
// SAFETY: as above; all shared state is atomic.
unsafe impl<T: Send, F: Flavor> Sync for Stack<T, F> {}

impl<T: Send, F: Flavor> Stack<T, F> {
    /// An empty stack. `const`, for statics.
    #[doc(alias = "cds_lfs_init")]
    pub const fn new() -> Self {
        Self {
            raw: RawStack::new(),
            owns: PhantomData,
        }
    }

    /// Puts a value on top. Lock-free; allocates.
    #[doc(alias = "cds_lfs_push")]
    pub fn push(&self, value: T) -> Pushed {
        let node = Inner::boxed(value);
        // SAFETY: 1: fresh: its memory was not freed, if it ever was a node's, before a grace period (invariant 1).
        if unsafe { self.raw.push(node, node) } {
            Pushed::First
        } else {
            Pushed::Above
        }
    }

    /// Takes the newest value. Lock-free.
    #[doc(alias = "cds_lfs_pop_blocking")]
    pub fn pop(&self, guard: &Guard<'_, F>) -> Option<T> {
        let _ = guard;
        // SAFETY: 1: the guard is held during the call; invariant 1.
        let node = unsafe { self.raw.pop() }?;
        // SAFETY: 1: just taken off.
        Some(unsafe { take::<T, F>(node) })
    }

    /// Takes all values, newest first. Wait-free; needs no section.
    #[doc(alias = "cds_lfs_pop_all_blocking")]
    pub fn take_all(&self) -> TakeAll<T, F> {
        // INVARIANT: 1 of TakeAll.
        TakeAll {
            next: self.raw.take_all(),
            flavor: PhantomData,
        }
    }

    /// Whether nothing is on the stack.
    #[doc(alias = "cds_lfs_empty")]
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }
}

/// Moves the value out of a node, and frees its memory after a grace period.
///
/// # Safety
/// 1. The node was taken off its stack by the caller, who gives it up.
unsafe fn take<T: Send + 'static, F: Flavor>(node: NonNull<Inner<T>>) -> T {
    // SAFETY: 1: clause 1.
    let value = unsafe { Inner::take(node) };
    // SAFETY: 1: clause 1; from a box; its type has no drop glue, so the value is not dropped with it.
    drop(unsafe { Retired::<Inner<T>, F>::new(node) });
    value
}

impl<T: Send, F: Flavor> Default for Stack<T, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static, F: Flavor> Drop for Stack<T, F> {
    fn drop(&mut self) {
        // Whoever pops borrows the stack, so nobody does. The memory could be freed at once; dropping a stack is
        // not worth a second way.
        drop(self.take_all());
    }
}

impl<T: Send, F: Flavor> fmt::Debug for Stack<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stack").field(&self.raw.top()).finish()
    }
}

/// What [`Stack::take_all`] took, newest first.
///
/// # Invariants
/// 1. The nodes from `next` on were taken off, and are this one's.
pub struct TakeAll<T: Send + 'static, F: Flavor = Memb> {
    next: *mut Inner<T>,
    flavor: PhantomData<(T, F)>,
}

// SAFETY: owns its values.
unsafe impl<T: Send, F: Flavor> Send for TakeAll<T, F> {}
// SAFETY: nothing can be done with `&TakeAll`.
unsafe impl<T: Send, F: Flavor> Sync for TakeAll<T, F> {}

impl<T: Send + 'static, F: Flavor> Iterator for TakeAll<T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let node = NonNull::new(reloaded(self.next))?;
        // SAFETY: 1: invariant 1. Relaxed: `take_all` has acquired the whole chain, each push's CAS reading from the one
        // below it.
        self.next = unsafe { Inner::next(node) }.load(Ordering::Relaxed);
        // SAFETY: 1: invariant 1, and it is not this one's any more.
        Some(unsafe { take::<T, F>(node) })
    }
}

impl<T: Send + 'static, F: Flavor> Drop for TakeAll<T, F> {
    fn drop(&mut self) {
        /// A value's drop that panics keeps none of the others.
        struct Rest<'t, T: Send + 'static, F: Flavor>(&'t mut TakeAll<T, F>);
        impl<T: Send + 'static, F: Flavor> Drop for Rest<'_, T, F> {
            fn drop(&mut self) {
                self.0.by_ref().for_each(drop);
            }
        }
        let rest = Rest(self);
        rest.0.by_ref().for_each(drop);
    }
}

impl<T: Send, F: Flavor> fmt::Debug for TakeAll<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeAll").finish_non_exhaustive()
    }
}

//! The atomics of the models: loom's, behind constructors that are `const`, as the sources want them.
//!
//! loom's memory model is C11's but for two things that these wrappers make up for.
//! * SeqCst *accesses* are only AcqRel there. With [`Strength::Real`] each is preceded by a SeqCst fence, which
//!   loom knows: a SeqCst store and a later SeqCst load are then ordered, a SeqCst store and a later Relaxed
//!   load are not, as in C11.
//! * It has no asymmetric fences, so `light` and `heavy` are SeqCst fences, and *every* SeqCst fence of an
//!   updater would stand in for a missing `heavy`. With [`Strength::Asymmetric`] all SeqCst but theirs is
//!   AcqRel, so that only the heavy barrier meets the light ones.
//!
//! Three faults weaken the accesses to pointers.

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::atomic::AtomicBool as StdBool;
use std::sync::atomic::AtomicU64 as StdU64;
use std::sync::atomic::Ordering::Relaxed as StdRelaxed;

use crate::flavor::{Fault, has};

pub(crate) use loom::sync::atomic::Ordering;

/// What kernfs's files have from their `atomic.rs`, besides atomics.
pub(crate) use crate::llist::{Linked, Llist, Pushed};
pub(crate) use crate::park::Event;
pub(crate) use crate::stubs::{Guard, Memb, RcuArc, Word};
pub(crate) use crate::sys::Wake;

/// Not modelled: the public face of a futex word.
pub(crate) use std::sync::atomic::AtomicU32 as PublicAtomicU32;

/// Not modelled.
pub(crate) type Tally = std::sync::atomic::AtomicU64;

/// What SeqCst means in a model. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    Real,
    Asymmetric,
}

static ASYMMETRIC: StdBool = StdBool::new(false);
/// Counts executions: an atomic in a static starts anew in each.
static EXECUTION: StdU64 = StdU64::new(0);

/// At the start of each execution of a model.
pub(crate) fn begin_execution(strength: Strength) {
    ASYMMETRIC.store(strength == Strength::Asymmetric, StdRelaxed);
    EXECUTION.fetch_add(1, StdRelaxed);
}

pub(crate) fn fence(order: Ordering) {
    match order {
        Ordering::SeqCst if ASYMMETRIC.load(StdRelaxed) => {
            loom::sync::atomic::fence(Ordering::AcqRel);
        }
        order => loom::sync::atomic::fence(order),
    }
}

/// As on machines where it is two steps; no model has signal handlers.
pub(crate) fn store_and_fence(word: &AtomicU64, value: u64) {
    word.store(value, Ordering::Release);
    fence(Ordering::SeqCst);
}

/// The ordering to give loom, after the fence that makes SeqCst of it.
fn order(order: Ordering, weaker: Ordering) -> Ordering {
    match order {
        Ordering::SeqCst => {
            if !ASYMMETRIC.load(StdRelaxed) {
                loom::sync::atomic::fence(Ordering::SeqCst);
            }
            weaker
        }
        order => order,
    }
}

/// A loom object made at its first use in each execution.
pub(crate) struct PerExecution<T>(UnsafeCell<Option<(u64, T)>>);

// SAFETY: the threads of a model are coroutines of one OS thread, and nothing here switches between them.
unsafe impl<T> Sync for PerExecution<T> {}
// SAFETY: as above.
unsafe impl<T> Send for PerExecution<T> {}

impl<T> PerExecution<T> {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> &T {
        let now = EXECUTION.load(StdRelaxed);
        let at = self.0.get();
        // SAFETY: one OS thread, and no reference into the cell lives across executions.
        let fresh = unsafe { &*at }.as_ref().is_some_and(|(made, _)| *made == now);
        if !fresh {
            let made = make();
            // SAFETY: as above. What an earlier execution made is dropped.
            unsafe { *at = Some((now, made)) };
        }
        // SAFETY: as above.
        match unsafe { &*at } {
            Some((_, object)) => object,
            None => unreachable!("stored above"),
        }
    }
}

/// Memory that is not atomic, of which the source tells when it uses it.
pub(crate) struct Witness(PerExecution<loom::cell::UnsafeCell<()>>);

// SAFETY: as of `PerExecution`; that uses do not conflict is what loom checks.
unsafe impl Send for Witness {}
// SAFETY: as above.
unsafe impl Sync for Witness {}

impl Witness {
    pub(crate) const fn new() -> Self {
        Self(PerExecution::new())
    }

    fn cell(&self) -> &loom::cell::UnsafeCell<()> {
        self.0.get(|| loom::cell::UnsafeCell::new(()))
    }

    pub(crate) fn is_written(&self) {
        self.cell().with_mut(|_| ());
    }

    pub(crate) fn is_read(&self) {
        self.cell().with(|_| ());
    }
}

/// The fault that weakens an access to a pointer, if it is the present one.
fn weakened<T>(fault: Fault, as_ordered: Ordering) -> Ordering {
    let is_pointer = std::any::type_name::<T>().starts_with("*mut");
    if is_pointer && has(fault) {
        Ordering::Relaxed
    } else {
        as_ordered
    }
}

/// The bits of a value, as futex(2) sees them.
trait Bits {
    fn bits(self) -> u64;
}

impl<T> Bits for *mut T {
    fn bits(self) -> u64 {
        self.addr() as u64
    }
}

impl Bits for bool {
    fn bits(self) -> u64 {
        self.into()
    }
}

macro_rules! integer {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);

        impl Bits for $value {
            fn bits(self) -> u64 {
                self as u64
            }
        }

        #[allow(dead_code, reason = "the sources use some on some types")]
        impl $name {
            pub(crate) fn fetch_add(&self, value: $value, o: Ordering) -> $value {
                self.get().fetch_add(value, order(o, Ordering::AcqRel))
            }
            pub(crate) fn fetch_sub(&self, value: $value, o: Ordering) -> $value {
                self.get().fetch_sub(value, order(o, Ordering::AcqRel))
            }
            pub(crate) fn fetch_or(&self, value: $value, o: Ordering) -> $value {
                self.get().fetch_or(value, order(o, Ordering::AcqRel))
            }
            pub(crate) fn fetch_and(&self, value: $value, o: Ordering) -> $value {
                self.get().fetch_and(value, order(o, Ordering::AcqRel))
            }
            pub(crate) fn fetch_max(&self, value: $value, o: Ordering) -> $value {
                self.get().fetch_max(value, order(o, Ordering::AcqRel))
            }
        }
    };
}

macro_rules! atomic {
    ($name:ident $(<$t:ident>)?, $value:ty) => {
        pub struct $name $(<$t>)? {
            first: $value,
            object: PerExecution<loom::sync::atomic::$name $(<$t>)?>,
        }

        $(
            // SAFETY: as std's, which shares no `T`.
            unsafe impl<$t> Send for $name<$t> {}
            // SAFETY: as std's.
            unsafe impl<$t> Sync for $name<$t> {}
        )?

        #[allow(dead_code, reason = "the sources use some on some types")]
        impl $(<$t>)? $name $(<$t>)? {
            pub(crate) const fn new(first: $value) -> Self {
                Self { first, object: PerExecution::new() }
            }
            fn get(&self) -> &loom::sync::atomic::$name $(<$t>)? {
                self.object.get(|| loom::sync::atomic::$name::new(self.first))
            }
            /// Only for its address: the key of a futex.
            pub(crate) fn as_ptr(&self) -> *mut $value {
                let at = std::ptr::from_ref(self).cast_mut();
                crate::sys::know_word(at.addr(), size_of::<$value>(), |at| {
                    // SAFETY: it was told of this one, whose owner waits on it now.
                    unsafe { &*at.cast::<Self>() }.load(Ordering::SeqCst).bits()
                });
                at.cast()
            }
            pub(crate) fn get_mut(&mut self) -> &mut $value {
                let now = self.load(Ordering::Relaxed);
                self.first = now;
                self.object = PerExecution::new();
                &mut self.first
            }
            pub(crate) fn load(&self, o: Ordering) -> $value {
                self.get().load(weakened::<$value>(Fault::RelaxedLoads, order(o, Ordering::Acquire)))
            }
            pub(crate) fn store(&self, value: $value, o: Ordering) {
                self.get().store(value, weakened::<$value>(Fault::RelaxedStores, order(o, Ordering::Release)));
            }
            pub(crate) fn swap(&self, value: $value, o: Ordering) -> $value {
                self.get().swap(value, weakened::<$value>(Fault::RelaxedExchanges, order(o, Ordering::AcqRel)))
            }
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                ok: Ordering,
                err: Ordering,
            ) -> Result<$value, $value> {
                let err = if err == Ordering::SeqCst { Ordering::Acquire } else { err };
                let ok = weakened::<$value>(Fault::RelaxedExchanges, order(ok, Ordering::AcqRel));
                self.get().compare_exchange(current, new, ok, err)
            }
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                ok: Ordering,
                err: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, ok, err)
            }
            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut now = self.load(fetch);
                while let Some(next) = f(now) {
                    match self.compare_exchange(now, next, set, fetch) {
                        Ok(before) => return Ok(before),
                        Err(other) => now = other,
                    }
                }
                Err(now)
            }
        }

        impl $(<$t>)? fmt::Debug for $name $(<$t>)? {
            /// Makes the object too: what is printed before threads start belongs to none of them.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let _ = self.get();
                f.write_str(stringify!($name))
            }
        }
    };
}

integer!(AtomicI32, i32);
integer!(AtomicU8, u8);
integer!(AtomicU32, u32);
integer!(AtomicU64, u64);
integer!(AtomicUsize, usize);
atomic!(AtomicBool, bool);
atomic!(AtomicPtr<T>, *mut T);

impl Default for AtomicU32 {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Default for AtomicUsize {
    fn default() -> Self {
        Self::new(0)
    }
}

//! What differs between the flavors: their barriers, and how a thread finds its slot.

mod mb;
mod memb;
mod qsbr;
#[cfg(test)]
pub(crate) mod sabotaged;

pub(crate) use mb::MbBarriers;
pub(crate) use memb::MembBarriers;
pub(crate) use qsbr::QsbrBarriers;

use core::marker::PhantomData;

use crate::arena::Slot;
use crate::gp::{Engine, Global};

/// A domain of read-copy-update: its readers, its grace periods, its callbacks. Never constructed; all
/// its functions are associated.
///
/// [`Memb`], [`Mb`] and [`Qsbr`] are aliases of this one generic, so that a guard or a pointer of one
/// flavor does not type-check with another.
pub struct Domain<B>(PhantomData<fn() -> B>);

/// The default flavor: readers execute no fence, grace periods use membarrier(2).
#[doc(alias = "urcu_memb")]
pub type Memb = Domain<MembBarriers>;

/// The flavor that needs nothing from the kernel but futexes: one full barrier at each entry.
#[doc(alias = "urcu_mb")]
pub type Mb = Domain<MbBarriers>;

/// The quiescent-state-based flavor: readers execute nothing, threads announce quiescent states through
/// the [`Thread`](crate::Thread) that they register.
#[doc(alias = "urcu_qsbr")]
pub type Qsbr = Domain<QsbrBarriers>;

impl<B: Global> core::fmt::Debug for Domain<B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(B::NAME)
    }
}

/// What stands for a flavor in the types of guards and pointers: [`Memb`], [`Mb`] or [`Qsbr`]. Sealed.
pub trait Flavor: sealed::Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    type Barriers: Global;
}

impl<B: Global> Flavor for Domain<B> {
    type Barriers = B;
}

mod sealed {
    pub trait Sealed {}
    impl<B: crate::gp::Global> Sealed for super::Domain<B> {}
}

/// The engine of a flavor.
#[inline(always)]
pub(crate) fn engine<F: Flavor>() -> &'static Engine {
    F::Barriers::engine()
}

/// A flavor whose readers register by themselves: a thread-local pointer that starts at a sentinel slot,
/// whose word looks nested, so that the unregistered thread takes the slow path and registers there.
pub trait Automatic: Global {
    /// The calling thread's slot, or the sentinel.
    fn current() -> &'static Slot;
    /// Makes `slot` the thread's slot if it still has the sentinel; `false` if a signal handler was first.
    fn install(slot: &'static Slot) -> bool;
    /// Puts the sentinel back.
    fn uninstall();
}

/// The calling thread's slot, unless it is the sentinel.
pub(crate) fn registered<B: Automatic>() -> Option<&'static Slot> {
    let slot = B::current();
    (!slot.word().is_sentinel()).then_some(slot)
}

/// The thread-local pointer of one automatic flavor, which starts at the flavor's sentinel. `$symbol` is the
/// flavor's name, for the linker.
macro_rules! thread_slot {
    ($flavor:ty, $symbol:literal) => {
        static SENTINEL: $crate::arena::Slot =
            $crate::arena::Slot::with_word($crate::word::Word::SENTINEL);

        $crate::tls::thread_word!(Current: *mut $crate::arena::Slot = &SENTINEL, $symbol);

        impl $crate::flavor::Automatic for $flavor {
            #[inline(always)]
            fn current() -> &'static $crate::arena::Slot {
                let at = <Current as $crate::tls::ThreadWord>::get();
                // SAFETY: only `install` and `uninstall` store here: the sentinel or a slot of the
                // arena, which both live for ever.
                unsafe { &*at }
            }

            fn install(slot: &'static $crate::arena::Slot) -> bool {
                let sentinel = (&raw const SENTINEL).cast_mut();
                let slot = core::ptr::from_ref(slot).cast_mut();
                <Current as $crate::tls::ThreadWord>::replace(sentinel, slot)
            }

            fn uninstall() {
                let sentinel = (&raw const SENTINEL).cast_mut();
                <Current as $crate::tls::ThreadWord>::set(sentinel);
            }
        }
    };
}
pub(crate) use thread_slot;

/// The ordering of a section's publishing store.
///
/// Release costs nothing on x86 and closes a formal gap: a scan that reads the word of a *later* section
/// instead of the exit before it synchronises with that section's store, and so with the exit. Hardware
/// keeps this order elsewhere too; there Release would cost a barrier.
pub(crate) const PUBLISH: crate::atomic::Ordering = if cfg!(target_arch = "x86_64") {
    crate::atomic::Ordering::Release
} else {
    crate::atomic::Ordering::Relaxed
};

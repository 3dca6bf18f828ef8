//! The atomics of this crate: every other file takes them from here, so that one place decides what they
//! are.
//!
//! Without features they are those of `core`. With the feature `torture` they may also lose time at random, if
//! `torture` says so.

#[cfg(feature = "torture")]
pub mod torture;

/// Where an atomic is part of the public face: `core`'s in every build, because features must not change
/// types.
pub(crate) use core::sync::atomic::AtomicU32 as PublicAtomicU32;
/// A number that orders nothing and that nobody decides by: no model or torture need look at it.
pub(crate) use core::sync::atomic::AtomicU64 as Tally;
pub(crate) use core::sync::atomic::Ordering;

#[cfg(not(feature = "torture"))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
};
#[cfg(feature = "torture")]
pub(crate) use torture::hooked::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
};

/// Stands beside memory that is not atomic, and tells the models, where it is loom's, when that is written and read.
#[derive(Debug)]
pub(crate) struct Witness;

impl Witness {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn is_written(&self) {}

    #[inline(always)]
    pub(crate) fn is_read(&self) {}
}

/// A Release store, and a full fence between it and what follows. For a reader word that a signal handler of
/// the same thread may find.
///
/// A handler between store and fence would enter a section after a word that no fence follows
/// (models/park-enter-no-fence, models/park-leave-no-fence). On x86 one locked exchange is both, and leaves no
/// such moment. Elsewhere an exchange does not order the loads after it (models/mbf-xchg-acquire,
/// models/mbf-xchg-release), and the way into a handler is relied on to order as much.
#[inline(always)]
pub(crate) fn store_and_fence(word: &AtomicU64, value: u64) {
    if cfg!(target_arch = "x86_64") {
        word.swap(value, Ordering::SeqCst);
        core::sync::atomic::compiler_fence(Ordering::SeqCst); // no instruction here
    } else {
        word.store(value, Ordering::Release);
        fence(Ordering::SeqCst);
    }
}

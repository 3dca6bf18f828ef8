//! What litmus and torture are run on: one face for all flavors and both ways to register.

use core::marker::PhantomData;
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::flavor::{Automatic, Domain, Flavor};
use crate::{Guard, Mb, Memb, Qsbr, Thread};

/// A thread's access to one flavor.
pub(super) trait Reader: 'static {
    type F: Flavor + Send + Sync;
    fn join() -> Self;
    fn lock(&self) -> Guard<'_, Self::F>;
    /// After the outermost section: what a qsbr thread does in its loop.
    fn quiescent(&mut self) {}
    fn synchronize(&mut self);
    fn barrier(&mut self);
    /// For code that waits for other threads.
    fn away<T>(&mut self, f: impl FnOnce() -> T) -> T {
        f()
    }
    fn call(f: impl FnOnce() + Send + 'static) {
        Domain::<<Self::F as Flavor>::Barriers>::call(f);
    }
    /// The other way to wait for a grace period.
    fn synchronize_by_callback(&mut self) {
        Self::call(|| {});
        self.barrier();
    }
}

/// Threads that register by their first section.
pub(super) struct Auto<D>(PhantomData<*mut D>);

impl<B: Automatic> Reader for Auto<Domain<B>> {
    type F = Domain<B>;
    fn join() -> Self {
        Self(PhantomData)
    }
    fn lock(&self) -> Guard<'_, Self::F> {
        Domain::<B>::read_lock()
    }
    fn synchronize(&mut self) {
        Domain::<B>::synchronize();
    }
    fn barrier(&mut self) {
        Domain::<B>::barrier();
    }
}

macro_rules! by_hand {
    ($flavor:ty) => {
        impl Reader for Thread<$flavor> {
            type F = $flavor;
            fn join() -> Self {
                <$flavor>::register()
            }
            fn lock(&self) -> Guard<'_, $flavor> {
                self.read_lock()
            }
            fn synchronize(&mut self) {
                Thread::synchronize(self);
            }
            fn barrier(&mut self) {
                Thread::barrier(self);
            }
        }
    };
}
by_hand!(Memb);
by_hand!(Mb);

impl Reader for Thread<Qsbr> {
    type F = Qsbr;
    fn join() -> Self {
        Qsbr::register()
    }
    fn lock(&self) -> Guard<'_, Qsbr> {
        self.read_lock()
    }
    fn quiescent(&mut self) {
        self.quiescent_state();
    }
    fn synchronize(&mut self) {
        Thread::synchronize(self);
    }
    fn barrier(&mut self) {
        Thread::barrier(self);
    }
    fn away<T>(&mut self, f: impl FnOnce() -> T) -> T {
        self.offline(f)
    }
}

/// One test for each flavor, and for `memb` also by hand: `every_flavor!(check)` runs `check::<R>()`.
macro_rules! every_flavor {
    ($module:ident, $check:ident) => {
        mod $module {
            use crate::tests::subject::Auto;
            #[test]
            fn memb() {
                super::$check::<Auto<crate::Memb>>();
            }
            #[test]
            fn memb_by_hand() {
                super::$check::<crate::Thread<crate::Memb>>();
            }
            #[test]
            fn mb() {
                super::$check::<Auto<crate::Mb>>();
            }
            #[test]
            fn mb_by_hand() {
                super::$check::<crate::Thread<crate::Mb>>();
            }
            #[test]
            fn qsbr() {
                super::$check::<crate::Thread<crate::Qsbr>>();
            }
        }
    };
}
pub(super) use every_flavor;

/// Pseudo-random numbers (xorshift64*), the same in every run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Less than `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap_or(0) % n
    }

    /// Loses some time: mostly none or a few instructions, sometimes a grace period's worth, seldom a
    /// time slice.
    pub(super) fn dawdle(&mut self) {
        match self.below(512) {
            0 => std::thread::yield_now(),
            1..=40 => burn(self.below(2000)),
            41..=300 => burn(self.below(40)),
            _ => {}
        }
    }

    /// Loses up to a few hundred instructions' time.
    pub(super) fn waver(&mut self) {
        burn(self.below(400));
    }

    /// Loses a few instructions' time.
    pub(super) fn jitter(&mut self) {
        burn(self.below(24));
    }
}

fn burn(turns: usize) {
    for turn in 0..turns {
        black_box(turn);
    }
}

/// A number from the environment.
pub(super) fn scale(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Litmus and torture run one at a time: their threads are meant to meet.
pub(super) fn whole_machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What litmus and torture are run on: one face for all flavors and both ways to register.

use core::marker::PhantomData;
use std::hint::black_box;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::flavor::{Automatic, Domain};
use crate::{Guard, Mb, Memb, Qsbr, Rcu, Srcu, SrcuGuard, SrcuPtr, Stats, Thread};

/// A thread's access to one flavor, or to an srcu domain.
pub(super) trait Reader: 'static {
    type Section<'r>;
    /// What a section dereferences.
    type Pointer<T: Send + Sync + 'static>: Send + Sync;
    fn join() -> Self;
    fn lock(&self) -> Self::Section<'_>;
    /// After the outermost section: what a qsbr thread does in its loop.
    fn quiescent(&mut self) {}
    fn synchronize(&mut self);
    fn barrier(&mut self);
    /// The barrier that a round needs to end; the same, but where `barrier` is what is broken.
    fn barrier_for_real(&mut self) {
        self.barrier();
    }
    /// For code that waits for other threads.
    fn away<T>(&mut self, f: impl FnOnce() -> T) -> T {
        f()
    }
    fn call(f: impl FnOnce() + Send + 'static);
    fn null<T: Send + Sync>() -> Self::Pointer<T>;
    /// The old object is freed after a grace period.
    fn assign<T: Send + Sync>(pointer: &Self::Pointer<T>, new: T);
    fn dereference<'g, T: Send + Sync>(
        pointer: &'g Self::Pointer<T>,
        section: &'g Self::Section<'_>,
    ) -> Option<&'g T>;
    /// The other ways to wait for a grace period.
    fn synchronize_by_callback(&mut self) {
        Self::call(|| {});
        self.barrier();
    }
    fn synchronize_by_poll(&mut self) {
        let is_done = Self::start_poll();
        self.away(|| {
            while !is_done() {
                std::thread::yield_now();
            }
        });
    }
    /// Starts a grace period; gives what tells whether it has passed.
    fn start_poll() -> impl Fn() -> bool;
    fn stats() -> Stats;
}

/// What is the same for all threads of a flavor.
macro_rules! of_flavor {
    ($flavor:ty) => {
        type Section<'r> = Guard<'r, $flavor>;
        type Pointer<T: Send + Sync + 'static> = Rcu<T, $flavor>;
        fn call(f: impl FnOnce() + Send + 'static) {
            <$flavor>::call(f);
        }
        fn start_poll() -> impl Fn() -> bool {
            let cookie = <$flavor>::start_poll();
            move || cookie.is_done()
        }
        fn stats() -> Stats {
            <$flavor>::stats()
        }
        fn null<T: Send + Sync>() -> Rcu<T, $flavor> {
            Rcu::null()
        }
        fn assign<T: Send + Sync>(pointer: &Rcu<T, $flavor>, new: T) {
            pointer.assign(new);
        }
        fn dereference<'g, T: Send + Sync>(
            pointer: &'g Rcu<T, $flavor>,
            section: &'g Guard<'_, $flavor>,
        ) -> Option<&'g T> {
            pointer.dereference(section)
        }
    };
}

pub(super) use of_flavor;

/// Threads that register by their first section.
pub(super) struct Auto<D>(PhantomData<*mut D>);

impl<B: Automatic> Reader for Auto<Domain<B>> {
    of_flavor!(Domain<B>);
    fn join() -> Self {
        Self(PhantomData)
    }
    fn lock(&self) -> Guard<'_, Domain<B>> {
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
            of_flavor!($flavor);
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
    of_flavor!(Qsbr);
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

/// The domain, made by whoever comes first. Not a `LazyLock`: its ordering is inside std, where ThreadSanitizer
/// does not look.
fn domain() -> &'static Srcu {
    static DOMAIN: AtomicPtr<Srcu> = AtomicPtr::new(core::ptr::null_mut());
    // SAFETY: null, or from the box below, which is never freed once it is stored.
    if let Some(srcu) = unsafe { DOMAIN.load(Acquire).as_ref() } {
        return srcu;
    }
    let made = Box::into_raw(Box::new(Srcu::new()));
    match DOMAIN.compare_exchange(core::ptr::null_mut(), made, AcqRel, Acquire) {
        // SAFETY: leaked above, and stored.
        Ok(_) => unsafe { &*made },
        Err(earlier) => {
            // SAFETY: from the box above, and not stored.
            drop(unsafe { Box::from_raw(made) });
            // SAFETY: not null, so leaked by another thread.
            unsafe { &*earlier }
        }
    }
}

/// Any thread; no section has anything to do with it.
pub(super) struct Sleeper;

impl Reader for Sleeper {
    type Section<'r> = SrcuGuard<'r>;
    type Pointer<T: Send + Sync + 'static> = SrcuPtr<T>;
    fn join() -> Self {
        Self
    }
    fn lock(&self) -> SrcuGuard<'_> {
        domain().read_lock()
    }
    fn synchronize(&mut self) {
        domain().synchronize();
    }
    fn barrier(&mut self) {
        domain().barrier();
    }
    fn call(f: impl FnOnce() + Send + 'static) {
        domain().call(f);
    }
    fn start_poll() -> impl Fn() -> bool {
        let cookie = domain().start_poll();
        move || cookie.is_done()
    }
    fn stats() -> Stats {
        domain().stats()
    }
    fn null<T: Send + Sync>() -> SrcuPtr<T> {
        domain().null()
    }
    fn assign<T: Send + Sync>(pointer: &SrcuPtr<T>, new: T) {
        pointer.assign(new);
    }
    fn dereference<'g, T: Send + Sync>(
        pointer: &'g SrcuPtr<T>,
        section: &'g SrcuGuard<'_>,
    ) -> Option<&'g T> {
        pointer.dereference(section)
    }
}

/// One test for each flavor, for `memb` and `mb` also by hand, and for srcu: `every_flavor!(check)` runs `check::<R>()`.
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
            #[test]
            fn srcu() {
                super::$check::<crate::tests::subject::Sleeper>();
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

    /// Lets other threads run, a few times: what a chain of them needs to get through meanwhile.
    pub(super) fn linger(&mut self) {
        for _ in 0..self.below(12) {
            std::thread::yield_now();
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

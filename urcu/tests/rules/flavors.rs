//! Every flavor through one helper.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, SeqCst};
use std::time::Duration;

use urcu::{
    AlreadyQueued, Cookie, Flavor, Guard, Limits, Mb, Memb, Qsbr, RcuHead, Retired, Stats, Thread,
};

/// A thread's access to one flavor. Used through [`every_flavor`].
pub(crate) trait Reader: 'static {
    type F: Flavor + Send + Sync;
    const NAME: &'static str;
    fn join() -> Self;
    fn lock(&self) -> Guard<'_, Self::F>;
    fn synchronize(&mut self);
    fn wait_for(&mut self, cookie: Cookie<Self::F>);
    fn get_state() -> Cookie<Self::F>;
    fn start_poll() -> Cookie<Self::F>;
    fn barrier(&mut self);
    fn stats() -> Stats;
    fn call(f: impl FnOnce() + Send + 'static);
    fn call_hurry(f: impl FnOnce() + Send + 'static);
    fn call_lazy(f: impl FnOnce() + Send + 'static);
    fn call_sized(bytes: usize, f: impl FnOnce() + Send + 'static);
    fn try_call<C: FnOnce() + Send + 'static>(f: C) -> Result<(), C>;
    /// # Safety
    /// As `Domain::call_head`.
    unsafe fn call_head(
        head: NonNull<RcuHead>,
        f: unsafe fn(NonNull<RcuHead>),
    ) -> Result<(), AlreadyQueued>;
    fn set_limits(limits: Limits);
    fn set_lazy_delay(delay: Duration);
    fn throttle(&mut self);
    fn shutdown(&mut self);
    /// `Retired::synchronize` in the form for this flavor.
    fn give_back<T: Send + Sync>(&mut self, old: Retired<T, Self::F>) -> Box<T>;
    /// For code that waits for other threads.
    fn away<T>(&mut self, f: impl FnOnce() -> T) -> T;
}

/// What does not differ between a flavor with automatic registration and one without.
macro_rules! calls {
    ($flavor:ty) => {
        fn stats() -> Stats {
            <$flavor>::stats()
        }
        fn call(f: impl FnOnce() + Send + 'static) {
            <$flavor>::call(f);
        }
        fn call_hurry(f: impl FnOnce() + Send + 'static) {
            <$flavor>::call_hurry(f);
        }
        fn call_lazy(f: impl FnOnce() + Send + 'static) {
            <$flavor>::call_lazy(f);
        }
        fn call_sized(bytes: usize, f: impl FnOnce() + Send + 'static) {
            <$flavor>::call_sized(bytes, f);
        }
        fn try_call<C: FnOnce() + Send + 'static>(f: C) -> Result<(), C> {
            <$flavor>::try_call(f)
        }
        unsafe fn call_head(
            head: NonNull<RcuHead>,
            f: unsafe fn(NonNull<RcuHead>),
        ) -> Result<(), AlreadyQueued> {
            // SAFETY: the caller's promise.
            unsafe { <$flavor>::call_head(head, f) }
        }
        fn set_limits(limits: Limits) {
            <$flavor>::set_limits(limits);
        }
        fn set_lazy_delay(delay: Duration) {
            <$flavor>::set_lazy_delay(delay);
        }
    };
}

/// Threads that register by their first section.
pub(crate) struct Auto<F>(PhantomData<*mut F>);

macro_rules! auto {
    ($flavor:ty, $name:literal) => {
        impl Reader for Auto<$flavor> {
            type F = $flavor;
            const NAME: &'static str = $name;
            fn join() -> Self {
                Self(PhantomData)
            }
            fn lock(&self) -> Guard<'_, Self::F> {
                <$flavor>::read_lock()
            }
            fn synchronize(&mut self) {
                <$flavor>::synchronize();
            }
            fn wait_for(&mut self, cookie: Cookie<$flavor>) {
                cookie.wait();
            }
            fn barrier(&mut self) {
                <$flavor>::barrier();
            }
            fn get_state() -> Cookie<$flavor> {
                <$flavor>::get_state()
            }
            fn start_poll() -> Cookie<$flavor> {
                <$flavor>::start_poll()
            }
            fn throttle(&mut self) {
                <$flavor>::throttle();
            }
            fn shutdown(&mut self) {
                <$flavor>::shutdown();
            }
            calls!($flavor);
            fn give_back<T: Send + Sync>(&mut self, old: Retired<T, $flavor>) -> Box<T> {
                old.synchronize()
            }
            fn away<T>(&mut self, f: impl FnOnce() -> T) -> T {
                f()
            }
        }
    };
}
auto!(Memb, "memb");
auto!(Mb, "mb");

impl Reader for Thread<Qsbr> {
    type F = Qsbr;
    const NAME: &'static str = "qsbr";
    fn join() -> Self {
        Qsbr::register()
    }
    fn lock(&self) -> Guard<'_, Self::F> {
        self.read_lock()
    }
    fn synchronize(&mut self) {
        Thread::synchronize(self);
    }
    fn wait_for(&mut self, cookie: Cookie<Qsbr>) {
        Thread::wait_for(self, cookie);
    }
    fn barrier(&mut self) {
        Thread::barrier(self);
    }
    fn get_state() -> Cookie<Qsbr> {
        Qsbr::get_state()
    }
    fn start_poll() -> Cookie<Qsbr> {
        Qsbr::start_poll()
    }
    fn throttle(&mut self) {
        Thread::throttle(self);
    }
    fn shutdown(&mut self) {
        Thread::shutdown(self);
    }
    calls!(Qsbr);
    fn give_back<T: Send + Sync>(&mut self, old: Retired<T, Qsbr>) -> Box<T> {
        old.synchronize_with(self)
    }
    fn away<T>(&mut self, f: impl FnOnce() -> T) -> T {
        self.offline(f)
    }
}

/// `every_flavor!(check)` makes a module with one test for each flavor; `every_flavor!(check in child)`
/// runs each in a process of its own.
macro_rules! every_flavor {
    ($module:ident, $check:ident) => {
        mod $module {
            use crate::flavors::Auto;
            #[test]
            fn memb() {
                super::$check::<Auto<urcu::Memb>>();
            }
            #[test]
            fn mb() {
                super::$check::<Auto<urcu::Mb>>();
            }
            #[test]
            fn qsbr() {
                super::$check::<urcu::Thread<urcu::Qsbr>>();
            }
        }
    };
    ($module:ident, $check:ident in child) => {
        mod $module {
            use crate::child::in_child;
            use crate::flavors::{Auto, test_name};
            #[test]
            fn memb() {
                in_child(
                    &test_name(module_path!(), "memb"),
                    super::$check::<Auto<urcu::Memb>>,
                );
            }
            #[test]
            fn mb() {
                in_child(
                    &test_name(module_path!(), "mb"),
                    super::$check::<Auto<urcu::Mb>>,
                );
            }
            #[test]
            fn qsbr() {
                in_child(
                    &test_name(module_path!(), "qsbr"),
                    super::$check::<urcu::Thread<urcu::Qsbr>>,
                );
            }
        }
    };
}
pub(crate) use every_flavor;

/// What the test harness calls the test `name` of a module.
pub(crate) fn test_name(module: &str, name: &str) -> String {
    let inside = module.split_once("::").map_or("", |(_, inside)| inside);
    format!("{inside}::{name}")
}

/// A counter that one thread raises and others wait for, without a clock.
pub(crate) struct Stage(AtomicUsize);

impl Stage {
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }
    pub(crate) fn get(&self) -> usize {
        self.0.load(Acquire)
    }
    pub(crate) fn next(&self) {
        self.0.fetch_add(1, SeqCst);
    }
    pub(crate) fn wait_for(&self, stage: usize) {
        wait_until(|| self.get() >= stage);
    }
}

/// Yields until `condition` holds.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

/// Counts its own drops.
pub(crate) struct Dropping(pub(crate) &'static AtomicUsize);

impl Drop for Dropping {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

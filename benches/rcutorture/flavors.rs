//! urcu's flavors, by automatic sections and by a registration that the thread holds.

use urcu::{Cookie, Guard, Limits, Mb, Memb, Qsbr, Rcu, Retired, Thread};

use crate::ops::{Ops, Owned, Way};
use crate::pool::Element;

/// What is the same for both ways in.
macro_rules! domain {
    ($flavor:ty) => {
        const WAYS: &'static [Way] = &[
            Way::Synchronize,
            Way::Call,
            Way::CallLazy,
            Way::Free,
            Way::CallOwned,
            Way::SynchronizeOwned,
        ];
        const HAS_WORKER: bool = true;
        const FORKS: bool = true;
        const LIMITS: bool = true;
        type Section<'a> = Guard<'a, $flavor>;
        type Cookie = Cookie<$flavor>;

        fn call(callback: impl FnOnce() + Send + 'static) {
            <$flavor>::call(callback);
        }

        fn call_lazy(callback: impl FnOnce() + Send + 'static) {
            <$flavor>::call_lazy(callback);
        }

        fn try_call<C: FnOnce() + Send + 'static>(callback: C) -> Result<(), C> {
            <$flavor>::try_call(callback)
        }

        fn limit(bytes: Option<u64>) {
            <$flavor>::set_limits(bytes.map_or(Limits::NONE, |hard| Limits {
                soft: hard / 4,
                hard,
            }));
        }

        fn get_state() -> Option<Cookie<$flavor>> {
            Some(<$flavor>::get_state())
        }

        fn start_poll() -> Option<Cookie<$flavor>> {
            Some(<$flavor>::start_poll())
        }

        fn is_done(cookie: &Cookie<$flavor>) -> bool {
            cookie.is_done()
        }

        fn grace_periods() -> u64 {
            <$flavor>::stats().grace_periods
        }

        fn owned(section: &Guard<'_, $flavor>) -> Option<&'static Element> {
            Self::pointer().dereference(section).map(Owned::element)
        }

        fn replace_owned(&mut self, new: Owned, way: Way) {
            let Some(old) = Self::pointer().replace(new) else {
                return;
            };
            match way {
                Way::CallOwned => old.call(drop),
                Way::SynchronizeOwned => drop(self.reclaim(old)),
                _ => old.free(),
            }
        }
    };
}

/// A flavor whose threads register by themselves.
macro_rules! automatic {
    ($ops:ident, $name:literal, $flavor:ty) => {
        #[doc = concat!("`", stringify!($flavor), "` by automatic sections.")]
        #[derive(Debug)]
        pub(crate) struct $ops;

        impl $ops {
            fn pointer() -> &'static Rcu<Owned, $flavor> {
                static POINTER: Rcu<Owned, $flavor> = Rcu::null();
                &POINTER
            }

            fn reclaim(&mut self, old: Retired<Owned, $flavor>) -> Box<Owned> {
                old.synchronize()
            }
        }

        impl Ops for $ops {
            domain!($flavor);
            const NAME: &'static str = $name;
            const IN_HANDLERS: bool = true;

            fn join() -> Self {
                Self
            }

            fn lock(&self) -> Guard<'_, $flavor> {
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

            fn read_in_handler(read: impl FnOnce()) {
                let _section = <$flavor>::read_lock();
                read();
            }
        }
    };
}

/// A flavor through registrations.
macro_rules! by_handle {
    (
        $ops:ident, $name:literal, $flavor:ty,
        in_handlers: $handlers:literal, leaks: $leaks:literal, $($more:item)*
    ) => {
        #[doc = concat!("`", stringify!($flavor), "` by handles.")]
        #[derive(Debug)]
        pub(crate) struct $ops(Thread<$flavor>);

        impl $ops {
            fn pointer() -> &'static Rcu<Owned, $flavor> {
                static POINTER: Rcu<Owned, $flavor> = Rcu::null();
                &POINTER
            }

            fn reclaim(&mut self, old: Retired<Owned, $flavor>) -> Box<Owned> {
                old.synchronize_with(&mut self.0)
            }
        }

        impl Ops for $ops {
            domain!($flavor);
            const NAME: &'static str = $name;
            const IN_HANDLERS: bool = $handlers;
            const LEAKS: bool = $leaks;

            fn join() -> Self {
                Self(<$flavor>::register())
            }

            fn lock(&self) -> Guard<'_, $flavor> {
                self.0.read_lock()
            }

            fn synchronize(&mut self) {
                self.0.synchronize();
            }

            fn wait_for(&mut self, cookie: Cookie<$flavor>) {
                self.0.wait_for(cookie);
            }

            fn barrier(&mut self) {
                self.0.barrier();
            }

            $($more)*
        }
    };
}

automatic!(MembAutomatic, "memb", Memb);
automatic!(MbAutomatic, "mb", Mb);
by_handle!(
    MembHandle, "memb-handle", Memb, in_handlers: true, leaks: true,
    /// The thread then has a registration of each kind.
    fn read_in_handler(read: impl FnOnce()) {
        let _section = Memb::read_lock();
        read();
    }
);
by_handle!(
    MbHandle, "mb-handle", Mb, in_handlers: true, leaks: true,
    fn read_in_handler(read: impl FnOnce()) {
        let _section = Mb::read_lock();
        read();
    }
);
by_handle!(
    QsbrHandle, "qsbr", Qsbr, in_handlers: false, leaks: false,
    /// Never asked for: a handler does not know whether its thread is online.
    fn read_in_handler(_read: impl FnOnce()) {}

    fn quiescent(&mut self) {
        self.0.quiescent_state();
    }

    fn away<T>(&mut self, blocking: impl FnOnce() -> T) -> T {
        self.0.offline(blocking)
    }
);

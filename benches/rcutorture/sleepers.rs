//! urcu's srcu: sections that sleep, overlap without nesting, and end on other threads.

use std::sync::LazyLock;

use urcu::{Srcu, SrcuCookie, SrcuGuard, SrcuPtr};

use crate::ops::{Ops, Owned, Way};
use crate::pool::Element;

/// One domain, and any thread.
#[derive(Debug)]
pub(crate) struct Sleeper;

static DOMAIN: LazyLock<Srcu> = LazyLock::new(Srcu::new);
static POINTER: LazyLock<SrcuPtr<Owned>> = LazyLock::new(|| DOMAIN.null());

impl Ops for Sleeper {
    const NAME: &'static str = "srcu";
    const WAYS: &'static [Way] = &[
        Way::Synchronize,
        Way::Call,
        Way::Free,
        Way::CallOwned,
        Way::SynchronizeOwned,
    ];
    const HAS_WORKER: bool = true;
    const IN_HANDLERS: bool = false;
    const FORKS: bool = true;
    const NESTS: bool = false;
    const SLEEPS: bool = true;
    const SENDS: bool = true;
    type Section<'a> = SrcuGuard<'a>;
    type Cookie = SrcuCookie;

    fn join() -> Self {
        // Before a fork could find it half made.
        LazyLock::force(&POINTER);
        Self
    }

    fn lock(&self) -> SrcuGuard<'_> {
        DOMAIN.read_lock()
    }

    fn synchronize(&mut self) {
        DOMAIN.synchronize();
    }

    fn call(callback: impl FnOnce() + Send + 'static) {
        DOMAIN.call(callback);
    }

    fn parcel() -> Option<Box<dyn Send>> {
        Some(Box::new(DOMAIN.down_read()))
    }

    fn barrier(&mut self) {
        DOMAIN.barrier();
    }

    fn get_state() -> Option<SrcuCookie> {
        Some(DOMAIN.get_state())
    }

    fn start_poll() -> Option<SrcuCookie> {
        Some(DOMAIN.start_poll())
    }

    fn is_done(cookie: &SrcuCookie) -> bool {
        cookie.is_done()
    }

    fn wait_for(&mut self, cookie: SrcuCookie) {
        cookie.wait();
    }

    fn grace_periods() -> u64 {
        DOMAIN.stats().grace_periods
    }

    /// Never asked for: sections of srcu are not for handlers.
    fn read_in_handler(_read: impl FnOnce()) {}

    fn owned(section: &SrcuGuard<'_>) -> Option<&'static Element> {
        POINTER.dereference(section).map(Owned::element)
    }

    fn replace_owned(&mut self, new: Owned, way: Way) {
        let Some(old) = POINTER.replace(new) else {
            return;
        };
        match way {
            Way::CallOwned => old.call(drop),
            Way::SynchronizeOwned => drop(old.synchronize()),
            _ => old.free(),
        }
    }
}

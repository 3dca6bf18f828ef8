//! The two flavors that test the test: one that must fail, one that must pass and is obviously right.

use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::ops::{Ops, Owned, Way};
use crate::pool::Element;

/// No grace period at all: `synchronize` returns, callbacks run at once.
#[derive(Debug)]
pub(crate) struct Busted;

static BUSTED_WAITS: AtomicU64 = AtomicU64::new(0);

impl Ops for Busted {
    const NAME: &'static str = "busted";
    const WAYS: &'static [Way] = &[Way::Synchronize, Way::Call];
    const HAS_WORKER: bool = false;
    const IN_HANDLERS: bool = true;
    const FORKS: bool = true;
    type Section<'a> = ();
    type Cookie = ();

    fn join() -> Self {
        Self
    }

    fn lock(&self) {}

    fn synchronize(&mut self) {
        BUSTED_WAITS.fetch_add(1, Relaxed);
    }

    fn call(callback: impl FnOnce() + Send + 'static) {
        callback();
    }

    fn barrier(&mut self) {}

    fn get_state() -> Option<()> {
        None
    }

    fn start_poll() -> Option<()> {
        None
    }

    fn is_done((): &()) -> bool {
        false
    }

    fn wait_for(&mut self, (): ()) {}

    fn grace_periods() -> u64 {
        BUSTED_WAITS.load(Relaxed)
    }

    fn read_in_handler(read: impl FnOnce()) {
        read();
    }

    fn owned(_section: &()) -> Option<&'static Element> {
        None
    }

    fn replace_owned(&mut self, _new: Owned, _way: Way) {}
}

/// A read section is the reading half of a lock, a grace period its writing half.
#[derive(Debug, Default)]
pub(crate) struct Trivial {
    /// How many sections this thread has open; the lock is held for the outermost.
    depth: Cell<u32>,
    held: RefCell<Option<RwLockReadGuard<'static, ()>>>,
}

static LOCK: RwLock<()> = RwLock::new(());
static TRIVIAL_WAITS: AtomicU64 = AtomicU64::new(0);

/// A section of [`Trivial`].
#[derive(Debug)]
pub(crate) struct Reading<'a>(&'a Trivial);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let depth = &self.0.depth;
        depth.set(depth.get() - 1);
        if depth.get() == 0 {
            self.0.held.take();
        }
    }
}

impl Ops for Trivial {
    const NAME: &'static str = "trivial";
    const WAYS: &'static [Way] = &[Way::Synchronize];
    const HAS_WORKER: bool = false;
    const IN_HANDLERS: bool = false;
    const FORKS: bool = false;
    type Section<'a> = Reading<'a>;
    type Cookie = ();

    fn join() -> Self {
        Self::default()
    }

    fn lock(&self) -> Reading<'_> {
        if self.depth.get() == 0 {
            let held = LOCK.read().unwrap_or_else(PoisonError::into_inner);
            self.held.replace(Some(held));
        }
        self.depth.set(self.depth.get() + 1);
        Reading(self)
    }

    fn synchronize(&mut self) {
        drop(LOCK.write().unwrap_or_else(PoisonError::into_inner));
        TRIVIAL_WAITS.fetch_add(1, Relaxed);
    }

    /// Never asked for: `WAYS` has no `Call`.
    fn call(callback: impl FnOnce() + Send + 'static) {
        drop(callback);
    }

    fn barrier(&mut self) {}

    fn get_state() -> Option<()> {
        None
    }

    fn start_poll() -> Option<()> {
        None
    }

    fn is_done((): &()) -> bool {
        false
    }

    fn wait_for(&mut self, (): ()) {}

    fn grace_periods() -> u64 {
        TRIVIAL_WAITS.load(Relaxed)
    }

    /// Never asked for: a handler would meet the lock that its thread holds.
    fn read_in_handler(_read: impl FnOnce()) {}

    fn owned(_section: &Reading<'_>) -> Option<&'static Element> {
        None
    }

    fn replace_owned(&mut self, _new: Owned, _way: Way) {}
}

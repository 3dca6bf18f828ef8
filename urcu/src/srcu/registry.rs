//! All domains that live, by number: for fork, and for threads that end while they keep a slot.
//!
//! Who holds the lock waits for nothing and runs no code of the user; a forking thread holds it over the fork.

use core::cell::UnsafeCell;
use core::mem;
use core::ptr::NonNull;
use std::collections::BTreeMap;

use crate::atomic::{AtomicBool, Ordering};
use crate::gp::Engine;

/// # Invariants
/// 1. The engine lives as long as its entry: whoever frees it removes the entry first.
struct Entry(NonNull<Engine>);

impl Entry {
    fn engine(&self) -> &Engine {
        // SAFETY: invariant 1; the result borrows the entry.
        unsafe { self.0.as_ref() }
    }
}

/// A spin lock that yields: a std mutex could not be given back by another call than the one that took it.
///
/// # Invariants
/// 1. `entries` is reached through a [`Locked`] only, of which there is one while `taken`.
struct Registry {
    taken: AtomicBool,
    entries: UnsafeCell<BTreeMap<u64, Entry>>,
}

// SAFETY: invariant 1: one thread at a time; entries may change threads, because an engine is `Sync` and is
// only lent.
unsafe impl Sync for Registry {}

static DOMAINS: Registry = Registry {
    taken: AtomicBool::new(false),
    entries: UnsafeCell::new(BTreeMap::new()),
};

/// The right to the entries.
struct Locked(());

fn lock() -> Locked {
    // Acquire pairs with the Release in `drop`.
    while DOMAINS.taken.swap(true, Ordering::Acquire) {
        std::thread::yield_now();
    }
    Locked(())
}

impl Locked {
    fn entries(&mut self) -> &mut BTreeMap<u64, Entry> {
        // SAFETY: invariant 1 of the registry: `self` is the only one, and borrowed.
        unsafe { &mut *DOMAINS.entries.get() }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        DOMAINS.taken.store(false, Ordering::Release);
    }
}

/// # Safety
/// 1. `engine` lives, at its address, until after [`remove`] with the same number.
pub(super) unsafe fn insert(id: u64, engine: &Engine) {
    // INVARIANT: 1 of Entry by clause 1.
    lock().entries().insert(id, Entry(engine.into()));
}

pub(super) fn remove(id: u64) {
    lock().entries().remove(&id);
}

/// Runs `f` if the domain with this number lives; it does until `f` returns.
pub(super) fn while_it_lives(id: u64, f: impl FnOnce()) {
    let mut locked = lock();
    if locked.entries().contains_key(&id) {
        f();
    }
}

/// Before a fork: takes the lock, and shows each engine to `f`.
pub(crate) fn lock_for_fork(f: impl Fn(&Engine)) {
    let mut locked = lock();
    locked.entries().values().map(Entry::engine).for_each(f);
    mem::forget(locked);
}

/// After a fork, in parent or child: shows each engine to `f`, and gives the lock back.
///
/// # Safety
/// 1. The calling thread has called [`lock_for_fork`], and not this since.
pub(crate) unsafe fn unlock_after_fork(f: impl Fn(&Engine)) {
    // INVARIANT: 1 of the registry: by clause 1 this is the one that was forgotten.
    let mut locked = Locked(());
    locked.entries().values().map(Entry::engine).for_each(f);
}

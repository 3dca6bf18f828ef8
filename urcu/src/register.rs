//! How a thread gets a slot, gives it back at its end, and whether it may wait for a grace period.
//!
//! Registration happens in the slow path of the first `read_lock`. Thread exit is caught by a pthread
//! key, not by a Rust thread-local with drop glue: key hooks run after those, so they may use RCU. What uses
//! RCU after the last round of hooks (glibc: four; a handler of a signal that the ending thread does not block)
//! registers the thread once more, and nobody sees its end: the idle slot holds nothing back, and is used again when
//! the arena would have to grow ([`Arena::sweep`](crate::arena::Arena)).
//!
//! In a signal handler the first use is safe where the key is among glibc's first 32 and a slot is free
//! in a mapped chunk; else the thread must have read once before (rule A19). fork(2) in a handler that may
//! have interrupted a registration is not supported (POSIX forbids fork in handlers since 2024).

use crate::atomic::{AtomicU32, Ordering, fence};
use core::ffi::c_void;
use core::panic::Location;

use crate::arena::{Slot, thread_id};
use crate::flavor::Automatic;
use crate::gp::Global;
use crate::identity;
use crate::stall::{self, Culprit, Report};
use crate::sys;
use crate::trace;

/// Claims a slot for the calling thread and brings it into its idle state.
pub(crate) fn claim<B: Global>() -> &'static Slot {
    // Decides whether membarrier works, before this thread can be a reader (rule A19).
    let idle = B::idle();
    let slot = B::engine().arena.claim();
    slot.deeper.store(0, Ordering::Relaxed);
    slot.word.store(idle.raw(), Ordering::Relaxed);
    // The registration fence (rule A9), also where membarrier works: either a grace period that counts
    // or scans slots sees the claim, or this thread's sections see the removal before its fence.
    fence(Ordering::SeqCst);
    slot
}

/// Registers the calling thread. Lock-free; a signal handler may interrupt it and register first.
#[cold]
pub(crate) fn register<B: Automatic>() -> &'static Slot {
    let key = key(&B::engine().exit_key, on_thread_exit::<B>);
    let slot = claim::<B>();
    if !B::install(slot) {
        B::engine().arena.release(slot, B::idle());
        return B::current();
    }
    match key {
        Some(key) => sys::key_set(key, core::ptr::from_ref(slot).cast()),
        None => {
            slot.set_unwatched();
            B::engine().counters.unwatched.add_one();
        }
    }
    slot
}

/// A pthread key with this hook, made once. `None`: the process has no key left; then nobody sees threads
/// end, and their slots stay claimed.
pub(crate) fn key(made: &AtomicU32, hook: sys::ExitHook) -> Option<u32> {
    match made.load(Ordering::Acquire) {
        0 => {
            let key = sys::key_create(hook)?;
            match made.compare_exchange(0, key + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => Some(key),
                Err(earlier) => {
                    // Nobody has set it: the number never left this function.
                    sys::key_delete(key);
                    Some(earlier - 1)
                }
            }
        }
        known => Some(known - 1),
    }
}

/// # Safety
/// 1. `slot` is what `register` set for the calling thread's key.
unsafe extern "C" fn on_thread_exit<B: Automatic>(slot: *mut c_void) {
    // SAFETY: clause 1: a slot of the arena, which lives for ever.
    let slot = unsafe { &*slot.cast_const().cast::<Slot>() };
    // Later hooks of this thread may read again: they register anew, and this hook runs again.
    B::uninstall();
    let engine = B::engine();
    if slot.word().depth() == 0 {
        engine.arena.release(slot, B::idle());
        return;
    }
    abandon::<B>(slot);
}

/// Rule A7: a leaked guard is `&'static`, its references may live anywhere. Never use the slot again.
fn abandon<B: Global>(slot: &Slot) {
    let engine = B::engine();
    engine.arena.abandon(slot);
    engine.counters.abandoned.add_one();
    if slot.word().depth() != 0 {
        stall::report(Report::DiedInSection {
            flavor: B::NAME,
            culprit: Culprit::of(slot),
        });
    }
}

/// A thread ends that once had a handle: those that it still owns were leaked, so their guards may be
/// `&'static` too. Their slots are never given back.
unsafe extern "C" fn on_exit_with_handles<B: Global>(_: *mut c_void) {
    let me = thread_id();
    for slot in B::engine().arena.slots() {
        // The automatic slot has a hook of its own, which may run before or after this one.
        let automatic = B::thread_slot().is_some_and(|own| core::ptr::eq(own, slot));
        if slot.belongs_to(me) && !automatic {
            abandon::<B>(slot);
        }
    }
}

/// Counts a `Thread` handle of the calling thread, and sees to it that a leaked one is found.
pub(crate) fn handle_made<B: Global>(slot: &Slot) {
    identity::count_handle();
    match key(&B::engine().handle_key, on_exit_with_handles::<B>) {
        Some(key) => sys::key_set(key, core::ptr::from_ref(slot).cast()),
        None => slot.set_unwatched(),
    }
}

/// The end of [`handle_made`].
pub(crate) fn handle_dropped() {
    identity::uncount_handle();
}

/// A slot of the calling thread that is inside a section of this domain, other than `except`.
pub(crate) fn open_section<B: Global>(except: Option<&Slot>) -> Option<&'static Slot> {
    let automatic = B::thread_slot().filter(|slot| slot.word().depth() != 0);
    if automatic.is_some() || !identity::owns_handles() {
        return automatic;
    }
    let me = thread_id();
    B::engine().arena.slots().find(|slot| {
        slot.belongs_to(me)
            && slot.word().depth() != 0
            && except.is_none_or(|except| !core::ptr::eq(except, *slot))
    })
}

/// Panics where waiting for a grace period of this domain would never end (rule A2, rcu-deadlock rules).
#[track_caller]
pub(crate) fn assert_may_wait<B: Global>(what: &str, except: Option<&Slot>) {
    if let Some(slot) = open_section::<B>(except) {
        refuse::<B>(what, slot.place());
    }
    trace::refuse_in_hook(B::NAME, what);
}

#[cold]
#[track_caller]
fn refuse<B: Global>(what: &str, place: Option<&Location<'_>>) -> ! {
    let section = if B::COUNTS_SECTIONS {
        "a read section"
    } else {
        "an online registration of this thread"
    };
    match place {
        Some(place) => panic!(
            "urcu {}: {what} inside {section} of the same domain would never return; \
             the section was opened at {place}",
            B::NAME
        ),
        None => panic!(
            "urcu {}: {what} inside {section} of the same domain would never return",
            B::NAME
        ),
    }
}

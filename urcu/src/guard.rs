//! Read sections: how a thread enters and leaves one, and the [`Guard`] that stands for it.
//!
//! The fast paths are inlined and write one word that no other thread writes: entry loads the thread's
//! slot, its word and the sequence, and stores the word; exit stores the idle word and loads the request.

use crate::atomic::{Ordering, store_and_fence};
use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;

use crate::arena::Slot;
use crate::barrier;
use crate::flavor::{Automatic, Flavor, Memb, PUBLISH};
use crate::gp::{Barriers as _, Global};
use crate::register;
use crate::word::Word;

/// Evidence that the calling thread is inside a read section of the domain `F`.
///
/// What [`Rcu::dereference`](crate::Rcu::dereference) gives out lives no longer than the guard. Dropping
/// the guard is `rcu_read_unlock`: wait-free, no system call unless a grace period sleeps for a section as
/// old as this one. Guards nest, up to 2^32 deep, and may be dropped in any order; the section ends with the last.
///
/// * `!Send`, `!Sync`: a section belongs to its thread.
/// * Blocking in a section is allowed and stalls all grace periods of the domain.
/// * Forgetting a guard is safe: the section never ends, and all later grace periods of the domain wait
///   for ever (a forgotten guard's references may live anywhere). The stall report names the thread.
/// * A guard made in a signal handler must be dropped in it.
///
/// ```
/// let guard = urcu::Memb::read_lock();
/// assert!(urcu::Memb::read_lock_held());
/// drop(guard);
/// assert!(!urcu::Memb::read_lock_held());
/// ```
#[must_use = "the read section ends when the guard is dropped"]
pub struct Guard<'t, F: Flavor = Memb> {
    slot: &'static Slot,
    /// The registration whose section this is; a raw pointer, because a section stays on its thread.
    thread: PhantomData<(&'t (), *mut ())>,
    flavor: PhantomData<F>,
}

impl<F: Flavor> Guard<'_, F> {
    /// Ends the section, as dropping the guard does.
    #[doc(alias = "rcu_read_unlock")]
    #[doc(alias = "urcu_memb_read_unlock")]
    #[inline]
    pub fn unlock(self) {
        drop(self);
    }

    /// Enters a section on a slot of the calling thread.
    #[inline]
    #[track_caller]
    pub(crate) fn enter(slot: &'static Slot) -> Self {
        enter::<F::Barriers>(slot);
        Self::of(slot)
    }

    #[inline]
    fn of(slot: &'static Slot) -> Self {
        Self {
            slot,
            thread: PhantomData,
            flavor: PhantomData,
        }
    }
}

impl<F: Flavor> Guard<'static, F>
where
    F::Barriers: Automatic,
{
    /// Enters a section on the calling thread's own slot; registers it first if it has none.
    #[inline]
    #[track_caller]
    pub(crate) fn enter_automatic() -> Self {
        let slot = F::Barriers::current();
        if slot.word().takes_fast_entry() {
            publish::<F::Barriers>(slot);
            return Self::of(slot);
        }
        Self::of(enter_slowly::<F::Barriers>(slot))
    }
}

impl<F: Flavor> Drop for Guard<'_, F> {
    #[inline]
    fn drop(&mut self) {
        leave::<F::Barriers>(self.slot);
    }
}

impl<F: Flavor> fmt::Debug for Guard<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("flavor", &F::Barriers::NAME)
            .finish_non_exhaustive()
    }
}

#[inline]
#[track_caller]
fn enter<B: Global>(slot: &'static Slot) {
    if !B::COUNTS_SECTIONS {
        return; // the registration is the section
    }
    if slot.word().takes_fast_entry() {
        publish::<B>(slot);
    } else {
        nest::<B>(slot);
    }
}

/// The first section of an idle slot. A signal handler between the loads and the store leaves the word as
/// it found it, idle, so the store is right whatever the handler read.
#[inline(always)]
#[track_caller]
fn publish<B: Global>(slot: &Slot) {
    B::publish(&slot.word, B::engine().sequence().raw());
    note_place(slot);
}

/// Keeps the caller's place for messages, in builds with debug assertions.
#[inline(always)]
#[track_caller]
pub(crate) fn note_place(slot: &Slot) {
    if cfg!(debug_assertions) {
        slot.set_place(Location::caller());
    }
}

#[cold]
#[track_caller]
fn enter_slowly<B: Automatic>(slot: &'static Slot) -> &'static Slot {
    let slot = if slot.word().is_sentinel() {
        register::register::<B>()
    } else {
        slot
    };
    enter::<B>(slot);
    slot
}

/// An entry into a slot that is inside a section already, or idle in fallback mode.
#[cold]
#[track_caller]
fn nest<B: Global>(slot: &Slot) {
    let word = slot.word();
    match word.depth() {
        0 => {
            // No membarrier: pairs with the fences of `Engine::lead`. Either the scan sees this word, or
            // the section sees the removal (models/park-enter).
            store_and_fence(&slot.word, word.entered(B::engine().sequence()).raw());
            note_place(slot);
        }
        Word::MAX_DEPTH => {
            let deeper = slot.deeper.load(Ordering::Relaxed);
            assert!(
                deeper < u32::MAX,
                "urcu {}: read sections nested too deep",
                B::NAME
            );
            slot.deeper.store(deeper + 1, Ordering::Relaxed);
        }
        // The outer section keeps the word old enough; nothing new is published.
        _ => slot.word.store(word.deeper().raw(), PUBLISH),
    }
}

#[inline]
fn leave<B: Global>(slot: &Slot) {
    if !B::COUNTS_SECTIONS {
        return;
    }
    let word = slot.word();
    if word.takes_fast_exit() {
        exit::<B>(slot, word, Word::IDLE);
    } else {
        leave_slowly::<B>(slot, word);
    }
}

/// The end of the outermost section.
#[inline(always)]
fn exit<B: Global>(slot: &Slot, word: Word, idle: Word) {
    // Release pairs with the scan's Acquire: what the section did happens before what follows the grace
    // period.
    slot.word.store(idle.raw(), Ordering::Release);
    // Second row of the table in `crate::barrier`: either a sleeper's scan behind its heavy barrier sees
    // the idle word, or this load sees its request. Where no heavy barrier reaches us, sleeps are short.
    barrier::light();
    if B::engine().asks() {
        B::engine().answer(slot, word);
    }
}

#[cold]
fn leave_slowly<B: Global>(slot: &Slot, word: Word) {
    #[cfg(test)]
    if B::SABOTAGE == crate::gp::Sabotage::FlatNesting {
        slot.word.store(Word::IDLE.raw(), Ordering::Release);
        return;
    }
    let deeper = slot.deeper.load(Ordering::Relaxed);
    if deeper > 0 {
        slot.deeper.store(deeper - 1, Ordering::Relaxed);
    } else if word.depth() > 1 {
        slot.word.store(word.shallower().raw(), Ordering::Release);
    } else {
        debug_assert_eq!(word.depth(), 1, "a section ended twice");
        exit::<B>(slot, word, word.shallower());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flavor::{Mb, engine};

    // A7: the word counts to 2^14 - 1, the slot what goes beyond, and only 2^32 panics; it never wraps.
    #[test]
    fn nesting_past_the_word_neither_wraps_nor_ends_the_section() {
        std::thread::spawn(|| {
            let depth = usize::try_from(Word::MAX_DEPTH).unwrap() * 3;
            let mut guards: Vec<_> = (0..depth).map(|_| Guard::<Mb>::enter_automatic()).collect();
            let slot = guards[0].slot;
            assert_eq!(slot.word().depth(), Word::MAX_DEPTH);
            assert!(slot.scan().holds_back(engine::<Mb>().sequence().next()));
            while guards.len() > 1 {
                guards.pop();
                assert_ne!(slot.word().depth(), 0, "the section ended too early");
            }
            guards.pop();
            assert_eq!(slot.word().depth(), 0);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn nest_overflow_panics_and_leaves_the_section_as_it_was() {
        std::thread::spawn(|| {
            let guard = Guard::<Mb>::enter_automatic();
            let slot = guard.slot;
            let before = slot.word();
            let deepest = before.raw() - 1 + Word::MAX_DEPTH;
            slot.word.store(deepest, Ordering::Relaxed);
            slot.deeper.store(u32::MAX, Ordering::Relaxed);
            assert!(std::panic::catch_unwind(Guard::<Mb>::enter_automatic).is_err());
            assert_eq!(
                (slot.word().raw(), slot.deeper.load(Ordering::Relaxed)),
                (deepest, u32::MAX)
            );
            slot.deeper.store(0, Ordering::Relaxed);
            slot.word.store(before.raw(), Ordering::Relaxed);
        })
        .join()
        .unwrap();
    }
}

//! The cooperative barrier: a heavy barrier by message instead of by interrupt.
//!
//! A leaving reader loads the request word in any case. If a grace period asks there, the reader copies the
//! number of the cooperative round into its slot. The copy is the point of the heavy barrier for this
//! thread: it loads the number with Acquire, so that everything before the updater's step of it (the
//! removal) is visible to what the thread does next; it stores the answer with Release, so that everything
//! the thread did before is visible to the updater, who loads it with Acquire. No fence is needed on the
//! reader's side (rule A12; models `coop`, `coop-no-reader-fence`).
//!
//! Who need not answer:
//! * free slots: a thread that claims one now executes its registration fence after the updater's (A9);
//! * parked threads and fallback readers, whose word carries the flag: every section that begins from such
//!   a word executes a full fence, and so does the end of parking (the drop of [`Parked`](crate::arena::Parked));
//! * the caller itself.
//!
//! A slot that its thread abandoned answers no more, so from then on membarrier(2) does the work.
//!
//! One thread that is neither in and out of sections all the time nor parked does not answer within
//! microseconds. Then membarrier(2) does the work, and the next attempts are skipped, twice as many each
//! time, while this thread is seen where it was: registered and outside sections. A late answer carries the
//! number of its own round, which is never used again, so it cannot be taken for another's.

use super::{Caller, Engine};
use crate::arena::Slot;
use crate::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// How often a round looks for answers, all slots together: 2 to 3 us.
const LOOKS: u32 = if cfg!(loom) { 2 } else { 60 };
/// At most this many rounds are skipped after failures: the cost of an attempt is then lost in them.
const MOST_SKIPPED: u32 = 1024;

/// When to attempt a cooperative round. Used by the leader alone; the leadership orders it.
///
/// # Invariants
/// 1. `silent` is null or a slot of the engine that this is part of, and so lives as long.
#[derive(Debug)]
pub(super) struct Backoff {
    /// How many rounds the last failure skips.
    penalty: AtomicU32,
    /// How many of them are left.
    left: AtomicU32,
    /// Who did not answer.
    silent: AtomicPtr<Slot>,
    /// The thread that owned the slot then.
    owner: AtomicU64,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self {
            penalty: AtomicU32::new(0),
            left: AtomicU32::new(0),
            silent: AtomicPtr::new(core::ptr::null_mut()),
            owner: AtomicU64::new(0),
        }
    }

    fn may_try(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0 || !self.is_silent_still()
    }

    /// Whether the thread that did not answer is registered and outside sections as it was then. It may have
    /// been inside meanwhile: this decides only whether an attempt pays.
    fn is_silent_still(&self) -> bool {
        // SAFETY: null, or by invariant 1 a slot that lives as long as `self`.
        let Some(slot) = (unsafe { self.silent.load(Ordering::Relaxed).as_ref() }) else {
            return false;
        };
        slot.owner() == self.owner.load(Ordering::Relaxed)
            && slot.word().depth() == 0
            && !slot.word().is_fallback()
    }

    /// After an attempt that failed because of this slot, one of the engine's.
    fn note_silent(&self, slot: &Slot) {
        // INVARIANT: 1.
        let silent = core::ptr::from_ref(slot).cast_mut();
        self.silent.store(silent, Ordering::Relaxed);
        self.owner.store(slot.owner(), Ordering::Relaxed);
        let before = self.penalty.load(Ordering::Relaxed);
        self.skip((before * 2).clamp(1, MOST_SKIPPED));
    }

    fn skip(&self, rounds: u32) {
        self.penalty.store(rounds, Ordering::Relaxed);
        self.left.store(rounds, Ordering::Relaxed);
    }
}

impl Engine {
    /// Attempts a heavy barrier by message, unless attempts have failed of late. The caller has executed a
    /// full fence since the removal.
    pub(super) fn cooperate(&self, caller: &Caller<'_>) -> bool {
        let backoff = &self.updaters.backoff;
        if !backoff.may_try() {
            return false;
        }
        let read_mostly = &self.read_mostly;
        // Release pairs with the Acquire in `acknowledge`: who reads this number sees the removal.
        let round = read_mostly.coop_round.fetch_add(1, Ordering::SeqCst) + 1;
        read_mostly.request.ask_for_acks();
        let mut looks = LOOKS;
        let mut slots = self.arena.slots();
        let silent = slots.find(|slot| !caller.owns(slot) && !answers(slot, round, &mut looks));
        read_mostly.request.ask_no_more();
        match silent {
            Some(slot) => backoff.note_silent(slot),
            None => backoff.skip(0),
        }
        silent.is_none()
    }
}

/// Whether the slot's thread has answered, or need not, before the looks are used up.
fn answers(slot: &Slot, round: u64, looks: &mut u32) -> bool {
    // Acquire pairs with the reader's Release: its sections before the answer happen before what we do next.
    while slot.ack.load(Ordering::Acquire) < round {
        if slot.is_vacant() || slot.scan().is_fallback() {
            return true;
        }
        if *looks == 0 {
            return false;
        }
        *looks -= 1;
        core::hint::spin_loop();
    }
    true
}

/// The reader's side, at the exit from a section.
pub(super) fn acknowledge(slot: &Slot, coop_round: &AtomicU64) {
    slot.ack
        .store(coop_round.load(Ordering::Acquire), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::Word;

    #[test]
    fn failures_skip_ever_more_attempts_and_one_success_skips_none() {
        let engine = Engine::new();
        let (slot, backoff) = (engine.arena.claim(), Backoff::new());
        for expected in [1, 2, 4, 8] {
            assert!(backoff.may_try());
            backoff.note_silent(slot);
            let skipped = (0..).take_while(|_| !backoff.may_try()).count();
            assert_eq!(skipped, expected);
            backoff.left.store(0, Ordering::Relaxed);
        }
        for _ in 0..20 {
            backoff.note_silent(slot);
        }
        assert_eq!(backoff.left.load(Ordering::Relaxed), MOST_SKIPPED);
        backoff.skip(0);
        assert!(backoff.may_try() && backoff.may_try());
    }

    // The thread that had not answered was gone, or parked, or back at work, and a thousand grace periods more
    // interrupted everybody.
    #[test]
    fn a_thread_that_was_silent_no_longer_was_given_up_for_long() {
        let engine = Engine::new();
        let slot = engine.arena.claim();
        let silent = || {
            let backoff = Backoff::new();
            (0..8).for_each(|_| backoff.note_silent(slot));
            assert!(!backoff.may_try());
            backoff
        };
        let backoff = silent();
        let parked = slot.park();
        assert!(backoff.may_try(), "it parks");
        drop(parked);
        assert!(!backoff.may_try());
        slot.word.store(1, Ordering::Relaxed);
        assert!(backoff.may_try(), "it reads");
        slot.word.store(Word::IDLE.raw(), Ordering::Relaxed);
        engine.arena.release(slot, Word::IDLE);
        assert!(backoff.may_try(), "it is gone");
    }

    /// A reader's answer is found, and nobody is waited for who need not answer.
    #[test]
    fn a12_readers_answer_and_idle_parked_vacant_and_abandoned_slots_are_told_apart() {
        let engine = Engine::new();
        let slots: Vec<_> = (0..5).map(|_| engine.arena.claim()).collect();
        let [reader, idle, parked, gone, abandoned] = slots[..] else {
            unreachable!("five were claimed")
        };
        engine.arena.release(gone, Word::IDLE);
        engine.arena.abandon(abandoned);
        let _parked = parked.park();
        let read_mostly = &engine.read_mostly;
        let round = 1 + read_mostly.coop_round.fetch_add(1, Ordering::SeqCst);
        assert!(answers(parked, round, &mut 0), "waited for a parked thread");
        assert!(answers(gone, round, &mut 0), "waited for nobody");
        assert!(!answers(idle, round, &mut 3), "an idle thread has answered");
        // A later exit hook of its thread may read through a leaked handle, without a fence.
        assert!(!answers(abandoned, round, &mut 3), "passed by");
        read_mostly.request.ask_for_acks();
        std::thread::scope(|s| {
            s.spawn(|| {
                assert!(engine.asks());
                engine.answer(reader, Word::IDLE);
            });
        });
        assert!(answers(reader, round, &mut 0), "the answer was lost");
        let next = round + 1;
        assert!(!answers(reader, next, &mut 3), "an old answer, a new round");
    }
}

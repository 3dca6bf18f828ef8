//! One reader slot: who owns it, its word, and what cooperative rounds ask of it.

use crate::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence, store_and_fence};
use core::panic::Location;

use crate::sys;
use crate::word::Word;

pub(super) const FREE: u64 = 0;
pub(super) const CLAIMED: u64 = 1;
/// Claimed for ever: its thread ended inside a section (rule A7).
pub(super) const ABANDONED: u64 = 2;
/// Claimed by a thread whose end nobody will see, because the process has no pthread key left.
pub(super) const UNWATCHED: u64 = 3;
/// Taken from a thread that ended unseen, and not free yet.
pub(super) const SWEPT: u64 = 4;
/// Which of these; above it claims are counted, so that no two claims of a slot look alike.
pub(super) const KIND: u64 = 7;
pub(super) const ONE_CLAIM: u64 = KIND + 1;

pub(super) fn kind(state: u64) -> u64 {
    state & KIND
}

/// One registered reader: a cache line that only its thread writes and grace periods read.
///
/// # Invariants
/// 1. While claimed, only the owning thread (and its signal handlers, nested) writes `word` and `deeper`.
///    `owner` is 0 in a free slot, so a thread never takes another's slot for its own.
/// 2. An abandoned slot keeps its word for ever.
/// 3. Slots are freed with their arena only; all-zero bytes are a free slot.
/// 4. `tid` is 0 in a free slot, and until the claimer has stored its own.
/// 5. In an arena of [`crate::srcu`] `state` stays [`FREE`] and the word alone says who owns the slot:
///    whoever moves it from 0 by a CAS, or has it [`Word::KEPT`]. `owner` is 0 while the word is 0.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Slot {
    /// The reader word. See [`crate::word`].
    pub(crate) word: AtomicU64,
    /// Sections open beyond [`Word::MAX_DEPTH`]; in srcu, 1 where the guard was made to be handed over.
    pub(crate) deeper: AtomicU32,
    pub(super) tid: AtomicI32,
    /// One of [`FREE`] to [`SWEPT`], and the number of the claim. While claimed, changed by the owner only,
    /// or when the owner is no more.
    pub(super) state: AtomicU64,
    /// [`thread_id`] of the owner.
    pub(super) owner: AtomicU64,
    /// Where the outermost section was opened, in builds with debug assertions; else null.
    pub(super) place: AtomicPtr<Location<'static>>,
    pub(super) name: [AtomicU64; 2],
    /// The newest cooperative round that the owner has answered. Never reset: round numbers are not used
    /// again.
    pub(crate) ack: AtomicU64,
}

#[cfg(not(loom))]
static_assertions::const_assert_eq!(size_of::<Slot>(), 64);

impl Slot {
    /// A slot with this word that nobody owns.
    pub(crate) const fn with_word(word: Word) -> Self {
        Self {
            word: AtomicU64::new(word.raw()),
            deeper: AtomicU32::new(0),
            tid: AtomicI32::new(0),
            state: AtomicU64::new(FREE),
            owner: AtomicU64::new(0),
            place: AtomicPtr::new(core::ptr::null_mut()),
            name: [const { AtomicU64::new(0) }; 2],
            ack: AtomicU64::new(0),
        }
    }

    /// The word as its own thread, or a diagnosis, sees it.
    #[inline(always)]
    pub(crate) fn word(&self) -> Word {
        Word::from_raw(self.word.load(Ordering::Relaxed))
    }

    /// The word as a grace period must read it: Acquire, so that everything a section did before its
    /// Release exit happens before what the updater does next.
    #[inline(always)]
    pub(crate) fn scan(&self) -> Word {
        Word::from_raw(self.word.load(Ordering::Acquire))
    }

    /// The word as a sleeper must read it after it armed the request. SeqCst: against a reader that leaves
    /// by a SeqCst exchange and then loads the request SeqCst, one of the two sees the other's store.
    pub(crate) fn scan_after_arming(&self) -> Word {
        Word::from_raw(self.word.load(Ordering::SeqCst))
    }

    /// [`thread_id`] of the thread that claimed the slot last.
    pub(crate) fn owner(&self) -> u64 {
        self.owner.load(Ordering::Relaxed)
    }

    /// Whether the slot is claimed by the thread with this [`thread_id`]. Exact for the calling thread: the
    /// state is read with Acquire, and whoever freed the slot had cleared the owner before.
    pub(crate) fn belongs_to(&self, thread: u64) -> bool {
        let state = self.state.load(Ordering::Acquire);
        matches!(kind(state), CLAIMED | UNWATCHED) && self.owner() == thread
    }

    /// Notes that nobody will see the owner's end.
    pub(crate) fn set_unwatched(&self) {
        self.turn_to(UNWATCHED, Ordering::Relaxed);
    }

    /// By the owner, or in its place.
    pub(super) fn turn_to(&self, kind: u64, order: Ordering) {
        let claim = self.state.load(Ordering::Relaxed) & !KIND;
        self.state.store(claim | kind, order);
    }

    /// Whether the owner ended inside a section.
    pub(crate) fn is_abandoned(&self) -> bool {
        kind(self.state.load(Ordering::Acquire)) == ABANDONED
    }

    /// Whether nobody has claimed this slot. Acquire pairs with the Release of [`Arena::release`]: the
    /// sections of the last owner are visible.
    ///
    /// An abandoned slot is not vacant: its thread is about to end, but a later exit hook of that thread may
    /// still read through the handle that it leaked, without a fence.
    pub(crate) fn is_vacant(&self) -> bool {
        kind(self.state.load(Ordering::Acquire)) == FREE
    }

    /// Claims the slot if it is free.
    pub(super) fn try_claim(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let claimed = ((state + ONE_CLAIM) & !KIND) | CLAIMED;
        // Acquire pairs with the Release of `release` and `sweep`: the idle word of the last owner is visible
        // before the slot is ours.
        kind(state) == FREE
            && self
                .state
                .compare_exchange(state, claimed, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether the owner has ended, outside all sections, and nobody will say so; the state at that moment.
    ///
    /// The tid is that of this very claim: the Acquire load of the state sees the 0 that stood there before
    /// it (invariant 4), and if the state has not changed by the time that [`Arena::sweep`] exchanges it, no
    /// later owner has stored another. A thread that is not there by then has made its last access, and the
    /// fence keeps ours behind the kernel's answer.
    pub(super) fn outlived_its_owner(&self) -> Option<u64> {
        let state = self.state.load(Ordering::Acquire);
        let tid = self.tid.load(Ordering::Relaxed);
        let ended =
            matches!(kind(state), CLAIMED | UNWATCHED) && tid != 0 && !sys::thread_exists(tid);
        if !ended {
            return None;
        }
        fence(Ordering::SeqCst);
        (self.scan().depth() == 0 && self.deeper.load(Ordering::Relaxed) == 0).then_some(state)
    }

    /// Abandons an unwatched slot whose owner has ended inside a section; whether it did. The tid is that of this
    /// claim: see [`outlived_its_owner`](Self::outlived_its_owner).
    pub(super) fn abandon_for_its_owner(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        let tid = self.tid.load(Ordering::Relaxed);
        if kind(state) != UNWATCHED || tid == 0 || sys::thread_exists(tid) {
            return false;
        }
        fence(Ordering::SeqCst); // our access of the word behind the kernel's answer
        let abandoned = (state & !KIND) | ABANDONED;
        // Release as of `Arena::abandon`, for `is_abandoned`.
        self.scan().depth() != 0
            && self
                .state
                .compare_exchange(state, abandoned, Ordering::Release, Ordering::Relaxed)
                .is_ok()
    }

    /// Tells cooperative rounds to pass this slot by until the result is dropped. For the owner alone.
    ///
    /// A section that begins meanwhile takes the slow path, because of the flag, and executes a full fence.
    /// Without effect inside a section.
    pub(crate) fn park(&self) -> Parked<'_> {
        if self.word() == Word::IDLE {
            // Release pairs with the Acquire of a cooperative round: what the sections before did is visible
            // to who passes us by.
            self.word
                .store(Word::IDLE_FALLBACK.raw(), Ordering::Release);
            Parked(Some(self))
        } else {
            Parked(None)
        }
    }

    /// Remembers where the outermost section began.
    #[inline(always)]
    pub(crate) fn set_place(&self, place: &'static Location<'static>) {
        self.place
            .store(core::ptr::from_ref(place).cast_mut(), Ordering::Relaxed);
    }

    /// Where the outermost section began, if that is known.
    pub(crate) fn place(&self) -> Option<&'static Location<'static>> {
        let at = self.place.load(Ordering::Relaxed);
        // SAFETY: `set_place` stores only addresses of `&'static Location`, everything else is null.
        unsafe { at.as_ref() }
    }

    /// The owner's tid and name. Racing with a claim it may mix two threads; it is for messages only.
    pub(crate) fn identity(&self) -> (i32, [u8; 16]) {
        let mut name = [0; 16];
        for (bytes, half) in name.chunks_exact_mut(8).zip(&self.name) {
            bytes.copy_from_slice(&half.load(Ordering::Relaxed).to_ne_bytes());
        }
        (self.tid.load(Ordering::Relaxed), name)
    }

    /// Stores who owns the slot; again in a forked child, whose thread has another tid.
    pub(crate) fn set_identity(&self, owner: u64) {
        self.set_owner(owner, sys::gettid(), halves(sys::thread_name()));
    }

    /// The same with tid and name from the caller.
    pub(crate) fn set_owner(&self, owner: u64, tid: i32, name: [u64; 2]) {
        self.owner.store(owner, Ordering::Relaxed);
        self.tid.store(tid, Ordering::Relaxed);
        for (half, value) in self.name.iter().zip(name) {
            half.store(value, Ordering::Relaxed);
        }
    }

    /// Before the word becomes 0: a free slot is nobody's.
    pub(crate) fn disown(&self) {
        self.owner.store(0, Ordering::Relaxed);
    }
}

/// A slot that cooperative rounds pass by; `None` where it is in fallback mode or inside a section anyway.
#[derive(Debug)]
pub(crate) struct Parked<'a>(Option<&'a Slot>);

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            // Not plainly idle: a guard may have been made meanwhile, and be alive still.
            let word = slot.word().without_fallback();
            // Pairs with the fence of a cooperating updater, between its removal and its look at this word:
            // either it sees that we are back and waits for our answer, or what we read from now on sees the
            // removal (models/park-leave).
            store_and_fence(&slot.word, word.raw());
        }
    }
}

/// A thread's name as slots keep it.
pub(crate) fn halves(name: [u8; 16]) -> [u64; 2] {
    let mut halves = [0; 2];
    for (half, bytes) in halves.iter_mut().zip(name.chunks_exact(8)) {
        let mut raw = [0; 8];
        raw.copy_from_slice(bytes);
        *half = u64::from_ne_bytes(raw);
    }
    halves
}

//! Reader slots: an append-only arena, freed never (threads) or as a whole (srcu).
//!
//! A scan therefore needs no lock, and a thread that ends cannot race with it. 10 000 idle slots are
//! scanned in 6 us because they are contiguous (a linked list of thread-local readers takes 277 us).
//! Chunks after the first come from mmap, not malloc: a signal handler may register its thread.
//!
//! # Claim and release (rule A9)
//! A claim is an Acquire CAS of `state`; then the high-water mark and the count of claimed slots go up;
//! then the *caller* executes a full fence before the thread's first section. A release stores the idle
//! word, then `state`, then lowers the count, all Release. An updater reads mark and count with Acquire
//! after its own full fence. So either the updater sees the slot, or the new reader sees the removal.
//!
//! # Slots of threads that ended unseen
//! A thread that reads after its last exit hook (a later hook of its last round, a handler of a signal that it does
//! not block) claims a slot that nobody gives back, and so does every thread of a process without a pthread key
//! left. Before the arena grows, its claimer looks for them: see [`Arena::sweep`].

use crate::atomic::{AtomicPtr, AtomicUsize, Ordering};
use core::ptr::NonNull;

mod slot;

pub(crate) use crate::identity::thread_id;
use crate::sys;
use crate::word::Word;
use slot::{ABANDONED, FREE, KIND, SWEPT, kind};
pub(crate) use slot::{Parked, Slot, halves};

/// Slots in a chunk. 64 slots are one page.
const CHUNK: usize = if cfg!(loom) { 4 } else { 64 };

#[repr(C)]
#[derive(Debug)]
struct Chunk {
    slots: [Slot; CHUNK],
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    const fn new() -> Self {
        Self {
            slots: [const { Slot::with_word(Word::IDLE) }; CHUNK],
            next: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&Chunk> {
        // Acquire pairs with the Release CAS of `next_or_append`: the zeroed slots are visible before the link.
        let at = self.next.load(Ordering::Acquire);
        // SAFETY: null, or a chunk that `next_or_append` mapped; only the arena's drop unmaps it.
        unsafe { at.as_ref() }
    }

    /// The next chunk, made if there is none. `None`: the kernel has no page left.
    fn next_or_append(&self) -> Option<&Chunk> {
        if let Some(next) = self.next() {
            return Some(next);
        }
        let pages = sys::map_pages(size_of::<Chunk>())?;
        let fresh = pages.cast::<Chunk>().as_ptr();
        // Zeroed pages are a valid `Chunk`: free slots (invariant 3 of `Slot`) and a null link.
        let won = self
            .next
            .compare_exchange(
                core::ptr::null_mut(),
                fresh,
                Ordering::Release,
                Ordering::Relaxed,
            )
            .is_ok();
        if !won {
            // SAFETY: clause 1: mapped above with this size; losing the CAS, nobody saw it.
            unsafe { sys::unmap_pages(pages, size_of::<Chunk>()) };
        }
        self.next()
    }
}

/// All slots of one domain.
#[derive(Debug)]
pub(crate) struct Arena {
    first: Chunk,
    /// One past the highest slot ever claimed.
    high_water: AtomicUsize,
    /// Slots that are claimed or abandoned.
    claimed: AtomicUsize,
    /// With so many slots in use the arena is swept before it grows.
    sweep_at: AtomicUsize,
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            first: Chunk::new(),
            high_water: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
            sweep_at: AtomicUsize::new(0),
        }
    }

    /// Claims a slot for the calling thread. The caller executes a full fence before the first section.
    ///
    /// Lock-free, allocates at most pages. Aborts with a message when the kernel has no page left:
    /// entering a read section cannot fail. Costs a system call for each slot when the arena grows, once for
    /// each doubling of the slots in use.
    pub(crate) fn claim(&self) -> &Slot {
        let mut base = 0;
        let mut chunk = &self.first;
        loop {
            for (i, slot) in chunk.slots.iter().enumerate() {
                if slot.try_claim() {
                    slot.set_identity(thread_id());
                    slot.place.store(core::ptr::null_mut(), Ordering::Relaxed);
                    self.high_water.fetch_max(base + i + 1, Ordering::SeqCst);
                    self.claimed.fetch_add(1, Ordering::SeqCst);
                    return slot;
                }
            }
            if chunk.next().is_none() && self.sweep() {
                (chunk, base) = (&self.first, 0);
                continue;
            }
            base += CHUNK;
            chunk = match chunk.next_or_append() {
                Some(next) => next,
                None => sys::die("urcu: no memory for another reader slot (mmap failed)\n"),
            };
        }
    }

    /// Frees the slots of threads that ended unseen. Whether there was one.
    ///
    /// Lock-free, async-signal-safe. Not for slots with an open section: whatever that protects may be in use
    /// for ever (rule A7). A thread is told by its tid, so memory and slots must not be shared with a process
    /// (vfork(2), or clone(2) without `CLONE_THREAD`) that reads.
    fn sweep(&self) -> bool {
        // No more often than the slots in use double: the slots of the dead are fewer than those of the living
        // ever were.
        let claimed = self.claimed();
        if claimed < self.sweep_at.load(Ordering::Relaxed) {
            return false;
        }
        let mut freed = 0;
        let me = thread_id();
        for slot in self.slots() {
            if slot.owner() == me {
                continue; // in a child whose hooks have not run its tid is another
            }
            let Some(state) = slot.outlived_its_owner() else {
                continue;
            };
            // Nobody else frees it (another sweep may), and nobody claims it before.
            let unclaimed = (state & !KIND) | SWEPT;
            let won = slot
                .state
                .compare_exchange(state, unclaimed, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
            if won {
                self.give_back(slot);
                freed += 1;
            }
        }
        self.sweep_at
            .store((claimed - freed) * 2, Ordering::Relaxed);
        freed != 0
    }

    /// Claims a slot for one guard by storing the word of its section; looks at the slot `first` and those
    /// behind it, then from the beginning. Also gives the slot's index. The caller orders the claim before
    /// what the section reads.
    ///
    /// Lock-free; aborts as [`claim`](Self::claim) does. Costs a look at each used slot in the worst case,
    /// which is once for each [`CHUNK`] guards more than ever before.
    pub(crate) fn claim_with_word(&self, first: usize, entered: Word) -> (&Slot, usize) {
        let (mut chunk, mut base) = (&self.first, 0);
        // Slots of mapped chunks, also above the mark, before a chunk more is mapped.
        while let Some(next) = chunk.next().filter(|_| first >= base + CHUNK) {
            (chunk, base) = (next, base + CHUNK);
        }
        let mut skip = first.saturating_sub(base) % CHUNK;
        let mut wrapped = first == 0;
        loop {
            for (i, slot) in chunk.slots.iter().enumerate().skip(skip) {
                // AcqRel: Acquire pairs with the Release of the last owner's idle word; Release as of
                // `PUBLISH`.
                let claimed = slot.word.load(Ordering::Relaxed) == 0
                    && slot
                        .word
                        .compare_exchange(0, entered.raw(), Ordering::AcqRel, Ordering::Relaxed)
                        .is_ok();
                if claimed {
                    if self.high_water.load(Ordering::Relaxed) <= base + i {
                        self.high_water.fetch_max(base + i + 1, Ordering::SeqCst);
                    }
                    return (slot, base + i);
                }
            }
            skip = 0;
            (chunk, base) = match chunk.next() {
                Some(next) => (next, base + CHUNK),
                None if !wrapped => {
                    wrapped = true;
                    (&self.first, 0)
                }
                None => match chunk.next_or_append() {
                    Some(next) => (next, base + CHUNK),
                    None => sys::die("urcu: no memory for another reader slot (mmap failed)\n"),
                },
            };
        }
    }

    /// In a forked child, for an arena of srcu: ends the sections that other threads than `me` had open,
    /// and frees the slots that they kept. A slot with a guard stays the guard's (rule A6).
    pub(crate) fn shed(&self, me: u64) {
        for (i, slot) in self.mapped().enumerate() {
            let word = slot.word();
            if slot.owner() == me {
                slot.set_identity(me);
            } else if word == Word::KEPT {
                slot.disown();
                slot.word.store(0, Ordering::Relaxed);
            } else if word.depth() != 0 {
                slot.word.store(Word::SHED.raw(), Ordering::Relaxed);
                self.high_water.fetch_max(i + 1, Ordering::Relaxed);
            }
        }
    }

    /// Gives a slot back. Only its owner calls this, outside all sections.
    pub(crate) fn release(&self, slot: &Slot, idle: Word) {
        debug_assert_eq!(slot.word().depth(), 0);
        slot.word.store(idle.raw(), Ordering::Release);
        self.give_back(slot);
    }

    fn give_back(&self, slot: &Slot) {
        slot.owner.store(0, Ordering::Relaxed);
        slot.tid.store(0, Ordering::Relaxed);
        slot.turn_to(FREE, Ordering::Release);
        // Release: who reads the lower count with Acquire has seen all sections of this thread end.
        self.claimed.fetch_sub(1, Ordering::Release);
    }

    /// Keeps a slot for ever: its thread ended inside a section, or leaked its handle (rule A7).
    pub(crate) fn abandon(&self, slot: &Slot) {
        slot.turn_to(ABANDONED, Ordering::Release);
    }

    /// Before a fork: abandons the slots of threads that ended unseen inside a section, so that the child can tell
    /// them from those of threads that it has not. How many there were. A system call for each unwatched slot.
    pub(crate) fn abandon_for_the_dead(&self) -> u64 {
        let abandoned = self.slots().filter(|slot| slot.abandon_for_its_owner());
        abandoned.count() as u64
    }

    /// In a forked child: gives back the slots of all threads but `me`. Those that belong to threads which
    /// ended with something leaked stay: what a leaked guard protected may live in memory that the child has too.
    pub(crate) fn keep_only(&self, me: u64) {
        let mut kept = 0;
        for slot in self.mapped() {
            if slot.belongs_to(me) {
                slot.set_identity(me);
            } else if !matches!(kind(slot.state.load(Ordering::Relaxed)), FREE | ABANDONED) {
                slot.word.store(Word::IDLE.raw(), Ordering::Relaxed);
                slot.owner.store(0, Ordering::Relaxed);
                slot.tid.store(0, Ordering::Relaxed);
                slot.turn_to(FREE, Ordering::Relaxed);
            }
            kept += usize::from(!slot.is_vacant());
        }
        self.claimed.store(kept, Ordering::SeqCst);
    }

    /// How many slots are claimed or abandoned. Read after the updater's own full fence.
    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Acquire)
    }

    /// All slots ever claimed, in order. Made after the updater's own full fence.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.mapped().take(self.high_water.load(Ordering::Acquire))
    }

    /// All slots that there are. For a forked child: a thread that is not here may have claimed a slot and not
    /// raised the mark yet.
    fn mapped(&self) -> impl Iterator<Item = &Slot> {
        let chunks = core::iter::successors(Some(&self.first), |chunk| chunk.next());
        chunks.flat_map(|chunk| &chunk.slots)
    }
}

impl Drop for Arena {
    /// Only for domains that are values; a static is never dropped.
    fn drop(&mut self) {
        let mut at = *self.first.next.get_mut();
        while let Some(chunk) = NonNull::new(at) {
            // SAFETY: a chunk that `next_or_append` mapped; `&mut self`: nobody else reaches it.
            at = unsafe { chunk.as_ref() }.next.load(Ordering::Relaxed);
            // SAFETY: clause 1: mapped with this size; slots borrow the arena, so none is in use.
            unsafe { sys::unmap_pages(chunk.cast(), size_of::<Chunk>()) };
        }
    }
}

#[cfg(test)]
mod tests;

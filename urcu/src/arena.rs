//! Reader slots: an append-only arena that is never freed.
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

use core::panic::Location;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::sys;
use crate::word::Word;

/// Slots in a chunk. 64 slots are one page.
const CHUNK: usize = 64;

const FREE: u32 = 0;
const CLAIMED: u32 = 1;
/// Claimed for ever: its thread ended inside a section (rule A7).
const ABANDONED: u32 = 2;
/// Claimed by a thread whose end nobody will see, because the process has no pthread key left.
const UNWATCHED: u32 = 3;

/// One registered reader: a cache line that only its thread writes and grace periods read.
///
/// # Invariants
/// 1. While claimed, only the owning thread (and its signal handlers, nested) writes `word` and `deeper`.
///    `owner` is 0 in a free slot, so a thread never takes another's slot for its own.
/// 2. An abandoned slot keeps its word for ever.
/// 3. Slots are never freed; all-zero bytes are a free slot.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Slot {
    /// The reader word. See [`crate::word`].
    pub(crate) word: AtomicU64,
    /// Sections open beyond [`Word::MAX_DEPTH`].
    pub(crate) deeper: AtomicU32,
    state: AtomicU32,
    /// [`thread_id`] of the owner.
    owner: AtomicU64,
    /// Where the outermost section was opened, in builds with debug assertions; else null.
    place: AtomicPtr<Location<'static>>,
    tid: AtomicI32,
    name: [AtomicU64; 2],
}

static_assertions::const_assert_eq!(size_of::<Slot>(), 64);

impl Slot {
    /// A slot with this word that nobody owns.
    pub(crate) const fn with_word(word: Word) -> Self {
        Self {
            word: AtomicU64::new(word.raw()),
            deeper: AtomicU32::new(0),
            state: AtomicU32::new(FREE),
            owner: AtomicU64::new(0),
            place: AtomicPtr::new(core::ptr::null_mut()),
            tid: AtomicI32::new(0),
            name: [const { AtomicU64::new(0) }; 2],
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
        matches!(self.state.load(Ordering::Acquire), CLAIMED | UNWATCHED) && self.owner() == thread
    }

    /// Notes that nobody will see the owner's end.
    pub(crate) fn set_unwatched(&self) {
        self.state.store(UNWATCHED, Ordering::Relaxed);
    }

    /// Whether the owner ended inside a section.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.load(Ordering::Acquire) == ABANDONED
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
        self.owner.store(owner, Ordering::Relaxed);
        self.tid.store(sys::gettid(), Ordering::Relaxed);
        let name = sys::thread_name();
        for (bytes, half) in name.chunks_exact(8).zip(&self.name) {
            let mut raw = [0; 8];
            raw.copy_from_slice(bytes);
            half.store(u64::from_ne_bytes(raw), Ordering::Relaxed);
        }
    }
}

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

    fn next(&self) -> Option<&'static Chunk> {
        // Acquire pairs with the Release CAS of `append`: the zeroed slots are visible before the link.
        let at = self.next.load(Ordering::Acquire);
        // SAFETY: null, or a chunk that `append` mapped and nobody ever unmaps.
        unsafe { at.as_ref() }
    }

    /// The next chunk, made if there is none. `None`: the kernel has no page left.
    fn next_or_append(&self) -> Option<&'static Chunk> {
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
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            first: Chunk::new(),
            high_water: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
        }
    }

    /// Claims a slot for the calling thread. The caller executes a full fence before the first section.
    ///
    /// Lock-free, allocates at most pages. Aborts with a message when the kernel has no page left:
    /// entering a read section cannot fail.
    pub(crate) fn claim(&'static self) -> &'static Slot {
        let mut base = 0;
        let mut chunk = &self.first;
        loop {
            for (i, slot) in chunk.slots.iter().enumerate() {
                // Acquire pairs with the Release of `release`: the idle word of the last owner is
                // visible before the slot is ours.
                let claimed = slot.state.load(Ordering::Relaxed) == FREE
                    && slot
                        .state
                        .compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed)
                        .is_ok();
                if claimed {
                    slot.set_identity(thread_id());
                    slot.place.store(core::ptr::null_mut(), Ordering::Relaxed);
                    self.high_water.fetch_max(base + i + 1, Ordering::SeqCst);
                    self.claimed.fetch_add(1, Ordering::SeqCst);
                    return slot;
                }
            }
            base += CHUNK;
            chunk = match chunk.next_or_append() {
                Some(next) => next,
                None => sys::die("urcu: no memory for another reader slot (mmap failed)\n"),
            };
        }
    }

    /// Gives a slot back. Only its owner calls this, outside all sections.
    pub(crate) fn release(&self, slot: &Slot, idle: Word) {
        debug_assert_eq!(slot.word().depth(), 0);
        slot.word.store(idle.raw(), Ordering::Release);
        slot.owner.store(0, Ordering::Relaxed);
        slot.state.store(FREE, Ordering::Release);
        // Release: who reads the lower count with Acquire has seen all sections of this thread end.
        self.claimed.fetch_sub(1, Ordering::Release);
    }

    /// Keeps a slot for ever: its thread ended inside a section, or leaked its handle (rule A7).
    pub(crate) fn abandon(&self, slot: &Slot) {
        slot.state.store(ABANDONED, Ordering::Release);
    }

    /// In a forked child: gives back the slots of all threads but `me`. Those that belong to threads which
    /// ended, or may have ended, with something leaked stay: what a leaked guard protected may live in
    /// memory that the child has too.
    pub(crate) fn keep_only(&'static self, me: u64) {
        let mut kept = 0;
        for slot in self.slots() {
            if slot.belongs_to(me) {
                slot.set_identity(me);
            } else if slot.state.load(Ordering::Relaxed) == CLAIMED {
                slot.word.store(Word::IDLE.raw(), Ordering::Relaxed);
                slot.owner.store(0, Ordering::Relaxed);
                slot.state.store(FREE, Ordering::Relaxed);
            }
            kept += usize::from(slot.state.load(Ordering::Relaxed) != FREE);
        }
        self.claimed.store(kept, Ordering::SeqCst);
    }

    /// How many slots are claimed or abandoned. Read after the updater's own full fence.
    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Acquire)
    }

    /// All slots ever claimed, in order. Made after the updater's own full fence.
    pub(crate) fn slots(&'static self) -> impl Iterator<Item = &'static Slot> {
        let chunks = core::iter::successors(Some(&self.first), |chunk| chunk.next());
        chunks
            .flat_map(|chunk| &chunk.slots)
            .take(self.high_water.load(Ordering::Acquire))
    }
}

/// A number that no other thread of this process ever has (a tid may be used again).
pub(crate) fn thread_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static ID: AtomicU64 = const { AtomicU64::new(0) };
    }
    ID.with(|id| match id.load(Ordering::Relaxed) {
        0 => {
            let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
            // A signal handler may have come first in between; then its number stands.
            match id.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => fresh,
                Err(earlier) => earlier,
            }
        }
        id => id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaked() -> &'static Arena {
        Box::leak(Box::new(Arena::new()))
    }

    #[test]
    fn slots_are_claimed_once_and_used_again() {
        let arena = leaked();
        let slots: Vec<_> = (0..CHUNK * 3 + 5).map(|_| arena.claim()).collect();
        let mut addresses: Vec<_> = slots
            .iter()
            .map(|s| core::ptr::from_ref(*s).addr())
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), slots.len(), "a slot was claimed twice");
        assert_eq!(arena.claimed(), slots.len());
        assert_eq!(arena.slots().count(), slots.len());
        for slot in &slots {
            arena.release(slot, Word::IDLE);
        }
        assert_eq!(arena.claimed(), 0);
        let again = arena.claim();
        assert!(
            core::ptr::eq(again, slots[0]),
            "the first free slot is used again"
        );
        assert_eq!(
            arena.slots().count(),
            slots.len(),
            "the high-water mark never falls"
        );
    }

    #[test]
    fn an_abandoned_slot_is_never_claimed_again() {
        let arena = leaked();
        let slot = arena.claim();
        arena.abandon(slot);
        assert!(slot.is_abandoned());
        assert!(!core::ptr::eq(arena.claim(), slot));
        assert_eq!(arena.claimed(), 2);
    }

    // A thread that had owned the slot before took it for its own while another thread claimed it.
    #[test]
    fn a_freed_slot_still_named_its_last_owner() {
        let arena = leaked();
        let me = thread_id();
        let slot = arena.claim();
        assert!(slot.belongs_to(me));
        arena.release(slot, Word::IDLE);
        assert!(!slot.belongs_to(me));
        slot.state.store(CLAIMED, Ordering::Relaxed); // another thread, before it has stored its name
        assert!(!slot.belongs_to(me));
    }

    #[test]
    fn claims_from_many_threads_never_share_a_slot() {
        let arena = leaked();
        let claim = || {
            (0..200)
                .map(|_| core::ptr::from_ref(arena.claim()).addr())
                .collect()
        };
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || -> Vec<usize> { claim() }))
            .collect();
        let mut all: Vec<usize> = threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 800);
        assert_eq!(arena.slots().count(), 800);
    }

    #[test]
    fn thread_ids_differ() {
        let mine = thread_id();
        assert_eq!(mine, thread_id());
        assert_ne!(mine, std::thread::spawn(thread_id).join().unwrap());
    }
}

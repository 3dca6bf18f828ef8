//! A bucket: a word of six tags, a cache line of six pointers, and more of both where six do not do.
//!
//! The words of a table lie side by side, apart from the lines: eight bytes for each bucket stay in the near caches,
//! so that a lookup soon knows whether there is something to follow.
//!
//! The pointers are the truth, the tags a filter: a slot's tag is set before its pointer and cleared after it,
//! so that one load of the word tells a lookup which of the six to follow, mostly none or one. The word is
//! also the lock of those who change the bucket, which lookups do not look at.
//!
//! # Orderings
//! * A pointer is stored with Release, loaded with Acquire: the node's contents are visible, and so is the tag,
//!   which was stored before it: who has seen the entry finds it again.
//! * A segment is linked with Release when its first entry is in it, and found with Acquire. The flag that
//!   there is one is set before and cleared after, as a tag.
//! * The lock is taken with an Acquire CAS and given back with a Release store: what one holder stored the
//!   next one sees, so holders may load relaxed.
//! * `MOVED` is stored with Release after the copies in the next table, and loaded with Acquire: who sees it
//!   and goes there finds at least the copies.

use crate::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::ptr::{self, NonNull};

use super::section::Section;
use crate::backoff::Backoff;
use crate::identity;
use crate::prefetch::prefetch;

/// Entries in a cache line beside the word and the link.
pub(super) const SLOTS: usize = if cfg!(loom) { 2 } else { 6 };

/// The word of a segment: six tags of a byte, 0 for none, and flags. In the first segment of a bucket also the lock,
/// with the number of forks at which it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    const TAGS: u64 = (1 << 48) - 1;
    const FORKS_SHIFT: u32 = 48;
    const FORKS_MASK: u64 = (1 << 13) - 1;
    /// There is a further segment.
    const FURTHER: u64 = 1 << 61;
    const CONTENTS: u64 = Self::TAGS | Self::FURTHER;
    /// The contents are in the next table; those here do not change any more.
    const MOVED: u64 = 1 << 62;
    /// Somebody changes the bucket.
    const LOCKED: u64 = 1 << 63;

    const EACH: u64 = 0x0101_0101_0101;

    pub(super) fn is_moved(self) -> bool {
        self.0 & Self::MOVED != 0
    }

    pub(super) fn is_locked(self) -> bool {
        self.0 & Self::LOCKED != 0
    }

    /// Whether the lock was taken by a thread of a process that this one was forked from.
    ///
    /// The number is modulo 2^13, of generations: each is the child of the one before. A lock that is left behind, and
    /// that nobody comes to for 8192 generations but just in that one, would seem to be held there, and be waited
    /// for without end. Nothing else follows: who finds it held does not touch the bucket.
    fn is_deserted(self) -> bool {
        let forks = self.0 >> Self::FORKS_SHIFT & Self::FORKS_MASK;
        forks != u64::from(identity::forks()) & Self::FORKS_MASK
    }

    fn locked(self) -> Self {
        let forks = u64::from(identity::forks()) & Self::FORKS_MASK;
        Self(self.0 & Self::CONTENTS | forks << Self::FORKS_SHIFT | Self::LOCKED)
    }

    fn unlocked(self) -> Self {
        Self(self.0 & Self::CONTENTS)
    }

    fn moved(self) -> Self {
        Self(self.0 & Self::CONTENTS | Self::MOVED)
    }

    fn with_tag(self, index: usize, tag: u8) -> Self {
        let shift = 8 * index;
        Self(self.0 & !(0xff << shift) | u64::from(tag) << shift)
    }

    fn with_further(self, is: bool) -> Self {
        Self(self.0 & !Self::FURTHER | if is { Self::FURTHER } else { 0 })
    }

    #[inline]
    pub(super) fn has_further(self) -> bool {
        self.0 & Self::FURTHER != 0
    }

    /// The slots with this tag, and sometimes one above such a slot, which does no harm.
    #[inline]
    pub(super) fn candidates(self, tag: u8) -> Candidates {
        // The classic search for a zero byte (Mycroft 1987): a borrow may run on into the next byte.
        let differ = (self.0 & Self::TAGS) ^ (Self::EACH * u64::from(tag));
        Candidates(differ.wrapping_sub(Self::EACH) & !differ & (Self::EACH << 7))
    }
}

/// Indices of slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidates(u64);

impl Iterator for Candidates {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let index = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(index)
    }
}

/// Six slots for entries. All-zero bytes are empty ones.
///
/// # Invariants
/// 1. A slot is null or points to a node from `Box::into_raw`, which is retired after the slot was changed
///    (or after `MOVED` was set and the slot of the next table was changed).
/// 2. A slot that is not null has its node's tag in the word. An entry stays in its slot for as long as it is in
///    the table, and is in one slot of the chain at most: a replaced one is replaced in place.
/// 3. `next` is null or a segment from `Box::into_raw`, which is retired after it was unlinked (or after
///    `MOVED` was set). While it is not null the word says so. A segment's own `next` is not changed once it is
///    unlinked.
/// 4. Only who holds the lock in the first segment's word stores anything. With `MOVED` set nobody does.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Line<N> {
    slots: [AtomicPtr<N>; SLOTS],
    next: AtomicPtr<Further<N>>,
}

/// A segment behind the first one.
#[derive(Debug)]
pub(super) struct Further<N> {
    word: AtomicU64,
    line: Line<N>,
}

/// Segments to link.
pub(super) type Spares<N> = Vec<Box<Further<N>>>;

#[cfg(not(loom))]
static_assertions::const_assert_eq!(size_of::<Line<u8>>(), 64);

impl<N> Line<N> {
    /// Takes the segments out that `&mut` proves to be nobody's but the caller's.
    pub(super) fn take_further(&mut self) -> *mut Further<N> {
        core::mem::replace(self.next.get_mut(), ptr::null_mut())
    }

    /// Takes the entry out of a slot, where `&mut` proves that there is no reader.
    pub(super) fn take_node(&mut self, index: usize) -> *mut N {
        core::mem::replace(self.slots[index].get_mut(), ptr::null_mut())
    }
}

impl<N> Further<N> {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            line: Line {
                slots: [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS],
                next: AtomicPtr::new(ptr::null_mut()),
            },
        }
    }

    pub(super) fn line_mut(&mut self) -> &mut Line<N> {
        &mut self.line
    }

    /// The pointer to the next segment, as it came from its box.
    pub(super) fn next_address(&self) -> *mut Self {
        self.line.next.load(Ordering::Acquire)
    }
}

/// A bucket, which is its first segment, or a further segment.
#[derive(Debug)]
pub(super) struct Bucket<'g, N> {
    word: &'g AtomicU64,
    line: &'g Line<N>,
}

impl<N> Clone for Bucket<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Bucket<'_, N> {}

impl<N> PartialEq for Bucket<'_, N> {
    /// Whether it is the same segment.
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.line, other.line)
    }
}

impl<'g, N> Bucket<'g, N> {
    #[inline]
    pub(super) fn new(word: &'g AtomicU64, line: &'g Line<N>) -> Self {
        Self { word, line }
    }

    /// Has the line fetched while the word is: where it lies does not depend on the word. Without this the two misses
    /// of a key that is there come one after the other, and that of its entry after both.
    #[inline]
    pub(super) fn prefetch(self) {
        prefetch(self.line);
    }

    /// The tags and flags as a lookup sees them.
    #[inline]
    pub(super) fn word(self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// The entry in a slot.
    #[inline]
    pub(super) fn entry(self, index: usize, _section: Section<'g>) -> Option<&'g N> {
        let at = self.line.slots[index].load(Ordering::Acquire);
        // SAFETY: invariant 1; the section holds back what is retired in it. A moved bucket's slots are
        // followed only by who saw it before it was moved, in the same section.
        unsafe { at.as_ref() }
    }

    /// The next segment.
    #[inline]
    pub(super) fn next(self, _section: Section<'g>) -> Option<Self> {
        let at = self.line.next.load(Ordering::Acquire);
        // SAFETY: invariant 3; the section holds back what is retired in it.
        let further = unsafe { at.as_ref() }?;
        Some(Self::new(&further.word, &further.line))
    }

    /// This segment and those behind it.
    pub(super) fn segments(self, section: Section<'g>) -> impl Iterator<Item = Self> {
        core::iter::successors(Some(self), move |segment| segment.next(section))
    }

    /// All entries: the pointers as the slots gave them.
    pub(super) fn places(self, section: Section<'g>) -> impl Iterator<Item = Place<'g, N>> {
        let slots = |segment: Self| (0..SLOTS).filter_map(move |index| segment.place(index));
        self.segments(section).flat_map(slots)
    }

    /// How many more entries there is room for in the segments that are there.
    pub(super) fn room(self, section: Section<'g>) -> usize {
        let is_free = |segment: Self| (0..SLOTS).filter(move |&i| segment.address(i).is_null());
        self.segments(section).flat_map(is_free).count()
    }

    /// The address in a slot, to compare and not to follow.
    pub(super) fn address(self, index: usize) -> *mut N {
        self.line.slots[index].load(Ordering::Relaxed)
    }

    /// Takes the lock; `None` if the bucket was moved. Blocking: another thread holds it for some hundred
    /// instructions, a mover for as long as its bucket's chain is; waits as [`Backoff`] does.
    pub(super) fn lock(self) -> Option<Locked<'g, N>> {
        let mut backoff = Backoff::new();
        loop {
            let word = self.word();
            if word.is_moved() {
                return None;
            }
            let deserted = word.is_locked() && word.is_deserted();
            if !word.is_locked() || deserted {
                let locked = word.locked();
                // Acquire: pairs with `unlock`. Nobody but a holder changes an unlocked word or a deserted one.
                let taken = self.word.compare_exchange_weak(
                    word.0,
                    locked.0,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                );
                if taken.is_ok() {
                    return Some(Locked {
                        bucket: self,
                        word: locked,
                        deserted,
                    });
                }
            }
            backoff.wait();
        }
    }
}

/// The right to change a bucket. Gives the lock back when dropped.
///
/// # Invariants
/// 1. The bucket's word is `word`, which is locked, by us.
#[derive(Debug)]
pub(super) struct Locked<'b, N> {
    bucket: Bucket<'b, N>,
    word: Word,
    /// It was taken over from a thread that is not in this process.
    pub(super) deserted: bool,
}

impl<'b, N> Locked<'b, N> {
    /// The first segment.
    pub(super) fn bucket(&self) -> Bucket<'b, N> {
        self.bucket
    }

    fn set_word(&mut self, segment: Bucket<'_, N>, change: impl FnOnce(Word) -> Word) {
        let first = segment == self.bucket;
        let word = change(if first { self.word } else { segment.word() });
        if first {
            // INVARIANT: 1.
            self.word = word;
        }
        // Relaxed would do for what is set: the Release store of the pointer comes after it.
        segment.word.store(word.0, Ordering::Release);
    }

    /// Puts an entry into the first free slot of `from` or behind it, or into one of the spares, which is
    /// linked then; `false`, and nothing has happened, where there is neither. Leaves in `from` where it came to.
    ///
    /// The entry is in the table from the store of its pointer on, or from that of the link.
    ///
    /// # Safety
    /// 1. `node` came from `Box::into_raw`, the caller gives it up, and its tag is `tag`.
    pub(super) unsafe fn put(
        &mut self,
        from: &mut Bucket<'b, N>,
        node: NonNull<N>,
        tag: u8,
        spares: &mut Spares<N>,
        section: Section<'b>,
    ) -> bool {
        loop {
            let segment = *from;
            if let Some(index) = (0..SLOTS).find(|&i| segment.address(i).is_null()) {
                // INVARIANT: 2: the tag first.
                self.set_word(segment, |word| word.with_tag(index, tag));
                segment.line.slots[index].store(node.as_ptr(), Ordering::Release);
                return true;
            }
            match segment.next(section) {
                Some(next) => *from = next,
                None => break,
            }
        }
        let Some(spare) = spares.pop() else {
            return false;
        };
        let word = Word(0).with_tag(0, tag);
        spare.word.store(word.0, Ordering::Relaxed);
        spare.line.slots[0].store(node.as_ptr(), Ordering::Relaxed);
        // INVARIANT: 3: the flag first.
        self.set_word(*from, |word| word.with_further(true));
        from.line
            .next
            .store(Box::into_raw(spare), Ordering::Release);
        true
    }

    /// Replaces the entry in a slot, and gives the old one up.
    ///
    /// # Safety
    /// 1. As [`put`](Self::put); the slot is in use, in this bucket, by an entry with the same key.
    pub(super) unsafe fn replace(&mut self, place: &Place<'_, N>, node: NonNull<N>) -> NonNull<N> {
        // One store: a lookup finds the old entry or the new one.
        place.segment.line.slots[place.index].store(node.as_ptr(), Ordering::Release);
        place.node
    }

    /// Takes an entry out, and gives it up. Gives the segment up, too, if that was its last one: it came
    /// from `Box::into_raw` and is unlinked.
    ///
    /// The entry is out of the table from the store of the null on.
    pub(super) fn take(
        &mut self,
        place: &Place<'b, N>,
        section: Section<'b>,
    ) -> Option<NonNull<Further<N>>> {
        let segment = place.segment;
        segment.line.slots[place.index].store(ptr::null_mut(), Ordering::Release);
        self.set_word(segment, |word| word.with_tag(place.index, 0));
        if segment == self.bucket || (0..SLOTS).any(|i| !segment.address(i).is_null()) {
            return None;
        }
        let mut segments = self.bucket.segments(section);
        let before = segments.find(|before| before.next(section) == Some(segment))?;
        // The pointer that came from the box, not one made from our reference.
        let unlinked = before.line.next.load(Ordering::Relaxed);
        let behind = segment.line.next.load(Ordering::Relaxed);
        before.line.next.store(behind, Ordering::Release);
        if behind.is_null() {
            self.set_word(before, |word| word.with_further(false));
        }
        NonNull::new(unlinked)
    }

    /// Takes every entry out of whose address `is_out` says so. Leaves segments linked.
    pub(super) fn purge(&mut self, is_out: impl Fn(*mut N) -> bool, section: Section<'b>) {
        for segment in self.bucket.segments(section) {
            for index in 0..SLOTS {
                let at = segment.address(index);
                if !at.is_null() && is_out(at) {
                    segment.line.slots[index].store(ptr::null_mut(), Ordering::Release);
                    self.set_word(segment, |word| word.with_tag(index, 0));
                }
            }
        }
    }

    /// Marks the bucket as moved, for ever, and gives its further segments up: the first one, and each links
    /// the next.
    pub(super) fn set_moved(self) -> *mut Further<N> {
        let further = self.bucket.line.next.load(Ordering::Relaxed);
        // Release: pairs with `Bucket::word`.
        self.bucket
            .word
            .store(self.word.moved().0, Ordering::Release);
        core::mem::forget(self);
        further
    }
}

impl<N> Drop for Locked<'_, N> {
    fn drop(&mut self) {
        self.bucket
            .word
            .store(self.word.unlocked().0, Ordering::Release);
    }
}

/// Where an entry was found.
#[derive(Debug)]
pub(super) struct Place<'g, N> {
    pub(super) segment: Bucket<'g, N>,
    pub(super) index: usize,
    /// The pointer as the slot gave it.
    pub(super) node: NonNull<N>,
}

impl<'g, N> Place<'g, N> {
    pub(super) fn get(&self, _section: Section<'g>) -> &'g N {
        // SAFETY: as in `Bucket::entry`.
        unsafe { self.node.as_ref() }
    }

    /// Whether the entry is still there.
    pub(super) fn is_current(&self) -> bool {
        ptr::eq(self.segment.address(self.index), self.node.as_ptr())
    }
}

impl<'g, N> Bucket<'g, N> {
    /// The pointer in a slot.
    #[inline]
    pub(super) fn place(self, index: usize) -> Option<Place<'g, N>> {
        let node = NonNull::new(self.line.slots[index].load(Ordering::Acquire))?;
        Some(Place {
            segment: self,
            index,
            node,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_with_the_tag_is_a_candidate_and_none_below_the_first() {
        let tags = [0_u8, 1, 2, 127, 128, 255];
        for a in tags {
            for b in tags {
                for (i, j) in [(0, 1), (1, 0), (2, 5), (5, 2), (4, 5)] {
                    let word = Word(Word::LOCKED | Word::FURTHER | 0x1fff << 48)
                        .with_tag(i, a)
                        .with_tag(j, b);
                    for tag in 1..=255_u8 {
                        let found: Vec<_> = word.candidates(tag).collect();
                        let has = |index: usize| word.0 >> (8 * index) & 0xff == u64::from(tag);
                        let real: Vec<_> = (0..SLOTS).filter(|&i| has(i)).collect();
                        assert!(real.iter().all(|i| found.contains(i)), "{word:x?} {tag}");
                        assert_eq!(found.first(), real.first(), "{word:x?} {tag}");
                        assert!(found.iter().all(|&i| i < SLOTS));
                    }
                }
            }
        }
    }

    #[test]
    fn the_flags_and_the_tags_do_not_touch() {
        let word = Word(0).with_tag(5, 255).with_tag(0, 7);
        assert_eq!(word.locked().unlocked(), word);
        assert!(word.locked().is_locked() && !word.locked().is_moved());
        assert!(word.locked().moved().is_moved() && !word.locked().moved().is_locked());
        assert_eq!(word.with_tag(5, 0).with_tag(0, 0), Word(0));
        assert!(!word.locked().is_deserted());
        let further = word.with_further(true);
        assert!(further.has_further() && further.locked().has_further());
        assert_eq!(further.locked().unlocked().with_further(false), word);
    }
}

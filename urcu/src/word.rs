//! The reader word: what one reader tells all grace periods, in one u64.
//!
//! ```text
//!  63                                  16 15 14 13           0
//! +--------------------------------------+--+--+--------------+
//! | grace-period sequence at entry       |U |F | depth        |
//! +--------------------------------------+--+--+--------------+
//! ```
//! * depth: how many sections are open, 0 to 16 383; what goes beyond is counted in the slot.
//! * F, *fallback*: set where membarrier is absent and while a thread is parked, idle or not; it only forces
//!   the slow path, with its fence.
//! * U, *unregistered*: only in the sentinel slot; it forces the slow path too.
//!
//! In the slots of [`crate::srcu`] each guard has a word of its own, depth 0 or 1, and the flags say who may
//! use an idle slot: see [`Word::KEPT`] and [`Word::SHED`].
//!
//! Depth and flags are different things (rule A10): scan, misuse check and thread exit look at
//! [`Word::depth`]; only the fast-path branch looks at all 16 bits.

/// A snapshot of a reader word. See the module's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(u64);

const SHIFT: u32 = 16;
const DEPTH: u64 = (1 << 14) - 1;
const FALLBACK: u64 = 1 << 14;
const UNREGISTERED: u64 = 1 << 15;
const LOW_HALF: u64 = (1 << SHIFT) - 1;

impl Word {
    /// Outside all sections.
    pub(crate) const IDLE: Self = Self(0);
    /// Outside all sections, where every entry must take the slow path.
    pub(crate) const IDLE_FALLBACK: Self = Self(FALLBACK);
    /// The sentinel's word.
    pub(crate) const SENTINEL: Self = Self(UNREGISTERED);
    /// The word of an idle srcu slot that one thread keeps for its next section. (0: anybody may claim it.)
    pub(crate) const KEPT: Self = Self(FALLBACK);
    /// The word of an srcu slot whose section another thread had open at a fork: over, in this child, but
    /// the slot belongs to its guard, which may still exist.
    pub(crate) const SHED: Self = Self(UNREGISTERED);
    /// The deepest nesting that the word itself counts.
    pub(crate) const MAX_DEPTH: u64 = DEPTH;

    #[inline(always)]
    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(crate) const fn raw(self) -> u64 {
        self.0
    }

    /// Idle, registered and not in fallback mode: the next entry may publish the sequence as it is.
    #[inline(always)]
    pub(crate) const fn takes_fast_entry(self) -> bool {
        self.0 & LOW_HALF == 0
    }

    /// One section open and no flag: leaving may publish [`Word::IDLE`].
    #[inline(always)]
    pub(crate) const fn takes_fast_exit(self) -> bool {
        self.0 & LOW_HALF == 1
    }

    /// How many sections are open.
    pub(crate) const fn depth(self) -> u64 {
        self.0 & DEPTH
    }

    /// Whether this is the sentinel's word.
    pub(crate) const fn is_sentinel(self) -> bool {
        self.0 & UNREGISTERED != 0
    }

    /// Whether the fallback flag is set.
    pub(crate) const fn is_fallback(self) -> bool {
        self.0 & FALLBACK != 0
    }

    /// The same without the fallback flag.
    pub(crate) const fn without_fallback(self) -> Self {
        Self(self.0 & !FALLBACK)
    }

    /// The word of a first section that began at `sequence`, flags kept.
    pub(crate) const fn entered(self, sequence: Sequence) -> Self {
        Self(sequence.0 | (self.0 & FALLBACK))
    }

    /// The same with one section more. The caller has checked [`Word::MAX_DEPTH`].
    pub(crate) const fn deeper(self) -> Self {
        Self(self.0 + 1)
    }

    /// The same with one section less; from depth 1 the idle word of the same mode.
    pub(crate) const fn shallower(self) -> Self {
        if self.depth() == 1 {
            Self(self.0 & FALLBACK)
        } else {
            Self(self.0 - 1)
        }
    }

    /// Whether a grace period that stepped the sequence to `target` must wait for this reader: it is
    /// inside a section, and its sequence is older. A sequence published late is old and only delays.
    #[inline]
    pub(crate) const fn holds_back(self, target: Sequence) -> bool {
        self.depth() != 0 && self.began_before(target)
    }

    /// How many grace periods have begun between this word's sequence and `now`.
    pub(crate) const fn steps_behind(self, now: Sequence) -> u64 {
        (now.0 >> SHIFT).saturating_sub(self.0 >> SHIFT)
    }

    /// Whether the word's sequence is older than `target`.
    pub(crate) const fn began_before(self, target: Sequence) -> bool {
        self.0 >> SHIFT < target.0 >> SHIFT
    }
}

/// A grace-period sequence, kept as the word of a reader that enters at it: `n << 16 | 1`.
///
/// 48 bits: 89 years at 100 000 grace periods a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence(u64);

impl Sequence {
    pub(crate) const FIRST: Self = Self((1 << SHIFT) | 1);
    /// What one grace period adds to the raw value.
    pub(crate) const STEP: u64 = 1 << SHIFT;

    #[inline(always)]
    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(crate) const fn raw(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + Self::STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_of_depth_flags_and_sequence() {
        let mut sequence = Sequence::FIRST;
        for n in 1..2000_u64 {
            for idle in [Word::IDLE, Word::IDLE_FALLBACK] {
                let mut word = idle.entered(sequence);
                assert_eq!(word.raw() >> SHIFT, n);
                assert_eq!(word.is_fallback(), idle.is_fallback());
                for depth in 1..40 {
                    assert_eq!(word.depth(), depth);
                    assert!(
                        !word.takes_fast_entry(),
                        "a nested reader must take the slow path"
                    );
                    assert_eq!(word.takes_fast_exit(), depth == 1 && !idle.is_fallback());
                    word = word.deeper();
                }
                for depth in (1..=40).rev() {
                    assert_eq!(word.depth(), depth);
                    word = word.shallower();
                }
                assert_eq!(word, idle);
            }
            sequence = sequence.next();
        }
    }

    // A10: flags are not depth. The sentinel and an idle fallback reader take the slow path, and hold
    // no grace period back.
    #[test]
    fn idle_flags_are_not_depth() {
        for idle in [Word::IDLE_FALLBACK, Word::SENTINEL] {
            assert!(!idle.takes_fast_entry());
            assert_eq!(idle.depth(), 0);
            assert!(!idle.holds_back(Sequence::from_raw(u64::MAX)));
        }
        assert!(Word::IDLE.takes_fast_entry());
        assert!(Word::SENTINEL.is_sentinel());
        assert!(!Word::IDLE_FALLBACK.is_sentinel());
    }

    #[test]
    fn only_older_sections_hold_a_grace_period_back() {
        let old = Sequence::FIRST;
        let new = old.next();
        assert!(Word::IDLE.entered(old).holds_back(new));
        assert_eq!(Word::IDLE.entered(old).deeper().steps_behind(new.next()), 2);
        assert_eq!(Word::IDLE.entered(new).steps_behind(old), 0);
        assert!(Word::IDLE.entered(old).deeper().holds_back(new));
        assert!(Word::IDLE_FALLBACK.entered(old).holds_back(new));
        assert!(!Word::IDLE.entered(new).holds_back(new));
        assert!(!Word::IDLE.entered(new.next()).holds_back(new));
        // The deepest nesting does not spill into the flags or the sequence.
        let deepest = Word::from_raw(old.raw() - 1 + Word::MAX_DEPTH);
        assert_eq!(deepest.depth(), Word::MAX_DEPTH);
        assert!(!deepest.is_fallback() && !deepest.is_sentinel());
        assert!(!deepest.holds_back(old) && deepest.holds_back(new));
    }
}

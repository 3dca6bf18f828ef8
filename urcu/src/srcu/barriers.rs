//! What differs between srcu and the flavors: nothing of the grace period, only its barriers.
//!
//! A claim is no registration: no fence stands between it and the section. So the heavy barrier is never
//! skipped (rule A9), and carries the whole argument of `crate::gp`: for the thread that published a guard's
//! word there is a point in its program order, before which word and high-water mark are visible to the scan,
//! and after which the section sees the removal. A guard that moved to another thread took that view along:
//! whatever moved it is a Release and an Acquire (checked with herd7: a relaxed hand-over is refuted).

use crate::atomic::{AtomicU64, Ordering, fence};

use crate::barrier;
use crate::gp::{Barriers, WakeProof};
use crate::word::Word;

/// The barriers of [`crate::Srcu`].
#[derive(Debug)]
pub(crate) enum SrcuBarriers {}

impl Barriers for SrcuBarriers {
    const NAME: &'static str = "srcu";
    const SKIP_WHEN_ALONE: bool = false;
    const COUNTS_SECTIONS: bool = true;

    /// Release on every machine: who sees the word sees the owner that was stored before.
    #[inline(always)]
    fn publish(word: &AtomicU64, entered: u64) {
        word.store(entered, Ordering::Release);
        order_publication();
    }

    fn heavy_barrier() {
        barrier::heavy();
    }

    fn wake_proof() -> WakeProof {
        // In the fallback nothing stands between a guard's end and its look at the request.
        if barrier::membarrier_works() {
            WakeProof::HeavyBarrier
        } else {
            WakeProof::None
        }
    }

    fn idle() -> Word {
        Word::IDLE
    }
}

/// The light side of the first row of the table in `crate::barrier`, after a word was stored. Where
/// membarrier is absent a full fence, which meets the updater's: either the scan sees the word, or the
/// section sees the removal.
#[inline(always)]
pub(super) fn order_publication() {
    barrier::light();
    if !barrier::membarrier_works() {
        fence(Ordering::SeqCst);
    }
}

//! `mb`: readers pay one full barrier at entry, grace periods a fence. Works everywhere.

use crate::atomic::{AtomicU64, Ordering, fence};

use crate::arena::Slot;
use crate::barrier;
use crate::flavor::{PUBLISH, registered, thread_slot};
use crate::gp::{Barriers, Engine, Global, WakeProof};
use crate::word::Word;

/// The barriers of [`crate::Mb`].
#[derive(Debug)]
pub enum MbBarriers {}

static ENGINE: Engine = Engine::new();

thread_slot!(MbBarriers, "mb");

impl Barriers for MbBarriers {
    const NAME: &'static str = "mb";
    const SKIP_WHEN_ALONE: bool = false;
    const COUNTS_SECTIONS: bool = true;

    /// Store-buffering against the updater's fence: either the scan sees this word, or the section sees
    /// the removal. x86: one locked exchange (5 ns; a fence costs 16). Elsewhere an exchange does not order
    /// the loads after it (acquire and release exchanges were both refuted by herd7): store and fence.
    #[inline(always)]
    fn publish(word: &AtomicU64, entered: u64) {
        if cfg!(target_arch = "x86_64") {
            word.swap(entered, Ordering::SeqCst);
            barrier::light();
        } else {
            word.store(entered, PUBLISH);
            fence(Ordering::SeqCst);
        }
    }

    fn heavy_barrier() {
        fence(Ordering::SeqCst);
    }

    fn wake_proof() -> WakeProof {
        WakeProof::None // no fence between exit and request, and no barrier that reaches the reader
    }

    fn idle() -> Word {
        Word::IDLE
    }
}

impl Global for MbBarriers {
    const RING: Option<usize> = Some(1);

    #[inline(always)]
    fn engine() -> &'static Engine {
        &ENGINE
    }

    fn thread_slot() -> Option<&'static Slot> {
        registered::<Self>()
    }
}

//! `qsbr`: quiescent-state-based. Readers pay nothing; threads announce when they hold no reference.
//!
//! An online thread's word has depth 1 all the time: it is one long section that `quiescent_state` cuts
//! by publishing a newer sequence. No fence is needed there: an announcement is not followed by reads
//! that must be kept from an *older* sequence. It is an exchange only for the sleeper's sake (rule A14).

use crate::atomic::{AtomicU64, Ordering, fence};

use crate::flavor::PUBLISH;
use crate::gp::{Barriers, Engine, Global, WakeProof};
use crate::word::Word;

/// The barriers of [`crate::Qsbr`].
#[derive(Debug)]
pub enum QsbrBarriers {}

static ENGINE: Engine = Engine::new();

impl Barriers for QsbrBarriers {
    const NAME: &'static str = "qsbr";
    const SKIP_WHEN_ALONE: bool = false;
    const COUNTS_SECTIONS: bool = false;

    /// Going online. The fence pairs with the updater's: either the scan sees this word, or what the
    /// thread reads from now on sees the removal.
    fn publish(word: &AtomicU64, entered: u64) {
        word.store(entered, PUBLISH);
        fence(Ordering::SeqCst);
    }

    fn heavy_barrier() {
        fence(Ordering::SeqCst);
    }

    fn wake_proof() -> WakeProof {
        WakeProof::ReaderFence // announcements and exits are exchanges
    }

    fn idle() -> Word {
        Word::IDLE
    }
}

impl Global for QsbrBarriers {
    const RING: Option<usize> = Some(2);

    #[inline(always)]
    fn engine() -> &'static Engine {
        &ENGINE
    }
}

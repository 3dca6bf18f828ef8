//! `memb`: readers pay a compiler barrier, each grace period one membarrier(2).
//!
//! Where membarrier is absent, the idle word carries a flag that sends every entry through the slow path,
//! which executes a fence there; nobody else pays a test.

use crate::atomic::AtomicU64;

use crate::arena::Slot;
use crate::barrier;
use crate::flavor::{PUBLISH, registered, thread_slot};
use crate::gp::{Barriers, Engine, Global, WakeProof};
use crate::word::Word;

/// The barriers of [`crate::Memb`].
#[derive(Debug)]
pub enum MembBarriers {}

static ENGINE: Engine = Engine::new();

thread_slot!(MembBarriers, "memb");

impl Barriers for MembBarriers {
    const NAME: &'static str = "memb";
    const SKIP_WHEN_ALONE: bool = true;
    const COUNTS_SECTIONS: bool = true;

    #[inline(always)]
    fn publish(word: &AtomicU64, entered: u64) {
        word.store(entered, PUBLISH);
        // Pairs with `heavy_barrier`, first row of the table in `crate::barrier`.
        barrier::light();
    }

    fn heavy_barrier() {
        barrier::heavy();
    }

    fn patient_barrier() -> bool {
        barrier::heavy_and_patient()
    }

    fn cooperates() -> bool {
        // In the fallback readers have fences, and the heavy barrier is only ours: nothing to save.
        barrier::membarrier_works()
    }

    fn wake_proof() -> WakeProof {
        // In the fallback readers have no fence between exit and request, and `heavy` is only ours.
        if barrier::membarrier_works() {
            WakeProof::HeavyBarrier
        } else {
            WakeProof::None
        }
    }

    fn idle() -> Word {
        if barrier::membarrier_works() {
            Word::IDLE
        } else {
            Word::IDLE_FALLBACK
        }
    }
}

impl Global for MembBarriers {
    const RING: Option<usize> = Some(0);

    #[inline(always)]
    fn engine() -> &'static Engine {
        &ENGINE
    }

    fn thread_slot() -> Option<&'static Slot> {
        registered::<Self>()
    }
}

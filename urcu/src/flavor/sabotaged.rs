//! Flavors for tests: `memb` once more with statics of its own, whole, and with one fault each.
//!
//! The whole one keeps tests from disturbing each other through the real `Memb`. The faulty ones are the
//! controls: a test that does not find the fault proves nothing about the code without it.

use crate::flavor::Domain;

macro_rules! like_memb {
    ($(#[$doc:meta])* $domain:ident in $module:ident: $name:literal, $sabotage:ident,
     skip: $skip:literal, cooperates: $cooperates:literal, heavy: $heavy:expr, proof: $proof:expr) => {
        mod $module {
            use crate::atomic::AtomicU64;

            use crate::arena::Slot;
            use crate::barrier;
            use crate::flavor::{PUBLISH, registered, thread_slot};
            use crate::gp::{Barriers, Engine, Global, Sabotage, WakeProof};
            use crate::word::Word;

            #[derive(Debug)]
            pub(crate) enum Copied {}

            static ENGINE: Engine = Engine::new();

            thread_slot!(Copied, $name);

            impl Barriers for Copied {
                const NAME: &'static str = $name;
                const SKIP_WHEN_ALONE: bool = $skip;
                const COUNTS_SECTIONS: bool = true;
                const SABOTAGE: Sabotage = Sabotage::$sabotage;

                #[inline(always)]
                fn publish(word: &AtomicU64, entered: u64) {
                    word.store(entered, PUBLISH);
                    barrier::light();
                }

                fn heavy_barrier() {
                    let heavy: fn() = $heavy;
                    heavy();
                }

                fn cooperates() -> bool {
                    $cooperates && barrier::membarrier_works()
                }

                fn wake_proof() -> WakeProof {
                    let proof: fn() -> WakeProof = $proof;
                    proof()
                }

                fn idle() -> Word {
                    if barrier::membarrier_works() {
                        Word::IDLE
                    } else {
                        Word::IDLE_FALLBACK
                    }
                }
            }

            impl Global for Copied {
                fn engine() -> &'static Engine {
                    &ENGINE
                }

                fn thread_slot() -> Option<&'static Slot> {
                    registered::<Self>()
                }
            }
        }
        $(#[$doc])*
        pub(crate) type $domain = Domain<$module::Copied>;
    };
}

fn membarrier() {
    crate::barrier::heavy();
}

fn proof_of_memb() -> crate::gp::WakeProof {
    <crate::flavor::MembBarriers as crate::gp::Barriers>::wake_proof()
}

like_memb!(
    /// `Memb` with statics of its own.
    Private in private: "private", None,
    skip: true, cooperates: false, heavy: super::membarrier, proof: super::proof_of_memb
);
like_memb!(
    /// `Memb` with statics of its own, for the test that needs a domain where nobody else is registered.
    Lonely in lonely: "lonely", None,
    skip: true, cooperates: false, heavy: super::membarrier, proof: super::proof_of_memb
);
like_memb!(
    /// `Memb` with statics of its own, where cooperative rounds are the only heavy barriers that count: no
    /// other thread is registered that would not answer.
    Cooperative in cooperative: "cooperative", None,
    skip: false, cooperates: true, heavy: super::membarrier, proof: super::proof_of_memb
);
like_memb!(
    /// `synchronize` returns at once.
    NoGracePeriod in no_grace_period: "no-grace-period", NoGracePeriod,
    skip: true, cooperates: false, heavy: super::membarrier, proof: super::proof_of_memb
);
like_memb!(
    /// The scan looks at the first reader only.
    FirstReaderOnly in first_reader_only: "first-reader-only", FirstReaderOnly,
    skip: true, cooperates: false, heavy: super::membarrier, proof: super::proof_of_memb
);
like_memb!(
    /// An inner exit ends the outer section.
    FlatNesting in flat_nesting: "flat-nesting", FlatNesting,
    skip: true, cooperates: false, heavy: super::membarrier, proof: super::proof_of_memb
);
like_memb!(
    /// Readers without fences, grace periods without membarrier.
    NoHeavyBarrier in no_heavy_barrier: "no-heavy-barrier", None,
    skip: false, cooperates: false, heavy: || {}, proof: || WakeProof::None
);

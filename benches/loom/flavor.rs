//! The flavors of the models: the real engine, guards and handles, with barriers that loom knows.
//!
//! An engine is made anew for each execution. `light` and `heavy` are SeqCst fences (see [`crate::atomic`]);
//! a [`Fault`] takes one of them away, to see that the model finds it.

use core::marker::PhantomData;
use std::sync::atomic::AtomicPtr as StdPtr;
use std::sync::atomic::AtomicU8 as StdU8;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use crate::arena::Slot;
use crate::atomic::{AtomicU64, Ordering};
use crate::gp::{Barriers, Engine, Global, WakeProof};
use crate::word::Word;

/// What a control leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    NoHeavyBarrier,
    NoLightBarrier,
    /// `mb` publishes by a store alone.
    NoPublishFence,
    /// A push does not look whether the worker sleeps.
    PushWakesNobody,
    /// Nobody waits for callbacks.
    NoBarrier,
    /// A cookie of the round in flight instead of the next one.
    CookieOfARoundInFlight,
    /// `qsbr` announces by a SeqCst store and looks at the request Relaxed (liburcu 0.15.0 to 0.15.5).
    StoreInsteadOfExchange,
    /// Nodes of the stack are used again at once.
    NoGracePeriod,
    /// Pointers are stored without Release.
    RelaxedStores,
    /// Pointers are loaded without Acquire.
    RelaxedLoads,
    /// Pointers are exchanged without Acquire and Release.
    RelaxedExchanges,
}

static FAULT: StdU8 = StdU8::new(0);

pub(crate) fn set_fault(fault: Fault) {
    FAULT.store(fault as u8, Relaxed);
}

pub(crate) fn has(fault: Fault) -> bool {
    FAULT.load(Relaxed) == fault as u8
}

static ENGINE: StdPtr<Engine> = StdPtr::new(core::ptr::null_mut());

/// Makes the engine of one execution, and touches its atomics so that their first values belong to nobody.
/// Leaks it: a model's threads may hold what it lent until the execution ends.
pub(crate) fn new_engine() -> &'static Engine {
    let engine: &'static Engine = Box::leak(Box::new(Engine::new()));
    let _ = format!("{engine:?}");
    ENGINE.store(core::ptr::from_ref(engine).cast_mut(), Release);
    engine
}

fn current_engine() -> &'static Engine {
    let at = ENGINE.load(Acquire);
    assert!(!at.is_null(), "no execution has begun");
    // SAFETY: `new_engine` leaked it.
    unsafe { &*at }
}

pub(crate) struct Domain<B>(PhantomData<fn() -> B>);

impl<B> Domain<B> {
    /// What is called here frees memory, and no model that comes to it lets the section end.
    pub(crate) fn call_sized(_bytes: usize, callback: impl FnOnce() + Send + 'static) {
        core::mem::forget(callback);
    }
}

pub(crate) trait Flavor: 'static {
    type Barriers: Global;
}

impl<B: Global> Flavor for Domain<B> {
    type Barriers = B;
}

pub(crate) fn engine<F: Flavor>() -> &'static Engine {
    F::Barriers::engine()
}

/// Named by the sources; no model registers a thread by its first section.
pub(crate) trait Automatic: Global {
    fn current() -> &'static Slot;
    fn install(slot: &'static Slot) -> bool;
    fn uninstall();
}

/// As on weakly ordered machines.
pub(crate) const PUBLISH: Ordering = Relaxed;

macro_rules! flavor {
    ($barriers:ident as $domain:ident, $name:literal, ring: $ring:expr, skip: $skip:literal, counts: $counts:literal,
     publish: $publish:expr, heavy: $heavy:expr, proof: $proof:ident, cooperates: $cooperates:literal) => {
        #[derive(Debug)]
        pub(crate) enum $barriers {}

        pub(crate) type $domain = Domain<$barriers>;

        impl Barriers for $barriers {
            const NAME: &'static str = $name;
            const SKIP_WHEN_ALONE: bool = $skip;
            const COUNTS_SECTIONS: bool = $counts;
            fn publish(word: &AtomicU64, entered: u64) {
                let publish: fn(&AtomicU64, u64) = $publish;
                publish(word, entered);
            }
            fn heavy_barrier() {
                let heavy: fn() = $heavy;
                heavy();
            }
            fn wake_proof() -> WakeProof {
                WakeProof::$proof
            }
            fn cooperates() -> bool {
                $cooperates
            }
            fn idle() -> Word {
                Word::IDLE
            }
        }

        impl Global for $barriers {
            const RING: Option<usize> = $ring;

            fn engine() -> &'static Engine {
                current_engine()
            }
        }
    };
}

fn publish_lightly(word: &AtomicU64, entered: u64) {
    word.store(entered, PUBLISH);
    crate::barrier::light();
}

/// As the hardware sees it while nobody interrupts.
fn publish_barely(word: &AtomicU64, entered: u64) {
    word.store(entered, PUBLISH);
}

/// Whether the one reader of a model has left for good.
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Made by the thread that asks, before the others begin.
pub(crate) fn reader_left() -> &'static AtomicU64 {
    let _ = format!("{LEFT:?}");
    &LEFT
}

/// A barrier that no reader can be wrong about.
fn wait_for_the_reader() {
    while LEFT.load(Acquire) == 0 {
        crate::sys::yield_now();
    }
}

fn publish_fenced(word: &AtomicU64, entered: u64) {
    word.store(entered, PUBLISH);
    if !has(Fault::NoPublishFence) {
        crate::atomic::fence(SeqCst);
    }
}

fn fenced() {
    crate::atomic::fence(SeqCst);
}

fn heavy() {
    crate::barrier::heavy();
}

flavor!(MembBarriers as Memb, "memb", ring: Some(0), skip: false, counts: true,
    publish: publish_lightly, heavy: heavy, proof: HeavyBarrier, cooperates: false);
flavor!(SkippingBarriers as Skipping, "memb, skipping", ring: None, skip: true, counts: true,
    publish: publish_barely, heavy: wait_for_the_reader, proof: HeavyBarrier, cooperates: false);
// Answers are its only heavy barrier: where they fail, it has none.
flavor!(CooperativeBarriers as Cooperative, "memb, cooperative", ring: None, skip: false, counts: true,
    publish: publish_lightly, heavy: heavy, proof: HeavyBarrier, cooperates: true);
flavor!(MbBarriers as Mb, "mb", ring: Some(1), skip: false, counts: true,
    publish: publish_fenced, heavy: fenced, proof: None, cooperates: false);
flavor!(QsbrBarriers as Qsbr, "qsbr", ring: Some(2), skip: false, counts: false,
    publish: publish_fenced, heavy: fenced, proof: ReaderFence, cooperates: false);

//! The inside of a domain: its engine, who holds it, and how it ends.
//!
//! Two counts: user handles share a [`Shared`], which shares the [`Core`] with the domain's worker. When the
//! last handle goes, the worker is told, runs what is queued, and ends. When handle and worker are gone, the
//! core goes, and its arena is unmapped.

use crate::atomic::{AtomicBool, AtomicU64, Ordering};
use core::mem;
use std::sync::Arc;

use crate::arena::{Slot, thread_id};
use crate::barrier;
use crate::gp::{Barriers as _, Engine};
use crate::home::Home;
use crate::shard::Shard;
use crate::srcu::barriers::SrcuBarriers;
use crate::srcu::pool::Pool;
use crate::srcu::registry::{self, Member};
use crate::stall::{self, Culprit, Report};
use crate::trace;
use crate::worker;

/// # Invariants
/// 1. It stands in the registry until it is dropped.
#[derive(Debug)]
pub(super) struct Core {
    member: Member,
    /// A wait inside a section of the waiting thread was reported.
    told: AtomicBool,
}

// What the documentation says a domain takes.
static_assertions::const_assert!(size_of::<Core>() <= 24 << 10);

impl Core {
    fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Before the first reader (rule A19).
        barrier::membarrier_works();
        let core = Arc::new(Self {
            member: Member::new(NEXT.fetch_add(1, Ordering::Relaxed)),
            told: AtomicBool::new(false),
        });
        // SAFETY: clause 1: the `Arc` never moves it, and its drop removes it.
        unsafe { registry::insert(&core.member) };
        core
    }

    #[inline(always)]
    pub(super) fn pool(&self) -> Pool<'_> {
        Pool {
            id: self.member.id,
            engine: &self.member.engine,
        }
    }

    /// The open sections.
    pub(super) fn sections(&self) -> impl Iterator<Item = &Slot> {
        let slots = self.member.engine.arena.slots();
        slots.filter(|slot| slot.scan().depth() != 0)
    }

    /// An open section that the calling thread began, and that was not made to be handed over. The owner is
    /// exact: it is stored before the Release of the word, and taken away before that of the idle word.
    pub(super) fn own_section(&self) -> Option<&Slot> {
        let me = thread_id();
        self.sections()
            .find(|slot| slot.owner() == me && slot.deeper.load(Ordering::Relaxed) == 0)
    }

    /// Before a wait: refuses it where that is certain, tells where it may be for ever.
    #[track_caller]
    pub(super) fn look_before_waiting(&self, what: &str) {
        refuse_in_hook(what);
        if let Some(slot) = self.own_section()
            && !self.told.swap(true, Ordering::Relaxed)
        {
            stall::report(Report::WaitsForItself {
                flavor: SrcuBarriers::NAME,
                culprit: Culprit::of(slot),
            });
        }
    }
}

#[track_caller]
pub(super) fn refuse_in_hook(what: &str) {
    trace::refuse_in_hook(SrcuBarriers::NAME, what);
}

impl Drop for Core {
    fn drop(&mut self) {
        // Before the arena is unmapped: fork and ending threads find it no more.
        registry::remove(&self.member);
    }
}

/// The worker's way to the domain.
impl Home for Arc<Core> {
    type B = SrcuBarriers;

    fn engine(&self) -> &Engine {
        &self.member.engine
    }
}

/// What the handles of a domain share. Its address is the domain's identity while a handle lives (rule A17).
#[derive(Debug)]
pub(super) struct Shared(Arc<Core>);

impl Shared {
    pub(super) fn new() -> Self {
        Self(Core::new())
    }

    #[inline(always)]
    pub(super) fn core(&self) -> &Arc<Core> {
        &self.0
    }
}

impl Drop for Shared {
    /// No handle is left, so no guard can be used any more: guards borrow a handle or own one. A section
    /// that is open all the same was forgotten. Nothing of it is freed, and it is told (rule A17).
    fn drop(&mut self) {
        let core = &self.0;
        if let Some(slot) = core.sections().next() {
            stall::report(Report::DroppedInSection {
                flavor: SrcuBarriers::NAME,
                culprit: Culprit::of(slot),
            });
            mem::forget(Arc::clone(core));
            return;
        }
        worker::close(core);
        if core.member.engine.backlog.shards().any(Shard::is_stranded) {
            // No worker can be started. They stay queued for ever, and so does the core: this may be
            // anywhere, and callbacks run in no such place (rule A11).
            stall::report(Report::CallbacksLeaked {
                flavor: SrcuBarriers::NAME,
                callbacks: core.member.engine.stats().callbacks_pending,
            });
            mem::forget(Arc::clone(core));
        }
    }
}

//! What the engine tells of its grace periods: events for the trace hook, stall reports, counters.

use core::time::Duration;
use std::time::Instant;

use super::rounds::Leadership;
use super::{Barriers, Caller, Engine, Scan};
use crate::arena::Slot;
use crate::atomic::Ordering;
use crate::stall::{self, Culprit, Report, Straggler};
use crate::stats::Stats;
use crate::trace::{self, BarrierKind, Trace};
use crate::word::{Sequence, Word};

/// So many readers are described in a report, the rest is counted.
const DESCRIBED: usize = 16;

impl Engine {
    /// [`lead`](Self::lead) between two events. The second comes when nobody waits for this thread any more.
    #[cold]
    pub(super) fn lead_and_tell<B: Barriers>(
        &self,
        leadership: Leadership<'_>,
        caller: Caller<'_>,
    ) {
        let round = self.updaters.rounds.started() + 1; // nobody else starts one now
        self.tell_around::<B>(Some(round), || self.lead::<B>(leadership, caller));
    }

    /// A grace period between two events.
    #[cold]
    pub(super) fn tell_around<B: Barriers>(
        &self,
        round: Option<u64>,
        grace_period: impl FnOnce() -> BarrierKind,
    ) {
        let flavor = B::NAME;
        trace::emit(Trace::GracePeriodBegin { flavor, round });
        let begun = Instant::now();
        let barrier = grace_period();
        trace::emit(Trace::GracePeriodEnd {
            flavor,
            round,
            barrier,
            took: begun.elapsed(),
        });
    }

    /// A snapshot of the counters.
    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        // What only follows is read first: it can then not be larger than what it follows.
        let abandoned = counters.abandoned.get();
        let claimed = self.arena.claimed() as u64;
        let mut stats = Stats {
            grace_periods: counters.grace_periods.get(),
            in_flight: self.updaters.rounds.in_flight(),
            shared: counters.shared.get(),
            heavy_barriers: counters.heavy_barriers.get(),
            patient_barriers: counters.patient_barriers.get(),
            cooperative: counters.cooperative.get(),
            sleeps: counters.sleeps.get(),
            stalls: counters.stalls.get(),
            longest_wait: counters.longest_wait.get(),
            registered: claimed.saturating_sub(abandoned),
            abandoned,
            unwatched: counters.unwatched.get(),
            callback_panics: counters.callback_panics.get(),
            callbacks_lost: counters.callbacks_lost.get(),
            heads_refused: counters.heads_refused.get(),
            ..Stats::default()
        };
        self.backlog.add_to(&mut stats);
        stats
    }
}

impl Scan<'_> {
    /// A sleep for one reader is over; `culprit` is who it was, if somebody wants to know.
    pub(super) fn tell_of_end<B: Barriers>(&self, culprit: Option<Culprit>, took: Duration) {
        self.engine.counters.longest_wait.note(took);
        if let Some(culprit) = culprit {
            trace::emit(Trace::ReaderWaitedFor {
                flavor: B::NAME,
                round: self.round,
                culprit,
                took,
            });
        }
    }

    /// A sleep for one reader lasts too long.
    #[cold]
    pub(super) fn tell_of_stall<B: Barriers>(&self, slot: &Slot, waited: Duration) {
        let counters = &self.engine.counters;
        counters.stalls.add_one();
        counters.longest_wait.note(waited);
        if trace::is_on() {
            trace::emit(Trace::Stall {
                flavor: B::NAME,
                round: self.round,
                culprit: Culprit::of(slot),
                took: waited,
            });
        }
        stall::report(self.stall::<B>(slot, waited));
    }

    /// The report of a wait for this slot. Scans as the grace period does, and allocates.
    fn stall<B: Barriers>(&self, slot: &Slot, waited: Duration) -> Report {
        let Self { engine, target, .. } = *self;
        let holding = |slot: &&Slot| slot.word().holds_back(target);
        let mut all = engine.arena.slots().filter(holding);
        let stragglers = all
            .by_ref()
            .take(DESCRIBED)
            .map(|slot| straggler(slot, engine.sequence()))
            .collect();
        Report::Stall {
            flavor: B::NAME,
            culprit: Culprit::of(slot),
            waited,
            dead: slot.is_abandoned(),
            round: self.round,
            callbacks: engine.stats().callbacks_pending,
            stragglers,
            more: all.count(),
        }
    }
}

fn straggler(slot: &Slot, now: Sequence) -> Straggler {
    let word = slot.word();
    let deeper = match word.depth() {
        Word::MAX_DEPTH => slot.deeper.load(Ordering::Relaxed),
        _ => 0, // srcu keeps something else there
    };
    Straggler {
        culprit: Culprit::of(slot),
        depth: word.depth() + u64::from(deeper),
        behind: word.steps_behind(now),
        dead: slot.is_abandoned(),
        activity: None,
    }
}

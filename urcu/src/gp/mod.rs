//! The grace-period engine: one sequence, one heavy barrier, one scan. All flavors run this code.
//!
//! # Order of a grace period
//! 1. the caller's removal;
//! 2. a full fence;
//! 3. the heavy barrier;
//! 4. the sequence steps to `target`;
//! 5. the scan, with Acquire: every reader whose depth is not 0 and whose sequence is older than
//!    `target` is waited for;
//! 6. a full fence (without it LKMM allows 54 of 315 rings that RCU forbids; x86 and ARM never show it).
//!
//! # Why that is a grace period
//! For each reader T the heavy barrier gives a point in T's program order, before which everything of T
//! is visible to the scan, and after which T sees everything before the barrier.
//! * T published its word before that point: it had loaded the sequence before step 4, so its sequence is
//!   older, and the scan waits until it sees T's Release exit (or later): the section happens before 6.
//! * T published after that point: what its section reads comes later still and sees the removal.
//! * T publishes a sequence that it loaded long ago: one of the two cases holds for the *publication*;
//!   an old sequence only delays. This is what a single parity bit cannot do.
//! * T registers meanwhile: its registration fence, see [`crate::arena`].
//!
//! With step 4 before step 3 a reader could load the pointer early, then read `target`, and be taken for
//! new. This order was checked with herd7 against LKMM, and each step left out or moved was refuted.
//!
//! # Sharing
//! Concurrent callers share: one leads, the others wait until a round that *started* after they came is
//! done. A follower executes its fence and reads `started == k`; the leader of round k + 1 stores
//! `started` and then executes its own fence: so the follower's removal is before the leader's barrier.
//! A leader that has to wait long hands the lead over and goes on waiting: rounds overlap, see [`rounds`].
//!
//! # The heavy barrier
//! What the flavor says ([`Barriers::heavy_barrier`]); or, where all running readers answer, a round of
//! messages in its place, see [`coop`].

mod coop;
mod request;
mod rounds;
mod tell;

use core::time::Duration;
use std::time::Instant;

use self::coop::Backoff;
use self::request::{Armed, Request};
use self::rounds::{Leadership, Rounds};
use crate::arena::{Arena, Parked, Slot};
use crate::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::backlog::Backlog;
use crate::cpus::cpus;
use crate::pad::Padded;
use crate::stall::{self, Culprit};
use crate::stats::Counters;
use crate::sys::Wake;
use crate::trace::{self, BarrierKind};
use crate::word::{Sequence, Word};

/// How often a wait looks at the word before it sleeps: 10 to 15 us.
const SPINS: u32 = if cfg!(loom) { 1 } else { 300 };
/// The first sleep. When it has passed, the leader hands the lead over: a new round is then worth its cost.
const FIRST_SLEEP: Duration = Duration::from_micros(200);
/// The sleep after which a wake-up is proven, and every sleep of a flavor that cannot prove one.
const SHORT_SLEEP: Duration = Duration::from_millis(1);

/// How a sleeping grace period can be sure that a leaving reader will see the request (rules A8, A14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeProof {
    /// The reader's exit is a SeqCst exchange before its SeqCst look at the request.
    ReaderFence,
    /// The sleeper executes a heavy barrier after it armed the request.
    HeavyBarrier,
    /// Nothing: every sleep is short.
    None,
}

/// What differs between flavors. Everything else of a grace period is in this file.
pub trait Barriers: Sized + 'static {
    /// The flavor's name in messages.
    const NAME: &'static str;
    /// Whether the heavy barrier costs enough to be skipped when no slot but the caller's is claimed.
    const SKIP_WHEN_ALONE: bool;
    /// Whether guards count in the reader word. Without, a registration is one long section.
    const COUNTS_SECTIONS: bool;
    #[cfg(test)]
    #[doc(hidden)]
    const SABOTAGE: Sabotage = Sabotage::None;

    /// Stores the word of a first section, ordered by the light barrier before what the section reads.
    fn publish(word: &AtomicU64, entered: u64);
    /// Step 3.
    fn heavy_barrier();
    /// Step 3 by whoever has time: may take long to spare the readers. Whether it did.
    fn patient_barrier() -> bool {
        Self::heavy_barrier();
        false
    }
    /// Whether leaving readers answer cooperative rounds, and it pays to ask them: see [`coop`].
    fn cooperates() -> bool {
        false
    }
    /// How a sleep is kept from lasting for ever.
    fn wake_proof() -> WakeProof;
    /// The word of a registered thread outside all sections.
    fn idle() -> Word;
}

/// A flavor with one engine for the whole process, as a static.
pub trait Global: Barriers {
    /// Which ring of a thread takes what is retired here; `None`: its worker takes everything.
    const RING: Option<usize> = None;

    /// The one engine of this flavor.
    fn engine() -> &'static Engine;
    /// The calling thread's slot, if it has registered by itself.
    fn thread_slot() -> Option<&'static Slot> {
        None
    }
}

/// Faults that tests build in, to see that they are caught.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The real thing.
    None,
    /// `synchronize` returns at once.
    NoGracePeriod,
    /// The scan looks at the first reader only.
    FirstReaderOnly,
    /// An inner exit ends the outer section.
    FlatNesting,
}

/// What readers load: never written by them while nobody sleeps.
#[derive(Debug)]
struct ReadMostly {
    sequence: AtomicU64,
    request: Request,
    /// The newest target that somebody sleeps for: who entered at or after it need not wake anybody.
    wanted: AtomicU64,
    /// The number of the last cooperative round. Written by RMW only, never used again (rule A8).
    coop_round: AtomicU64,
}

/// What updaters share among themselves.
#[derive(Debug)]
struct Updaters {
    rounds: Rounds,
    backoff: Backoff,
}

/// Who waits for a grace period: its own slots must not hold it up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller<'a> {
    /// The calling thread's slots that are known, each outside all sections.
    slots: [Option<&'a Slot>; 2],
}

impl<'a> Caller<'a> {
    /// A thread with this automatic slot, if it has one, and this handle, if it waits through one.
    pub(crate) fn new(automatic: Option<&'a Slot>, handle: Option<&'a Slot>) -> Self {
        Self {
            slots: [automatic, handle],
        }
    }

    /// The calling thread, in a flavor with one engine.
    pub(crate) fn here<B: Global>(handle: Option<&'a Slot>) -> Self {
        Self::new(B::thread_slot(), handle)
    }

    fn known(self) -> impl Iterator<Item = &'a Slot> {
        self.slots.into_iter().flatten()
    }

    fn owns(self, slot: &Slot) -> bool {
        self.known().any(|own| core::ptr::eq(own, slot))
    }

    /// Marks the caller's slots while it sleeps: other callers' cooperative rounds pass them by.
    pub(crate) fn park(self) -> [Option<Parked<'a>>; 2] {
        self.slots.map(|slot| slot.map(Slot::park))
    }
}

/// The state of one domain. Constructed once for each flavor, as a static.
#[derive(Debug)]
pub struct Engine {
    read_mostly: Padded<ReadMostly>,
    updaters: Padded<Updaters>,
    pub(crate) arena: Arena,
    pub(crate) backlog: Backlog,
    pub(crate) counters: Counters,
    /// The newest round that a cookie was made for together with a callback that runs it.
    pub(crate) polled: AtomicU64,
    /// The pthread key of the hook for automatic registrations, plus 1; 0 when there is none yet.
    pub(crate) exit_key: AtomicU32,
    /// The same for threads that own handles.
    pub(crate) handle_key: AtomicU32,
}

impl Engine {
    pub(crate) const fn new() -> Self {
        Self {
            read_mostly: Padded::new(ReadMostly {
                sequence: AtomicU64::new(Sequence::FIRST.raw()),
                request: Request::new(),
                wanted: AtomicU64::new(0),
                coop_round: AtomicU64::new(0),
            }),
            updaters: Padded::new(Updaters {
                rounds: Rounds::new(),
                backoff: Backoff::new(),
            }),
            arena: Arena::new(),
            backlog: Backlog::new(),
            counters: Counters::new(),
            polled: AtomicU64::new(0),
            exit_key: AtomicU32::new(0),
            handle_key: AtomicU32::new(0),
        }
    }

    /// The sequence that a reader publishes at entry. Relaxed: an old one only delays (see the module).
    #[inline(always)]
    pub(crate) fn sequence(&self) -> Sequence {
        Sequence::from_raw(self.read_mostly.sequence.load(Ordering::Relaxed))
    }

    /// The sequence for a QSBR announcement. Acquire pairs with the step of the sequence: reads after the
    /// announcement see what was removed before the step.
    #[inline(always)]
    pub(crate) fn sequence_to_announce(&self) -> Sequence {
        Sequence::from_raw(self.read_mostly.sequence.load(Ordering::Acquire))
    }

    /// Whether grace periods ask leaving readers for anything. Which sleepers this may miss depends on
    /// [`WakeProof`]; a cooperative round that is missed is answered at the next exit, or not at all.
    #[inline(always)]
    pub(crate) fn asks(&self) -> bool {
        self.read_mostly.request.asked().anything()
    }

    /// A reader that has left, `left` being the word it had, does what grace periods ask for.
    #[cold]
    pub(crate) fn answer(&self, slot: &Slot, left: Word) {
        let asked = self.read_mostly.request.asked();
        if asked.wants_ack() {
            coop::acknowledge(slot, &self.read_mostly.coop_round);
        }
        if asked.is_armed() {
            self.wake_sleepers(left);
        }
    }

    /// The same for a reader that left by a SeqCst exchange of its word: with the SeqCst arming and
    /// [`Slot::scan_after_arming`] on the other side, one of the two sees the other.
    #[inline]
    pub(crate) fn answer_after_exchange(&self, left: Word) {
        if self.read_mostly.request.asked_seq_cst().is_armed() {
            self.wake_sleepers(left);
        }
    }

    /// A reader that has left sees the request: wakes the sleepers if one of them may be waiting for it.
    /// The filter keeps hot readers from a system call at every exit while another reader is the culprit.
    #[cold]
    fn wake_sleepers(&self, left: Word) {
        // We saw the request with a Relaxed load: the fence pairs with the SeqCst arming, which came after
        // `wanted` was raised. Both only rise, so we see this sleeper's target or a newer one.
        fence(Ordering::SeqCst);
        let wanted = Sequence::from_raw(self.read_mostly.wanted.load(Ordering::Relaxed));
        if left.began_before(wanted) {
            self.read_mostly.request.disarm_and_wake();
        }
    }

    /// Waits for a full grace period. The caller has checked that waiting is no misuse.
    pub(crate) fn synchronize<B: Barriers>(&self, caller: Caller<'_>) {
        #[cfg(test)]
        if B::SABOTAGE == Sabotage::NoGracePeriod {
            return;
        }
        self.synchronize_to::<B>(self.round_from_now(), caller);
    }

    /// The number of the round whose end is a grace period for everything that the caller did before.
    pub(crate) fn round_from_now(&self) -> u64 {
        // Step 2, for leader, follower and poller alike: it orders the load after the removal, and pairs
        // with the leader's fence, see "Sharing".
        fence(Ordering::SeqCst);
        self.updaters.rounds.started() + 1
    }

    /// Whether this round is over, and so the grace period of whoever took its number. Never waits.
    pub(crate) fn is_over(&self, round: u64) -> bool {
        let over = self.updaters.rounds.is_done(round);
        if over {
            fence(Ordering::SeqCst); // step 6, for a follower and a poller
        }
        over
    }

    /// Waits until a round from [`round_from_now`](Self::round_from_now) is over.
    pub(crate) fn synchronize_to<B: Barriers>(&self, wanted: u64, caller: Caller<'_>) {
        let rounds = &self.updaters.rounds;
        loop {
            let turn = rounds.turn().value();
            if self.is_over(wanted) {
                self.counters.shared.add_one();
                return;
            }
            if !rounds.is_coming(wanted)
                && let Some(leadership) = Leadership::take(rounds)
            {
                // Once more under the leadership, which orders us after the last leader.
                if !rounds.is_done(wanted) && !rounds.is_coming(wanted) {
                    return if trace::is_on() {
                        self.lead_and_tell::<B>(leadership, caller);
                    } else {
                        self.lead::<B>(leadership, caller);
                    };
                }
            } else {
                // A leadership or a round that ends after `turn` was read makes this return at once.
                let _parked = caller.park();
                rounds.turn().wait_while(turn, None);
            }
        }
    }

    fn lead<B: Barriers>(&self, leadership: Leadership<'_>, caller: Caller<'_>) -> BarrierKind {
        let round = leadership.start_round();
        fence(Ordering::SeqCst);
        let barrier = self.order_readers::<B>(&caller);
        let number = Some(round.number());
        self.step_and_wait::<B>(number, Some(leadership), caller);
        round.finish();
        barrier
    }

    /// A grace period at leisure: where that can be had, its heavy barrier waits for the kernel and interrupts
    /// nobody, which takes some ms. No round: nobody shares it, so nobody in a hurry waits for it.
    pub(crate) fn synchronize_at_leisure<B: Barriers>(&self, caller: Caller<'_>) {
        if trace::is_on() {
            self.tell_around::<B>(None, || self.lead_nobody::<B>(caller));
        } else {
            self.lead_nobody::<B>(caller);
        }
    }

    fn lead_nobody<B: Barriers>(&self, caller: Caller<'_>) -> BarrierKind {
        fence(Ordering::SeqCst);
        // Rule A9, as in `order_readers`.
        let barrier = if B::SKIP_WHEN_ALONE && self.arena.claimed() <= caller.known().count() {
            BarrierKind::Skipped
        } else if B::patient_barrier() {
            self.counters.patient_barriers.add_one();
            BarrierKind::Patient
        } else {
            self.counters.heavy_barriers.add_one();
            BarrierKind::Heavy
        };
        self.step_and_wait::<B>(None, None, caller);
        barrier
    }

    /// Steps 4 to 6.
    fn step_and_wait<B: Barriers>(
        &self,
        round: Option<u64>,
        leadership: Option<Leadership<'_>>,
        caller: Caller<'_>,
    ) {
        let before = self
            .read_mostly
            .sequence
            .fetch_add(Sequence::STEP, Ordering::SeqCst);
        let mut scan = Scan {
            engine: self,
            target: Sequence::from_raw(before).next(),
            round,
            leadership,
            caller,
        };
        for slot in self.arena.slots() {
            scan.wait_for::<B>(slot);
            #[cfg(test)]
            if B::SABOTAGE == Sabotage::FirstReaderOnly {
                break;
            }
        }
        fence(Ordering::SeqCst);
        self.counters.grace_periods.add_one();
    }

    /// Steps 2 to 4 without the wait: what the result means is for [`has_passed`](Self::has_passed) to say.
    /// Never blocks. No round: nobody shares it.
    pub(crate) fn begin<B: Barriers>(&self, caller: Caller<'_>) -> Sequence {
        fence(Ordering::SeqCst);
        // Asking readers for answers is the leader's; beside one, the flavor's own barrier has to do.
        match Leadership::take(&self.updaters.rounds) {
            Some(_leadership) => {
                self.order_readers::<B>(&caller);
            }
            None => B::heavy_barrier(),
        }
        let before = self
            .read_mostly
            .sequence
            .fetch_add(Sequence::STEP, Ordering::SeqCst);
        Sequence::from_raw(before).next()
    }

    /// One scan, step 5: whether no section is left that began before the sequence was stepped to `target`.
    /// Then step 6, and the grace period is over. Never waits.
    pub(crate) fn has_passed(&self, target: Sequence) -> bool {
        let passed = self
            .arena
            .slots()
            .all(|slot| !slot.scan().holds_back(target));
        if passed {
            fence(Ordering::SeqCst);
        }
        passed
    }

    /// Step 3. By the leader, after its fence.
    fn order_readers<B: Barriers>(&self, caller: &Caller<'_>) -> BarrierKind {
        // Rule A9. The count is read after the caller's fence. Nobody else is claimed: a thread that
        // registers now executes its registration fence after ours and sees the removal.
        if B::SKIP_WHEN_ALONE && self.arena.claimed() <= caller.known().count() {
            return BarrierKind::Skipped;
        }
        if B::cooperates() && cpus() > 1 && self.cooperate(caller) {
            self.counters.cooperative.add_one();
            BarrierKind::Cooperative
        } else {
            B::heavy_barrier();
            self.counters.heavy_barriers.add_one();
            BarrierKind::Heavy
        }
    }

    /// In a forked child: leader, followers and sleepers of the parent are gone, unless `me` leads.
    pub(crate) fn after_fork_in_child(&self, me: u64) {
        // A cookie that is made here relies on no callback of the parent's.
        self.polled.store(0, Ordering::Relaxed);
        if self.updaters.rounds.forget_after_fork(me) {
            self.read_mostly.request.forget_after_fork();
        }
    }
}

/// Step 5 of one round.
struct Scan<'a> {
    engine: &'a Engine,
    target: Sequence,
    /// The round's number, for messages; a grace period at leisure has none.
    round: Option<u64>,
    /// Until it is handed over.
    leadership: Option<Leadership<'a>>,
    caller: Caller<'a>,
}

impl Scan<'_> {
    #[inline]
    fn wait_for<B: Barriers>(&mut self, slot: &Slot) {
        if slot.scan().holds_back(self.target) {
            self.wait_for_slowly::<B>(slot);
        }
    }

    #[cold]
    fn wait_for_slowly<B: Barriers>(&mut self, slot: &Slot) {
        // On one CPU the reader cannot run while we spin.
        let spins = if cpus() > 1 { SPINS } else { 0 };
        for _ in 0..spins {
            core::hint::spin_loop();
            if !slot.scan().holds_back(self.target) {
                return;
            }
        }
        self.sleep_until_quiescent::<B>(slot);
    }

    /// Arms the request and sleeps until the reader leaves.
    ///
    /// The reader stores its word and then loads the request; we arm and then scan. What keeps both from
    /// missing each other is the flavor's [`WakeProof`]. With `HeavyBarrier` the first sleeps are short and
    /// unproven, which saves a membarrier for every reader that leaves within 1 ms; if they expire, one
    /// heavy barrier follows and the scan after it: either the scan sees the exit, or the reader's load
    /// comes after the barrier and sees the request. The proof holds for that armed state only: when the
    /// word has moved, it has to be made again.
    fn sleep_until_quiescent<B: Barriers>(&mut self, slot: &Slot) {
        let engine = self.engine;
        let request = &engine.read_mostly.request;
        let start = Instant::now();
        // Now, because the slot may be another's when its reader has left.
        let told = trace::is_on().then(|| Culprit::of(slot));
        let mut watch = stall::Watch::new();
        let mut proven: Option<Armed> = None;
        let _parked = self.caller.park();
        engine
            .read_mostly
            .wanted
            .fetch_max(self.target.raw(), Ordering::SeqCst);
        loop {
            let armed = request.arm();
            if !slot.scan_after_arming().holds_back(self.target) {
                break;
            }
            let safe = match B::wake_proof() {
                WakeProof::ReaderFence => true,
                WakeProof::HeavyBarrier => proven == Some(armed),
                WakeProof::None => false,
            };
            let sleep = match (self.leadership.is_some(), safe) {
                (true, _) => FIRST_SLEEP,
                (false, true) => watch.until_due(start.elapsed()),
                (false, false) => SHORT_SLEEP,
            };
            engine.counters.sleeps.add_one();
            let wake = request.sleep(armed, sleep);
            if !slot.scan_after_arming().holds_back(self.target) {
                break;
            }
            if wake == Wake::TimedOut && self.leadership.take().is_none() {
                // The time of a sleep without the lead has passed.
                if B::wake_proof() == WakeProof::HeavyBarrier && !safe {
                    B::heavy_barrier();
                    engine.counters.heavy_barriers.add_one();
                    proven = Some(armed);
                }
            }
            let waited = start.elapsed();
            if watch.is_due(waited) {
                self.tell_of_stall::<B>(slot, waited);
            }
        }
        // A request left armed would send every reader through the cold path for nothing. Not a reset
        // (rule A8): it steps the event count as a reader does, and who else sleeps arms it anew.
        request.disarm_and_wake();
        self.tell_of_end::<B>(told, start.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The armed request of the parent's sleeper stayed, and sent every section of the child through the cold
    // path; its followers stayed counted, and cost a system call at each end of a grace period.
    #[test]
    fn a_child_stayed_armed_for_a_sleeper_of_its_parent() {
        let engine = Engine::new();
        let (rounds, request) = (&engine.updaters.rounds, &engine.read_mostly.request);
        let me = crate::arena::thread_id();
        let leadership = Leadership::take(rounds).unwrap();
        core::mem::forget(leadership.start_round());
        core::mem::forget(leadership);
        request.arm();
        request.ask_for_acks();
        // A leader that forks in a signal handler goes on leading.
        engine.after_fork_in_child(me);
        assert!(engine.asks() && Leadership::take(rounds).is_none());
        // But another thread of the parent does not lead in the child.
        engine.after_fork_in_child(me + 1);
        assert!(!engine.asks());
        assert!(!rounds.is_coming(1), "a round that nobody runs");
        assert!(
            Leadership::take(rounds).is_some(),
            "the parent's leader still leads in the child"
        );
    }
}

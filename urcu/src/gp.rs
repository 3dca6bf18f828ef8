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

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use core::time::Duration;
use std::time::Instant;

use crate::arena::{Arena, Slot, thread_id};
use crate::pad::Padded;
use crate::park::Event;
use crate::queue::Queue;
use crate::stall::{self, Culprit, Report};
use crate::stats::{Counters, Stats};
use crate::sys::{self, Wake};
use crate::word::{Sequence, Word};

/// Bit 0 of the request word: a grace period sleeps, or is about to.
const ARMED: u64 = 1;
/// How often a wait looks at the word before it sleeps: 10 to 15 us.
const SPINS: u32 = 300;
/// The first sleep, and every sleep of a flavor that cannot prove a wake-up.
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

    /// The one engine of this flavor.
    fn engine() -> &'static Engine;
    /// Stores the word of a first section, ordered by the light barrier before what the section reads.
    fn publish(word: &AtomicU64, entered: u64);
    /// Step 3.
    fn heavy_barrier();
    /// How a sleep is kept from lasting for ever.
    fn wake_proof() -> WakeProof;
    /// The word of a registered thread outside all sections.
    fn idle() -> Word;
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
    /// An event count, written by RMW only (rule A8): bit 0 armed, above it a count of wake-ups. Its low
    /// half is the futex word.
    request: AtomicU64,
    /// The newest target that somebody sleeps for: who entered at or after it need not wake anybody.
    wanted: AtomicU64,
}

/// What updaters share among themselves.
#[derive(Debug)]
struct Rounds {
    started: AtomicU64,
    done: AtomicU64,
    /// The `thread_id` of the leader; 0: nobody leads.
    leader: AtomicU64,
    /// Signalled at each end of a leadership.
    turn: Event,
}

/// The state of one domain. Constructed once for each flavor, as a static.
#[derive(Debug)]
pub struct Engine {
    read_mostly: Padded<ReadMostly>,
    rounds: Padded<Rounds>,
    pub(crate) arena: Arena,
    pub(crate) queue: Padded<Queue>,
    pub(crate) counters: Counters,
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
                request: AtomicU64::new(0),
                wanted: AtomicU64::new(0),
            }),
            rounds: Padded::new(Rounds {
                started: AtomicU64::new(0),
                done: AtomicU64::new(0),
                leader: AtomicU64::new(0),
                turn: Event::new(),
            }),
            arena: Arena::new(),
            queue: Padded::new(Queue::new()),
            counters: Counters::new(),
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

    /// Whether a grace period sleeps, asked after a SeqCst exchange of the word: with the SeqCst arming
    /// and [`Slot::scan_after_arming`] on the other side, one of the two sees the other.
    #[inline]
    pub(crate) fn is_armed_after_exchange(&self) -> bool {
        self.read_mostly.request.load(Ordering::SeqCst) & ARMED != 0
    }

    /// Whether a grace period sleeps. Which wake-ups this may miss depends on [`WakeProof`].
    #[inline(always)]
    pub(crate) fn is_armed(&self) -> bool {
        self.read_mostly.request.load(Ordering::Relaxed) & ARMED != 0
    }

    /// A reader that has left sees the request: wakes the sleeper if it may be the one that is waited for.
    /// The filter keeps hot readers from a system call at every exit while another reader is the culprit.
    #[cold]
    pub(crate) fn wake_sleepers(&self, left: Word) {
        // We saw the request with a Relaxed load: the fence pairs with the SeqCst arming, which came after
        // `wanted` was raised. Both only rise, so we see this sleeper's target or a newer one.
        fence(Ordering::SeqCst);
        let wanted = Sequence::from_raw(self.read_mostly.wanted.load(Ordering::Relaxed));
        if left.began_before(wanted) {
            self.disarm_and_wake();
        }
    }

    fn disarm_and_wake(&self) {
        let request = &self.read_mostly.request;
        let mut value = request.load(Ordering::SeqCst);
        while value & ARMED != 0 {
            // +1 drops the bit and steps the count: no sleeper can take this state for an older one.
            match request.compare_exchange(value, value + 1, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return sys::futex_wake(low_half(request), i32::MAX),
                Err(now) => value = now,
            }
        }
    }

    /// Waits for a full grace period. `own` is how many claimed slots the caller knows to be its own and
    /// outside sections. The caller has checked that waiting is no misuse.
    pub(crate) fn synchronize<B: Barriers>(&'static self, own: usize) {
        #[cfg(test)]
        if B::SABOTAGE == Sabotage::NoGracePeriod {
            return;
        }
        let rounds = &self.rounds;
        // Step 2, for leader and follower alike. Relaxed load: the fence orders it, see "Sharing".
        fence(Ordering::SeqCst);
        let wanted = rounds.started.load(Ordering::Relaxed) + 1;
        loop {
            let turn = rounds.turn.value();
            // Acquire pairs with the leader's Release of `done`; the fence is step 6 for a follower.
            if rounds.done.load(Ordering::Acquire) >= wanted {
                fence(Ordering::SeqCst);
                self.counters.shared.add_one();
                return;
            }
            if let Some(leadership) = Leadership::take(rounds) {
                if rounds.done.load(Ordering::Acquire) < wanted {
                    self.lead::<B>(&leadership, own);
                    return;
                }
            } else {
                // A leader that ends after `turn` was read makes this return at once.
                rounds.turn.wait_while(turn, None);
            }
        }
    }

    fn lead<B: Barriers>(&'static self, leadership: &Leadership<'_>, own: usize) {
        let rounds = leadership.0;
        // Only leaders write these two, one at a time: the flag orders them.
        let round = rounds.started.load(Ordering::Relaxed) + 1;
        rounds.started.store(round, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Rule A9. The count is read after the fence above. Nobody else is claimed: a thread that
        // registers now executes its registration fence after ours and sees the removal.
        if !B::SKIP_WHEN_ALONE || self.arena.claimed() > own {
            B::heavy_barrier();
            self.counters.heavy_barriers.add_one();
        }
        let before = self
            .read_mostly
            .sequence
            .fetch_add(Sequence::STEP, Ordering::SeqCst);
        let target = Sequence::from_raw(before).next();
        for slot in self.arena.slots() {
            self.wait_for::<B>(slot, target);
            #[cfg(test)]
            if B::SABOTAGE == Sabotage::FirstReaderOnly {
                break;
            }
        }
        fence(Ordering::SeqCst);
        self.counters.grace_periods.add_one();
        rounds.done.store(round, Ordering::Release);
    }

    #[inline]
    fn wait_for<B: Barriers>(&self, slot: &'static Slot, target: Sequence) {
        if slot.scan().holds_back(target) {
            self.wait_for_slowly::<B>(slot, target);
        }
    }

    #[cold]
    fn wait_for_slowly<B: Barriers>(&self, slot: &'static Slot, target: Sequence) {
        // On one CPU the reader cannot run while we spin.
        let spins = if cpus() > 1 { SPINS } else { 0 };
        for _ in 0..spins {
            core::hint::spin_loop();
            if !slot.scan().holds_back(target) {
                return;
            }
        }
        self.sleep_until_quiescent::<B>(slot, target);
    }

    /// Arms the request and sleeps until the reader leaves.
    ///
    /// The reader stores its word and then loads the request; we arm and then scan. What keeps both from
    /// missing each other is the flavor's [`WakeProof`]. With `HeavyBarrier` the first sleep is short and
    /// unproven, which saves a membarrier for every reader that leaves within 1 ms; if it expires, one
    /// heavy barrier follows and the scan after it: either the scan sees the exit, or the reader's load
    /// comes after the barrier and sees the request. The proof holds for that armed state only: when the
    /// word has moved, it has to be made again.
    fn sleep_until_quiescent<B: Barriers>(&self, slot: &'static Slot, target: Sequence) {
        let request = &self.read_mostly.request;
        let start = Instant::now();
        let mut watch = stall::Watch::new();
        let mut proven = None;
        self.read_mostly
            .wanted
            .fetch_max(target.raw(), Ordering::SeqCst);
        loop {
            let armed = request.fetch_or(ARMED, Ordering::SeqCst) | ARMED;
            if !slot.scan_after_arming().holds_back(target) {
                break;
            }
            let safe = match B::wake_proof() {
                WakeProof::ReaderFence => true,
                WakeProof::HeavyBarrier => proven == Some(armed),
                WakeProof::None => false,
            };
            let sleep = if safe {
                watch.until_due(start.elapsed())
            } else {
                SHORT_SLEEP
            };
            self.counters.sleeps.add_one();
            let wake = sys::futex_wait(low_half(request), armed as u32, Some(sleep));
            if wake == Wake::TimedOut && B::wake_proof() == WakeProof::HeavyBarrier && !safe {
                B::heavy_barrier();
                self.counters.heavy_barriers.add_one();
                proven = Some(armed);
            }
            if !slot.scan_after_arming().holds_back(target) {
                break;
            }
            let waited = start.elapsed();
            if watch.is_due(waited) {
                stall::report(Report::Stall {
                    flavor: B::NAME,
                    culprit: Culprit::of(slot),
                    waited,
                    dead: slot.is_abandoned(),
                });
            }
        }
        // A request left armed would send every reader through the cold path for nothing. Not a reset
        // (rule A8): it steps the event count as a reader does, so the word serves several sleepers as well,
        // though today only the leader sleeps here.
        self.disarm_and_wake();
    }

    /// A snapshot of the counters.
    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        // What only follows is read first: it can then not be larger than what it follows.
        let run = self.queue.done();
        let queued = self.queue.queued();
        let abandoned = counters.abandoned.get();
        let claimed = self.arena.claimed() as u64;
        Stats {
            grace_periods: counters.grace_periods.get(),
            shared: counters.shared.get(),
            heavy_barriers: counters.heavy_barriers.get(),
            sleeps: counters.sleeps.get(),
            registered: claimed.saturating_sub(abandoned),
            abandoned,
            callbacks_queued: queued,
            callbacks_run: run,
            callbacks_pending: queued.saturating_sub(run),
            callback_panics: counters.callback_panics.get(),
            callbacks_lost: counters.callbacks_lost.get(),
        }
    }

    /// In a forked child: leader, followers and sleepers of the parent are gone, unless `me` leads (a signal
    /// handler forked inside its grace period). `started` and `done` stay (rule A6): setting
    /// `done = started` would end a grace period that the forking thread's own section still holds back.
    pub(crate) fn after_fork_in_child(&self, me: u64) {
        if self.rounds.leader.load(Ordering::Relaxed) != me {
            self.rounds.leader.store(0, Ordering::Relaxed);
            // An armed request that nobody sleeps on would send every reader through the cold path.
            self.read_mostly
                .request
                .fetch_and(!ARMED, Ordering::Relaxed);
        }
        self.rounds.turn.forget_waiters_after_fork();
    }
}

/// The right to run a round. Given back also when the scan unwinds.
struct Leadership<'a>(&'a Rounds);

impl<'a> Leadership<'a> {
    fn take(rounds: &'a Rounds) -> Option<Self> {
        // Acquire pairs with the Release in `drop`: `started` and `done` of the last leader are visible.
        let me = thread_id();
        let won = rounds
            .leader
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed);
        // Not `then_some`: it would make the value in any case, and drop it, which ends a leadership.
        won.is_ok().then(|| Self(rounds))
    }
}

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        self.0.leader.store(0, Ordering::Release);
        // Every end of a leadership, also one that ran no round: a follower may have found the flag taken
        // and sleep on this turn.
        self.0.turn.signal();
    }
}

/// The half of the event count that futex(2) compares.
fn low_half(request: &AtomicU64) -> *const u32 {
    let whole = request.as_ptr().cast_const().cast::<u32>();
    if cfg!(target_endian = "big") {
        whole.wrapping_add(1)
    } else {
        whole
    }
}

fn cpus() -> usize {
    static CPUS: AtomicU32 = AtomicU32::new(0);
    match CPUS.load(Ordering::Relaxed) {
        0 => {
            let found = sys::cpus();
            CPUS.store(u32::try_from(found).unwrap_or(u32::MAX), Ordering::Relaxed);
            found
        }
        known => known as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `then_some` made a leadership for whoever lost the race too, and its drop ended the winner's: two
    // leaders, and grace periods that ended too early.
    #[test]
    fn who_lost_the_race_for_the_lead_took_it_from_the_leader() {
        let engine = Engine::new();
        let leadership = Leadership::take(&engine.rounds).unwrap();
        for _ in 0..2 {
            assert!(Leadership::take(&engine.rounds).is_none());
            assert_eq!(engine.rounds.leader.load(Ordering::Relaxed), thread_id());
        }
        drop(leadership);
        assert!(Leadership::take(&engine.rounds).is_some());
    }

    // The armed request of the parent's sleeper stayed, and sent every section of the child through the cold
    // path; its followers stayed counted, and cost a system call at each end of a grace period.
    #[test]
    fn a_child_stayed_armed_for_a_sleeper_of_its_parent() {
        let me = thread_id();
        let engine = Box::leak(Box::new(Engine::new()));
        engine.rounds.leader.store(me + 1, Ordering::Relaxed);
        engine
            .read_mostly
            .request
            .fetch_or(ARMED, Ordering::Relaxed);
        assert!(Leadership::take(&engine.rounds).is_none());
        engine.after_fork_in_child(me);
        assert!(!engine.is_armed());
        let leadership = Leadership::take(&engine.rounds);
        assert!(
            leadership.is_some(),
            "the parent's leader still leads in the child"
        );

        // But a leader that forks in a signal handler goes on leading.
        engine
            .read_mostly
            .request
            .fetch_or(ARMED, Ordering::Relaxed);
        engine.after_fork_in_child(me);
        assert!(engine.is_armed());
        assert!(Leadership::take(&engine.rounds).is_none());
    }
}

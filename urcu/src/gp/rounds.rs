//! Rounds: who runs the next grace period, and who shares it.
//!
//! A caller either leads a round or waits for one that started after it came. Leading is exclusive while a
//! round executes its barrier and steps the sequence; a leader that then has to wait long for a reader hands
//! the lead over and goes on waiting ([`Engine::lead`](super::Engine)), so that a caller who came too late
//! for a long grace period does not wait for its end, only to wait for another one. Rounds in flight are not
//! ordered among each other: each is a whole grace period for everybody whose fence came before its own, so
//! the end of a newer round is also the end of all older ones.

use crate::arena::thread_id;
use crate::atomic::{AtomicU64, Ordering};
use crate::park::Event;

/// What updaters share among themselves.
#[derive(Debug)]
pub(super) struct Rounds {
    /// The number of the newest round. Written by the leader alone.
    started: AtomicU64,
    /// The newest round that is over.
    done: AtomicU64,
    /// Rounds that have started and are not over.
    in_flight: AtomicU64,
    /// The `thread_id` of the leader; 0: nobody leads.
    leader: AtomicU64,
    /// Signalled at each end of a round and of a leadership.
    turn: Event,
}

impl Rounds {
    pub(super) const fn new() -> Self {
        Self {
            started: AtomicU64::new(0),
            done: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            leader: AtomicU64::new(0),
            turn: Event::new(),
        }
    }

    /// The newest round. Relaxed: a fence of the caller orders it, see "Sharing" in [`super`].
    pub(super) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Whether this round is over. Acquire pairs with the Release in [`Round::finish`]: what the round's
    /// scan saw happens before what the caller does next.
    pub(super) fn is_done(&self, round: u64) -> bool {
        self.done.load(Ordering::Acquire) >= round
    }

    /// Whether a round is in flight that may be the one with this number or a newer one: it pays to wait.
    ///
    /// Relaxed: what this misses or sees too late costs a round more or a look more, since every change of
    /// both words is followed by a signal of the turn that the caller read before.
    pub(super) fn is_coming(&self, round: u64) -> bool {
        self.started() >= round && self.in_flight() != 0
    }

    /// How many rounds have started and are not over.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Signalled at each end of a round and of a leadership.
    pub(super) fn turn(&self) -> &Event {
        &self.turn
    }

    /// In a forked child: leaders and followers of the parent are gone, unless `me` leads (a signal handler
    /// forked inside its grace period). Tells whether they are. `started` and `done` stay (rule A6): setting
    /// `done = started` would end a grace period that the forking thread's own section still holds back.
    pub(super) fn forget_after_fork(&self, me: u64) -> bool {
        self.turn.forget_waiters_after_fork();
        let gone = self.leader.load(Ordering::Relaxed) != me;
        if gone {
            self.leader.store(0, Ordering::Relaxed);
            self.in_flight.store(0, Ordering::Relaxed);
        }
        gone
    }

    fn end(&self) {
        // Not below 0: a handler may have forked inside the round, and the child starts at 0.
        let down = |n: u64| n.checked_sub(1);
        let _ = self
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, down);
        self.turn.signal();
    }
}

/// The right to start a round. Given back when dropped, also by unwinding.
#[derive(Debug)]
pub(super) struct Leadership<'a>(&'a Rounds);

impl<'a> Leadership<'a> {
    pub(super) fn take(rounds: &'a Rounds) -> Option<Self> {
        let me = thread_id();
        // Acquire pairs with the Release in `drop`: `started` of the last leader is visible.
        let won = rounds
            .leader
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed);
        // Not `then_some`: it would make the value in any case, and drop it, which ends a leadership.
        won.is_ok().then(|| Self(rounds))
    }

    /// Starts a round. The caller executes a full fence next: a follower that read the old number has
    /// executed its own before that (see "Sharing" in [`super`]).
    pub(super) fn start_round(&self) -> Round<'a> {
        let rounds = self.0;
        // Only leaders write this, one at a time: the flag orders them.
        let number = rounds.started() + 1;
        rounds.in_flight.fetch_add(1, Ordering::Relaxed);
        rounds.started.store(number, Ordering::Relaxed);
        Round { rounds, number }
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

/// A round in flight. Dropping it unfinished, by unwinding, gives it up: somebody else leads a new one.
#[derive(Debug)]
pub(super) struct Round<'a> {
    rounds: &'a Rounds,
    number: u64,
}

impl Round<'_> {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The grace period is over: for everybody who took this number or an older one.
    pub(super) fn finish(self) {
        // Rounds end in any order; a newer one's end covers the older ones. Release pairs with the Acquire
        // of `is_done`; the RMW keeps the release sequence of whoever stored before.
        self.rounds.done.fetch_max(self.number, Ordering::AcqRel);
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.rounds.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `then_some` made a leadership for whoever lost the race too, and its drop ended the winner's: two
    // leaders, and grace periods that ended too early.
    #[test]
    fn who_lost_the_race_for_the_lead_took_it_from_the_leader() {
        let rounds = Rounds::new();
        let leadership = Leadership::take(&rounds).unwrap();
        for _ in 0..2 {
            assert!(Leadership::take(&rounds).is_none());
            assert_eq!(rounds.leader.load(Ordering::Relaxed), thread_id());
        }
        drop(leadership);
        assert!(Leadership::take(&rounds).is_some());
    }

    #[test]
    fn an_older_round_that_ends_later_does_not_take_the_newer_ones_end_back() {
        let rounds = Rounds::new();
        let older = Leadership::take(&rounds).unwrap().start_round();
        let newer = Leadership::take(&rounds).unwrap().start_round();
        assert!(rounds.is_coming(1) && rounds.is_coming(2) && !rounds.is_coming(3));
        newer.finish();
        assert!(rounds.is_done(1) && rounds.is_done(2) && !rounds.is_done(3));
        older.finish();
        assert!(rounds.is_done(2));
        assert!(!rounds.is_coming(2), "nothing is in flight");
    }

    #[test]
    fn a_round_given_up_is_not_done_and_not_waited_for() {
        let rounds = Rounds::new();
        let turn = rounds.turn().value();
        drop(Leadership::take(&rounds).unwrap().start_round());
        assert!(!rounds.is_done(1) && !rounds.is_coming(1));
        assert_ne!(rounds.turn().value(), turn, "nobody was woken to lead it");
    }
}

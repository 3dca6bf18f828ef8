//! The request word: what a leaving reader looks at, and what grace periods ask of it.
//!
//! ```text
//!  63                            32 31                       2   1        0
//! +--------------------------------+--------------------------+-----+-------+
//! | count of wake-ups: futex word  | 0                        | ack | armed |
//! +--------------------------------+--------------------------+-----+-------+
//! ```
//! An event count, written by RMW only (rule A8): each state in which the bit *armed* is dropped has a count
//! of its own, so no sleeper takes it for an older one. Flags and count are halves of one word, so that a
//! reader tests 32 bits against zero, and the sleeper's futex word is the count alone: a change of flags
//! neither wakes a sleeper nor keeps one awake.

use core::time::Duration;

use crate::atomic::{AtomicU64, Ordering};
use crate::sys::{self, Wake};

/// A grace period sleeps, or is about to.
const ARMED: u64 = 1;
/// A grace period asks running readers to answer its cooperative round.
const ACK: u64 = 1 << 1;
const FLAGS: u64 = u32::MAX as u64;
const ONE_WAKE_UP: u64 = 1 << 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Request(AtomicU64);

/// What a reader finds asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked(u64);

impl Asked {
    /// Whether a grace period sleeps.
    pub(super) fn is_armed(self) -> bool {
        self.0 & ARMED != 0
    }

    /// Whether a cooperative round wants an answer.
    pub(super) fn wants_ack(self) -> bool {
        self.0 & ACK != 0
    }

    /// Whether anything is asked.
    #[inline(always)]
    pub(super) fn anything(self) -> bool {
        self.0 & FLAGS != 0
    }
}

/// The count of wake-ups at the moment of arming: a sleep on it ends when the count has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Armed(u32);

impl Request {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What is asked, for a reader on its way out. Which requests this may miss is the caller's argument.
    #[inline(always)]
    pub(super) fn asked(&self) -> Asked {
        Asked(self.0.load(Ordering::Relaxed))
    }

    /// The same after a SeqCst exchange of the reader word, see
    /// [`Engine::answer_after_exchange`](super::Engine::answer_after_exchange).
    #[inline]
    pub(super) fn asked_seq_cst(&self) -> Asked {
        Asked(self.0.load(Ordering::SeqCst))
    }

    /// Announces a sleeper. SeqCst: the sleeper's next scan and a reader's look at the request must not miss
    /// each other.
    pub(super) fn arm(&self) -> Armed {
        Armed(count(self.0.fetch_or(ARMED, Ordering::SeqCst)))
    }

    /// Sleeps until somebody disarms, unless that has happened since `armed`.
    pub(super) fn sleep(&self, armed: Armed, timeout: Duration) -> Wake {
        sys::futex_wait(self.futex_word(), armed.0, Some(timeout))
    }

    /// Drops the bit, steps the count and wakes all sleepers, if there is one.
    pub(super) fn disarm_and_wake(&self) {
        let mut value = self.0.load(Ordering::SeqCst);
        while value & ARMED != 0 {
            let disarmed = (value & !ARMED).wrapping_add(ONE_WAKE_UP);
            match self
                .0
                .compare_exchange(value, disarmed, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => return sys::futex_wake(self.futex_word(), i32::MAX),
                Err(now) => value = now,
            }
        }
    }

    /// Asks running readers for an answer. After the round number was stepped: who sees the flag and an
    /// older number answers again at its next exit.
    pub(super) fn ask_for_acks(&self) {
        self.0.fetch_or(ACK, Ordering::SeqCst);
    }

    /// The end of [`ask_for_acks`](Self::ask_for_acks). An answer that comes later does no harm.
    pub(super) fn ask_no_more(&self) {
        self.0.fetch_and(!ACK, Ordering::Relaxed);
    }

    /// In a forked child, where nobody sleeps and nobody asks: the flags would send every reader through
    /// the cold path.
    pub(super) fn forget_after_fork(&self) {
        self.0.fetch_and(!FLAGS, Ordering::Relaxed);
    }

    /// The half of the event count that futex(2) compares.
    fn futex_word(&self) -> *const u32 {
        let whole = self.0.as_ptr().cast_const().cast::<u32>();
        if cfg!(target_endian = "big") {
            whole
        } else {
            whole.wrapping_add(1)
        }
    }
}

fn count(value: u64) -> u32 {
    (value >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_dropped_ends_the_sleep_that_was_armed_before() {
        let request = Request::new();
        let armed = request.arm();
        assert!(request.asked().is_armed());
        request.disarm_and_wake();
        assert!(!request.asked().anything());
        assert_eq!(request.sleep(armed, Duration::MAX), Wake::Changed);
        // Arming anew is another state, and disarming what nobody armed is none.
        let again = request.arm();
        assert_ne!(armed, again);
        request.disarm_and_wake();
        let seen = request.arm();
        request.disarm_and_wake();
        request.disarm_and_wake();
        assert_ne!(seen, request.arm());
    }

    #[test]
    fn acks_and_sleepers_do_not_disturb_each_other() {
        let request = Request::new();
        request.ask_for_acks();
        let armed = request.arm();
        assert!(request.asked().wants_ack() && request.asked().is_armed());
        request.disarm_and_wake();
        assert!(request.asked().wants_ack() && !request.asked().is_armed());
        let armed_again = request.arm();
        assert_ne!(armed, armed_again);
        request.ask_no_more();
        // The flag is no part of the futex word: the sleep lasts its time.
        let wake = request.sleep(armed_again, Duration::from_nanos(1));
        assert_ne!(wake, Wake::Changed);
    }

    #[test]
    fn the_count_of_wake_ups_wraps_into_nothing() {
        let request = Request::new();
        request.0.store(!FLAGS, Ordering::Relaxed);
        let armed = request.arm();
        request.disarm_and_wake();
        assert_eq!(request.0.load(Ordering::Relaxed), 0);
        assert_eq!(request.sleep(armed, Duration::MAX), Wake::Changed);
    }
}

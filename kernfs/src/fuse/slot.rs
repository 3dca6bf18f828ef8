//! One service thread as the others see it: which request it runs, and who answers that.
//!
//! A request is answered once: by its own thread when the callback returns, or before that by whoever
//! interrupts it. The two meet under the slot's lock, so exactly one of them answers. To be told of a signal is not to be
//! answered: a callback that returns soon after says what it has done.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::channel::Channel;
use crate::cred::Cancel;
use crate::sys::mounting as sys;

/// What runs, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) since: Duration,
    pub(super) node: u64,
    pub(super) op: &'static str,
}

/// A service thread as the others see it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) channel: Arc<Channel>,
    running: Mutex<Running>,
    /// The thread's number, once it is there.
    pub(super) tid: AtomicI32,
}

/// The request whose callback a thread runs.
#[derive(Debug, Default)]
struct Running {
    /// Its number, 0 for none.
    unique: u64,
    node: u64,
    /// Set when the client has got a signal or an answer meanwhile; then it is not used again.
    cancel: Arc<Cancel>,
    /// Its client has an answer.
    answered: bool,
    /// When it got a signal.
    signalled: Option<Duration>,
    /// If there is a limit.
    begun: Option<Begun>,
    /// Its client was answered because it takes too long.
    late: bool,
}

impl Running {
    /// Whether this is request `unique`, and it has no answer.
    fn is(&self, unique: u64) -> bool {
        self.unique == unique && unique != 0 && !self.answered
    }
}

impl Slot {
    pub(super) fn new(channel: Arc<Channel>) -> Self {
        Self {
            channel,
            running: Mutex::default(),
            tid: AtomicI32::default(),
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread is there.
    pub(super) fn arrive(&self) {
        // Relaxed: a number for people.
        self.tid.store(crate::sys::thread_id(), Ordering::Relaxed);
    }

    /// The callback of this request is about to run.
    pub(super) fn begin(&self, unique: u64, node: u64, begun: Option<Begun>) -> Arc<Cancel> {
        let mut running = self.running();
        running.unique = unique;
        running.node = node;
        running.begun = begun;
        Arc::clone(&running.cancel)
    }

    /// The callback has returned. Whether the client was answered meanwhile: then this thread must not.
    pub(super) fn end(&self) -> bool {
        let mut running = self.running();
        running.unique = 0;
        running.begun = None;
        running.signalled = None;
        running.late = false;
        if running.cancel.is_set() {
            running.cancel = Arc::default();
        }
        std::mem::take(&mut running.answered)
    }

    /// The node of the running request, if it is `unique` and has no answer.
    pub(super) fn runs(&self, unique: u64) -> Option<u64> {
        let running = self.running();
        running.is(unique).then_some(running.node)
    }

    /// The client of request `unique` has got a signal, now. The callback is told; whether it is one that runs.
    pub(super) fn signal(&self, unique: u64, now: Duration) -> bool {
        let mut running = self.running();
        let is_it = running.is(unique);
        if is_it {
            running.cancel.set();
            running.signalled.get_or_insert(now);
        }
        is_it
    }

    /// When the client that waits got a signal.
    pub(super) fn signalled(&self) -> Option<Duration> {
        let running = self.running();
        running.signalled.filter(|_| !running.answered)
    }

    /// Answers EINTR in the callback's place, if the client got a signal `long_ago`.
    pub(super) fn give_up(&self, long_ago: impl FnOnce(Duration) -> bool) -> bool {
        let running = self.running();
        let since = running.signalled.filter(|_| !running.answered);
        let gives_up = since.is_some_and(long_ago);
        if gives_up {
            self.answer(running, sys::EINTR);
        }
        gives_up
    }

    fn answer(&self, mut running: MutexGuard<'_, Running>, errno: i32) {
        running.answered = true;
        running.cancel.set();
        let unique = running.unique;
        drop(running);
        let _ = self.channel.reply_error(unique, errno);
    }

    /// Answers the running request in the callback's place, if it is one that `which` wants and nobody has
    /// done that before.
    pub(super) fn interrupt(&self, which: impl FnOnce(u64) -> bool, errno: i32) -> bool {
        let running = self.running();
        let unique = running.unique;
        if unique == 0 || running.answered || !which(unique) {
            return false;
        }
        self.answer(running, errno);
        true
    }

    /// What runs with a client that waits for it.
    pub(super) fn waited_for(&self) -> Option<Begun> {
        let running = self.running();
        running.begun.filter(|_| !running.answered)
    }

    /// Answers ETIMEDOUT in the callback's place if it is `late` and nobody has answered before.
    pub(super) fn expire(&self, late: impl FnOnce(&Begun) -> bool) -> Option<Begun> {
        let mut running = self.running();
        let begun = running.begun.filter(|_| !running.answered)?;
        if !late(&begun) {
            return None;
        }
        running.late = true;
        self.answer(running, sys::ETIMEDOUT);
        Some(begun)
    }

    /// Whether its client was answered so, and it runs on.
    pub(super) fn is_late(&self) -> bool {
        self.running().late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mounting::EINTR;

    fn slot() -> Slot {
        let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
        Slot::new(Arc::new(Channel::new(null.unwrap().into())))
    }

    #[test]
    fn a_request_is_answered_once() {
        let slot = slot();
        let cancel = slot.begin(4, 1, None);
        assert!(
            !slot.interrupt(|running| running == 2, EINTR),
            "another request"
        );
        assert!(!cancel.is_set());
        assert!(slot.interrupt(|running| running == 4, EINTR));
        assert!(!slot.interrupt(|running| running == 4, EINTR), "twice");
        assert!(cancel.is_set() && slot.end());
        // The next request knows nothing of it.
        assert!(!slot.begin(6, 1, None).is_set());
        assert!(!slot.end());
        assert!(!slot.interrupt(|_| true, EINTR), "nothing runs");
    }

    #[test]
    fn who_is_told_of_a_signal_may_answer_still() {
        let slot = slot();
        let now = Duration::from_secs(7);
        let cancel = slot.begin(4, 9, None);
        assert!(!slot.signal(2, now) && !cancel.is_set());
        assert_eq!((slot.runs(4), slot.runs(2)), (Some(9), None));
        assert!(slot.signal(4, now) && cancel.is_set());
        assert_eq!(slot.signalled(), Some(now));
        assert!(!slot.end(), "it was not answered");
        assert!(!slot.begin(6, 9, None).is_set() && slot.signalled().is_none());
        assert!(slot.signal(6, now) && !slot.give_up(|since| since > now));
        assert!(slot.give_up(|since| since == now) && !slot.give_up(|_| true));
        assert!(slot.runs(6).is_none() && slot.end());
        assert!(
            slot.runs(0).is_none() && !slot.signal(0, now),
            "nothing runs"
        );
    }
}

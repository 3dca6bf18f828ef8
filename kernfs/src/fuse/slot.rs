//! One service thread as the others see it: which request it runs, and who answers that.
//!
//! A request is answered once: by its own thread when the callback returns, or before that by whoever
//! interrupts it. The two meet under the slot's lock, so exactly one of them answers.

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
    /// Set when the client was answered EINTR meanwhile; then it is not used again.
    cancel: Arc<Cancel>,
    /// If there is a limit.
    begun: Option<Begun>,
    /// Its client was answered because it takes too long.
    late: bool,
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
    pub(super) fn begin(&self, unique: u64, begun: Option<Begun>) -> Arc<Cancel> {
        let mut running = self.running();
        running.unique = unique;
        running.begun = begun;
        Arc::clone(&running.cancel)
    }

    /// The callback has returned. Whether the client was answered meanwhile: then this thread must not.
    pub(super) fn end(&self) -> bool {
        let mut running = self.running();
        running.unique = 0;
        running.begun = None;
        running.late = false;
        let interrupted = running.cancel.is_set();
        if interrupted {
            running.cancel = Arc::default();
        }
        interrupted
    }

    /// Answers the running request in the callback's place, if it is one that `which` wants and nobody has
    /// done that before.
    pub(super) fn interrupt(&self, which: impl FnOnce(u64) -> bool, errno: i32) -> bool {
        let running = self.running();
        let unique = running.unique;
        if unique == 0 || running.cancel.is_set() || !which(unique) {
            return false;
        }
        running.cancel.set();
        drop(running);
        let _ = self.channel.reply_error(unique, errno);
        true
    }

    /// What runs with a client that waits for it.
    pub(super) fn waited_for(&self) -> Option<Begun> {
        let running = self.running();
        running.begun.filter(|_| !running.cancel.is_set())
    }

    /// Answers ETIMEDOUT in the callback's place if it is `late` and nobody has answered before.
    pub(super) fn expire(&self, late: impl FnOnce(&Begun) -> bool) -> Option<Begun> {
        let mut running = self.running();
        let begun = running.begun.filter(|_| !running.cancel.is_set())?;
        if !late(&begun) {
            return None;
        }
        running.late = true;
        running.cancel.set();
        let unique = running.unique;
        drop(running);
        let _ = self.channel.reply_error(unique, sys::ETIMEDOUT);
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
        let cancel = slot.begin(4, None);
        assert!(
            !slot.interrupt(|running| running == 2, EINTR),
            "another request"
        );
        assert!(!cancel.is_set());
        assert!(slot.interrupt(|running| running == 4, EINTR));
        assert!(!slot.interrupt(|running| running == 4, EINTR), "twice");
        assert!(cancel.is_set() && slot.end());
        // The next request knows nothing of it.
        assert!(!slot.begin(6, None).is_set());
        assert!(!slot.end());
        assert!(!slot.interrupt(|_| true, EINTR), "nothing runs");
    }
}

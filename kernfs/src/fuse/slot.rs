//! One service thread as the others see it: which request it runs, and who answers that.
//!
//! A request is answered once: by its own thread when the callback returns, or before that by whoever
//! interrupts it. The two meet under the slot's lock, so exactly one of them answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::channel::Channel;
use crate::cred::Cancel;

/// A service thread as the others see it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) channel: Arc<Channel>,
    running: Mutex<Running>,
}

/// The request whose callback a thread runs.
#[derive(Debug, Default)]
struct Running {
    /// Its number, 0 for none.
    unique: u64,
    /// Set when the client was answered EINTR meanwhile; then it is not used again.
    cancel: Arc<Cancel>,
}

impl Slot {
    pub(super) fn new(channel: Arc<Channel>) -> Self {
        Self {
            channel,
            running: Mutex::default(),
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The callback of this request is about to run.
    pub(super) fn begin(&self, unique: u64) -> Arc<Cancel> {
        let mut running = self.running();
        if running.cancel.is_set() {
            running.cancel = Arc::default(); // the request before ended in a panic
        }
        running.unique = unique;
        Arc::clone(&running.cancel)
    }

    /// The callback has returned. Whether the client was answered meanwhile: then this thread must not.
    pub(super) fn end(&self) -> bool {
        let mut running = self.running();
        running.unique = 0;
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
        let cancel = slot.begin(4);
        assert!(
            !slot.interrupt(|running| running == 2, EINTR),
            "another request"
        );
        assert!(!cancel.is_set());
        assert!(slot.interrupt(|running| running == 4, EINTR));
        assert!(!slot.interrupt(|running| running == 4, EINTR), "twice");
        assert!(cancel.is_set() && slot.end());
        // The next request knows nothing of it.
        assert!(!slot.begin(6).is_set());
        assert!(!slot.end());
        assert!(!slot.interrupt(|_| true, EINTR), "nothing runs");
    }

    #[test]
    fn a_request_after_one_that_panicked_is_not_interrupted() {
        let slot = slot();
        slot.begin(4);
        assert!(slot.interrupt(|_| true, EINTR));
        assert!(!slot.begin(6).is_set());
        assert!(!slot.end());
    }
}

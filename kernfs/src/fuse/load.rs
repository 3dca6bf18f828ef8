//! How busy the threads of a mount are, for the one that sees to it that there are enough: it sleeps as long as one of the
//! others waits for requests.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use urcu::Event;

/// How long no callback has to return before there is one thread more.
const PATIENCE: Duration = Duration::from_millis(10);

/// How busy the threads of a session are.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Who waits for a request, or is about to.
    idle: AtomicUsize,
    /// How many requests were served.
    served: AtomicU64,
    /// Nobody waits for requests any more, or all is over.
    full: Event,
    over: AtomicBool,
}

impl Load {
    /// A thread is there, or about to be.
    pub(super) fn arrives(&self) {
        self.idle.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread has got a request.
    pub(super) fn begins(&self) {
        // Release, with the signal: who is woken by it finds nobody idle. (If one has come back he sees that, or not.)
        if self.idle.fetch_sub(1, Ordering::Release) == 1 {
            self.full.signal();
        }
    }

    /// It waits for the next one.
    pub(super) fn ends(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.idle.fetch_add(1, Ordering::Relaxed);
    }

    /// No more threads are needed.
    pub(super) fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.full.signal(); // releases the store
    }

    /// Waits until a thread more is needed; `false`: until all is over.
    pub(super) fn wait_for_need(&self) -> bool {
        loop {
            // First: what is signalled after that ends the sleep, what was signalled before is seen below.
            let seen = self.full.value();
            if self.over.load(Ordering::Relaxed) {
                return false;
            }
            if self.idle.load(Ordering::Relaxed) > 0 {
                self.full.wait_while(seen, None);
                continue;
            }
            let served = self.served.load(Ordering::Relaxed);
            let changed = self.full.wait_while(seen, Some(PATIENCE));
            let stuck = self.idle.load(Ordering::Relaxed) == 0
                && self.served.load(Ordering::Relaxed) == served;
            if !changed && stuck {
                return true;
            }
        }
    }

    /// Waits until a request more is served than now.
    pub(super) fn wait_for_progress(&self) {
        let served = self.served.load(Ordering::Relaxed);
        let stands = || self.served.load(Ordering::Relaxed) == served;
        while stands() && !self.over.load(Ordering::Relaxed) {
            // Nobody signals that: it happens once in a stuck mount's life that this thread looks 20 times a second.
            let seen = self.full.value();
            self.full.wait_while(seen, Some(5 * PATIENCE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_thread_more_is_needed_when_all_are_busy_and_none_comes_back() {
        let load = Load::default();
        load.arrives();
        load.arrives();
        thread::scope(|scope| {
            let waits = scope.spawn(|| (load.wait_for_need(), load.wait_for_need()));
            load.begins();
            load.begins();
            // Needed once more: the one that was started for it has not come.
            load.arrives();
            load.begins();
            assert_eq!(waits.join().unwrap(), (true, true));
            load.ends();
            let waits = scope.spawn(|| load.wait_for_need());
            load.close();
            assert!(!waits.join().unwrap());
        });
    }
}

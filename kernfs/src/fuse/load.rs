//! How busy the threads of a mount are, for the one that sees to it that there are enough: it sleeps as long as one of the
//! others waits for requests, and where it can do nothing until one comes back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use urcu::Event;

/// How long no callback has to return before there is one thread more.
const PATIENCE: Duration = Duration::from_millis(10);

/// How busy the threads of a session are.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Who waits for a request, or is about to.
    idle: AtomicUsize,
    /// Signalled for each request that was served, and when all is over.
    served: Event,
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
        self.idle.fetch_add(1, Ordering::Relaxed);
        self.served.signal();
    }

    /// No more threads are needed.
    pub(super) fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.full.signal(); // releases the store
        self.served.signal();
    }

    /// Waits until a thread more is needed, and tells for [`wait_for_progress`](Self::wait_for_progress) since when;
    /// `None`: all is over.
    pub(super) fn wait_for_need(&self) -> Option<u32> {
        loop {
            // First: what is signalled after that ends the sleep, what was signalled before is seen below.
            let seen = self.full.value();
            if self.over.load(Ordering::Relaxed) {
                return None;
            }
            if self.idle.load(Ordering::Relaxed) > 0 {
                self.full.wait_while(seen, None);
                continue;
            }
            let served = self.served.value();
            let changed = self.full.wait_while(seen, Some(PATIENCE));
            let stuck = self.idle.load(Ordering::Relaxed) == 0 && self.served.value() == served;
            if !changed && stuck {
                return Some(served);
            }
        }
    }

    /// Waits until a request was served after `since`, or all is over.
    pub(super) fn wait_for_progress(&self, since: u32) {
        self.served.wait_while(since, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_thread_more_is_needed_when_all_are_busy_and_none_comes_back() {
        let load = &Load::default();
        load.arrives();
        load.arrives();
        thread::scope(|scope| {
            let needed = || load.wait_for_need().is_some();
            let waits = scope.spawn(move || (needed(), needed()));
            load.begins();
            load.begins();
            // Needed once more: the one that was started for it is busy too.
            load.arrives();
            load.begins();
            assert_eq!(waits.join().unwrap(), (true, true));
            let since = load.wait_for_need().unwrap();
            let waits = scope.spawn(move || (load.wait_for_progress(since), needed()));
            load.ends();
            load.close();
            assert_eq!(waits.join().unwrap(), ((), false));
        });
    }
}

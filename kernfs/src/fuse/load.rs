//! How busy the threads of a mount are, for the one that sees to it that there are enough: it sleeps as long as one of the
//! others waits for requests, and where it can do nothing until one comes back. Who is the first to find nobody waiting
//! wakes it; then it looks by itself for a while. (To be woken each time costs as much as the request: two threads of a mount
//! are busy at once whenever a client opens the next file while its last one is being released.)

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
    /// All is over.
    end: Event,
    over: AtomicBool,
    #[cfg(test)]
    looks: AtomicUsize,
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
        // Each releases the store.
        self.full.signal();
        self.end.signal();
        self.served.signal();
    }

    /// Waits until a thread more is needed, and tells for [`wait_for_progress`](Self::wait_for_progress) since when;
    /// `None`: all is over.
    pub(super) fn wait_for_need(&self) -> Option<u32> {
        loop {
            // First: what is signalled after that ends the sleep, what was signalled before is seen below.
            let (seen, end) = (self.full.value(), self.end.value());
            if self.over.load(Ordering::Relaxed) {
                return None;
            }
            if self.idle.load(Ordering::Relaxed) > 0 {
                self.full.wait_while(seen, None);
            }
            // Nobody has to wake it now.
            #[cfg(test)]
            self.looks.fetch_add(1, Ordering::Relaxed);
            let served = self.served.value();
            let full = self.idle.load(Ordering::Relaxed) == 0;
            self.end.wait_while(end, Some(PATIENCE));
            // If none was served in between, they were busy all the time.
            let stuck = self.idle.load(Ordering::Relaxed) == 0 && self.served.value() == served;
            if full && stuck && !self.over.load(Ordering::Relaxed) {
                return Some(served);
            }
        }
    }

    /// Waits until a request was served after `since`, or all is over, or for so long.
    pub(super) fn wait_for_progress(&self, since: u32, limit: Option<Duration>) {
        self.served.wait_while(since, limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

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
            let waits = scope.spawn(move || (load.wait_for_progress(since, None), needed()));
            load.ends();
            load.close();
            assert_eq!(waits.join().unwrap(), ((), false));
        });
    }

    // A thread was woken for every request that came while another one was served.
    #[test]
    fn who_looks_after_a_busy_mount_is_not_woken_each_time() {
        let load = &Load::default();
        load.arrives();
        let start = Instant::now();
        thread::scope(|scope| {
            // Where the other thread loses its processor there is a need.
            scope.spawn(|| while load.wait_for_need().is_some() {});
            while start.elapsed() < 5 * PATIENCE {
                load.begins();
                thread::yield_now();
                load.ends();
            }
            load.close();
        });
        // It sleeps for as long after each look, but the last.
        let most = start.elapsed().as_nanos() / PATIENCE.as_nanos() + 1;
        let looks = load.looks.load(Ordering::Relaxed);
        assert!(looks as u128 <= most, "{looks} looks, {most} at most");
    }
}

//! How long a callback may keep its client waiting ([`Options::callback_limit`](super::Options::callback_limit)): a thread
//! that answers in the place of those that take longer.
//!
//! It sleeps until the oldest callback that runs is due, and without an end while none does; so a mount that is busy with
//! quick callbacks wakes it once in a limit. As with INTERRUPT the callback runs on, and what it answers in the end is
//! dropped.

use core::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::slot::{Begun, Slot};
use crate::caught::caught_and_told;
use crate::slow::RunningCallback;
use crate::sys::say;

/// A callback that has taken longer than its client was to wait; see
/// [`Options::callback_limit`](super::Options::callback_limit).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LateCallback {
    /// The node: of mkdir, rmdir and rename the directory in which they are done. Empty if it is gone.
    pub path: Vec<u8>,
    /// Which callback, on which thread. The name of the system call, if none is running: it waits for another one's end.
    pub callback: RunningCallback,
    /// How long it might have taken.
    pub limit: Duration,
}

impl fmt::Display for LateCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.escape_ascii();
        let RunningCallback { op, thread, tid } = &self.callback;
        write!(
            f,
            "{op} of {path} has run for more than {:?} on thread {tid} ({thread}); its client was answered ETIMEDOUT, it \
             runs on",
            self.limit
        )
    }
}

/// Whom to tell.
#[derive(Clone)]
pub(super) struct Hook(Arc<dyn Fn(&LateCallback) + Send + Sync>);

impl Hook {
    pub(super) fn new(hook: impl Fn(&LateCallback) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// Tells of one. No lock is held.
pub(super) fn tell(hook: Option<&Hook>, late: &LateCallback) {
    match hook {
        // The thread must live: the next client waits for it.
        Some(hook) => drop(caught_and_told("a hook", || (hook.0)(late))),
        None => say(&format!("kernfs: {late}\n")),
    }
}

/// Counts from some moment on.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

#[derive(Debug, Default)]
struct State {
    /// The thread sleeps until a callback begins.
    idle: bool,
    over: bool,
}

/// The limit of one mount.
pub(super) struct Limit {
    after: Duration,
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limit").field(&self.after).finish()
    }
}

impl Limit {
    pub(super) fn new(after: Duration) -> Self {
        let start = Instant::now();
        Self::with_clock(after, Box::new(move || start.elapsed()))
    }

    fn with_clock(after: Duration, clock: Clock) -> Self {
        Self {
            after,
            clock,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be noted in a slot, before the callback; then [`begun`](Self::begun).
    pub(super) fn begin(&self, node: u64, op: &'static str) -> Begun {
        Begun {
            since: (self.clock)(),
            node,
            op,
        }
    }

    /// A slot has one more.
    pub(super) fn begun(&self) {
        let mut state = self.lock();
        if state.idle {
            state.idle = false;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.lock().over = true;
        self.changed.notify_one();
    }

    fn due(&self, begun: &Begun) -> Duration {
        begun.since.saturating_add(self.after)
    }

    /// Answers in the place of those that are late now. How long until the next one is; `None`: none runs.
    fn answer(
        &self,
        slots: &mut dyn Iterator<Item = (usize, &Slot)>,
        late: &mut Vec<(usize, Begun)>,
    ) -> Option<Duration> {
        let now = (self.clock)();
        let mut next: Option<Duration> = None;
        for (index, slot) in slots {
            if let Some(begun) = slot.expire(|begun| self.due(begun) <= now) {
                late.push((index, begun));
            } else if let Some(begun) = slot.waited_for() {
                let due = self.due(&begun).saturating_sub(now);
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    /// The thread's body. `tell` is called without a lock, for each once.
    pub(super) fn run<'a, S: Iterator<Item = (usize, &'a Slot)>>(
        &self,
        slots: impl Fn() -> S,
        tell: impl Fn(usize, Begun),
    ) {
        let mut late = Vec::new();
        let mut state = self.lock();
        while !state.over {
            // Under the lock: a callback that is not seen here finds it idle, or waits for less than what is slept.
            let next = self.answer(&mut slots(), &mut late);
            if !late.is_empty() {
                drop(state);
                late.drain(..).for_each(|(index, begun)| tell(index, begun));
                state = self.lock();
                continue;
            }
            state.idle = next.is_none();
            state = match next {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    self.changed
                        .wait_timeout(state, due)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    pub(super) fn after(&self) -> Duration {
        self.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::super::abi::{Field, OutHeader};
    use super::super::channel::Channel;
    use crate::sys::mounting as sys;

    #[test]
    fn who_is_late_is_answered_once_and_told_once() {
        let time = Arc::new(AtomicU64::new(100));
        let clock = Arc::clone(&time);
        let clock = Box::new(move || Duration::from_secs(clock.load(SeqCst)));
        let limit = Limit::with_clock(Duration::from_secs(5), clock);
        let (mut reader, writer) = std::io::pipe().unwrap();
        let channel = Arc::new(Channel::new(File::from(OwnedFd::from(writer)).into()));
        let slots = [(); 2].map(|()| Slot::new(Arc::clone(&channel)));
        let answer = || {
            let mut late = Vec::new();
            let next = limit.answer(&mut slots.iter().enumerate(), &mut late);
            (next.map(|next| next.as_secs()), late)
        };
        assert_eq!(answer(), (None, vec![]));
        let first = slots[0].begin(2, Some(limit.begin(7, "read")));
        time.store(103, SeqCst);
        let second = slots[1].begin(4, Some(limit.begin(8, "write")));
        assert_eq!(answer(), (Some(2), vec![]));
        time.store(104, SeqCst);
        assert_eq!(answer(), (Some(1), vec![]));
        // At the limit, and not before.
        time.store(105, SeqCst);
        let since = Duration::from_secs(100);
        let (node, op) = (7, "read");
        assert_eq!(answer(), (Some(3), vec![(0, Begun { since, node, op })]));
        assert!(first.is_set() && !second.is_set());
        assert!(slots[0].is_late() && !slots[1].is_late());
        let mut bytes = [0; 16];
        reader.read_exact(&mut bytes).unwrap();
        let header = OutHeader::take(&mut &bytes[..]).unwrap();
        assert_eq!((header.unique, header.error), (2, -sys::ETIMEDOUT));
        // A signal comes too late; the callback's own answer is dropped.
        assert!(!slots[0].interrupt(|_| true, sys::EINTR));
        time.store(107, SeqCst);
        assert_eq!(answer(), (Some(1), vec![]));
        assert!(slots[0].end() && !slots[0].is_late());
        assert!(!slots[1].end());
        // One that was answered by a signal is not late.
        slots[1].begin(6, Some(limit.begin(8, "write")));
        assert!(slots[1].interrupt(|_| true, sys::EINTR));
        time.store(200, SeqCst);
        assert_eq!(answer(), (None, vec![]));
        assert!(!slots[1].is_late());
    }
}

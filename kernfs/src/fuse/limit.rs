//! How long a callback may keep its client waiting ([`Options::callback_limit`](super::Options::callback_limit), and after
//! a signal): a thread that answers in the place of those that take longer.
//!
//! It sleeps until the oldest callback that runs is due, and without an end while none does; so a mount that is busy with
//! quick callbacks wakes it once in a limit, and one without a limit never. The callback runs on, and what it answers in
//! the end is dropped.
//!
//! After a signal: most callbacks are quick, and end with what they have done. To answer EINTR for them at once would have
//! clients do again what was done, as after EINTR they do.

use core::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::slot::{Begun, Slot};
use crate::caught::caught_and_told;
use crate::slow::RunningCallback;
use crate::sys::say;

/// How long after a signal a callback may still answer, unless its file says that it may block.
const GRACE: Duration = Duration::from_millis(50);

/// How long until the kernel is to tell again of a signal whose request runs no callback.
const AGAIN: Duration = Duration::from_millis(1);

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
    /// When it looks again by itself; `None`: it sleeps until it is asked to.
    next: Option<Duration>,
    /// Until when it was asked to stay awake: who asks again before that need not wake it.
    asked: Option<Duration>,
    over: bool,
    /// The INTERRUPTs to be answered EAGAIN, and when.
    again: Vec<(Duration, u64)>,
}

/// What the thread looks after.
pub(super) trait Duties {
    /// The threads that serve, with their numbers.
    fn slots(&self) -> impl Iterator<Item = (usize, &Slot)>;
    /// The client of this one was answered in its place. Called once for each, without a lock.
    fn is_late(&self, index: usize, begun: Begun);
    /// The kernel is to send this INTERRUPT again.
    fn again(&self, unique: u64);
    /// Sends replies that wait behind something else for long. How long until the next one does.
    fn relieve(&self) -> Option<Duration>;
}

/// The limit of one mount.
pub(super) struct Limit {
    /// `None`: as long as it likes.
    after: Option<Duration>,
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
    pub(super) fn new(after: Option<Duration>) -> Self {
        let start = Instant::now();
        Self::with_clock(after, Box::new(move || start.elapsed()))
    }

    fn with_clock(after: Option<Duration>, clock: Clock) -> Self {
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
    pub(super) fn begin(&self, node: u64, op: &'static str) -> Option<Begun> {
        self.after.map(|_| Begun {
            since: (self.clock)(),
            node,
            op,
        })
    }

    /// A slot has one more.
    pub(super) fn begun(&self) {
        if let Some(after) = self.after {
            self.look_within(after);
        }
    }

    /// For [`Slot::signal`].
    pub(super) fn now(&self) -> Duration {
        (self.clock)()
    }

    /// Somebody has got a signal.
    pub(super) fn signalled(&self) {
        self.look_within(GRACE);
    }

    /// Something is due in a while, which the thread may not know.
    pub(super) fn look_within(&self, time: Duration) {
        let due = self.now().saturating_add(time);
        // Under the lock the thread has not looked yet, or sleeps.
        let mut state = self.lock();
        if state.next.is_none_or(|next| next > due) {
            // What it was asked for before is found when it looks.
            (state.next, state.asked) = (Some(due), Some(due));
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Has an INTERRUPT come again, in a while: it is not known whose it is.
    pub(super) fn again(&self, unique: u64) {
        let due = self.now().saturating_add(AGAIN);
        self.lock().again.push((due, unique));
        self.look_within(AGAIN);
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.lock().over = true;
        self.changed.notify_one();
    }

    fn due(&self, begun: &Begun) -> Duration {
        let after = self.after.unwrap_or(Duration::MAX);
        begun.since.saturating_add(after)
    }

    /// Answers in the place of those that are late now. When the next one is; `None`: none runs.
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
                continue;
            }
            let patience = |since: Duration| since.saturating_add(GRACE);
            if slot.give_up(|since| patience(since) <= now) {
                continue;
            }
            let begun = slot.waited_for().map(|begun| self.due(&begun));
            let all = [begun, slot.signalled().map(patience), next];
            next = all.into_iter().flatten().min();
        }
        next
    }

    /// Those that are due now.
    fn take_again(&self, state: &mut State) -> Vec<u64> {
        let now = self.now();
        let all = std::mem::take(&mut state.again).into_iter();
        let (due, later) = all.partition::<Vec<_>, _>(|(due, _)| *due <= now);
        state.again = later;
        due.into_iter().map(|(_, unique)| unique).collect()
    }

    /// The thread's body.
    pub(super) fn run(&self, duties: &impl Duties) {
        let mut late = Vec::new();
        let mut state = self.lock();
        while !state.over {
            // Under the lock: a callback that is not seen here finds it idle, or waits for less than what is slept.
            let next = self.answer(&mut duties.slots(), &mut late);
            let again = self.take_again(&mut state);
            if !late.is_empty() || !again.is_empty() {
                drop(state);
                let tell = |(index, begun)| duties.is_late(index, begun);
                late.drain(..).for_each(tell);
                again.into_iter().for_each(|unique| duties.again(unique));
                state = self.lock();
                continue;
            }
            let others = state.again.iter().map(|(due, _)| *due);
            let now = self.now();
            let relief = duties.relieve().map(|left| now.saturating_add(left));
            let asked = state.asked.filter(|due| *due > now);
            let next = others.chain(next).chain(relief).chain(asked).min();
            (state.next, state.asked) = (next, asked);
            state = match next.map(|due| due.saturating_sub(now)) {
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
        self.after.unwrap_or(Duration::MAX)
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
        let limit = Limit::with_clock(Some(Duration::from_secs(5)), clock);
        let (mut reader, writer) = std::io::pipe().unwrap();
        let channel = Arc::new(Channel::new(File::from(OwnedFd::from(writer)).into()));
        let slots = [(); 2].map(|()| Slot::new(Arc::clone(&channel)));
        let answer = || {
            let mut late = Vec::new();
            let next = limit.answer(&mut slots.iter().enumerate(), &mut late);
            (next.map(|next: Duration| next.as_secs()), late)
        };
        assert_eq!(answer(), (None, vec![]));
        let first = slots[0].begin(2, 7, limit.begin(7, "read"));
        time.store(103, SeqCst);
        let second = slots[1].begin(4, 8, limit.begin(8, "write"));
        assert_eq!(answer(), (Some(105), vec![]));
        time.store(104, SeqCst);
        assert_eq!(answer(), (Some(105), vec![]));
        // At the limit, and not before.
        time.store(105, SeqCst);
        let since = Duration::from_secs(100);
        let (node, op) = (7, "read");
        assert_eq!(answer(), (Some(108), vec![(0, Begun { since, node, op })]));
        assert!(first.is_set() && !second.is_set());
        assert!(slots[0].is_late() && !slots[1].is_late());
        let mut bytes = [0; 16];
        reader.read_exact(&mut bytes).unwrap();
        let header = OutHeader::take(&mut &bytes[..]).unwrap();
        assert_eq!((header.unique, header.error), (2, -sys::ETIMEDOUT));
        // A signal comes too late; the callback's own answer is dropped.
        assert!(!slots[0].interrupt(|_| true, sys::EINTR));
        assert!(!slots[0].signal(2, limit.now()));
        time.store(107, SeqCst);
        assert_eq!(answer(), (Some(108), vec![]));
        assert!(slots[0].end() && !slots[0].is_late());
        assert!(!slots[1].end());
        // One that was answered by a signal is not late.
        slots[1].begin(6, 8, limit.begin(8, "write"));
        assert!(slots[1].interrupt(|_| true, sys::EINTR));
        time.store(200, SeqCst);
        assert_eq!(answer(), (None, vec![]));
        assert!(!slots[1].is_late());
    }

    #[test]
    fn who_got_a_signal_is_answered_when_the_callback_does_not_for_a_while() {
        let time = Arc::new(AtomicU64::new(1000));
        let clock = Arc::clone(&time);
        let clock = Box::new(move || Duration::from_millis(clock.load(SeqCst)));
        let limit = Limit::with_clock(None, clock);
        let (mut reader, writer) = std::io::pipe().unwrap();
        let channel = Arc::new(Channel::new(File::from(OwnedFd::from(writer)).into()));
        let slots = [Slot::new(channel)];
        let answer = || limit.answer(&mut slots.iter().enumerate(), &mut Vec::new());
        let due = limit.now() + GRACE;
        // One that answers in time, one that does not.
        for (unique, is_quick) in [(2, true), (4, false)] {
            let cancel = slots[0].begin(unique, 7, limit.begin(7, "write"));
            assert_eq!(answer(), None);
            assert!(slots[0].signal(unique, limit.now()));
            assert_eq!((answer(), cancel.is_set()), (Some(due), true));
            assert_eq!(slots[0].runs(unique), Some(7), "not yet");
            if is_quick {
                assert!(!slots[0].end());
                assert_eq!(answer(), None);
            }
        }
        time.fetch_add(GRACE.as_millis() as u64, SeqCst);
        assert_eq!(answer(), None);
        assert!(slots[0].end());
        let mut bytes = [0; 16];
        reader.read_exact(&mut bytes).unwrap();
        let header = OutHeader::take(&mut &bytes[..]).unwrap();
        assert_eq!((header.unique, header.error), (4, -sys::EINTR));
    }

    /// It was sent again at once, as long as a request took that runs no callback.
    #[test]
    fn a_signal_whose_request_is_not_found_is_told_again_after_a_while() {
        let time = Arc::new(AtomicU64::new(1000));
        let clock = Arc::clone(&time);
        let clock = Box::new(move || Duration::from_millis(clock.load(SeqCst)));
        let limit = Limit::with_clock(None, clock);
        limit.again(7);
        assert!(limit.take_again(&mut limit.lock()).is_empty());
        time.fetch_add(AGAIN.as_millis() as u64, SeqCst);
        assert_eq!(limit.take_again(&mut limit.lock()), [7]);
        assert!(limit.take_again(&mut limit.lock()).is_empty());
    }
}

//! Sleeping and waking on a word of memory, without a system call when nobody sleeps.
//!
//! [`futex::Word`] is futex(2) as it is, [`Event`] an event count on top of it (the event count of
//! Dmitry Vyukov's lock-free queues; the kernel's `rcuwait` and `swait` solve the same problem).

use crate::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::sys;

/// futex(2) on a private word.
pub mod futex {
    use super::{Duration, sys};
    use crate::atomic::PublicAtomicU32 as AtomicU32;
    use core::ops::Deref;

    pub use crate::sys::Wake;

    /// An `AtomicU32` that threads can sleep on.
    ///
    /// ```
    /// use std::sync::atomic::Ordering::SeqCst;
    /// use urcu::futex::{Wake, Word};
    ///
    /// let word = Word::new(7);
    /// assert_eq!(word.wait(8, None), Wake::Changed); // it is not 8: no sleep
    /// word.store(8, SeqCst);
    /// word.wake(i32::MAX);
    /// ```
    #[derive(Debug, Default)]
    pub struct Word(AtomicU32);

    impl Word {
        /// A word with a first value.
        pub const fn new(value: u32) -> Self {
            Self(AtomicU32::new(value))
        }

        /// Sleeps while the word holds `expected`, at most `timeout` (for ever with `None`).
        ///
        /// May return early for no reason: look at your condition again. Keeps errno. Blocks, so not
        /// for a read section or a signal handler.
        pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> Wake {
            sys::futex_wait(self.0.as_ptr(), expected, timeout)
        }

        /// Wakes up to `count` sleepers. One system call, also when nobody sleeps. Async-signal-safe,
        /// keeps errno.
        pub fn wake(&self, count: i32) {
            sys::futex_wake(self.0.as_ptr(), count);
        }
    }

    impl Deref for Word {
        type Target = AtomicU32;
        fn deref(&self) -> &AtomicU32 {
            &self.0
        }
    }
}

/// A counter that can be waited for: who signals pays a system call only when somebody sleeps.
///
/// Read [`Event::value`], look at your condition, then [`Event::wait_while`] the value stands: a signal
/// in between is not lost.
///
/// ```
/// static READY: urcu::Event = urcu::Event::new();
/// let seen = READY.value();
/// let thread = std::thread::spawn(|| READY.signal());
/// assert!(READY.wait_while(seen, None));
/// thread.join().unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Event {
    value: AtomicU32,
    waiters: AtomicU32,
}

impl Event {
    /// An event that was never signalled.
    pub const fn new() -> Self {
        Self::starting_at(0)
    }

    /// An event whose count starts at `value`.
    pub const fn starting_at(value: u32) -> Self {
        Self {
            value: AtomicU32::new(value),
            waiters: AtomicU32::new(0),
        }
    }

    /// How often it was signalled, modulo 2^32. A load; sees everything done before that signal.
    pub fn value(&self) -> u32 {
        self.value.load(Ordering::SeqCst)
    }

    /// Counts up and wakes all sleepers. Lock-free, async-signal-safe, keeps errno; a system call only
    /// when somebody sleeps.
    pub fn signal(&self) {
        // Pairs with `wait_while`: both sides store first and load second, all SeqCst. Either we see
        // the waiter and wake it, or the waiter sees the new value and does not sleep.
        self.value.fetch_add(1, Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) != 0 {
            sys::futex_wake(self.value.as_ptr(), i32::MAX);
        }
    }

    /// Sleeps while the value is still `seen`; tells whether it changed (`false`: the time is over).
    /// Blocks, so not for a read section.
    pub fn wait_while(&self, seen: u32, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let changed = loop {
            if self.value.load(Ordering::SeqCst) != seen {
                break true;
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break false;
            }
            sys::futex_wait(self.value.as_ptr(), seen, left);
        };
        // Not below 0: a signal handler may have forked inside the wait, and the child starts at 0.
        let down = |n: u32| n.checked_sub(1);
        let _ = self
            .waiters
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, down);
        changed
    }

    /// In a forked child: who waited is not here, but for a thread that forked in a signal handler inside its
    /// wait. That one looks again, because whoever would wake it is gone, and would not see it counted.
    pub(crate) fn forget_waiters_after_fork(&self) {
        self.waiters.store(0, Ordering::Relaxed);
        self.value.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_between_value_and_wait_is_not_lost() {
        let event = Event::new();
        let seen = event.value();
        event.signal();
        assert!(event.wait_while(seen, None));
        assert!(!event.wait_while(event.value(), Some(Duration::ZERO)));
    }

    #[test]
    fn ping_pong_loses_no_wake_up() {
        const ROUNDS: u32 = 20_000;
        let (ping, pong) = (Event::new(), Event::new());
        std::thread::scope(|s| {
            s.spawn(|| {
                for n in 0..ROUNDS {
                    assert!(ping.wait_while(n, None));
                    pong.signal();
                }
            });
            for n in 0..ROUNDS {
                ping.signal();
                assert!(pong.wait_while(n, None));
            }
        });
        assert_eq!((ping.value(), pong.value()), (ROUNDS, ROUNDS));
    }
}

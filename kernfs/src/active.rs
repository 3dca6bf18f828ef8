//! Active references: what makes "remove has returned" mean "no callback runs any more".
//!
//! The kernel's `kernfs_get_active`, `kernfs_put_active` and the waiting half of `kernfs_drain`. One signed
//! word: v >= 0 is an active node with v operations running; v < 0 is a deactivated one with v - BIAS
//! still running; BIAS alone is deactivated and drained. An active reference keeps no memory: whoever
//! holds one also holds the node.
//!
//! A callback may give its reference up while it goes on ([`Active::give_up`], the kernel's
//! `kernfs_break_active_protection`), and take it back: that balances the end of the operation and protects
//! nothing.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use std::time::Duration;

use crate::atomic::{Ordering, Wake, Word};

/// One above the smallest value, so that its negation is representable.
const BIAS: i32 = i32::MIN + 1;

/// The word. The drain sleeps on it, so it is a futex.
pub(crate) struct ActiveWord(Word);

/// An operation runs. Dropping it is `kernfs_put_active`.
///
/// `!Send`: the list of what a thread is inside of ([`crate::held`]) goes by threads.
#[must_use]
pub(crate) struct Active<'n> {
    word: &'n ActiveWord,
    /// The reference was given up. Its end looks here and not at what a user's guard did, so forgetting that
    /// guard is harmless.
    given_up: Cell<bool>,
    /// It was given up since it last was known to protect.
    lapsed: Cell<bool>,
    thread: PhantomData<*mut ()>,
}

fn value(bits: u32) -> i32 {
    bits.cast_signed()
}

impl ActiveWord {
    /// A node that nobody can use yet.
    pub(crate) const fn new() -> Self {
        Self(Word::new(BIAS.cast_unsigned()))
    }

    /// One that can be used by whoever finds it. Nobody has yet: what publishes the node publishes this.
    pub(crate) const fn born_active() -> Self {
        Self(Word::new(0))
    }

    /// Whether `get` would succeed now.
    pub(crate) fn is_active(&self) -> bool {
        value(self.0.load(Ordering::Acquire)) >= 0
    }

    /// Deactivated, and nobody runs.
    pub(crate) fn is_drained(&self) -> bool {
        value(self.0.load(Ordering::Relaxed)) == BIAS
    }

    /// A reference, unless the node is deactivated. Lock-free.
    pub(crate) fn get(&self) -> Option<Active<'_>> {
        // Acquire pairs with the Release of `activate`: an operation sees the node complete. (Of one that was born
        // active it does by what published the node.) It needs no
        // order with `deactivate`: both are changes of this one word, so either our increment comes first
        // and the drain counts us, or the bias does and we fail.
        self.0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |bits| {
                (value(bits) >= 0).then(|| bits.wrapping_add(1))
            })
            .ok()
            .map(|_| Active {
                word: self,
                given_up: Cell::new(false),
                lapsed: Cell::new(false),
                thread: PhantomData,
            })
    }

    /// Opens the node for operations; tells whether it was closed. Tree lock held.
    pub(crate) fn activate(&self) -> bool {
        // As in `deactivate`: look and change need not be one step.
        let closed = value(self.0.load(Ordering::Relaxed)) < 0;
        if closed {
            // Release: see `get`.
            self.0.fetch_sub(BIAS.cast_unsigned(), Ordering::Release);
        }
        closed
    }

    /// Closes the node for operations; those that run go on. Tree lock held. Once only is enough, but
    /// several overlapping removers come here.
    pub(crate) fn deactivate(&self) {
        // The sign changes only under the tree lock, so look and change need not be one step. Relaxed: the
        // drain synchronizes with the operations, not this.
        if value(self.0.load(Ordering::Relaxed)) >= 0 {
            self.0.fetch_add(BIAS.cast_unsigned(), Ordering::Relaxed);
        }
    }

    /// Waits until no operation runs, calling `slow` each time that takes `period`. The node is deactivated; no lock
    /// is held.
    pub(crate) fn drain(&self, period: Duration, mut slow: impl FnMut(Duration)) {
        let mut waited = Duration::ZERO;
        loop {
            // Acquire pairs with the Release of `put`: what the operations did happened before our return.
            let now = self.0.load(Ordering::Acquire);
            debug_assert!(value(now) < 0, "drain of an active node");
            if value(now) == BIAS {
                return;
            }
            // Only the put that reaches BIAS wakes. Any put in between leaves us asleep on an old value,
            // which is right; a put before we sleep changes the word, and we do not sleep.
            if self.0.wait(now, Some(period)) == Wake::TimedOut {
                waited += period;
                slow(waited);
            }
        }
    }
}

impl Active<'_> {
    /// Gives the reference up before the operation ends: removal no longer waits for it. Tells whether it was
    /// held.
    pub(crate) fn give_up(&self) -> bool {
        let held = !self.given_up.replace(true);
        if held {
            self.lapsed.set(true);
            self.put();
        }
        held
    }

    /// Before another callback under the same reference: takes it back, and tells whether it protects.
    pub(crate) fn protects(&self) -> bool {
        if !self.lapsed.get() {
            return true;
        }
        self.take_back();
        // Exact, as all are changes of this one word: what we read is our increment or later. Either the bias is in it,
        // and a drain may be over; or it comes later, and its drain counts us. Acquire: see `get`.
        let protects = self.word.is_active();
        self.lapsed.set(!protects);
        protects
    }

    /// Whether it was given up, and not taken back.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.get()
    }

    /// Takes it back, whatever the node is by now: only so that the operation's end may give it up. So the
    /// word may leave BIAS after a drain, for a moment (invariant I10).
    pub(crate) fn take_back(&self) {
        if self.given_up.replace(false) {
            // Relaxed: protects nothing.
            self.word.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn put(&self) {
        // Release: all that the operation did happens before the drain's return.
        let before = self.word.0.fetch_sub(1, Ordering::Release);
        if value(before) == BIAS + 1 {
            // The borrow keeps the word alive: the remover may not free it under the wake (invariant I9).
            self.word.0.wake(i32::MAX);
        }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl fmt::Debug for Active<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active")
            .field("given_up", &self.given_up)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ActiveWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = value(self.0.load(Ordering::Relaxed));
        if v >= 0 {
            write!(f, "Active({v})")
        } else {
            write!(f, "Deactivated({})", v - BIAS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    static_assertions::assert_not_impl_any!(Active<'static>: Send, Sync);

    #[test]
    fn get_succeeds_only_while_active() {
        let word = ActiveWord::new();
        assert!(word.get().is_none() && !word.is_active());
        word.activate();
        let held = word.get().unwrap();
        assert_eq!(format!("{word:?}"), "Active(1)");
        word.deactivate();
        word.deactivate();
        assert!(word.get().is_none());
        assert_eq!(format!("{word:?}"), "Deactivated(1)");
        drop(held);
        word.drain(Duration::MAX, |_| {});
        assert_eq!(format!("{word:?}"), "Deactivated(0)");
    }

    // I10: taking a reference back leaves BIAS after the drain, for a moment. I3: each is given up once.
    #[test]
    fn a_reference_that_was_given_up_counts_nowhere_and_is_put_once() {
        let word = ActiveWord::new();
        word.activate();
        let (one, two) = (word.get().unwrap(), word.get().unwrap());
        assert!(one.give_up() && !one.give_up());
        two.take_back();
        assert_eq!(format!("{word:?}"), "Active(1)");
        drop(two);
        word.deactivate();
        word.drain(Duration::MAX, |_| {});
        one.take_back();
        one.take_back();
        assert_eq!(format!("{word:?}"), "Deactivated(1)");
        assert!(!word.is_drained());
        drop(one);
        assert!(word.is_drained());
    }

    #[test]
    fn a_drain_that_lasts_is_told_again_and_again() {
        let word = ActiveWord::new();
        word.activate();
        let (mut one, two) = (word.get(), word.get());
        word.deactivate();
        two.unwrap().give_up();
        let mut told = 0;
        let period = Duration::from_millis(1);
        word.drain(period, |waited| {
            told += 1;
            assert_eq!(waited, period * told);
            if told == 4 {
                one.take();
            }
        });
        assert_eq!(told, 4);
    }

    #[test]
    fn no_operation_survives_the_drain() {
        for _ in 0..15 {
            let word = Arc::new(ActiveWord::new());
            let inside = Arc::new(AtomicU32::new(0));
            word.activate();
            let users: Vec<_> = (0..3)
                .map(|_| {
                    let (word, inside) = (word.clone(), inside.clone());
                    std::thread::spawn(move || {
                        let mut n = 0;
                        while let Some(_active) = word.get() {
                            inside.fetch_add(1, Ordering::Relaxed);
                            n += 1;
                            inside.fetch_sub(1, Ordering::Relaxed);
                        }
                        n
                    })
                })
                .collect();
            while inside.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            word.deactivate();
            word.drain(Duration::MAX, |_| {});
            assert_eq!(inside.load(Ordering::Relaxed), 0);
            assert!(users.into_iter().map(|u| u.join().unwrap()).sum::<u32>() > 0);
            assert_eq!(format!("{word:?}"), "Deactivated(0)");
        }
    }
}

//! Active references: what makes "remove has returned" mean "no callback runs any more".
//!
//! The kernel's `kernfs_get_active`, `kernfs_put_active` and the waiting half of `kernfs_drain`. One signed
//! word: v >= 0 is an active node with v operations running; v < 0 is a deactivated one with v - BIAS
//! still running; BIAS alone is deactivated and drained. An active reference keeps no memory: whoever
//! holds one also holds the node.
//!
//! Left out until hide and show come: adding the bias back.

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use urcu::futex::Word;

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

    /// Whether `get` would succeed now.
    pub(crate) fn is_active(&self) -> bool {
        value(self.0.load(Ordering::Acquire)) >= 0
    }

    /// A reference, unless the node is deactivated. Lock-free.
    pub(crate) fn get(&self) -> Option<Active<'_>> {
        // Acquire pairs with the Release of `activate`: an operation sees the node complete. It needs no
        // order with `deactivate`: both are changes of this one word, so either our increment comes first
        // and the drain counts us, or the bias does and we fail.
        self.0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |bits| {
                (value(bits) >= 0).then(|| bits.wrapping_add(1))
            })
            .ok()
            .map(|_| Active {
                word: self,
                thread: PhantomData,
            })
    }

    /// Opens the node for operations. Tree lock held.
    pub(crate) fn activate(&self) {
        // Release: see `get`.
        self.0.fetch_sub(BIAS.cast_unsigned(), Ordering::Release);
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

    /// Waits until no operation runs. The node is deactivated; no lock is held.
    pub(crate) fn drain(&self) {
        loop {
            // Acquire pairs with the Release of `put`: what the operations did happened before our return.
            let now = self.0.load(Ordering::Acquire);
            debug_assert!(value(now) < 0, "drain of an active node");
            if value(now) == BIAS {
                return;
            }
            // Only the put that reaches BIAS wakes. Any put in between leaves us asleep on an old value,
            // which is right; a put before we sleep changes the word, and we do not sleep.
            self.0.wait(now, None);
        }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        // Release: all that the operation did happens before the drain's return.
        let before = self.word.0.fetch_sub(1, Ordering::Release);
        if value(before) == BIAS + 1 {
            // The borrow keeps the word alive: the remover may not free it under the wake (invariant I9).
            self.word.0.wake(i32::MAX);
        }
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
        word.drain();
        assert_eq!(format!("{word:?}"), "Deactivated(0)");
    }

    #[test]
    fn no_operation_survives_the_drain() {
        for _ in 0..50 {
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
            word.drain();
            assert_eq!(inside.load(Ordering::Relaxed), 0);
            assert!(users.into_iter().map(|u| u.join().unwrap()).sum::<u32>() > 0);
            assert_eq!(format!("{word:?}"), "Deactivated(0)");
        }
    }
}

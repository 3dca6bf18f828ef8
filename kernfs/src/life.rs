//! The life of an open file: who may use it, and who brings it to its end, once.
//!
//! A close and a drain may come at the same time. One of them claims the file and runs `release`, without any lock;
//! the other one waits until that is over. The state goes from top to bottom and never back, so a file that was
//! released stays dead, whatever becomes of its node.

use std::time::Duration;

use crate::atomic::{Ordering, Wake, Word};

/// Just made; no drain knows of it.
const OPENING: u32 = 0;
/// Usable.
const LIVE: u32 = 1;
/// Claimed by a close or a drain, whose thread runs `release`.
const RELEASING: u32 = 2;
/// The same, and somebody sleeps until it is over.
const AWAITED: u32 = 3;
/// Dead for ever.
const RELEASED: u32 = 4;

/// The state.
#[derive(Debug)]
pub(crate) struct Life(Word);

/// What a [`Life::claim`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The end is the caller's: he runs `release`, then calls [`Life::end`].
    Ours,
    /// Another thread has claimed it and is not finished: [`Life::wait`].
    Theirs,
    /// There is nothing to end: it never lived, or is dead.
    Nothing,
}

impl Life {
    pub(crate) const fn new() -> Self {
        Self(Word::new(OPENING))
    }

    /// The end of a successful `open`.
    pub(crate) fn begin(&self) {
        // Release pairs with the claim: who releases sees what `open` returned.
        self.0.store(LIVE, Ordering::Release);
    }

    /// Whether the file was released, or is being.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) >= RELEASING
    }

    /// Of all who want to end a live file, one gets it.
    pub(crate) fn claim(&self) -> Claim {
        // Acquire pairs with the Release of `begin`, and of `end` for who finds the file dead.
        match self
            .0
            .compare_exchange(LIVE, RELEASING, Ordering::Acquire, Ordering::Acquire)
        {
            Ok(_) => Claim::Ours,
            Err(RELEASING | AWAITED) => Claim::Theirs,
            Err(_) => Claim::Nothing,
        }
    }

    /// `release` has run. A system call only if somebody waits: most closes meet nobody.
    pub(crate) fn end(&self) {
        // One exchange, so that nobody says between look and change that he waits. Release pairs with the Acquire
        // of `wait`: who waited sees what `release` did.
        if self.0.swap(RELEASED, Ordering::Release) == AWAITED {
            self.0.wake(i32::MAX);
        }
    }

    /// Waits for who has claimed it, if somebody has, calling `slow` each time that takes `period`.
    pub(crate) fn wait(&self, period: Duration, mut slow: impl FnMut(Duration)) {
        let mut waited = Duration::ZERO;
        loop {
            // Who says that he waits says it before he sleeps, in the word that he sleeps on: then `end` finds
            // it, or the word is RELEASED and he does not sleep. Acquire pairs with the Release of `end`.
            let now = match self.0.compare_exchange(
                RELEASING,
                AWAITED,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => AWAITED,
                Err(now) => now,
            };
            if now != AWAITED {
                return;
            }
            if self.0.wait(AWAITED, Some(period)) == Wake::TimedOut {
                waited += period;
                slow(waited);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::thread;

    #[test]
    fn what_never_lived_is_not_ended() {
        let life = Life::new();
        assert_eq!((life.claim(), life.is_over()), (Claim::Nothing, false));
        life.begin();
        assert_eq!((life.claim(), life.claim()), (Claim::Ours, Claim::Theirs));
        assert!(life.is_over());
        life.end();
        assert_eq!(life.claim(), Claim::Nothing);
        life.wait(Duration::MAX, |_| {});
    }

    /// I8: `release` runs once, and whoever comes meanwhile returns after it.
    #[test]
    fn one_of_many_ends_it_and_the_others_return_after_that() {
        for _ in 0..200 {
            let (life, released) = (Life::new(), AtomicU32::new(0));
            life.begin();
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        match life.claim() {
                            Claim::Ours => {
                                thread::yield_now();
                                released.fetch_add(1, Ordering::Relaxed);
                                life.end();
                            }
                            Claim::Theirs => life.wait(Duration::MAX, |_| {}),
                            Claim::Nothing => {}
                        }
                        assert_eq!(released.load(Ordering::Relaxed), 1);
                    });
                }
            });
        }
    }
}

//! The one word of an [`OrdMap`](crate::OrdMap): where the tree is, and whether a writer holds it.
//!
//! A node's address leaves four bits: `LOCKED`, `SLEEPERS`, and two that number the forks that the process has come
//! from. The lock is held for a verification and a store, never while anything of the user's runs: no comparison,
//! drop or allocation. So it is a short spin, and a sleep only where the holder lost its processor.
//!
//! The child of a fork has one thread: a lock that another one held is nobody's, and would never be given back. Its
//! number tells, and it is taken over: a holder changes the tree by one store, so the tree is whole at any moment.
//! (The number is modulo 4: a lock left behind by a fork and found first by its great-great-grandchild hangs.)

use crate::atomic::{AtomicPtr, Ordering};
use core::hint;
use core::ptr::{self, NonNull};

use crate::identity;
use crate::provenance::{exposed, reloaded};
use crate::sys;

use super::node::{ALIGN, Node};

const LOCKED: usize = 1;
/// Somebody sleeps, or is about to. Never set without `LOCKED`.
const SLEEPERS: usize = 2;
const FORKS_SHIFT: u32 = 2;
const FORKS: usize = 3 << FORKS_SHIFT;
const BITS: usize = LOCKED | SLEEPERS | FORKS;
static_assertions::const_assert!(BITS < ALIGN);

/// Looks before it sleeps: the lock is held for some tens of nanoseconds.
const SPINS: u32 = 100;

fn forks() -> usize {
    (identity::forks() as usize) << FORKS_SHIFT & FORKS
}

/// # Invariants
/// 1. Without its low bits the word is null or a published node.
/// 2. All stores are read-modify-writes, so a reader that finds a word which a locking or waiting thread wrote
///    synchronises with whoever published the pointer in it (they continue its release sequence).
pub(super) struct Root<K, T>(AtomicPtr<Node<K, T>>);

type Word<K, T> = *mut Node<K, T>;

/// Made anew from its address: who takes or gives back the lock, or goes to sleep, stores the word that it has loaded,
/// and `clear` does so without a section, so another root may have come to the address since (see
/// [`crate::provenance`]).
fn pointer<K, T>(word: Word<K, T>) -> Option<NonNull<Node<K, T>>> {
    NonNull::new(reloaded(word.map_addr(|bits| bits & !BITS)))
}

impl<K, T> Root<K, T> {
    pub(super) const fn null() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Where the tree is at the moment. Acquire pairs with the Release of [`Locked::publish`].
    #[inline]
    pub(super) fn load(&self) -> Option<NonNull<Node<K, T>>> {
        pointer(self.0.load(Ordering::Acquire))
    }

    /// The tree, where `&mut` proves that there is nobody else.
    pub(super) fn take(&mut self) -> Option<NonNull<Node<K, T>>> {
        pointer(core::mem::replace(self.0.get_mut(), ptr::null_mut()))
    }

    /// Excludes other writers. Waits for a holder's few instructions.
    #[inline]
    pub(super) fn lock(&self) -> Locked<'_, K, T> {
        let word = self.0.load(Ordering::Relaxed);
        if word.addr() & BITS != 0 || !self.try_lock(word, 0) {
            self.lock_slowly();
        }
        Locked(self)
    }

    /// From a word that nobody holds, or who held it is not in this process.
    fn try_lock(&self, word: Word<K, T>, sleepers: usize) -> bool {
        let locked = word.map_addr(|bits| bits & !BITS | LOCKED | sleepers | forks());
        // Acquire pairs with the Release of `unlock`: what the last holder stored is seen.
        let exchanged =
            self.0
                .compare_exchange_weak(word, locked, Ordering::Acquire, Ordering::Relaxed);
        exchanged.is_ok()
    }

    #[cold]
    fn lock_slowly(&self) {
        let mut spins = 0;
        // Who has slept cannot know whether others still do, and says that they may.
        let mut sleepers = 0;
        loop {
            let word = self.0.load(Ordering::Relaxed);
            let bits = word.addr() & BITS;
            if bits & LOCKED == 0 || bits & FORKS != forks() {
                if self.try_lock(word, sleepers) {
                    return;
                }
            } else if cfg!(not(loom)) && spins < SPINS {
                spins += 1;
                hint::spin_loop();
            } else if self.announce_sleeper(word) {
                // The kernel compares, and sleeps only if the word still says so: either that comes before the
                // holder's exchange in `unlock`, which then finds `SLEEPERS` and wakes us, or we do not sleep.
                let expected = word.addr() | SLEEPERS;
                sys::futex_wait(self.half(), expected as u32, None); // CAST: the half that the kernel compares
                sleepers = SLEEPERS;
            }
        }
    }

    fn announce_sleeper(&self, word: Word<K, T>) -> bool {
        let announced = word.map_addr(|bits| bits | SLEEPERS);
        word == announced
            || self
                .0
                .compare_exchange(word, announced, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// The half of the word that has the bits, for futex(2).
    fn half(&self) -> *const u32 {
        let word: *const u32 = self.0.as_ptr().cast();
        word.wrapping_add(usize::from(cfg!(target_endian = "big")))
    }

    /// Gives the lock back, with another pointer or the same.
    fn unlock(&self, new: impl Fn(Word<K, T>) -> Word<K, T>) {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let unlocked = new(word).map_addr(|bits| bits & !BITS);
            // Release pairs with `load` and `try_lock`.
            match self
                .0
                .compare_exchange_weak(word, unlocked, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => word = now, // only `SLEEPERS` can have come
            }
        }
        if word.addr() & SLEEPERS != 0 {
            sys::futex_wake(self.half(), 1);
        }
    }
}

/// The right to change the tree, until it is dropped.
pub(super) struct Locked<'a, K, T>(&'a Root<K, T>);

impl<K, T> Locked<'_, K, T> {
    /// Where the tree is: nobody else changes that.
    pub(super) fn tree(&self) -> Option<NonNull<Node<K, T>>> {
        pointer(self.0.0.load(Ordering::Relaxed))
    }

    /// Publishes another tree, and gives the lock back: one exchange.
    ///
    /// # Safety
    /// 1. `new` is a node as [`Node`] has it, which becomes the map's.
    pub(super) unsafe fn publish(self, new: Option<NonNull<Node<K, T>>>) {
        // INVARIANT: 1 by clause 1.
        let new = new.map_or(ptr::null_mut(), |new| exposed(new.as_ptr()));
        self.0.unlock(|_| new);
        core::mem::forget(self);
    }
}

impl<K, T> Drop for Locked<'_, K, T> {
    fn drop(&mut self) {
        self.0.unlock(|word| word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::UnsafeCell;

    struct Counter(Root<u64, u64>, UnsafeCell<u64>);
    // SAFETY: the cell is used under the lock only.
    unsafe impl Sync for Counter {}

    #[test]
    fn writers_exclude_each_other_and_sleepers_are_woken() {
        const EACH: u64 = 20_000;
        let counter = Counter(Root::null(), UnsafeCell::new(0));
        std::thread::scope(|s| {
            let writers = [0; 4].map(|_| {
                s.spawn(|| {
                    let counter = &counter;
                    for n in 0..EACH {
                        let locked = counter.0.lock();
                        // SAFETY: the lock is held.
                        unsafe { *counter.1.get() += 1 };
                        if n % 64 == 0 {
                            std::thread::yield_now(); // with the lock: the others go to sleep
                        }
                        drop(locked);
                    }
                })
            });
            // By hand: what the scope does at its end ThreadSanitizer does not see.
            let [(), (), (), ()] = writers.map(|writer| writer.join().unwrap());
        });
        assert_eq!(counter.1.into_inner(), 4 * EACH);
        assert_eq!(counter.0.0.load(Ordering::Relaxed).addr(), 0);
    }
}

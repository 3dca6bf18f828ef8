//! Who the calling thread is, in one thread-local word: a shared object has 128 bytes of them at most, and std
//! takes 96.

use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::tls::{ThreadWord as _, thread_word};

// Its number, whether it is inside a callback, and how many `Thread` handles it owns.
thread_word!(Identity: u64 = 0, "thread");

const HANDLE_BITS: u32 = 15;
/// So many or more; never counted down again.
const MANY_HANDLES: u64 = (1 << HANDLE_BITS) - 1;
const IN_CALLBACK: u64 = 1 << HANDLE_BITS;
const NUMBER_SHIFT: u32 = HANDLE_BITS + 1;

/// A number that no other thread of this process ever has (a tid may be used again). 48 bits: 89 years at
/// 100 000 threads a second.
pub(crate) fn thread_id() -> u64 {
    identity() >> NUMBER_SHIFT
}

fn identity() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    match Identity::get() {
        0 => {
            let fresh = NEXT.fetch_add(1, Ordering::Relaxed) << NUMBER_SHIFT;
            // A signal handler may have come first in between; then its number stands.
            Identity::replace(0, fresh);
            Identity::get()
        }
        known => known,
    }
}

static FORKS: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between the program's start and this process. A lock that was taken at another count was
/// taken by a thread that is not here.
#[inline]
pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// In a forked child, whose only thread this is.
pub(crate) fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Whether the calling thread owns a `Thread` handle of any flavor, or may own one.
pub(crate) fn owns_handles() -> bool {
    Identity::get() & MANY_HANDLES != 0
}

/// The calling thread has made a handle.
pub(crate) fn count_handle() {
    recount_handles(1);
}

/// The calling thread has dropped a handle.
pub(crate) fn uncount_handle() {
    recount_handles(u64::MAX);
}

fn recount_handles(change: u64) {
    loop {
        let known = identity();
        if known & MANY_HANDLES == MANY_HANDLES
            || Identity::replace(known, known.wrapping_add(change))
        {
            return;
        }
    }
}

/// Whether the calling thread is inside a callback of any domain.
pub(crate) fn is_in_callback() -> bool {
    Identity::get() & IN_CALLBACK != 0
}

/// Inside a callback until it is dropped. Callbacks nest, where no worker can be started.
#[derive(Debug)]
pub(crate) struct InCallback {
    outermost: bool,
}

impl InCallback {
    pub(crate) fn enter() -> Self {
        let outermost = !is_in_callback();
        if outermost {
            flip_in_callback();
        }
        Self { outermost }
    }
}

impl Drop for InCallback {
    fn drop(&mut self) {
        if self.outermost {
            flip_in_callback();
        }
    }
}

fn flip_in_callback() {
    loop {
        let known = identity();
        if Identity::replace(known, known ^ IN_CALLBACK) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_ids_differ() {
        let mine = thread_id();
        assert_eq!(mine, thread_id());
        assert_ne!(mine, std::thread::spawn(thread_id).join().unwrap());
    }

    #[test]
    fn callbacks_nest_and_handles_are_counted_beside_them() {
        std::thread::spawn(|| {
            let me = thread_id();
            assert!(!is_in_callback() && !owns_handles());
            let outer = InCallback::enter();
            count_handle();
            drop(InCallback::enter());
            assert!(is_in_callback() && owns_handles());
            drop(outer);
            assert!(!is_in_callback() && owns_handles());
            uncount_handle();
            assert!(!owns_handles());
            assert_eq!(thread_id(), me);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn handles_are_counted_beside_the_number_and_never_spill_into_it() {
        std::thread::spawn(|| {
            let me = thread_id();
            assert!(!owns_handles());
            count_handle();
            count_handle();
            uncount_handle();
            assert!(owns_handles());
            uncount_handle();
            assert!(!owns_handles());
            for _ in 0..=MANY_HANDLES {
                count_handle();
            }
            for _ in 0..=MANY_HANDLES {
                uncount_handle();
            }
            assert!(owns_handles(), "who lost count may own one");
            assert_eq!(thread_id(), me);
        })
        .join()
        .unwrap();
    }
}

//! A fork where the allocator has a prefork hook that runs before urcu's, as jemalloc's may. In a program of its own,
//! because it replaces the allocator.
//!
//! The hook takes the allocator's lock, then urcu's takes those of its own: whoever allocates under one of those waits
//! for the fork, which waits for him. Here a thread makes and drops domains, and stops in each of its calls of the
//! allocator in turn until the hook has run.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

use urcu::Srcu;

/// More than a node of a BTreeMap holds: that was the registry.
const DOMAINS: usize = 13;

/// The allocator's lock.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// How often the hook has taken it.
static FORKS: AtomicUsize = AtomicUsize::new(0);
/// A thread has come to its trap.
static TRAPPED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// How many calls of the allocator lie before this thread's trap; negative: it has none.
    static LEFT: Cell<i32> = const { Cell::new(-1) };
}

fn lock() {
    while TAKEN.swap(true, SeqCst) {
        thread::yield_now();
    }
}

fn unlock() {
    TAKEN.store(false, SeqCst);
}

unsafe extern "C" fn prepare() {
    lock();
    FORKS.fetch_add(1, SeqCst);
}

unsafe extern "C" fn after() {
    unlock();
}

struct Locked;

impl Locked {
    fn enter() {
        let left = LEFT.get();
        if left >= 0 {
            LEFT.set(left - 1);
        }
        if left == 0 {
            let forks = FORKS.load(SeqCst);
            TRAPPED.store(true, SeqCst);
            while FORKS.load(SeqCst) == forks {
                thread::yield_now();
            }
        }
        lock();
    }
}

// SAFETY: hands everything to the system's allocator; the lock around it changes nothing.
unsafe impl GlobalAlloc for Locked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::enter();
        // SAFETY: the caller's promise about `layout` is passed on.
        let at = unsafe { System.alloc(layout) };
        unlock();
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        Self::enter();
        // SAFETY: the caller's promise about `at` and `layout` is passed on.
        unsafe { System.dealloc(at, layout) };
        unlock();
    }
}

#[global_allocator]
static ALLOCATOR: Locked = Locked;

#[test]
fn a_fork_waited_for_who_allocated_under_the_lock_of_the_registry() {
    // SAFETY: hooks that only use atomics. Registered after urcu's, so `prepare` runs before urcu's.
    let ret = unsafe { libc::pthread_atfork(Some(prepare), Some(after), Some(after)) };
    assert_eq!(ret, 0);
    // SAFETY: no pointer; the default action of SIGALRM ends a test that hangs.
    unsafe { libc::alarm(60) };
    for trap in 0.. {
        TRAPPED.store(false, SeqCst);
        let maker = thread::spawn(move || {
            LEFT.set(trap);
            drop(std::array::from_fn::<_, DOMAINS, _>(|_| Srcu::new()));
            LEFT.replace(-1) < 0
        });
        while !TRAPPED.load(SeqCst) && !maker.is_finished() {
            thread::yield_now();
        }
        // SAFETY: the child leaves by `_exit` at once.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: does not return.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: no status is asked for.
        assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, pid);
        if !maker.join().unwrap() {
            let calls = usize::try_from(trap).unwrap();
            assert!(calls >= 4 * DOMAINS, "a domain is two allocations");
            break;
        }
    }
    // SAFETY: no pointer.
    unsafe { libc::alarm(0) };
}

//! A fork while another thread is just starting. In a program of its own, because it replaces the allocator.
//!
//! std's threads take a lock of std's as they begin, and allocate under it. Here one stops in that allocation
//! and the process forks: a child whose worker were a thread of std's would wait for that lock for ever.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

use urcu::Memb;

/// Threads that begin stop in their first allocation.
static TRAP: AtomicBool = AtomicBool::new(false);
static TRAPPED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static BEGUN: Cell<bool> = const { Cell::new(false) };
}

struct Trapping;

// SAFETY: hands everything to the system's allocator; the wait before it changes nothing.
unsafe impl GlobalAlloc for Trapping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if TRAP.load(SeqCst) && !BEGUN.get() {
            TRAPPED.store(true, SeqCst);
            while TRAP.load(SeqCst) {
                thread::yield_now();
            }
        }
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `at` and `layout` is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Trapping = Trapping;

#[test]
fn a_childs_worker_waited_for_a_thread_that_its_parent_was_starting() {
    BEGUN.set(true);
    Memb::call(|| {});
    Memb::barrier();
    TRAP.store(true, SeqCst);
    // Not every start allocates: std's table grows by blocks. One after the other: each has begun, or is trapped.
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let mut started = Vec::with_capacity(1000);
    while !TRAPPED.load(SeqCst) {
        assert!(started.len() < 1000, "no thread allocates as it begins");
        started.push(thread::spawn(|| {
            BEGUN.set(true);
            STARTED.fetch_add(1, SeqCst);
            while TRAP.load(SeqCst) {
                thread::yield_now();
            }
        }));
        while STARTED.load(SeqCst) < started.len() && !TRAPPED.load(SeqCst) {
            thread::yield_now();
        }
    }
    // SAFETY: the child uses urcu and malloc, which glibc repairs at fork, and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: no pointer; the default action of SIGALRM ends a child that hangs.
        unsafe { libc::alarm(60) };
        TRAP.store(false, SeqCst);
        Memb::call(|| {});
        Memb::barrier();
        // SAFETY: does not return.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    TRAP.store(false, SeqCst);
    assert_eq!(waited, pid);
    assert!(libc::WIFEXITED(status), "the child hung in barrier");
    for thread in started {
        thread.join().unwrap();
    }
}

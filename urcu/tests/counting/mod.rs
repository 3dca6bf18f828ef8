//! An allocator that counts, for tests of memory: each in a process of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use urcu::Memb;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Whether the calling thread counts. Not the harness's own: it may still note that the test has begun, and at any time
/// that it takes long.
fn counts() -> bool {
    thread_local! {
        static COUNTS: Cell<Option<bool>> = const { Cell::new(None) };
    }
    COUNTS.get().unwrap_or_else(|| {
        // SAFETY: takes nothing.
        let thread = unsafe { libc::gettid() };
        let counts = thread.unsigned_abs() != std::process::id();
        COUNTS.set(Some(counts));
        counts
    })
}

// SAFETY: the system's allocator, and a counter.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if counts() {
            LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if counts() {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes in use when nothing waits for a grace period, but for a constant: what the harness made and others freed.
pub(crate) fn settled() -> usize {
    assert!(counts(), "the harness's thread runs the test");
    Memb::park(|| ()); // what the thread has retired goes to the worker
    Memb::barrier();
    LIVE.load(Ordering::Relaxed)
}

//! An allocator that counts, for programs that install it; costs others nothing, and those a load.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator. Counts from [`count`] on.
#[derive(Debug)]
pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static MADE: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static FREED_BYTES: AtomicU64 = AtomicU64::new(0);

/// What is allocated and was not freed, since counting began; what was there before does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Allocations, those by realloc among them.
    pub calls: u64,
    /// Allocations less frees.
    pub live: i64,
    /// Their bytes, as asked for.
    pub bytes: i64,
}

/// Begins to count.
pub fn count() {
    ON.store(true, Ordering::Relaxed);
}

/// The figures of now. All 0: the program has not installed [`Counting`], or does not count.
pub fn now() -> Heap {
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Heap {
        calls: load(&MADE),
        live: load(&MADE).wrapping_sub(load(&FREED)).cast_signed(),
        bytes: load(&BYTES).wrapping_sub(load(&FREED_BYTES)).cast_signed(),
    }
}

fn count_in(bytes: usize) {
    if ON.load(Ordering::Relaxed) {
        MADE.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

fn count_out(bytes: usize) {
    if ON.load(Ordering::Relaxed) {
        FREED.fetch_add(1, Ordering::Relaxed);
        FREED_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to `System` as it is, which is an allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_in(layout.size());
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_in(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_out(layout.size());
        count_in(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count_out(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

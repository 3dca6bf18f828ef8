//! On how many CPUs the process runs. Counted once, when urcu is loaded.
//!
//! sched_getaffinity(2) tells of one thread, and threads pin themselves. If the first updater did so before it
//! asked, one CPU would be taken for the whole machine: nobody would spin for a reader, ask it to cooperate or
//! have a second worker, for the life of the process. At load only whoever started the process has chosen.

use crate::atomic::{Ordering, PublicAtomicU32 as AtomicU32};
use crate::sys;

/// 0: not counted yet.
static CPUS: AtomicU32 = AtomicU32::new(0);

/// At least 1. A load. Async-signal-safe.
pub(crate) fn cpus() -> usize {
    // Relaxed: a number that was decided before `main`, or by a constructor that came before ours.
    match CPUS.load(Ordering::Relaxed) {
        0 => count(),
        known => known as usize,
    }
}

#[cold]
fn count() -> usize {
    let found = u32::try_from(sys::cpus()).unwrap_or(u32::MAX);
    // Who was first decides for all: a thread must find its callbacks' shard again.
    match CPUS.compare_exchange(0, found, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => found as usize,
        Err(earlier) => earlier as usize,
    }
}

extern "C" fn count_at_load() {
    count();
}

#[used]
#[unsafe(link_section = ".init_array")]
static COUNT_AT_LOAD: extern "C" fn() = count_at_load;

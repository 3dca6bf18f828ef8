//! What the fork handlers of a library cost that registered them at load time: handlers of our own run
//! right before and right after theirs.
//!
//! `prepare` handlers run in the reverse order of registration, the others in its order. So those that are
//! registered before all others (by a constructor with a priority) and those that are registered in `main`
//! enclose the rest on all three sides.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{self, Read, Write, pipe};

use crate::sys;

/// Moments on the monotonic clock, in nanoseconds: when the first and the last handler of each kind ran.
static PREPARE: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static PARENT: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static CHILD: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

fn note(moment: &AtomicU64) {
    moment.store(sys::monotonic_ns(), Ordering::Relaxed);
}

fn between(moments: &[AtomicU64; 2]) -> Duration {
    let [first, last] = moments.each_ref().map(|at| at.load(Ordering::Relaxed));
    Duration::from_nanos(last.saturating_sub(first))
}

extern "C" fn first_prepare() {
    note(&PREPARE[0]);
}
extern "C" fn last_prepare() {
    note(&PREPARE[1]);
}
extern "C" fn first_parent() {
    note(&PARENT[0]);
}
extern "C" fn last_parent() {
    note(&PARENT[1]);
}
extern "C" fn first_child() {
    note(&CHILD[0]);
}
extern "C" fn last_child() {
    note(&CHILD[1]);
}

extern "C" fn register_before_all_others() {
    sys::at_fork(last_prepare, first_parent, first_child);
}

#[used]
#[unsafe(link_section = ".init_array.00101")]
static REGISTER_BEFORE_ALL_OTHERS: extern "C" fn() = register_before_all_others;

/// What handlers cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// In the parent: before and after.
    pub parent: Duration,
    /// In the child.
    pub child: Duration,
}

/// Forks so many times and tells what the registered handlers cost each time.
///
/// # Errors
/// Whatever `fork` or a pipe says.
pub fn measure(forks: usize) -> io::Result<Vec<Cost>> {
    sys::at_fork(first_prepare, last_parent, last_child);
    (0..forks)
        .map(|_| {
            let child = in_child(false, || between(&CHILD))?;
            let parent = between(&PREPARE) + between(&PARENT);
            Ok(Cost { parent, child })
        })
        .collect()
}

/// Forks, and gives back what `measure` found in the child. `bare`: without any registered handlers.
///
/// # Errors
/// Whatever `fork` or a pipe says.
pub fn in_child(bare: bool, measure: impl FnOnce() -> Duration) -> io::Result<Duration> {
    let (mut reader, mut writer) = pipe()?;
    let child = sys::fork_to_run(bare, || {
        let ns = u64::try_from(measure().as_nanos()).unwrap_or(u64::MAX);
        i32::from(writer.write_all(&ns.to_ne_bytes()).is_err())
    });
    let child = child.ok_or_else(|| io::Error::other("fork failed"))?;
    drop(writer);
    let mut ns = [0; 8];
    let read = reader.read_exact(&mut ns);
    sys::wait(child);
    read.map(|()| Duration::from_nanos(u64::from_ne_bytes(ns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_handlers_enclose_those_that_were_registered_between() {
        extern "C" fn slow() {
            let begun = sys::monotonic_ns();
            while sys::monotonic_ns() - begun < 1_000_000 {}
        }
        sys::at_fork(slow, slow, slow);
        let costs = measure(1).expect("a fork");
        assert!(costs[0].parent >= Duration::from_millis(2));
        assert!(costs[0].child >= Duration::from_millis(1));
    }
}

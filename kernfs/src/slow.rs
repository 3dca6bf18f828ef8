//! Which callbacks run on which threads, and the report of a removal that waits long for one.
//!
//! Each thread has a slot that only it writes, with plain stores; the report reads the slots of all. What it
//! reads may be a moment old: it is for people.

use core::fmt;
use core::panic::Location;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::caught::caught_and_told;
use crate::sys;

/// Callbacks inside each other that are noted of one thread.
const DEPTH: usize = 4;

/// The callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    AtomicWriteLen,
    Open,
    Show,
    Start,
    Next,
    Stop,
    Read,
    Write,
    Llseek,
    Mmap,
    Poll,
    Release,
    Mkdir,
    Rmdir,
    Rename,
}

impl Op {
    /// By their numbers.
    const ALL: [Self; 15] = [
        Self::AtomicWriteLen,
        Self::Open,
        Self::Show,
        Self::Start,
        Self::Next,
        Self::Stop,
        Self::Read,
        Self::Write,
        Self::Llseek,
        Self::Mmap,
        Self::Poll,
        Self::Release,
        Self::Mkdir,
        Self::Rmdir,
        Self::Rename,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AtomicWriteLen => "atomic_write_len",
            Self::Open => "open",
            Self::Show => "show",
            Self::Start => "start",
            Self::Next => "next",
            Self::Stop => "stop",
            Self::Read => "read",
            Self::Write => "write",
            Self::Llseek => "llseek",
            Self::Mmap => "mmap",
            Self::Poll => "poll",
            Self::Release => "release",
            Self::Mkdir => "mkdir",
            Self::Rmdir => "rmdir",
            Self::Rename => "rename",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Default)]
struct Entry {
    node: AtomicUsize,
    op: AtomicU8,
}

struct Slot {
    name: String,
    tid: i32,
    depth: AtomicUsize,
    entries: [Entry; DEPTH],
}

impl Slot {
    fn callback(&self, entry: &Entry) -> RunningCallback {
        RunningCallback {
            op: Op::ALL
                .get(usize::from(entry.op.load(Ordering::Relaxed)))
                .map_or("a callback", |op| op.name()),
            thread: self.name.clone(),
            tid: self.tid,
        }
    }
}

static SLOTS: Mutex<Vec<Arc<Slot>>> = Mutex::new(Vec::new());

fn slots() -> MutexGuard<'static, Vec<Arc<Slot>>> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread's slot. Takes it off the list when the thread ends. In a forked child, where another thread may have held the lock of the
/// list, it stays. With the process that it was made in.
pub(crate) struct Own(Arc<Slot>, u32);

impl Own {
    /// That of the calling thread.
    #[cold]
    pub(crate) fn new() -> Self {
        let slot = Arc::new(Slot {
            name: thread::current()
                .name()
                .unwrap_or("without a name")
                .to_owned(),
            tid: sys::thread_id(),
            depth: AtomicUsize::new(0),
            entries: Default::default(),
        });
        slots().push(Arc::clone(&slot));
        Self(slot, sys::process())
    }

    /// The thread enters a callback: its `depth`th at this moment.
    #[inline]
    pub(crate) fn enter(&self, depth: usize, node: usize, op: Op) {
        if let Some(entry) = self.0.entries.get(depth) {
            entry.node.store(node, Ordering::Relaxed);
            entry.op.store(op as u8, Ordering::Relaxed); // CAST: its representation
        }
        // Release pairs with the Acquire in `running`: who sees the depth sees the entry.
        self.0.depth.store(depth + 1, Ordering::Release);
    }

    /// It leaves it.
    #[inline]
    pub(crate) fn leave(&self, depth: usize) {
        self.0.depth.store(depth, Ordering::Release);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.1 == sys::process() {
            slots().retain(|slot| !Arc::ptr_eq(slot, &self.0));
        }
    }
}

/// A callback that a removal, or a client of a mount, waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningCallback {
    /// Which one: "show", "write" and so on.
    pub op: &'static str,
    /// The name of its thread.
    pub thread: String,
    /// The thread's number, as in /proc/self/task.
    pub tid: i32,
}

/// A removal, or hiding, that waits; see [`on_slow_removal`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowRemoval {
    /// The file whose callbacks are waited for.
    pub path: Vec<u8>,
    /// Where the removal was called.
    pub place: &'static Location<'static>,
    /// How long it has been waited for, about.
    pub waited: Duration,
    /// The callbacks of the file that run. Empty if they have just ended.
    pub callbacks: Vec<RunningCallback>,
}

impl fmt::Display for SlowRemoval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.escape_ascii();
        write!(
            f,
            "removal of {path} at {} waits for {:?}",
            self.place, self.waited
        )?;
        for RunningCallback { op, thread, tid } in &self.callbacks {
            write!(f, "; {op} runs on thread {tid} ({thread})")?;
        }
        Ok(())
    }
}

type Hook = Arc<dyn Fn(&SlowRemoval) + Send + Sync>;

static HOOK: Mutex<Option<Hook>> = Mutex::new(None);
static AFTER_MS: AtomicU64 = AtomicU64::new(10_000);

/// Has `hook` called when a removal waits for a callback longer than `after`, and again each time as long.
/// Files with [`Has::MAY_BLOCK`](crate::Has::MAY_BLOCK) are given ten times as long. Without a hook a line is
/// written to stderr, after 10 seconds.
///
/// `hook` runs on the removing thread, without a lock of this crate. It may let the callback end. If it panics that is
/// told on stderr, and the removal goes on. Times are in whole milliseconds, 1 at least.
pub fn on_slow_removal(after: Duration, hook: impl Fn(&SlowRemoval) + Send + Sync + 'static) {
    let old = HOOK
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .replace(Arc::new(hook));
    let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    AFTER_MS.store(millis.max(1), Ordering::Relaxed);
    drop(old);
}

/// How long to wait before the first report, and between two.
pub(crate) fn period(may_block: bool) -> Duration {
    let factor = if may_block { 10 } else { 1 };
    Duration::from_millis(AFTER_MS.load(Ordering::Relaxed).saturating_mul(factor))
}

fn running(node: usize) -> Vec<RunningCallback> {
    let slots = slots();
    let of_slot = |slot: &Arc<Slot>| {
        let depth = slot.depth.load(Ordering::Acquire).min(DEPTH);
        let entries = slot.entries[..depth].iter();
        let mine = entries.filter(|entry| entry.node.load(Ordering::Relaxed) == node);
        mine.map(|entry| slot.callback(entry)).collect::<Vec<_>>()
    };
    slots.iter().flat_map(of_slot).collect()
}

/// The callback that a thread runs: the outermost one.
#[cfg(feature = "fuse")]
pub(crate) fn running_on(tid: i32) -> Option<RunningCallback> {
    let slots = slots();
    let slot = slots.iter().find(|slot| slot.tid == tid)?;
    let runs = slot.depth.load(Ordering::Acquire) > 0;
    runs.then(|| slot.callback(&slot.entries[0]))
}

/// Reports that a node was waited for. No lock is held.
pub(crate) fn report(
    node: usize,
    path: Vec<u8>,
    place: &'static Location<'static>,
    waited: Duration,
) {
    let report = SlowRemoval {
        path,
        place,
        waited,
        callbacks: running(node),
    };
    let hook = HOOK.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match hook {
        // The removal goes on, or what it has begun would never end.
        Some(hook) => drop(caught_and_told("a hook", || hook(&report))),
        None => sys::say(&format!("kernfs: {report}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_stand_at_their_numbers() {
        for (number, op) in Op::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(op as u8), number, "{op}"); // CAST: its representation
        }
    }

    #[test]
    fn the_end_of_a_thread_takes_its_slot_off_the_list_but_not_in_a_child() {
        let own = Own::new();
        let slot = Arc::clone(&own.0);
        let is_listed = || slots().iter().any(|other| Arc::ptr_eq(other, &slot));
        let mut own = Some(own);
        // As another thread may hold the lock when the process forks: nobody gives it back in the child.
        let held = slots();
        let returned = sys::returns_in_child(|| drop(own.take()));
        drop(held);
        assert!(returned, "the child waited for the lock");
        assert!(is_listed());
        drop(own);
        assert!(!is_listed());
    }
}

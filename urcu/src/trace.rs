//! What urcu does, as it does it: events for a hook, so that a daemon can hand them to its own tracing.
//!
//! The kernel's tracepoints (`rcu_grace_period`, `rcu_batch_start`, ..) are the model. Without a hook an
//! update pays one Relaxed load for this; readers pay nothing in any case, and no event comes from a section.

use core::fmt;
use core::ptr;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::atomic::{AtomicPtr, Ordering};
use crate::stall::{self, Culprit};
use crate::tls::{ThreadWord as _, thread_word};

/// How a grace period ordered the readers before its scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BarrierKind {
    /// Not at all: nobody but the caller was registered.
    Skipped,
    /// By messages, which all running readers answered.
    Cooperative,
    /// By membarrier(2), or a fence where readers have fences of their own.
    Heavy,
    /// By the form of membarrier(2) that interrupts nobody, and takes long.
    Patient,
}

impl fmt::Display for BarrierKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skipped => "skipped",
            Self::Cooperative => "cooperative",
            Self::Heavy => "heavy",
            Self::Patient => "patient",
        })
    }
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Several for each grace period.
    Trace,
    /// At most one for each grace period.
    Debug,
    /// A few in the life of a process.
    Info,
    /// Something is wrong.
    Warn,
}

/// Something that urcu has done, or begins to do. `Display` prints the name and the fields in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trace {
    /// A grace period begins. Callers that share it make no event of their own.
    GracePeriodBegin {
        /// The name of the flavor.
        flavor: &'static str,
        /// Its number in the domain; `None` for one at leisure, which nobody shares.
        round: Option<u64>,
    },
    /// A grace period is over.
    GracePeriodEnd {
        /// The name of the flavor.
        flavor: &'static str,
        /// Its number in the domain; `None` for one at leisure, which nobody shares.
        round: Option<u64>,
        /// How it ordered the readers.
        barrier: BarrierKind,
        /// How long it lasted.
        took: Duration,
    },
    /// A grace period slept until a reader left.
    ReaderWaitedFor {
        /// The name of the flavor.
        flavor: &'static str,
        /// The number of the grace period.
        round: Option<u64>,
        /// The reader.
        culprit: Culprit,
        /// How long it slept.
        took: Duration,
    },
    /// A grace period has waited so long that it is told to the report hook, too.
    Stall {
        /// The name of the flavor.
        flavor: &'static str,
        /// The number of the grace period.
        round: Option<u64>,
        /// The reader that it waits for.
        culprit: Culprit,
        /// How long it has waited for it.
        took: Duration,
    },
    /// A worker begins with callbacks whose grace period is over.
    BatchBegin {
        /// The name of the flavor.
        flavor: &'static str,
    },
    /// It is through with them.
    BatchEnd {
        /// The name of the flavor.
        flavor: &'static str,
        /// How many ran.
        callbacks: u64,
        /// How long they took.
        took: Duration,
    },
    /// A callback worker has started: the thread that tells it.
    WorkerStart {
        /// The name of the flavor.
        flavor: &'static str,
    },
    /// A callback worker ends.
    WorkerStop {
        /// The name of the flavor.
        flavor: &'static str,
    },
}

impl Trace {
    /// What the events belong to, as `tracing` and `log` have it.
    pub const TARGET: &'static str = "urcu";

    /// How much the event matters.
    pub fn level(&self) -> Level {
        match self {
            Self::GracePeriodBegin { .. } | Self::BatchBegin { .. } => Level::Trace,
            Self::GracePeriodEnd { .. } | Self::ReaderWaitedFor { .. } | Self::BatchEnd { .. } => {
                Level::Debug
            }
            Self::WorkerStart { .. } | Self::WorkerStop { .. } => Level::Info,
            Self::Stall { .. } => Level::Warn,
        }
    }

    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GracePeriodBegin { .. } => "grace_period_begin",
            Self::GracePeriodEnd { .. } => "grace_period_end",
            Self::ReaderWaitedFor { .. } => "reader_waited_for",
            Self::Stall { .. } => "stall",
            Self::BatchBegin { .. } => "batch_begin",
            Self::BatchEnd { .. } => "batch_end",
            Self::WorkerStart { .. } => "worker_start",
            Self::WorkerStop { .. } => "worker_stop",
        }
    }

    /// The name of the flavor.
    pub fn flavor(&self) -> &'static str {
        match self {
            Self::GracePeriodBegin { flavor, .. }
            | Self::GracePeriodEnd { flavor, .. }
            | Self::ReaderWaitedFor { flavor, .. }
            | Self::Stall { flavor, .. }
            | Self::BatchBegin { flavor }
            | Self::BatchEnd { flavor, .. }
            | Self::WorkerStart { flavor }
            | Self::WorkerStop { flavor } => flavor,
        }
    }

    /// The number of the grace period that the event is about, if it has one.
    pub fn round(&self) -> Option<u64> {
        match self {
            Self::GracePeriodBegin { round, .. }
            | Self::GracePeriodEnd { round, .. }
            | Self::ReaderWaitedFor { round, .. }
            | Self::Stall { round, .. } => *round,
            _ => None,
        }
    }

    /// How long what the event tells took.
    pub fn took(&self) -> Option<Duration> {
        match self {
            Self::GracePeriodEnd { took, .. }
            | Self::ReaderWaitedFor { took, .. }
            | Self::Stall { took, .. }
            | Self::BatchEnd { took, .. } => Some(*took),
            _ => None,
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} flavor={}", self.name(), self.flavor())?;
        if let Some(round) = self.round() {
            write!(f, " round={round}")?;
        }
        match self {
            Self::GracePeriodEnd { barrier, .. } => write!(f, " barrier={barrier}")?,
            Self::ReaderWaitedFor { culprit, .. } | Self::Stall { culprit, .. } => {
                write!(f, " reader=\"{culprit}\"")?;
            }
            Self::BatchEnd { callbacks, .. } => write!(f, " callbacks={callbacks}")?,
            _ => {}
        }
        match self.took() {
            Some(took) => write!(f, " took={took:.1?}"),
            None => Ok(()),
        }
    }
}

/// A `fn(&Trace)`, or null for none.
static HOOK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

// 1 while the thread runs the hook.
thread_word!(InHook: u64 = 0, "trace-hook");

/// Sets who is told what urcu does, for all domains; `None`: nobody, which is the default.
///
/// The hook is called where the event happens: on the thread that waits for a grace period, which then is
/// longer by that, or on a callback worker. It must not wait for grace periods (that panics), nor for anybody
/// who does, nor forget a guard; it may read, and call [`Domain::call`](crate::Domain::call). What it causes
/// itself makes no events. A panic in it is caught and dropped.
///
/// To hand the events to `tracing`, whose macros want the level at compile time:
///
/// ```text
/// fn forward(event: &Trace) {
///     match event.level() {
///         Level::Trace => tracing::trace!(target: Trace::TARGET, flavor = event.flavor(), "{event}"),
///         Level::Debug => tracing::debug!(target: Trace::TARGET, flavor = event.flavor(), "{event}"),
///         Level::Info => tracing::info!(target: Trace::TARGET, flavor = event.flavor(), "{event}"),
///         Level::Warn => tracing::warn!(target: Trace::TARGET, flavor = event.flavor(), "{event}"),
///     }
/// }
/// ```
///
/// ```
/// # use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use urcu::{Memb, Trace, set_trace_hook};
///
/// static SLOW: AtomicU64 = AtomicU64::new(0);
///
/// set_trace_hook(Some(|event| {
///     if let Trace::GracePeriodEnd { took, .. } = event
///         && took.as_millis() > 10
///     {
///         SLOW.fetch_add(1, Relaxed);
///     }
/// }));
/// Memb::synchronize();
/// ```
pub fn set_trace_hook(hook: Option<fn(&Trace)>) {
    let at = hook.map_or(ptr::null_mut(), |hook| hook as *mut ());
    HOOK.store(at, Ordering::Release);
}

/// Whether somebody wants to know. The whole cost where nobody does. No model has a hook.
#[inline]
pub(crate) fn is_on() -> bool {
    !cfg!(loom) && !HOOK.load(Ordering::Relaxed).is_null()
}

/// Panics in a hook, of this file or [`stall`]'s: who waits there for a grace period may wait for itself.
#[track_caller]
pub(crate) fn refuse_in_hook(flavor: &str, what: &str) {
    let hook = match (stall::in_hook(), InHook::get() != 0) {
        (false, false) => return,
        (true, _) => "report",
        (false, true) => "trace",
    };
    panic!("urcu {flavor}: {what} inside the {hook} hook");
}

/// Tells the hook, unless it is the hook that caused the event.
#[cold]
pub(crate) fn emit(event: Trace) {
    // Acquire pairs with the Release of `set_trace_hook`: the hook sees what was prepared for it.
    let at = HOOK.load(Ordering::Acquire);
    if at.is_null() || !InHook::replace(0, 1) {
        return;
    }
    // SAFETY: `set_trace_hook` alone stores here: null, or a value of this very type.
    let hook = unsafe { core::mem::transmute::<*mut (), fn(&Trace)>(at) };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(&event))) {
        core::mem::forget(payload); // its Drop could panic too
    }
    let _ = InHook::replace(1, 0);
}

/// Callbacks that run, one after the other: tells their beginning and their end.
pub(crate) struct Batch {
    flavor: &'static str,
    begun: Instant,
}

impl Batch {
    /// `None` where nobody wants to know.
    #[inline]
    pub(crate) fn begin(flavor: &'static str) -> Option<Self> {
        is_on().then(|| {
            emit(Trace::BatchBegin { flavor });
            let begun = Instant::now();
            Self { flavor, begun }
        })
    }

    pub(crate) fn end(self, callbacks: u64) {
        emit(Trace::BatchEnd {
            flavor: self.flavor,
            callbacks,
            took: self.begun.elapsed(),
        });
    }
}

/// A worker's life: tells its start, and its end when dropped.
#[must_use]
pub(crate) struct WorkerLife(&'static str);

impl WorkerLife {
    pub(crate) fn begin(flavor: &'static str) -> Self {
        if is_on() {
            emit(Trace::WorkerStart { flavor });
        }
        Self(flavor)
    }
}

impl Drop for WorkerLife {
    fn drop(&mut self) {
        if is_on() {
            emit(Trace::WorkerStop { flavor: self.0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_prints_its_name_and_its_fields() {
        let event = Trace::GracePeriodEnd {
            flavor: "memb",
            round: Some(7),
            barrier: BarrierKind::Cooperative,
            took: Duration::from_micros(3),
        };
        assert_eq!(
            event.to_string(),
            "grace_period_end flavor=memb round=7 barrier=cooperative took=3.0\u{b5}s"
        );
        assert_eq!(event.level(), Level::Debug);
        assert_eq!(
            (event.round(), event.took()),
            (Some(7), Some(Duration::from_micros(3)))
        );
        let event = Trace::WorkerStart { flavor: "mb" };
        assert_eq!(event.to_string(), "worker_start flavor=mb");
        assert_eq!((event.round(), event.took()), (None, None));
    }
}

//! Who holds a grace period back, and how it is told. The kernel's `rcu_cpu_stall` warnings.
//!
//! Reports go to one hook, by default a line on standard error. The hook runs on a thread of its own, so
//! that it can neither hold up a grace period nor meet a lock that the reporting thread's caller holds;
//! its panic is caught; a call that waits for a grace period is refused inside it (rule A21).

use crate::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use core::fmt;
use core::panic::Location;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::activity::Activity;
use crate::arena::{Slot, thread_id};
use crate::llist::{Linked, Llist};
use crate::sys;

/// A thread as a message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// The kernel's thread id, as `ps -T` shows it.
    pub tid: i32,
    /// The thread's name when it registered, NUL padded.
    pub name: [u8; 16],
    /// Where its outermost section began; known for srcu, and where urcu was built with debug assertions.
    pub place: Option<&'static Location<'static>>,
}

impl Culprit {
    pub(crate) fn of(slot: &Slot) -> Self {
        let (tid, name) = slot.identity();
        Self {
            tid,
            name,
            place: slot.place(),
        }
    }
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self
            .name
            .iter()
            .position(|&b| b == 0)
            .unwrap_or(self.name.len());
        write!(
            f,
            "thread {} ({})",
            self.tid,
            String::from_utf8_lossy(&self.name[..end])
        )?;
        match self.place {
            Some(place) => write!(f, ", section opened at {place}"),
            None => Ok(()),
        }
    }
}

/// A reader that holds a grace period back, as a stall report tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Straggler {
    /// Who it is.
    pub culprit: Culprit,
    /// How many sections it has open, one inside the other. For `qsbr` the registration is one.
    pub depth: u64,
    /// How many grace periods of the domain have begun since its section did.
    pub behind: u64,
    /// Its thread has ended inside the section: it will never leave.
    pub dead: bool,
    /// What its thread did when the report was made ready for the hook; `None` where nobody could tell.
    pub activity: Option<Activity>,
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            culprit,
            depth,
            behind,
            ..
        } = self;
        write!(f, "{culprit}, depth {depth}, {behind} behind")?;
        if self.dead {
            return f.write_str("; the thread has ended, the wait never will");
        }
        match self.activity {
            Some(activity) => write!(f, "; it {activity}"),
            None => Ok(()),
        }
    }
}

/// Something that a daemon's author should see. Printed by `Display` as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// A grace period has been waiting longer than [`set_stall_timeout`] for one reader. Told again each
    /// time that this has passed once more.
    Stall {
        /// `memb`, `mb`, `qsbr` or `srcu`.
        flavor: &'static str,
        /// The reader that the grace period waits for at the moment. For srcu the thread that opened the section, wherever its guard is now.
        culprit: Culprit,
        /// How long the grace period has waited for it.
        waited: Duration,
        /// The reader's thread has already ended inside its section: this wait never ends.
        dead: bool,
        /// The number of the grace period in its domain; `None` for one at leisure, which
        /// lazy callbacks get.
        round: Option<u64>,
        /// Callbacks of the domain that wait, for this grace period or a later one.
        callbacks: u64,
        /// All readers that hold the grace period back, the first 16 of them. Empty if all have just left.
        stragglers: Vec<Straggler>,
        /// How many there are beyond those.
        more: usize,
    },
    /// A thread ended inside a read section; all later grace periods of the domain wait for ever.
    DiedInSection {
        /// `memb`, `mb` or `qsbr`.
        flavor: &'static str,
        /// The thread that ended.
        culprit: Culprit,
    },
    /// A callback panicked. It counts as run.
    CallbackPanicked {
        /// `memb`, `mb` or `qsbr`.
        flavor: &'static str,
    },
    /// A thread waits for an srcu grace period while a section is open that it began itself. Unless the
    /// section's guard has gone to another thread, the wait never ends.
    WaitsForItself {
        /// `srcu`.
        flavor: &'static str,
        /// The section.
        culprit: Culprit,
    },
    /// The last handle of an srcu domain was dropped while a section was open, which somebody forgot: the
    /// domain's memory is never freed.
    DroppedInSection {
        /// `srcu`.
        flavor: &'static str,
        /// The forgotten section.
        culprit: Culprit,
    },
    /// The last handle of an srcu domain was dropped while callbacks were queued and no worker could be
    /// started: they never run.
    CallbacksLeaked {
        /// `srcu`.
        flavor: &'static str,
        /// How many.
        callbacks: u64,
    },
    /// The callback worker could not be started; callbacks stay queued. A `call`, a new cookie or a look
    /// at one that is not done tries again when 10 ms have passed, and a `barrier` runs them itself.
    NoWorker {
        /// `memb`, `mb` or `qsbr`.
        flavor: &'static str,
    },
    /// More is queued than the hard limit allows, by calls that cannot be refused. Told once, until the
    /// backlog is below the limit again.
    OverLimit {
        /// `memb`, `mb` or `qsbr`.
        flavor: &'static str,
        /// Bytes that are pending.
        bytes: u64,
        /// The hard limit.
        limit: u64,
    },
    /// An [`RcuHead`](crate::RcuHead) was queued that is queued already. It stays queued once.
    HeadQueuedTwice {
        /// `memb`, `mb` or `qsbr`.
        flavor: &'static str,
        /// Where the second `call_head` stands.
        place: &'static Location<'static>,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stall {
                flavor,
                culprit,
                waited,
                round,
                callbacks,
                stragglers,
                more,
                ..
            } => {
                write!(f, "urcu {flavor}: grace period ")?;
                if let Some(round) = round {
                    write!(f, "{round} ")?;
                }
                write!(f, "stalled for {waited:.1?} by ")?;
                match stragglers.split_first() {
                    Some((first, others)) => {
                        write!(f, "{first}")?;
                        others
                            .iter()
                            .try_for_each(|other| write!(f, "; by {other}"))?;
                    }
                    None => write!(f, "{culprit}, who has left just now")?,
                }
                if *more > 0 {
                    write!(f, "; by {more} others")?;
                }
                write!(f, "; {callbacks} callbacks wait")
            }
            Self::DiedInSection { flavor, culprit } => write!(
                f,
                "urcu {flavor}: {culprit} ended inside a read section (a forgotten guard?); \
                 all later grace periods wait for ever"
            ),
            Self::CallbackPanicked { flavor } => {
                write!(f, "urcu {flavor}: a callback panicked; it counts as run")
            }
            Self::WaitsForItself { flavor, culprit } => write!(
                f,
                "urcu {flavor}: {culprit} waits for a grace period inside that section of the same \
                 domain; unless its guard has gone to another thread, the wait never ends"
            ),
            Self::DroppedInSection { flavor, culprit } => write!(
                f,
                "urcu {flavor}: a domain was dropped in a section of {culprit}, which was forgotten; \
                 the domain is leaked"
            ),
            Self::CallbacksLeaked { flavor, callbacks } => write!(
                f,
                "urcu {flavor}: a domain was dropped with {callbacks} callbacks queued and no worker to be \
                 had; they never run"
            ),
            Self::NoWorker { flavor } => {
                write!(
                    f,
                    "urcu {flavor}: cannot start the callback worker; callbacks stay queued"
                )
            }
            Self::OverLimit {
                flavor,
                bytes,
                limit,
            } => write!(
                f,
                "urcu {flavor}: {bytes} bytes wait for a grace period, {limit} are allowed"
            ),
            Self::HeadQueuedTwice { flavor, place } => write!(
                f,
                "urcu {flavor}: the head given to call_head at {place} is queued already"
            ),
        }
    }
}

impl Report {
    /// Adds what takes a look at /proc. For the reporter's thread, which nobody waits for.
    fn look(&mut self) {
        if let Self::Stall { stragglers, .. } = self {
            for straggler in stragglers {
                straggler.activity = Activity::of(straggler.culprit.tid);
            }
        }
    }
}

fn print(report: &Report) {
    // Not std's standard error: a child forked while another thread holds its lock would wait for it for ever.
    // One system call for the line, so that lines of several threads do not mix.
    sys::warn(&format!("{report}\n"));
}

/// A `fn(&Report)`, or null for [`print`]. Not a mutex: a fork must never find it locked.
static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static TIMEOUT_MS: AtomicU64 = AtomicU64::new(21_000);

/// The [`thread_id`] of the thread that runs the hook, or ran it last.
static REPORTER: AtomicU64 = AtomicU64::new(0);

/// Sets where reports go, for all domains. The default prints a line on standard error.
///
/// The hook runs on a thread of its own, which lives as long as there is something to tell; where none can
/// be started the line is printed instead.
/// It must not wait for grace periods (that panics); a panic in it is caught and dropped.
///
/// ```
/// urcu::set_report_hook(|report| eprintln!("my daemon: {report}"));
/// ```
pub fn set_report_hook(hook: fn(&Report)) {
    HOOK.store(hook as *mut (), Ordering::Release);
}

/// Sets how long a grace period waits for one reader before it is reported, once per such period; at
/// least 1 ms. The default is the kernel's 21 s. Takes effect at the next wait.
#[doc(alias = "rcu_cpu_stall_timeout")]
pub fn set_stall_timeout(timeout: Duration) {
    let ms = u64::try_from(timeout.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    TIMEOUT_MS.store(ms, Ordering::Relaxed);
}

/// Whether the calling thread runs the report hook at the moment.
pub(crate) fn in_hook() -> bool {
    // Only the reporter itself ever stores its number, so it sees it; a number is never used again.
    REPORTER.load(Ordering::Relaxed) == thread_id()
}

/// Reports that no hook has seen yet, newest first. Lock-free: a fork must never find it locked.
static PENDING: Llist<Report> = Llist::new();
/// Whether the reporter thread runs.
static REPORTING: AtomicBool = AtomicBool::new(false);

/// Hands a report to the hook, on another thread. Never waits for the hook.
pub(crate) fn report(report: Report) {
    PENDING.push(&Arc::new(Linked::new(report)));
    // SeqCst pairs with the end of `run_hook`: either it sees our report, or we see that it has ended.
    if REPORTING.swap(true, Ordering::SeqCst) {
        return;
    }
    if sys::with_signals_blocked(|| sys::spawn("urcu-report", run_hook)).is_err() {
        REPORTING.store(false, Ordering::SeqCst);
        PENDING.take_all().for_each(|report| print(&report));
    }
}

fn run_hook() {
    loop {
        // Each time: between the end and the swap below another reporter may have come and gone.
        REPORTER.store(thread_id(), Ordering::Relaxed);
        let mut reports: Vec<_> = PENDING.take_all().collect();
        while let Some(queued) = reports.pop() {
            let mut report = Report::clone(&queued);
            report.look();
            let at = HOOK.load(Ordering::Acquire);
            let hook = if at.is_null() {
                print
            } else {
                // SAFETY: `set_report_hook` alone stores here, and only values of this very type.
                unsafe { core::mem::transmute::<*mut (), fn(&Report)>(at) }
            };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(&report))) {
                core::mem::forget(payload); // its Drop could panic too
            }
        }
        REPORTING.store(false, Ordering::SeqCst);
        if PENDING.is_empty() || REPORTING.swap(true, Ordering::SeqCst) {
            return;
        }
    }
}

/// In a forked child: the reporter is gone. What it had not taken is told with the next report.
pub(crate) fn after_fork_in_child() {
    REPORTING.store(false, Ordering::Relaxed);
}

/// Decides when a wait has to be reported. Takes the time as a parameter and reads no clock.
#[derive(Debug)]
pub(crate) struct Watch {
    limit: Duration,
    reported: u32,
}

impl Watch {
    /// A watch with the limit that [`set_stall_timeout`] set.
    pub(crate) fn new() -> Self {
        Self::with_limit(Duration::from_millis(TIMEOUT_MS.load(Ordering::Relaxed)))
    }

    fn with_limit(limit: Duration) -> Self {
        Self { limit, reported: 0 }
    }

    fn next(&self) -> Duration {
        self.limit.saturating_mul(self.reported.saturating_add(1))
    }

    /// Whether a wait that has lasted `waited` must be reported now: once per limit.
    pub(crate) fn is_due(&mut self, waited: Duration) -> bool {
        let due = waited >= self.next();
        if due {
            let periods = waited.as_nanos() / self.limit.as_nanos().max(1);
            self.reported = u32::try_from(periods).unwrap_or(u32::MAX);
        }
        due
    }

    /// How long to sleep until the next report is due.
    pub(crate) fn until_due(&self, waited: Duration) -> Duration {
        self.next()
            .saturating_sub(waited)
            .max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_due_once_per_period() {
        let ms = Duration::from_millis;
        let mut watch = Watch::with_limit(ms(10));
        assert!(!watch.is_due(ms(9)));
        assert_eq!(watch.until_due(ms(4)), ms(6));
        assert!(watch.is_due(ms(10)));
        assert!(!watch.is_due(ms(11)), "told once, not at every wake-up");
        assert_eq!(watch.until_due(ms(12)), ms(8));
        assert!(
            watch.is_due(ms(35)),
            "a late look reports once for all missed periods"
        );
        assert!(!watch.is_due(ms(39)));
        assert!(watch.is_due(ms(40)));
    }

    #[test]
    fn reports_name_thread_and_end() {
        let mut name = [0; 16];
        name[..6].copy_from_slice(b"worker");
        let culprit = Culprit {
            tid: 42,
            name,
            place: None,
        };
        let straggler = |tid, dead, activity| Straggler {
            culprit: Culprit { tid, ..culprit },
            depth: 2,
            behind: 3,
            dead,
            activity,
        };
        let mut report = Report::Stall {
            flavor: "memb",
            culprit,
            waited: Duration::from_secs(21),
            dead: true,
            round: Some(7),
            callbacks: 5,
            stragglers: vec![
                straggler(42, true, Some(Activity::Ended)),
                straggler(43, false, Some(Activity::Sleeps)),
            ],
            more: 0,
        };
        assert_eq!(
            report.to_string(),
            "urcu memb: grace period 7 stalled for 21.0s by thread 42 (worker), depth 2, 3 behind; \
             the thread has ended, the wait never will; by thread 43 (worker), depth 2, 3 behind; it sleeps; \
             5 callbacks wait"
        );
        if let Report::Stall {
            stragglers, more, ..
        } = &mut report
        {
            stragglers.clear();
            *more = 3;
        }
        assert_eq!(
            report.to_string(),
            "urcu memb: grace period 7 stalled for 21.0s by thread 42 (worker), who has left just now; by 3 \
             others; 5 callbacks wait"
        );
    }
}

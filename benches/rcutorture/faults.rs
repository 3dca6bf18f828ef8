//! What a run has seen that must not be.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

/// The kinds, each a promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A section held an element after its grace period.
    TooOld,
    /// A section saw an element before its publication or after its end.
    Torn,
    /// A grace period did not order what two other threads did.
    MailLate,
    /// A cookie was done inside a section that was open when it was taken.
    PollEarly,
    /// A cookie was not done after a whole `synchronize`.
    PollLate,
    /// `barrier` returned before the callbacks, or a callback ran twice.
    Barrier,
    /// What was removed did not come home.
    NotHome,
    /// Grace periods or callbacks stood still while there were only short sections.
    Progress,
    /// No stall report, or about somebody else.
    Stall,
    /// A forked child could not go on.
    Child,
    /// A thread of the torture panicked.
    Panic,
}

const KINDS: [(Fault, &str); 11] = [
    (Fault::TooOld, "held after its grace period"),
    (Fault::Torn, "seen before publication or after its end"),
    (Fault::MailLate, "not ordered by a grace period"),
    (Fault::PollEarly, "cookie done too early"),
    (Fault::PollLate, "cookie not done in time"),
    (Fault::Barrier, "barrier and callbacks disagree"),
    (Fault::NotHome, "did not come home"),
    (Fault::Progress, "no forward progress"),
    (Fault::Stall, "stall not reported"),
    (Fault::Child, "forked child failed"),
    (Fault::Panic, "panic"),
];

/// So many are told in words; all are counted.
const TOLD: usize = 3;

/// All faults of a run.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    counts: [AtomicU64; KINDS.len()],
    told: Mutex<Vec<String>>,
}

impl Faults {
    /// Counts a fault. Async-signal-safe.
    pub(crate) fn count(&self, fault: Fault) {
        let at = KINDS.iter().position(|(kind, _)| *kind == fault);
        self.counts[at.unwrap_or(0)].fetch_add(1, Relaxed);
    }

    /// Counts a fault, and keeps the words of the first ones.
    pub(crate) fn tell(&self, fault: Fault, words: impl FnOnce() -> String) {
        self.count(fault);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD {
            told.push(words());
        }
    }

    pub(crate) fn any(&self) -> bool {
        self.counts.iter().any(|count| count.load(Relaxed) != 0)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((_, name), count) in KINDS.iter().zip(&self.counts) {
            match count.load(Relaxed) {
                0 => {}
                count => writeln!(f, "  !!! {count} times: {name}")?,
            }
        }
        for words in &*self.told.lock().unwrap_or_else(PoisonError::into_inner) {
            writeln!(f, "  !!! {words}")?;
        }
        Ok(())
    }
}

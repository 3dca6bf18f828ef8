//! What a run has seen that must not be.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many are told in words; all are counted.
const TOLD: usize = 24;

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    told: Vec<String>,
}

/// All faults of a run.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Seen>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    pub(crate) fn tell(&self, words: impl Into<String>) {
        let mut seen = self.lock();
        seen.count += 1;
        if seen.told.len() < TOLD {
            seen.told.push(words.into());
        }
    }

    pub(crate) fn any(&self) -> bool {
        self.lock().count != 0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.lock();
        for words in &seen.told {
            writeln!(f, "  !!! {words}")?;
        }
        match seen.count.saturating_sub(TOLD as u64) {
            0 => Ok(()),
            more => writeln!(f, "  !!! and {more} more"),
        }
    }
}

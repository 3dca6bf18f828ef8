//! What all readers do at the same time, for some ten milliseconds each.
//!
//! A grace period takes as long as the longest open section. If there were always a reader that sleeps in
//! one, a run would see a few hundred grace periods a second and nothing of those that follow each other
//! closely; if never, nothing of readers that are preempted. So the times change.

/// How readers behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Weather {
    /// Bursts of short sections and sleep between them: grace periods follow each other closely.
    Calm,
    /// Short sections without pause, on more threads than CPUs: they are preempted anywhere.
    Rush,
    /// Sections that spin, give their CPU away and sleep.
    Crowd,
}

impl Weather {
    /// Each comes as often as the others.
    pub(crate) const ALL: [Self; 3] = [Self::Calm, Self::Rush, Self::Crowd];

    pub(crate) fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Rush,
            2 => Self::Crowd,
            _ => Self::Calm,
        }
    }
}

//! How a torture run ended.

use core::fmt;

/// The last word of a run, and its exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that was to be seen was seen, and nothing else.
    Success,
    /// Something was seen that must not be.
    Failure,
    /// What did too little to show anything.
    NoCoverage(&'static str),
}

impl Verdict {
    /// For the program.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::NoCoverage(_) => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("SUCCESS"),
            Self::Failure => f.write_str("FAILURE"),
            Self::NoCoverage(what) => write!(f, "NO COVERAGE ({what})"),
        }
    }
}

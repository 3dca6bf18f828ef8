//! What `cgroup.max.depth` and `cgroup.max.descendants` hold: a number, or "max".

use std::fmt;

use kernfs::Errno;

use super::number;

/// As many as can be said.
const MAX: i32 = i32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit(i32);

impl Limit {
    pub(super) const NONE: Self = Self(MAX);

    /// ERANGE: a number below 0 or beyond "max".
    pub(super) fn of(text: &str) -> Result<Self, Errno> {
        match text {
            "max" => Ok(Self::NONE),
            _ => match number::of(text)? {
                number @ 0.. => Ok(Self(number)),
                _ => Err(Errno::ERANGE),
            },
        }
    }

    /// Whether a number is above it.
    pub(super) fn is_below(self, number: u64) -> bool {
        u64::try_from(self.0).is_ok_and(|limit| limit < number)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MAX => f.write_str("max"),
            number => number.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_is_above_all_and_what_is_said_is_shown() {
        assert!(!Limit::NONE.is_below(1 << 30) && Limit::of("max") == Ok(Limit::NONE));
        let five = Limit::of("5").unwrap();
        assert!(!five.is_below(5) && five.is_below(6));
        assert_eq!(
            [five, Limit::NONE].map(|limit| limit.to_string()),
            ["5", "max"]
        );
        assert_eq!(Limit::of("-1"), Err(Errno::ERANGE));
        assert_eq!(Limit::of("maximum"), Err(Errno::EINVAL));
    }
}

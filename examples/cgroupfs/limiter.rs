//! One notification in 10 ms: how often those who wait for a file are told of its changes.
//!
//! A group whose processes come and go at full speed must not keep its manager busy with nothing but being told of it.
//! A change too soon after a notification waits for its time; changes that come meanwhile are told together with it, so
//! the last one always is. The kernel's `cgroup_file_notify`.

use std::time::{Duration, Instant};

pub(super) const INTERVAL: Duration = Duration::from_millis(10);

/// When one file was notified, and when it will be.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    last: Option<Instant>,
    due: bool,
}

/// What a change means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Say {
    Now,
    /// Somebody calls [`Limiter::is_due`] then.
    At(Instant),
    /// What was arranged tells of this change too.
    Arranged,
}

impl Limiter {
    pub(super) fn changed(&mut self, now: Instant) -> Say {
        if self.due {
            return Say::Arranged;
        }
        match self.last.map(|last| last + INTERVAL) {
            Some(next) if now < next => {
                self.due = true;
                Say::At(next)
            }
            _ => {
                self.last = Some(now);
                Say::Now
            }
        }
    }

    /// The arranged time has come: whether to notify.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if self.due {
            self.last = Some(now);
        }
        std::mem::take(&mut self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_one_in_the_interval_and_the_last_change_is_told() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut limiter = Limiter::default();
        assert!(!limiter.is_due(at(0)));
        assert_eq!(limiter.changed(at(0)), Say::Now);
        assert_eq!(limiter.changed(at(1)), Say::At(at(10)));
        assert_eq!(limiter.changed(at(2)), Say::Arranged);
        assert_eq!(limiter.changed(at(11)), Say::Arranged); // the timer is late
        assert!(limiter.is_due(at(12)));
        assert!(!limiter.is_due(at(12)));
        assert_eq!(limiter.changed(at(13)), Say::At(at(22)));
        assert!(limiter.is_due(at(22)));
        assert_eq!(limiter.changed(at(32)), Say::Now);
    }
}

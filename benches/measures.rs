//! What we set out to reach, beside what was measured. Printed, not asserted: a figure is not a test.

use crate::grace::{Membarrier, Wait};
use crate::peers::names::{CROSSBEAM, MEMB, PLAIN, QSBR, STD_RWLOCK};
use crate::rounds::Work;
use crate::samples::Samples;
use crate::survey::Survey;

/// One aim.
#[derive(Clone, Debug)]
pub struct Measure {
    /// What is compared.
    pub what: &'static str,
    /// The bound.
    pub target: Bound,
    /// The figure, if both sides were measured.
    pub measured: Option<f64>,
    /// The unit of both.
    pub unit: &'static str,
}

/// A bound and its direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Smaller is better.
    AtMost(f64),
    /// Greater is better.
    AtLeast(f64),
}

impl Measure {
    /// Whether the aim is reached; `None` when it was not measured.
    pub fn met(&self) -> Option<bool> {
        self.measured.map(|measured| match self.target {
            Bound::AtMost(most) => measured <= most,
            Bound::AtLeast(least) => measured >= least,
        })
    }
}

/// All aims.
pub fn all(survey: &Survey) -> Vec<Measure> {
    let read = |name, work| survey.row(name).map(|row| &row.of(work).read);
    let alone = |name| read(name, Work::Read).and_then(Samples::min);
    let by_two = |name| read(name, Work::ReadByTwo).and_then(Samples::median);
    let wait = |name, wait| survey.waits(name).map(|waits| waits.of(wait));
    let least = |name, which| wait(name, which).and_then(Samples::min);
    let median_us = |which| Some(wait(MEMB, which)?.median()? / 1e3);

    let allowed = alone(PLAIN).map(|plain| 2.0 * plain + 0.6);
    vec![
        Measure {
            what: "Memb section / (2 x plain load + 0.6 ns)",
            target: Bound::AtMost(1.0),
            measured: ratio(alone(MEMB), allowed),
            unit: "x",
        },
        Measure {
            what: "crossbeam-epoch pin / Memb section",
            target: Bound::AtLeast(8.0),
            measured: ratio(alone(CROSSBEAM), alone(MEMB)),
            unit: "x",
        },
        Measure {
            what: "std RwLock read / Memb section, 1 thread",
            target: Bound::AtLeast(10.0),
            measured: ratio(alone(STD_RWLOCK), alone(MEMB)),
            unit: "x",
        },
        Measure {
            what: "std RwLock read / Memb section, 2 threads",
            target: Bound::AtLeast(40.0),
            measured: ratio(by_two(STD_RWLOCK), by_two(MEMB)),
            unit: "x",
        },
        Measure {
            what: "Qsbr section / plain load",
            target: Bound::AtMost(1.1),
            measured: ratio(alone(QSBR), alone(PLAIN)),
            unit: "x",
        },
        Measure {
            what: "Memb synchronize alone / bare membarrier",
            target: Bound::AtMost(2.0),
            measured: ratio(
                least(MEMB, Wait::SynchronizeAlone),
                least(Membarrier::NAME, Wait::SynchronizeAlone),
            ),
            unit: "x",
        },
        Measure {
            what: "the same, a registered thread asleep",
            target: Bound::AtMost(2.0),
            measured: ratio(
                least(MEMB, Wait::SynchronizeBesideSleeper),
                least(Membarrier::NAME, Wait::SynchronizeBesideSleeper),
            ),
            unit: "x",
        },
        Measure {
            what: "Memb call to callback, idle (median)",
            target: Bound::AtMost(100.0),
            measured: median_us(Wait::Call),
            unit: "us",
        },
        Measure {
            what: "Memb barrier, nothing queued (median)",
            target: Bound::AtMost(50.0),
            measured: median_us(Wait::Barrier),
            unit: "us",
        },
        Measure {
            what: "Memb call + barrier, idle (median)",
            target: Bound::AtMost(50.0),
            measured: median_us(Wait::CallAndBarrier),
            unit: "us",
        },
    ]
}

/// `a / b`, if both were measured.
pub fn ratio(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? / b?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(target: Bound, measured: Option<f64>) -> Option<bool> {
        let measure = Measure {
            what: "",
            target,
            measured,
            unit: "x",
        };
        measure.met()
    }

    #[test]
    fn the_bound_itself_is_met_and_nothing_is_met_unmeasured() {
        assert_eq!(met(Bound::AtMost(2.0), Some(2.0)), Some(true));
        assert_eq!(met(Bound::AtMost(2.0), Some(2.1)), Some(false));
        assert_eq!(met(Bound::AtLeast(8.0), Some(8.0)), Some(true));
        assert_eq!(met(Bound::AtLeast(8.0), Some(7.9)), Some(false));
        assert_eq!(met(Bound::AtLeast(8.0), None), None);
        assert_eq!(ratio(Some(1.0), None), None);
        assert_eq!(ratio(Some(3.0), Some(2.0)), Some(1.5));
    }
}

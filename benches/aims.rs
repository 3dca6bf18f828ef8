//! What we set out to reach, beside what was measured. Printed, not asserted: a figure is not a test.

use crate::chart::Report;
use crate::inline;
use crate::peers::names::{
    BOUND, BOUNDED, CALLS, CROSSBEAM, DASHMAP, FLURRY, LFHT, LOCKED, MALLOC, MB, MB_SO, MEMB,
    MEMB_SO, PAPAYA, PLAIN, QSBR, SCC_INDEX, STD_MAP, STD_RWLOCK,
};
use crate::sections::MEMBARRIER;

/// One aim.
#[derive(Clone, Debug)]
pub struct Aim {
    /// What is compared.
    pub what: &'static str,
    /// The bound.
    pub target: Bound,
    /// The figure, if all that it needs was measured.
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

impl Aim {
    /// Whether the aim is reached; `None` when it was not measured.
    pub fn met(&self) -> Option<bool> {
        self.measured.map(|measured| match self.target {
            Bound::AtMost(most) => measured <= most,
            Bound::AtLeast(least) => measured >= least,
        })
    }
}

/// All aims. A ratio is made of the typical figures of one chart.
pub fn all(report: &Report) -> Vec<Aim> {
    let figure = |chart: &str, name: &str| report.chart(chart)?.typical(name);
    let least = |chart: &str, name: &str| report.chart(chart)?.of(name)?.min();
    let times = |chart: &str, name: &str, of: &str| ratio(figure(chart, name), figure(chart, of));
    let at_most = |most, what, measured| Aim {
        what,
        target: Bound::AtMost(most),
        measured,
        unit: "x",
    };
    let at_least = |least, what, measured| Aim {
        target: Bound::AtLeast(least),
        ..at_most(0.0, what, measured)
    };
    let us = |most, what, measured| Aim {
        unit: "us",
        ..at_most(most, what, measured)
    };

    let yes = |what, measured| Aim {
        unit: "",
        ..at_least(1.0, what, measured)
    };

    let allowed = figure("read", PLAIN).map(|plain| 2.0 * plain + 0.6);
    vec![
        at_most(
            1.0,
            "Memb section / liburcu memb's, inline",
            times("read", MEMB, inline::MEMB),
        ),
        at_least(
            2.0,
            "liburcu memb section by call / Memb's by C call",
            times("read", MEMB_SO, CALLS),
        ),
        at_most(
            1.0,
            "Memb section / (2 x plain load + 0.6 ns)",
            ratio(figure("read", MEMB), allowed),
        ),
        at_least(
            8.0,
            "liburcu mb section, inline / Mb section",
            times("read", inline::MB, MB),
        ),
        at_most(
            1.5,
            "Mb section / plain load with one locked add",
            times("read", MB, LOCKED),
        ),
        at_most(
            1.1,
            "Qsbr section / liburcu qsbr's, inline",
            times("read", QSBR, inline::QSBR),
        ),
        at_least(
            8.0,
            "crossbeam-epoch pin / Memb section",
            times("read", CROSSBEAM, MEMB),
        ),
        at_least(
            10.0,
            "std RwLock read / Memb section, 1 thread",
            times("read", STD_RWLOCK, MEMB),
        ),
        at_least(
            40.0,
            "std RwLock read / Memb section, 2 threads",
            times("read_by_two", STD_RWLOCK, MEMB),
        ),
        at_most(
            1.6,
            "alloc + free() + grace period / malloc + free, reader elsewhere",
            ratio(
                figure("freed_beside_stranger", MEMB),
                figure("freed", MALLOC),
            ),
        ),
        at_least(
            3.0,
            "crossbeam's / the same, 1 producer",
            times("freed_beside_stranger", CROSSBEAM, MEMB),
        ),
        at_least(
            8.0,
            "crossbeam's / the same, 2 producers",
            times("freed_by_two", CROSSBEAM, MEMB),
        ),
        at_most(
            2.0,
            "Memb synchronize alone / bare membarrier",
            ratio(least("synchronize", MEMB), least("synchronize", MEMBARRIER)),
        ),
        at_most(
            2.0,
            "the same, a registered thread asleep",
            ratio(
                least("synchronize_sleeper", MEMB),
                least("synchronize_sleeper", MEMBARRIER),
            ),
        ),
        at_most(
            0.1,
            "Memb synchronize / liburcu memb's, a hot reader",
            times("synchronize_reader", MEMB, MEMB_SO),
        ),
        at_most(
            0.1,
            "the same, Memb with a parked thread, liburcu with an idle one",
            ratio(
                figure("synchronize_reader_parked", MEMB),
                figure("synchronize_reader_sleeper", MEMB_SO),
            ),
        ),
        at_most(
            1.05,
            "Memb synchronize / bare membarrier, hot reader and idle thread",
            times("synchronize_reader_sleeper", MEMB, MEMBARRIER),
        ),
        at_most(
            0.6,
            "Memb synchronize / liburcu memb's, hot reader and idle thread",
            times("synchronize_reader_sleeper", MEMB, MEMB_SO),
        ),
        at_most(
            0.6,
            "Mb synchronize / liburcu mb's, a hot reader",
            times("synchronize_reader", MB, MB_SO),
        ),
        at_least(
            50.0,
            "liburcu memb call to callback / Memb's, idle",
            times("call", MEMB_SO, MEMB),
        ),
        us(
            100.0,
            "Memb call to callback, idle (median)",
            figure("call", MEMB),
        ),
        at_least(
            50.0,
            "liburcu memb barrier / Memb's, idle",
            times("barrier", MEMB_SO, MEMB),
        ),
        us(
            50.0,
            "Memb barrier, nothing queued (median)",
            figure("barrier", MEMB),
        ),
        us(
            50.0,
            "Memb call + barrier, idle (median)",
            figure("call_and_barrier", MEMB),
        ),
        us(
            200.0,
            "Memb start_poll until done, idle (median)",
            figure("poll", MEMB),
        ),
        at_least(
            50.0,
            "liburcu memb's fork handlers / Memb's, in the parent",
            times("fork_parent", MEMB_SO, MEMB),
        ),
        Aim {
            unit: "ms",
            ..at_most(
                1.3,
                "16 callers of synchronize, 1 ms sections: mean latency",
                figure("callers", MEMB),
            )
        },
        at_least(
            10.0,
            "liburcu memb synchronize / Memb's, 10 000 idle threads",
            times("scan", MEMB_SO, MEMB),
        ),
        at_most(
            2.0,
            "p99.9 of 1 us of Memb sections / plain loads, updater elsewhere",
            times("latency_p999", MEMB, PLAIN),
        ),
        at_least(
            1.0,
            "flood of call: Memb's throughput / liburcu memb's",
            times("flood_rate", MEMB, MEMB_SO),
        ),
        Aim {
            unit: "bytes",
            ..at_most(
                90.0,
                "a reader stalled: Memb keeps for a 64-byte object",
                figure("stall_kept", MEMB),
            )
        },
        at_most(
            1.0,
            "flood of call, bounded: most bytes that waited / the bound",
            figure("flood_bound", BOUNDED),
        ),
        Aim {
            unit: "bytes",
            ..at_most(
                1.1 * BOUND as f64,
                "a reader stalled, bounded to 16 MiB: memory kept",
                figure("stall_held", BOUNDED),
            )
        },
        us(
            100.0,
            "the producer's longest update meanwhile",
            figure("stall_longest", BOUNDED),
        ),
        Aim {
            unit: "ms",
            ..at_most(
                40.0,
                "the stalled reader leaves: until Memb has freed all",
                figure("stall_freed", MEMB),
            )
        },
        yes(
            "the stall report names the thread",
            figure("stall_told", MEMB),
        ),
        at_least(
            1.0,
            "RcuHashMap / papaya, 95/5 by 2 threads",
            times("maps_95_2", MEMB, PAPAYA),
        ),
        at_least(
            1.0,
            "RcuHashMap / dashmap, 95/5 by 2 threads",
            times("maps_95_2", MEMB, DASHMAP),
        ),
        at_least(
            1.0,
            "RcuHashMap / flurry, 95/5 by 2 threads",
            times("maps_95_2", MEMB, FLURRY),
        ),
        at_least(
            1.0,
            "RcuHashMap / std RwLock<HashMap>, 95/5 by 2 threads",
            times("maps_95_2", MEMB, STD_MAP),
        ),
        at_least(
            0.91,
            "RcuHashMap / scc HashIndex, 95/5 by 2 threads",
            times("maps_95_2", MEMB, SCC_INDEX),
        ),
        at_least(
            0.91,
            "RcuHashMap / scc HashIndex, read only by 2 threads",
            times("maps_100_2", MEMB, SCC_INDEX),
        ),
        at_least(
            2.0,
            "RcuHashMap / liburcu cds_lfht, 95/5 by 2 threads",
            times("maps_95_2", MEMB, LFHT),
        ),
        at_least(
            1.0,
            "RcuHashMap / scc HashIndex, small map, 95/5 by 2 threads",
            times("maps_small_95_2", MEMB, SCC_INDEX),
        ),
        at_least(
            1.0,
            "RcuHashMap / dashmap, small map, 95/5 by 2 threads",
            times("maps_small_95_2", MEMB, DASHMAP),
        ),
        // Each entry is an allocation that is freed a grace period later, when its line is cold again. That is
        // what references that outlive an update cost; the others give copies out, or hold a lock.
        at_least(
            0.5,
            "RcuHashMap / dashmap, 50/50 by 2 threads",
            times("maps_50_2", MEMB, DASHMAP),
        ),
        yes(
            "forked beside a reader: the child reclaims (Memb)",
            figure("fork_reclaims", MEMB),
        ),
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
        let aim = Aim {
            what: "",
            target,
            measured,
            unit: "x",
        };
        aim.met()
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

    #[test]
    fn an_empty_report_meets_nothing() {
        assert!(
            all(&Report::default())
                .iter()
                .all(|aim| aim.met().is_none())
        );
    }
}

//! What is measured, section by section; each can be run alone.

mod callers;
mod flood;
mod fork;
mod latency;
mod loops;
mod maps;
mod ordered;
mod queues;
mod scan;
mod stall;
mod waits;

pub use waits::MEMBARRIER;

use crate::chart::{Chart, Group, Report};
use crate::effort::Effort;
use crate::grace::GracePeriods;
use crate::peers;
use crate::probe::{self, Figures};

/// A part of the run.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The word for `--only`.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// Measures, and adds to the report.
    pub run: fn(Effort, &mut Report),
    /// What a process of its own does for one peer.
    pub probe: Option<fn(&str, Effort) -> Figures>,
}

/// All sections, in the order of the run.
pub const ALL: [Section; 11] = [
    Section {
        name: "loops",
        about: "read sections and updates, by one thread and by two",
        run: loops::run,
        probe: None,
    },
    Section {
        name: "ordered",
        about: "ordered maps of 10^3 and 10^6 entries",
        run: ordered::run,
        probe: None,
    },
    Section {
        name: "queues",
        about: "an element through a queue, by one thread and by two",
        run: queues::run,
        probe: None,
    },
    Section {
        name: "waits",
        about: "synchronize, call until its callback, barrier",
        run: waits::run,
        probe: None,
    },
    Section {
        name: "callers",
        about: "16 callers of synchronize beside a reader in sections of 1 ms",
        run: callers::run,
        probe: Some(callers::probe),
    },
    Section {
        name: "scan",
        about: "synchronize with 10 000 idle threads",
        run: scan::run,
        probe: Some(scan::probe),
    },
    Section {
        name: "latency",
        about: "a microsecond of sections beside an updater that works flat out",
        run: latency::run,
        probe: Some(latency::probe),
    },
    Section {
        name: "flood",
        about: "call, flat out for two seconds",
        run: flood::run,
        probe: Some(flood::probe),
    },
    Section {
        name: "stall",
        about: "a reader stalled for a second under a million retires",
        run: stall::run,
        probe: Some(stall::probe),
    },
    Section {
        name: "fork",
        about: "the cost of the handlers; a child forked beside a reader",
        run: fork::run,
        probe: Some(fork::probe),
    },
    Section {
        name: "maps",
        about: "hash maps: throughput, growth beside a reader, memory",
        run: maps::run,
        probe: Some(maps::probe),
    },
];

/// Measures in processes of their own, interleaved, and reports each chart as a group.
fn apart<const N: usize>(
    section: &str,
    names: &[&str],
    charts: [Chart; N],
    rounds: usize,
    effort: Effort,
    report: &mut Report,
) {
    let charts = measure_apart(section, names, charts, rounds, effort, report);
    report.groups.extend(charts.map(Group::single));
}

/// Measures in processes of their own, interleaved.
pub fn measure_apart<const N: usize>(
    section: &str,
    names: &[&str],
    mut charts: [Chart; N],
    rounds: usize,
    effort: Effort,
    report: &mut Report,
) -> [Chart; N] {
    for round in 0..rounds {
        for i in 0..names.len() {
            let name = names[(round + i) % names.len()];
            match probe::ask(section, name, effort) {
                Err(why) => report.skip(format!("{section}, {name}: {why}")),
                Ok(figures) => {
                    for (key, figure) in figures {
                        if let Some(chart) = charts.iter_mut().find(|chart| chart.key == key) {
                            chart.add(name, Some(figure));
                        }
                    }
                }
            }
        }
    }
    charts
}

/// The peer of that name, for a probe.
fn grace_periods(name: &str) -> Result<Box<dyn GracePeriods>, String> {
    let mut all = peers::grace_periods().into_iter();
    all.find(|peer| peer.name() == name)
        .ok_or_else(|| format!("no {name} here"))
}

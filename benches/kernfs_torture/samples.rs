//! What the daemon takes of the machine: each second, and whether that grows.

use std::fs;
use std::time::Duration;

use benches::sys as bench_sys;
use kernfs::Root;

/// Of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Bytes that have pages.
    pub(crate) resident: u64,
    /// Bytes that malloc has given out.
    pub(crate) allocated: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    pub(crate) nodes: u64,
    pub(crate) open_files: u64,
}

fn entries(of: &str) -> u64 {
    fs::read_dir(of).map_or(0, |entries| entries.count() as u64)
}

/// What the threads are called, but for those of urcu, which come when there is much to free, and stay.
pub(crate) fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let ours = names.filter(|name| !name.starts_with("urcu-"));
    ours.map(|name| name.trim().to_owned()).collect()
}

impl Sample {
    /// As it is now.
    pub(crate) fn take(root: Option<&Root>) -> Self {
        let stats = root.map(Root::stats);
        Self {
            resident: bench_sys::resident_bytes().unwrap_or(0),
            allocated: bench_sys::allocated_bytes().unwrap_or(0),
            descriptors: entries("/proc/self/fd"),
            threads: threads().len() as u64,
            nodes: stats.map_or(0, |stats| stats.nodes),
            open_files: stats.map_or(0, |stats| stats.open_files),
        }
    }
}

/// What may grow, and by how much the last quarter of a run may be above the second one: a part, and so many on top.
struct Gauge {
    name: &'static str,
    of: fn(&Sample) -> u64,
    slack: u64,
}

const PERCENT: u64 = 10;
const MIB: u64 = 1 << 20;

const GAUGES: [Gauge; 6] = [
    Gauge {
        name: "resident KiB",
        of: |sample| sample.resident / 1024,
        slack: 4 * MIB / 1024,
    },
    Gauge {
        name: "allocated KiB",
        of: |sample| sample.allocated / 1024,
        slack: MIB / 1024,
    },
    Gauge {
        name: "descriptors",
        of: |sample| sample.descriptors,
        slack: 2,
    },
    Gauge {
        name: "threads",
        of: |sample| sample.threads,
        slack: 1,
    },
    Gauge {
        name: "nodes",
        of: |sample| sample.nodes,
        slack: 100,
    },
    Gauge {
        name: "open files",
        of: |sample| sample.open_files,
        slack: 20,
    },
];

/// Runs shorter than this are not judged: they never are warm.
const WARM: Duration = Duration::from_secs(120);

/// All of a run.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Sample>);

impl Samples {
    pub(crate) fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// Means of the second and of the last quarter.
    fn quarters(&self, of: fn(&Sample) -> u64) -> Option<(u64, u64)> {
        let quarter = self.0.len() / 4;
        let mean = |samples: &[Sample]| {
            let sum: u64 = samples.iter().map(of).sum();
            sum.checked_div(samples.len() as u64)
        };
        let second = self.0.get(quarter..2 * quarter)?;
        let last = self.0.get(self.0.len() - quarter..)?;
        Some((mean(second)?, mean(last)?))
    }

    /// A line for each gauge, and what has grown.
    pub(crate) fn judge(&self, took: Duration) -> (String, Vec<String>) {
        let mut lines = String::new();
        let mut grown = Vec::new();
        for gauge in &GAUGES {
            let [first, last] =
                [self.0.first(), self.0.last()].map(|sample| sample.map_or(0, gauge.of));
            let Some((early, late)) = self.quarters(gauge.of) else {
                continue;
            };
            let limit = early + early * PERCENT / 100 + gauge.slack;
            let name = gauge.name;
            lines += &format!(
                "  {name:14} {first:>8} at first, {last:>8} at last; second quarter {early:>8}, last quarter \
                 {late:>8} (at most {limit})\n"
            );
            if took >= WARM && late > limit {
                grown.push(format!("{name}: from {early} to {late}, at most {limit}"));
            }
        }
        if took < WARM {
            lines += &format!("  (judged in runs of {WARM:?} and more)\n");
        }
        (lines, grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Samples {
        let sample = |resident| Sample {
            resident: resident * MIB,
            ..Sample::default()
        };
        Samples(values.into_iter().map(sample).collect())
    }

    #[test]
    fn what_grows_on_is_told_and_what_only_warms_up_is_not() {
        let warms_up = of((0..100).map(|n| n.min(20)));
        assert_eq!(warms_up.judge(WARM).1, [""; 0]);
        let grows = of(50..150);
        assert_eq!(grows.judge(WARM).1.len(), 1);
        assert_eq!(grows.judge(WARM / 2).1, [""; 0], "too short");
    }
}

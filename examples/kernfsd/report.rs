//! The closing table.

use std::fmt;
use std::time::Duration;

use super::latency::Latency;
use super::table::{Arm, Backend, Hash, Update};

/// What was measured while one table was in use.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) time: Duration,
    pub(super) lookups: u64,
    /// Until an update was published.
    pub(super) published: Latency,
    /// Until no reader could hold the old state.
    pub(super) safe: Latency,
}

impl Measured {
    pub(super) fn new() -> Self {
        Self {
            time: Duration::ZERO,
            lookups: 0,
            published: Latency::new(),
            safe: Latency::new(),
        }
    }

    pub(super) fn add(&mut self, update: Update) {
        self.published.add(update.published);
        self.safe.add(update.safe);
    }

    fn lookups_per_s(&self) -> Option<f64> {
        (self.lookups > 0 && !self.time.is_zero())
            .then(|| self.lookups as f64 / self.time.as_secs_f64())
    }
}

/// Everything that is told at the end.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) time: Duration,
    pub(super) readers: usize,
    pub(super) interval_ms: u32,
    pub(super) processes: u64,
    /// By [`Arm::index`].
    pub(super) arms: [Measured; Arm::ALL.len()],
    pub(super) grace_periods: u64,
    pub(super) callbacks_run: u64,
    pub(super) left: Left,
}

/// What is left at the end: zeros, or something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) callbacks: u64,
    pub(super) nodes: u64,
    pub(super) records: u64,
    pub(super) mounts: u64,
}

impl Left {
    pub(super) fn is_nothing(self) -> bool {
        self.callbacks + self.nodes + self.records + self.mounts == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "time: {:.1} s, readers: {}, /proc read every {} ms, processes at the end: {}\n",
            self.time.as_secs_f64(),
            self.readers,
            self.interval_ms,
            self.processes
        )?;
        writeln!(
            f,
            "{:<22}{:>11}{:>9}{:>9}{:>12}{:>11}{:>11}",
            "", "lookups/s", "ns each", "updates", "publish p50", "safe p50", "safe max"
        )?;
        for hash in [Hash::Integer, Hash::Std] {
            let rcu = &self.arms[Arm::new(hash, Backend::Rcu).index()];
            let rwlock = &self.arms[Arm::new(hash, Backend::RwLock).index()];
            let name = match hash {
                Hash::Integer => "integer hash",
                Hash::Std => "std hash",
            };
            self.row(f, &format!("{name}: rcu"), rcu)?;
            self.row(f, &format!("{name}: rwlock"), rwlock)?;
            writeln!(
                f,
                "{:<22}{:>11}{:>9}{:>9}{:>12}{:>11}\n",
                format!("{name}: ratio"),
                ratio(rcu.lookups_per_s(), rwlock.lookups_per_s()),
                "",
                "",
                ratio(seconds(&rcu.published), seconds(&rwlock.published)),
                ratio(seconds(&rcu.safe), seconds(&rwlock.safe)),
            )?;
        }
        writeln!(
            f,
            "publish: until readers see the new table; safe: until none can hold the old one\n\
             ratio: rcu / rwlock; above 1 is good for lookups/s, below 1 for the times\n\
             rcu: {} grace periods, {} callbacks run",
            self.grace_periods, self.callbacks_run
        )?;
        let left = self.left;
        write!(
            f,
            "left: {} callbacks, {} nodes, {} records, {} mounts{}",
            left.callbacks,
            left.nodes,
            left.records,
            left.mounts,
            if left.is_nothing() { ": nothing" } else { "" }
        )
    }
}

impl Report {
    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str, arm: &Measured) -> fmt::Result {
        let rate = arm.lookups_per_s();
        // Each reader is busy all the time, so a lookup takes readers / rate.
        let each = rate.map(|rate| format!("{:.1}", self.readers as f64 * 1e9 / rate));
        writeln!(
            f,
            "{name:<22}{:>11}{:>9}{:>9}{:>12}{:>11}{:>11}",
            rate.map_or_else(|| "-".to_owned(), si),
            each.as_deref().unwrap_or("-"),
            arm.safe.count(),
            time(arm.published.percentile(50)),
            time(arm.safe.percentile(50)),
            time(arm.safe.max()),
        )
    }
}

fn seconds(latency: &Latency) -> Option<f64> {
    latency.percentile(50).map(|time| time.as_secs_f64())
}

fn ratio(rcu: Option<f64>, rwlock: Option<f64>) -> String {
    match (rcu, rwlock) {
        (Some(rcu), Some(rwlock)) if rwlock > 0.0 => {
            let ratio = rcu / rwlock;
            let digits = match ratio {
                1.0.. => 1,
                0.01.. => 3,
                _ => 5,
            };
            format!("{ratio:.digits$}x")
        }
        _ => "-".to_owned(),
    }
}

/// Three digits and a prefix.
fn si(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = if value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$}{unit}")
}

fn time(time: Option<Duration>) -> String {
    let Some(time) = time else {
        return "-".to_owned();
    };
    match time.as_nanos() {
        nanos @ 0..1000 => format!("{nanos} ns"),
        1000..1_000_000 => format!("{:.1} us", time.as_secs_f64() * 1e6),
        _ => format!("{:.1} ms", time.as_secs_f64() * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(lookups: u64) -> Measured {
        let mut measured = Measured::new();
        measured.time = Duration::from_secs(2);
        measured.lookups = lookups;
        measured.published.add(Duration::from_nanos(300));
        measured.safe.add(Duration::from_micros(12));
        measured
    }

    #[test]
    fn the_table_with_and_without_figures() {
        let report = Report {
            time: Duration::from_secs(10),
            readers: 2,
            interval_ms: 100,
            processes: 90,
            arms: [arm(900_000_000), arm(90_000_000), arm(4), Measured::new()],
            grace_periods: 7,
            callbacks_run: 8,
            left: Left {
                callbacks: 0,
                nodes: 0,
                records: 0,
                mounts: 0,
            },
        };
        let text = report.to_string();
        for line in [
            "integer hash: rcu            450M      4.4        1      300 ns    12.0 us    12.0 us",
            "integer hash: ratio         10.0x                          1.0x       1.0x",
            "std hash: rwlock                -        -        0           -          -          -",
            "std hash: ratio                 -                             -          -",
            "rcu: 7 grace periods, 8 callbacks run",
            "left: 0 callbacks, 0 nodes, 0 records, 0 mounts: nothing",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn units() {
        assert_eq!(si(12.0), "12.0");
        assert_eq!(si(999_900.0), "1000k");
        assert_eq!(si(2.5e9), "2.5G");
        assert_eq!(time(Some(Duration::from_millis(3))), "3.0 ms");
    }
}

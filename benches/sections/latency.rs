//! What a reader notices of an updater that works flat out, on another pointer. The reader times batches of
//! sections on a CPU of its own; updater and workers share another: what reaches the reader are interrupts and
//! the cache lines of grace periods. (What it costs to read what is just being replaced, two cache misses
//! for each section whoever frees, is in the read loops, "beside updater".)

use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::peer::{Peer, Reader};
use crate::peers::names::{CROSSBEAM, MB, MEMB, MEMB_SO, PLAIN, QSBR, QSBR_SO, SEIZE};
use crate::peers::{self, Action};
use crate::placement::consume;
use crate::probe::Figures;
use crate::rounds::Apart;
use crate::sys;

use super::measure_apart;

const PEERS: [&str; 8] = [PLAIN, MEMB, MB, QSBR, CROSSBEAM, SEIZE, MEMB_SO, QSBR_SO];
/// Sections in a batch: about a microsecond of them, where they cost nothing.
const BATCH: u32 = 1000;

pub(super) fn run(effort: Effort, report: &mut Report) {
    let chart =
        |key, title, head| Chart::new(key, title, Unit::Us, Typical::Median).headed("", head);
    let charts = [
        chart(
            "latency_p50",
            "1000 read sections beside an updater of another pointer, p50",
            "p50",
        ),
        chart(
            "latency_p99",
            "1000 read sections beside an updater of another pointer, p99",
            "p99",
        ),
        chart(
            "latency_p999",
            "1000 read sections beside an updater of another pointer, p99.9",
            "p99.9",
        ),
    ];
    let charts = measure_apart("latency", &PEERS, charts, effort.probes, effort, report);
    report.groups.push(Group {
        title: "1000 read sections beside an updater of another pointer that works flat out",
        charts: charts.into(),
    });
}

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    peers::with(peer, Beside(effort))
}

struct Beside(Effort);

impl Action for Beside {
    type Output = Figures;

    fn run<P: Peer>(self, peer: &P) -> Figures {
        // Before the first update: the workers that it starts stay on this CPU too.
        sys::pin(0);
        let stop = AtomicBool::new(false);
        let another = Apart(peer.another());
        let mut batches = thread::scope(|scope| {
            scope.spawn(|| update(&another.0, &stop));
            let reader = scope.spawn(|| read(peer, self.0));
            let batches = reader.join();
            stop.store(true, Ordering::Relaxed);
            batches.unwrap_or_default()
        });
        batches.sort_unstable();
        let percentile = |part: f64| {
            let at = (batches.len() as f64 * part) as usize;
            batches.get(at).map(|ns| f64::from(*ns) / 1e3)
        };
        let figures = [
            ("latency_p50", percentile(0.5)),
            ("latency_p99", percentile(0.99)),
            ("latency_p999", percentile(0.999)),
        ];
        let figures = figures.iter();
        Ok(figures
            .filter_map(|(key, figure)| Some((*key, (*figure)?)))
            .collect())
    }
}

fn update<P: Peer>(peer: &P, stop: &AtomicBool) {
    let mut updater = peer.reader();
    let mut value = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..64 {
            updater.update(value);
            value += 1;
        }
        updater.pause();
    }
}

/// The time of each batch in nanoseconds.
fn read<P: Peer>(peer: &P, effort: Effort) -> Vec<u32> {
    sys::pin(1);
    let mut reader = peer.reader();
    let mut batches = Vec::with_capacity(2_000_000);
    let begun = Instant::now();
    let mut last = begun;
    while last - begun < effort.probe_time {
        for _ in 0..BATCH {
            consume(reader.read());
        }
        reader.pause();
        let now = Instant::now();
        batches.push(u32::try_from((now - last).as_nanos()).unwrap_or(u32::MAX));
        last = now;
    }
    batches
}

//! What a reader notices of an updater that works flat out, on another pointer. The reader times batches of
//! sections on a CPU of its own; updater and workers share another: what reaches the reader are interrupts and
//! the cache lines of grace periods. Batches last equally long for all peers: the machine's own interrupts come
//! so many a millisecond, and hit a batch three times as long three times as often. (What it costs to read what is just
//! being replaced, two cache misses for each section whoever frees, is in the read loops, "beside updater".)

use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
/// How long a batch takes that nothing disturbs, in nanoseconds.
const BATCH_TIME: u128 = 1000;
/// Sections in the batches, and their number, that tell how many these are.
const SAMPLE: u32 = 1000;
const SAMPLES: usize = 100;

pub(super) fn run(effort: Effort, report: &mut Report) {
    let chart =
        |key, title, head| Chart::new(key, title, Unit::Us, Typical::Median).headed("", head);
    let charts = [
        chart(
            "latency_p50",
            "A microsecond of read sections beside an updater of another pointer, p50",
            "p50",
        ),
        chart(
            "latency_p99",
            "A microsecond of read sections beside an updater of another pointer, p99",
            "p99",
        ),
        chart(
            "latency_p999",
            "A microsecond of read sections beside an updater of another pointer, p99.9",
            "p99.9",
        ),
    ];
    let charts = measure_apart("latency", &PEERS, charts, effort.probes, effort, report);
    report.groups.push(Group {
        title: "a microsecond of read sections beside an updater of another pointer that works flat out",
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
    let fastest = (0..SAMPLES).map(|_| read_batch(&mut reader, SAMPLE)).min();
    let fastest = fastest.unwrap_or_default().as_nanos().max(1);
    let sections = (u128::from(SAMPLE) * BATCH_TIME).div_ceil(fastest);
    let sections = u32::try_from(sections).unwrap_or(u32::MAX);
    let mut batches = Vec::with_capacity(1_000_000);
    let begun = Instant::now();
    while begun.elapsed() < effort.probe_time {
        let took = read_batch(&mut reader, sections);
        batches.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
    }
    batches
}

fn read_batch(reader: &mut impl Reader, sections: u32) -> Duration {
    let begun = Instant::now();
    for _ in 0..sections {
        consume(reader.read());
    }
    reader.pause();
    begun.elapsed()
}

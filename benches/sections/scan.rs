//! What `synchronize` costs in a process with many registered threads, all idle: the scan.

use std::sync::mpsc::{Sender, channel};
use std::thread::{self, Builder};
use std::time::Instant;

use crate::chart::{Chart, Report, Typical, Unit};
use crate::effort::Effort;
use crate::grace::GracePeriods;
use crate::peers::names::{MEMB, MEMB_SO, QSBR};
use crate::probe::Figures;
use crate::samples::Samples;

use super::apart;

const PEERS: [&str; 3] = [MEMB, QSBR, MEMB_SO];
const STACK: usize = 32 << 10;

pub(super) fn run(effort: Effort, report: &mut Report) {
    let charts = [Chart::new(
        "scan",
        "synchronize, 10 000 idle threads registered",
        Unit::Us,
        Typical::Median,
    )];
    apart("scan", &PEERS, charts, effort.long_probes, effort, report);
}

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    // For ever: the threads are not joined, the process ends with them.
    let of: &'static dyn GracePeriods = Box::leak(super::grace_periods(peer)?);
    let (ready, is_ready) = channel();
    for _ in 0..effort.idle_threads {
        let ready = ready.clone();
        Builder::new()
            .stack_size(STACK)
            .spawn(move || of.idle(&mut || stay(&ready)))
            .map_err(|error| format!("not so many threads here: {error}"))?;
    }
    for _ in 0..effort.idle_threads {
        is_ready.recv().map_err(|error| error.to_string())?;
    }
    let calls: Samples = (0..200)
        .map(|_| {
            let begun = Instant::now();
            of.synchronize();
            begun.elapsed().as_nanos() as f64 / 1e3
        })
        .collect();
    Ok(calls.median().map(|us| ("scan", us)).into_iter().collect())
}

fn stay(ready: &Sender<()>) {
    _ = ready.send(());
    loop {
        thread::park();
    }
}

//! One thread that calls `call` flat out for two seconds: how many callbacks run, and how far behind the
//! worker falls.

use core::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use urcu::Memb;

use crate::chart::{Chart, Report, Typical, Unit};
use crate::effort::Effort;
use crate::grace;
use crate::peers;
use crate::peers::names::{BOUND, BOUNDED, MEMB, MEMB_SO, QSBR};
use crate::probe::Figures;

use super::apart;

const PEERS: [&str; 4] = [MEMB, BOUNDED, QSBR, MEMB_SO];

pub(super) fn run(effort: Effort, report: &mut Report) {
    let chart = |key, title, unit| Chart::new(key, title, unit, Typical::Median);
    let charts = [
        chart(
            "flood_rate",
            "flood of call for two seconds: callbacks run, until all have",
            Unit::MillionsPerSecond,
        ),
        chart(
            "flood_backlog",
            "flood of call for two seconds: callbacks waiting at its end",
            Unit::Count,
        ),
        chart(
            "flood_bound",
            "flood of call for two seconds: most bytes that waited, of the bound",
            Unit::Count,
        ),
    ];
    apart("flood", &PEERS, charts, effort.long_probes, effort, report);
}

static RAN: AtomicU64 = AtomicU64::new(0);

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    let of = super::grace_periods(if peer == BOUNDED { MEMB } else { peer })?;
    of.call(Box::new(|| ()));
    of.barrier(); // the worker is there
    let begun = Instant::now();
    let until = begun + effort.flood_time;
    let queued = if peer == BOUNDED {
        peers::set_limits();
        flood_within_bound(until)
    } else {
        of.flood(until, &RAN)
    };
    let backlog = queued - RAN.load(Ordering::Relaxed);
    of.barrier();
    let rate = queued as f64 / begun.elapsed().as_secs_f64();
    let mut figures = vec![
        ("flood_rate", rate / 1e6),
        ("flood_backlog", backlog as f64),
    ];
    if peer == BOUNDED {
        let peak = Memb::stats().bytes_peak as f64 / BOUND as f64;
        figures.push(("flood_bound", peak));
    }
    Ok(figures)
}

/// The caller waits where it is refused.
fn flood_within_bound(until: Instant) -> u64 {
    grace::flood(until, || {
        let mut callback = || _ = RAN.fetch_add(1, Ordering::Relaxed);
        while let Err(refused) = Memb::try_call(callback) {
            callback = refused;
            Memb::throttle();
        }
    })
}

//! Many callers of `synchronize` beside a reader in sections of 1 ms: what sharing and overlapping of grace
//! periods are for. Alone each would wait half a section to a whole one.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use crate::chart::{Chart, Report, Typical, Unit};
use crate::effort::Effort;
use crate::grace::GracePeriods;
use crate::peers::names::{MB, MB_SO, MEMB, MEMB_SO};
use crate::probe::Figures;
use crate::sys;

use super::apart;

const PEERS: [&str; 4] = [MEMB, MB, MEMB_SO, MB_SO];
const CALLERS: u32 = 16;
const SECTION: Duration = Duration::from_millis(1);

pub(super) fn run(effort: Effort, report: &mut Report) {
    let charts = [Chart::new(
        "callers",
        "16 callers of synchronize, sections of 1 ms: mean latency",
        Unit::Ms,
        Typical::Median,
    )];
    apart("callers", &PEERS, charts, effort.probes, effort, report);
}

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    let of = super::grace_periods(peer)?;
    let stop = AtomicBool::new(false);
    let calls: u32 = thread::scope(|scope| {
        let (inside, is_inside) = channel();
        let (of_reader, stop_reader) = (&*of, &stop);
        scope.spawn(move || {
            sys::pin(1);
            let mut section = || {
                _ = inside.send(());
                spin(SECTION);
            };
            of_reader.sections(&mut section, &mut || !stop_reader.load(Ordering::Relaxed));
        });
        _ = is_inside.recv();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| scope.spawn(|| call_until(&*of, &stop)))
            .collect();
        thread::sleep(effort.probe_time);
        stop.store(true, Ordering::Relaxed);
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap_or(0))
            .sum()
    });
    let total = effort.probe_time * CALLERS;
    Ok(vec![(
        "callers",
        total.as_secs_f64() * 1e3 / f64::from(calls),
    )])
}

fn call_until(of: &dyn GracePeriods, stop: &AtomicBool) -> u32 {
    sys::pin(0);
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        of.synchronize();
        calls += 1;
    }
    calls
}

fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        core::hint::spin_loop();
    }
}

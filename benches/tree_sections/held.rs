//! What those notice who look, read and notify while a writer holds the tree lock for long: nothing, is the aim.
//!
//! No call holds it for a given time. The longest there is takes a large tree away: it lists the whole of it with the
//! lock held. How long that was tells a third thread that creates an entry meanwhile, and waits.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Instant;

use kernfs::{OpenFlags, Root};

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::placement::consume;
use crate::probe::Figures;
use crate::sections::measure_apart;
use crate::sys;
use crate::trees::names::{KERNFS, STD};
use crate::trees::{Zero, name};

const HOLD: Duration = Duration::from_millis(10);

pub(super) fn run(effort: Effort, report: &mut Report) {
    let chart = |key, title, unit, head: [&'static str; 2]| {
        Chart::new(key, title, unit, Typical::Median).headed(head[0], head[1])
    };
    let charts = [
        chart(
            "held_for",
            "How long the lock was held",
            Unit::Ms,
            ["held", "for, ms"],
        ),
        chart(
            "held_find_p99",
            "Find while the lock is held, p99",
            Unit::Us,
            ["find,", "p99"],
        ),
        chart(
            "held_find_max",
            "Find while the lock is held, longest",
            Unit::Us,
            ["find,", "longest"],
        ),
        chart(
            "held_read_p99",
            "Read while the lock is held, p99",
            Unit::Us,
            ["read,", "p99"],
        ),
        chart(
            "held_notify_p99",
            "Notify while the lock is held, p99",
            Unit::Us,
            ["notify,", "p99"],
        ),
    ];
    let names = [KERNFS, STD];
    let charts = measure_apart("held", &names, charts, effort.long_probes, effort, report);
    report.groups.push(Group {
        title: "beside a writer that holds the tree lock (times in us)",
        charts: charts.into(),
    });
}

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    if peer == STD {
        return Ok(by_hand());
    }
    let root = Root::new();
    let error = |error: kernfs::Error| error.to_string();
    let small = root.create_dir("small", 0o755).map_err(error)?;
    let file = small.create_file(name(0), 0o444, 0, Zero).map_err(error)?;
    let open = file.open(OpenFlags::READ).map_err(error)?;
    let large = root.create_dir("large", 0o755).map_err(error)?;
    let dirs = if effort.quick { 200 } else { 10_000 };
    for dir in 0..dirs {
        let dir = large.create_dir(format!("{dir}"), 0o755).map_err(error)?;
        for file in 0..19 {
            dir.create_file(name(file), 0o444, 0, Zero).map_err(error)?;
        }
    }
    let wanted = name(0);
    let mut buffer = [0; 64];
    let (times, held) = beside(
        || large.remove().expect("not in a callback"),
        |nth| {
            let begun = Instant::now();
            _ = root.create_dir(format!("new{nth}"), 0o755);
            begun.elapsed()
        },
        [
            &mut || consume(small.find(&wanted).map_or(0, |node| node.id())),
            &mut || consume(open.read_at(&mut buffer, 0).unwrap_or(0) as u64),
            &mut || file.notify(),
        ],
    );
    let [find, read, notify] = times;
    let mut figures = vec![("held_for", held.as_secs_f64() * 1e3)];
    figures.extend(percentile(&find, 0.99).map(|us| ("held_find_p99", us)));
    figures.extend(percentile(&find, 1.0).map(|us| ("held_find_max", us)));
    figures.extend(percentile(&read, 0.99).map(|us| ("held_read_p99", us)));
    figures.extend(percentile(&notify, 0.99).map(|us| ("held_notify_p99", us)));
    Ok(figures)
}

fn by_hand() -> Vec<(&'static str, f64)> {
    let tree = RwLock::new(BTreeMap::from([(name(0), Arc::new(1_u64))]));
    let wanted = name(0);
    let hold = || {
        let held = tree.write();
        let begun = Instant::now();
        while begun.elapsed() < HOLD {
            core::hint::spin_loop();
        }
        drop(held);
    };
    let write = |nth: usize| {
        let begun = Instant::now();
        let written = tree
            .write()
            .map(|mut tree| tree.insert(name(nth), Arc::new(2)));
        drop(written);
        begun.elapsed()
    };
    let mut find = || {
        let tree = tree.read();
        consume(tree.map_or(0, |tree| tree.get(&wanted).map_or(0, |node| **node)));
    };
    let ([find], held) = beside(hold, write, [&mut find]);
    let mut figures = vec![("held_for", held.as_secs_f64() * 1e3)];
    figures.extend(percentile(&find, 0.99).map(|us| ("held_find_p99", us)));
    figures.extend(percentile(&find, 1.0).map(|us| ("held_find_max", us)));
    figures
}

/// Runs the operations by turns on a CPU of its own while `hold` runs on another, and a third thread writes. Gives
/// the nanoseconds of each, and the longest write.
fn beside<const N: usize>(
    hold: impl FnOnce() + Send,
    write: impl Fn(usize) -> Duration + Send,
    operations: [&mut (dyn FnMut() + Send); N],
) -> ([Vec<u32>; N], Duration) {
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (begun, over) = (&begun, &over);
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            sys::pin(1);
            let mut all: [Vec<u32>; N] = core::array::from_fn(|_| Vec::with_capacity(1 << 20));
            let mut operations = operations;
            while !begun.load(Ordering::Relaxed) {
                operations.iter_mut().for_each(|operation| operation());
            }
            loop {
                for (times, operation) in all.iter_mut().zip(&mut operations) {
                    let begun = Instant::now();
                    operation();
                    times.push(u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
                }
                // After the first: whoever waits for the lock has to be seen.
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
            all
        });
        let writer = scope.spawn(move || {
            sys::pin(0);
            let mut longest = Duration::ZERO;
            let mut nth = 1;
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(100));
                longest = longest.max(write(nth));
                nth += 1;
            }
            longest
        });
        let holder = scope.spawn(move || {
            sys::pin(0);
            thread::sleep(Duration::from_millis(2));
            begun.store(true, Ordering::Relaxed);
            hold();
            over.store(true, Ordering::Relaxed);
        });
        let held = holder.join().and_then(|()| writer.join());
        let times = reader.join();
        (
            times.unwrap_or_else(|_| core::array::from_fn(|_| Vec::new())),
            held.unwrap_or_default(),
        )
    })
}

/// In microseconds.
fn percentile(times: &[u32], part: f64) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() as f64 * part) as usize;
    let at = at.min(sorted.len().checked_sub(1)?);
    sorted.get(at).map(|ns| f64::from(*ns) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_and_of_none() {
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[3000, 1000, 2000], 1.0), Some(3.0));
        assert_eq!(percentile(&[3000, 1000, 2000], 0.5), Some(2.0));
    }
}

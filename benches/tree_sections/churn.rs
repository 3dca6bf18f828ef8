//! Making and removing, everything counted: the CPU time of all threads, workers too, until the last node is freed.

use std::time::Instant;

use kernfs::Root;
use urcu::Memb;

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::probe::Figures;
use crate::sections::measure_apart;
use crate::sys;
use crate::sysfs::Cgroup;
use crate::trees::{FILES, Zero, name, names};

/// Ours.
pub const KERNFS: &str = names::KERNFS;
/// The kernel's, scaled to as many nodes as ours.
pub const CGROUP: &str = "cgroup2, mkdir + rmdir";
/// A directory and its files.
const NODES: usize = FILES + 1;

pub(super) fn run(effort: Effort, report: &mut Report) {
    let chart = |key, title, unit, head: [&'static str; 2]| {
        Chart::new(key, title, unit, Typical::Min).headed(head[0], head[1])
    };
    let charts = [
        chart(
            "churned",
            "20 nodes made, removed and freed",
            Unit::Us,
            ["", "time"],
        ),
        chart(
            "churned_cpu",
            "20 nodes made, removed and freed, CPU time of all threads",
            Unit::Us,
            ["CPU, all", "threads"],
        ),
        chart(
            "churned_left",
            "Nodes that were not freed at the end",
            Unit::Count,
            ["not", "freed"],
        ),
    ];
    let (names, rounds) = ([KERNFS, CGROUP], effort.probes);
    let charts = measure_apart("churn", &names, charts, rounds, effort, report);
    report.groups.push(Group {
        title: "a directory with 19 files made and removed, 10^5 times, until all is freed: once",
        charts: charts.into(),
    });
}

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    let rounds = if effort.quick { 2_000 } else { 100_000 };
    if peer == CGROUP {
        let cgroup = Cgroup::new("churn")?;
        let scale = cgroup.files().map_err(|error| error.to_string())? + 1;
        let (time, cpu) = measured(rounds / 20, |times| {
            for _ in 0..times {
                cgroup
                    .make_and_remove()
                    .map_err(|error| error.to_string())?;
            }
            Ok(())
        })?;
        let scale = NODES as f64 / scale as f64;
        return Ok(vec![
            ("churned", time * scale),
            ("churned_cpu", cpu * scale),
        ]);
    }
    let root = Root::new();
    let names: Vec<String> = (0..FILES).map(name).collect();
    let before = root.stats().nodes;
    let (time, cpu) = measured(rounds, |times| {
        for _ in 0..times {
            let dir = root.create_dir("group", 0o755);
            let dir = dir.map_err(|error| error.to_string())?;
            for name in &names {
                let file = dir.create_file(name, 0o644, 0, Zero);
                file.map_err(|error| error.to_string())?;
            }
            dir.remove().map_err(|error| error.to_string())?;
        }
        Memb::barrier();
        Ok(())
    })?;
    let left = root.stats().nodes - before;
    Ok(vec![
        ("churned", time),
        ("churned_cpu", cpu),
        ("churned_left", left as f64),
    ])
}

/// Microseconds for one of so many times: by the clock, and by the CPUs.
fn measured(
    times: usize,
    mut run: impl FnMut(usize) -> Result<(), String>,
) -> Result<(f64, f64), String> {
    run(1)?; // workers exist
    let (begun, cpu) = (Instant::now(), sys::cpu_ns());
    run(times)?;
    let cpu = sys::cpu_ns() - cpu;
    let each = |ns: f64| ns / 1e3 / times as f64;
    Ok((each(begun.elapsed().as_nanos() as f64), each(cpu as f64)))
}

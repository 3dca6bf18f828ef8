//! A large tree: what a node costs in memory, and whether paths are as fast as in a small one.
//!
//! 228 groups of 220 directories of 19 files, names of 12 bytes, files without an object behind them. "Hot" is one
//! path again and again; "random" takes another file each time, and waits for memory. How long that has to be tells
//! the control: as many loads, each of which depends on the one before, from as much memory.

use std::fmt::Write;
use std::time::Instant;

use kernfs::{Dir, Root};

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::heap;
use crate::placement::consume;
use crate::probe::Figures;
use crate::sections::measure_apart;
use crate::trees::{FILES, Zero, name};

/// The large tree.
pub const BIG: &str = "kernfs, 1 000 000 nodes";
/// One of the same depth and hardly any width.
pub const SMALL: &str = "kernfs, 100 nodes";
/// Dependent loads.
pub const CONTROL: &str = "dependent loads";

/// What a walk to a random file has to load one after the other, out of the near caches: of the directory its
/// entry in the group's index, the node, its link, its name; then the pointer to its own index, the index, and
/// of the file again the entry, the node, its link, its name.
const WALK_LOADS: usize = 10;
/// The same when the directory's handle is there: all but what leads to the directory.
const FIND_LOADS: usize = 7;

pub(super) fn run(effort: Effort, report: &mut Report) {
    let chart = |key, title, unit, head: [&'static str; 2]| {
        Chart::new(key, title, unit, Typical::Min).headed(head[0], head[1])
    };
    let charts = [
        chart(
            "big_bytes",
            "Bytes a node",
            Unit::Bytes,
            ["bytes", "a node"],
        ),
        chart(
            "big_allocations",
            "Allocations a node",
            Unit::Count,
            ["allocations", "a node"],
        ),
        chart(
            "big_walk_hot",
            "Walk of 3 components, always the same",
            Unit::Ns,
            ["walk,", "hot"],
        ),
        chart(
            "big_find_hot",
            "Find by directory and name, always the same",
            Unit::Ns,
            ["find,", "hot"],
        ),
        chart(
            "big_walk_random",
            "Walk of 3 components, random",
            Unit::Ns,
            ["walk,", "random"],
        ),
        chart(
            "big_find_random",
            "Find by directory and name, random",
            Unit::Ns,
            ["find,", "random"],
        ),
    ];
    let names = [BIG, SMALL, CONTROL];
    let charts = measure_apart(
        "million",
        &names,
        charts,
        effort.long_probes,
        effort,
        report,
    );
    report.groups.push(Group {
        title: "a tree of 1 000 000 nodes in directories of 19 files",
        charts: charts.into(),
    });
}

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    let (groups, dirs) = match (peer, effort.quick) {
        (SMALL, _) => (1, 4),
        (_, true) => (20, 220),
        (_, false) => (228, 220),
    };
    if peer == CONTROL {
        return Ok(control(groups * dirs * (FILES + 1), effort));
    }
    heap::count();
    let before = heap::now();
    let root = Root::new();
    grow(&root, groups, dirs).map_err(|error| error.to_string())?;
    urcu::Memb::barrier();
    let (after, nodes) = (heap::now(), root.stats().nodes as f64);
    let mut figures = Vec::new();
    if peer == BIG && after.live > before.live {
        let each = |before: i64, after: i64| (after - before) as f64 / nodes;
        figures.push(("big_bytes", each(before.bytes, after.bytes)));
        figures.push(("big_allocations", each(before.live, after.live)));
    }
    let mut handles = Vec::new();
    for group in 0..groups {
        for dir in 0..dirs {
            let dir = root.walk(format!("{}/{}", group_name(group), dir_name(dir)));
            handles.extend(dir.and_then(|dir| dir.as_dir()));
        }
    }
    let mut text = String::new();
    let mut walk = |draw: u64| {
        path(&mut text, draw, groups, dirs);
        root.walk(&text).map_or(0, |node| node.id())
    };
    let hot = 77;
    figures.push(("big_walk_hot", timed(effort, |_| walk(hot))));
    if peer == BIG {
        figures.push(("big_walk_random", timed(effort, &mut walk)));
    }
    let names: Vec<String> = (0..FILES).map(name).collect();
    let find = |draw: u64| {
        let dir: &Dir = &handles[part(draw, handles.len())];
        let name = &names[part(draw << 20, FILES)];
        dir.find(name).map_or(0, |node| node.id())
    };
    figures.push(("big_find_hot", timed(effort, |_| find(hot))));
    if peer == BIG {
        figures.push(("big_find_random", timed(effort, find)));
    }
    Ok(figures)
}

fn grow(root: &Root, groups: usize, dirs: usize) -> kernfs::Result<()> {
    for group in 0..groups {
        let group = root.create_dir(group_name(group), 0o755)?;
        for dir in 0..dirs {
            let dir = group.create_dir(dir_name(dir), 0o755)?;
            for file in 0..FILES {
                dir.create_file(name(file), 0o444, 0, Zero)?;
            }
        }
    }
    Ok(())
}

fn group_name(nth: usize) -> String {
    format!("group{nth:07}")
}

fn dir_name(nth: usize) -> String {
    format!("directory{nth:03}")
}

/// The path of a file, the same as the names above make.
fn path(text: &mut String, draw: u64, groups: usize, dirs: usize) {
    text.clear();
    let (group, dir) = (part(draw, groups), part(draw << 16, dirs));
    let file = part(draw << 32, FILES);
    _ = write!(text, "group{group:07}/directory{dir:03}/attribute{file:03}");
}

/// A number below `most`.
fn part(draw: u64, most: usize) -> usize {
    (((draw >> 32) * most as u64) >> 32) as usize
}

/// xorshift64* (Vigna 2016).
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// Nanoseconds for one call, each with another random number: the best of some rounds.
fn timed(effort: Effort, mut call: impl FnMut(u64) -> u64) -> f64 {
    let (rounds, times) = if effort.quick {
        (2, 2_000)
    } else {
        (5, 200_000)
    };
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let begun = Instant::now();
        for _ in 0..times {
            consume(call(next(&mut state)));
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / f64::from(times));
    }
    best
}

/// As many lines of memory as the tree has, one behind the other in random order; the text of a path is made too.
fn control(nodes: usize, effort: Effort) -> Vec<(&'static str, f64)> {
    #[derive(Clone)]
    #[repr(align(64))]
    struct Line(u32, [u64; 31]);
    let mut lines = vec![Line(0, [0; 31]); nodes];
    // One cycle through all (Sattolo 1986).
    let mut order: Vec<u32> = (0..nodes as u32).collect();
    let mut state = 42;
    for i in (1..nodes).rev() {
        order.swap(i, part(next(&mut state), i));
    }
    for pair in order.windows(2) {
        lines[pair[0] as usize].0 = pair[1];
    }
    let chase = |draw: u64, loads: usize| {
        let mut at = part(draw, nodes);
        for _ in 0..loads {
            at = lines[at].0 as usize;
        }
        at as u64 + lines[at].1[0]
    };
    let mut text = String::new();
    let walk = |draw: u64| {
        path(&mut text, draw, 228, 220);
        chase(draw, WALK_LOADS) + text.len() as u64
    };
    vec![
        ("big_walk_random", timed(effort, walk)),
        (
            "big_find_random",
            timed(effort, |draw| chase(draw, FIND_LOADS)),
        ),
    ]
}

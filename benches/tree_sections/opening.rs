//! Whether opening scales: two threads, each with a file of its own, beside one.

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::repeat::{Contender, Make, Who, interleaved};
use crate::trees::names::{KERNFS, PARKING_LOT, STD};
use crate::trees::{self, GLOBAL, Global};

/// What the machine gives: allocations without anything shared. Two CPUs may be one core.
const CONTROL: &str = "malloc + free";

pub(super) fn run(effort: Effort, report: &mut Report) {
    let trees = trees::all();
    let global: &'static Global = Box::leak(Box::new(Global::new(2)));
    let model = Make::new(move |thread| {
        move || {
            let open = global.open(thread);
            global.close(&open);
            open.sum()
        }
    });
    let control = Make::new(|_| {
        || {
            let blocks: [Box<[u64; 16]>; 4] = core::array::from_fn(|n| Box::new([n as u64; 16]));
            core::hint::black_box(&blocks);
        }
    });
    let mut of: Vec<Contender<'_>> = trees
        .iter()
        .filter(|loops| [KERNFS, STD, PARKING_LOT].contains(&loops.name))
        .map(|loops| Contender::new(loops.name, &loops.open))
        .collect();
    of.push(Contender::new(GLOBAL, &model));
    of.push(Contender::new(CONTROL, &control));
    let chart = |key, title, head: [&'static str; 2]| {
        Chart::new(key, title, Unit::Ns, Typical::Median).headed(head[0], head[1])
    };
    let mut one = chart("opening_1", "Open and close, 1 thread", ["1", "thread"]);
    let mut two = chart(
        "opening_2",
        "Open and close, 2 threads, each its own file",
        ["2", "threads"],
    );
    interleaved(
        &of,
        &mut [(Who::ONE, &mut one), (Who::TWO, &mut two)],
        effort,
    );
    let title = "Opens by two threads / by one, each its own file";
    let mut scaling = Chart::new("opening_scaling", title, Unit::Count, Typical::Median)
        .headed("2 threads", "/ 1");
    for of in &of {
        let (one, two) = (one.typical(of.name), two.typical(of.name));
        scaling.add(of.name, one.zip(two).map(|(one, two)| 2.0 * one / two));
    }
    report.groups.push(Group {
        title: "open and close by two threads, different files",
        charts: vec![one, two, scaling],
    });
}

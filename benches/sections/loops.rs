//! Read sections and updates: all rounds of all peers, interleaved.

use core::time::Duration;

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::inline;
use crate::peer::Peer;
use crate::peers::{self, Visitor};
use crate::rounds::{Apart, Contender};
use crate::work::{Figures, Round, Work};

pub(super) fn run(effort: Effort, report: &mut Report) {
    let mut contenders = Contenders::default();
    peers::visit_all(&mut contenders);
    for inline in inline::contenders() {
        match inline {
            Ok(contender) => contenders.all.push(contender),
            Err(why) => contenders.skipped.push(why),
        }
    }
    for why in contenders.skipped {
        report.skip(why);
    }
    // Before any thread is pinned: the peers' own threads would inherit that.
    for contender in &contenders.all {
        contender.warm_up();
    }
    report.groups.extend(measure(&contenders.all, effort));
}

/// What is told of each kind of work.
struct Charts {
    reads: Group,
    updates: Group,
    freed: Group,
}

impl Charts {
    fn new() -> Self {
        let chart = |key, title, upper, lower, typical| {
            Chart::new(key, title, Unit::Ns, typical).headed(upper, lower)
        };
        Self {
            reads: Group {
                title: "a read section: enter, dereference, leave",
                charts: vec![
                    chart(
                        "read",
                        "Read section, 1 thread",
                        "1",
                        "thread",
                        Typical::Min,
                    ),
                    chart(
                        "read_by_two",
                        "Read section, 2 threads",
                        "2",
                        "threads",
                        Typical::Median,
                    ),
                    chart(
                        "read_beside_updater",
                        "Read section beside an updater",
                        "beside",
                        "updater",
                        Typical::Median,
                    ),
                    chart(
                        "read_beside_stranger",
                        "Read section beside an updater of another pointer",
                        "updater",
                        "elsewhere",
                        Typical::Median,
                    ),
                ],
            },
            updates: Group {
                title: "an update of a 64-byte object: allocate, publish, retire; what it costs its caller",
                charts: vec![
                    chart(
                        "update",
                        "Update, caller's time",
                        "1",
                        "thread",
                        Typical::Min,
                    ),
                    chart(
                        "update_beside_reader",
                        "Update beside a reader, caller's time",
                        "beside",
                        "reader",
                        Typical::Median,
                    ),
                    chart(
                        "update_beside_stranger",
                        "Update beside a reader of another pointer, caller's time",
                        "reader",
                        "elsewhere",
                        Typical::Median,
                    ),
                    chart(
                        "update_by_two",
                        "Update by two threads, caller's time",
                        "2",
                        "threads",
                        Typical::Median,
                    ),
                ],
            },
            freed: Group {
                title: "the same until the last grace period is over and all is freed",
                charts: vec![
                    chart(
                        "freed",
                        "Allocate + retire + grace period + free",
                        "1",
                        "thread",
                        Typical::Min,
                    ),
                    chart(
                        "freed_beside_reader",
                        "Allocate + retire + grace period + free, beside a hot reader of the same pointer",
                        "beside",
                        "reader",
                        Typical::Median,
                    ),
                    chart(
                        "freed_beside_stranger",
                        "Allocate + retire + grace period + free, beside a hot reader of another pointer",
                        "reader",
                        "elsewhere",
                        Typical::Median,
                    ),
                    chart(
                        "freed_by_two",
                        "Allocate + retire + grace period + free, two updaters",
                        "2",
                        "threads",
                        Typical::Median,
                    ),
                ],
            },
        }
    }

    fn add(&mut self, name: &str, work: Work, figures: Figures) {
        let column = match work {
            Work::Read | Work::Update => 0,
            Work::ReadByTwo | Work::UpdateBesideReader => 1,
            Work::UpdateBesideStranger => 2,
            Work::UpdateByTwo => 3,
        };
        let read_column = match work {
            Work::UpdateBesideReader => 2,
            Work::UpdateBesideStranger => 3,
            _ => column,
        };
        self.reads.charts[read_column].add(name, figures.read);
        self.updates.charts[column].add(name, figures.update);
        self.freed.charts[column].add(name, figures.freed);
    }
}

fn measure(contenders: &[Box<dyn Contender>], effort: Effort) -> [Group; 3] {
    let blocks: Vec<[u64; Work::ALL.len()]> = contenders
        .iter()
        .map(|contender| {
            Work::ALL.map(|work| contender.calibrate(work, effort.loop_time, effort.pinned))
        })
        .collect();
    let mut charts = Charts::new();
    for number in 0..effort.rounds {
        for work in Work::ALL {
            for i in 0..contenders.len() {
                // The order of the table in the first round, then starting elsewhere each time.
                let i = (number + i) % contenders.len();
                let figures = contenders[i].run(Round {
                    work,
                    number,
                    blocks: blocks[i][work as usize],
                    pinned: effort.pinned,
                });
                charts.add(contenders[i].name(), work, figures);
            }
        }
    }
    [charts.reads, charts.updates, charts.freed]
}

#[derive(Default)]
struct Contenders {
    all: Vec<Box<dyn Contender>>,
    skipped: Vec<String>,
}

impl Visitor for Contenders {
    fn visit<P: Peer + 'static>(&mut self, peer: P) {
        self.all.push(Box::new(Apart(peer)));
    }

    fn skip(&mut self, why: String) {
        self.skipped.push(why);
    }
}

impl<P: Peer> Contender for Apart<P> {
    fn name(&self) -> &'static str {
        Contender::name(&self.0)
    }

    fn run(&self, round: Round) -> Figures {
        self.0.run(round)
    }

    fn calibrate(&self, work: Work, time: Duration, pinned: bool) -> u64 {
        self.0.calibrate(work, time, pinned)
    }

    fn warm_up(&self) {
        self.0.warm_up();
    }
}

//! All rounds of all peers, interleaved, and what they gave.

use core::time::Duration;

use crate::effort::Effort;
use crate::grace::{self, Latencies};
use crate::peer::Peer;
use crate::peers::{self, Visitor};
use crate::rounds::{Contender, Figures, Round, Work};
use crate::samples::Samples;

/// The figures of one peer in one kind of work.
#[derive(Clone, Debug, Default)]
pub struct Loop {
    /// Of a read.
    pub read: Samples,
    /// Of an update, for its caller.
    pub update: Samples,
    /// Of an update until all is freed.
    pub freed: Samples,
}

/// The loops of one peer.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whose.
    pub name: &'static str,
    loops: [Loop; Work::ALL.len()],
}

impl Row {
    /// The figures of one kind of work.
    pub fn of(&self, work: Work) -> &Loop {
        &self.loops[work as usize]
    }
}

/// Everything that was measured.
#[derive(Clone, Debug)]
pub struct Survey {
    /// How much of it.
    pub effort: Effort,
    /// The loops.
    pub rows: Vec<Row>,
    /// The waits; the bare membarrier first.
    pub latencies: Vec<Latencies>,
    /// Who could not run here, and why.
    pub skipped: Vec<String>,
}

impl Survey {
    /// Measures.
    pub fn take(effort: Effort) -> Self {
        let mut contenders = Contenders::default();
        peers::visit_all(&mut contenders);
        // Before any thread is pinned: the peers' own threads would inherit that.
        for contender in &contenders.all {
            contender.warm_up();
        }
        let rows = measure_loops(&contenders.all, effort);
        drop(contenders.all);
        Self {
            effort,
            rows,
            latencies: grace::measure_all(&peers::grace_periods(), effort),
            skipped: contenders.skipped,
        }
    }

    /// The row of that name.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The waits of that name.
    pub fn waits(&self, name: &str) -> Option<&Latencies> {
        self.latencies.iter().find(|waits| waits.name == name)
    }
}

fn measure_loops(contenders: &[Box<dyn Contender>], effort: Effort) -> Vec<Row> {
    let blocks: Vec<[u64; Work::ALL.len()]> = contenders
        .iter()
        .map(|contender| {
            Work::ALL.map(|work| contender.calibrate(work, effort.loop_time, effort.pinned))
        })
        .collect();
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|contender| Row {
            name: contender.name(),
            loops: Default::default(),
        })
        .collect();
    for number in 0..effort.rounds {
        for work in Work::ALL {
            for i in 0..contenders.len() {
                let i = (number + i) % contenders.len();
                let figures = contenders[i].run(Round {
                    work,
                    number,
                    blocks: blocks[i][work as usize],
                    pinned: effort.pinned,
                });
                let to = &mut rows[i].loops[work as usize];
                to.read.extend(figures.read);
                to.update.extend(figures.update);
                to.freed.extend(figures.freed);
            }
        }
    }
    rows
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

/// A peer on cache lines of its own, so that what it shares with others by chance is no part of it.
#[repr(align(128))]
struct Apart<P>(P);

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

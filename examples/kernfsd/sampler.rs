//! The thread that reads `/proc` and changes everything else: the tree, the tables, what is in use.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::complain;
use super::process::Process;
use super::procfs::{Procfs, Stat};
use super::report::Measured;
use super::schedule;
use super::state::State;
use super::table::{Arm, Hash};
use super::tree::{Directory, Tree};

/// A process and its directory.
#[derive(Debug)]
struct Known {
    process: Arc<Process>,
    directory: Directory,
    /// The number of the sampling that saw it last.
    seen: u64,
}

/// The sampler's own state; nobody else changes the tree or the tables.
#[derive(Debug)]
pub(super) struct Sampler {
    state: Arc<State>,
    tree: Tree,
    procfs: Procfs,
    known: HashMap<u32, Known>,
    /// The table in use, and since when.
    arm: (Arm, Instant),
    measured: [Measured; Arm::ALL.len()],
    samplings: u64,
    /// All lookups until the moment of the last sampling.
    counted: (u64, Instant),
    complained: bool,
}

impl Sampler {
    /// # Errors
    /// When there is no `/proc` to read.
    pub(super) fn new(state: Arc<State>, tree: Tree) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            arm: (state.arm(), now),
            state,
            tree,
            procfs: Procfs::open()?,
            known: HashMap::new(),
            measured: [(); Arm::ALL.len()].map(|()| Measured::new()),
            samplings: 0,
            counted: (0, now),
            complained: false,
        })
    }

    /// Works until the state is stopped; `cycle` is the length of the schedule. Gives back what was
    /// measured; what is known of the processes, and the tree, end with it.
    pub(super) fn run(mut self, cycle: Duration) -> [Measured; Arm::ALL.len()] {
        let start = Instant::now();
        let mut last: Option<(Instant, String)> = None;
        loop {
            // Before the look at the settings: a change after it does not let us sleep.
            let seen = self.state.wake.value();
            // Once at least, however late this thread comes.
            if self.state.stopped() && last.is_some() {
                break;
            }
            let config = &self.state.config;
            let interval = Duration::from_millis(config.interval_ms().into());
            let filter = config.filter();
            let (arm, arm_ends) = match config.backend() {
                Some(backend) => (Arm::new(Hash::Integer, backend), Duration::MAX),
                None => schedule::at(start.elapsed(), cycle),
            };
            if arm != self.arm.0 {
                self.switch(arm);
            }
            let due = last
                .as_ref()
                .is_none_or(|(at, under)| at.elapsed() >= interval || *under != filter);
            if due {
                let now = Instant::now();
                self.sample(&filter);
                last = Some((now, filter));
            }
            let next = last
                .as_ref()
                .map_or(interval, |(at, _)| interval.saturating_sub(at.elapsed()));
            let sleep = next.min(arm_ends.saturating_sub(start.elapsed()));
            self.state.wake.wait_while(seen, Some(sleep));
        }
        self.close_account(Instant::now());
        self.state.tables.clear(self.arm.0);
        self.measured
    }

    /// Fills another table, lets the readers use it, and empties the one before.
    fn switch(&mut self, arm: Arm) {
        let before = self.arm.0;
        self.state.tables.publish(arm, &self.processes());
        self.state.set_arm(arm);
        let now = Instant::now();
        self.close_account(now);
        self.arm = (arm, now);
        self.state.tables.clear(before);
    }

    fn close_account(&mut self, now: Instant) {
        let (arm, since) = self.arm;
        self.measured[arm.index()].time += now.saturating_duration_since(since);
    }

    /// Reads all processes once, and makes tree and table show them.
    fn sample(&mut self, filter: &str) {
        let pids = match self.procfs.pids() {
            Ok(pids) => pids,
            Err(e) => return self.complain(format_args!("/proc: {e}; the tree stays as it is")),
        };
        self.samplings += 1;
        let mut buffer = Vec::new();
        for pid in pids {
            match self.procfs.read(pid, &mut buffer) {
                Ok(Some(stat)) if stat.comm.contains(filter) => self.show(&stat),
                Ok(_) => (),
                Err(e) => self.keep(pid, &e),
            }
        }
        let Self {
            known, samplings, ..
        } = self;
        let gone: Vec<Known> = known
            .extract_if(|_, known| known.seen != *samplings)
            .map(|(_, known)| known)
            .collect();
        for known in gone {
            self.hide(&known);
        }

        let processes = self.processes();
        let update = self.state.tables.publish(self.arm.0, &processes);
        self.measured[self.arm.0.index()].add(update);
        self.tell(processes.len());
    }

    /// Makes the tree show one reading of one process.
    fn show(&mut self, stat: &Stat) {
        if let Some(known) = self.known.get(&stat.id.pid)
            && known.process.id != stat.id
            && let Some(known) = self.known.remove(&stat.id.pid)
        {
            // The pid was given to somebody else between two samplings.
            self.hide(&known);
        }
        let result = match self.known.entry(stat.id.pid) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.seen = self.samplings;
                let changes = known.process.update(stat);
                self.tree
                    .changed(&mut known.directory, &known.process, changes)
            }
            Entry::Vacant(place) => {
                let process = Arc::new(Process::new(stat));
                self.tree.add(&process).map(|directory| {
                    place.insert(Known {
                        process,
                        directory,
                        seen: self.samplings,
                    });
                })
            }
        };
        if let Err(e) = result {
            self.complain(format_args!("process {}: {e}", stat.id.pid));
        }
    }

    /// A process that cannot be read just now is shown as it was.
    fn keep(&mut self, pid: u32, error: &io::Error) {
        if let Some(known) = self.known.get_mut(&pid) {
            known.seen = self.samplings;
        }
        self.complain(format_args!(
            "/proc/{pid}/stat: {error}; what cannot be read is shown as it was, or not at all"
        ));
    }

    fn hide(&mut self, known: &Known) {
        if let Err(e) = self.tree.remove(&known.directory) {
            self.complain(format_args!("process {}: {e}", known.process.id.pid));
        }
    }

    fn processes(&self) -> Vec<Arc<Process>> {
        let process = |known: &Known| Arc::clone(&known.process);
        self.known.values().map(process).collect()
    }

    /// Publishes the counters, and wakes whoever waits for news.
    fn tell(&mut self, processes: usize) {
        let (before, then) = self.counted;
        let now = Instant::now();
        let total = Arm::ALL
            .map(|arm| self.state.total_lookups(arm))
            .iter()
            .sum();
        let nanos = now.duration_since(then).as_nanos().max(1);
        let rate = u128::from(total - before) * 1_000_000_000 / nanos;
        self.counted = (total, now);

        let state = &self.state;
        state
            .lookups_per_s
            .store(u64::try_from(rate).unwrap_or(u64::MAX), Relaxed);
        state.updates.fetch_add(1, Relaxed);
        state.processes.store(processes as u64, Relaxed);
        state.sampled.signal();
        self.tree.stats_changed();
    }

    /// Errors that are nobody's fault would come back with every sampling: the first one is told.
    fn complain(&mut self, what: fmt::Arguments<'_>) {
        if !self.complained {
            complain(what);
            self.complained = true;
        }
    }
}

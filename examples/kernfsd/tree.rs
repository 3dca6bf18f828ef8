//! The tree that the processes are shown in. Only the sampler changes it.
//!
//! ```text
//! procs/PID/{comm,state,rss_kb,threads,cpu_ms}
//! by-name/COMM.PID -> ../procs/PID
//! stats/{lookups_per_s,updates,grace_periods,callbacks_pending,processes}
//! config/{interval_ms,filter,backend}
//! ```
//!
//! Hot plug is what kernfs is for: `remove` returns when no callback of the directory runs any more; who
//! still has one of its files open gets ENODEV from then on, and the process's record is freed when the
//! last one lets go of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kernfs::{Dir, Errno, File, Node, Result, Root, ro, rw};
use urcu::Memb;

use super::process::{Changes, Field, Process};
use super::state::{Refused, State};
use super::table::Backend;

const DIR_MODE: u32 = 0o755;

/// The directory of one process, and the link to it.
#[derive(Debug)]
pub(super) struct Directory {
    dir: Dir,
    files: [File; Field::ALL.len()],
    link: Node,
}

/// A number under `stats/`.
type Counter = fn(&State) -> u64;

const COUNTERS: [(&str, Counter); 5] = [
    ("lookups_per_s", |state| state.lookups_per_s.load(Relaxed)),
    ("updates", |state| state.updates.load(Relaxed)),
    ("grace_periods", |_| Memb::stats().grace_periods),
    ("callbacks_pending", |_| Memb::stats().callbacks_pending),
    ("processes", |state| state.processes.load(Relaxed)),
];

/// The whole tree.
#[derive(Debug)]
pub(super) struct Tree {
    state: Arc<State>,
    procs: Dir,
    by_name: Dir,
    /// The files of `COUNTERS`, each with the value that its pollers were told last.
    counters: Vec<(File, Counter, u64)>,
}

impl From<Refused> for Errno {
    fn from(_: Refused) -> Self {
        Self::EINVAL
    }
}

impl Tree {
    pub(super) fn new(root: &Root, state: &Arc<State>) -> Result<Self> {
        let root = root.dir();
        let stats = root.create_dir("stats", DIR_MODE)?;
        let mut counters = Vec::new();
        for (name, counter) in COUNTERS {
            let shown = Arc::clone(state);
            let file = stats.attr(name, ro(move || counter(&shown)))?;
            counters.push((file, counter, 0));
        }
        config(&root.create_dir("config", DIR_MODE)?, state)?;
        Ok(Self {
            state: Arc::clone(state),
            procs: root.create_dir("procs", DIR_MODE)?,
            by_name: root.create_dir("by-name", DIR_MODE)?,
            counters,
        })
    }

    /// Makes the directory of a process.
    pub(super) fn add(&self, process: &Arc<Process>) -> Result<Directory> {
        let dir = self
            .procs
            .create_dir(process.id.pid.to_string(), DIR_MODE)?;
        self.fill(&dir, process).inspect_err(|_| {
            // Half a directory is worse than none; the next sampling tries again.
            let _ = dir.remove();
        })
    }

    fn fill(&self, dir: &Dir, process: &Arc<Process>) -> Result<Directory> {
        let attr = |field: Field| {
            let process = Arc::clone(process);
            dir.attr(field.name(), ro(move || process.show(field)))
        };
        let [comm, state, rss_kb, threads, cpu_ms] = Field::ALL.map(attr);
        Ok(Directory {
            files: [comm?, state?, rss_kb?, threads?, cpu_ms?],
            link: self.link(dir, process)?,
            dir: dir.clone(),
        })
    }

    fn link(&self, dir: &Dir, process: &Process) -> Result<Node> {
        let name = format!("{}.{}", process.comm(), process.id.pid);
        Ok(self.by_name.create_link(name, dir)?.into())
    }

    /// Tells pollers which files changed; a new name gets a new link.
    pub(super) fn changed(
        &self,
        directory: &mut Directory,
        process: &Process,
        changes: Changes,
    ) -> Result<()> {
        for (file, changed) in directory.files.iter().zip(changes) {
            if changed {
                file.notify();
            }
        }
        let [renamed, ..] = changes;
        if renamed {
            directory.link.remove()?;
            directory.link = self.link(&directory.dir, process)?;
        }
        Ok(())
    }

    /// The process is gone. Returns when nobody is inside its callbacks.
    pub(super) fn remove(&self, directory: &Directory) -> Result<()> {
        directory.link.remove()?;
        directory.dir.remove()?;
        // As in sysfs, who sleeps in poll(2) does not hear of a removal. Here he shall: the next read
        // tells him ENODEV.
        directory.files.iter().for_each(File::notify);
        Ok(())
    }

    /// Tells pollers of the counters that changed since the last time.
    pub(super) fn stats_changed(&mut self) {
        for (file, counter, told) in &mut self.counters {
            let now = counter(&self.state);
            if *told != now {
                *told = now;
                file.notify();
            }
        }
    }
}

/// The files that the user writes. Each tells the sampler, and nonsense changes nothing.
fn config(dir: &Dir, state: &Arc<State>) -> Result<()> {
    let (get, set) = (Arc::clone(state), Arc::clone(state));
    dir.attr(
        "interval_ms",
        rw(
            move || get.config.interval_ms(),
            move |value: u32| {
                set.config.set_interval_ms(value)?;
                set.wake.signal();
                Ok::<_, Errno>(())
            },
        ),
    )?;
    let (get, set) = (Arc::clone(state), Arc::clone(state));
    dir.attr(
        "filter",
        rw(
            move || get.config.filter(),
            move |value: String| {
                set.config.set_filter(&value)?;
                set.wake.signal();
                Ok::<_, Errno>(())
            },
        ),
    )?;
    let (get, set) = (Arc::clone(state), Arc::clone(state));
    dir.attr(
        "backend",
        rw(
            move || get.config.backend().unwrap_or(get.arm().backend),
            move |value: Backend| {
                set.config.set_backend(value);
                set.wake.signal();
            },
        ),
    )?;
    Ok(())
}

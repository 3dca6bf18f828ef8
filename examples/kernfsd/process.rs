//! The record of one process: what the table holds and what the files show.
//!
//! One [`Process`] is shared by the lookup table, the files of its directory and the sampler, the only
//! one who writes. The numbers are atomics; the name is a pointer that readers follow under RCU, because
//! a string cannot be stored in one step.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use urcu::{Memb, Rcu};

use super::procfs::{Identity, Stat};

/// The files of a process's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Comm,
    State,
    RssKb,
    Threads,
    CpuMs,
}

impl Field {
    pub(super) const ALL: [Self; 5] = [
        Self::Comm,
        Self::State,
        Self::RssKb,
        Self::Threads,
        Self::CpuMs,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Comm => "comm",
            Self::State => "state",
            Self::RssKb => "rss_kb",
            Self::Threads => "threads",
            Self::CpuMs => "cpu_ms",
        }
    }
}

/// Which fields of a record an update changed.
pub(super) type Changes = [bool; Field::ALL.len()];

/// How many records there are, for the end, when there should be none.
static RECORDS: AtomicU64 = AtomicU64::new(0);

/// The number of records that are not freed.
pub(super) fn records() -> u64 {
    RECORDS.load(Relaxed)
}

/// One process. Orderings are Relaxed: each value stands for itself.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: Identity,
    comm: Rcu<String>,
    state: AtomicU8,
    rss_kb: AtomicU64,
    threads: AtomicU64,
    cpu_ms: AtomicU64,
}

impl Process {
    pub(super) fn new(stat: &Stat) -> Self {
        RECORDS.fetch_add(1, Relaxed);
        Self {
            id: stat.id,
            comm: Rcu::new(stat.comm.clone()),
            state: AtomicU8::new(stat.state),
            rss_kb: AtomicU64::new(stat.rss_kb),
            threads: AtomicU64::new(stat.threads),
            cpu_ms: AtomicU64::new(stat.cpu_ms),
        }
    }

    /// Takes over a later reading of the same process.
    pub(super) fn update(&self, stat: &Stat) -> Changes {
        let renamed = !self.has_name(&stat.comm);
        if renamed {
            self.comm.assign(stat.comm.clone());
        }
        // In the order of `Field::ALL`.
        [
            renamed,
            self.state.swap(stat.state, Relaxed) != stat.state,
            self.rss_kb.swap(stat.rss_kb, Relaxed) != stat.rss_kb,
            self.threads.swap(stat.threads, Relaxed) != stat.threads,
            self.cpu_ms.swap(stat.cpu_ms, Relaxed) != stat.cpu_ms,
        ]
    }

    /// What the field's file shows.
    pub(super) fn show(&self, field: Field) -> String {
        match field {
            Field::Comm => self.comm(),
            Field::State => char::from(self.state.load(Relaxed)).to_string(),
            Field::RssKb => self.rss_kb.load(Relaxed).to_string(),
            Field::Threads => self.threads.load(Relaxed).to_string(),
            Field::CpuMs => self.cpu_ms.load(Relaxed).to_string(),
        }
    }

    /// The name, copied inside a read section: nothing that can block or grow old happens there.
    pub(super) fn comm(&self) -> String {
        let guard = Memb::read_lock();
        self.comm.dereference(&guard).cloned().unwrap_or_default()
    }

    /// A number that a lookup can read.
    #[inline]
    pub(super) fn rss_kb(&self) -> u64 {
        self.rss_kb.load(Relaxed)
    }

    fn has_name(&self, name: &str) -> bool {
        let guard = Memb::read_lock();
        self.comm
            .dereference(&guard)
            .is_some_and(|comm| comm == name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        RECORDS.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_tells_what_it_changed() {
        let mut stat = Stat {
            id: Identity { pid: 7, start: 1 },
            comm: "sh".to_owned(),
            state: b'R',
            rss_kb: 10,
            threads: 1,
            cpu_ms: 0,
        };
        let process = Process::new(&stat);
        assert_eq!(process.update(&stat), [false; 5]);
        stat.comm = "sleep".to_owned();
        stat.rss_kb = 12;
        assert_eq!(process.update(&stat), [true, false, true, false, false]);
        let shown = Field::ALL.map(|field| process.show(field));
        assert_eq!(shown, ["sleep", "R", "12", "1", "0"]);
    }
}

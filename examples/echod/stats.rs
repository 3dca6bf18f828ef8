//! What is counted, and the table at the end of a run.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows. Each stands for itself, so all orderings are Relaxed.
#[derive(Debug)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

pub(super) static ACCEPTED: Counter = Counter::new();
pub(super) static REFUSED: Counter = Counter::new();
pub(super) static KICKED: Counter = Counter::new();
pub(super) static IDLE: Counter = Counter::new();
pub(super) static BYTES: Counter = Counter::new();
pub(super) static SCRAPES: Counter = Counter::new();
pub(super) static RELOADS: Counter = Counter::new();
pub(super) static BAD_RELOADS: Counter = Counter::new();
/// Answers that its own clients did not expect; no file.
pub(super) static WRONG: Counter = Counter::new();

/// The files in `stats`, and what they are.
pub(super) const FILES: [(&str, &Counter, &str); 8] = [
    ("accepted_total", &ACCEPTED, "Connections accepted."),
    (
        "refused_total",
        &REFUSED,
        "Connections refused, as there were too many.",
    ),
    (
        "kicked_total",
        &KICKED,
        "Connections closed through their file kick.",
    ),
    (
        "idle_closed_total",
        &IDLE,
        "Connections closed as they said nothing.",
    ),
    ("bytes_total", &BYTES, "Bytes echoed."),
    (
        "scrapes_total",
        &SCRAPES,
        "Times that the metrics were read.",
    ),
    (
        "reloads_total",
        &RELOADS,
        "Times that the configuration was read again.",
    ),
    (
        "refused_reloads_total",
        &BAD_RELOADS,
        "Configurations that were not taken.",
    ),
];

/// What is still there when everything has been taken down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) connections: usize,
    pub(super) nodes: u64,
    pub(super) callbacks: u64,
    pub(super) mounts: u64,
}

impl Report {
    pub(super) fn is_good(self) -> bool {
        self.is_nothing() && WRONG.get() == 0
    }

    fn is_nothing(self) -> bool {
        self.connections == 0 && self.nodes == 0 && self.callbacks == 0 && self.mounts == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "connections: {} served, {} refused; {} of them kicked, {} closed as idle",
            ACCEPTED.get(),
            REFUSED.get(),
            KICKED.get(),
            IDLE.get()
        )?;
        writeln!(f, "bytes:       {} received and sent back", BYTES.get())?;
        writeln!(f, "metrics:     {} times collected", SCRAPES.get())?;
        writeln!(
            f,
            "reloads:     {} done, {} refused",
            RELOADS.get(),
            BAD_RELOADS.get()
        )?;
        if WRONG.get() != 0 {
            writeln!(f, "wrong:       {} answers", WRONG.get())?;
        }
        let Self {
            connections,
            nodes,
            callbacks,
            mounts,
        } = self;
        write!(
            f,
            "left:        {connections} connections, {nodes} nodes, {callbacks} callbacks, {mounts} mounts"
        )?;
        match self.is_nothing() {
            true => f.write_str(": nothing"),
            false => Ok(()),
        }
    }
}

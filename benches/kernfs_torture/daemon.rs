//! What all threads of the daemon share.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Mutex, PoisonError};

use benches::dice::Dice;

use crate::controls::Broken;
use crate::faults::Faults;
use crate::gate::Gate;
use crate::options::Options;

/// So many threads of the mount may be stuck: fewer than there are clients.
pub(crate) const THREADS: usize = 5;

/// The daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) options: Options,
    /// Of the texts of this run.
    pub(crate) key: u64,
    pub(crate) gate: Gate,
    pub(crate) faults: Faults,
    /// Objects behind files that were not dropped.
    pub(crate) objects: AtomicI64,
    /// Open files that were not released, of those files that hear of it.
    pub(crate) unreleased: AtomicI64,
    /// What was kept for ever on purpose.
    pub(crate) kept: AtomicU64,
    /// What the owner does: how often he did something, and what.
    pub(crate) deeds: AtomicU64,
    deed: Mutex<&'static str>,
    over: AtomicBool,
}

impl Daemon {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            key: Dice::new(options.seed, u64::MAX - 1).below(u64::MAX),
            options: options.clone(),
            gate: Gate::default(),
            faults: Faults::default(),
            objects: AtomicI64::new(0),
            unreleased: AtomicI64::new(0),
            kept: AtomicU64::new(0),
            deeds: AtomicU64::new(0),
            deed: Mutex::new("nothing yet"),
            over: AtomicBool::new(false),
        }
    }

    pub(crate) fn dice(&self, stream: u64) -> Dice {
        Dice::new(self.options.seed, (1 << 32) + stream)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Relaxed);
        self.gate.end();
    }

    /// Whether something should have been kept for ever, and nothing was yet.
    pub(crate) fn has_to_keep(&self) -> bool {
        let keeps = [Broken::Node, Broken::File, Broken::Descriptor];
        let wanted = keeps.iter().any(|fault| self.options.is_broken(*fault));
        wanted && self.kept.load(Relaxed) == 0
    }

    /// The owner begins to do something.
    pub(crate) fn begins(&self, deed: &'static str) {
        *self.deed.lock().unwrap_or_else(PoisonError::into_inner) = deed;
        self.deeds.fetch_add(1, Relaxed);
    }

    /// What he is doing.
    pub(crate) fn deed(&self) -> &'static str {
        *self.deed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

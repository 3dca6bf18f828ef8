//! liburcu's order of statements, for a test that sees it lose a resize.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::Sender;

/// Who is told to resize; nobody: the map does it itself, as it is.
#[derive(Debug)]
pub(super) struct Fault {
    worker: OnceLock<Sender<bool>>,
    initiated: AtomicBool,
}

impl Fault {
    pub(super) const fn new() -> Self {
        Self {
            worker: OnceLock::new(),
            initiated: AtomicBool::new(false),
        }
    }

    /// From now on a worker resizes, which says when it [has](Self::served).
    pub(super) fn set_worker(&self, worker: Sender<bool>) {
        self.worker.set(worker).expect("set once");
    }

    /// Whether a worker sees to it. `__cds_lfht_resize_lazy_launch`: queue the work, then say so.
    pub(super) fn considers(&self) -> bool {
        let Some(worker) = self.worker.get() else {
            return false;
        };
        if !self.initiated.load(SeqCst) {
            worker
                .send(true)
                .expect("the worker lives as long as the map is used");
            self.initiated.store(true, SeqCst);
        }
        true
    }

    /// The worker has resized.
    pub(super) fn served(&self) {
        self.initiated.store(false, SeqCst);
    }
}

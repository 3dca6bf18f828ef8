//! liburcu's order of statements, and a thread that loses its processor between two of them: a resize is lost.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::Sender;

/// Who is told to resize; nobody: the map does it itself, as it is.
#[derive(Debug)]
pub(super) struct Fault {
    worker: OnceLock<Sender<bool>>,
    initiated: AtomicBool,
    queued: AtomicUsize,
    served: AtomicUsize,
}

impl Fault {
    pub(super) const fn new() -> Self {
        Self {
            worker: OnceLock::new(),
            initiated: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
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
            let is_first = self.queued.fetch_add(1, SeqCst) == 0;
            worker
                .send(true)
                .expect("the worker lives as long as the map is used");
            // Here the kernel may let the worker run. Once it does, until nothing is queued any more.
            while is_first && self.served.load(SeqCst) < self.queued.load(SeqCst) {
                std::thread::yield_now();
            }
            self.initiated.store(true, SeqCst);
        }
        true
    }

    /// The worker has resized.
    pub(super) fn served(&self) {
        self.initiated.store(false, SeqCst);
        self.served.fetch_add(1, SeqCst);
    }
}

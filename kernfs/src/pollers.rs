//! Who waits for single files: tasks, event descriptors, callbacks. Told by a tree's notify worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::caught::caught_and_told;

/// What a poller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The file was notified, once or more often since the last time.
    Changed,
    /// The node was deactivated: it is removed or hidden.
    Gone,
}

/// Somebody who waits for a file.
pub(crate) trait Poller: Send + Sync {
    /// Runs on the worker, without locks. May be a user's code.
    fn tell(&self, news: News);
}

type OfFiles = HashMap<u64, Vec<Arc<dyn Poller>>>;

/// The pollers of a tree's files, by their ids.
#[derive(Default)]
pub(crate) struct Pollers(Mutex<OfFiles>);

impl Pollers {
    fn lock(&self) -> MutexGuard<'_, OfFiles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, file: u64, poller: Arc<dyn Poller>) {
        self.lock().entry(file).or_default().push(poller);
    }

    /// The poller is dropped after the lock: that may be a user's code.
    pub(crate) fn remove(&self, file: u64, poller: &Arc<dyn Poller>) {
        let mut all = self.lock();
        let Some(of_file) = all.get_mut(&file) else {
            return;
        };
        let at = of_file.iter().position(|p| Arc::ptr_eq(p, poller));
        let removed = at.map(|at| of_file.swap_remove(at));
        if of_file.is_empty() {
            all.remove(&file);
        }
        drop(all);
        drop(removed);
    }

    pub(crate) fn has(&self, file: u64) -> bool {
        self.lock().contains_key(&file)
    }

    /// Tells all pollers of a file.
    pub(crate) fn tell(&self, file: u64, news: News) {
        let pollers = self.lock().get(&file).cloned();
        for poller in pollers.into_iter().flatten() {
            let _ = caught_and_told("a poller", || poller.tell(news));
            // The last one may go here: its drop is a user's code too.
            let _ = caught_and_told("a poller", || drop(poller));
        }
    }
}

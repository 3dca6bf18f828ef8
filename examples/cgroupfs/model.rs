//! The lock, and how it is taken.
//!
//! Whoever removes a directory holds the lock and waits until no callback of its files runs. A callback that waited for
//! the lock meanwhile would wait for ever: for the remover, who waits for it. So each callback that needs the lock does
//! what cgroup does in the kernel:
//!
//! 1. **pin**: own what it will touch. Here that is an `Arc` of the model and the number of a group, no reference to it;
//! 2. **break**: [`Cx::break_protection`](kernfs::Cx::break_protection), so that a removal passes it by;
//! 3. **lock**: [`Model::work`];
//! 4. **alive?** Between 2 and 3 the group may have gone: then it is ENODEV;
//! 5. **work**, and tell of what changed;
//! 6. **unlock**, and un-break, by drops in this order.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kernfs::{Errno, File};

use super::groups::{Groups, Id};
use super::limiter::{Limiter, Say};
use super::timer::Wish;

/// What a group has in the tree beside what nobody looks at again.
#[derive(Debug)]
pub(super) struct Files {
    /// The root has none.
    pub(super) events: Option<File>,
    pub(super) procs: File,
    pub(super) pressure: Vec<File>,
}

/// For the line at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) made: u64,
    pub(super) removed: u64,
    /// How often a `cgroup.events` had another text.
    pub(super) changes: u64,
    pub(super) notifications: u64,
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct State {
    pub(super) groups: Groups,
    pub(super) files: HashMap<Id, Files>,
    limiters: HashMap<Id, Limiter>,
    pub(super) counts: Counts,
    timer: Sender<Wish>,
}

#[derive(Debug)]
pub(super) struct Model(Mutex<State>);

impl Model {
    pub(super) fn new(root: Id, timer: Sender<Wish>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            groups: Groups::new(root),
            files: HashMap::new(),
            limiters: HashMap::new(),
            counts: Counts::default(),
            timer,
        })))
    }

    /// Works on a group under the lock. The caller's protection is broken.
    ///
    /// # Errors
    /// ENODEV: the group is gone. And what `work` returns.
    pub(super) fn work<T, E: From<Errno>>(
        &self,
        id: Id,
        work: impl FnOnce(&mut State) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = self.lock();
        state.groups.get(id)?;
        state.groups.reap();
        let result = work(&mut state);
        state.tell();
        result
    }

    /// The files of the root, which nobody made by mkdir.
    pub(super) fn adopt(&self, root: Id, files: Files) {
        self.lock().files.insert(root, files);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The timer: it is time to tell of a group that has changed.
    pub(super) fn is_due(&self, id: Id) {
        let mut state = self.lock();
        let limiter = state.limiters.get_mut(&id);
        if limiter.is_some_and(|limiter| limiter.is_due(Instant::now())) {
            state.notify(id);
        }
    }

    /// The timer: looks who has ended. Tells whether anybody is left.
    pub(super) fn reap(&self) -> bool {
        let mut state = self.lock();
        state.groups.reap();
        state.tell();
        state.groups.has_tasks()
    }
}

impl State {
    /// Tells of all changes of `cgroup.events`, not too often.
    fn tell(&mut self) {
        for id in self.groups.changed() {
            self.counts.changes += 1;
            match self.limiters.entry(id).or_default().changed(Instant::now()) {
                Say::Now => self.notify(id),
                // It has ended only when the tree has.
                Say::At(when) => drop(self.timer.send(Wish::At(when, id))),
                Say::Arranged => {}
            }
        }
    }

    fn notify(&mut self, id: Id) {
        // Needs no lock, waits for nobody: it may be called with any held.
        if let Some(file) = self.files.get(&id).and_then(|files| files.events.as_ref()) {
            self.counts.notifications += 1;
            file.notify();
        }
    }

    /// A process came: somebody has to look when it ends.
    pub(super) fn watch_tasks(&self) {
        drop(self.timer.send(Wish::Tasks));
    }

    /// A group was removed. Who is late to tell of it finds nothing.
    pub(super) fn forget(&mut self, id: Id) {
        self.limiters.remove(&id);
        self.files.remove(&id);
        self.counts.removed += 1;
    }
}

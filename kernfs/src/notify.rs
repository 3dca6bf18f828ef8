//! From `notify` in any context to the listeners of a tree.
//!
//! The kernel keeps a spinlocked list and a work item for this, after an llist version was reverted in
//! 2022: a file notified twice was linked twice. [`urcu::llist`] refuses that with a flag per file. The
//! notifier pushes its file's ticket and wakes the worker: no lock, no allocation, no free, so it may be a
//! signal handler. The worker clears the flag before it delivers; a change during a delivery queues again.
//! Tickets hold the id alone, so a queued file may be freed.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use urcu::Event;
use urcu::llist::{Linked, Llist, Pushed};

use crate::error::{Error, Result};
use crate::sys;
use crate::watch::Watch;

/// A file's place in the queue; the value is its id.
pub(crate) type Ticket = Arc<Linked<u64>>;

/// The queue of one tree.
pub(crate) struct Queue {
    list: Llist<u64>,
    /// How many listeners there are. Nothing is queued while it is 0.
    watched: AtomicUsize,
    /// Wakes the worker.
    wake: Event,
    /// Counts the worker's finished passes over the list.
    passes: Event,
    delivered: AtomicU64,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    watches: Arc<Vec<(u64, Arc<dyn Watch>)>>,
    next: u64,
    worker: Option<Worker>,
}

struct Worker {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Queue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            list: Llist::new(),
            watched: AtomicUsize::new(0),
            wake: Event::new(),
            passes: Event::new(),
            delivered: AtomicU64::new(0),
            registry: Mutex::default(),
        })
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a file was given to the listeners.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Queues a file, whose event counter was counted up before. Async-signal-safe.
    pub(crate) fn push(&self, ticket: &Ticket) {
        // Pairs with the fence in `watch`. If we miss a new listener here, its fence comes after ours, and
        // what it reads of the file after it was registered is as new as the notification.
        fence(Ordering::SeqCst);
        if self.watched.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Behind or AlreadyQueued: whoever queued first has woken the worker, or is about to, and the
        // worker has not taken the list yet.
        if self.list.push(ticket) == Pushed::First {
            self.wake.signal();
        }
    }

    /// The listeners, for calls outside of all locks.
    pub(crate) fn watches(&self) -> Arc<Vec<(u64, Arc<dyn Watch>)>> {
        if self.watched.load(Ordering::Relaxed) == 0 {
            return Arc::default();
        }
        Arc::clone(&self.registry().watches)
    }

    /// Adds a listener; the first one starts the worker.
    pub(crate) fn watch(self: &Arc<Self>, watch: Arc<dyn Watch>) -> Result<Watching> {
        let mut registry = self.registry();
        if registry.worker.is_none() {
            registry.worker = Some(self.start()?);
        }
        let id = registry.next;
        registry.next += 1;
        Arc::make_mut(&mut registry.watches).push((id, watch));
        self.watched.fetch_add(1, Ordering::Relaxed);
        drop(registry);
        fence(Ordering::SeqCst); // pairs with the fence in `push`
        Ok(Watching {
            queue: Arc::clone(self),
            id,
        })
    }

    fn start(self: &Arc<Self>) -> Result<Worker> {
        let stop = Arc::new(AtomicBool::new(false));
        let (queue, stopped) = (Arc::clone(self), Arc::clone(&stop));
        let worker = thread::Builder::new().name("kernfs-notify".into());
        let thread = sys::with_signals_blocked(|| worker.spawn(move || queue.work(&stopped)))
            .map_err(Error::from)?;
        Ok(Worker { stop, thread })
    }

    fn work(&self, stop: &AtomicBool) {
        // Acquire pairs with the Release in `Watching::drop`.
        while !stop.load(Ordering::Acquire) {
            let seen = self.wake.value();
            for ticket in self.list.take_all() {
                self.deliver(**ticket);
            }
            self.passes.signal();
            if !stop.load(Ordering::Acquire) {
                self.wake.wait_while(seen, None);
            }
        }
    }

    fn deliver(&self, file: u64) {
        for (_, watch) in self.watches().iter() {
            if catch_unwind(AssertUnwindSafe(|| watch.notified(file))).is_err() {
                let _ = writeln!(std::io::stderr(), "kernfs: a listener panicked");
            }
        }
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("watched", &self.watched)
            .field("delivered", &self.delivered)
            .finish()
    }
}

/// A registered [`Watch`]. Dropping it ends the registration.
///
/// A call that had begun may still end after the drop, unless the last listener goes: then the worker has
/// ended too.
#[must_use = "dropping it ends the registration"]
pub struct Watching {
    queue: Arc<Queue>,
    id: u64,
}

impl Watching {
    /// Waits until all that was notified before this call has been told to the listeners. Must not be
    /// called from one.
    pub fn flush(&self) {
        let start = self.queue.passes.value();
        // The pass that runs now may have taken the list before; the one after it has not.
        loop {
            let done = self.queue.passes.value();
            if done.wrapping_sub(start) >= 2 {
                return;
            }
            self.queue.wake.signal();
            self.queue.passes.wait_while(done, None);
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut registry = self.queue.registry();
        let before = registry.watches.len();
        Arc::make_mut(&mut registry.watches).retain(|(id, _)| *id != self.id);
        debug_assert_eq!(before, registry.watches.len() + 1);
        self.queue.watched.fetch_sub(1, Ordering::Relaxed);
        if !registry.watches.is_empty() {
            return;
        }
        let worker = registry.worker.take();
        drop(registry);
        if let Some(Worker { stop, thread }) = worker {
            stop.store(true, Ordering::Release);
            self.queue.wake.signal();
            // A listener that drops the registration runs on the worker: it ends by itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").field("id", &self.id).finish()
    }
}

//! From `notify` in any context to the listeners of a tree.
//!
//! The kernel keeps a spinlocked list and a work item for this, after an llist version was reverted in
//! 2022: a file notified twice was linked twice. [`urcu::llist`] refuses that with a flag per file. The
//! notifier pushes its file's ticket and wakes the worker: no lock, no allocation, no free, so it may be a
//! signal handler. The worker clears the flag before it delivers; a change during a delivery queues again.
//! Tickets hold the id alone, so a queued file may be freed.

use core::cell::Cell;
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use urcu::Event;

use crate::caught::caught_and_told;
use crate::error::{Errno, Error, Result};
use crate::pending::Pending;
use crate::pollers::{News, Pollers};
use crate::sys;
use crate::watch::Watch;

pub(crate) use crate::pending::Ticket;

/// Listeners, with the numbers of their registrations.
type Watches = Vec<(u64, Arc<dyn Watch>)>;

/// The queue of one tree.
pub(crate) struct Queue {
    /// Its listeners are the users of the registry.
    pending: Pending,
    /// Who waits for single files.
    pub(crate) pollers: Pollers,
    /// Files that were deactivated, whose pollers have to hear of it.
    gone: Mutex<Vec<u64>>,
    /// Held by the worker: one that is started again begins when the last one has ended.
    working: Mutex<()>,
    /// Counts the worker's finished passes over the list.
    passes: Event,
    delivered: AtomicU64,
    registry: Mutex<Registry>,
    /// The process that it was made in.
    process: u32,
}

#[derive(Default)]
struct Registry {
    watches: Arc<Watches>,
    next: u64,
    /// Who needs the worker: listeners, and open files with pollers.
    users: usize,
    worker: Option<Worker>,
}

struct Worker {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Queue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            pending: Pending::new(),
            pollers: Pollers::default(),
            gone: Mutex::default(),
            working: Mutex::default(),
            passes: Event::new(),
            delivered: AtomicU64::new(0),
            registry: Mutex::default(),
            process: sys::process(),
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
        self.pending.push(ticket);
    }

    /// Has the pollers of a deactivated file told. For any context that may take a lock; the callbacks are the
    /// worker's.
    pub(crate) fn push_gone(&self, file: u64) {
        // Who registers a poller adds it, then looks at the node: he finds that deactivated, or he is found here. The
        // lock of the pollers orders the two.
        if self.pending.is_heard() && self.pollers.has(file) {
            self.gone().push(file);
            self.pending.wake();
        }
    }

    fn gone(&self) -> MutexGuard<'_, Vec<u64>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The listeners, for calls outside of all locks; `None` if there are none.
    fn watches(&self) -> Option<Arc<Watches>> {
        if !self.pending.has_listeners() {
            return None;
        }
        Some(Arc::clone(&self.registry().watches)).filter(|watches| !watches.is_empty())
    }

    /// Whether anybody would hear what is told now.
    pub(crate) fn is_watched(&self) -> bool {
        self.pending.has_listeners() && !self.registry().watches.is_empty()
    }

    /// Tells the listeners. No lock is held. One that panics is told, and keeps neither the others from it nor the
    /// caller from going on.
    pub(crate) fn tell(&self, news: impl Fn(&dyn Watch)) {
        let Some(watches) = self.watches() else {
            return;
        };
        for (_, watch) in watches.iter() {
            let _ = caught_and_told("a listener", || news(&**watch));
        }
        // The last ones of listeners may go here: their drops are the user's code too.
        let _ = caught_and_told("a listener", || drop(watches));
    }

    /// Adds a listener; the first one starts the worker.
    pub(crate) fn watch(self: &Arc<Self>, watch: Arc<dyn Watch>) -> Result<Watching> {
        let mut registry = self.registry_for_new()?;
        self.join(&mut registry)?;
        let id = registry.next;
        registry.next += 1;
        Arc::make_mut(&mut registry.watches).push((id, watch));
        drop(registry);
        Ok(Watching {
            queue: Arc::clone(self),
            id,
        })
    }

    /// Has the worker run as long as the result lives.
    pub(crate) fn user(self: &Arc<Self>) -> Result<User> {
        self.join(&mut *self.registry_for_new()?)?;
        Ok(User(Arc::clone(self)))
    }

    /// Whether this is the process that has the worker.
    fn is_ours(&self) -> bool {
        self.process == sys::process()
    }

    /// Whether this thread is the worker, or one that ends.
    fn is_on_this_thread(&self) -> bool {
        ptr::eq(WORKS_FOR.get(), self)
    }

    /// The registry, for who comes.
    ///
    /// # Errors
    /// ENOTCONN: in a forked child.
    fn registry_for_new(&self) -> Result<MutexGuard<'_, Registry>> {
        match self.is_ours() {
            true => Ok(self.registry()),
            false => Err(Errno::ENOTCONN.because("listening in a forked child")),
        }
    }

    /// One user more, who has to call `leave`.
    fn join(self: &Arc<Self>, registry: &mut Registry) -> Result<()> {
        if registry.worker.is_none() {
            registry.worker = Some(self.start()?);
        }
        registry.users += 1;
        self.pending.listen();
        Ok(())
    }

    /// One user less; the last one takes the worker along.
    fn leave(&self, registry: &mut Registry) -> Option<Worker> {
        registry.users -= 1;
        self.pending.forsake();
        let worker = registry.worker.take_if(|_| registry.users == 0)?;
        worker.stop.store(true, Ordering::Release);
        self.pending.wake();
        Some(worker)
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
        WORKS_FOR.set(self);
        let _working = self.working.lock();
        // Acquire pairs with the Release in `leave`.
        while !stop.load(Ordering::Acquire) {
            self.pending.pass(
                |file| self.deliver(file),
                || {
                    let gone = core::mem::take(&mut *self.gone());
                    for file in gone {
                        self.pollers.tell(file, News::Gone);
                    }
                    self.passes.signal();
                    stop.load(Ordering::Acquire)
                },
            );
        }
    }

    fn deliver(&self, file: u64) {
        self.pollers.tell(file, News::Changed);
        self.tell(|watch| watch.notified(file));
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("pending", &self.pending)
            .field("delivered", &self.delivered)
            .finish()
    }
}

/// A registered [`Watch`]. Dropping it ends the registration.
///
/// A call that had begun may still end after the drop, unless this was the last listener and nobody waits for changes:
/// then the worker has ended too.
#[must_use = "dropping it ends the registration"]
pub struct Watching {
    queue: Arc<Queue>,
    id: u64,
}

thread_local! {
    /// The queue whose worker this thread is.
    static WORKS_FOR: Cell<*const Queue> = const { Cell::new(ptr::null()) };
}

/// Keeps the worker running.
#[must_use]
#[derive(Debug)]
pub(crate) struct User(Arc<Queue>);

impl Drop for User {
    fn drop(&mut self) {
        if !self.0.is_ours() {
            return; // a forked child, which has no worker
        }
        // Nobody waits for the worker's end: what it calls may wait for the dropping thread.
        drop(self.0.leave(&mut self.0.registry()));
    }
}

impl Watching {
    /// Waits until all that was notified before this call has been told to the listeners. On the thread that tells
    /// them, in a listener's [`notified`](crate::Watch::notified) or an [`on_change`](crate::OpenFile::on_change)
    /// callback, it would wait for itself: there it returns at once, as in a forked child, where nobody tells anything.
    ///
    /// Notifications of one file at one time are told as one, when the first of them is queued. So while another thread
    /// is *inside* [`notify`](crate::File::notify) of a file, or is interrupted there by a signal, what was notified of
    /// that file meanwhile is told when that one goes on, be it after this call.
    pub fn flush(&self) {
        let queue = &self.queue;
        if !queue.is_ours() || queue.is_on_this_thread() {
            return;
        }
        let start = queue.passes.value();
        // The pass that runs now may have taken the list before; the one after it has not.
        loop {
            let done = queue.passes.value();
            if done.wrapping_sub(start) >= 2 {
                return;
            }
            queue.pending.wake();
            queue.passes.wait_while(done, None);
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if !self.queue.is_ours() {
            return;
        }
        let mut registry = self.queue.registry();
        let others = registry.watches.iter().filter(|(id, _)| *id != self.id);
        let others: Vec<_> = others.cloned().collect();
        debug_assert_eq!(registry.watches.len(), others.len() + 1);
        let old = core::mem::replace(&mut registry.watches, Arc::new(others));
        let worker = self.queue.leave(&mut registry);
        drop(registry);
        drop(old); // after the lock: its drop is the user's code
        // A listener that drops the registration runs on a worker: that one ends by itself, and another one that was
        // started since then waits for its end.
        if let Some(Worker { thread, .. }) = worker
            && !self.queue.is_on_this_thread()
        {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").field("id", &self.id).finish()
    }
}

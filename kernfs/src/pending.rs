//! Notified files on their way to the listeners: who notifies queues, one worker takes.
//!
//! The notifier may be a signal handler: no lock, no allocation, no free. The worker clears a ticket's flag before it
//! delivers, so a change during a delivery queues again, and the last one is never lost.

use std::sync::Arc;

use crate::atomic::{AtomicUsize, Event, Linked, Llist, Ordering, Pushed, fence};

/// A file's place in the queue; the value is its id.
pub(crate) type Ticket = Arc<Linked<u64>>;

/// The queue.
#[derive(Debug)]
pub(crate) struct Pending {
    list: Llist<u64>,
    /// How many listeners there are. Nothing is queued while it is 0.
    listeners: AtomicUsize,
    /// Wakes the worker.
    wake: Event,
}

impl Pending {
    pub(crate) const fn new() -> Self {
        Self {
            list: Llist::new(),
            listeners: AtomicUsize::new(0),
            wake: Event::new(),
        }
    }

    /// A hint, unless who asks adds and removes listeners.
    pub(crate) fn has_listeners(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) != 0
    }

    /// The same for who has changed something before, and need not tell it to a listener that is missed here: that
    /// one looks after [`listen`](Self::listen), and finds the change.
    pub(crate) fn is_heard(&self) -> bool {
        // Pairs with the fence in `listen`. If we miss a new listener here, its fence comes after ours, and
        // what it reads after it was registered is as new as the change.
        fence(Ordering::SeqCst);
        self.has_listeners()
    }

    /// A listener comes. What it reads of a file from here on is as new as all notifications that are not delivered
    /// to it.
    pub(crate) fn listen(&self) {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst); // pairs with the fence in `is_heard`
    }

    /// A listener goes.
    pub(crate) fn forsake(&self) {
        self.listeners.fetch_sub(1, Ordering::Relaxed);
    }

    /// Queues a file, which was changed before. Async-signal-safe.
    pub(crate) fn push(&self, ticket: &Ticket) {
        if !self.is_heard() {
            return;
        }
        // Behind or AlreadyQueued: whoever queued first has woken the worker, or is about to, and the
        // worker has not taken the list yet.
        if self.list.push(ticket) == Pushed::First {
            self.wake.signal();
        }
    }

    /// The worker's turn: gives each queued file to `deliver`, runs `finish`, then sleeps until there is more, unless
    /// `finish` says that it is to end.
    pub(crate) fn pass(&self, mut deliver: impl FnMut(u64), finish: impl FnOnce() -> bool) {
        // Before the list is taken, and what `finish` takes: who adds to that later signals later.
        let seen = self.wake.value();
        // The list reads an element's link before it clears the flag, and clears it before the element
        // is delivered: a change during the delivery queues the file again.
        for ticket in self.list.take_all() {
            deliver(**ticket);
        }
        if !finish() {
            self.wake.wait_while(seen, None);
        }
    }

    /// Ends the worker's sleep.
    pub(crate) fn wake(&self) {
        self.wake.signal();
    }
}

//! Does a grace period order all threads, not only the updater and the reader it waited for?
//!
//! A reader, inside a section, notes how many sections another reader has begun, and addresses the note to a
//! third one. It travels with the element that the section holds, and is delivered when that element's next
//! grace period is over. Whoever receives it must count at least as many sections. Only the delivery is
//! Release and Acquire: the rest is the grace period's work. (The idea is the kernel rcutorture's.)

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

const EMPTY: u32 = 0;
const CLAIMED: u32 = 1;
const DELIVERED: u32 = 2;

/// A reader's inbox: one note at a time.
#[derive(Debug)]
pub(crate) struct Mail {
    state: AtomicU32,
    about: AtomicUsize,
    sections: AtomicU64,
}

impl Mail {
    /// No note: what an element carries otherwise is an inbox's number.
    pub(crate) const NONE: usize = usize::MAX;

    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU32::new(EMPTY),
            about: AtomicUsize::new(0),
            sections: AtomicU64::new(0),
        }
    }

    /// Hangs a note for inbox `to` on an element, if both are free. Called inside the section that holds the
    /// element.
    pub(crate) fn post(
        carrier: &AtomicUsize,
        inboxes: &[Self],
        to: usize,
        about: usize,
        sections: u64,
    ) -> bool {
        let inbox = &inboxes[to];
        let state = &inbox.state;
        if state
            .compare_exchange(EMPTY, CLAIMED, Acquire, Relaxed)
            .is_err()
        {
            return false;
        }
        inbox.about.store(about, Relaxed);
        inbox.sections.store(sections, Relaxed);
        let posted = carrier
            .compare_exchange(Self::NONE, to, Relaxed, Relaxed)
            .is_ok();
        if !posted {
            state.store(EMPTY, Release);
        }
        posted
    }

    /// After a grace period: whatever the element carries reaches its inbox.
    pub(crate) fn deliver(carrier: &AtomicUsize, inboxes: &[Self]) {
        let to = carrier.load(Relaxed);
        if to != Self::NONE {
            carrier.store(Self::NONE, Relaxed);
            inboxes[to].state.store(DELIVERED, Release);
        }
    }

    /// The note in this inbox: about whom, and how many sections there must be.
    pub(crate) fn receive(&self) -> Option<(usize, u64)> {
        // Acquire pairs with `deliver`.
        (self.state.load(Acquire) == DELIVERED).then(|| {
            let note = (self.about.load(Relaxed), self.sections.load(Relaxed));
            self.state.store(EMPTY, Release);
            note
        })
    }
}

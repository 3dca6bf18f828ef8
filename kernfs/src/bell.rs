//! What an open node counts and rings: the event, and where those sleep who wait for the next one.
//!
//! Who waits may not be in a read section meanwhile, so he sleeps on something that outlives the open node: the bed,
//! which the first of them makes.

use core::fmt;
use core::mem::ManuallyDrop;
use std::sync::Arc;

use crate::atomic::{AtomicU32, Event, Guard, Memb, Ordering, RcuArc, fence};

/// An event counter with sleepers. Needs no drop if it was emptied.
pub(crate) struct Bell {
    event: AtomicU32,
    bed: ManuallyDrop<RcuArc<Event>>,
}

impl Bell {
    /// The counter starts at 1.
    pub(crate) const fn new() -> Self {
        Self {
            event: AtomicU32::new(1),
            bed: ManuallyDrop::new(RcuArc::null()),
        }
    }

    /// How often it rang, modulo 2^32.
    pub(crate) fn event(&self) -> u32 {
        self.event.load(Ordering::SeqCst)
    }

    /// Counts the event up and wakes who sleeps. Async-signal-safe.
    pub(crate) fn ring(&self, guard: &Guard<'_>) {
        self.event.fetch_add(1, Ordering::SeqCst);
        // Pairs with the fence in `bed`: we store the event and look for the bed, who goes to sleep stores the bed
        // and looks at the event. Either we see the bed and wake, or the event is seen and nobody sleeps.
        fence(Ordering::SeqCst);
        if let Some(bed) = self.bed.dereference(guard) {
            bed.signal();
        }
    }

    /// Where to sleep. Read its value, look at the event, then sleep while that value stands. One at a time: hashed
    /// mutex held.
    pub(crate) fn bed(&self) -> Arc<Event> {
        let there = self.bed.get(&Memb::read_lock());
        let bed = there.unwrap_or_else(|| {
            let new = Arc::new(Event::new());
            self.bed.assign(Arc::clone(&new));
            new
        });
        fence(Ordering::SeqCst); // see `ring`
        bed
    }

    /// Gives up what it owns; who sleeps has a count of his own. Hashed mutex held.
    pub(crate) fn empty(&self) {
        drop(self.bed.take());
    }
}

/// Has `publish` let others find a bell, beside which something is read that may change.
pub(crate) fn hang<R>(publish: impl FnOnce() -> R) -> R {
    let result = publish();
    // Pairs with the fence in `ring_found`: we store the bell and read, who has changed what we read looks for the bell.
    // Either he finds this one, or what we read is new. It holds for who finds the bell in its place as well, if there is
    // a mutex between.
    fence(Ordering::SeqCst);
    result
}

/// Rings the bell that `find` finds, if it finds one, for a change that was made before. Async-signal-safe.
pub(crate) fn ring_found<'g>(guard: &Guard<'_>, find: impl FnOnce() -> Option<&'g Bell>) {
    // See `hang`. Without it the change could be seen after the look, by who has hung his bell and read meanwhile: he has
    // the old, and is not told.
    fence(Ordering::SeqCst);
    if let Some(bell) = find() {
        bell.ring(guard);
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell")
            .field("event", &self.event)
            .field("bed", &self.bed)
            .finish()
    }
}

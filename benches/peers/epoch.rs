//! The epoch-style crates: crossbeam-epoch with its default collector, and seize. Neither has a barrier.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crossbeam_epoch::{Atomic, Owned, pin};
use seize::{Collector, Guard};

use crate::peer::{Object, Peer, Reader, Settled};
use crate::peers::Visitor;

/// The name of crossbeam-epoch in the table.
pub const CROSSBEAM: &str = "crossbeam-epoch";
/// The name of seize in the table.
pub const SEIZE: &str = "seize";

pub(super) fn visit(visitor: &mut impl Visitor) {
    visitor.visit(Epoch::new());
    visitor.visit(Seize::new(Arc::new(Collector::new())));
}

/// # Invariants
/// 1. Never null; what a swap takes out is only used through the guard it was taken under.
struct Epoch(Atomic<Object>);

impl Epoch {
    fn new() -> Self {
        Self(Atomic::new(Object::new(1)))
    }
}

impl Peer for Epoch {
    type Reader<'a> = &'a Self;

    fn name(&self) -> &'static str {
        CROSSBEAM
    }

    fn another(&self) -> Self {
        Self::new()
    }

    fn reader(&self) -> &Self {
        self
    }

    /// Garbage is collected by whoever pins, oldest first: what one round left behind would be freed, and
    /// paid for, by the readers of the next. So a flag is retired last, and collected for until it drops.
    fn settle(&self) -> Settled {
        let collected = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&collected);
        pin().defer(move || flag.store(true, Ordering::Relaxed));
        while !collected.load(Ordering::Relaxed) {
            pin().flush();
        }
        Settled::AllFreed
    }
}

impl Reader for &Epoch {
    #[inline]
    fn read(&mut self) -> u64 {
        let guard = pin();
        let at = self.0.load(Ordering::Acquire, &guard);
        // SAFETY: invariant 1: not null, and retired values live as long as this guard.
        unsafe { at.deref() }.value()
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        let _guard = pin();
        inside();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        let guard = pin();
        let old = self
            .0
            .swap(Owned::new(Object::new(new)), Ordering::AcqRel, &guard);
        // SAFETY: the swap unpublished it, and only this thread got it.
        unsafe { guard.defer_destroy(old) };
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: no reader has the pointer, and by invariant 1 it is not null.
        drop(unsafe { core::mem::take(&mut self.0).into_owned() });
    }
}

type SeizePointer = core::sync::atomic::AtomicPtr<Object>;

fn boxed(value: u64) -> *mut Object {
    Box::into_raw(Box::new(Object::new(value)))
}

/// # Invariants
/// 1. `value` came from `Box::into_raw` and is never null.
struct Seize {
    collector: Arc<Collector>,
    value: SeizePointer,
}

impl Seize {
    fn new(collector: Arc<Collector>) -> Self {
        let value = SeizePointer::new(boxed(1));
        Self { collector, value }
    }
}

impl Peer for Seize {
    type Reader<'a> = &'a Self;

    fn name(&self) -> &'static str {
        SEIZE
    }

    fn another(&self) -> Self {
        Self::new(Arc::clone(&self.collector))
    }

    fn reader(&self) -> &Self {
        self
    }

    /// Full batches are freed when the last guard that saw them goes; a started one stays with its thread.
    fn settle(&self) -> Settled {
        self.collector.enter().flush();
        Settled::Unknown
    }
}

impl Reader for &Seize {
    #[inline]
    fn read(&mut self) -> u64 {
        let guard = self.collector.enter();
        let at = guard.protect(&self.value, Ordering::Acquire);
        // SAFETY: invariant 1, and `protect` keeps the value alive as long as the guard.
        unsafe { &*at }.value()
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        let _guard = self.collector.enter();
        inside();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        let guard = self.collector.enter();
        let old = guard.swap(&self.value, boxed(new), Ordering::AcqRel);
        // SAFETY: invariant 1; the swap unpublished it, and only this thread got it.
        unsafe { guard.defer_retire(old, seize::reclaim::boxed) };
    }
}

impl Drop for Seize {
    fn drop(&mut self) {
        // SAFETY: invariant 1; `&mut self`: no reader has the pointer.
        drop(unsafe { Box::from_raw(*self.value.get_mut()) });
    }
}

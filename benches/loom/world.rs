//! What the models do to each other: one removes and frees an object that another reads.

use std::sync::Arc;

use loom::cell::UnsafeCell;

use crate::arena::Slot;
use crate::atomic::{AtomicUsize, Ordering};
use crate::flavor::{Flavor, engine};
use crate::gp::Caller;
use crate::guard::Guard;
use crate::register;

/// Two objects, of which one is published. loom sees an access that a free does not happen after.
pub(crate) struct World {
    published: AtomicUsize,
    objects: [UnsafeCell<u32>; 2],
}

// SAFETY: that accesses do not conflict is what the models check; loom panics where they do.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let world = Self {
            published: AtomicUsize::new(0),
            objects: [UnsafeCell::new(1), UnsafeCell::new(1)],
        };
        let _ = format!("{:?}", world.published);
        Arc::new(world)
    }

    /// A reader's visit, inside a section.
    pub(crate) fn read(&self) {
        let at = self.published.load(Ordering::Acquire);
        self.objects[at].with(|object| {
            // SAFETY: loom has just checked that nobody writes it meanwhile.
            assert_eq!(unsafe { *object }, 1, "freed under its reader");
        });
    }

    /// Unpublishes the first object.
    pub(crate) fn remove(&self) {
        self.published.swap(1, Ordering::AcqRel);
    }

    /// Frees it. Once.
    pub(crate) fn free(&self) {
        self.objects[0].with_mut(|object| {
            // SAFETY: loom has just checked that nobody uses it meanwhile.
            let object = unsafe { &mut *object };
            assert_eq!(*object, 1, "freed twice");
            *object = 0;
        });
    }

    /// Who relies on its being freed.
    pub(crate) fn assert_freed(&self) {
        self.objects[0].with(|object| {
            // SAFETY: loom has just checked that nobody writes it meanwhile.
            assert_eq!(unsafe { *object }, 0, "not freed yet");
        });
    }
}

pub(crate) fn section<F: Flavor>(slot: &'static Slot, world: &World) {
    let guard = Guard::<F>::enter(slot);
    world.read();
    drop(guard);
}

pub(crate) fn slot<F: Flavor>() -> &'static Slot {
    register::claim::<F::Barriers>()
}

pub(crate) fn synchronize<F: Flavor>() {
    engine::<F>().synchronize::<F::Barriers>(Caller::default());
}

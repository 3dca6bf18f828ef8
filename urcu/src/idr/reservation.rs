//! [`Reservation`]: an id whose object does not exist yet.

use core::fmt;
use core::mem;
use std::sync::Arc;

use crate::atomic::Ordering;
use crate::flavor::{Flavor, Memb};

use super::slot::{Stage, State};
use super::{Id, Idr};

/// All slots are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all ids are in use")
    }
}

impl core::error::Error for Full {}

/// An id that is taken and finds nothing yet. Dropping it gives the id back, in its next generation: nobody who was
/// told it will find another object. Forgetting it leaks the slot.
///
/// # Invariants
/// 1. The slot of `id` is in the stage `Reserved` of this generation, and this is the only one for it.
#[must_use = "dropping it gives the id back"]
pub struct Reservation<'i, T: Send + Sync + 'static, F: Flavor = Memb> {
    idr: &'i Idr<T, F>,
    id: Id,
}

impl<'i, T: Send + Sync + 'static, F: Flavor> Reservation<'i, T, F> {
    /// For the owner of a slot that it has just made `Reserved`.
    pub(super) fn new(idr: &'i Idr<T, F>, id: Id) -> Self {
        // INVARIANT: 1.
        Self { idr, id }
    }

    /// The id.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Lets readers find `object`, whose count becomes the `Idr`'s. Wait-free: two stores and an addition.
    pub fn publish(self, object: Arc<T>) -> Id {
        let (idr, id) = (self.idr, self.id);
        mem::forget(self);
        let slot = idr.slots.at(id.index());
        // By invariant 1 nobody else leaves the stage.
        slot.put(object);
        idr.owners.published.fetch_add(1, Ordering::Relaxed);
        slot.set(State::new(u64::from(id.generation()), Stage::Published));
        id
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Drop for Reservation<'_, T, F> {
    fn drop(&mut self) {
        let released = self.idr.release_from(self.id, Stage::Reserved);
        debug_assert!(released, "{:?} was reserved by two", self.id);
    }
}

impl<T: Send + Sync + 'static, F: Flavor> fmt::Debug for Reservation<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reservation").field(&self.id).finish()
    }
}

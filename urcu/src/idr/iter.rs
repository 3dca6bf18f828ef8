//! The walk through an [`Idr`].

use core::fmt;

use crate::atomic::Ordering;
use crate::borrowed::Borrowed;
use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;

use super::slot::{Stage, State};
use super::{Id, Idr};

/// Objects and their ids, in the order of ids. See [`Idr::iter`].
pub struct Iter<'g, T: Send + Sync + 'static, F: Flavor = Memb> {
    idr: &'g Idr<T, F>,
    /// The index that was looked at last.
    index: u32,
    /// The greatest one to look at; read once, or objects that come and go could keep the walk for ever.
    last: u32,
    guard: &'g Guard<'g, F>,
}

impl<'g, T: Send + Sync + 'static, F: Flavor> Iter<'g, T, F> {
    pub(super) fn new(idr: &'g Idr<T, F>, after: u32, guard: &'g Guard<'_, F>) -> Self {
        Self {
            idr,
            index: after,
            last: idr.owners.given.load(Ordering::Relaxed),
            guard,
        }
    }
}

impl<'g, T: Send + Sync + 'static, F: Flavor> Iterator for Iter<'g, T, F> {
    type Item = (Id, Borrowed<'g, T>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.index < self.last {
            self.index += 1;
            // Not there yet if it is just being made.
            let Some(slot) = self.idr.slots.get(self.index) else {
                continue;
            };
            let state = slot.state();
            let generation = state.generation();
            if state != State::new(generation, Stage::Published) {
                continue;
            }
            let id = u32::try_from(generation).ok();
            let Some(id) = id.and_then(|generation| Id::new(self.index, generation)) else {
                continue;
            };
            if let Some(object) = self.idr.get(id, self.guard) {
                return Some((id, object));
            }
        }
        None
    }
}

impl<T: Send + Sync + 'static, F: Flavor> fmt::Debug for Iter<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter")
            .field("index", &self.index)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

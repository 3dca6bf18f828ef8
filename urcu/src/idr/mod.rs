//! [`Idr<T>`]: ids that find shared objects, without a lock. The kernel's `idr`, as kernfs uses it.
//!
//! Objects stand in slots, slots in chunks of doubling size that never move; an id is a slot's index and
//! generation. So a lookup is four loads, and needs read-copy-update only for the object.
//!
//! Not a radix tree as the kernel's: that finds sparse indices, but ids that are counted up cyclically leave it
//! with nodes for a single object each. Here an index comes again after a rest, with a new generation.

mod free;
mod id;
mod iter;
mod reservation;
mod slot;

pub use id::Id;
pub use iter::Iter;
pub use reservation::{Full, Reservation};

use core::fmt;
use core::marker::PhantomData;
use std::sync::Arc;

use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::borrowed::Borrowed;
use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use crate::pad::Padded;
use crate::retired_arc::RetiredArc;

use self::free::Free;
use self::slot::{Slots, Stage, State};

/// So many slots rest before one is used again: no low half of an id comes again soon.
const REST: u64 = 1024;

/// Ids that find objects.
///
/// Readers look an id up under a [`Guard`] and get a [`Borrowed`] object, to be counted if it is to be kept.
/// An id is known before its object exists ([`reserve`](Self::reserve)), and stays taken after the object is hidden
/// ([`unpublish`](Self::unpublish)), until it is given back ([`release`](Self::release)). [`insert`](Self::insert) and
/// [`remove`](Self::remove) do both steps at once.
///
/// An id is never given twice, so an old one finds nothing; a slot whose generations are used up (after 2^32
/// ids, 2^42 and more of the whole) is used no more. The low half of an id comes again after at least 1024
/// others were given back, unless nothing else is left.
///
/// ```
/// use std::sync::Arc;
/// use urcu::{Idr, Memb};
///
/// struct Node { id: urcu::Id, name: &'static str }
///
/// static NODES: Idr<Node> = Idr::new();
///
/// let reservation = NODES.reserve()?; // idr_alloc_cyclic
/// let id = reservation.id();
/// reservation.publish(Arc::new(Node { id, name: "eth0" })); // idr_replace
///
/// let node = NODES.get(id, &Memb::read_lock()).map(|found| found.get()).unwrap(); // idr_find
/// assert_eq!((node.id, node.name), (id, "eth0"));
///
/// NODES.unpublish(id).unwrap().free();
/// assert!(NODES.get(id, &Memb::read_lock()).is_none());
/// NODES.release(id); // idr_remove
/// # Ok::<(), urcu::Full>(())
/// ```
///
/// # Progress and cost
/// * Lookups are wait-free, write nothing, and load four words: the chunk's pointer, and in one slot the state, the object and the state again.
/// * Everything else is lock-free and waits for nobody: `reserve` and `release` a few CAS, `unpublish` one CAS and one
///   swap. It may be done in read sections and with locks held. `reserve` allocates when there is no free slot.
/// * Memory: 24 bytes for each slot; at most about twice as many slots as were ever in use at a time and 1024 more,
///   those whose ids rest. It is not given back before the `Idr` is dropped.
/// * No user's code runs inside, so nothing re-enters; objects are dropped by [`RetiredArc`], on a worker, and with the
///   `Idr` by whoever drops that.
/// * In a forked child everything goes on; a thread of the parent that was inside `reserve`, `unpublish` or `release` at
///   the fork has taken one slot with it, and each reservation that it held.
///
/// # Ordering
/// Whoever finds an object sees what its publisher did before it published. `reserve` happens after the `release`
/// that gave the slot back.
#[doc(alias = "idr")]
#[doc(alias = "xarray")]
pub struct Idr<T: Send + Sync + 'static, F: Flavor = Memb> {
    /// What readers load; the rest lies on other cache lines.
    slots: Slots<T>,
    owners: Padded<Owners>,
    flavor: PhantomData<F>,
}

/// What only those write who reserve and release.
#[derive(Debug)]
struct Owners {
    free: Free,
    /// The greatest index that was ever given.
    given: AtomicU32,
    /// The greatest index that may be given.
    last: u32,
    published: AtomicU64,
}

impl<T: Send + Sync + 'static, F: Flavor> Idr<T, F> {
    /// One with no objects. `const`, for statics. Allocates nothing.
    pub const fn new() -> Self {
        Self::with_slots(u32::MAX)
    }

    /// The same with so many slots at most. One may have to be kept back, so it holds that many objects at a time, or
    /// one less.
    pub const fn with_slots(slots: u32) -> Self {
        Self {
            slots: Slots::new(),
            owners: Padded::new(Owners {
                free: Free::new(),
                given: AtomicU32::new(0),
                last: slots,
                published: AtomicU64::new(0),
            }),
            flavor: PhantomData,
        }
    }

    /// The object of that id, for as long as the read section lasts.
    ///
    /// Wait-free: four loads. [`Borrowed::get`] keeps it longer.
    #[doc(alias = "idr_find")]
    #[inline]
    pub fn get<'g>(&'g self, id: Id, guard: &'g Guard<'_, F>) -> Option<Borrowed<'g, T>> {
        let _ = guard;
        let slot = self.slots.get(id.index())?;
        let object = slot.find(u64::from(id.generation()))?;
        // SAFETY: 1: invariant 1 of Slot; 2: the section lasts for 'g, and what is taken out of a slot gives its
        // count up after a grace period; dropping the whole needs `&mut`, so ends 'g.
        Some(unsafe { Borrowed::new(object) })
    }

    /// Takes an id. Nothing is found under it before [`Reservation::publish`].
    ///
    /// Lock-free; allocates when no slot is free.
    ///
    /// # Errors
    /// All slots are in use: 2^32 of them, or as many as [`with_slots`](Self::with_slots) said.
    #[doc(alias = "idr_alloc")]
    #[doc(alias = "idr_alloc_cyclic")]
    pub fn reserve(&self) -> Result<Reservation<'_, T, F>, Full> {
        let free = &self.owners.free;
        let index = free.take(REST, &self.slots);
        let index = index.or_else(|| self.next_fresh());
        // Rather a short rest than none left.
        let index = index.or_else(|| free.take(1, &self.slots)).ok_or(Full)?;
        // Whoever was given an index owns its slot.
        let slot = self.slots.at(index);
        let generation = slot.state().generation();
        slot.set(State::new(generation, Stage::Reserved));
        let id = u32::try_from(generation).ok();
        match id.and_then(|generation| Id::new(index, generation)) {
            Some(id) => Ok(Reservation::new(self, id)),
            None => unreachable!("neither slot 0 nor a used up one is ever given"),
        }
    }

    fn next_fresh(&self) -> Option<u32> {
        let owners = &*self.owners;
        let next = |given| (given < owners.last).then(|| given + 1);
        let given = owners
            .given
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        given.ok().map(|given| given + 1)
    }

    /// Publishes an object under a new id. [`reserve`](Self::reserve) and [`Reservation::publish`] in one, for objects
    /// that need not know their id.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve); gives the object back.
    pub fn insert(&self, object: Arc<T>) -> Result<Id, (Full, Arc<T>)> {
        match self.reserve() {
            Ok(reservation) => Ok(reservation.publish(object)),
            Err(full) => Err((full, object)),
        }
    }

    /// Hides the object of that id: no section that begins later finds it. The id stays taken until it is given back
    /// by [`release`](Self::release).
    ///
    /// Of several callers one gets the object, the others `None`, also for ids of which nothing is published.
    /// Lock-free: one CAS and one swap.
    #[doc(alias = "idr_replace")]
    pub fn unpublish(&self, id: Id) -> Option<RetiredArc<T, F>> {
        let slot = self.slots.get(id.index())?;
        let object = slot.hide(u64::from(id.generation()))?;
        self.owners.published.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: 1: invariant 1 of Slot: from `Arc::into_raw`, and with it the slot's count.
        Some(unsafe { RetiredArc::new(object) })
    }

    /// Gives an id back whose object is hidden. Tells whether it did: `false` for an id that was given back already,
    /// is reserved, or still published, or was never given.
    ///
    /// May be called as soon as [`unpublish`](Self::unpublish) has returned, or as late as the object is
    /// dropped. Lock-free.
    #[doc(alias = "idr_remove")]
    pub fn release(&self, id: Id) -> bool {
        self.release_from(id, Stage::Hidden)
    }

    /// [`unpublish`](Self::unpublish) and [`release`](Self::release) in one.
    #[doc(alias = "idr_remove")]
    pub fn remove(&self, id: Id) -> Option<RetiredArc<T, F>> {
        let object = self.unpublish(id)?;
        self.release(id);
        Some(object)
    }

    /// Frees the slot, in its next generation.
    fn release_from(&self, id: Id, stage: Stage) -> bool {
        let Some(slot) = self.slots.get(id.index()) else {
            return false;
        };
        let generation = u64::from(id.generation());
        let next = State::new(generation + 1, Stage::Free);
        if !slot.step(State::new(generation, stage), next) {
            return false;
        }
        if next.generation() <= u64::from(u32::MAX) {
            self.owners.free.put(id.index(), &self.slots);
        } // else used up: never given again
        true
    }

    /// How many objects are published. Exact when nobody publishes or hides one meanwhile.
    pub fn len(&self) -> usize {
        // CAST: 64 bits.
        let published = self.owners.published.load(Ordering::Relaxed);
        (published as i64).max(0) as usize
    }

    /// Whether no object is published.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many slots there is memory.
    pub fn capacity(&self) -> usize {
        self.slots.allocated()
    }

    /// All objects and their ids, in the order of ids.
    ///
    /// Each object that is published during the whole walk is met once; one that is published or hidden meanwhile may be
    /// met or not. The walk looks at every slot that was ever used. Wait-free for each step but for that.
    #[doc(alias = "idr_for_each_entry")]
    pub fn iter<'g>(&'g self, guard: &'g Guard<'_, F>) -> Iter<'g, T, F> {
        Iter::new(self, 0, guard)
    }

    /// The same from the first id behind this one, which need not be there (any more): to go on in another
    /// section where a walk has stopped.
    #[doc(alias = "idr_for_each_entry_continue")]
    #[doc(alias = "idr_get_next")]
    pub fn iter_after<'g>(&'g self, id: Id, guard: &'g Guard<'_, F>) -> Iter<'g, T, F> {
        Iter::new(self, id.index(), guard)
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Default for Idr<T, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + Sync + 'static, F: Flavor> fmt::Debug for Idr<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idr")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flavor::Mb;

    // After its last generation a slot is given no more, and its ids stay what they were.
    #[test]
    fn a_slot_whose_generations_are_used_up_is_left_alone() {
        let idr: Idr<u32, Mb> = Idr::with_slots(3);
        let state = |generation: u64| State::new(generation, Stage::Free);
        for index in 1..=3 {
            // INVARIANT: 3 of Slot: it rises.
            idr.slots
                .at(index)
                .set(state(u64::from(u32::MAX) - u64::from(index % 2)));
        }
        let mut ids = Vec::new();
        while let Ok(id) = idr.insert(Arc::new(1)) {
            ids.push(id);
            assert!(idr.remove(id).is_some());
            assert!(ids.len() < 10);
        }
        // Slots 1 and 3 had two generations each, and slot 2 one; the last one that was freed is kept back.
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len());
        assert_eq!(ids.len(), 4, "{ids:?}");
        let guard = Mb::read_lock();
        assert!(
            ids.iter()
                .all(|id| idr.get(*id, &guard).is_none() && !idr.release(*id))
        );
    }
}

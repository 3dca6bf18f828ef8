//! [`Block`]: room for the values of several pushes.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering, Witness};

use super::place::Item;

/// Values in a block. With those of 8 bytes it is 512 bytes.
pub(super) const SLOTS: u8 = if cfg!(loom) { 2 } else { 31 };
/// `known` of a block that something is behind.
pub(super) const CLOSED: u8 = u8::MAX;

/// Slots, which are claimed in order by moving `last` on, then written in any order, then taken in order.
///
/// # Invariants
/// 1. A slot is written once, by the push that claimed it, whose last access to the block that is. It is taken once.
/// 2. `end` is how many were claimed in all, once `next` is not null. Both are stored by the push that exchanged the block
///    out of `last`, whose last access to the block that is.
/// 3. `taken` and `known` are written by the one who takes: so many were taken, and so many at least are claimed, or more
///    will never be.
#[repr(C, align(128))]
pub(super) struct Block<T> {
    head: Head<T>,
    slots: [Slot<T>; SLOTS as usize],
}

#[repr(C)]
struct Head<T> {
    item: Item<T>,
    end: AtomicU8,
    taken: AtomicU8,
    known: AtomicU8,
}

struct Slot<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    ready: AtomicBool,
    witness: Witness,
}

impl<T> Slot<T> {
    /// # Safety
    /// 1. As of [`Block::put`].
    unsafe fn put(&self, value: T) {
        self.witness.is_written();
        // SAFETY: clause 1: nobody else comes to it before it is ready.
        unsafe { &mut *self.value.get() }.write(value);
        // Release pairs with the Acquire of `take`: value before flag.
        self.ready.store(true, Ordering::Release);
    }
}

/// Frees a block, but not the values in it.
///
/// # Safety
/// 1. It came from [`Block::with`] and is the caller's alone.
pub(super) unsafe fn free<T>(block: NonNull<Block<T>>) {
    // SAFETY: clause 1.
    drop(unsafe { Box::from_raw(block.as_ptr()) });
}

impl<T> Block<T> {
    /// A block whose first slot has this value, in that memory if there is some.
    ///
    /// # Safety
    /// 1. `memory` came from here and is the caller's alone.
    pub(super) unsafe fn with(memory: Option<NonNull<Self>>, value: T) -> NonNull<Self> {
        let block = memory.unwrap_or_else(|| {
            let fresh = Box::into_raw(Box::<Self>::new_uninit());
            // SAFETY: `Box::into_raw` never gives null.
            unsafe { NonNull::new_unchecked(fresh.cast()) }
        });
        let at = block.as_ptr();
        let zero = || AtomicU8::new(0);
        let head = Head {
            item: Item::new(),
            end: zero(),
            taken: zero(),
            known: zero(),
        };
        // Part by part: values may be large, and stay as they are.
        // SAFETY: fresh, or by clause 1.
        let at_head = unsafe { &raw mut (*at).head };
        // SAFETY: as above.
        unsafe { at_head.write(head) };
        for slot in 0..usize::from(SLOTS) {
            // SAFETY: as above, in bounds.
            let ready = unsafe { &raw mut (*at).slots[slot].ready };
            // SAFETY: as above.
            unsafe { ready.write(AtomicBool::new(false)) };
            // The old one knows who used the slot before.
            if memory.is_none() {
                // SAFETY: as above.
                let witness = unsafe { &raw mut (*at).slots[slot].witness };
                // SAFETY: as above.
                unsafe { witness.write(Witness::new()) };
            }
        }
        // SAFETY: as above; all that must be initialised is.
        let block_ref = unsafe { &*at };
        if cfg!(loom) {
            block_ref.use_first();
        }
        // SAFETY: 1: nobody else knows the block.
        unsafe { block_ref.slots[0].put(value) };
        block
    }

    /// The models make an atomic where it is first used: here, and not where another thread may be at it, too.
    fn use_first(&self) {
        let head = &self.head;
        head.item.use_first();
        for number in [&head.end, &head.taken, &head.known] {
            number.load(Ordering::Relaxed);
        }
        for slot in &self.slots {
            slot.ready.load(Ordering::Relaxed);
            slot.witness.is_read();
        }
    }

    pub(super) fn next(&self) -> &AtomicPtr<Item<T>> {
        &self.head.item.next
    }

    /// Writes a value.
    ///
    /// # Safety
    /// 1. The caller has claimed this slot, by an Acquire CAS, and does this once. Then the block need not live any more.
    pub(super) unsafe fn put(block: NonNull<Self>, slot: u8, value: T) {
        // INVARIANT: 1.
        // SAFETY: clause 1: no claimed slot's block is freed before it is taken.
        let slot = unsafe { &(*block.as_ptr()).slots[usize::from(slot)] };
        // SAFETY: 1: clause 1.
        unsafe { slot.put(value) };
    }

    /// Takes the next value out, if it has been written.
    ///
    /// # Safety
    /// 1. The caller is the one who takes.
    pub(super) unsafe fn take(&self) -> Option<T> {
        let taken = self.taken();
        let slot = self.slots.get(usize::from(taken))?;
        // Acquire pairs with the Release of `put`.
        if !slot.ready.load(Ordering::Acquire) {
            return None;
        }
        self.head.taken.store(taken + 1, Ordering::Relaxed);
        slot.witness.is_read();
        // SAFETY: ready, so nobody else's any more.
        let value = unsafe { &*slot.value.get() };
        // SAFETY: ready, so written; clause 1: taken once, and here.
        Some(unsafe { value.assume_init_read() })
    }

    pub(super) fn taken(&self) -> u8 {
        self.head.taken.load(Ordering::Relaxed)
    }

    pub(super) fn known(&self) -> u8 {
        self.head.known.load(Ordering::Relaxed)
    }

    /// For the one who takes.
    pub(super) fn know(&self, claimed: u8) {
        self.head.known.store(claimed, Ordering::Relaxed);
    }

    /// For who exchanged the block out of `last`, before it stores the link.
    pub(super) fn close(&self, claimed: u8) {
        // INVARIANT: 2. Relaxed: the link's Release follows, which pairs with the Acquire of who asks for it.
        self.head.end.store(claimed, Ordering::Relaxed);
    }

    /// How many slots were claimed. For who has seen the link.
    pub(super) fn end(&self) -> u8 {
        self.head.end.load(Ordering::Relaxed)
    }
}

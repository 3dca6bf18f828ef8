//! A slot, its state, and the chunks that slots are in. Slots never move and are freed with the whole.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::Arc;

use crate::atomic::{AtomicPtr, AtomicU64, Ordering};

/// What a slot is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// On the row of free slots, or never used.
    Free,
    /// Its id is known to whoever has the reservation.
    Reserved,
    /// Readers find the object.
    Published,
    /// One thread is taking the object out.
    Hiding,
    /// The object is out; the id is not free yet.
    Hidden,
}

/// Generation and stage in one word, so that one CAS decides who does what.
///
/// The generation may be 2^32, which is no generation of an [`Id`](super::Id): the slot is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u64);

const STAGE_BITS: u32 = 3;

impl State {
    pub(super) const fn new(generation: u64, stage: Stage) -> Self {
        Self(generation << STAGE_BITS | stage as u64)
    }

    pub(super) const fn generation(self) -> u64 {
        self.0 >> STAGE_BITS
    }

    pub(super) const fn raw(self) -> u64 {
        self.0
    }
}

/// # Invariants
/// 1. `object` is null, or came from `Arc::into_raw`, and one count of it is the slot's.
/// 2. `object` is not null only in the stages from the end of `Reserved` to the end of `Hiding`, and in each of
///    these two one thread alone writes it.
/// 3. The generation never falls; it rises before the slot is free again.
///
/// All zero is a slot that was never used.
#[derive(Debug)]
pub(super) struct Slot<T> {
    state: AtomicU64,
    object: AtomicPtr<T>,
    /// The next free slot, see [`super::free`].
    pub(super) next: AtomicU64,
}

impl<T> Slot<T> {
    pub(super) fn state(&self) -> State {
        // Acquire pairs with the Release of `set`: who reads `Published` sees the object's address; who reads
        // a generation sees that all earlier objects are out.
        State(self.state.load(Ordering::Acquire))
    }

    /// For who owns the present stage.
    pub(super) fn set(&self, state: State) {
        self.state.store(state.raw(), Ordering::Release);
    }

    /// Whether this call made the step. AcqRel: after what led to `from`, before what follows from `to`.
    pub(super) fn step(&self, from: State, to: State) -> bool {
        let step =
            self.state
                .compare_exchange(from.raw(), to.raw(), Ordering::AcqRel, Ordering::Relaxed);
        step.is_ok()
    }

    /// Gives the slot an object. For who owns the stage `Reserved`.
    pub(super) fn put(&self, object: Arc<T>) {
        // INVARIANT: 1. Release pairs with the Acquire of `find`: who finds this address sees the object, and
        // at least the generation of now.
        let raw = Arc::into_raw(object).cast_mut();
        self.object.store(raw, Ordering::Release);
    }

    /// Hides the object of this generation and takes it out, if it is published and nobody else was faster.
    pub(super) fn hide(&self, generation: u64) -> Option<NonNull<T>> {
        let at = |stage| State::new(generation, stage);
        if !self.step(at(Stage::Published), at(Stage::Hiding)) {
            return None;
        }
        let object = self.take();
        // Only now may the id be released: the next owner's object must not be taken.
        self.set(at(Stage::Hidden));
        object
    }

    /// Takes the object out. For who owns the stage `Hiding`.
    fn take(&self) -> Option<NonNull<T>> {
        // INVARIANT: 1: the count passes to the caller. AcqRel as in `crate::owned`.
        NonNull::new(self.object.swap(ptr::null_mut(), Ordering::AcqRel))
    }

    /// The object of this generation, if it was published at some moment of the call.
    #[inline]
    pub(super) fn find(&self, generation: u64) -> Option<NonNull<T>> {
        if self.state() != State::new(generation, Stage::Published) {
            return None;
        }
        // By this Acquire and the one in `state`, what is loaded here is no older than this generation's object;
        let object = NonNull::new(self.object.load(Ordering::Acquire))?;
        // and if it is a younger one's, this sees a greater generation: it rose before the younger was put.
        (self.state().generation() == generation).then_some(object)
    }
}

/// Slots in the first chunk; each further one has twice as many.
const FIRST: u64 = 64;
/// Enough for 2^32 slots.
const CHUNKS: usize = 27;

/// Slots by their index, found with two loads.
///
/// # Invariants
/// 1. A pointer is null, or to the first slot of as many as `capacity` says, from the global allocator; it is
///    written once.
#[derive(Debug)]
pub(super) struct Slots<T> {
    chunks: [AtomicPtr<Slot<T>>; CHUNKS],
    owns: PhantomData<Arc<T>>,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            owns: PhantomData,
        }
    }

    /// The chunk of an index, and the place in it.
    #[inline]
    fn place(index: u32) -> (usize, usize) {
        let from_first = u64::from(index) + FIRST;
        let chunk = from_first.ilog2() - FIRST.ilog2();
        // CAST: 64 bits.
        (chunk as usize, (from_first - (FIRST << chunk)) as usize)
    }

    fn capacity(chunk: usize) -> usize {
        (FIRST as usize) << chunk // CAST: 64 bits
    }

    fn layout(chunk: usize) -> Layout {
        match Layout::array::<Slot<T>>(Self::capacity(chunk)) {
            Ok(layout) => layout,
            Err(_) => unreachable!("less than 2^63 bytes"),
        }
    }

    /// The slot, if its chunk is there.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&Slot<T>> {
        let (chunk, place) = Self::place(index);
        // Acquire pairs with the Release of `grow`: the slots are zero.
        let first = NonNull::new(self.chunks[chunk].load(Ordering::Acquire))?;
        // SAFETY: invariant 1: `place` is less than the capacity.
        let slot = unsafe { first.add(place) };
        // SAFETY: invariant 1: lives as long as `self`; all zero is a slot.
        Some(unsafe { slot.as_ref() })
    }

    /// The slot; makes its chunk if it is not there. Lock-free.
    pub(super) fn at(&self, index: u32) -> &Slot<T> {
        loop {
            match self.get(index) {
                Some(slot) => return slot,
                None => self.grow(Self::place(index).0),
            }
        }
    }

    #[cold]
    fn grow(&self, chunk: usize) {
        let layout = Self::layout(chunk);
        // SAFETY: not of size 0.
        let fresh = unsafe { alloc_zeroed(layout) };
        if fresh.is_null() {
            handle_alloc_error(layout);
        }
        // INVARIANT: 1.
        let put = self.chunks[chunk].compare_exchange(
            ptr::null_mut(),
            fresh.cast(),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if put.is_err() {
            // SAFETY: allocated above with this layout, and not shared.
            unsafe { dealloc(fresh, layout) };
        }
    }

    /// How many slots there is memory for.
    pub(super) fn allocated(&self) -> usize {
        let is_there = |&chunk: &usize| !self.chunks[chunk].load(Ordering::Relaxed).is_null();
        (0..CHUNKS).filter(is_there).map(Self::capacity).sum()
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        let mut objects = Vec::new();
        for (chunk, first) in self.chunks.iter_mut().enumerate() {
            let first = *first.get_mut();
            if first.is_null() {
                continue;
            }
            let slots = ptr::slice_from_raw_parts_mut(first, Self::capacity(chunk));
            // SAFETY: invariant 1; `&mut self`: nobody else is here.
            for slot in unsafe { &mut *slots } {
                let object = core::mem::replace(slot.object.get_mut(), ptr::null_mut());
                if !object.is_null() {
                    // SAFETY: invariant 1 of Slot.
                    objects.push(unsafe { Arc::from_raw(object.cast_const()) });
                }
            }
            // SAFETY: invariant 1; slots need no drop.
            unsafe { dealloc(first.cast(), Self::layout(chunk)) };
        }
        // Last, and by the glue of `Vec`: a drop that panics keeps none of the others.
        drop(objects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_fill_chunk_after_chunk() {
        let (mut chunk, mut place) = (0, 0);
        for index in 0..100_000 {
            assert_eq!(Slots::<u8>::place(index), (chunk, place), "{index}");
            place += 1;
            if place == Slots::<u8>::capacity(chunk) {
                (chunk, place) = (chunk + 1, 0);
            }
        }
        let (chunk, place) = Slots::<u8>::place(u32::MAX);
        assert_eq!((chunk, place), (CHUNKS - 1, 63));
    }

    #[test]
    fn a_state_is_its_parts() {
        for generation in [0, 1, u64::from(u32::MAX), 1 << 32] {
            for stage in [Stage::Free, Stage::Published, Stage::Hidden] {
                let state = State::new(generation, stage);
                assert_eq!(state.generation(), generation);
                assert_eq!(
                    state == State::new(generation, Stage::Hidden),
                    stage == Stage::Hidden
                );
            }
        }
    }
}

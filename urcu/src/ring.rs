//! kfree_rcu without a queue: each thread frees what it retired itself, a few thousand objects later.
//!
//! Memory of types without drop glue (rule A20: there is nothing to run, so nothing of it can be observed)
//! goes into a ring of the retiring thread, two halves of [`HALF`] objects. When the filling half is full,
//! the thread begins a grace period for it *without waiting* (fence, heavy barrier, step of the sequence)
//! and turns to the other half. While it fills that, it frees one old object for each new one, which keeps
//! allocator caches warm: a burst, or freeing on another thread, costs several times as much.
//!
//! What is in the way goes to the worker, a half at a time, as one callback: a half whose readers have not
//! left when its place is needed, and what is left at the thread's end and when the thread parks. So a ring holds
//! at most [`HALF_BYTES`] and one object, twice, and `free` never waits. At a fork nothing is done: the child has the
//! ring of the thread that forked, and those of others are lost to it. A worker that leaves frees its own.
//!
//! An object costs 8 bytes: its address. Size and alignment are kept once for a run of equal ones.
//!
//! # The grace period of a half
//! The step order is that of [`crate::gp`], with the wait cut out: the half may be freed when one scan finds
//! no section older than the step. That need not be the first scan, and nobody has to be woken: it is asked
//! again later (models `ring`, `ring-step-before-barrier`, `ring-mb-no-fence`).

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr::NonNull;
use std::alloc::Layout;

use crate::atomic::AtomicU32;
use crate::flavor::{MbBarriers, MembBarriers, QsbrBarriers};
use crate::gp::{Caller, Engine, Global};
use crate::head::{Callback, footprint};
use crate::home::Process;
use crate::leave;
use crate::prefetch::prefetch;
use crate::register;
use crate::sys;
use crate::word::Sequence;
use crate::worker;

/// Objects in half a ring. One heavy barrier for so many: 10 us become 2.5 ns each.
const HALF: usize = if cfg!(loom) { 2 } else { 4096 };
/// Bytes in half a ring.
const HALF_BYTES: usize = 512 << 10;
/// After so many new objects the readers of an unripe half are looked at again.
const LOOK_EVERY: usize = if cfg!(loom) { 1 } else { 64 };
/// Flavors that have rings.
const FLAVORS: usize = 3;

/// So many objects in a row with one layout.
#[derive(Clone, Copy, Debug)]
struct Run {
    layout: Layout,
    count: usize,
}

impl Run {
    /// Of nothing: no memory has this layout.
    const NONE: Self = Self {
        layout: Layout::new::<()>(),
        count: 0,
    };

    fn bytes(&self) -> usize {
        self.count * self.layout.size()
    }
}

/// Memory to give back.
///
/// # Invariants
/// 1. Each address was allocated by the global allocator with the layout of the run that it belongs to, is
///    unpublished, and nobody else frees it.
/// 2. The runs' counts add up to the number of addresses, and only the newest may be 0: when there is none, or one is
///    about to be pushed.
#[derive(Debug)]
struct Memory {
    at: Vec<NonNull<u8>>,
    newest: Run,
    /// Those before, oldest first.
    older: Vec<Run>,
}

// SAFETY: memory that waits to be freed has no thread; what was in it needs no drop.
unsafe impl Send for Memory {}

impl Default for Memory {
    fn default() -> Self {
        Self {
            at: Vec::new(),
            newest: Run::NONE,
            older: Vec::new(),
        }
    }
}

impl Memory {
    /// # Safety
    /// 1. `at` was allocated by the global allocator with the newest run's layout, is unpublished, and given up.
    #[inline]
    unsafe fn push(&mut self, at: NonNull<u8>) {
        // INVARIANT: 1 by clause 1; 2: one more in both.
        self.newest.count += 1;
        self.at.push(at);
    }

    /// What is pushed from now on has this layout.
    fn begin_run(&mut self, layout: Layout) {
        if self.at.capacity() == 0 {
            self.at.reserve_exact(HALF);
        }
        // INVARIANT: 2: an empty run is left out.
        if self.newest.count != 0 {
            self.older.push(self.newest);
        }
        self.newest = Run { layout, count: 0 };
    }

    /// Frees the newest.
    ///
    /// # Safety
    /// 1. A grace period that began after the memory was unpublished is over.
    #[inline]
    unsafe fn free_one(&mut self) {
        let Some(at) = self.at.pop() else {
            return;
        };
        let layout = self.newest.layout;
        // INVARIANT: 2: one less in both.
        self.newest.count -= 1;
        if self.newest.count == 0
            && let Some(run) = self.older.pop()
        {
            self.newest = run;
        }
        // SAFETY: invariant 1; by clause 1 no reader holds a reference any more.
        unsafe { sys::free(at, layout) };
        // The allocator writes into what it gets back, and after a grace period that is cold.
        if let Some(next) = self.at.last() {
            prefetch(next.as_ptr());
        }
    }

    /// # Safety
    /// 1. As of `free_one`, for all of it.
    unsafe fn free_all(&mut self) {
        while !self.is_empty() {
            // SAFETY: clause 1, by our own.
            unsafe { self.free_one() };
        }
    }

    fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    fn len(&self) -> usize {
        self.at.len()
    }

    fn runs(&self) -> impl Iterator<Item = &Run> {
        self.older.iter().chain([&self.newest])
    }

    /// What it all takes, with our own part.
    fn footprint(&self) -> usize {
        let objects = |run: &Run| run.count * (footprint(run.layout.size()) + size_of::<*mut u8>());
        self.runs().map(objects).sum::<usize>() + self.older.len() * size_of::<Run>()
    }
}

/// Half a ring: it fills, then it waits for its grace period, then it drains.
#[derive(Debug, Default)]
struct Half {
    memory: Memory,
    /// While it fills: how many more of the newest run's layout it takes.
    room: usize,
    /// The bytes of the runs before the newest.
    bytes: usize,
    /// What the sequence was stepped to when the half was full.
    target: Option<Sequence>,
    ripe: bool,
}

/// One flavor's ring of one thread.
#[derive(Debug, Default)]
struct Ring {
    filling: Half,
    draining: Half,
}

impl Ring {
    /// # Safety
    /// 1. `at` was allocated by the global allocator with this layout, which is not of size 0; it is unpublished,
    ///    and given up.
    #[inline]
    unsafe fn retire<B: Global>(&mut self, at: NonNull<u8>, layout: Layout) {
        let filling = &mut self.filling;
        if filling.memory.newest.layout != layout {
            filling.begin_run(layout);
        }
        // SAFETY: clause 1, and that is the layout of the newest run.
        unsafe { filling.memory.push(at) };
        filling.room -= 1;
        let (filled, room) = (filling.memory.len(), filling.room);
        if !self.draining.memory.is_empty() {
            self.drain::<B>(filled);
        }
        if room == 0 {
            self.turn::<B>();
        }
    }

    /// Frees one old object, or two to catch up.
    #[inline]
    fn drain<B: Global>(&mut self, filled: usize) {
        let draining = &mut self.draining;
        if !draining.ripe {
            if !filled.is_multiple_of(LOOK_EVERY) || !draining.is_over::<B>() {
                return;
            }
            draining.ripe = true;
        }
        let behind = draining.memory.len() + filled > HALF;
        // SAFETY: clause 1: the half is ripe.
        unsafe { draining.memory.free_one() };
        if behind {
            // SAFETY: as above.
            unsafe { draining.memory.free_one() };
        }
    }

    /// The filling half is full: it begins to wait, and the other one, emptied, fills.
    #[cold]
    fn turn<B: Global>(&mut self) {
        if !self.draining.memory.is_empty() {
            if self.draining.ripe || self.draining.is_over::<B>() {
                // SAFETY: clause 1: as just seen.
                unsafe { self.draining.memory.free_all() };
            } else {
                spill::<B>(core::mem::take(&mut self.draining.memory));
            }
        }
        core::mem::swap(&mut self.filling, &mut self.draining);
        self.draining.target = Some(B::engine().begin::<B>(Caller::here::<B>(None)));
        self.draining.ripe = false;
        // It is empty; its room is counted anew.
        self.filling.memory.newest = Run::NONE;
        self.filling.bytes = 0;
    }

    /// Hands everything to the worker.
    fn flush<B: Global>(&mut self) {
        for half in [&mut self.filling, &mut self.draining] {
            if !half.memory.is_empty() {
                spill::<B>(core::mem::take(half).memory);
            }
        }
    }

    /// See [`settle`].
    fn settle<B: Global>(&mut self, own: &Engine) {
        if !core::ptr::eq(B::engine(), own) {
            self.flush::<B>();
            return;
        }
        let memories = [&mut self.filling, &mut self.draining].map(|half| &mut half.memory);
        if memories.iter().any(|memory| !memory.is_empty()) {
            own.synchronize::<B>(Caller::here::<B>(None));
            for memory in memories {
                // SAFETY: clause 1: it has just passed.
                unsafe { memory.free_all() };
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.filling.memory.len() + self.draining.memory.len()
    }
}

impl Half {
    /// Makes room for objects of this layout: for one at least, because a full half does not fill.
    #[cold]
    fn begin_run(&mut self, layout: Layout) {
        let memory = &mut self.memory;
        self.bytes += memory.newest.bytes();
        let left = HALF_BYTES - self.bytes;
        self.room = left.div_ceil(layout.size()).min(HALF - memory.len());
        memory.begin_run(layout);
    }

    fn is_over<B: Global>(&self) -> bool {
        self.target
            .is_some_and(|target| B::engine().has_passed(target))
    }
}

/// Frees memory on the worker, after a grace period of its own.
#[cold]
fn spill<B: Global>(mut memory: Memory) {
    let bytes = memory.footprint();
    let free_all = move || {
        // SAFETY: clause 1: callbacks run after a grace period that began after they were posted.
        unsafe { memory.free_all() };
    };
    let callback = Callback::holding(free_all, bytes);
    worker::post(&Process::<B>::HOME, callback);
}

/// The rings of one thread.
#[derive(Debug, Default)]
struct Rings {
    rings: [Ring; FLAVORS],
}

thread_local! {
    /// Null (none yet), [`LENT`], or from `Box::into_raw`.
    static RINGS: Cell<*mut Rings> = const { Cell::new(core::ptr::null_mut()) };
}

/// The rings are in use further up the stack: the global allocator, which they call, may be built on this
/// crate.
const LENT: *mut Rings = core::ptr::without_provenance_mut(1);

/// The pthread key whose hook flushes the rings of a thread that ends, plus 1; 0 when there is none yet.
static EXIT_KEY: AtomicU32 = AtomicU32::new(0);

/// Lends the calling thread's rings, made at first use. `None`: they are lent, or the process has no pthread
/// key left, so that nobody would see the thread's end.
#[inline]
fn with_rings<R>(f: impl FnOnce(&mut Rings) -> R) -> Option<R> {
    let at = match RINGS.replace(LENT) {
        LENT => return None,
        at if at.is_null() => make_rings()?,
        at => at,
    };
    // SAFETY: from `Box::into_raw`; the thread's cell says LENT, so this is the only way to it.
    let result = f(unsafe { &mut *at });
    RINGS.set(at);
    Some(result)
}

#[cold]
fn make_rings() -> Option<*mut Rings> {
    let Some(key) = register::key(&EXIT_KEY, on_thread_exit) else {
        RINGS.set(core::ptr::null_mut());
        return None;
    };
    leave::call_before(settle);
    let at = Box::into_raw(Box::new(Rings::default()));
    sys::key_set(key, at.cast_const().cast());
    Some(at)
}

/// # Safety
/// 1. `rings` is what `make_rings` set for the calling thread's key.
unsafe extern "C" fn on_thread_exit(rings: *mut c_void) {
    // Later hooks of this thread may retire again: they make new rings, and this hook runs again.
    RINGS.set(core::ptr::null_mut());
    // SAFETY: clause 1: from `Box::into_raw`, and out of the cell.
    let mut rings = unsafe { Box::from_raw(rings.cast::<Rings>()) };
    rings.flush();
}

impl Rings {
    fn flush(&mut self) {
        let [memb, mb, qsbr] = &mut self.rings;
        memb.flush::<MembBarriers>();
        mb.flush::<MbBarriers>();
        qsbr.flush::<QsbrBarriers>();
    }
}

/// Frees memory after a grace period, unless no ring takes it: `false`, and nothing has happened.
///
/// # Safety
/// 1. `at` was allocated by the global allocator with this layout, which is not of size 0; it is unpublished
///    in the flavor `B`, the caller gives it up, and what is in it needs no drop.
#[inline]
pub(crate) unsafe fn retire<B: Global>(at: NonNull<u8>, layout: Layout) -> bool {
    let (Some(ring), true) = (B::RING, layout.size() <= HALF_BYTES / 2) else {
        return false;
    };
    // SAFETY: clause 1, by our own.
    with_rings(|rings| unsafe { rings.rings[ring].retire::<B>(at, layout) }).is_some()
}

/// For a worker that leaves, and so may wait for its own domain: frees what callbacks have retired here. The thread's
/// end would post it, and start another worker, which nobody joins. What is of other domains goes to theirs.
fn settle(own: &Engine) {
    if RINGS.get().is_null() {
        return;
    }
    let rings = with_rings(|rings| core::mem::take(&mut rings.rings));
    let [memb, mb, qsbr] = &mut rings.unwrap_or_default();
    memb.settle::<MembBarriers>(own);
    mb.settle::<MbBarriers>(own);
    qsbr.settle::<QsbrBarriers>(own);
}

/// Hands what the calling thread's rings hold to the workers: it is going to sleep for long.
pub(crate) fn flush() {
    if !RINGS.get().is_null() {
        with_rings(Rings::flush);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memb, Qsbr, Rcu};

    fn held() -> usize {
        with_rings(|rings| rings.rings.iter().map(Ring::len).sum()).unwrap()
    }

    fn retire_many(count: usize) {
        let p: Rcu<u64> = Rcu::new(0);
        for n in 1..=count as u64 {
            p.replace(n).unwrap().free();
        }
    }

    /// In a thread of its own, whose rings are empty.
    fn on_a_new_thread(f: fn()) {
        std::thread::spawn(f).join().unwrap();
    }

    #[test]
    fn the_owner_frees_what_is_ripe_and_holds_less_than_two_halves() {
        on_a_new_thread(|| {
            retire_many(HALF - 1);
            assert_eq!(held(), HALF - 1, "nothing is ripe before its half is full");
            retire_many(1);
            for _ in 0..20 {
                retire_many(HALF / 4 + 7);
                assert!(held() <= 2 * HALF);
            }
        });
    }

    #[test]
    fn a_half_that_is_not_ripe_goes_to_the_worker_and_is_freed_after_its_readers() {
        on_a_new_thread(|| {
            static P: Rcu<u64> = Rcu::null();
            P.assign(7);
            let guard = Memb::read_lock();
            let seen = P.dereference(&guard).unwrap();
            let queued = Memb::stats().callbacks_queued;
            P.assign(8);
            retire_many(3 * HALF);
            assert!(
                Memb::stats().callbacks_queued > queued,
                "nothing was spilled"
            );
            assert!(held() <= 2 * HALF);
            assert_eq!(*seen, 7, "freed under its reader");
            drop(guard);
        });
    }

    #[test]
    fn an_object_in_the_ring_outlives_the_section_that_found_it() {
        on_a_new_thread(|| {
            let thread = Qsbr::register();
            static P: Rcu<[u64; 8], Qsbr> = Rcu::null();
            P.assign([1; 8]);
            let guard = thread.read_lock();
            let seen = P.dereference(&guard).unwrap();
            for n in 2..3 * HALF as u64 {
                P.assign([n; 8]);
            }
            assert_eq!(seen, &[1; 8]);
        });
    }

    #[test]
    fn a_ring_is_capped_in_bytes() {
        on_a_new_thread(|| {
            const BIG: usize = HALF_BYTES / 8;
            let p: Rcu<[u8; BIG]> = Rcu::new([0; BIG]);
            for n in 0..40 {
                p.replace([n; BIG]).unwrap().free();
                assert!(held() <= 16, "{} objects of {BIG} bytes", held());
            }
        });
    }

    #[test]
    fn layouts_in_turn_fill_a_half_together() {
        on_a_new_thread(|| {
            const BIG: usize = HALF_BYTES / 8;
            let (big, small): (Rcu<[u8; BIG]>, Rcu<u64>) = (Rcu::new([0; BIG]), Rcu::new(0));
            for n in 0..40 {
                big.replace([n; BIG]).unwrap().free();
                small.replace(n.into()).unwrap().free();
                assert!(held() <= 2 * 16, "{} objects", held());
            }
        });
    }

    #[test]
    fn flushing_leaves_nothing_behind() {
        on_a_new_thread(|| {
            retire_many(HALF + 100);
            assert_ne!(held(), 0);
            flush();
            assert_eq!(held(), 0);
            Memb::barrier();
        });
    }

    #[test]
    fn while_the_rings_are_lent_memory_goes_to_the_worker() {
        on_a_new_thread(|| {
            let queued = Memb::stats().callbacks_queued;
            with_rings(|_| retire_many(3)).unwrap();
            assert!(Memb::stats().callbacks_queued >= queued + 3);
            assert_eq!(held(), 0);
        });
    }
}

//! A slot for each guard: claimed where the section begins, given back where it ends, by whatever thread.
//!
//! # Who owns a slot
//! The word says it. 0: nobody; a CAS from 0 claims the slot and publishes its section in one step. Depth 1:
//! the guard. [`Word::KEPT`]: the thread that ended a section there and keeps the slot for its next one, which
//! then needs no CAS (a locked instruction is most of what a section would cost). A thread keeps one slot of
//! each of [`WAYS`] domains. [`Word::SHED`]: a guard whose section a fork has ended.
//!
//! A kept slot passes between threads only through a guard, and so with a happens-before between its uses.
//! A thread that ends, or needs the place for another domain, gives its slot back, if the domain still lives.

use crate::atomic::{AtomicU32, Ordering};
use core::cell::Cell;
use core::ffi::c_void;
use core::panic::Location;
use core::ptr;

use crate::arena::{Slot, halves, thread_id};
use crate::barrier;
use crate::gp::{Barriers as _, Engine};
use crate::register;
use crate::srcu::barriers::{SrcuBarriers, order_publication};
use crate::srcu::registry;
use crate::sys;
use crate::word::Word;

/// How many domains a thread keeps a slot of.
const WAYS: usize = 4;

/// A domain's number and engine, as the pool needs them. Numbers are never given twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool<'d> {
    pub(super) id: u64,
    pub(super) engine: &'d Engine,
}

/// What one thread keeps of one domain.
///
/// # Invariants
/// 1. `slot` is null or a slot of the domain with number `domain`, idle, with word [`Word::KEPT`], and owned
///    by this thread.
struct Kept {
    /// The domain's number; 0: none.
    domain: Cell<u64>,
    slot: Cell<*const Slot>,
    /// Where the next claim starts to look.
    hint: Cell<usize>,
}

/// What one thread keeps. Made by its first section, freed by the hook of [`EXIT_KEY`]; on the heap, because
/// the thread-locals of a plugin have to fit into what the C library reserves.
struct Keeper {
    /// The thread, for messages and for fork.
    id: u64,
    tid: Cell<i32>,
    name: [u64; 2],
    domains: [Kept; WAYS],
}

/// The pthread key of [`on_thread_exit`], plus 1; 0 when there is none yet. A thread's keeper is its value: a
/// thread-local of its own would be faster by a nanosecond, and too much for a shared object's reserve.
static EXIT_KEY: AtomicU32 = AtomicU32::new(0);

impl Keeper {
    /// The calling thread's, if it has one.
    #[inline(always)]
    fn current<'k>() -> Option<&'k Self> {
        let key = EXIT_KEY.load(Ordering::Acquire).checked_sub(1)?;
        // SAFETY: null, or from `current_or_new`. It is freed at the thread's end, by the hook, which no function of
        // this file calls; none of them lets it out.
        unsafe { sys::key_get(key).cast::<Self>().as_ref() }
    }

    /// The same, made if need be. `None` where no hook would free it: the process has no pthread key left.
    fn current_or_new<'k>() -> Option<&'k Self> {
        if let Some(keeper) = Self::current() {
            return Some(keeper);
        }
        let key = register::key(&EXIT_KEY, on_thread_exit)?;
        let id = thread_id();
        let domains = [const {
            Kept {
                domain: Cell::new(0),
                slot: Cell::new(ptr::null()),
                hint: Cell::new(0),
            }
        }; WAYS];
        // Threads start in different places, so that they do not contend for the first lines.
        domains
            .iter()
            .for_each(|kept| kept.hint.set(first_hint(id)));
        let keeper = Box::into_raw(Box::new(Self {
            id,
            tid: Cell::new(sys::gettid()),
            name: halves(sys::thread_name()),
            domains,
        }));
        sys::key_set(key, keeper.cast_const().cast());
        let current = Self::current();
        if current.is_none() {
            // No memory for the key's value: each section claims its slot anew.
            // SAFETY: from the box above, and in nobody's hands.
            drop(unsafe { Box::from_raw(keeper) });
        }
        current
    }

    #[inline(always)]
    fn of(&self, id: u64) -> &Kept {
        &self.domains[id as usize % WAYS]
    }

    #[inline(always)]
    fn own(&self, slot: &Slot) {
        if slot.owner() != self.id {
            slot.set_owner(self.id, self.tid.get(), self.name);
        }
    }
}

fn first_hint(thread: u64) -> usize {
    thread as usize * 5 % 64
}

impl Kept {
    /// Gives the slot back to its domain, if that still lives.
    fn give_back(&self) {
        let slot = self.slot.replace(ptr::null());
        if slot.is_null() {
            return;
        }
        registry::while_it_lives(self.domain.get(), || {
            // SAFETY: invariant 1, and the domain lives until this returns.
            free(unsafe { &*slot });
        });
    }

    /// Makes this the place of that domain.
    fn turn_to(&self, id: u64) {
        if self.domain.get() != id {
            self.give_back();
            self.domain.set(id);
        }
    }
}

/// # Safety
/// 1. `keeper` is what [`Keeper::current_or_new`] set for the calling thread's key.
unsafe extern "C" fn on_thread_exit(keeper: *mut c_void) {
    // The key's value is null now. Later hooks of this thread may read again: they make another, and this hook
    // runs again.
    // SAFETY: clause 1; it came from a box, and nobody else has it now.
    let keeper = unsafe { Box::from_raw(keeper.cast::<Keeper>()) };
    keeper.domains.iter().for_each(Kept::give_back);
}

/// In a forked child: the thread has another tid.
pub(crate) fn after_fork_in_child() {
    if let Some(keeper) = Keeper::current() {
        keeper.tid.set(sys::gettid());
    }
}

/// Makes a slot anybody's.
fn free(slot: &Slot) {
    slot.disown();
    // Release pairs with the Acquire of the next claim, and with the scan.
    slot.word.store(Word::IDLE.raw(), Ordering::Release);
}

/// Begins a section on a slot of its own.
#[inline]
pub(super) fn enter<'d>(pool: Pool<'d>, place: &'static Location<'static>) -> &'d Slot {
    let slot = match take_kept(pool) {
        Some(slot) => {
            SrcuBarriers::publish(&slot.word, pool.engine.sequence().raw());
            slot
        }
        None => claim(pool),
    };
    slot.set_place(place);
    slot
}

#[inline(always)]
fn take_kept<'d>(pool: Pool<'d>) -> Option<&'d Slot> {
    let kept = Keeper::current()?.of(pool.id);
    if kept.domain.get() != pool.id {
        return None;
    }
    let slot = kept.slot.replace(ptr::null());
    // SAFETY: null, or by invariant 1 a slot of this domain, which lives for 'd: numbers are unique.
    unsafe { slot.as_ref::<'d>() }
}

#[cold]
fn claim(pool: Pool<'_>) -> &Slot {
    let claim_behind = |hint: usize| {
        let entered = Word::from_raw(pool.engine.sequence().raw());
        pool.engine.arena.claim_with_word(hint, entered)
    };
    let slot = if let Some(keeper) = Keeper::current_or_new() {
        let kept = keeper.of(pool.id);
        kept.turn_to(pool.id);
        let (slot, at) = claim_behind(kept.hint.get());
        kept.hint.set(at + 1);
        keeper.own(slot);
        slot
    } else {
        let id = thread_id();
        let (slot, _) = claim_behind(first_hint(id));
        slot.set_identity(id);
        slot
    };
    order_publication();
    slot
}

/// Ends a section, on whatever thread. The slot is not the caller's any more.
#[inline]
pub(super) fn leave(pool: Pool<'_>, slot: &Slot) {
    let left = slot.word();
    if !keep(pool, slot) {
        free(slot);
    }
    // Second row of the table in `crate::barrier`: either a sleeper's scan behind its heavy barrier sees the
    // idle word, or this load sees its request. Where membarrier is absent, sleeps are short.
    barrier::light();
    if pool.engine.asks() {
        // Not for an answer to a cooperative round, which would go into the slot: there are none here.
        pool.engine.answer(slot, left);
    }
}

/// Ends a section, and keeps its slot for the thread's next one; `false` if the thread has one already.
#[inline(always)]
fn keep(pool: Pool<'_>, slot: &Slot) -> bool {
    let Some(keeper) = Keeper::current() else {
        return false;
    };
    let kept = keeper.of(pool.id);
    if kept.domain.get() != pool.id || !kept.slot.get().is_null() {
        return false;
    }
    keeper.own(slot);
    // Release pairs with the scan's Acquire: what the section did happens before what follows the grace
    // period.
    slot.word.store(Word::KEPT.raw(), Ordering::Release);
    // INVARIANT: 1.
    kept.slot.set(ptr::from_ref(slot));
    true
}

/// The one thing besides its slot that a reader writes: the calling thread's keeper.
#[cfg(test)]
pub(crate) fn keeper_address() -> Option<usize> {
    Keeper::current().map(|keeper| ptr::from_ref(keeper).addr())
}

#[cfg(test)]
mod tests {
    use crate::Srcu;
    use crate::home::Home as _;
    use std::thread;

    /// How many slots were ever in use, and how many are nobody's now.
    fn used_and_free(srcu: &Srcu) -> (usize, usize) {
        let slots = || srcu.shared().core().engine().arena.slots();
        let free = slots().filter(|slot| slot.word().raw() == 0 && slot.owner() == 0);
        (slots().count(), free.count())
    }

    #[test]
    fn a_thread_uses_one_slot_again_and_again() {
        let srcu = Srcu::new();
        let first = srcu.read_lock();
        let slot = used_and_free(&srcu);
        drop(first);
        for _ in 0..200 {
            drop(srcu.read_lock());
            assert_eq!(used_and_free(&srcu), (slot.0, slot.0 - 1), "it is kept");
        }
        // The second of two is not, so the next thread finds it.
        drop((srcu.read_lock(), srcu.read_lock()));
        let (used, free) = used_and_free(&srcu);
        assert_eq!(used - free, 1);
    }

    #[test]
    fn a_thread_that_ends_gives_its_slot_back() {
        let srcu = Srcu::new();
        for _ in 0..300 {
            let inside = srcu.clone();
            let thread = thread::spawn(move || {
                drop((inside.read_lock(), inside.read_lock()));
                drop(Srcu::new().read_lock()); // of a domain that ends before the thread
            });
            thread.join().unwrap(); // a scope's end would not wait for the hook
            let (used, free) = used_and_free(&srcu);
            assert!(used == free && used <= 64 + 2, "{used} used, {free} free");
        }
    }

    #[test]
    fn a_thread_keeps_slots_of_a_few_domains_only() {
        let domains: Vec<Srcu> = (0..super::WAYS * 3).map(|_| Srcu::new()).collect();
        for _ in 0..3 {
            domains.iter().for_each(|srcu| drop(srcu.read_lock()));
        }
        let kept = domains.iter().filter(|srcu| {
            let (used, free) = used_and_free(srcu);
            used != free
        });
        assert_eq!(kept.count(), super::WAYS);
    }

    #[test]
    fn a_section_that_ends_on_a_thread_without_sections_frees_its_slot() {
        let srcu = Srcu::new();
        drop(srcu.read_lock());
        thread::scope(|s| {
            let guard = srcu.read_lock();
            let thread = s.spawn(move || {
                drop(guard); // this thread keeps nothing of the domain yet: back to the pool
            });
            thread.join().unwrap();
        });
        let (used, free) = used_and_free(&srcu);
        assert_eq!(used, free);
    }
}

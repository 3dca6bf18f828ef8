//! The tests of `arena.rs`, whose inside they see.

use super::*;
use slot::CLAIMED;
use std::sync::Barrier;

fn leaked() -> &'static Arena {
    Box::leak(Box::new(Arena::new()))
}

#[test]
fn slots_are_claimed_once_and_used_again() {
    let arena = leaked();
    let slots: Vec<_> = (0..CHUNK * 3 + 5).map(|_| arena.claim()).collect();
    let mut addresses: Vec<_> = slots
        .iter()
        .map(|s| core::ptr::from_ref(*s).addr())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), slots.len(), "a slot was claimed twice");
    assert_eq!(arena.claimed(), slots.len());
    assert_eq!(arena.slots().count(), slots.len());
    for slot in &slots {
        arena.release(slot, Word::IDLE);
    }
    assert_eq!(arena.claimed(), 0);
    let again = arena.claim();
    assert!(
        core::ptr::eq(again, slots[0]),
        "the first free slot is used again"
    );
    assert_eq!(
        arena.slots().count(),
        slots.len(),
        "the high-water mark never falls"
    );
}

#[test]
fn an_abandoned_slot_is_never_claimed_again() {
    let arena = leaked();
    let slot = arena.claim();
    arena.abandon(slot);
    assert!(slot.is_abandoned());
    assert!(!core::ptr::eq(arena.claim(), slot));
    assert_eq!(arena.claimed(), 2);
}

// A thread that had owned the slot before took it for its own while another thread claimed it.
#[test]
fn a_freed_slot_still_named_its_last_owner() {
    let arena = leaked();
    let me = thread_id();
    let slot = arena.claim();
    assert!(slot.belongs_to(me));
    arena.release(slot, Word::IDLE);
    assert!(!slot.belongs_to(me));
    slot.turn_to(CLAIMED, Ordering::Relaxed); // another thread, before it has stored its name
    assert!(!slot.belongs_to(me));
}

/// The tid of a thread that has ended.
fn dead_tid() -> i32 {
    let thread = std::thread::spawn(sys::gettid);
    let tid = thread.join().unwrap();
    while sys::thread_exists(tid) {
        std::thread::yield_now(); // joined before the kernel has forgotten it
    }
    tid
}

#[test]
fn only_idle_slots_of_dead_threads_are_swept() {
    let arena = leaked();
    let dead = dead_tid();
    let claim = |owner, tid| {
        let slot = arena.claim();
        slot.set_owner(owner, tid, [0; 2]);
        slot
    };
    let stranger = u64::MAX; // a number that no thread has
    let swept = [claim(stranger, dead), claim(stranger, dead)];
    swept[1].set_unwatched();
    let kept = [
        claim(stranger, sys::gettid()),
        claim(stranger, 0),
        claim(thread_id(), dead),
        claim(stranger, dead),
        claim(stranger, dead),
    ];
    kept[3].word.store(1, Ordering::Relaxed); // inside a section
    arena.abandon(kept[4]);
    assert!(arena.sweep());
    assert!(swept.iter().all(|slot| slot.is_vacant()));
    assert!(kept.iter().all(|slot| !slot.is_vacant()));
    assert_eq!(arena.claimed(), kept.len());
    assert!(!arena.sweep(), "too soon, and there is nothing");
}

#[test]
fn the_arena_is_swept_before_it_grows() {
    let arena = leaked();
    let dead = dead_tid();
    for _ in 0..CHUNK * 20 {
        arena.claim().set_owner(u64::MAX, dead, [0; 2]);
    }
    assert!(arena.slots().count() <= 2 * CHUNK);
    // What lives meanwhile makes it grow.
    let me = thread_id();
    let living: Vec<_> = (0..3 * CHUNK).map(|_| arena.claim()).collect();
    assert!(living.iter().all(|slot| slot.belongs_to(me)));
}

#[test]
fn claims_from_many_threads_never_share_a_slot() {
    let arena = leaked();
    let all_have = Barrier::new(4); // the slots of a thread that has ended may be swept
    let all_have: &'static Barrier = Box::leak(Box::new(all_have));
    let claim = || {
        let claims = (0..200).map(|_| core::ptr::from_ref(arena.claim()).addr());
        let claims = claims.collect();
        all_have.wait();
        claims
    };
    let threads: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(move || -> Vec<usize> { claim() }))
        .collect();
    let mut all: Vec<usize> = threads
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 800);
    assert_eq!(arena.slots().count(), 800);
}

// Another thread was between its claim and the mark when this one forked. Its slot was given back, later, and counted
// down, but never up: with one reader left the count said none, and the heavy barrier was left out.
#[test]
fn a_claim_cut_off_by_a_fork_was_counted_down_and_never_up() {
    let arena = leaked();
    let me = thread_id();
    let _mine = arena.claim();
    let phantom = &arena.first.slots[1];
    assert!(phantom.try_claim());
    phantom.set_owner(u64::MAX, dead_tid(), [0; 2]);
    arena.keep_only(me); // the child
    assert_eq!(arena.claimed(), 1);
    assert!(phantom.is_vacant());
    let others: Vec<_> = (0..CHUNK).map(|_| arena.claim()).collect();
    assert_eq!(arena.claimed(), others.len() + 1);
}

// The same with a guard of srcu: its section was open for ever in the child.
#[test]
fn a_guard_cut_off_by_a_fork_held_the_childs_grace_periods_back() {
    use crate::word::Sequence;
    let arena = leaked();
    let (old, now) = (Sequence::FIRST, Sequence::FIRST.next());
    let phantoms = [&arena.first.slots[0], &arena.first.slots[2]];
    for phantom in phantoms {
        phantom.word.store(old.raw(), Ordering::Relaxed);
    }
    arena.shed(thread_id()); // the child
    let (slot, at) = arena.claim_with_word(0, Word::from_raw(now.raw()));
    assert_eq!(at, 1);
    slot.word.store(0, Ordering::Release);
    assert!(phantoms.iter().all(|slot| slot.word() == Word::SHED));
    assert_eq!(arena.slots().count(), 3);
}

// The section of a thread that the child has not stayed open where nobody would have seen that thread end.
#[test]
fn an_unwatched_slot_was_kept_by_a_child_that_has_not_its_thread() {
    let arena = leaked();
    let (living, dead) = (sys::gettid(), dead_tid());
    let claim = |tid, word| {
        let slot = arena.claim();
        slot.set_owner(u64::MAX, tid, [0; 2]);
        slot.word.store(word, Ordering::Relaxed);
        slot
    };
    let freed = [claim(living, 1), claim(living, 0), claim(dead, 0)];
    let kept = claim(dead, 1);
    freed
        .iter()
        .chain([&kept])
        .for_each(|slot| slot.set_unwatched());
    assert_eq!(arena.abandon_for_the_dead(), 1);
    assert_eq!(arena.abandon_for_the_dead(), 0);
    arena.keep_only(thread_id()); // the child
    assert!(freed.iter().all(|slot| slot.is_vacant()));
    assert!(freed.iter().all(|slot| slot.word() == Word::IDLE));
    assert!(kept.is_abandoned() && kept.word().depth() == 1);
    assert_eq!(arena.claimed(), 1);
}

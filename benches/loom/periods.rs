//! Models of grace periods: the engine, its readers, and what sleeps and wakes.

use std::sync::Arc;

use loom::thread;

use crate::arena::Slot;
use crate::atomic::{AtomicUsize, Ordering};
use crate::flavor::{Cooperative, Fault, Flavor, Memb, Qsbr, Skipping, engine, has, reader_left};
use crate::gp::{Barriers as _, Caller, Engine};
use crate::guard::Guard;
use crate::park::Event;
use crate::thread::Thread;
use crate::word::Word;
use crate::world::{World, section, slot, synchronize};

/// Readers with so many sections each, against one grace period.
pub(crate) fn grace_period<F: Flavor>(readers: usize, sections: usize) {
    let world = World::new();
    let threads: Vec<_> = (0..readers)
        .map(|_| {
            let (world, slot) = (Arc::clone(&world), slot::<F>());
            thread::spawn(move || {
                for _ in 0..sections {
                    section::<F>(slot, &world);
                }
            })
        })
        .collect();
    world.remove();
    synchronize::<F>();
    world.free();
    for thread in threads {
        thread.join().expect("a reader");
    }
}

/// A reader that may publish a sequence it loaded long ago, against two grace periods.
pub(crate) fn two_grace_periods<F: Flavor>() {
    let world = World::new();
    let reader = {
        let (world, slot) = (Arc::clone(&world), slot::<F>());
        thread::spawn(move || section::<F>(slot, &world))
    };
    synchronize::<F>();
    world.remove();
    synchronize::<F>();
    world.free();
    reader.join().expect("the reader");
}

/// Two callers, of whom one may share the other's round or overlap it.
pub(crate) fn shared<F: Flavor>() {
    let worlds = [World::new(), World::new()];
    let (slot, both) = (slot::<F>(), worlds.clone());
    let reader = thread::spawn(move || {
        let guard = Guard::<F>::enter(slot);
        both.iter().for_each(|world| world.read());
        drop(guard);
    });
    let [mine, other] = worlds;
    let update = |world: Arc<World>| {
        world.remove();
        synchronize::<F>();
        world.free();
    };
    let updater = thread::spawn(move || update(other));
    update(mine);
    updater.join().expect("the updater");
    reader.join().expect("the reader");
}

/// A thread that registers while a grace period begins, with the short cut of rule A9. Where that is not taken,
/// the grace period waits for the reader's end, and nothing stands in for the registration's fence.
pub(crate) fn registration() {
    let world = World::new();
    let left = reader_left();
    let reader = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let slot = slot::<Skipping>();
            section::<Skipping>(slot, &world);
            engine::<Skipping>().arena.release(slot, Word::IDLE);
            left.store(1, Ordering::Release);
        })
    };
    world.remove();
    synchronize::<Skipping>();
    world.free();
    reader.join().expect("the reader");
}

/// A slot changes hands: who frees must have seen the sections of both owners end.
pub(crate) fn slot_changes_hands() {
    let world = World::new();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let slot = slot::<Memb>();
                section::<Memb>(slot, &world);
                engine::<Memb>().arena.release(slot, Word::IDLE);
            })
        })
        .collect();
    world.remove();
    synchronize::<Memb>();
    world.free();
    for reader in readers {
        reader.join().expect("a reader");
    }
}

/// The real handle: reads, announces, reads, and is dropped.
pub(crate) fn quiescent_handle() {
    let world = World::new();
    let online = Arc::new(AtomicUsize::new(0));
    let _ = format!("{online:?}");
    let reader = {
        let (world, online) = (Arc::clone(&world), Arc::clone(&online));
        thread::spawn(move || {
            let mut handle = Thread::<Qsbr>::new();
            world.read();
            online.store(1, Ordering::Release);
            handle.quiescent_state();
            world.read();
            drop(handle);
        })
    };
    while online.load(Ordering::Acquire) == 0 {
        thread::yield_now();
    }
    world.remove();
    synchronize::<Qsbr>();
    world.free();
    reader.join().expect("the reader");
}

/// A reader that is in and out, and answers; one that is parked reads too.
pub(crate) fn cooperation(parked: bool) {
    let world = World::new();
    let reader = {
        let (world, slot) = (Arc::clone(&world), slot::<Cooperative>());
        thread::spawn(move || {
            let parking = parked.then(|| slot.park());
            section::<Cooperative>(slot, &world);
            drop(parking);
            section::<Cooperative>(slot, &world);
        })
    };
    world.remove();
    synchronize::<Cooperative>();
    world.free();
    reader.join().expect("the reader");
}

/// A qsbr thread reads, announces, reads and goes offline; a sleeping grace period must hear of it.
pub(crate) fn quiescent() {
    let world = World::new();
    let slot = slot::<Qsbr>();
    <Qsbr as Flavor>::Barriers::publish(&slot.word, engine::<Qsbr>().sequence().raw());
    let reader = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            world.read();
            announce(engine::<Qsbr>(), slot);
            world.read();
            let left = Word::from_raw(slot.word.swap(Word::IDLE.raw(), Ordering::SeqCst));
            engine::<Qsbr>().answer_after_exchange(left);
        })
    };
    world.remove();
    synchronize::<Qsbr>();
    world.free();
    reader.join().expect("the reader");
}

/// As `Thread::quiescent_state`, or as liburcu had it for a while.
fn announce(engine: &Engine, slot: &Slot) {
    let now = engine.sequence_to_announce();
    if slot.word() != Word::from_raw(now.raw()) {
        if has(Fault::StoreInsteadOfExchange) {
            let left = slot.word();
            slot.word.store(now.raw(), Ordering::SeqCst);
            if engine.asks() {
                engine.answer(slot, left);
            }
        } else {
            let left = Word::from_raw(slot.word.swap(now.raw(), Ordering::SeqCst));
            engine.answer_after_exchange(left);
        }
    }
}

/// One that asks now and then instead of waiting, beside one that waits.
pub(crate) fn polled<F: Flavor>() {
    let world = World::new();
    let reader = {
        let (world, slot) = (Arc::clone(&world), slot::<F>());
        thread::spawn(move || section::<F>(slot, &world))
    };
    let waiter = thread::spawn(synchronize::<F>);
    world.remove();
    let early = u64::from(has(Fault::CookieOfARoundInFlight));
    let round = engine::<F>().round_from_now() - early;
    for _ in 0..2 {
        if engine::<F>().is_over(round) {
            world.free();
            break;
        }
        thread::yield_now();
    }
    waiter.join().expect("the waiter");
    reader.join().expect("the reader");
}

/// A ring's owner: begins without waiting, looks later.
pub(crate) fn ring<F: Flavor>() {
    let world = World::new();
    let reader = {
        let (world, slot) = (Arc::clone(&world), slot::<F>());
        thread::spawn(move || section::<F>(slot, &world))
    };
    world.remove();
    let target = engine::<F>().begin::<F::Barriers>(Caller::default());
    for _ in 0..2 {
        if engine::<F>().has_passed(target) {
            world.free();
            break;
        }
        thread::yield_now();
    }
    reader.join().expect("the reader");
}

/// A reader that is inside when the grace period begins must wake it when it leaves: a sleep that nobody ends
/// is a deadlock. Nothing is freed, so only the hand-shake can fail.
pub(crate) fn hand_shake<F: Flavor>() {
    let slot = slot::<F>();
    let inside = Arc::new(AtomicUsize::new(0));
    let _ = format!("{inside:?}");
    let entered = Arc::clone(&inside);
    let reader = thread::spawn(move || {
        let guard = Guard::<F>::enter(slot);
        entered.store(1, Ordering::Release);
        drop(guard);
    });
    while inside.load(Ordering::Acquire) == 0 {
        thread::yield_now();
    }
    synchronize::<F>();
    reader.join().expect("the reader");
}

/// Two wait for a signal, with no time-out.
pub(crate) fn event() {
    let event = Arc::new(Event::new());
    let _ = format!("{event:?}");
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let event = Arc::clone(&event);
            thread::spawn(move || assert!(event.wait_while(0, None)))
        })
        .collect();
    event.signal();
    for waiter in waiters {
        waiter.join().expect("a waiter");
    }
}

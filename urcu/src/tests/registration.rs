//! A thread that becomes a reader while a grace period begins: by registering (rule A9) or by going online.
//!
//! Where nobody else is registered the engine skips the heavy barrier, and only the fence of the
//! registration is left between the new reader and the updater. That needs a domain of its own.

use std::cell::RefCell;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};

use super::litmus::store_buffering::{CLOG, FAR, lines};
use super::subject::{Dice, scale, whole_machine};
use crate::flavor::sabotaged::{Cooperative, Lonely};
use crate::{Mb, Memb, Qsbr, Thread};

const LIVE: u64 = 0x11fe_11fe_11fe_11fe;
const DEAD: u64 = 0xdead_dead_dead_dead;

/// One thread becomes a reader again and again; another removes, waits and poisons.
///
/// `visit(clog, read)` calls `clog` just before the reader word is stored, which holds that store up (see
/// `store_buffering`), and `read` in the section.
fn storm(synchronize: fn(), mut visit: impl FnMut(&mut dyn FnMut(), &mut dyn FnMut()) + Send) {
    let rounds = scale("URCU_LITMUS_ROUNDS", 20_000) * 5;
    let objects = [const { AtomicU64::new(LIVE) }; 2];
    let at = AtomicPtr::new((&raw const objects[0]).cast_mut());
    let over = AtomicBool::new(false);
    let bad = AtomicU64::new(0);
    let far = lines(FAR);
    std::thread::scope(|s| {
        let reader = s.spawn(|| {
            let (mut choice, mut pause, mut dice) = (Dice::new(1), Dice::new(3), Dice::new(4));
            while !over.load(Relaxed) {
                let mut clog = || {
                    let start = choice.below(far.len() - CLOG);
                    for line in &far[start..start + CLOG] {
                        line.store(1, Relaxed);
                    }
                };
                let mut read = || {
                    let object = at.load(Acquire);
                    pause.waver();
                    // SAFETY: both objects live until the scope ends.
                    let value = unsafe { &*object }.load(Relaxed);
                    bad.fetch_add(u64::from(value != LIVE), Relaxed);
                };
                visit(&mut clog, &mut read);
                dice.dawdle();
            }
        });
        let mut dice = Dice::new(2);
        for round in 0..rounds {
            let (old, new) = (&objects[round % 2], &objects[(round + 1) % 2]);
            new.store(LIVE, Relaxed);
            at.swap((&raw const *new).cast_mut(), AcqRel);
            synchronize();
            old.store(DEAD, Relaxed);
            dice.waver();
            if round % 256 == 0 {
                far.iter().for_each(|line| line.store(0, Relaxed));
            }
        }
        over.store(true, Relaxed);
        // The scope's end would not wait for its hook: registered, and silent, it would keep the next storm from
        // cooperative rounds.
        reader.join().unwrap();
    });
    assert_eq!(bad.into_inner(), 0, "a new reader was not seen");
}

#[test]
fn a09_registration_storm_against_synchronize() {
    let _machine = whole_machine();
    let before = Lonely::stats();
    let (mut grace_periods, mut heavy) = (0, 0);
    // On a busy machine the two may not meet in the first storms.
    for _ in 0..20 {
        storm(Lonely::synchronize, |clog, read| {
            let thread = Lonely::register();
            clog();
            let guard = thread.read_lock();
            read();
            drop(guard);
        });
        let after = Lonely::stats();
        assert_eq!(after.registered, before.registered);
        grace_periods = after.grace_periods - before.grace_periods;
        heavy = after.heavy_barriers - before.heavy_barriers;
        if (1000..grace_periods).contains(&heavy) {
            break;
        }
    }
    println!("{grace_periods} grace periods, {heavy} heavy barriers");
    assert!(heavy < grace_periods, "the short cut was never taken");
}

/// A12: a cooperative round passes a parked thread by. Two fences make that sound: that of a section which
/// begins while the thread is parked, and that of its return. Here either is all that stands between the
/// reader and a grace period without interrupt.
#[test]
fn a12_parked_threads_against_cooperative_rounds() {
    let _machine = whole_machine();
    type Visit = fn(&mut dyn FnMut(), &mut dyn FnMut());
    let back_from_parking: Visit = |clog, read| {
        Cooperative::park(clog);
        let guard = Cooperative::read_lock();
        read();
        drop(guard);
    };
    let inside_parking: Visit = |clog, read| {
        Cooperative::park(|| {
            clog();
            let guard = Cooperative::read_lock();
            read();
            drop(guard);
        });
    };
    let kept_from_parking: Visit = |clog, read| {
        let guard = Cooperative::park(|| {
            clog();
            Cooperative::read_lock()
        });
        read();
        drop(guard);
    };
    for visit in [back_from_parking, inside_parking, kept_from_parking] {
        let before = Cooperative::stats().cooperative;
        let answered = || Cooperative::stats().cooperative - before;
        // On a busy machine the reader may not run at all during the first storms.
        for _ in 0..50 {
            storm(Cooperative::synchronize, |clog, read| {
                // Registered before it parks: parking is without effect on a thread that has never read.
                drop(Cooperative::read_lock());
                visit(clog, read);
            });
            if answered() > 1000 || crate::cpus::cpus() < 2 {
                break;
            }
        }
        println!("{} cooperative rounds", answered());
        assert!(
            answered() > 0 || crate::cpus::cpus() < 2,
            "none was answered"
        );
    }
}

#[test]
fn a05_going_online_against_synchronize() {
    let _machine = whole_machine();
    thread_local! {
        static THREAD: RefCell<Option<Thread<Qsbr>>> = const { RefCell::new(None) };
    }
    storm(Qsbr::synchronize, |clog, read| {
        THREAD.with_borrow_mut(|thread| {
            let thread = thread.get_or_insert_with(Qsbr::register);
            thread.offline(clog);
            let guard = thread.read_lock();
            read();
            drop(guard);
        });
    });
}

#[test]
fn entries_against_synchronize() {
    let _machine = whole_machine();
    for (synchronize, lock) in [
        (
            Memb::synchronize as fn(),
            (|body| {
                let guard = Memb::read_lock();
                body();
                drop(guard);
            }) as fn(&mut dyn FnMut()),
        ),
        (Mb::synchronize, |body| {
            let guard = Mb::read_lock();
            body();
            drop(guard);
        }),
    ] {
        storm(synchronize, |clog, read| {
            clog();
            lock(read);
        });
    }
}

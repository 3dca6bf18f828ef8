//! Rule A9: a thread that registers while a grace period begins, where nobody else is registered.
//!
//! The engine then skips the heavy barrier, and only the registration fence is left between the new reader
//! and the updater. Needs a domain of its own.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};

use super::subject::{Dice, scale, whole_machine};
use crate::flavor::sabotaged::Lonely;

const LIVE: u64 = 0x11fe_11fe_11fe_11fe;
const DEAD: u64 = 0xdead_dead_dead_dead;

#[test]
fn a09_registration_storm_against_synchronize() {
    let _machine = whole_machine();
    let rounds = scale("URCU_LITMUS_ROUNDS", 20_000) * 5;
    let objects = [const { AtomicU64::new(LIVE) }; 2];
    let at = AtomicPtr::new((&raw const objects[0]).cast_mut());
    let over = AtomicBool::new(false);
    let bad = AtomicU64::new(0);
    let before = Lonely::stats();
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut dice = Dice::new(1);
            while !over.load(Relaxed) {
                let thread = Lonely::register();
                let guard = thread.read_lock();
                let object = at.load(Acquire);
                dice.jitter();
                // SAFETY: both objects live until the scope ends.
                let value = unsafe { &*object }.load(Relaxed);
                bad.fetch_add(u64::from(value != LIVE), Relaxed);
                drop(guard);
                drop(thread);
                dice.dawdle();
            }
        });
        let mut dice = Dice::new(2);
        for round in 0..rounds {
            let (old, new) = (&objects[round % 2], &objects[(round + 1) % 2]);
            new.store(LIVE, Relaxed);
            at.swap((&raw const *new).cast_mut(), AcqRel);
            Lonely::synchronize();
            old.store(DEAD, Relaxed);
            dice.jitter();
        }
        over.store(true, Relaxed);
    });
    let after = Lonely::stats();
    println!(
        "{rounds} grace periods, {} with a heavy barrier",
        after.heavy_barriers - before.heavy_barriers
    );
    assert_eq!(bad.into_inner(), 0, "a new reader was not seen");
    assert!(
        after.heavy_barriers - before.heavy_barriers < after.grace_periods - before.grace_periods,
        "the short cut was never taken: nothing was tested"
    );
    assert_eq!(after.registered, before.registered);
}

//! Forks while grace periods run: the child must be able to read, to wait and to be called back, at once.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use benches::sys::{self, Child};

use crate::faults::Fault;
use crate::ops::{Ops, pause_if_asked};
use crate::pool::Element;
use crate::state::{Torture, count};

/// A child that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const WELL: i32 = 0;
const SAW_TOO_OLD: i32 = 11;
const NOT_CALLED_BACK: i32 = 12;

/// Children, one at a time, until the torture is over.
pub(crate) fn forker<O: Ops>(torture: &'static Torture) {
    let mut ops = O::join();
    let member = torture.stutter.join();
    let mut dice = torture.dice("forks", 0);
    while !torture.is_over() {
        pause_if_asked(&member, &mut ops, |_| {});
        let inside = dice.one_in(2).then(|| ops.lock());
        let held = inside.as_ref().map(|_| torture.current());
        // SAFETY: clause 1: the child reads, waits and queues callbacks, which is what urcu promises there, and
        // leaves by `exit_now`; it takes no lock that another thread of the parent may hold.
        let Some(child) = (unsafe { sys::fork() }) else {
            let well = held.is_none_or(is_fresh);
            drop(inside);
            sys::exit_now(if well {
                go_on(torture, &mut ops)
            } else {
                SAW_TOO_OLD
            });
        };
        drop(inside);
        count(&torture.deeds.forks);
        if let Some(words) = ops.away(|| verdict(&child)) {
            torture.faults.tell(Fault::Child, || words);
        }
        let nap = Duration::from_millis(dice.below(20));
        ops.away(|| thread::sleep(nap));
    }
}

fn is_fresh(element: &Element) -> bool {
    element.age() <= 1 && element.stamp().is_some()
}

/// What the child does. The callbacks that the parent had queued run here too, on the child's copy.
fn go_on<O: Ops>(torture: &Torture, ops: &mut O) -> i32 {
    static CALLED: AtomicBool = AtomicBool::new(false);
    let section = ops.lock();
    let fresh = is_fresh(torture.current());
    drop(section);
    if !fresh {
        return SAW_TOO_OLD;
    }
    ops.synchronize();
    if O::HAS_WORKER {
        O::call(|| CALLED.store(true, SeqCst));
        ops.barrier();
        if !CALLED.load(SeqCst) {
            return NOT_CALLED_BACK;
        }
    }
    ops.synchronize();
    WELL
}

/// Waits for the child; what was wrong with it.
fn verdict(child: &Child) -> Option<String> {
    let forked = Instant::now();
    loop {
        match child.status() {
            Some(WELL) => return None,
            Some(status) => return Some(format!("a child ended with status {status}")),
            None if forked.elapsed() > PATIENCE => {
                child.kill();
                return Some(format!("a child hung for {PATIENCE:?}"));
            }
            None => thread::sleep(Duration::from_micros(500)),
        }
    }
}

//! Readers in signal handlers: SIGALRM at any instruction of a reader.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;
use std::time::Duration;

use benches::sys;

use crate::ops::Ops;
use crate::read::glance;
use crate::state::{Torture, count};

/// What the handler works on; set once, before the first signal.
static RUN: OnceLock<&'static Torture> = OnceLock::new();
/// The kernel's ids of the readers; 0: none.
static TARGETS: [AtomicI32; 64] = [const { AtomicI32::new(0) }; 64];

thread_local! {
    /// Which reader this thread is.
    static ME: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Says that the calling thread is reader number `me`, until the result is dropped.
pub(crate) fn become_target(torture: &Torture, me: usize) -> Target {
    ME.set(me);
    if torture.options.signals && me < TARGETS.len() {
        TARGETS[me].store(sys::gettid(), Release);
    }
    Target(me)
}

/// A reader that gets signals.
#[derive(Debug)]
pub(crate) struct Target(usize);

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(target) = TARGETS.get(self.0) {
            target.store(0, Relaxed); // a signal on its way finds a thread that is still here
        }
    }
}

extern "C" fn on_alarm<O: Ops>(_: c_int) {
    let me = ME.get();
    if let Some(torture) = RUN.get().filter(|torture| me < torture.readers()) {
        count(&torture.deeds.signals);
        glance::<O>(torture, torture.handler_tally(me));
    }
}

/// Sends signals to readers until the torture is over.
pub(crate) fn pester<O: Ops>(torture: &'static Torture) {
    RUN.get_or_init(|| torture);
    // SAFETY: clause 1: the handler opens sections, which the flavor allows there, and loads, stores and counts
    // atomics; `RUN` is initialised, so its `get` is a load.
    unsafe { sys::on_alarm(on_alarm::<O>) };
    let mut dice = torture.dice("signals", 0);
    let targets = &TARGETS[..torture.readers().min(TARGETS.len())];
    while !torture.is_over() {
        let target = dice.pick(&[0, 1, 2, 3]) + dice.index(targets.len());
        let tid = targets[target % targets.len()].load(Acquire);
        if tid != 0 {
            sys::alarm_thread(tid);
        }
        thread::sleep(Duration::from_micros(20 + dice.below(80)));
    }
}

//! Threads that begin, read once and end: registrations come and go while grace periods run.

use std::thread::{self, Builder};
use std::time::Duration;

use crate::faults::Fault;
use crate::ops::{Ops, pause_if_asked};
use crate::read::guest;
use crate::state::{Torture, count};

/// Episodes until the torture is over.
pub(crate) fn read_exit<O: Ops>(torture: &'static Torture) {
    let mut ops = O::join();
    let member = torture.stutter.join();
    let mut dice = torture.dice("read-exit", 0);
    let mut number = 0;
    while !torture.is_over() {
        pause_if_asked(&member, &mut ops, |_| {});
        let guests: Vec<_> = (0..torture.options.read_exit as usize)
            .map(|at| {
                number += 1;
                let number = number;
                let thread = Builder::new().name(format!("guest/{number}"));
                thread
                    .spawn(move || guest::<O>(torture, at, number))
                    .expect("a thread")
            })
            .collect();
        for guest in guests {
            if ops.away(|| guest.join()).is_err() {
                torture
                    .faults
                    .tell(Fault::Panic, || "a guest panicked".to_owned());
            }
            count(&torture.deeds.read_exits);
        }
        ops.barrier();
        let nap = Duration::from_millis(1 + dice.below(20));
        ops.away(|| thread::sleep(nap));
    }
}

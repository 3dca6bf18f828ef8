//! Writers and fake writers.

use std::thread;
use std::time::Duration;

use crate::faults::Fault;
use crate::ops::{Ops, Owned, Way, pause_if_asked, retire_by_callback, retire_lazily};
use crate::pool::Element;
use crate::state::{Torture, count};
use crate::weather::Weather;
use benches::dice::Dice;

/// Publishes a new element, and takes what was removed through its grace periods.
pub(crate) fn writer<O: Ops>(torture: &'static Torture, number: usize) {
    let mut ops = O::join();
    let member = torture.stutter.join();
    let mut dice = torture.dice("writer", number);
    let mut removed = Vec::new();
    while !torture.is_over() {
        pause_if_asked(&member, &mut ops, |ops| {
            bring_home(torture, ops, &mut removed, &mut dice)
        });
        pause(torture.weather(), &mut ops, &mut dice);
        let Some(new) = torture.pool.take(&mut dice) else {
            // All are on their way home: a barrier runs one more callback of each.
            ops.barrier();
            wait(torture, &mut ops, &mut removed, &mut dice);
            continue;
        };
        match dice.pick(O::WAYS) {
            Way::Synchronize => {
                removed.push(torture.publish(new));
                wait(torture, &mut ops, &mut removed, &mut dice);
            }
            Way::CallLazy => retire_lazily::<O>(torture, torture.publish(new)),
            Way::Call => retire_by_callback::<O>(torture, torture.publish(new)),
            way @ (Way::Free | Way::CallOwned | Way::SynchronizeOwned) => {
                let new = Owned::new::<O>(torture, torture.pool.element(new));
                ops.replace_owned(new, way);
            }
        }
        count(&torture.deeds.version);
        ops.quiescent();
    }
    bring_home(torture, &mut ops, &mut removed, &mut dice);
}

/// A grace period for everything that was removed.
fn wait<O: Ops>(torture: &Torture, ops: &mut O, removed: &mut Vec<&Element>, dice: &mut Dice) {
    grace_period(torture, ops, dice);
    removed.retain(|element| !torture.advance(element));
}

fn bring_home<O: Ops>(
    torture: &Torture,
    ops: &mut O,
    removed: &mut Vec<&Element>,
    dice: &mut Dice,
) {
    while !removed.is_empty() {
        wait(torture, ops, removed, dice);
    }
}

/// Waits for a grace period in one of the ways that there are.
fn grace_period<O: Ops>(torture: &Torture, ops: &mut O, dice: &mut Dice) {
    match dice.below(8) {
        0 => {
            // Asked about now and then until it is over.
            if let Some(cookie) = O::start_poll() {
                while !O::is_done(&cookie) {
                    let nap = Duration::from_micros(dice.below(100));
                    ops.away(|| thread::sleep(nap));
                }
                return;
            }
        }
        1 => {
            // Waited for, after a while in which it may have ended by itself.
            if let Some(cookie) = O::get_state() {
                let nap = Duration::from_micros(dice.below(100));
                ops.away(|| thread::sleep(nap));
                ops.wait_for(cookie);
                return;
            }
        }
        2 => {
            // Done after a whole grace period, whoever asked for that.
            let cookie = O::get_state();
            ops.synchronize();
            if cookie.is_some_and(|cookie| !O::is_done(&cookie)) {
                torture.faults.tell(Fault::PollLate, || {
                    "a cookie was not done after a whole grace period".to_owned()
                });
            }
            return;
        }
        _ => {}
    }
    ops.synchronize();
}

/// Waits for grace periods, and has nothing to remove: they never stop.
pub(crate) fn fake_writer<O: Ops>(torture: &'static Torture, number: usize) {
    let mut ops = O::join();
    let member = torture.stutter.join();
    let mut dice = torture.dice("fake writer", number);
    while !torture.is_over() {
        pause_if_asked(&member, &mut ops, |_| {});
        if O::HAS_WORKER && dice.one_in(16) {
            if dice.one_in(2) {
                O::call_lazy(|| {});
            } else {
                O::call(|| {});
            }
            if dice.one_in(64) {
                ops.barrier();
            }
        } else {
            grace_period(torture, &mut ops, &mut dice);
        }
        count(&torture.deeds.fake_waits);
        pause(torture.weather(), &mut ops, &mut dice);
        ops.quiescent();
    }
}

/// Between two updates.
fn pause<O: Ops>(weather: Weather, ops: &mut O, dice: &mut Dice) {
    dice.spin(200);
    if dice.one_in(256) {
        dice.spin(100_000);
    }
    if weather == Weather::Crowd && dice.one_in(8) {
        let nap = Duration::from_micros(dice.below(500));
        ops.away(|| thread::sleep(nap));
    }
}

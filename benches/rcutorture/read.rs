//! Readers: sections of all shapes, and what they check.

use std::array;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use crate::faults::Fault;
use crate::mail::Mail;
use crate::ops::{Ops, pause_if_asked};
use crate::parcels::Courier;
use crate::pool::{Element, PIPE};
use crate::state::{Tally, Torture, bump, count};
use crate::weather::Weather;
use benches::dice::Dice;

/// So many sections are open at most.
const DEEPEST: usize = 8;

/// The loop of reader number `me`.
pub(crate) fn reader<O: Ops>(torture: &'static Torture, me: usize) {
    let mut ops = O::join();
    let member = torture.stutter.join();
    let mut dice = torture.dice("reader", me);
    let tally = &torture.tallies[me];
    let courier = Courier::hire::<O>(torture, me);
    while !torture.is_over() {
        pause_if_asked(&member, &mut ops, |_| {});
        section(torture, &ops, tally, Some(me), &mut dice);
        if let Some(courier) = courier.as_ref().filter(|_| dice.one_in(64)) {
            courier.send::<O>(torture);
        }
        receive(torture, me);
        between(torture.weather(), &mut ops, &mut dice);
    }
}

/// A thread that reads once.
pub(crate) fn guest<O: Ops>(torture: &'static Torture, me: usize, number: usize) {
    let ops = O::join();
    let mut dice = torture.dice("guest", number);
    section(torture, &ops, torture.guest_tally(me), None, &mut dice);
    if O::LEAKS && dice.one_in(256) {
        count(&torture.deeds.leaks);
        std::mem::forget(ops);
    }
}

/// A section in a signal handler: no allocation, no lock.
pub(crate) fn glance<O: Ops>(torture: &Torture, tally: &Tally) {
    O::read_in_handler(|| {
        let held = Held::of(torture.current());
        for turn in 0..64 {
            std::hint::black_box(turn);
        }
        bump(&tally.sections);
        bump(&tally.ages[held.element.age().min(PIPE)]);
        for fault in [held.torn(), held.too_old()].into_iter().flatten() {
            torture.faults.count(fault);
        }
    });
}

/// An element, and what it held when the section found it.
struct Held<'a> {
    element: &'a Element,
    stamp: Option<u64>,
}

impl<'a> Held<'a> {
    fn of(element: &'a Element) -> Self {
        let stamp = element.stamp();
        Self { element, stamp }
    }

    fn torn(&self) -> Option<Fault> {
        (self.stamp.is_none() || self.element.stamp() != self.stamp).then_some(Fault::Torn)
    }

    fn too_old(&self) -> Option<Fault> {
        (self.element.age() > 1).then_some(Fault::TooOld)
    }
}

/// What a section did, for the report of the first that failed.
#[derive(Clone, Copy, Debug)]
enum Step {
    Enter,
    Leave,
    Spin,
    Yield,
    Sleep,
    Call,
    Note,
}

#[derive(Debug)]
struct Steps {
    taken: [Step; 32],
    len: usize,
}

impl Steps {
    fn push(&mut self, step: Step) {
        if let Some(at) = self.taken.get_mut(self.len) {
            *at = step;
            self.len += 1;
        }
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.taken[..self.len]
            .iter()
            .try_for_each(|step| write!(f, " {step:?}"))
    }
}

/// One section: more are opened and closed inside, in any order, so that it lasts from the first to the last
/// (where sections do not nest the first one lasts); time is lost in between. What it found must stay what it was.
fn section<O: Ops>(torture: &Torture, ops: &O, tally: &Tally, me: Option<usize>, dice: &mut Dice) {
    let mut steps = Steps {
        taken: [Step::Enter; 32],
        len: 0,
    };
    let weather = torture.weather();
    let mut open: [Option<O::Section<'_>>; DEEPEST] = array::from_fn(|_| None);
    bump(&tally.sections);
    let began = dice.one_in(16).then(O::grace_periods);
    let first = ops.lock();
    steps.push(Step::Enter);
    let cookie = match dice.below(2048) {
        0 => O::start_poll(),
        1..4 => O::get_state(),
        _ => None,
    };
    let held = [Some(torture.current()), O::owned(&first)].map(|found| found.map(Held::of));
    open[0] = Some(first);
    dwell(weather, dice, &mut steps);
    if O::SLEEPS && dice.one_in(512) {
        thread::sleep(Duration::from_micros(dice.below(100)));
        steps.push(Step::Sleep);
    }
    for _ in 0..segments(weather, dice) {
        // The new protection first, then an old one ends.
        let Some(free) = open.iter().position(Option::is_none) else {
            break;
        };
        open[free] = Some(ops.lock());
        steps.push(Step::Enter);
        let end = dice.index(DEEPEST);
        let may_end = end != free && (O::NESTS || end != 0);
        if may_end && open[end].take().is_some() {
            steps.push(Step::Leave);
        }
        dwell(weather, dice, &mut steps);
    }
    if O::HAS_WORKER && dice.one_in(1024) {
        O::call(|| {});
        steps.push(Step::Call);
    }
    if let (Some(me), true) = (me, dice.one_in(64)) {
        post(torture, me, held[0].as_ref(), tally, dice);
        steps.push(Step::Note);
    }
    for held in held.iter().flatten() {
        bump(&tally.ages[held.element.age().min(PIPE)]);
        for fault in [held.torn(), held.too_old()].into_iter().flatten() {
            torture.faults.tell(fault, || {
                format!(
                    "{fault:?}: stamp {:?}, then {:?}, age {}; {} sections still open; steps:{steps}",
                    held.stamp,
                    held.element.stamp(),
                    held.element.age(),
                    open.iter().flatten().count(),
                )
            });
        }
    }
    if let Some(cookie) = cookie {
        bump(&tally.polled);
        if O::is_done(&cookie) {
            torture.faults.tell(Fault::PollEarly, || {
                format!("a cookie was done inside the section that it was taken in; steps:{steps}")
            });
        }
    }
    if let Some(began) = began {
        let passed = O::grace_periods().saturating_sub(began) as usize;
        bump(&tally.batches[passed.min(PIPE)]);
    }
}

fn segments(weather: Weather, dice: &mut Dice) -> u64 {
    match weather {
        Weather::Calm | Weather::Rush if !dice.one_in(8) => 0,
        _ => dice.below(8),
    }
}

/// Time lost inside a section.
fn dwell(weather: Weather, dice: &mut Dice, steps: &mut Steps) {
    if dice.one_in(4) {
        dice.spin(200);
        steps.push(Step::Spin);
    }
    if dice.one_in(64) {
        dice.spin(20_000); // as long as a grace period
        steps.push(Step::Spin);
    }
    let (yields, naps) = match weather {
        Weather::Calm => return,
        Weather::Rush => (4096, 100_000),
        Weather::Crowd => (32, 1000),
    };
    if dice.one_in(yields) {
        thread::yield_now();
        steps.push(Step::Yield);
    }
    if dice.one_in(naps) {
        thread::sleep(Duration::from_micros(dice.below(400)));
        steps.push(Step::Sleep);
    }
    if dice.one_in(100 * naps) {
        thread::sleep(Duration::from_millis(20));
        steps.push(Step::Sleep);
    }
}

/// Between two sections.
fn between<O: Ops>(weather: Weather, ops: &mut O, dice: &mut Dice) {
    if !dice.one_in(16) {
        ops.quiescent();
    }
    match weather {
        Weather::Calm if dice.one_in(16) => {
            let nap = Duration::from_micros(50 + dice.below(200));
            ops.away(|| thread::sleep(nap));
        }
        Weather::Rush if dice.one_in(4096) => ops.away(thread::yield_now),
        Weather::Crowd if dice.one_in(4096) => thread::sleep(Duration::from_micros(100)),
        _ => {}
    }
}

/// Notes how far another reader is, for a third one.
fn post(torture: &Torture, me: usize, held: Option<&Held<'_>>, tally: &Tally, dice: &mut Dice) {
    let about = dice.index(torture.readers());
    let to = dice.index(torture.readers());
    let Some(held) = held.filter(|_| about != me && to != me) else {
        return;
    };
    let sections = torture.tallies[about].sections.load(Relaxed);
    if Mail::post(&held.element.mail, torture.inboxes(), to, about, sections) {
        bump(&tally.posted);
    }
}

fn receive(torture: &Torture, me: usize) {
    let Some((about, sections)) = torture.inbox(me).receive() else {
        return;
    };
    bump(&torture.tallies[me].received);
    let seen = torture.tallies[about].sections.load(Relaxed);
    if seen < sections {
        torture.faults.tell(Fault::MailLate, || {
            format!("reader {about} had begun {sections} sections before a grace period, and {seen} after it")
        });
    }
}

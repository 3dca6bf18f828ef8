//! Litmus tests that are generated, with their verdicts.
//!
//! A ring is a cycle of threads. Thread `i` has an *entry* access to variable `i` and an *exit* access to
//! variable `i + 1`, which the next thread enters by; around the ring each exit is observed to come before
//! that entry: an exit that reads does so before the entry writes, one that writes is what the entry reads
//! or overwrites. Between its accesses a thread has a grace period, or both are in one section, where they
//! may also stand in the other order: a section orders nothing inside.
//!
//! The verdict is the counting rule: *never* if and only if there are at least as many grace periods as
//! sections. (It is in Alglave, Maranget, McKenney, Parri, Stern: "Frightening Small Children and
//! Disconcerting Grown-ups", ASPLOS 2018; herd7 with the kernel's model agrees on every ring of up to seven
//! threads that it was asked about, 145 of 145.)
//!
//! Names: `RW-G` reads at its entry and writes at its exit, with a grace period between; `-R` is a section,
//! `-r` one with the exit before the entry; `-C` is a grace period by callback, `-P` one
//! that is polled for.

use std::fmt::Write as _;

use super::world::{Test, Verdict, World, section};
use crate::tests::subject::{Dice, Reader};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}
use Access::{Read, Write};

/// What a thread has between, or around, its two accesses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Synchronize,
    Callback,
    Poll,
    /// A section, the entry first.
    Section,
    /// A section, the exit first.
    Backward,
}
use By::{Backward, Callback, Poll, Section, Synchronize};

#[derive(Clone, Copy)]
struct Leg {
    entry: Access,
    exit: Access,
    by: By,
}

impl Leg {
    fn is_section(self) -> bool {
        matches!(self.by, Section | Backward)
    }
}

pub(super) struct Ring(Vec<Leg>);

/// What an exit and the next entry do to the variable between them. Two reads would observe nothing.
const EDGES: [(Access, Access); 3] = [(Read, Write), (Write, Read), (Write, Write)];
const FROM_READ: usize = 0;
const READS_FROM: usize = 1;
const OVERWRITES: usize = 2;

impl Ring {
    /// `edges[i]`, by number, is between thread `i` and the next.
    fn new(by: &[By], edges: &[usize]) -> Self {
        let legs = by.iter().enumerate().map(|(i, &by)| {
            let before = edges[(i + edges.len() - 1) % edges.len()];
            Leg {
                entry: EDGES[before].1,
                exit: EDGES[edges[i]].0,
                by,
            }
        });
        Self(legs.collect())
    }

    fn name(&self) -> String {
        let letter = |access| if access == Read { 'R' } else { 'W' };
        let mut name = String::new();
        for leg in &self.0 {
            let by = match leg.by {
                Synchronize => 'G',
                Callback => 'C',
                Poll => 'P',
                Section => 'R',
                Backward => 'r',
            };
            let plus = if name.is_empty() { "" } else { "+" };
            let _ = write!(name, "{plus}{}{}-{by}", letter(leg.entry), letter(leg.exit));
        }
        name
    }

    /// The counting rule.
    fn verdict(&self) -> Verdict {
        let sections = self.0.iter().filter(|leg| leg.is_section()).count();
        if self.0.len() - sections >= sections {
            Verdict::Never
        } else {
            Verdict::Sometimes
        }
    }

    /// Whether an x86 whose grace periods wait for nothing can show the outcome without the store buffers of
    /// more than one thread at work (those rings of two threads are in `store_buffering`): its loads and
    /// stores are in program order else, so some thread must have them the other way round.
    fn shows_in_program_order(&self) -> bool {
        self.0.iter().any(|leg| leg.by == Backward)
            // The broken engine never ends the round that is polled for.
            && !self.0.iter().any(|leg| leg.by == Poll)
    }

    fn into_test<R: Reader>(self) -> Test<R> {
        let threads = self.0.len();
        let callbacks = (self.0.iter()).any(|leg| matches!(leg.by, Callback | Poll));
        let mut test = Test::<R>::new(self.name(), self.verdict())
            .slow(if threads > 2 || callbacks { 200 } else { 40 });
        for (i, &leg) in self.0.iter().enumerate() {
            test = test.process(move |reader, world, dice| {
                run_leg(leg, i, (i + 1) % threads, reader, world, dice);
            });
        }
        test.exists(move |world| self.is_closed(world))
    }

    /// Whether each exit was observed to come before the next entry.
    fn is_closed(&self, world: &World) -> bool {
        let threads = self.0.len();
        (0..threads).all(|i| {
            let next = (i + 1) % threads;
            match (self.0[i].exit, self.0[next].entry) {
                (Read, _) => world.kept(i, EXIT) == 0,
                (Write, Read) => world.kept(next, ENTRY) == BY_EXIT,
                (Write, Write) => world.read(next) == BY_ENTRY,
            }
        })
    }
}

// Registers, and what is written.
const ENTRY: usize = 0;
const EXIT: usize = 1;
const BY_EXIT: u32 = 1;
const BY_ENTRY: u32 = 2;

fn run_leg<R: Reader>(
    leg: Leg,
    i: usize,
    next: usize,
    reader: &mut R,
    world: &World,
    dice: &mut Dice,
) {
    let enter = |dice: &mut Dice| match leg.entry {
        Read => world.keep(i, ENTRY, world.read_patiently(i, dice)),
        Write => world.write(i, BY_ENTRY),
    };
    let exit = || match leg.exit {
        Read => world.keep(i, EXIT, world.read(next)),
        Write => world.write(next, BY_EXIT),
    };
    match leg.by {
        Synchronize | Callback | Poll => {
            dice.dawdle();
            enter(dice);
            match leg.by {
                Callback => reader.synchronize_by_callback(),
                Poll => reader.synchronize_by_poll(),
                _ => reader.synchronize(),
            }
            exit();
        }
        Section => section(reader, |_| {
            enter(dice);
            dice.dawdle();
            exit();
        }),
        Backward => section(reader, |_| {
            exit();
            dice.dawdle();
            dice.linger();
            enter(dice);
        }),
    }
}

/// All ways to choose `n` edges.
fn choices(n: u32) -> impl Iterator<Item = Vec<usize>> {
    (0..3usize.pow(n)).map(move |k| (0..n).map(|i| k / 3usize.pow(i) % 3).collect())
}

/// The rings that are run: all of two threads with a grace period and a section, all of three with two and
/// one, the plain ones of four with two and two; and for what is *not* promised, two sections against one
/// grace period.
fn rings() -> Vec<Ring> {
    let mut rings = Vec::new();
    for edges in choices(2) {
        for wait in [Synchronize, Callback, Poll] {
            for section in [Section, Backward] {
                rings.push(Ring::new(&[wait, section], &edges));
            }
        }
    }
    for edges in choices(3) {
        rings.push(Ring::new(&[Synchronize, Synchronize, Backward], &edges));
    }
    let plain = [
        [FROM_READ; 4],
        [READS_FROM; 4],
        [OVERWRITES; 4],
        [READS_FROM, FROM_READ, READS_FROM, FROM_READ],
        [FROM_READ, READS_FROM, FROM_READ, READS_FROM],
    ];
    for edges in plain {
        for by in [
            [Synchronize, Synchronize, Backward, Backward],
            [Synchronize, Backward, Synchronize, Backward],
        ] {
            rings.push(Ring::new(&by, &edges));
        }
        rings.push(Ring::new(&[Synchronize, Backward, Backward], &edges[..3]));
    }
    rings
}

/// The generated tests.
pub(super) fn tests<R: Reader>() -> Vec<Test<R>> {
    rings().into_iter().map(Ring::into_test).collect()
}

/// Those of them that never happen, and do on an x86 whose grace periods wait for nothing.
pub(super) fn tests_that_can_fail<R: Reader>() -> Vec<Test<R>> {
    rings()
        .into_iter()
        .filter(|ring| ring.verdict() == Verdict::Never && ring.shows_in_program_order())
        .map(Ring::into_test)
        .collect()
}

#[test]
fn names_and_verdicts_of_rings() {
    for (by, edges, name, verdict) in [
        (
            &[Synchronize, Section][..],
            &[FROM_READ, FROM_READ][..],
            "WR-G+WR-R",
            Verdict::Never,
        ),
        (
            &[Synchronize, Backward],
            &[READS_FROM, FROM_READ],
            "WW-G+RR-r",
            Verdict::Never,
        ),
        (
            &[Callback, Backward, Section],
            &[READS_FROM, READS_FROM, OVERWRITES],
            "WW-C+RW-r+RW-R",
            Verdict::Sometimes,
        ),
    ] {
        let ring = Ring::new(by, edges);
        assert_eq!(ring.name(), name);
        assert_eq!(ring.verdict(), verdict, "{name}");
    }
    let mut names: Vec<_> = rings().iter().map(Ring::name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "a ring is run twice");
}

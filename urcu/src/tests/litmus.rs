//! The litmus tests of RCU on the real code: what the LKMM models say may never happen, counted over many
//! rounds with threads that are let go together.
//!
//! The names are those of the models. `Never` outcomes fail the test; `Sometimes` outcomes are allowed,
//! need not show, and are only printed. `litmus_controls` shows that the former would be seen.
//! `URCU_LITMUS_ROUNDS` sets the rounds.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

use super::store_buffering::shapes;
use super::subject::{Dice, Reader, every_flavor, scale, whole_machine};
use crate::pad::Padded;

// Variables of the models. `P` holds the number of another variable: a pointer.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;
const E: usize = 4;
const X: usize = 0;
const Y: usize = 1;
const Z: usize = 2;
const W: usize = 3;
const P: usize = 4;

/// Shared variables, and the registers `n:r` of the threads.
pub(super) struct World {
    variables: [Padded<AtomicU32>; 5],
    registers: [Padded<[AtomicU32; 2]>; 5],
}

impl World {
    fn new() -> Self {
        Self {
            variables: std::array::from_fn(|_| Padded::new(AtomicU32::new(0))),
            registers: std::array::from_fn(|_| Padded::new([0, 0].map(AtomicU32::new))),
        }
    }

    fn write(&self, variable: usize, value: u32) {
        self.variables[variable].store(value, Relaxed);
    }

    fn read(&self, variable: usize) -> u32 {
        self.variables[variable].load(Relaxed)
    }

    /// rcu_assign_pointer.
    fn point_to(&self, variable: usize) {
        self.variables[P].store(u32::try_from(variable).unwrap(), Release);
    }

    /// rcu_dereference.
    fn pointee(&self) -> usize {
        self.variables[P].load(Acquire) as usize
    }

    /// What thread `n` keeps in register `r`.
    fn keep(&self, n: usize, r: usize, value: u32) {
        self.registers[n][r].store(value, Relaxed);
    }

    fn kept(&self, n: usize, r: usize) -> u32 {
        self.registers[n][r].load(Relaxed)
    }

    fn reset(&self, ones: &[usize]) {
        for (i, variable) in self.variables.iter().enumerate() {
            variable.store(u32::from(ones.contains(&i)), Relaxed);
        }
        for register in self.registers.iter().flat_map(|pair| pair.iter()) {
            register.store(0, Relaxed);
        }
    }
}

type Process<R> = fn(&mut R, &World, &mut Dice);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Never,
    Sometimes,
}
use Verdict::{Never, Sometimes};

pub(super) struct Test<R> {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// Rounds are divided by this: tests with more threads than processors, or with slow waits.
    slow: usize,
    ones: &'static [usize],
    processes: Vec<Process<R>>,
    exists: fn(&World) -> bool,
}

impl<R: Reader> Test<R> {
    fn new(name: &'static str, verdict: Verdict) -> Self {
        Self {
            name,
            verdict,
            slow: 1,
            ones: &[],
            processes: Vec::new(),
            exists: |_| false,
        }
    }

    fn slow(mut self, slow: usize) -> Self {
        self.slow = slow;
        self
    }

    /// The variables that begin as 1.
    fn ones(mut self, ones: &'static [usize]) -> Self {
        self.ones = ones;
        self
    }

    fn process(mut self, body: Process<R>) -> Self {
        self.processes.push(body);
        self
    }

    fn exists(mut self, outcome: fn(&World) -> bool) -> Self {
        self.exists = outcome;
        self
    }

    /// Runs up to `rounds` rounds, to the first round with the outcome if `first_only`.
    pub(super) fn run(&self, rounds: usize, first_only: bool) -> Outcomes {
        let world = World::new();
        world.reset(self.ones);
        let (seen, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let stop = AtomicBool::new(false);
        let line = StartLine::new(self.processes.len());
        std::thread::scope(|s| {
            for (n, process) in self.processes.iter().enumerate() {
                let (world, seen, done, stop, line) = (&world, &seen, &done, &stop, &line);
                s.spawn(move || {
                    let _broken = line.breaks_on_panic();
                    let mut reader = R::join();
                    let mut dice = Dice::new(n);
                    while !stop.load(Relaxed) {
                        dice.jitter();
                        process(&mut reader, world, &mut dice);
                        // Evaluated by the last to arrive, before the others go on.
                        let evaluate = || {
                            let met = (self.exists)(world);
                            let seen = seen.fetch_add(usize::from(met), Relaxed) + usize::from(met);
                            let done = done.fetch_add(1, Relaxed) + 1;
                            world.reset(self.ones);
                            stop.store(done >= rounds || (first_only && seen > 0), Relaxed);
                        };
                        reader.away(|| line.wait(evaluate));
                    }
                });
            }
        });
        Outcomes {
            seen: seen.into_inner(),
            rounds: done.into_inner(),
        }
    }
}

pub(super) struct Outcomes {
    pub(super) seen: usize,
    pub(super) rounds: usize,
}

/// A barrier that spins first, and yields when a thread has no processor.
struct StartLine {
    threads: usize,
    arrived: Padded<AtomicUsize>,
    generation: Padded<AtomicUsize>,
    broken: AtomicBool,
}

impl StartLine {
    fn new(threads: usize) -> Self {
        Self {
            threads,
            arrived: Padded::new(AtomicUsize::new(0)),
            generation: Padded::new(AtomicUsize::new(0)),
            broken: AtomicBool::new(false),
        }
    }

    fn wait(&self, last: impl FnOnce()) {
        let generation = self.generation.load(Relaxed);
        if self.arrived.fetch_add(1, AcqRel) + 1 == self.threads {
            last();
            self.arrived.store(0, Relaxed);
            self.generation.store(generation + 1, Release);
            return;
        }
        let mut spins = 0;
        while self.generation.load(Acquire) == generation {
            assert!(!self.broken.load(Relaxed), "another thread panicked");
            spins += 1;
            if spins % 200 == 0 || self.threads > 2 {
                std::thread::yield_now();
            }
        }
    }

    /// Lets the others fail, too, instead of waiting for ever.
    fn breaks_on_panic(&self) -> impl Drop + use<'_> {
        struct Breaks<'a>(&'a AtomicBool);
        impl Drop for Breaks<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.store(true, Relaxed);
                }
            }
        }
        Breaks(&self.broken)
    }
}

/// `rcu_read_lock(); body; rcu_read_unlock();`
fn section<R: Reader>(reader: &mut R, body: impl FnOnce(&R)) {
    let guard = reader.lock();
    body(reader);
    drop(guard);
    reader.quiescent();
}

/// An empty section.
fn empty<R: Reader>(reader: &R) {
    drop(reader.lock());
}

fn nest_write<R: Reader>(name: &'static str, wait: Process<R>) -> Test<R> {
    Test::<R>::new(name, Never)
        .process(|r, w, d| {
            section(r, |r| {
                w.write(X, 1);
                d.dawdle();
                empty(r);
                d.dawdle();
                w.write(Y, 1);
            });
        })
        .process(wait)
        .exists(|w| w.kept(1, 0) == 1 && w.kept(1, 1) == 0)
}

fn two_sections_each<R: Reader>(
    reader: &mut R,
    dice: &mut Dice,
    first: impl FnOnce(),
    second: impl FnOnce(),
) {
    section(reader, |_| first());
    dice.dawdle();
    section(reader, |_| second());
}

/// The models but the two of `store_buffering`.
pub(super) fn tests<R: Reader>() -> Vec<Test<R>> {
    vec![
        nest_write::<R>("U-nest-write", |r, w, d| {
            d.dawdle();
            w.keep(1, 0, w.read(X));
            r.synchronize();
            w.keep(1, 1, w.read(Y));
        }),
        // There is no expedited grace period; what there is besides `synchronize` is the callback.
        nest_write::<R>("U-nest-write-exp", |r, w, d| {
            d.dawdle();
            w.keep(1, 0, w.read(X));
            r.synchronize_by_callback();
            w.keep(1, 1, w.read(Y));
        })
        .slow(10),
        Test::<R>::new("U-nest-free", Never)
            .ones(&[X, Z])
            .process(|r, w, d| {
                section(r, |r| {
                    let at = w.pointee();
                    w.keep(0, 0, u32::from(at == X));
                    d.dawdle();
                    empty(r);
                    d.dawdle();
                    w.keep(0, 1, w.read(at));
                });
            })
            .process(|r, w, d| {
                d.dawdle();
                w.point_to(Z);
                r.synchronize();
                w.write(X, 0);
            })
            .exists(|w| w.kept(0, 0) == 1 && w.kept(0, 1) == 0),
        Test::<R>::new("U-upgrade", Never)
            .ones(&[X, Z, W])
            .process(|r, w, d| {
                section(r, |_| {
                    let at = w.pointee();
                    w.keep(0, 0, u32::from(at == X));
                    w.point_to(Z);
                    d.dawdle();
                    w.keep(0, 1, w.read(at));
                });
            })
            .process(|r, w, d| {
                d.dawdle();
                w.point_to(W);
                r.synchronize();
                w.write(X, 0);
            })
            .exists(|w| w.kept(0, 0) == 1 && w.kept(0, 1) == 0),
        Test::<R>::new("U-nest3-read", Never)
            .process(|r, w, d| {
                section(r, |r| {
                    let second = r.lock();
                    w.keep(0, 0, w.read(X));
                    d.dawdle();
                    empty(r);
                    drop(second);
                    d.dawdle();
                    w.keep(0, 1, w.read(Y));
                });
            })
            .process(|r, w, d| {
                d.dawdle();
                w.write(X, 1);
                r.synchronize();
                w.write(Y, 1);
            })
            .exists(|w| w.kept(0, 0) == 0 && w.kept(0, 1) == 1),
        Test::<R>::new("U-two-sections", Sometimes)
            .process(|r, w, d| two_sections_each(r, d, || w.write(X, 1), || w.write(Y, 1)))
            .process(|r, w, _| {
                w.keep(1, 0, w.read(X));
                r.synchronize();
                w.keep(1, 1, w.read(Y));
            })
            .exists(|w| w.kept(1, 0) == 1 && w.kept(1, 1) == 0),
        Test::<R>::new("U-readers-no-order", Sometimes)
            .process(|r, w, d| two_sections_each(r, d, || w.write(X, 1), || w.write(Y, 1)))
            .process(|r, w, d| {
                two_sections_each(r, d, || w.keep(1, 0, w.read(Y)), || w.keep(1, 1, w.read(X)));
            })
            .exists(|w| w.kept(1, 0) == 1 && w.kept(1, 1) == 0),
        gp_partition(),
        two_gp_partition(),
        reader_partition(),
    ]
}

fn gp_partition<R: Reader>() -> Test<R> {
    Test::<R>::new("U-gp-partition", Sometimes)
        .slow(4)
        .process(writes_a_and_b)
        .process(|r, w, _| {
            w.keep(1, 0, w.read(A));
            r.synchronize();
            w.write(C, 1);
        })
        .process(|r, w, d| {
            section(r, |_| {
                w.keep(2, 0, w.read(B));
                d.dawdle();
                w.keep(2, 1, w.read(C));
            });
        })
        .exists(|w| w.kept(1, 0) == 1 && w.kept(2, 0) == 0 && w.kept(2, 1) == 1)
}

fn two_gp_partition<R: Reader>() -> Test<R> {
    Test::<R>::new("U-2gp-partition", Never)
        .slow(4)
        .process(writes_a_and_b)
        .process(|r, w, _| {
            w.keep(1, 0, w.read(A));
            r.synchronize();
            w.write(C, 1);
        })
        .process(|r, w, _| {
            w.keep(2, 0, w.read(C));
            r.synchronize();
            w.write(D, 1);
        })
        .process(|r, w, d| {
            section(r, |_| {
                w.keep(3, 0, w.read(B));
                d.dawdle();
                w.keep(3, 1, w.read(D));
            });
        })
        .exists(|w| {
            w.kept(1, 0) == 1 && w.kept(2, 0) == 1 && w.kept(3, 0) == 0 && w.kept(3, 1) == 1
        })
}

fn reader_partition<R: Reader>() -> Test<R> {
    Test::<R>::new("U-reader-partition", Sometimes)
        .slow(8)
        .process(writes_a_and_b)
        .process(|r, w, _| {
            w.keep(1, 0, w.read(A));
            r.synchronize();
            w.write(C, 1);
        })
        .process(|r, w, d| {
            section(r, |_| {
                w.write(D, 1);
                d.dawdle();
                w.keep(2, 0, w.read(C));
            });
        })
        .process(|r, w, _| {
            w.keep(3, 0, w.read(D));
            r.synchronize();
            w.write(E, 1);
        })
        .process(|r, w, d| {
            section(r, |_| {
                w.keep(4, 0, w.read(B));
                d.dawdle();
                w.keep(4, 1, w.read(E));
            });
        })
        .exists(|w| {
            w.kept(1, 0) == 1
                && w.kept(2, 0) == 1
                && w.kept(3, 0) == 1
                && w.kept(4, 0) == 0
                && w.kept(4, 1) == 1
        })
}

fn writes_a_and_b<R: Reader>(reader: &mut R, world: &World, dice: &mut Dice) {
    section(reader, |_| {
        world.write(A, 1);
        dice.dawdle();
        world.write(B, 1);
    });
}

fn all<R: Reader>() {
    let _machine = whole_machine();
    let rounds = scale("URCU_LITMUS_ROUNDS", 20_000);
    for shape in shapes::<R>() {
        let found = shape.run(rounds * 2, false);
        judge(shape.name, Never, &found);
    }
    for test in tests::<R>() {
        let found = test.run((rounds / test.slow).max(1), false);
        judge(test.name, test.verdict, &found);
    }
}

fn judge(name: &str, verdict: Verdict, found: &Outcomes) {
    let Outcomes { seen, rounds } = found;
    println!("{name:24} {verdict:9?} {seen:7} of {rounds} rounds");
    if verdict == Never {
        assert_eq!(*seen, 0, "{name} must never happen");
    }
}
every_flavor!(litmus, all);

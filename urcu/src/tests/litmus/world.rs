//! What a litmus test is and how it is run: threads that are let go together, round by round.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::time::{Duration, Instant};

use crate::pad::Padded;
use crate::tests::subject::{Dice, Reader};

// Variables of the models. `P` holds the number of another variable: a pointer.
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const C: usize = 2;
pub(super) const D: usize = 3;
pub(super) const E: usize = 4;
pub(super) const X: usize = 0;
pub(super) const Y: usize = 1;
pub(super) const Z: usize = 2;
pub(super) const W: usize = 3;
pub(super) const P: usize = 4;

/// Shared variables, and the registers `n:r` of the threads. Relaxed, without compiler fences: what keeps
/// an access inside its section must be the library's own.
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

    pub(super) fn write(&self, variable: usize, value: u32) {
        self.variables[variable].store(value, Relaxed);
    }

    pub(super) fn read(&self, variable: usize) -> u32 {
        self.variables[variable].load(Relaxed)
    }

    /// Reads until the variable is not 0, for some time: a later read of the same thread is the same test,
    /// and a chain of threads gets further.
    pub(super) fn read_patiently(&self, variable: usize, dice: &mut Dice) -> u32 {
        let patience = dice.below(64);
        for turn in 0..patience {
            if self.read(variable) != 0 {
                break;
            }
            if turn % 4 == 3 {
                std::thread::yield_now();
            }
        }
        self.read(variable)
    }

    /// rcu_assign_pointer.
    pub(super) fn point_to(&self, variable: usize) {
        self.variables[P].store(u32::try_from(variable).unwrap(), Release);
    }

    /// rcu_dereference.
    pub(super) fn pointee(&self) -> usize {
        self.variables[P].load(Acquire) as usize
    }

    /// What thread `n` keeps in register `r`.
    pub(super) fn keep(&self, n: usize, r: usize, value: u32) {
        self.registers[n][r].store(value, Relaxed);
    }

    pub(super) fn kept(&self, n: usize, r: usize) -> u32 {
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

type Process<R> = Box<dyn Fn(&mut R, &Arc<World>, &mut Dice) + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Never,
    Sometimes,
}

pub(super) struct Test<R> {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// Rounds are divided by this: tests with more threads than processors, or with slow waits.
    pub(super) slow: usize,
    ones: &'static [usize],
    processes: Vec<Process<R>>,
    exists: Box<dyn Fn(&World) -> bool + Sync>,
}

impl<R: Reader> Test<R> {
    pub(super) fn new(name: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            name: name.into(),
            verdict,
            slow: 1,
            ones: &[],
            processes: Vec::new(),
            exists: Box::new(|_| false),
        }
    }

    pub(super) fn slow(mut self, slow: usize) -> Self {
        self.slow = slow;
        self
    }

    /// The variables that begin as 1.
    pub(super) fn ones(mut self, ones: &'static [usize]) -> Self {
        self.ones = ones;
        self
    }

    pub(super) fn process(
        mut self,
        body: impl Fn(&mut R, &Arc<World>, &mut Dice) + Sync + 'static,
    ) -> Self {
        self.processes.push(Box::new(body));
        self
    }

    pub(super) fn exists(mut self, outcome: impl Fn(&World) -> bool + Sync + 'static) -> Self {
        self.exists = Box::new(outcome);
        self
    }

    /// Runs up to `rounds` rounds: to the first one with the outcome if `first_only`, else as many as [`patience`] allows.
    pub(super) fn run(&self, rounds: usize, first_only: bool) -> Outcomes {
        let world = Arc::new(World::new());
        world.reset(self.ones);
        let (seen, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let stop = AtomicBool::new(false);
        let line = StartLine::new(self.processes.len());
        let (begun, patience) = (Instant::now(), patience(rounds));
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
                            let enough = if first_only {
                                seen > 0
                            } else {
                                done % 16 == 0 && begun.elapsed() >= patience
                            };
                            stop.store(enough || done >= rounds, Relaxed);
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

/// How long so many rounds may take. Threads that let each other go need microseconds where each has a processor, and a
/// time slice or two beside other work: minutes then, for what one thread at a time does not show. (To sleep instead of
/// yielding is no way out: whoever is woken comes too late to meet the other, who then sleeps in turn.)
pub(super) fn patience(rounds: usize) -> Duration {
    let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
    Duration::from_secs(1).max(Duration::from_micros(100) * rounds)
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
pub(super) fn section<R: Reader>(reader: &mut R, body: impl FnOnce(&R)) {
    let guard = reader.lock();
    body(reader);
    drop(guard);
    reader.quiescent();
}

/// An empty section.
pub(super) fn empty<R: Reader>(reader: &R) {
    drop(reader.lock());
}

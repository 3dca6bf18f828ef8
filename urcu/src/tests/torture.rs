//! Torture after the kernel's rcutorture: readers check objects that updaters poison and use again.
//!
//! Objects live in a pool that outlasts the test, and all their words are atomic: a reader that a grace
//! period has missed reads poison, not freed memory. `URCU_TORTURE_SECONDS` sets how long each flavor is
//! tortured.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use super::subject::{Auto, Dice, Reader, every_flavor, scale, whole_machine};
use crate::flavor::sabotaged::{FirstReaderOnly, FlatNesting, NoGracePeriod, Private};

const OBJECTS: usize = 64;
const READERS: usize = 2;
const UPDATERS: usize = 2;
const POISON: u64 = 0x6b6b_6b6b_6b6b_6b6b;
const MAGIC: [u64; 4] = [
    0x7275_7374_6f62_6a31,
    0x0123_4567_89ab_cdef,
    0xfedc_ba98_7654_3210,
    0x5a5a_a5a5_5a5a_a5a5,
];

// The ages of an object, as in rcutorture's pipe.
const FREE: u32 = 0;
const PUBLISHED: u32 = 1;
const REMOVED: u32 = 2;

struct Object {
    magic: [AtomicU64; 4],
    age: AtomicU32,
}

impl Object {
    fn is_whole(&self) -> bool {
        self.magic
            .iter()
            .zip(MAGIC)
            .all(|(word, magic)| word.load(Relaxed) == magic)
    }

    fn fill(&self) {
        for (word, magic) in self.magic.iter().zip(MAGIC) {
            word.store(magic, Relaxed);
        }
        self.age.store(PUBLISHED, Relaxed);
    }

    /// The end of an object: its grace period is over.
    fn poison(&self) {
        for word in &self.magic {
            word.store(POISON, Relaxed);
        }
        self.age.store(FREE, Release);
    }
}

/// What `Rcu` carries in the variant with `free`: its Drop is the end of the object.
struct Owned(&'static Object);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.poison();
    }
}

/// How an updater gets rid of the old object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Synchronize,
    Call,
    Free,
}

struct Torture<R: Reader> {
    pool: [Object; OBJECTS],
    current: AtomicPtr<Object>,
    owned: R::Pointer<Owned>,
    over: AtomicBool,
    updates: AtomicU64,
    violations: AtomicU64,
    /// Sections by the age of their object at their end: published, removed.
    ages: [AtomicU64; 2],
}

impl<R: Reader> Torture<R> {
    fn new() -> &'static Self {
        let torture = Box::leak(Box::new(Self {
            pool: std::array::from_fn(|_| Object {
                magic: [POISON; 4].map(AtomicU64::new),
                age: AtomicU32::new(FREE),
            }),
            current: AtomicPtr::new(std::ptr::null_mut()),
            owned: R::null(),
            over: AtomicBool::new(false),
            updates: AtomicU64::new(0),
            violations: AtomicU64::new(0),
            ages: [const { AtomicU64::new(0) }; 2],
        }));
        let first = torture.take_object(&mut R::join(), &mut Dice::new(0));
        torture
            .current
            .store((&raw const *first).cast_mut(), Relaxed);
        let second = torture.take_object(&mut R::join(), &mut Dice::new(0));
        R::assign(&torture.owned, Owned(second));
        torture
    }

    /// A filled object. Waits for callbacks when the pool is empty.
    fn take_object(&'static self, reader: &mut R, dice: &mut Dice) -> &'static Object {
        loop {
            let start = dice.below(OBJECTS);
            for i in 0..OBJECTS {
                let object = &self.pool[(start + i) % OBJECTS];
                let taken = object.age.compare_exchange(FREE, REMOVED, Acquire, Relaxed);
                if taken.is_ok() {
                    object.fill();
                    return object;
                }
            }
            reader.barrier();
        }
    }

    fn update(&'static self, way: Way, reader: &mut R, dice: &mut Dice) {
        let new = self.take_object(reader, dice);
        if way == Way::Free {
            R::assign(&self.owned, Owned(new));
        } else {
            let old = self.current.swap((&raw const *new).cast_mut(), AcqRel);
            // SAFETY: only objects of the pool, which is leaked, are ever stored.
            let old: &'static Object = unsafe { &*old };
            old.age.store(REMOVED, Relaxed);
            if way == Way::Call {
                R::call(|| old.poison());
            } else {
                reader.synchronize();
                old.poison();
            }
        }
        self.updates.fetch_add(1, Relaxed);
    }

    fn check(&self, object: &Object) {
        if !object.is_whole() {
            self.violations.fetch_add(1, Relaxed);
        }
    }

    /// One section, nested at random.
    fn read(&self, way: Way, reader: &mut R, dice: &mut Dice) {
        let outer = reader.lock();
        let object: &Object = if way == Way::Free {
            match R::dereference(&self.owned, &outer) {
                Some(owned) => owned.0,
                None => return,
            }
        } else {
            // SAFETY: only objects of the pool, which is leaked, are ever stored.
            unsafe { &*self.current.load(Acquire) }
        };
        self.check(object);
        let mut inner: Vec<R::Section<'_>> = Vec::new();
        for _ in 0..dice.below(4) {
            inner.push(reader.lock());
        }
        dice.dawdle();
        while !inner.is_empty() {
            drop(inner.swap_remove(dice.below(inner.len()))); // in any order
            dice.dawdle();
            self.check(object);
        }
        let removed = usize::from(object.age.load(Relaxed) == REMOVED);
        self.ages[removed].fetch_add(1, Relaxed);
        drop(inner);
        drop(outer);
        reader.quiescent();
    }

    /// Tortures until `enough` says so.
    fn run(&'static self, way: Way, enough: impl Fn(&Self) -> bool + Sync) {
        std::thread::scope(|s| {
            for n in 0..READERS {
                s.spawn(move || {
                    let mut reader = R::join();
                    let mut dice = Dice::new(n);
                    while !self.over.load(Relaxed) {
                        self.read(way, &mut reader, &mut dice);
                    }
                });
            }
            s.spawn(|| {
                // Threads that come, read a little and go.
                while !self.over.load(Relaxed) {
                    let guest = std::thread::spawn(move || {
                        let mut reader = R::join();
                        let mut dice = Dice::new(99);
                        for _ in 0..50 {
                            self.read(way, &mut reader, &mut dice);
                        }
                    });
                    guest.join().unwrap();
                }
            });
            for n in 0..UPDATERS {
                let enough = &enough;
                s.spawn(move || {
                    let mut reader = R::join();
                    let mut dice = Dice::new(50 + n);
                    while !self.over.load(Relaxed) {
                        self.update(way, &mut reader, &mut dice);
                        dice.dawdle();
                        reader.quiescent();
                        if enough(self) {
                            self.over.store(true, Relaxed);
                        }
                    }
                });
            }
        });
        R::join().barrier();
    }

    fn violations(&self) -> u64 {
        self.violations.load(Relaxed)
    }
}

fn torture<R: Reader>() {
    let _machine = whole_machine();
    let seconds = scale("URCU_TORTURE_SECONDS", 1);
    for way in [Way::Synchronize, Way::Call, Way::Free] {
        let torture = Torture::<R>::new();
        let (start, long) = (Instant::now(), Duration::from_millis(333 * seconds as u64));
        torture.run(way, |t| t.violations() > 0 || start.elapsed() >= long);
        let [published, removed] = &torture.ages;
        println!(
            "{way:?}: {} updates; sections that ended with the object published {}, removed {}",
            torture.updates.load(Relaxed),
            published.load(Relaxed),
            removed.load(Relaxed),
        );
        assert_eq!(torture.violations(), 0, "poison was read");
    }
}
every_flavor!(tortured, torture);

/// The fault must show within so many updates.
const BOUND: u64 = 300_000;

fn is_caught<R: Reader>() {
    let _machine = whole_machine();
    let torture = Torture::<R>::new();
    torture.run(Way::Synchronize, |t| {
        t.violations() > 0 || t.updates.load(Relaxed) >= BOUND
    });
    println!("caught after {} updates", torture.updates.load(Relaxed));
    assert!(torture.violations() > 0, "a broken engine was not caught");
}

#[test]
fn control_no_grace_period() {
    is_caught::<Auto<NoGracePeriod>>();
}

#[test]
fn control_first_reader_only() {
    is_caught::<Auto<FirstReaderOnly>>();
}

#[test]
fn control_flat_nesting() {
    is_caught::<Auto<FlatNesting>>();
}

/// The twin of the controls.
#[test]
fn the_flavor_that_the_controls_break_is_sound() {
    torture::<Auto<Private>>();
}

/// The pool itself is no referee that always says yes.
#[test]
fn a_poisoned_object_is_not_whole() {
    let torture = Torture::<Auto<Private>>::new();
    let object = torture.take_object(&mut Auto::join(), &mut Dice::new(0));
    assert!(object.is_whole());
    object.poison();
    assert!(!object.is_whole());
}

//! Plain memory behind the pointer: what the sanitizers watch. Readers read it with ordinary loads, whoever
//! comes after the grace period writes it with ordinary stores and frees it.
//!
//! The other tests have atomics there, so that a broken engine is counted and is no undefined behaviour;
//! ThreadSanitizer would see nothing in them.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::subject::{Auto, Dice, Reader, scale, whole_machine};
use crate::flavor::sabotaged::NoGracePeriod;
use crate::flavor::{Automatic, Domain, Flavor};
use crate::{Mb, Memb, Qsbr, Rcu, Thread};

const MAGIC: u64 = 0x7275_7374_7061_796c;

/// A reader whose pointer is an `Rcu`.
trait OfFlavor:
    Reader<Pointer<Payload> = Rcu<Payload, Self::F>, Pointer<[u64; 4]> = Rcu<[u64; 4], Self::F>>
{
    type F: Flavor;
}

impl<B: Automatic> OfFlavor for Auto<Domain<B>> {
    type F = Domain<B>;
}

impl OfFlavor for Thread<Memb> {
    type F = Memb;
}

impl OfFlavor for Thread<Mb> {
    type F = Mb;
}

impl OfFlavor for Thread<Qsbr> {
    type F = Qsbr;
}

struct Payload([u64; 4]);

impl Drop for Payload {
    fn drop(&mut self) {
        // Ordinary stores that stay: the allocator's poison would be the sanitizers' business only.
        for word in &mut self.0 {
            // SAFETY: a valid place that `self` owns.
            unsafe { std::ptr::from_mut(word).write_volatile(0) };
        }
    }
}

/// One updater gets rid of the objects in each way, two readers look at them.
fn run<R: OfFlavor>(updates: usize) -> usize {
    let object = || Payload([MAGIC; 4]);
    let shared: Rcu<Payload, R::F> = Rcu::new(object());
    let over = AtomicBool::new(false);
    std::thread::scope(|s| {
        let readers: Vec<_> = (0..2)
            .map(|n| {
                let (shared, over) = (&shared, &over);
                s.spawn(move || {
                    let (mut reader, mut dice, mut wrong) = (R::join(), Dice::new(n), 0);
                    while !over.load(Relaxed) {
                        let guard = reader.lock();
                        let payload = R::dereference::<Payload>(shared, &guard).unwrap();
                        dice.dawdle();
                        wrong += usize::from(payload.0 != [MAGIC; 4]);
                        drop(guard);
                        reader.quiescent();
                    }
                    wrong
                })
            })
            .collect();
        let (mut updater, mut dice) = (R::join(), Dice::new(9));
        for update in 0..updates {
            let old = shared.replace(object()).unwrap();
            match update % 3 {
                0 => {
                    updater.synchronize();
                    // SAFETY: clause 1: the grace period began after the object was unpublished.
                    drop(unsafe { old.into_box() });
                }
                1 => old.free(),
                _ => old.call(drop),
            }
            dice.dawdle();
            if update % 64 == 0 {
                updater.barrier();
            }
        }
        updater.barrier();
        over.store(true, Relaxed);
        readers.into_iter().map(|r| r.join().unwrap()).sum()
    })
}

fn is_sound<R: OfFlavor>() {
    let _machine = whole_machine();
    let updates = scale("URCU_LITMUS_ROUNDS", 20_000) / 10;
    assert_eq!(run::<R>(updates), 0, "a reader saw freed memory");
}
#[test]
fn objects_with_drop_are_left_alone() {
    is_sound::<Auto<Memb>>();
    is_sound::<Thread<Memb>>();
    is_sound::<Auto<Mb>>();
    is_sound::<Thread<Mb>>();
    is_sound::<Thread<Qsbr>>();
}

/// Objects without drop glue: the updater's own ring frees them, whole halves of it, and the rest at its end.
/// The reader stays until as many more were retired as a ring holds, or fewer.
fn run_plain<R: OfFlavor>(updates: usize) -> usize {
    let shared: Rcu<[u64; 4], R::F> = Rcu::new([MAGIC; 4]);
    let (over, retired) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|s| {
        let reader = s.spawn(|| {
            let (mut reader, mut dice, mut wrong) = (R::join(), Dice::new(1), 0);
            while !over.load(Relaxed) {
                let guard = reader.lock();
                let payload = R::dereference::<[u64; 4]>(&shared, &guard).unwrap();
                let before = *payload;
                let until = retired.load(Relaxed) + dice.below(10_000);
                while retired.load(Relaxed) < until && !over.load(Relaxed) {
                    std::hint::spin_loop();
                }
                wrong += usize::from(*payload != before);
                drop(guard);
                reader.quiescent();
            }
            wrong
        });
        for _ in 0..4 {
            // Not registered: a section of its own would hold its own ring back.
            let updater = || {
                for n in 0..updates as u64 / 4 {
                    // Each is another: the allocator gives the same memory out again.
                    shared.replace([n; 4]).unwrap().free();
                    retired.fetch_add(1, Relaxed);
                }
            };
            s.spawn(updater).join().unwrap();
        }
        over.store(true, Relaxed);
        reader.join().unwrap()
    })
}

fn is_sound_plain<R: OfFlavor>() {
    let _machine = whole_machine();
    let updates = scale("URCU_LITMUS_ROUNDS", 50_000).max(40_000);
    assert_eq!(run_plain::<R>(updates), 0, "a reader saw freed memory");
}
#[test]
fn objects_without_drop_are_left_alone() {
    is_sound_plain::<Auto<Memb>>();
    is_sound_plain::<Thread<Memb>>();
    is_sound_plain::<Auto<Mb>>();
    is_sound_plain::<Thread<Mb>>();
    is_sound_plain::<Thread<Qsbr>>();
}

/// The control of `.ci/tsan` and `.ci/asan`, only where they ask for it: undefined behaviour on purpose.
#[test]
fn control_without_grace_periods() {
    if std::env::var_os("URCU_SANITIZER_CONTROL").is_some() {
        println!("{} wrong", run::<Auto<NoGracePeriod>>(20_000));
    }
}

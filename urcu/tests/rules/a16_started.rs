//! A16: what was retired is given back without waiting when its own grace period has passed, never before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use crate::flavors::{Dropping, Reader, Stage, every_flavor, wait_until};
use urcu::{Rcu, Retired, Started};

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Yields until the object is there.
fn take<R: Reader, T: Send + Sync>(reader: &mut R, started: Started<T, R::F>) -> Box<T> {
    reader.away(|| wait_until(|| started.is_ready()));
    started.try_into_box().unwrap()
}

fn not_before<R: Reader>() {
    let (inside, leave) = (leaked(Stage::new()), leaked(Stage::new()));
    let p: &'static Rcu<u32, R::F> = leaked(Rcu::new(0));
    let mut reader = R::join();
    for round in 1..=20 {
        let other = std::thread::spawn(move || {
            let reader = R::join();
            let guard = reader.lock();
            let seen = p.dereference(&guard).unwrap();
            inside.next();
            leave.wait_for(round);
            assert_eq!(*seen as usize, round - 1);
            drop(guard);
        });
        reader.away(|| inside.wait_for(round));
        let mut started = p.replace(u32::try_from(round).unwrap()).unwrap().start();
        for _ in 0..100 {
            assert!(!started.is_ready(), "given back under its reader");
            started = started.try_into_box().unwrap_err();
        }
        leave.next();
        assert_eq!(*take(&mut reader, started) as usize, round - 1);
        reader.away(|| other.join().unwrap());
    }
}
every_flavor!(
    a16_an_object_is_not_given_back_before_its_readers_have_left,
    not_before
);

/// A grace period that was over, or began, before the removal is none for the object.
fn its_own<R: Reader>() {
    let mut reader = R::join();
    let p: Rcu<u32, R::F> = Rcu::new(0);
    for n in 1..=50 {
        reader.synchronize();
        let started = {
            let guard = reader.lock();
            let seen = p.dereference(&guard).unwrap();
            let started = p.replace(n).unwrap().start();
            assert!(!started.is_ready(), "this section holds it back");
            assert_eq!(*seen, n - 1);
            started
        };
        assert_eq!(*take(&mut reader, started), n - 1);
    }
}
every_flavor!(a16_the_number_is_taken_after_the_removal, its_own);

fn dropped<R: Reader>() {
    let drops = leaked(AtomicUsize::new(0));
    let mut reader = R::join();
    let retired = |n: usize| {
        let p: Rcu<(usize, Dropping), R::F> = Rcu::new((n, Dropping(drops)));
        p.take().unwrap()
    };
    drop(retired(0).start());
    retired(1).start().into_retired().free();
    reader.barrier();
    assert_eq!(drops.load(SeqCst), 2);
    let waited = take(&mut reader, retired(2).start());
    assert_eq!((waited.0, drops.load(SeqCst)), (2, 2));
}
every_flavor!(a16_a_started_object_that_is_dropped_is_freed_later, dropped);

fn many_at_once<R: Reader>() {
    let drops = leaked(AtomicUsize::new(0));
    let table: Vec<Rcu<(usize, Dropping), R::F>> =
        (0..100).map(|n| Rcu::new((n, Dropping(drops)))).collect();
    let all = || table.iter().filter_map(Rcu::take).collect::<Vec<_>>();
    let mut reader = R::join();
    let boxes = {
        // Where waiting is misuse they are freed later, not at once (rule A4).
        let guard = reader.lock();
        let half = table[50..].iter().filter_map(Rcu::take).collect();
        let refused = catch_unwind(AssertUnwindSafe(|| Retired::synchronize_all(half)));
        assert!(refused.is_err() && drops.load(SeqCst) == 0);
        drop(guard);
        std::thread::scope(|s| {
            let wait = s.spawn(|| Retired::synchronize_all(all()));
            reader.away(|| wait.join().unwrap())
        })
    };
    let sum: usize = boxes.iter().map(|object| object.0).sum();
    assert_eq!((boxes.len(), sum), (50, 49 * 50 / 2));
    reader.barrier();
    assert_eq!(drops.load(SeqCst), 50);
}
every_flavor!(a16_many_objects_share_one_grace_period, many_at_once);

//! The litmus tests can fail: with a broken engine their forbidden outcomes show, within seconds each.

use std::time::Instant;

use super::store_buffering::{Shape, empty_section, shapes};
use super::world::{Outcomes, Test, Verdict};
use super::{callbacks, own, rings};
use crate::flavor::sabotaged::{NoGracePeriod, NoHeavyBarrier, Private};
use crate::tests::subject::{Auto, Reader, of_flavor, whole_machine};
use crate::{Guard, Rcu, Stats};

/// Each shows within a second where both threads have a processor to themselves. Beside other work they seldom run
/// at the same time: only who sees nothing in all of these rounds says that there is nothing.
const BOUND: usize = 30_000_000;

fn assert_shown(name: &str, run: impl FnOnce() -> Outcomes) {
    let start = Instant::now();
    let found = run();
    println!(
        "{name:32} {} in {} rounds, {:.2?}",
        found.seen,
        found.rounds,
        start.elapsed()
    );
    assert!(
        found.seen > 0,
        "{name}: a broken engine was not caught in {BOUND} rounds"
    );
}

fn assert_test_shown<R: Reader>(test: &Test<R>) {
    assert_shown(&test.name, || test.run(BOUND, true));
}

fn assert_shape_shown<R: Reader>(shape: &Shape<R>) {
    assert_shown(shape.name, || shape.run(BOUND, true));
}

/// Store buffering needs two processors.
fn one_processor() -> bool {
    let one = crate::cpus::cpus() < 2;
    if one {
        println!("one processor only: nothing to see");
    }
    one
}

#[test]
fn without_the_heavy_barrier_the_empty_section_orders_nothing() {
    let _machine = whole_machine();
    if one_processor() || !crate::barrier::membarrier_works() {
        return; // in the fallback readers have fences of their own
    }
    let shape = empty_section::<Auto<NoHeavyBarrier>>();
    let found = shape.run(BOUND, true);
    assert_shape_shown(&shape);
    // The same code with the barrier, for as long.
    let whole = empty_section::<Auto<Private>>().run(found.rounds, false);
    assert_eq!(whole.seen, 0);
}

#[test]
fn without_a_grace_period_every_own_never_shows() {
    let _machine = whole_machine();
    for test in own::tests::<Auto<NoGracePeriod>>() {
        if test.verdict == Verdict::Never {
            assert_test_shown(&test);
        }
    }
    for shape in shapes::<Auto<NoGracePeriod>>() {
        if !one_processor() {
            assert_shape_shown(&shape);
        }
    }
}

#[test]
fn without_a_grace_period_every_ring_shows_that_x86_can_violate() {
    let _machine = whole_machine();
    let tests = rings::tests_that_can_fail::<Auto<NoGracePeriod>>();
    println!("{} rings", tests.len());
    for test in &tests {
        assert_test_shown(test);
    }
}

/// A barrier that waits for nothing.
struct NoBarrier(Auto<Private>);

impl Reader for NoBarrier {
    of_flavor!(Private);
    fn join() -> Self {
        Self(Auto::join())
    }
    fn lock(&self) -> Guard<'_, Private> {
        self.0.lock()
    }
    fn synchronize(&mut self) {
        self.0.synchronize();
    }
    fn barrier(&mut self) {}
    fn barrier_for_real(&mut self) {
        self.0.barrier();
    }
}

#[test]
fn without_a_barrier_its_litmus_tests_show() {
    let _machine = whole_machine();
    assert_test_shown(&callbacks::barrier_is_mb::<NoBarrier>());
    assert_test_shown(&callbacks::of_another_thread::<NoBarrier>());
    assert_test_shown(&callbacks::grace_period_of_a_callback::<Auto<NoGracePeriod>>());
}

//! The litmus tests can fail: with a broken engine their forbidden outcomes show.

use super::litmus::{Outcomes, Verdict, tests};
use super::store_buffering::{empty_section, shapes};
use super::subject::{Auto, whole_machine};
use crate::flavor::sabotaged::{NoGracePeriod, NoHeavyBarrier, Private};

const BOUND: usize = 1_000_000;

fn assert_shown(name: &str, found: &Outcomes) {
    println!("{name:24} {} in {} rounds", found.seen, found.rounds);
    assert!(
        found.seen > 0,
        "{name}: a broken engine was not caught in {BOUND} rounds"
    );
}

/// Store buffering needs two processors.
fn one_processor() -> bool {
    let one = crate::sys::cpus() < 2;
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
    assert_shown(shape.name, &found);
    // The same code with the barrier, for as long.
    let whole = empty_section::<Auto<Private>>().run(found.rounds, false);
    assert_eq!(whole.seen, 0);
}

#[test]
fn without_a_grace_period_every_never_shows() {
    let _machine = whole_machine();
    for test in tests::<Auto<NoGracePeriod>>() {
        // The one is a chain of four threads, the other's round trip to the worker orders enough.
        let chance = !matches!(test.name, "U-2gp-partition" | "U-nest-write-exp");
        if test.verdict == Verdict::Never && chance {
            assert_shown(test.name, &test.run(BOUND, true));
        }
    }
    for shape in shapes::<Auto<NoGracePeriod>>() {
        if !one_processor() {
            assert_shown(shape.name, &shape.run(BOUND, true));
        }
    }
}

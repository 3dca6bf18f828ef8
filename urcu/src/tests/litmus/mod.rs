//! The litmus tests of RCU on the real code: what the kernel's memory model says may never happen, counted
//! over many rounds with threads that are let go together.
//!
//! `Never` outcomes fail the test; `Sometimes` outcomes are allowed, need not show, and are only printed.
//! `controls` shows that the former would be seen: with an engine that does not wait, each does within
//! seconds that x86 can show at all. What it cannot show is the business of the herd7 models.
//! `URCU_LITMUS_ROUNDS` sets the rounds of each test; without it the slow ones have fewer. All have fewer on a machine
//! with other work, where a round takes a thousand times as long: see `world::patience`.
//!
//! # What RCU guarantees, and which test says so
//! Names with a capital or a plus are litmus tests of this module, the others functions (of the tests here,
//! and of the directory `tests`); `urcu/tests/guarantees.rs` looks whether they exist.
//!
//! | | guarantee | tests |
//! |---|---|---|
//! | 2.1 | a section ends before the grace period does, or begins after it began | `U-nest-free` `U-nest-write` `U-nest3-read` `WW-G+RR-r` `tortured` |
//! | 2.2 | a cycle with as many grace periods as sections is forbidden | `generated` `names_and_verdicts_of_rings` `U-2gp-partition` |
//! | 2.3 | who loads the pointer sees what was written before it was published | `tortured` `readers_last_writes_are_seen` |
//! | 2.4 | `synchronize` is a full barrier for its caller and against every section | `U-sync-is-mb` `two synchronize at once` `WR-R+WR-G` `WR-R+WW-G` `WR-G+WW-R` |
//! | 2.5 | an empty section orders what is around it against a grace period | `U-empty-section` |
//! | 2.6 | the same barriers between `call` and callback, and before `barrier` returns | `C-message-by-callback` `C-section-against-callback` `C-barrier-is-mb` `U-nest-write-exp` `WR-R+WR-C` |
//! | 2.7 | *not*: readers order nothing, two sections are not one, one grace period does not part readers | `WR-R+WR-R` `U-readers-no-order` `U-two-sections` `U-gp-partition` `U-reader-partition` |
//! | 2.8 | only the outermost exit ends a section; depth is counted, not wrapped | `U-nest-write` `U-nest3-read` `nesting_past_the_word_neither_wraps_nor_ends_the_section` `nest_overflow_panics_and_leaves_the_section_as_it_was` |
//! | 2.9 | updates and `call` inside a section work and do not wait | `U-upgrade` `a11_call_and_free_never_wait_and_never_run_callbacks` |
//! | 2.10 | reading and retiring cannot fail | by type: no `Result`; `a21_without_a_worker_barrier_runs_the_callbacks` |
//! | 2.11 | readers go on whatever an updater waits for | `readers_go_on_while_a_grace_period_waits` |
//! | 2.12 | grace periods end though there is a reader at every moment | `grace_periods_end_under_overlapping_readers` |
//! | 2.13 | *not*: callbacks in order, or one at a time | `C-callbacks-in-order` |
//! | 2.14 | `barrier` waits for the callbacks called before it, of all threads, and for no reader | `C-barrier-covers-others` `a21_barrier_is_not_a_grace_period` `barrier_covers` `a21_without_a_worker_two_barriers_share_the_work` |
//! | 2.15 | a callback may call itself again, each time a grace period later | `callbacks_that_repost_themselves` `callbacks_that_queue` |
//! | 2.16 | waiting where it would never end is told | `panic_in_misuse` `waits_in_a_callback` `a02_a_section_of_another_handle_is_found` |
//! | 2.17 | sections in signal handlers, at any instruction | `a19_signal_storm` `a19_the_first_use_of_a_thread_may_be_in_a_signal_handler` |
//! | 2.18 | threads may end anywhere, and register while a grace period runs | `a09_registration_storm_against_synchronize` `a19_ended_threads_give_their_slots_back` `a07_a_leaked_registration` `tortured` |
//! | 2.19 | polled grace periods: never early, and done with the first whole one | `a16_a_cookie_is_not_done_before_its_readers_have_left` `a16_one_grace_period_is_enough` `generated` |
//! | 2.20 | fork | `everything_works` `a06_fork_storm` |

mod callbacks;
mod controls;
mod own;
mod rings;
pub(super) mod store_buffering;
mod world;

use super::subject::{Reader, every_flavor, whole_machine};
use store_buffering::{Shape, by_callback, shapes, two_readers};
use world::{Outcomes, Test, Verdict};

/// The rounds of a test: what the environment says, else a share of the default.
fn rounds(slow: usize) -> usize {
    let set = std::env::var("URCU_LITMUS_ROUNDS").ok();
    set.and_then(|text| text.parse().ok())
        .unwrap_or(20_000 / slow)
}

fn judge_test<R: Reader>(test: &Test<R>) {
    judge(
        &test.name,
        test.verdict,
        &test.run(rounds(test.slow), false),
    );
}

fn judge_shape<R: Reader>(shape: &Shape<R>, verdict: Verdict, slow: usize) {
    judge(shape.name, verdict, &shape.run(rounds(slow), false));
}

fn judge(name: &str, verdict: Verdict, found: &Outcomes) {
    let Outcomes { seen, rounds } = found;
    println!("{name:32} {verdict:9?} {seen:7} of {rounds} rounds");
    if verdict == Verdict::Never {
        assert_eq!(*seen, 0, "{name} must never happen");
    }
}

fn written<R: Reader>() {
    let _machine = whole_machine();
    for shape in shapes::<R>() {
        judge_shape(&shape, Verdict::Never, 1);
    }
    judge_shape(&by_callback::<R>(), Verdict::Never, 40);
    judge_shape(&two_readers::<R>(), Verdict::Sometimes, 4);
    for test in own::tests::<R>().into_iter().chain(callbacks::tests()) {
        judge_test(&test);
    }
}
every_flavor!(litmus, written);

fn from_rings<R: Reader>() {
    let _machine = whole_machine();
    for test in rings::tests::<R>() {
        judge_test(&test);
    }
}
every_flavor!(generated, from_rings);

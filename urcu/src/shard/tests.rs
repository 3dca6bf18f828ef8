//! The tests of `shard.rs`, whose inside they see.

use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

fn counting(ran: &Arc<AtomicUsize>) -> Callback {
    let ran = Arc::clone(ran);
    Callback::new(move || _ = ran.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn a_child_keeps_what_the_worker_held_and_loses_what_ran() {
    let shard = Shard::new();
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        shard.push(counting(&ran), Lane::Main, Haste::Prompt);
    }
    shard.push(counting(&ran), Lane::Hurry, Haste::Prompt);
    let before = shard.lanes().each_ref().map(Queue::queued);
    shard.set_consumer(7);
    assert_eq!(shard.begin_pass(), [Pushed::Prompt; 2]);
    let in_parent = shard.pop(Lane::Main).unwrap(); // runs while another thread forks
    shard.push(counting(&ran), Lane::Main, Haste::Prompt);
    shard.gather();
    shard.push(counting(&ran), Lane::Main, Haste::Prompt);

    shard.lock_for_fork();
    assert!(shard.after_fork_in_child(8));
    let pending = |lane| shard.lane(lane).pending().count();
    assert_eq!((pending(Lane::Main), pending(Lane::Hurry)), (4, 1));
    for lane in LANES {
        assert!(!shard.lane(lane).is_done(before[lane as usize]));
    }
    for _ in 0..2 {
        shard.begin_pass();
        for lane in LANES {
            while let Some(callback) = shard.pop(lane) {
                callback.run();
                shard.ran(lane);
            }
        }
    }
    assert_eq!(ran.load(Ordering::Relaxed), 5);
    for lane in LANES {
        assert!(shard.lane(lane).is_done(shard.lane(lane).queued()));
    }
    in_parent.run();
}

// A barrier that came while a batch ran was forgotten when the batch went on, and waited for the lazy delay.
#[test]
fn haste_was_lost_in_a_pass_that_takes_nothing() {
    let shard = Shard::new();
    let ran = Arc::new(AtomicUsize::new(0));
    shard.push(counting(&ran), Lane::Main, Haste::Prompt);
    assert_eq!(shard.begin_pass()[Lane::Main as usize], Pushed::Prompt);
    shard.push(counting(&ran), Lane::Main, Haste::Lazy);
    shard.hasten();
    assert_eq!(shard.begin_pass()[Lane::Main as usize], Pushed::Nothing);
    assert!(shard.is_hastened());
    for taken in [Pushed::Prompt, Pushed::Nothing] {
        shard.pop(Lane::Main).unwrap().run();
        shard.ran(Lane::Main);
        assert_eq!(shard.begin_pass()[Lane::Main as usize], taken);
    }
    assert!(!shard.is_hastened());
}

// `then_some` again: a refused claim made the worker that exists look absent.
#[test]
fn a_refused_claim_gave_the_worker_up() {
    let shard = Shard::new();
    let start = shard.claim_start().unwrap();
    assert!(shard.claim_start().is_none() && shard.claim_start().is_none());
    assert_eq!(shard.worker(), Worker::Starting);
    start.succeeded(sys::spawn("nobody", || {}).unwrap());
    assert!(shard.claim_start().is_none() && shard.claim_start().is_none());
    assert_eq!(shard.worker(), Worker::Running);
    assert!(shard.take_thread().is_some() && shard.take_thread().is_none());
}

// It forked in its first callback, before its starter had stored that it runs: who shut down in the child waited for
// the starter.
#[test]
fn a_child_waited_for_the_starter_of_the_worker_that_forked() {
    let shard = Shard::new();
    let start = shard.claim_start().unwrap();
    start.succeeded(sys::spawn("first", || {}).unwrap());
    shard.leave();
    let start = shard.claim_start().unwrap();
    shard.set_consumer(7);
    shard.lock_for_fork();
    assert!(!shard.after_fork_in_child(7));
    core::mem::forget(start); // its owner is in the parent
    assert_eq!(shard.worker(), Worker::Running);
    assert!(shard.take_thread().is_none());
    shard.leave();
    assert_eq!(shard.worker(), Worker::None);
}

// It was counted before the barrier, and there after the pass that the barrier had hastened.
#[test]
fn haste_was_used_up_before_what_a_barrier_waited_for_was_there() {
    let shard = Shard::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let lane = shard.lane(Lane::Main);
    shard.push(counting(&ran), Lane::Main, Haste::Lazy);
    assert!(!shard.is_wanted());
    assert!(!lane.want(lane.queued()) && shard.is_wanted());
    assert_eq!(shard.begin_pass()[Lane::Main as usize], Pushed::Prompt);
    shard.pop(Lane::Main).unwrap().run();
    shard.ran(Lane::Main);
    assert!(!shard.is_wanted());
    assert!(lane.want(lane.queued()) && !shard.is_wanted()); // too late is no wish
}

// Who shut down told the worker once more, which had left: the next one left before it ran anything.
#[test]
fn a_worker_was_told_what_was_meant_for_the_one_before() {
    let shard = Shard::new();
    for (told, then) in [
        (Stop::Now, Stop::No),
        (Stop::WhenEmpty, Stop::WhenEmpty),
        (Stop::Now, Stop::No),
    ] {
        shard.tell(told);
        drop(shard.claim_start());
        assert_eq!(shard.told(), then);
    }
}

#[test]
fn each_depth_of_sleep_has_what_wakes_it() {
    let depths = [Sleep::Idle, Sleep::Lazy, Sleep::Paced];
    for depth in depths {
        for reach in depths {
            let shard = Shard::new();
            let mut roused = false;
            shard.sleep(depth, Some(Duration::ZERO), || {
                shard.wake(reach);
                roused = shard.signs.asleep.load(Ordering::Relaxed) == AWAKE;
                true
            });
            assert_eq!(roused, depth <= reach, "{depth:?} {reach:?}");
        }
    }
}

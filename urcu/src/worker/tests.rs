//! The tests of `worker.rs`, whose inside they see.

use super::*;
use crate::flavor::MbBarriers;
use crate::gp::Engine;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// A domain that is a value.
#[derive(Clone)]
struct Shared(Arc<Engine>);

impl Home for Shared {
    type B = MbBarriers;
    fn engine(&self) -> &Engine {
        &self.0
    }
}

fn count(home: &Shared, lane: Lane, haste: Haste, ran: &Arc<AtomicUsize>) {
    let ran = Arc::clone(ran);
    let callback = Callback::new(move || _ = ran.fetch_add(1, Ordering::Relaxed));
    post_to(home, callback, lane, haste);
}

/// The workers of a closed domain run everything, leave, and give up its engine.
#[test]
fn a_closed_domain_is_drained_and_given_up() {
    let home = Shared(Arc::new(Engine::new()));
    let engine = Arc::downgrade(&home.0);
    let ran = Arc::new(AtomicUsize::new(0));
    for n in 0..100 {
        count(&home, Lane::Main, Haste::Prompt, &ran);
        count(&home, Lane::Hurry, Haste::Prompt, &ran);
        count(&home, Lane::Main, Haste::Lazy, &ran);
        if n % 10 == 0 {
            wait_for_all(&home);
        }
    }
    // The last owner may be a callback.
    let last = home.clone();
    let callback = Callback::new(move || close(&last));
    post(&home, callback);
    drop(home);
    while engine.strong_count() != 0 {
        std::thread::yield_now();
    }
    assert_eq!(ran.load(Ordering::Relaxed), 300);
}

// The worker had left, and its successor had been spawned and not been noted yet: the thread that shutdown joined was
// that of the first.
#[test]
fn shutdown_joined_the_predecessor_of_the_worker_that_ran() {
    use crate::activity::Activity;
    use std::sync::mpsc::channel;
    let home = Shared(Arc::new(Engine::new()));
    let shard = home.engine().backlog.shard(0);
    // A worker of this shard that leaves when it is told to.
    let worker = || {
        let (tell, tid) = channel();
        let inside = home.clone();
        let body = move || {
            let _ = tell.send(sys::gettid());
            let shard = inside.engine().backlog.shard(0);
            while shard.told() != Stop::Now {
                std::thread::yield_now();
            }
            shard.leave();
        };
        (sys::spawn("worker", body).unwrap(), tid)
    };
    let wait_for = |tid, wanted| {
        while Activity::of(tid) != Some(wanted) {
            std::thread::yield_now();
        }
    };
    let start = shard.claim_start().unwrap();
    let (first, tid) = worker();
    start.succeeded(first);
    shard.tell(Stop::Now);
    wait_for(tid.recv().unwrap(), Activity::Ended);

    let start = shard.claim_start().unwrap();
    let (tell, tid) = channel();
    std::thread::scope(|s| {
        let ender = s.spawn(|| {
            tell.send(sys::gettid()).unwrap();
            shutdown(&home);
        });
        let tid = tid.recv().unwrap();
        while !ender.is_finished() && Activity::of(tid) != Some(Activity::Sleeps) {
            std::thread::yield_now();
        }
        let returned = ender.is_finished();
        start.succeeded(worker().0);
        ender.join().unwrap();
        assert!(!returned, "beside a worker");
    });
    assert_eq!(shard.worker(), Worker::None);
}

// Who throttled had seen a start under way, and slept on when that was over and no worker there.
#[test]
fn who_throttles_is_told_of_the_end_of_help_and_of_what_nobody_starts_for() {
    let home = Shared(Arc::new(Engine::new()));
    let backlog = &home.engine().backlog;
    let mut seen = backlog.relief().value();
    let mut told = || {
        let before = core::mem::replace(&mut seen, backlog.relief().value());
        seen != before
    };
    help(&home, 0);
    assert!(told());
    backlog.start_failed(sys::monotonic() + Duration::from_secs(1000));
    try_to_start(&home, 0);
    assert!(told());
}

/// Only lazy callbacks have a grace period at leisure, and only while nobody waits for them.
#[test]
fn a_grace_period_is_at_leisure_for_lazy_callbacks_alone() {
    let home = Shared(Arc::new(Engine::new()));
    let ran = Arc::new(AtomicUsize::new(0));
    let shard = home.engine().backlog.shard(0);
    let mut memory = Memory::default();
    let shares = [
        ([Haste::Lazy].as_slice(), false, 1),
        (&[Haste::Lazy], true, 0),
        (&[Haste::Lazy, Haste::Prompt], false, 0),
        (&[Haste::Prompt], false, 0),
    ];
    for (pushes, hastened, alone) in shares {
        for haste in pushes {
            let ran = Arc::clone(&ran);
            let callback = Callback::new(move || _ = ran.fetch_add(1, Ordering::Relaxed));
            shard.push(callback, Lane::Main, *haste);
        }
        if hastened {
            shard.hasten();
        }
        // Rounds are numbered, what is at leisure has no number.
        let round = home.engine().round_from_now();
        pass(&home, shard, &mut memory);
        assert_eq!(home.engine().round_from_now() - round, 1 - alone);
    }
    assert_eq!(ran.load(Ordering::Relaxed), 5);
}

/// What `rest` decides without sleeping.
#[test]
fn a_worker_rests_only_while_nobody_waits() {
    let home = Shared(Arc::new(Engine::new()));
    let backlog = &home.engine().backlog;
    let shard = backlog.shard(0);
    let memory = Memory::default();
    let push = |lane, haste| shard.push(Callback::new(|| {}), lane, haste);
    let run_all = || {
        shard.begin_pass();
        for lane in LANES {
            while run_one(&home, shard, lane) {}
        }
    };
    push(Lane::Main, Haste::Prompt);
    assert_eq!(rest(&home, shard, &memory), Next::Run);
    run_all();
    push(Lane::Main, Haste::Lazy);
    shard.hasten();
    assert_eq!(rest(&home, shard, &memory), Next::Run);
    run_all();
    backlog.set_lazy_delay(Duration::ZERO);
    push(Lane::Main, Haste::Lazy);
    assert_eq!(rest(&home, shard, &memory), Next::Run);
    run_all();
    backlog.set_lazy_delay(Duration::MAX);
    for _ in 0..MANY_LAZY {
        push(Lane::Main, Haste::Lazy);
    }
    assert_eq!(rest(&home, shard, &memory), Next::Run);
    run_all();
    let much = usize::try_from(MUCH_LAZY).unwrap();
    shard.push(Callback::claiming(|| {}, much), Lane::Main, Haste::Lazy);
    assert_eq!(rest(&home, shard, &memory), Next::Run);
    run_all();
    push(Lane::Hurry, Haste::Prompt);
    assert_eq!(rest(&home, shard, &memory), Next::Run);
    run_all();
    push(Lane::Main, Haste::Lazy);
    assert!(!shard.lane(Lane::Main).want(shard.lane(Lane::Main).queued()));
    assert_eq!(rest(&home, shard, &memory), Next::Run);
    run_all();
    shard.tell(Stop::WhenEmpty);
    push(Lane::Main, Haste::Lazy);
    assert_eq!(rest(&home, shard, &memory), Next::Run);
    run_all();
    assert_eq!(rest(&home, shard, &memory), Next::Leave);
    push(Lane::Main, Haste::Prompt);
    shard.tell(Stop::Now);
    assert_eq!(rest(&home, shard, &memory), Next::Leave);
    run_all();
}

// One callback that gives up a subtree of a thousand nodes is as good as many.
#[test]
fn four_callbacks_are_a_flood_and_so_is_one_that_holds_much() {
    let shard = Shard::new();
    let push = |bytes| shard.push(Callback::claiming(|| {}, bytes), Lane::Main, Haste::Prompt);
    let take = || {
        while shard.pop(Lane::Main).is_some_and(|callback| {
            callback.run();
            shard.ran(Lane::Main);
            true
        }) {}
    };
    for _ in 1..FLOOD {
        push(1);
        assert!(!is_flooded(&shard));
    }
    push(1);
    assert!(is_flooded(&shard));
    shard.begin_pass();
    take();
    assert!(!is_flooded(&shard));
    push(usize::try_from(MUCH).unwrap());
    assert!(is_flooded(&shard));
    shard.begin_pass();
    take();
}

#[test]
fn a_flooded_worker_waits_for_the_next_tick_and_no_longer() {
    let mut memory = Memory::default();
    assert_eq!(memory.until_tick(), None);
    memory.tick = u128::MAX;
    assert_eq!(memory.until_tick(), None);
    // The clock may step between the two looks: then there is no wait.
    let waits = (0..1000).filter_map(|_| {
        memory.note_tick();
        memory.until_tick()
    });
    let waits: Vec<_> = waits.collect();
    assert!(!waits.is_empty());
    assert!(
        waits
            .iter()
            .all(|wait| (Duration::ZERO..=TICK).contains(wait))
    );
}

//! The workers of a domain: each runs what is queued in its shard, after a grace period, on a thread of its
//! own.
//!
//! A worker starts with the first callback, blocks all signals, and sleeps on a futex when it has nothing to
//! do: an idle process makes no system call. It works in passes: take what is pushed, wait for a grace
//! period unless there is a batch that has had one, run the hurried callbacks, then a slice of the others.
//! What callbacks queue goes into a later batch, so they can starve nobody.

use crate::atomic::{AtomicU32, Ordering, fence};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::arena::thread_id;
use crate::backlog::Backlog;
use crate::gp::Barriers as _;
use crate::head::Callback;
use crate::home::Home;
use crate::identity::InCallback;
pub(crate) use crate::identity::is_in_callback;
use crate::leave;
use crate::queue::{Haste, Pushed};
use crate::shard::{LANES, Lane, Shard, Sleep, Stop, Worker};
use crate::stall::{self, Report};
use crate::sys;
use crate::trace;

/// A flooded worker begins one grace period in each tick of the clock. 1000 membarriers a second cost the
/// readers 1 %, ten times as many would cost them 10 %. All workers have the same ticks, so they share.
const TICK: Duration = Duration::from_millis(1);
/// From so many waiting callbacks on, waiting for the tick makes a batch. Fewer are somebody who waits for
/// each: that one is served at once.
const FLOOD: u64 = 4;
/// The same for how much waits: one callback may stand for many.
const MUCH: u64 = 4 << 10;
/// How long a pass runs callbacks of the main lane before it looks for hurried ones.
const SLICE: Duration = Duration::from_millis(3);
/// How many callbacks a slice runs between two looks at the clock.
const STRIDE: usize = 16;
/// After so many strides what was pushed meanwhile is gathered: less than a processor's own cache holds. A worker
/// that has fallen behind then fetches each callback from memory once, to run it, and not twice.
const GATHER_EVERY: usize = 64;
/// Lazy callbacks of one shard wait for their time until they are so many, or hold so much.
const MANY_LAZY: u64 = 10_000;
const MUCH_LAZY: u64 = 1 << 20;
/// The pause of a callback that waits for another domain's callbacks, where no worker can be started.
const NO_HELP: Duration = Duration::from_millis(1);

/// Queues a callback and sees to it that there is a worker. Never waits, never runs one.
#[inline]
pub(crate) fn post<H: Home>(home: &H, callback: Callback) {
    post_to(home, callback, Lane::Main, Haste::Prompt);
}

/// The same for a lane, and for a callback that has time.
#[inline]
pub(crate) fn post_to<H: Home>(home: &H, callback: Callback, lane: Lane, haste: Haste) {
    let backlog = &home.engine().backlog;
    let index = backlog.mine();
    let shard = backlog.shard(index);
    shard.push(callback, lane, haste);
    if shard.worker() == Worker::None {
        try_to_start(home, index);
    }
    resume(home);
    if haste == Haste::Lazy && is_plenty(shard) {
        shard.wake(Sleep::Lazy);
    }
    if backlog.is_limited() {
        keep_within_limits::<H>(backlog, shard);
    }
}

/// Starts the workers that are missing, if there is work for them: what a forked child has inherited, or what was
/// queued where none could be started. For whoever queues, or asks how far things are. Never waits.
#[inline]
pub(crate) fn resume<H: Home>(home: &H) {
    if home.engine().backlog.is_stranded() {
        resume_slowly(home);
    }
}

#[cold]
fn resume_slowly<H: Home>(home: &H) {
    let backlog = &home.engine().backlog;
    if !backlog.may_start(sys::monotonic()) {
        return;
    }
    backlog.look_after_stranded();
    for (index, shard) in backlog.shards().enumerate() {
        if shard.is_stranded() {
            start_worker(home, index);
        }
    }
}

/// After a push to a shard that has no worker: starts one, unless a start has failed just now.
#[cold]
fn try_to_start<H: Home>(home: &H, index: usize) {
    let backlog = &home.engine().backlog;
    if backlog.may_start(sys::monotonic()) {
        start_worker(home, index);
    } else {
        backlog.strand();
        backlog.relief().signal(); // who throttles saw a start under way, and helps now
    }
}

/// After a push: beyond the soft limit the worker hurries, beyond the hard one somebody is told.
#[cold]
fn keep_within_limits<H: Home>(backlog: &Backlog, shard: &Shard) {
    let limits = backlog.limits();
    let bytes = backlog.measure();
    if bytes > limits.soft && !shard.is_hastened() {
        shard.hasten();
    }
    if bytes > limits.hard && backlog.note_excess() {
        stall::report(Report::OverLimit {
            flavor: H::B::NAME,
            bytes,
            limit: limits.hard,
        });
    }
}

fn is_flooded(shard: &Shard) -> bool {
    let lane = shard.lane(Lane::Main);
    lane.pending().count() >= FLOOD || lane.bytes() >= MUCH
}

fn is_plenty(shard: &Shard) -> bool {
    let lane = shard.lane(Lane::Main);
    lane.pending().count() >= MANY_LAZY || lane.bytes() >= MUCH_LAZY
}

/// Waits for every callback whose `post` happened before. The caller has checked that it may wait.
///
/// # Panics
/// In a callback of the same domain.
#[track_caller]
pub(crate) fn wait_for_all<H: Home>(home: &H) {
    wait_as(home, "barrier");
}

#[track_caller]
fn wait_as<H: Home>(home: &H, what: &str) {
    let backlog = &home.engine().backlog;
    assert!(
        !backlog.is_consumer(),
        "urcu {}: {what} inside a callback of the same domain would wait for itself",
        H::B::NAME
    );
    let targets = backlog.targets();
    let behind = |(index, shard): &(usize, &Shard)| !targets.are_met(shard, *index);
    // All at once, so that their grace periods are shared.
    for (_, shard) in backlog.shards().enumerate().filter(behind) {
        shard.hasten();
    }
    for (index, shard) in backlog.shards().enumerate() {
        loop {
            let seen = shard.progress().value();
            if targets.are_met_or_wanted(shard, index) {
                break;
            }
            if shard.worker() == Worker::None && !start_worker(home, index) {
                if is_in_callback() {
                    shard.progress().wait_while(seen, Some(NO_HELP));
                } else {
                    help(home, index);
                }
                continue;
            }
            if !shard.is_hastened() {
                shard.hasten();
            }
            // What we want and every start that fails is announced: `seen` is then stale.
            shard.progress().wait_while(seen, None);
        }
    }
    fence(Ordering::SeqCst);
}

/// Waits until the backlog is well below its limit, or helps where no worker can be started. The caller has
/// checked that it may wait, and is in no callback.
pub(crate) fn throttle<H: Home>(home: &H) {
    let backlog = &home.engine().backlog;
    loop {
        let seen = backlog.relief().value();
        if backlog.measure() <= backlog.comfortable() {
            return;
        }
        let mut helped = false;
        for (index, shard) in backlog.shards().enumerate() {
            if shard.lanes().iter().all(|lane| lane.pending().count() == 0) {
                continue;
            }
            shard.hasten();
            if shard.worker() == Worker::None && !start_worker(home, index) {
                help(home, index);
                helped = true;
            }
        }
        if !helped {
            backlog.relief().wait_while(seen, None);
        }
    }
}

/// Waits for what is queued, then for the end of all workers.
///
/// # Panics
/// In a callback of the same domain.
#[track_caller]
pub(crate) fn shutdown<H: Home>(home: &H) {
    wait_as(home, "shutdown");
    let backlog = &home.engine().backlog;
    let running = |shard: &&Shard| shard.worker() != Worker::None;
    backlog
        .shards()
        .filter(running)
        .for_each(|shard| shard.tell(Stop::Now));
    for shard in backlog.shards() {
        loop {
            let seen = shard.progress().value();
            let worker = shard.worker();
            // While one starts, the thread that is there is its predecessor's.
            if worker != Worker::Starting
                && let Some(thread) = shard.take_thread()
            {
                // Once more: it may be a successor of the one that was told, which nobody has told.
                shard.tell(Stop::Now);
                thread.join();
                break;
            }
            if worker == Worker::None {
                break;
            }
            // It has only just been started, or somebody else joins it.
            shard.progress().wait_while(seen, None);
        }
    }
}

/// The last owner of a domain is gone, so nobody queues anything any more: the workers run what is left, and
/// leave. Never waits: this may be one of them.
pub(crate) fn close<H: Home>(home: &H) {
    for (index, shard) in home.engine().backlog.shards().enumerate() {
        shard.tell(Stop::WhenEmpty);
        if shard.worker() == Worker::None && shard.has_work() {
            start_worker(home, index);
        }
    }
}

/// Failed starts since the last success, in all domains, for the report: what is short is the process's.
static FAILED: AtomicU32 = AtomicU32::new(0);

/// Starts a shard's worker unless somebody else does; `false` if that failed.
#[cold]
fn start_worker<H: Home>(home: &H, index: usize) -> bool {
    let backlog = &home.engine().backlog;
    let Some(start) = backlog.shard(index).claim_start() else {
        return true;
    };
    let name = format!("urcu-{}/{index}", H::B::NAME);
    let kept = home.clone();
    let spawned = sys::with_signals_blocked(|| sys::spawn(&name, move || work(&kept, index)));
    if let Ok(thread) = spawned {
        FAILED.store(0, Ordering::Relaxed);
        backlog.start_succeeded();
        start.succeeded(thread);
        return true;
    }
    drop(start);
    backlog.start_failed(sys::monotonic());
    backlog.relief().signal(); // who throttles helps now
    if FAILED.fetch_add(1, Ordering::Relaxed) == 0 {
        stall::report(Report::NoWorker { flavor: H::B::NAME });
    }
    false
}

/// Runs what is queued on the calling thread, where no worker can be started (rule A21).
fn help<H: Home>(home: &H, index: usize) {
    let shard = home.engine().backlog.shard(index);
    let Some(start) = shard.claim_start() else {
        return;
    };
    shard.set_consumer(thread_id());
    shard.begin_pass();
    if shard.has_batch() {
        home.engine().synchronize::<H::B>(home.caller());
        for lane in LANES {
            while run_one::<H>(home, shard, lane) {}
        }
        home.engine().backlog.relieved();
    }
    shard.set_consumer(0);
    drop(start);
    home.engine().backlog.relief().signal(); // the same
    if shard.has_work() {
        // Who called meanwhile saw a start under way and left it to us.
        start_worker(home, index);
    }
}

/// What a worker knows and nobody else.
#[derive(Default)]
struct Memory {
    /// Lanes whose batch has had its grace period.
    ripe: [bool; LANES.len()],
    /// The tick of the clock in which the last grace period began.
    tick: u128,
}

impl Memory {
    /// How long to wait for the next tick; `None` if no grace period has begun in this one.
    fn until_tick(&self) -> Option<Duration> {
        let now = sys::monotonic().as_nanos();
        let left = TICK.as_nanos() - now % TICK.as_nanos();
        (now / TICK.as_nanos() == self.tick)
            .then(|| Duration::from_nanos(u64::try_from(left).unwrap_or(0)))
    }

    fn note_tick(&mut self) {
        self.tick = sys::monotonic().as_nanos() / TICK.as_nanos();
    }
}

fn work<H: Home>(home: &H, index: usize) {
    let backlog = &home.engine().backlog;
    let shard = backlog.shard(index);
    shard.set_consumer(thread_id());
    let _told = trace::WorkerLife::begin(H::B::NAME);
    let mut memory = Memory::default();
    while rest(home, shard, &memory) == Next::Run {
        pass(home, shard, &mut memory);
    }
    leave::settle(home.engine());
    shard.leave();
    if shard.has_work() {
        start_worker(home, index);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Run,
    Leave,
}

/// Sleeps until there is something to do.
fn rest<H: Home>(home: &H, shard: &Shard, memory: &Memory) -> Next {
    let backlog = &home.engine().backlog;
    let mut lazy_until = None;
    let sleep = |depth, limit, stay_awake: &dyn Fn() -> bool| {
        // A callback may have read here: the sleeper must not keep readers from cooperating.
        let _parked = home.caller().park();
        shard.sleep(depth, limit, stay_awake);
    };
    let urged = || {
        let now = shard.hurry_pushed() || shard.is_hastened() || shard.is_wanted();
        now || shard.told() != Stop::No
    };
    loop {
        let told = shard.told();
        if told == Stop::Now {
            return Next::Leave;
        }
        if shard.has_batch() || shard.hurry_pushed() {
            return Next::Run;
        }
        let pushed = shard.main_pushed();
        if pushed == Pushed::Nothing {
            if told == Stop::WhenEmpty {
                return Next::Leave;
            }
            sleep(Sleep::Idle, None, &|| {
                shard.has_work() || shard.told() != Stop::No
            });
            continue;
        }
        if urged() {
            return Next::Run;
        }
        if pushed == Pushed::OnlyLazy && !is_plenty(shard) {
            let now = sys::monotonic();
            let until = *lazy_until.get_or_insert_with(|| now + backlog.lazy_delay());
            let Some(left) = until.checked_sub(now).filter(|left| !left.is_zero()) else {
                return Next::Run;
            };
            sleep(Sleep::Lazy, Some(left), &|| {
                urged() || shard.main_pushed() == Pushed::Prompt || is_plenty(shard)
            });
            continue;
        }
        match memory.until_tick().filter(|_| is_flooded(shard)) {
            Some(left) => sleep(Sleep::Paced, Some(left), &urged),
            None => return Next::Run,
        }
    }
}

fn pass<H: Home>(home: &H, shard: &Shard, memory: &mut Memory) {
    let engine = home.engine();
    let taken = shard.begin_pass();
    for lane in LANES {
        // What was taken before and is not finished has had its grace period, or has none yet.
        memory.ripe[lane as usize] &= taken[lane as usize] == Pushed::Nothing;
    }
    let unripe = |lane: Lane| shard.lane(lane).has_batch() && !memory.ripe[lane as usize];
    if LANES.into_iter().any(unripe) {
        engine.backlog.measure();
        memory.note_tick();
        // It begins after the batch was taken, and each callback was pushed before that.
        if taken == [Pushed::Nothing, Pushed::OnlyLazy] && shard.told() == Stop::No {
            engine.synchronize_at_leisure::<H::B>(home.caller());
        } else {
            engine.synchronize::<H::B>(home.caller());
        }
        memory.ripe = [true; LANES.len()];
        engine.backlog.measure();
    }
    let batch = trace::Batch::begin(H::B::NAME);
    let mut callbacks = 0;
    let mut run_one = |lane| {
        let ran = run_one(home, shard, lane);
        callbacks += u64::from(ran);
        ran
    };
    while run_one(Lane::Hurry) {}
    let begun = Instant::now();
    let mut strides = 0;
    while (0..STRIDE).all(|_| run_one(Lane::Main)) && begun.elapsed() < SLICE {
        strides += 1;
        if strides % GATHER_EVERY == 0 {
            shard.gather();
        }
    }
    if let Some(batch) = batch {
        batch.end(callbacks);
    }
    engine.backlog.relieved();
}

/// Runs the oldest callback of a lane's batch; `false` if there is none.
fn run_one<H: Home>(home: &H, shard: &Shard, lane: Lane) -> bool {
    let Some(callback) = shard.pop(lane) else {
        return false;
    };
    let inside = InCallback::enter();
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback.run())) {
        core::mem::forget(payload); // its Drop could panic too (rule A21)
        home.engine().counters.callback_panics.add_one();
        stall::report(Report::CallbackPanicked { flavor: H::B::NAME });
    }
    drop(inside);
    shard.ran(lane);
    true
}

#[cfg(test)]
mod tests;

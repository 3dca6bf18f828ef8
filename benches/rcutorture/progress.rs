//! Forward progress: grace periods and callbacks must go on whatever is thrown at them.
//!
//! First a callback that queues itself again, while this thread enters and leaves sections without pause:
//! grace periods must pass, and `barrier` must return although the callback never stops by itself. Then a
//! flood: callbacks are queued as fast as possible, those that came back are queued again, and enough of them
//! must come back several times. (Both are tests of the kernel's rcutorture.)

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::Fault;
use crate::ops::{Ops, pause_if_asked};
use crate::state::{Torture, count};

/// The tight loop goes on for at least this long, and until grace periods passed.
const TIGHT: Duration = Duration::from_millis(100);
/// The flood lasts so long, and until enough callbacks came back.
const FLOOD: Duration = Duration::from_millis(300);
/// Without any progress for so long the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The flood's callbacks that come back, and those that do not.
const LAUNDERED: usize = 1024;
const MOST_PENDING: u64 = 50_000;

/// One test after the other until the torture is over.
pub(crate) fn progress_test<O: Ops>(torture: &'static Torture) {
    let mut ops = O::join();
    let member = torture.stutter.join();
    while !torture.is_over() {
        pause_if_asked(&member, &mut ops, |_| {});
        tight_loop(torture, &mut ops);
        flood(torture, &mut ops);
        if O::LIMITS {
            flood_within_limits(torture, &mut ops);
        }
        count(&torture.deeds.progress_tests);
        let next = Instant::now() + Duration::from_secs(torture.options.progress);
        while !torture.is_over() && Instant::now() < next {
            ops.away(|| thread::sleep(Duration::from_millis(10)));
            pause_if_asked(&member, &mut ops, |_| {});
        }
    }
}

const RUNNING: u32 = 0;
const STOP: u32 = 1;
const STOPPED: u32 = 2;

fn repost<O: Ops>(stop: &'static AtomicU32) {
    O::call(move || {
        if stop.load(Acquire) == STOP {
            stop.store(STOPPED, Release);
        } else {
            repost::<O>(stop);
        }
    });
}

fn tight_loop<O: Ops>(torture: &Torture, ops: &mut O) {
    let stop: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(RUNNING)));
    repost::<O>(stop);
    let (began, first) = (Instant::now(), O::grace_periods());
    let passed = || O::grace_periods() >= first + 2;
    while began.elapsed() < TIGHT || !passed() {
        for _ in 0..100 {
            drop(ops.lock());
            ops.quiescent();
        }
        if began.elapsed() > PATIENCE {
            torture.faults.tell(Fault::Progress, || {
                "no two grace periods beside short sections".to_owned()
            });
            break;
        }
    }
    // It sees the request, or was queued again before this barrier, and sees it then.
    stop.store(STOP, Release);
    ops.synchronize();
    ops.barrier();
    ops.barrier();
    if stop.load(SeqCst) != STOPPED {
        torture.faults.tell(Fault::Progress, || {
            "a callback that queues itself missed two barriers".to_owned()
        });
    }
}

/// Bytes that may wait while the limits are tested. More than all other threads queue meanwhile.
const LIMIT: u64 = 4 << 20;

/// More callbacks than these bytes are enough for.
const MOST: u64 = LIMIT / 16;

/// A flood that can be refused: what is refused has not been queued, what is accepted runs, and after a refusal
/// there is room again.
fn flood_within_limits<O: Ops>(torture: &Torture, ops: &mut O) {
    let ran: &'static AtomicU64 = Box::leak(Box::default());
    let queue = || O::try_call(|| _ = ran.fetch_add(1, Relaxed)).is_ok();
    let mut accepted = 0;
    O::limit(Some(LIMIT));
    for _ in 0..3 {
        // Nothing that is queued inside a section runs before its end, however fast the workers are.
        let section = ops.lock();
        let before_refusal = (0..MOST).position(|_| !queue());
        drop(section);
        ops.quiescent();
        let Some(before_refusal) = before_refusal else {
            accepted += MOST;
            torture.faults.tell(Fault::Progress, || {
                format!("{MOST} callbacks were accepted within a limit of {LIMIT} bytes")
            });
            break;
        };
        accepted += before_refusal as u64;
        torture.deeds.refused.fetch_add(1, Relaxed);
        let began = Instant::now();
        let mut queued = queue();
        while !queued && began.elapsed() < PATIENCE {
            ops.away(|| thread::sleep(Duration::from_micros(100)));
            queued = queue();
        }
        if !queued {
            torture.faults.tell(Fault::Progress, || {
                format!("{accepted} callbacks were accepted, one was refused, and no room again")
            });
            break;
        }
        accepted += 1;
    }
    O::limit(None);
    ops.barrier();
    let ran = ran.load(SeqCst);
    if ran != accepted {
        torture.faults.tell(Fault::Barrier, || {
            format!("{accepted} callbacks were accepted, {ran} had run after the barrier")
        });
    }
}

/// A callback that comes back: whether it is queued, and how often it came.
#[derive(Debug, Default)]
struct Laundry {
    queued: AtomicU32,
    returns: AtomicU64,
}

fn flood<O: Ops>(torture: &Torture, ops: &mut O) {
    let laundry: &'static [Laundry] =
        Box::leak((0..LAUNDERED).map(|_| Laundry::default()).collect());
    let others: &'static AtomicU64 = Box::leak(Box::default());
    let enough = || {
        laundry
            .iter()
            .filter(|one| one.returns.load(Relaxed) >= 3)
            .count()
            >= 100
    };
    let began = Instant::now();
    let (mut posted, mut most) = (0, 0);
    while began.elapsed() < FLOOD || !enough() {
        for one in laundry {
            if one.queued.compare_exchange(0, 1, AcqRel, Relaxed).is_ok() {
                O::call(|| {
                    one.returns.fetch_add(1, Relaxed);
                    one.queued.store(0, Release);
                });
            } else if posted - others.load(Relaxed) < MOST_PENDING {
                O::call(|| _ = others.fetch_add(1, Relaxed));
                posted += 1;
            }
        }
        most = most.max(posted - others.load(Relaxed));
        ops.quiescent();
        if began.elapsed() > PATIENCE {
            torture.faults.tell(Fault::Progress, || {
                format!("flooded with {posted} callbacks, too few came back three times")
            });
            break;
        }
    }
    ops.barrier();
    let ran = others.load(SeqCst);
    if ran != posted || laundry.iter().any(|one| one.queued.load(SeqCst) != 0) {
        torture.faults.tell(Fault::Barrier, || {
            format!("of a flood of {posted} callbacks {ran} had run after the barrier")
        });
    }
    torture.deeds.flooded.fetch_add(posted, Relaxed);
    torture.deeds.most_pending.fetch_max(most, Relaxed);
}

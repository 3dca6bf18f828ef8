//! Latencies of what waits, and the bare membarrier(2) that `synchronize` stands on.
//!
//! The caller runs on one CPU and the reader or sleeper on another: left alone the kernel often puts both
//! on one, and no grace period then finds a running reader.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::panic::resume_unwind;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::grace::GracePeriods;
use crate::peers;
use crate::sys;

/// How long a worker gets to fall asleep before something "idle" is measured.
const FALL_ASLEEP: Duration = Duration::from_micros(300);

/// The name of the bare membarrier(2) in the table.
pub const MEMBARRIER: &str = "membarrier(2)";

/// Who else is there while `synchronize` is measured.
#[derive(Clone, Copy, Debug)]
struct Company {
    /// A thread reads flat out.
    reader: bool,
    /// Another one does not.
    other: Other,
}

/// A registered thread outside sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    None,
    /// It sleeps.
    Asleep,
    /// It sleeps, and has said so before.
    Parked,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
enum What {
    /// The `call_rcu` worker is there and asleep; of liburcu it is registered.
    Synchronize(Company),
    /// From `call` to the callback, the worker asleep.
    Call,
    /// `barrier` with nothing queued.
    Barrier,
    /// `call` and `barrier`, the worker asleep.
    CallAndBarrier,
    /// From starting a grace period until a poll finds it over, the worker asleep.
    Poll,
}

struct Wait {
    key: &'static str,
    title: &'static str,
    what: What,
}

const fn synchronize(key: &'static str, title: &'static str, reader: bool, other: Other) -> Wait {
    let what = What::Synchronize(Company { reader, other });
    Wait { key, title, what }
}

const fn idle(key: &'static str, title: &'static str, what: What) -> Wait {
    Wait { key, title, what }
}

const WAITS: [Wait; 9] = [
    synchronize(
        "synchronize",
        "synchronize, no other thread running",
        false,
        Other::None,
    ),
    synchronize(
        "synchronize_sleeper",
        "synchronize, a registered thread asleep",
        false,
        Other::Asleep,
    ),
    synchronize(
        "synchronize_reader",
        "synchronize, a hot reader",
        true,
        Other::None,
    ),
    synchronize(
        "synchronize_reader_parked",
        "synchronize, a hot reader, a parked thread",
        true,
        Other::Parked,
    ),
    synchronize(
        "synchronize_reader_sleeper",
        "synchronize, a hot reader, a registered thread asleep",
        true,
        Other::Asleep,
    ),
    idle("call", "call to callback, idle", What::Call),
    idle("barrier", "barrier, nothing queued", What::Barrier),
    idle(
        "call_and_barrier",
        "call + barrier, idle",
        What::CallAndBarrier,
    ),
    idle("poll", "start_poll until it is done, idle", What::Poll),
];

pub(super) fn run(effort: Effort, report: &mut Report) {
    let peers = peers::grace_periods();
    for peer in &peers {
        peer.call(Box::new(|| ())); // starts its worker, unpinned
        peer.barrier();
    }
    // On a thread of its own: the caller stays unpinned, and the main thread only waits.
    let charts = thread::scope(|scope| {
        let measured = scope.spawn(|| {
            sys::pin(0);
            measure_rounds(&peers, effort)
        });
        measured.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    report.groups.extend(charts.into_iter().map(Group::single));
}

fn measure_rounds(peers: &[Box<dyn GracePeriods>], effort: Effort) -> Vec<Chart> {
    let chart = |wait: &Wait| Chart::new(wait.key, wait.title, Unit::Us, Typical::Median);
    let mut charts: Vec<Chart> = WAITS.iter().map(chart).collect();
    for round in 0..effort.rounds {
        for (wait, chart) in WAITS.iter().zip(&mut charts) {
            chart.add(MEMBARRIER, bare(wait.what, &*peers[0], effort));
            for i in 0..peers.len() {
                let peer = &*peers[(round + i) % peers.len()];
                chart.add(peer.name(), measure(wait.what, peer, effort));
            }
        }
    }
    charts
}

/// Mean microseconds of as many calls as fit into the wait time, at least one.
fn measure(what: What, of: &dyn GracePeriods, effort: Effort) -> Option<f64> {
    match what {
        What::Synchronize(company) => in_company(of, company, || mean(effort, || of.synchronize())),
        What::Call => call_to_callback(of),
        What::Barrier => Some(mean(effort, || of.barrier())),
        What::CallAndBarrier => {
            thread::sleep(FALL_ASLEEP);
            let begun = Instant::now();
            of.call(Box::new(|| ()));
            of.barrier();
            Some(us(begun.elapsed()))
        }
        What::Poll => {
            thread::sleep(FALL_ASLEEP);
            let begun = Instant::now();
            let is_over = of.start_poll()?;
            while !is_over() {
                core::hint::spin_loop();
            }
            Some(us(begun.elapsed()))
        }
    }
}

/// The bare membarrier in the company of the `lender`'s threads. It has no callbacks.
fn bare(what: What, lender: &dyn GracePeriods, effort: Effort) -> Option<f64> {
    match what {
        What::Synchronize(company) if sys::membarrier() => {
            in_company(lender, company, || mean(effort, || _ = sys::membarrier()))
        }
        _ => None,
    }
}

fn us(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

fn mean(effort: Effort, mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    call();
    let first = begun.elapsed().max(Duration::from_nanos(20));
    if first >= effort.wait_time {
        return us(first);
    }
    let calls = (effort.wait_time.as_nanos() / first.as_nanos()).clamp(1, 100_000);
    let begun = Instant::now();
    for _ in 0..calls {
        call();
    }
    us(begun.elapsed()) / calls as f64
}

fn call_to_callback(of: &dyn GracePeriods) -> Option<f64> {
    thread::sleep(FALL_ASLEEP);
    let (done, ran) = channel();
    let begun = Instant::now();
    // The time is taken in the callback: waking the receiver is not part of it.
    of.call(Box::new(move || _ = done.send(begun.elapsed())));
    ran.recv().ok().map(us)
}

/// Runs `measure` while the company is there; `None` if it cannot be had.
fn in_company(
    of: &dyn GracePeriods,
    company: Company,
    measure: impl FnOnce() -> f64,
) -> Option<f64> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (ready, is_ready) = channel();
        let (release, released) = channel::<()>();
        if company.reader {
            let (stop, ready) = (&stop, ready.clone());
            scope.spawn(move || {
                sys::pin(1);
                _ = ready.send(true);
                of.read_until(stop);
            });
        }
        if company.other != Other::None {
            let ready = ready.clone();
            scope.spawn(move || {
                sys::pin(1);
                let mut stay = || {
                    _ = ready.send(true);
                    _ = released.recv();
                };
                if company.other == Other::Asleep {
                    of.idle(&mut stay);
                } else if !of.parked(&mut stay) {
                    _ = ready.send(false);
                }
            });
        }
        let expected = usize::from(company.reader) + usize::from(company.other != Other::None);
        let all_there = (0..expected).all(|_| is_ready.recv() == Ok(true));
        let figure = all_there.then(|| {
            if expected > 0 {
                thread::sleep(FALL_ASLEEP);
            }
            measure()
        });
        stop.store(true, Ordering::Relaxed);
        drop(release);
        figure
    })
}

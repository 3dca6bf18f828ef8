//! A reader stalled for a second under a million retires: what is kept, what that costs the producer, how
//! fast it is gone afterwards, and whether anybody is told who it was.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::mpsc::channel;
use std::thread::{self, Builder};
use std::time::Instant;

use crate::chart::{Chart, Report, Typical, Unit};
use crate::effort::Effort;
use crate::peer::{Peer, Reader};
use crate::peers::names::{BOUNDED, CROSSBEAM, KEPT, MALLOC, MEMB, MEMB_SO, QSBR, SEIZE};
use crate::peers::{self, Action};
use crate::probe::Figures;
use crate::sys;

use super::apart;

/// The first frees at once, the second never: their longest updates are the machine's, with the pages that a
/// growing heap asks for.
const PEERS: [&str; 8] = [MALLOC, KEPT, MEMB, BOUNDED, QSBR, CROSSBEAM, SEIZE, MEMB_SO];
const RETIRES_PER_MS: u32 = 1000;
/// The name of the thread that stalls, as reports should have it.
const CULPRIT: &str = "stalled-reader";
/// How long we wait for what is never freed.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(effort: Effort, report: &mut Report) {
    let chart = |key, title, unit| Chart::new(key, title, unit, Typical::Median);
    let charts = [
        chart(
            "stall_kept",
            "a reader stalled: memory kept for each 64-byte object retired",
            Unit::Bytes,
        ),
        chart("stall_held", "a reader stalled: memory kept", Unit::Bytes),
        chart(
            "stall_refused",
            "a reader stalled: retires that were refused",
            Unit::Count,
        ),
        // The least of the runs: whatever the machine does in that second is in a longest of a million.
        Chart::new(
            "stall_longest",
            "a reader stalled: the producer's longest update",
            Unit::Us,
            Typical::Min,
        ),
        chart(
            "stall_freed",
            "the stalled reader leaves: until all objects are freed",
            Unit::Ms,
        ),
        chart(
            "stall_told",
            "a report names the stalled thread",
            Unit::YesNo,
        ),
    ];
    apart("stall", &PEERS, charts, effort.long_probes, effort, report);
}

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    urcu::set_stall_timeout(effort.stall_time / 4);
    urcu::set_report_hook(|report| {
        if report.to_string().contains(CULPRIT) {
            TOLD.store(true, Ordering::Relaxed);
        }
    });
    peers::with(peer, Stall(effort))
}

static TOLD: AtomicBool = AtomicBool::new(false);

struct Stall(Effort);

impl Action for Stall {
    type Output = Figures;

    fn run<P: Peer>(self, peer: &P) -> Figures {
        warm_up(peer);
        let before = Memory::now()?;
        thread::scope(|scope| {
            let (ready, is_ready) = channel();
            let (release, released) = channel::<()>();
            Builder::new()
                .name(CULPRIT.to_owned())
                .spawn_scoped(scope, move || {
                    let mut reader = peer.reader();
                    reader.hold(&mut || {
                        _ = ready.send(());
                        _ = released.recv();
                    });
                })
                .map_err(|error| error.to_string())?;
            _ = is_ready.recv();
            let (retired, longest) = retire(peer.reader(), self.0.stall_time);
            let longest = ("stall_longest", longest.as_nanos() as f64 / 1e3);
            if [MALLOC, KEPT].contains(&peer.name()) {
                return Ok(vec![longest]);
            }
            let held = Memory::now()?;
            let left = Instant::now();
            drop(release);
            let freed = until_freed(peer, before, held, left);
            let kept = held.resident.saturating_sub(before.resident) as f64;
            let mut figures = vec![("stall_held", kept), longest];
            figures.extend(freed.map(|time| ("stall_freed", time.as_secs_f64() * 1e3)));
            if peer.name() == BOUNDED {
                figures.push(("stall_refused", urcu::Memb::stats().refused as f64));
            } else {
                figures.push(("stall_kept", kept / f64::from(retired)));
            }
            if peer.name().starts_with("urcu") {
                figures.push(("stall_told", f64::from(TOLD.load(Ordering::Relaxed))));
            }
            Ok(figures)
        })
    }
}

/// Afterwards the worker and the allocator's arenas are there.
fn warm_up<P: Peer>(peer: &P) {
    let update = || {
        let mut producer = peer.reader();
        for value in 0..1000 {
            producer.update(value);
        }
        producer.pause();
        drop(producer); // nobody settles while online
    };
    update();
    // A thread that ends leaves to the worker what it has not freed itself: so there is one.
    thread::scope(|scope| _ = scope.spawn(update));
    peer.settle();
}

/// Retires so many a millisecond; the longest update comes with their number.
fn retire(mut producer: impl Reader, time: Duration) -> (u32, Duration) {
    let begun = Instant::now();
    let (mut retired, mut longest) = (0, Duration::ZERO);
    for ms in 1..=time.as_millis() {
        let mut last = Instant::now();
        for _ in 0..RETIRES_PER_MS {
            producer.update(u64::from(retired));
            retired += 1;
            let now = Instant::now();
            longest = longest.max(now - last);
            last = now;
        }
        producer.pause();
        let next = begun + Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX));
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    (retired, longest)
}

/// How long it took until nine tenths of what was held were freed; `None` if that did not happen in time.
fn until_freed<P: Peer>(peer: &P, before: Memory, held: Memory, left: Instant) -> Option<Duration> {
    let enough = before.allocated + (held.allocated - before.allocated) / 10;
    while left.elapsed() < PATIENCE {
        peer.settle();
        if sys::allocated_bytes()? <= enough {
            return Some(left.elapsed());
        }
        thread::yield_now();
    }
    None
}

#[derive(Clone, Copy)]
struct Memory {
    /// Pages of the process.
    resident: u64,
    /// What malloc has given out.
    allocated: u64,
}

impl Memory {
    fn now() -> Result<Self, String> {
        let unknown = || "this libc does not tell what is allocated".to_owned();
        Ok(Self {
            resident: sys::resident_bytes().ok_or("no /proc/self/statm")?,
            allocated: sys::allocated_bytes().ok_or_else(unknown)?,
        })
    }
}

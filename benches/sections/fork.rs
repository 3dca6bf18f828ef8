//! fork(2): what the handlers cost, and whether a child that was forked while another thread read can free
//! memory.

use core::time::Duration;
use std::io;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use crate::atfork::{self, Cost};
use crate::chart::{Chart, Report, Typical, Unit};
use crate::effort::Effort;
use crate::peer::{Object, Peer, Reader};
use crate::peers::names::{CROSSBEAM, MB, MEMB, MEMB_SO, QSBR, SEIZE};
use crate::peers::{self, Action, ForkHandlers};
use crate::probe::Figures;
use crate::samples::Samples;
use crate::sys;

use super::apart;

const PEERS: [&str; 6] = [MEMB, MB, QSBR, CROSSBEAM, SEIZE, MEMB_SO];
/// Retired by the child: much more than a thread may keep for itself.
const RETIRED: u64 = 200_000;
/// After so many seconds the kernel ends a child that waits for what never comes.
const ALARM: u32 = 1;

pub(super) fn run(effort: Effort, report: &mut Report) {
    let handlers = |key, title| Chart::new(key, title, Unit::Us, Typical::Median);
    let charts = [
        handlers("fork_parent", "fork handlers in the parent, a worker alive"),
        handlers("fork_child", "fork handlers in the child, a worker alive"),
        Chart::new(
            "fork_reclaims",
            "forked while another thread reads: the child frees",
            Unit::YesNo,
            Typical::Median,
        ),
    ];
    apart("fork", &PEERS, charts, effort.probes, effort, report);
}

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    let handlers = peers::fork_handlers(peer);
    let mut figures = Vec::new();
    if let Ok(of) = super::grace_periods(peer) {
        of.call(Box::new(|| ()));
        of.barrier(); // the worker is there
        let costs = match handlers {
            Some(handlers) => call_around_forks(handlers, effort.forks),
            None => atfork::measure(effort.forks),
        };
        let costs = costs.map_err(|error| error.to_string())?;
        let median = |part: fn(&Cost) -> Duration| {
            let us = costs.iter().map(|cost| part(cost).as_nanos() as f64 / 1e3);
            us.collect::<Samples>().median()
        };
        figures.extend(median(|cost| cost.parent).map(|us| ("fork_parent", us)));
        figures.extend(median(|cost| cost.child).map(|us| ("fork_child", us)));
    }
    let frees = peers::with(peer, Reclaims(handlers))?;
    figures.push(("fork_reclaims", f64::from(u8::from(frees))));
    Ok(figures)
}

/// Forks between the handlers that liburcu wants called, without the registered ones.
fn call_around_forks(handlers: ForkHandlers, forks: usize) -> io::Result<Vec<Cost>> {
    let timed = |handler: &dyn Fn()| {
        let begun = Instant::now();
        handler();
        begun.elapsed()
    };
    (0..forks)
        .map(|_| {
            let before = timed(&|| handlers.before());
            let child = atfork::in_child(true, || timed(&|| handlers.child()));
            let after = timed(&|| handlers.parent());
            Ok(Cost {
                parent: before + after,
                child: child?,
            })
        })
        .collect()
}

/// Forks as each peer wants it; the child exits with what `child` returns.
fn fork(handlers: Option<ForkHandlers>, child: impl FnOnce() -> i32) -> Option<i32> {
    if let Some(handlers) = handlers {
        handlers.before();
    }
    let pid = sys::fork_to_run(false, || {
        if let Some(handlers) = handlers {
            handlers.child();
        }
        child()
    });
    if let Some(handlers) = handlers {
        handlers.parent();
    }
    pid
}

struct Reclaims(Option<ForkHandlers>);

impl Action for Reclaims {
    type Output = Result<bool, String>;

    fn run<P: Peer>(self, peer: &P) -> Result<bool, String> {
        retire(peer, 1);
        peer.settle();
        thread::scope(|scope| {
            let (ready, is_ready) = channel();
            let (release, released) = channel::<()>();
            scope.spawn(move || {
                peer.reader().hold(&mut || {
                    _ = ready.send(());
                    _ = released.recv();
                });
            });
            _ = is_ready.recv();
            let child = fork(self.0, || {
                sys::alarm(ALARM);
                i32::from(!frees(peer))
            });
            drop(release);
            let status = child.and_then(sys::wait).ok_or("fork failed")?;
            Ok(status == 0)
        })
    }
}

fn retire<P: Peer>(peer: &P, number: u64) {
    let mut updater = peer.reader();
    for value in 0..number {
        updater.update(value);
    }
    updater.pause();
}

/// Whether most of what is retired now is freed when the peer says that it did what it can.
fn frees<P: Peer>(peer: &P) -> bool {
    let before = sys::allocated_bytes();
    retire(peer, RETIRED);
    peer.settle();
    let object = size_of::<Object>() as u64;
    match (before, sys::allocated_bytes()) {
        (Some(before), Some(after)) => after.saturating_sub(before) < RETIRED * object / 4,
        _ => false,
    }
}

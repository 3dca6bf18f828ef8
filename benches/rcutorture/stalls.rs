//! Stalls: a section is held too long, and the stall report must name its thread.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32};
use std::thread;
use std::time::{Duration, Instant};

use benches::sys;
use urcu::Report;

use crate::faults::Fault;
use crate::ops::{Ops, pause_if_asked};
use crate::state::{Torture, count};

/// From one stall to the next.
const EVERY: Duration = Duration::from_secs(3);
/// A report is made on a thread of its own.
const LATE: Duration = Duration::from_secs(60);

/// The thread that holds a section too long.
static HOLDER: AtomicI32 = AtomicI32::new(0);
/// Whether a report has named it.
static NAMED: AtomicBool = AtomicBool::new(false);

/// The hook of the process.
pub(crate) fn note(report: &Report) {
    match report {
        // What cannot be refused goes beyond the limits of the progress test, as it should.
        Report::OverLimit { .. } => {}
        Report::Stall { culprit, .. } if culprit.tid == HOLDER.load(SeqCst) => {
            NAMED.store(true, SeqCst);
        }
        _ => eprintln!("{report}"),
    }
}

/// One stall after the other until the torture is over.
pub(crate) fn staller<O: Ops>(torture: &'static Torture) {
    let mut ops = O::join();
    let member = torture.stutter.join();
    let stall = torture.options.stall();
    urcu::set_stall_timeout(stall / 2);
    HOLDER.store(sys::gettid(), SeqCst);
    while !torture.is_over() {
        pause_if_asked(&member, &mut ops, |_| {});
        NAMED.store(false, SeqCst);
        let section = ops.lock();
        thread::sleep(stall);
        let began = Instant::now();
        // The section goes on until the report comes: the machine may be busy.
        while !NAMED.load(SeqCst) && began.elapsed() < LATE {
            thread::sleep(Duration::from_millis(1));
        }
        drop(section);
        ops.quiescent();
        count(&torture.deeds.stalls);
        if !NAMED.load(SeqCst) {
            torture.faults.tell(Fault::Stall, || {
                format!(
                    "a section was held for {:?}, and no report named its thread",
                    began.elapsed() + stall
                )
            });
        }
        let next = Instant::now() + EVERY;
        while !torture.is_over() && Instant::now() < next {
            ops.away(|| thread::sleep(Duration::from_millis(10)));
        }
    }
}

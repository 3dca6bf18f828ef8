//! Loops of one operation, by one thread, by two, and beside a thread that changes things.

use core::fmt::{self, Debug, Formatter};
use core::hint::black_box;
use core::time::Duration;
use std::panic::resume_unwind;
use std::thread;

use crate::chart::Chart;
use crate::effort::Effort;
use crate::placement::{PLACES, pad};
use crate::rounds::{Gate, measure};
use crate::sys;
use crate::work::Share;

/// The loop of one thread: the number of the round chooses its placement, then how often.
pub type Job = Box<dyn FnMut(usize, u64)>;

/// Makes the loop of a thread, on that thread.
pub struct Make(Box<dyn Fn(usize) -> Job + Send + Sync>);

impl Make {
    /// From a function that gives the operation of the thread of that number.
    pub fn new<O, R>(operation: impl Fn(usize) -> O + Send + Sync + 'static) -> Self
    where
        O: FnMut() -> R + 'static,
        R: 'static,
    {
        Self(Box::new(move |thread| job(operation(thread))))
    }

    /// From a function that gives the loop itself.
    pub fn of_jobs(job: impl Fn(usize) -> Job + Send + Sync + 'static) -> Self {
        Self(Box::new(job))
    }

    /// The loop of the thread of that number, which calls this.
    pub fn job(&self, thread: usize) -> Job {
        (self.0)(thread)
    }
}

impl Debug for Make {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Make")
    }
}

fn job<R: 'static>(mut operation: impl FnMut() -> R + 'static) -> Job {
    const { assert!(PLACES == 5) };
    Box::new(move |round, times| match round % PLACES {
        0 => placed::<0, R>(&mut operation, times),
        1 => placed::<1, R>(&mut operation, times),
        2 => placed::<2, R>(&mut operation, times),
        3 => placed::<3, R>(&mut operation, times),
        _ => placed::<4, R>(&mut operation, times),
    })
}

#[inline(never)]
fn placed<const PLACE: usize, R>(operation: &mut impl FnMut() -> R, times: u64) {
    pad::<PLACE>();
    for _ in 0..times {
        black_box(operation());
    }
}

/// Who runs in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// Threads that repeat the operation that is measured.
    pub threads: usize,
    /// Another one changes things meanwhile.
    pub writer: Writer,
}

/// What another thread does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// There is none.
    None,
    /// It works without a pause.
    FlatOut,
    /// It works once in a pause: for where there are no CPUs left for one that works flat out.
    AtTimes,
}

/// Between two changes of a writer that works at times.
const PAUSE: Duration = Duration::from_micros(200);

impl Who {
    /// One thread, nobody else.
    pub const ONE: Self = Self {
        threads: 1,
        writer: Writer::None,
    };
    /// Two threads, nobody else.
    pub const TWO: Self = Self {
        threads: 2,
        writer: Writer::None,
    };
    /// One thread beside one that changes things flat out.
    pub const BESIDE: Self = Self {
        threads: 1,
        writer: Writer::FlatOut,
    };
    /// Two threads beside one that changes things at times.
    pub const TWO_BESIDE: Self = Self {
        threads: 2,
        writer: Writer::AtTimes,
    };
}

/// Somebody who can do the operation.
#[derive(Clone, Copy, Debug)]
pub struct Contender<'a> {
    /// The name in the table.
    pub name: &'a str,
    /// The operation.
    pub operation: &'a Make,
    /// What the writer does, if there is to be one.
    pub writer: Option<&'a Make>,
    /// Into how many parts an operation is divided for the figure.
    pub parts: usize,
}

impl<'a> Contender<'a> {
    /// Without a writer, in one part.
    pub fn new(name: &'a str, operation: &'a Make) -> Self {
        Self {
            name,
            operation,
            writer: None,
            parts: 1,
        }
    }
}

/// One round: nanoseconds for one operation, as one thread sees it.
pub fn round(of: Contender<'_>, who: Who, number: usize, times: u64, pinned: bool) -> f64 {
    let writer = of.writer.filter(|_| who.writer != Writer::None);
    let gate = Gate::new(who.threads + usize::from(writer.is_some()));
    let gate = &gate;
    let place = |cpu| {
        if pinned {
            sys::pin(cpu);
        }
    };
    let shares: Vec<Share> = thread::scope(|scope| {
        if let Some(writer) = writer {
            scope.spawn(move || {
                place(1);
                // A number that no reader has.
                let mut job = writer.job(9);
                gate.pass();
                while !gate.is_over() {
                    job(number, 1);
                    if who.writer == Writer::AtTimes {
                        thread::sleep(PAUSE);
                    }
                }
            });
        }
        let followers: Vec<_> = (1..who.threads)
            .map(|thread| {
                scope.spawn(move || {
                    place(thread);
                    let mut job = of.operation.job(thread);
                    let block = (times / 64).max(1);
                    measure(gate, || {
                        let mut done = 0;
                        while !gate.is_over() {
                            job(number, block);
                            done += block;
                        }
                        done
                    })
                    .share
                })
            })
            .collect();
        let leader = scope.spawn(move || {
            place(0);
            let mut job = of.operation.job(0);
            let leader = measure(gate, || {
                job(number, times);
                times
            });
            gate.end();
            leader.share
        });
        followers
            .into_iter()
            .chain([leader])
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    let time: Duration = shares.iter().map(|share| share.time).sum();
    let operations: u64 = shares.iter().map(|share| share.operations).sum();
    time.as_nanos() as f64 / operations as f64
}

/// How often one thread can do it in about `time`.
pub fn calibrate(operation: &Make, time: Duration) -> u64 {
    let mut times = 1;
    let of = Contender::new("", operation);
    loop {
        let took = round(of, Who::ONE, 0, times, false) * times as f64;
        let wanted = time.as_nanos() as f64;
        if took >= wanted / 4.0 {
            return ((times as f64 * wanted / took) as u64).max(1);
        }
        times *= 4;
    }
}

/// Interleaved rounds of all contenders in each of the ways; a chart for each way.
pub fn interleaved(contenders: &[Contender<'_>], ways: &mut [(Who, &mut Chart)], effort: Effort) {
    let times: Vec<u64> = contenders
        .iter()
        .map(|contender| calibrate(contender.operation, effort.loop_time))
        .collect();
    for number in 0..effort.rounds {
        for (who, chart) in &mut *ways {
            for i in 0..contenders.len() {
                // The order of the table in the first round, then starting elsewhere each time.
                let i = (number + i) % contenders.len();
                let of = contenders[i];
                let figure = round(of, *who, number, times[i], effort.pinned);
                chart.add(of.name, Some(figure / of.parts as f64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::sync::Arc;

    fn counting() -> (Make, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let of_threads = Arc::clone(&count);
        let make = Make::new(move |_| {
            let count = Arc::clone(&of_threads);
            move || count.fetch_add(1, Ordering::Relaxed)
        });
        (make, count)
    }

    #[test]
    fn every_placement_runs_as_often_as_asked() {
        let (operation, count) = counting();
        for number in 0..PLACES {
            let of = Contender::new("", &operation);
            assert!(round(of, Who::ONE, number, 7, false) > 0.0);
            assert_eq!(count.load(Ordering::Relaxed), 7 * (number as u64 + 1));
        }
    }

    #[test]
    fn the_writer_works_beside_readers_only_where_it_is_asked_to() {
        let (operation, count) = counting();
        let (writer, changes) = counting();
        let of = Contender {
            writer: Some(&writer),
            ..Contender::new("", &operation)
        };
        round(of, Who::TWO, 0, 1000, false);
        assert_eq!(changes.load(Ordering::Relaxed), 0);
        assert!(count.load(Ordering::Relaxed) >= 1000);
        round(of, Who::TWO_BESIDE, 0, 1000, false);
        round(of, Who::BESIDE, 0, 1000, false);
    }
}

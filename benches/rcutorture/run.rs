//! One run over one flavor, from its first thread to its verdict.

use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::callbacks::barrier_test;
use crate::churn::read_exit;
use crate::faults::Fault;
use crate::forks::forker;
use crate::ops::{Ops, Owned, Way};
use crate::options::Options;
use crate::pool::PIPE;
use crate::progress::progress_test;
use crate::read::reader;
use crate::report;
use crate::signals::{become_target, pester};
use crate::stalls::{note, staller};
use crate::state::{Torture, count};
use crate::update::{fake_writer, writer};
use crate::watchdog::watch;
use crate::weather::Weather;
use benches::dice::Dice;
use benches::verdict::Verdict;

/// How often the main thread looks round.
const TICK: Duration = Duration::from_millis(2);
/// So much longer a run goes on while it has shown too little: the machine may be busy.
const LONGER: Duration = Duration::from_secs(60);

/// Tortures a flavor. Once in a process: signals, the stall hook and what a failed run leaves behind are the
/// process's.
pub(crate) fn run<O: Ops>(options: &Options) -> Verdict {
    println!("{}", report::parameters(O::NAME, options));
    urcu::set_report_hook(note);
    let torture = Torture::new(options.clone());
    let watch = watch::<O>(torture, report::state);
    let mut ops = O::join();
    let mut dice = torture.dice("main", 0);
    publish_owned(torture, &mut ops, &mut dice);
    let (began, before) = (Instant::now(), O::grace_periods());
    let threads = start::<O>(torture);
    oversee(torture, &mut ops, &mut dice, began);
    let (took, grace_periods) = (began.elapsed(), O::grace_periods() - before);
    torture.end();
    for thread in threads {
        let name = thread.thread().name().unwrap_or("?").to_owned();
        if ops.away(|| thread.join()).is_err() {
            torture
                .faults
                .tell(Fault::Panic, || format!("{name} panicked"));
        }
    }
    all_home(torture, &mut ops);
    drop(watch);
    println!("{}", report::state(torture));
    let verdict = judge::<O>(torture);
    print!("{}", torture.faults);
    let line = report::verdict(O::NAME, &verdict, grace_periods, took, options.seed);
    println!("{line}");
    verdict
}

fn publish_owned<O: Ops>(torture: &'static Torture, ops: &mut O, dice: &mut Dice) {
    if O::WAYS.contains(&Way::Free)
        && let Some(first) = torture.pool.take(dice)
    {
        let first = Owned::new::<O>(torture, torture.pool.element(first));
        ops.replace_owned(first, Way::Free);
    }
}

fn start<O: Ops>(torture: &'static Torture) -> Vec<JoinHandle<()>> {
    let options = &torture.options;
    let has = |yes| u64::from(yes);
    type Body = fn(&'static Torture, usize);
    let kinds: [(&str, u64, Body); 9] = [
        ("reader", options.readers, |t, n| {
            let _target = become_target(t, n);
            reader::<O>(t, n);
        }),
        ("writer", options.writers, writer::<O>),
        ("fake", options.fake, fake_writer::<O>),
        ("read-exit", has(options.read_exit > 0), |t, _| {
            read_exit::<O>(t)
        }),
        (
            "barrier",
            has(options.barrier_callbacks > 0 && O::HAS_WORKER),
            |t, _| barrier_test::<O>(t),
        ),
        (
            "progress",
            has(options.progress > 0 && O::HAS_WORKER),
            |t, _| progress_test::<O>(t),
        ),
        ("signals", has(options.signals && O::IN_HANDLERS), |t, _| {
            pester::<O>(t)
        }),
        ("forker", has(options.forks && O::FORKS), |t, _| {
            forker::<O>(t)
        }),
        (
            "staller",
            has(options.stall_ms > 0 && O::HAS_WORKER),
            |t, _| staller::<O>(t),
        ),
    ];
    let mut threads = Vec::new();
    for (name, number, body) in kinds {
        for n in 0..number as usize {
            let thread = Builder::new().name(format!("{name}/{n}"));
            threads.push(thread.spawn(move || body(torture, n)).expect("a thread"));
        }
    }
    threads
}

/// Changes the weather, pauses everything now and then, reports; until the time is over, or much longer if too little
/// has run by then, or a fault is seen.
fn oversee<O: Ops>(torture: &'static Torture, ops: &mut O, dice: &mut Dice, began: Instant) {
    let options = &torture.options;
    let stat = Duration::from_secs(options.stat);
    let stutter = Duration::from_secs(options.stutter);
    // One reader has nobody to exchange notes with, however long it runs.
    let latest = options.duration() + LONGER * u32::from(options.readers > 1);
    let (mut next_stat, mut next_pause, mut next_weather) = (stat, stutter, Duration::ZERO);
    while !torture.faults.any() {
        let now = began.elapsed();
        if now >= latest || now >= options.duration() && gap::<O>(torture).is_none() {
            return;
        }
        if now >= next_weather {
            torture.set_weather(dice.pick(&Weather::ALL));
            next_weather = now + Duration::from_millis(5 + dice.below(40));
        }
        if now >= next_stat {
            println!(
                "{} {} s:\n{}",
                O::NAME,
                now.as_secs(),
                report::state(torture)
            );
            next_stat += stat;
        }
        if options.stutter > 0 && now >= next_pause {
            ops.away(|| torture.stutter.pause());
            all_home(torture, ops);
            torture.stutter.go_on();
            count(&torture.deeds.pauses);
            next_pause += stutter;
        }
        ops.away(|| thread::sleep(TICK));
    }
}

/// With nobody updating: whatever was removed comes home, and only what is published stays out.
fn all_home<O: Ops>(torture: &'static Torture, ops: &mut O) {
    for _ in 0..=PIPE {
        ops.barrier(); // each runs one more callback of each element's chain
    }
    let section = ops.lock();
    let mut published = vec![torture.current()];
    published.extend(O::owned(&section));
    let missing = torture.pool.missing(&published);
    if missing != 0 {
        torture.faults.tell(Fault::NotHome, || {
            format!(
                "{missing} removed elements were not at home after {} barriers",
                PIPE + 1
            )
        });
    }
}

fn judge<O: Ops>(torture: &Torture) -> Verdict {
    if torture.faults.any() {
        return Verdict::Failure;
    }
    gap::<O>(torture).map_or(Verdict::Success, Verdict::NoCoverage)
}

/// What did too little to show anything.
fn gap<O: Ops>(torture: &Torture) -> Option<&'static str> {
    let (options, deeds) = (&torture.options, &torture.deeds);
    let none =
        |wanted: bool, deed: &std::sync::atomic::AtomicU64| wanted && deed.load(Relaxed) == 0;
    let [taken, missed] = [&torture.pool.taken, &torture.pool.missed].map(|n| n.load(Relaxed));
    let gaps = [
        (
            deeds.version.load(Relaxed) < 20 * options.seconds,
            "too few updates",
        ),
        (2 * missed > taken, "the pool was empty most of the time"),
        (torture.total(|tally| &tally.sections) == 0, "no sections"),
        (
            torture.total(|tally| &tally.received) == 0,
            "no notes between readers",
        ),
        (
            none(options.read_exit > 0, &deeds.read_exits),
            "no read-exits",
        ),
        (none(options.fake > 0, &deeds.fake_waits), "no fake writers"),
        (
            none(
                options.barrier_callbacks > 0 && O::HAS_WORKER,
                &deeds.barrier_rounds,
            ),
            "no barrier rounds",
        ),
        (
            none(options.progress > 0 && O::HAS_WORKER, &deeds.progress_tests),
            "no test of forward progress",
        ),
        (
            none(options.signals && O::IN_HANDLERS, &deeds.signals),
            "no signals",
        ),
        (none(options.forks && O::FORKS, &deeds.forks), "no forks"),
        (none(O::SENDS, &deeds.delivered), "no section was sent away"),
        (
            none(options.progress > 0 && O::LIMITS, &deeds.refused),
            "no callback was refused",
        ),
        (
            none(options.stall_ms > 0 && O::HAS_WORKER, &deeds.stalls),
            "no stalls",
        ),
    ];
    let gap = gaps.iter().find(|(is_there, _)| *is_there);
    gap.map(|(_, what)| *what)
}

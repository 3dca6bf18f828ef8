//! What is printed about a run.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use benches::verdict::Verdict;

use crate::options::Options;
use crate::pool::ByAge;
use crate::state::{Tally, Torture};

/// The parameters of a run, one line.
pub(crate) fn parameters(name: &str, options: &Options) -> String {
    let on = |switch| if switch { "on" } else { "off" };
    format!(
        "{name}: --seed {} --seconds {} --readers {} --writers {} --fake {} --read-exit {} \
         --barrier-callbacks {} --progress {} --stutter {} --signals {} --forks {} --stall {} --hooks {}",
        options.seed,
        options.seconds,
        options.readers,
        options.writers,
        options.fake,
        options.read_exit,
        options.barrier_callbacks,
        options.progress,
        options.stutter,
        on(options.signals),
        on(options.forks),
        options.stall_ms,
        on(options.hooks),
    )
}

/// The state of a run, four lines.
pub(crate) fn state(torture: &Torture) -> String {
    let deeds = &torture.deeds;
    let get = |deed: &std::sync::atomic::AtomicU64| deed.load(Relaxed);
    format!(
        "  version {}, elements {} (missed {}), sections {}, fake waits {}, notes {}/{}, cookies {}, \
         barrier rounds {}, read-exits {} (leaks {}), sent away {}, signals {}, forks {}, stalls {}, pauses {}, progress {} \
         (flood {}, at most {} pending, refused {})\n\
         \x20 age of what sections held:  {}\n\
         \x20 grace periods in a section: {}\n\
         \x20 left this stage of the pipe: {}",
        get(&deeds.version),
        get(&torture.pool.taken),
        get(&torture.pool.missed),
        torture.total(|tally| &tally.sections),
        get(&deeds.fake_waits),
        torture.total(|tally| &tally.received),
        torture.total(|tally| &tally.posted),
        torture.total(|tally| &tally.polled),
        get(&deeds.barrier_rounds),
        get(&deeds.read_exits),
        get(&deeds.leaks),
        get(&deeds.delivered),
        get(&deeds.signals),
        get(&deeds.forks),
        get(&deeds.stalls),
        get(&deeds.pauses),
        get(&deeds.progress_tests),
        get(&deeds.flooded),
        get(&deeds.most_pending),
        get(&deeds.refused),
        columns(torture, |tally| &tally.ages),
        columns(torture, |tally| &tally.batches),
        list(&torture.pool.circulation),
    )
}

fn columns(torture: &Torture, of: impl Fn(&Tally) -> &ByAge) -> String {
    let sums =
        (0..torture.pool.circulation.len()).map(|age| torture.total(|tally| &of(tally)[age]));
    sums.map(|sum| sum.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

fn list(counts: &ByAge) -> String {
    let counts = counts.iter().map(|count| count.load(Relaxed).to_string());
    counts.collect::<Vec<_>>().join(" ")
}

/// The last line of a run.
pub(crate) fn verdict(
    name: &str,
    verdict: &Verdict,
    grace_periods: u64,
    took: Duration,
    seed: u64,
) -> String {
    let minute = grace_periods as f64 * 60.0 / took.as_secs_f64();
    format!(
        "{name}: {verdict} after {:.3} s: {grace_periods} grace periods, {minute:.0} a minute; --seed {seed}",
        took.as_secs_f64()
    )
}

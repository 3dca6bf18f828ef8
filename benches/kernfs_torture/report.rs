//! What is printed about a run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::calls;
use crate::errno;
use crate::options::Options;
use crate::tally::Tally;

/// The parameters of a run, one line.
pub(crate) fn parameters(options: &Options) -> String {
    let on = |switch| if switch { "on" } else { "off" };
    format!(
        "kernfs_torture: --seed {} --seconds {} --clients {} --stuck {} --victims {} --inotify {}",
        options.seed,
        options.seconds,
        options.clients,
        on(options.stuck),
        on(options.victims),
        on(options.inotify),
    )
}

/// A line for each call: how many, how many a second, and what they came to. And one for all errnos.
pub(crate) fn calls(tally: &Tally, took: Duration) -> String {
    let mut lines = String::new();
    let mut all = BTreeMap::<i32, u64>::new();
    for call in calls::ALL {
        let count = tally.calls(*call);
        if count == 0 {
            continue;
        }
        let second = count as f64 / took.as_secs_f64();
        let answers = tally.answers.iter().filter(|((kind, _), _)| kind == call);
        let mut answers: Vec<(i32, u64)> = answers
            .map(|((_, errno), count)| (*errno, *count))
            .collect();
        for (errno, count) in &answers {
            *all.entry(*errno).or_default() += count;
        }
        answers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let (name, answers) = (call.name(), listed(answers));
        lines += &format!("  {name:20} {count:>9} {second:>8.0}/s  {answers}\n");
    }
    let mut all: Vec<(i32, u64)> = all.into_iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let count: u64 = all.iter().map(|(_, count)| count).sum();
    let second = count as f64 / took.as_secs_f64();
    format!(
        "{lines}  {:20} {count:>9} {second:>8.0}/s  {}\n",
        "all",
        listed(all)
    )
}

fn listed(answers: Vec<(i32, u64)>) -> String {
    let words = answers
        .iter()
        .map(|(errno, count)| format!("{} {count}", errno::name(*errno)));
    words.collect::<Vec<_>>().join(", ")
}

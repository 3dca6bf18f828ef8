//! Several flavors, each in a process of its own: what one leaves behind, or a hang, is not the next one's.

use std::env;
use std::io;
use std::process::{Command, ExitStatus};

use crate::controls::{Busted, Trivial};
use crate::flavors::{MbAutomatic, MbHandle, MembAutomatic, MembHandle, QsbrHandle};
use crate::ops::Ops;
use crate::options::Options;
use crate::run::run;
use crate::sleepers::Sleeper;
use benches::verdict::Verdict;

/// A run over one flavor.
type Run = fn(&Options) -> Verdict;

/// The flavors by name. `--flavor all` tortures the first so many for `--seconds`, and then the two controls.
const FLAVORS: [(&str, Run); 8] = [
    (MembAutomatic::NAME, run::<MembAutomatic>),
    (MbAutomatic::NAME, run::<MbAutomatic>),
    (QsbrHandle::NAME, run::<QsbrHandle>),
    (Sleeper::NAME, run::<Sleeper>),
    (MembHandle::NAME, run::<MembHandle>),
    (MbHandle::NAME, run::<MbHandle>),
    (Busted::NAME, run::<Busted>),
    (Trivial::NAME, run::<Trivial>),
];

/// The names of the flavors that `all` tortures.
pub(crate) fn real_flavors() -> impl Iterator<Item = &'static str> {
    let names = FLAVORS.iter().map(|(name, _)| *name);
    names.filter(|name| ![Busted::NAME, Trivial::NAME].contains(name))
}

/// The run over the flavor of this name.
pub(crate) fn find(name: &str) -> Option<Run> {
    FLAVORS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, run)| *run)
}

/// Tortures the flavors that were asked for, then the controls if that was all. The exit status.
pub(crate) fn run_all(options: &Options) -> io::Result<u8> {
    let everything = options.flavors.is_empty();
    let names: Vec<&str> = if everything {
        real_flavors().collect()
    } else {
        options.flavors.iter().map(String::as_str).collect()
    };
    let mut worst = 0;
    for name in &names {
        worst = worst.max(status(torture_one(name, options)?));
    }
    if everything {
        worst = worst.max(controls(options)?);
    }
    let verdict = match worst {
        0 => "SUCCESS",
        1 => "FAILURE",
        2 => "NO COVERAGE",
        _ => "HANG",
    };
    println!(
        "rcutorture: {verdict}: {}; --seed {}",
        names.join(", "),
        options.seed
    );
    Ok(worst)
}

/// The torture must find the fault of `busted`, and nothing in `trivial`.
fn controls(options: &Options) -> io::Result<u8> {
    let lasting = |seconds| Options {
        seconds,
        ..options.clone()
    };
    // It ends when the fault is found, which takes some ms where there are CPUs to spare.
    let busted = status(torture_one(Busted::NAME, &lasting(60))?);
    let trivial = status(torture_one(Trivial::NAME, &lasting(1))?);
    if busted != 1 {
        println!("rcutorture: busted has no grace periods, and was not found out");
    }
    if trivial != 0 {
        println!("rcutorture: trivial is a lock, and did not pass");
    }
    Ok(u8::from(busted != 1 || trivial != 0))
}

fn torture_one(name: &str, options: &Options) -> io::Result<ExitStatus> {
    let mut command = Command::new(env::current_exe()?);
    command.args(options.arguments_for(name)).status()
}

/// What became of a run; a signal that ended it is a failure.
fn status(exit: ExitStatus) -> u8 {
    exit.code()
        .and_then(|code| code.try_into().ok())
        .unwrap_or(1)
}

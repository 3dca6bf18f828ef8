//! `kernfsd`: the machine's live process table, published as a tree of files on a mount.
//!
//! A sampler reads `/proc`; directories come and go with the processes. Reader threads look processes up
//! in a table that stands behind RCU or behind a lock, and the closing table tells what that made.
//!
//! | file | what |
//! |---|---|
//! | `options` | the command line |
//! | `procfs`, `process` | reading `/proc`; the record of one process |
//! | `sampler`, `tree` | the thread that changes everything; the files it makes |
//! | `table`, `readers` | the race |
//! | `schedule`, `state` | who runs when; what the threads share |
//! | `latency`, `report` | the closing table |

#![forbid(unsafe_code)]

mod latency;
mod options;
mod process;
mod procfs;
mod readers;
mod report;
mod sampler;
mod schedule;
mod state;
mod table;
mod tree;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use kernfs::Root;
use kernfs::fuse;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use urcu::{Event, Memb};

use crate::callbacks;
use crate::cli::{self, say};
use crate::mount::Mounted;
use options::{Command, Options};
use report::{Left, Measured, Report};
use sampler::Sampler;
use state::State;
use table::Arm;
use tree::Tree;

/// In complaints, and in the names of directories.
const NAME: &str = "kernfsd";

/// One turn of the schedule in a run without an end.
const ENDLESS_CYCLE: Duration = Duration::from_secs(10);
/// In a run with an end the turns are about as long as this: all tables get their share of whatever else
/// the machine does meanwhile.
const CYCLE_SECONDS: u64 = 2;

/// Runs the daemon with these arguments (without the program's name). The exit code is 2 for arguments
/// that make no sense and 1 for what cannot work.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match options::parse(args) {
        Ok(Command::Help) => {
            say(format_args!("{}", options::HELP));
            ExitCode::SUCCESS
        }
        Ok(Command::Run(options)) => match run(&options) {
            Ok(report) if report.left.is_nothing() => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(message) => {
                complain(format_args!("{message}"));
                ExitCode::FAILURE
            }
        },
        Err(message) => {
            complain(format_args!("{message}; --help lists the options"));
            ExitCode::from(2)
        }
    }
}

/// A line on stderr for the user.
fn complain(line: fmt::Arguments<'_>) {
    cli::complain(NAME, line);
}

/// One run, from the first signal handler to the closing table.
fn run(options: &Options) -> Result<Report, String> {
    // First of all: from here on a signal ends the run, and does not leave a mount behind.
    let end = Arc::new(Event::new());
    let seen = end.value();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|e| format!("signal handlers cannot be installed: {e}"))?;
    let handle = signals.handle();
    let waiter = {
        let end = Arc::clone(&end);
        thread::Builder::new()
            .name("kernfsd-signals".to_owned())
            .spawn(move || signals.forever().for_each(|_| end.signal()))
            .map_err(|e| format!("a thread cannot be started: {e}; raise ulimit -u"))?
    };

    let report = serve(options, || {
        end.wait_while(seen, options.time);
    });
    handle.close();
    let _ = waiter.join();
    let report = report?;
    say(format_args!("\n{report}"));
    Ok(report)
}

/// Builds everything, lets it run until `wait` returns, and takes everything down.
fn serve(options: &Options, wait: impl FnOnce()) -> Result<Report, String> {
    let state = Arc::new(State::new(options.interval_ms, options.readers));
    let root = Root::new();
    let tree = Tree::new(&root, &state).map_err(|e| format!("the tree cannot be built: {e}"))?;
    let sampler = Sampler::new(Arc::clone(&state), tree)
        .map_err(|e| format!("/proc cannot be read: {e}{}", advice(&e)))?;
    let mounted = Mounted::new(&root, &options.mount, &fuse::Options::new(), NAME)?;
    let mount_line = mounted.line("ls DIR/by-name; cat DIR/stats/*");
    say(format_args!("{mount_line}"));
    say(format_args!(
        "readers: {}, /proc read every {} ms, {}",
        options.readers,
        options.interval_ms,
        match options.time {
            Some(time) => format!("{} s (Ctrl-C ends it earlier)", time.as_secs()),
            None => "until Ctrl-C".to_owned(),
        }
    ));

    let before = Memb::stats();
    let start = Instant::now();
    let mut arms = race(&state, sampler, options, wait)?;
    for arm in Arm::ALL {
        arms[arm.index()].lookups = state.total_lookups(arm);
    }
    let time = start.elapsed();

    let mounts = mounted.end().inspect_err(|e| complain(format_args!("{e}")));
    let left = root.clone();
    root.destroy().map_err(|e| e.to_string())?;
    let after = callbacks::wait();
    Ok(Report {
        time,
        readers: options.readers,
        interval_ms: state.config.interval_ms(),
        processes: state.processes.load(Relaxed),
        arms,
        grace_periods: after.grace_periods - before.grace_periods,
        callbacks_run: after.callbacks_run - before.callbacks_run,
        left: Left {
            callbacks: after.callbacks_pending,
            // The handle that asks keeps the root directory.
            nodes: left.stats().nodes.saturating_sub(1),
            records: process::records(),
            mounts: mounts.is_err().into(),
        },
    })
}

/// What to do where there is no `/proc`.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; mount it (mount -t proc proc /proc)",
        _ => "",
    }
}

/// Lets sampler and readers work until `wait` returns.
fn race(
    state: &State,
    sampler: Sampler,
    options: &Options,
    wait: impl FnOnce(),
) -> Result<[Measured; Arm::ALL.len()], String> {
    let failed =
        |e| format!("a thread cannot be started: {e}; raise ulimit -u, or take fewer --readers");
    thread::scope(|scope| {
        // However this ends, the threads end with it.
        let stop = StopOnDrop(state);
        let turn = |time: Duration| time.div_f64((time.as_secs() / CYCLE_SECONDS).max(1) as f64);
        let cycle = options.time.map_or(ENDLESS_CYCLE, turn);
        let sampler = thread::Builder::new()
            .name("kernfsd-sampler".to_owned())
            .spawn_scoped(scope, move || sampler.run(cycle))
            .map_err(failed)?;
        for lookups in &state.lookups {
            thread::Builder::new()
                .name("kernfsd-reader".to_owned())
                .spawn_scoped(scope, move || readers::run(state, lookups))
                .map_err(failed)?;
        }
        wait();
        drop(stop);
        sampler
            .join()
            .map_err(|_| "the sampler panicked, its message stands above".to_owned())
    })
}

struct StopOnDrop<'a>(&'a State);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

//! `rcutorture`: is every grace period one? After the kernel's program of that name.
//!
//! ```text
//! cargo run --release -p benches --bin rcutorture -- --seconds 60
//! cargo run --release -p benches --features torture --bin rcutorture -- --seconds 60 --hooks on --forks on --stall 300
//! ```
//!
//! Readers hold what they found through a pointer, updaters remove it and count the grace periods since: a
//! reader that sees two has caught one that did not wait for it. All else is there to make that likely, or
//! tests a promise of its own: see the modules.

mod callbacks;
mod churn;
mod controls;
mod faults;
mod flavors;
mod forks;
mod hooks;
mod mail;
mod ops;
mod options;
mod parcels;
mod pool;
mod progress;
mod read;
mod report;
mod run;
mod signals;
mod sleepers;
mod stalls;
mod state;
mod stutter;
mod suite;
mod update;
mod watchdog;
mod weather;

use std::env;
use std::process::ExitCode;

use options::{HELP, Options};

/// Nothing was shown.
const NOTHING: u8 = 2;

fn main() -> ExitCode {
    match torture() {
        Ok(status) => ExitCode::from(status),
        Err(message) => {
            eprintln!("rcutorture: {message}\ntry --help");
            ExitCode::from(NOTHING)
        }
    }
}

fn torture() -> Result<u8, String> {
    let options = Options::parse(env::args_os().skip(1))?;
    if options.help {
        let flavors: Vec<_> = suite::real_flavors().collect();
        print!("{}", HELP.replace("FLAVORS", &flavors.join(", ")));
        return Ok(0);
    }
    if let Some(unknown) = options
        .flavors
        .iter()
        .find(|name| suite::find(name).is_none())
    {
        return Err(format!("there is no flavor {unknown}"));
    }
    if options.hooks {
        hooks::switch_on(options.seed)?;
    }
    if let [one] = options.flavors.as_slice()
        && let Some(run) = suite::find(one)
    {
        return Ok(run(&options).exit_status());
    }
    suite::run_all(&options).map_err(|error| error.to_string())
}

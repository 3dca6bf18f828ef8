//! `kernfs_torture`: does a mount stand what its users do, and its owner at the same time?
//!
//! ```text
//! cargo run --release -p benches --bin kernfs_torture -- --seconds 60
//! cargo run --release -p benches --bin kernfs_torture -- --seconds 600 --clients 8 --stuck on
//! ```
//!
//! Client processes make random system calls on a mounted tree, with odd names, sizes and offsets; the owner changes
//! the tree meanwhile. No call may hang, or fail with an errno that kernfs does not give in such a case; text is read
//! whole; and at the end nothing is left: see the modules.

mod allowed;
mod attributes;
mod calls;
mod client;
mod contents;
mod controls;
mod daemon;
mod errno;
mod faults;
mod gate;
mod held;
mod io;
mod names;
mod options;
mod owner;
mod paths;
mod place;
mod process;
mod progress;
mod report;
mod run;
mod samples;
mod sys;
mod tally;
mod text;
mod tree;
mod victims;
mod watchdog;

use std::env;
use std::process::ExitCode;

use options::{HELP, Options};

/// Nothing was shown.
const NOTHING: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).peekable();
    let status = if arguments
        .next_if(|first| first == process::ARGUMENT)
        .is_some()
    {
        process::main(arguments)
    } else {
        Options::parse(arguments).and_then(|options| torture(&options))
    };
    match status {
        Ok(status) => ExitCode::from(status),
        Err(message) => {
            eprintln!("kernfs_torture: {message}\ntry --help");
            ExitCode::from(NOTHING)
        }
    }
}

fn torture(options: &Options) -> Result<u8, String> {
    if options.help {
        print!("{HELP}");
        return Ok(0);
    }
    run::run(options)
}

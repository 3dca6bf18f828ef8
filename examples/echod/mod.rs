//! `echod`: a TCP server whose connections are directories, with all that a daemon needs round it.
//!
//! | file | what |
//! |---|---|
//! | `options` | the command line |
//! | `config`, `settings` | the limits and their file; the version in force, held by RCU |
//! | `tree`, `conn` | the files; one connection and its directory, with `kick` |
//! | `server`, `sockets`, `http` | who accepts; what is open; `/metrics` |
//! | `fork`, `launch`, `notify` | fork(2); readiness for a waiting parent, and for systemd |
//! | `run`, `clients`, `stats` | a run from start to end; clients of its own; the closing table |

mod clients;
mod config;
mod conn;
mod fork;
mod http;
mod launch;
mod notify;
mod options;
mod run;
mod server;
mod settings;
mod sockets;
mod stats;
mod tree;

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use crate::cli::{self, say};
use launch::{Launch, Role};
use options::Command;

/// In complaints, and in the names of directories.
const NAME: &str = "echod";

/// Runs the server with these arguments (without the program's name), as the only thread so far. The exit code is 2 for
/// arguments that make no sense and 1 for what cannot work.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match options::parse(args) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => {
            say(format_args!("{}", options::HELP));
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            complain(format_args!("{message}; --help lists the options"));
            return ExitCode::from(2);
        }
    };
    // Before the first thread and the first Root: a fork takes neither with it.
    let mut launch = match options.daemon.then(launch::detach) {
        None => Launch::Foreground,
        Some(Ok(Role::Daemon(launch))) => launch,
        Some(Ok(Role::Parent(code))) => return code,
        Some(Err(message)) => {
            complain(format_args!("{message}"));
            return ExitCode::FAILURE;
        }
    };
    match run::run(&options, &mut launch) {
        Ok(report) => {
            say(format_args!("\n{report}"));
            match report.is_good() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(message) => {
            launch.failed(&message);
            ExitCode::FAILURE
        }
    }
}

/// A line on stderr for the user.
fn complain(line: fmt::Arguments<'_>) {
    cli::complain(NAME, line);
}

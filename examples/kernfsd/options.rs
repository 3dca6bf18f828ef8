//! The command line.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::cli::{self, number};
use crate::mount::MountOn;

/// What `--interval-ms` and `config/interval_ms` accept.
pub(super) const INTERVAL_MS: RangeInclusive<u32> = 10..=60_000;
const READERS: RangeInclusive<usize> = 1..=256;

/// What `--help` prints.
pub(super) const HELP: &str = "\
kernfsd: the machine's live process table as a tree of files, and a race of RCU against RwLock

usage: kernfsd [options]
  --mount DIR        mount the tree on DIR, an empty directory (default: a fresh temporary one)
  --no-mount         do not mount; everything else runs
  --seconds N        end after N seconds, 0 = run until Ctrl-C (default 10)
  --interval-ms N    read /proc every N ms, 10 to 60000 (default 100)
  --readers N        threads that look processes up, 1 to 256 (default 2)
  --help             this text

the tree:
  procs/PID/{comm,state,rss_kb,threads,cpu_ms}       poll(2) tells of changes
  by-name/COMM.PID                                   links to procs/PID
  stats/{lookups_per_s,updates,grace_periods,callbacks_pending,processes}
  config/{interval_ms,filter,backend}                write them; backend is rcu or rwlock
";

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) mount: MountOn,
    /// `None`: until a signal comes.
    pub(super) time: Option<Duration>,
    pub(super) interval_ms: u32,
    pub(super) readers: usize,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Run(Options),
    Help,
}

/// Reads the arguments (without the program's name).
///
/// # Errors
/// One line that names the argument and what would be right.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut options = Options {
        mount: MountOn::Fresh,
        time: Some(Duration::from_secs(10)),
        interval_ms: 100,
        readers: 2,
    };
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("mount") => options.mount.dir(&mut parser)?,
            Arg::Long("no-mount") => options.mount.nowhere()?,
            Arg::Long("seconds") => options.time = cli::time(&mut parser)?,
            Arg::Long("interval-ms") => {
                options.interval_ms = number(&mut parser, "--interval-ms", &INTERVAL_MS)?;
            }
            Arg::Long("readers") => {
                options.readers = number(&mut parser, "--readers", &READERS)?;
            }
            Arg::Long(name) => return Err(format!("unknown option --{name}")),
            Arg::Short(name) => return Err(format!("unknown option -{name}")),
            Arg::Value(value) => return Err(format!("unexpected argument {value:?}")),
        }
    }
    Ok(Command::Run(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn defaults_and_both_spellings() {
        let defaults = Options {
            mount: MountOn::Fresh,
            time: Some(Duration::from_secs(10)),
            interval_ms: 100,
            readers: 2,
        };
        assert_eq!(of(""), Ok(Command::Run(defaults)));
        let all = Options {
            mount: MountOn::Dir("/mnt/x".into()),
            time: None,
            interval_ms: 10,
            readers: 3,
        };
        assert_eq!(
            of("--mount /mnt/x --seconds=0 --interval-ms 10 --readers=3"),
            Ok(Command::Run(all))
        );
        assert_eq!(of("--no-mount --help"), Ok(Command::Help));
    }

    #[test]
    fn nonsense_is_named() {
        for (line, names) in [
            ("--bogus", "unknown option --bogus"),
            ("-x", "unknown option -x"),
            ("dir", "unexpected argument \"dir\""),
            ("--seconds", "--seconds"),
            ("--seconds ten", "--seconds wants a number from 0"),
            (
                "--interval-ms 9",
                "--interval-ms wants a number from 10 to 60000",
            ),
            ("--interval-ms 60001", "not \"60001\""),
            ("--readers 0", "--readers wants a number from 1 to 256"),
            ("--no-mount=yes", "--no-mount"),
            ("--no-mount --mount /x", "exclude each other"),
        ] {
            let message = of(line).expect_err(line);
            assert!(message.contains(names), "{line}: {message}");
        }
    }
}

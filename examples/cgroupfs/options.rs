//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::cli;
use crate::mount::MountOn;

/// What `--help` prints.
pub(super) const HELP: &str = "\
cgroupfs: a tree like cgroup2's, mounted: mkdir makes a group, its files control it

usage: cgroupfs [options]
  --mount DIR    mount the tree on DIR, an empty directory (default: a fresh temporary one)
  --no-mount     do not mount; everything else runs
  --seconds N    end after N seconds, 0 = run until SIGTERM or Ctrl-C (default 5)
  --help         this text
";

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) mount: MountOn,
    /// `None`: until a signal comes.
    pub(super) time: Option<Duration>,
}

/// Reads the arguments (without the program's name). `None`: the help is wanted.
///
/// # Errors
/// One line that names the argument and what would be right.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Options>, String> {
    let mut options = Options {
        mount: MountOn::Fresh,
        time: Some(Duration::from_secs(5)),
    };
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("mount") => options.mount.dir(&mut parser)?,
            Arg::Long("no-mount") => options.mount.nowhere()?,
            Arg::Long("seconds") => options.time = cli::time(&mut parser)?,
            Arg::Long(name) => return Err(format!("unknown option --{name}")),
            Arg::Short(name) => return Err(format!("unknown option -{name}")),
            Arg::Value(value) => return Err(format!("unexpected argument {value:?}")),
        }
    }
    Ok(Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Option<Options>, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn defaults_and_both_spellings() {
        let defaults = Options {
            mount: MountOn::Fresh,
            time: Some(Duration::from_secs(5)),
        };
        assert_eq!(of(""), Ok(Some(defaults)));
        let all = Options {
            mount: MountOn::Dir("/mnt/x".into()),
            time: None,
        };
        assert_eq!(of("--mount /mnt/x --seconds=0"), Ok(Some(all)));
        assert_eq!(of("--seconds 1 --help"), Ok(None));
    }

    #[test]
    fn nonsense_is_named() {
        for (line, names) in [
            ("--bogus", "unknown option --bogus"),
            ("-x", "unknown option -x"),
            ("dir", "unexpected argument \"dir\""),
            ("--seconds", "--seconds"),
            ("--seconds ten", "--seconds wants a number from 0"),
            ("--no-mount --mount /x", "exclude each other"),
        ] {
            let message = of(line).expect_err(line);
            assert!(message.contains(names), "{line}: {message}");
        }
    }
}

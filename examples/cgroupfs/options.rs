//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser};

/// What `--help` prints.
pub(super) const HELP: &str = "\
cgroupfs: a tree like cgroup2's, mounted: mkdir makes a group, its files control it

usage: cgroupfs [options]
  --mount DIR    mount the tree on DIR, an empty directory (default: a fresh temporary one)
  --seconds N    end after N seconds, 0 = run until SIGTERM or Ctrl-C (default 5)
  --help         this text
";

const DEFAULT_SECONDS: u32 = 5;
const MOST_SECONDS: u32 = 10_000_000;

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// `None`: a fresh directory.
    pub(super) mount: Option<PathBuf>,
    /// `None`: until a signal comes.
    pub(super) time: Option<Duration>,
}

/// Reads the arguments (without the program's name). `None`: the help is wanted.
///
/// # Errors
/// One line that names the argument and what would be right.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Options>, String> {
    let (mut mount, mut seconds) = (None, DEFAULT_SECONDS);
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("mount") => {
                let dir = parser.value().map_err(|e| e.to_string())?;
                if dir.is_empty() {
                    return Err("--mount wants the name of an empty directory".to_owned());
                }
                mount = Some(dir.into());
            }
            Arg::Long("seconds") => {
                let text = parser.value().map_err(|e| e.to_string())?;
                let number = text.to_str().and_then(|text| text.parse().ok());
                seconds = number
                    .filter(|&seconds| seconds <= MOST_SECONDS)
                    .ok_or_else(|| {
                        format!("--seconds wants a number from 0 to {MOST_SECONDS}, not {text:?}")
                    })?;
            }
            Arg::Long(name) => return Err(format!("unknown option --{name}")),
            Arg::Short(name) => return Err(format!("unknown option -{name}")),
            Arg::Value(value) => return Err(format!("unexpected argument {value:?}")),
        }
    }
    Ok(Some(Options {
        mount,
        time: (seconds != 0).then(|| Duration::from_secs(seconds.into())),
    }))
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
            mount: None,
            time: Some(Duration::from_secs(5)),
        };
        assert_eq!(of(""), Ok(Some(defaults)));
        let all = Options {
            mount: Some("/mnt/x".into()),
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
            ("--seconds ten", "from 0 to 10000000, not \"ten\""),
            ("--seconds -1", "not \"-1\""),
            ("--seconds 99999999999999999999", "--seconds wants"),
            ("--mount", "--mount"),
            ("--mount=", "--mount wants"),
        ] {
            let message = of(line).expect_err(line);
            assert!(message.contains(names), "{line}: {message}");
        }
    }
}

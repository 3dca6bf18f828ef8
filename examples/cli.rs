//! The command line of the small programs: `--seconds N` and `--help`.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::exit;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};

/// How long the program shall run. Prints the help, or what is wrong, and exits where that was asked for.
///
/// `about` is the program's name, a colon, and a line on what it does.
pub fn seconds(about: &str, default: u64) -> Duration {
    match parse(std::env::args_os().skip(1), default) {
        Ok(Some(time)) => time,
        Ok(None) => {
            println!("{about}\n\n  --seconds N   end after N seconds (default {default})");
            exit(0)
        }
        Err(error) => {
            eprintln!("{about}\n\n{error}; --help lists the options");
            exit(2)
        }
    }
}

/// `None`: the help is wanted.
fn parse(
    args: impl Iterator<Item = OsString> + 'static,
    default: u64,
) -> Result<Option<Duration>, lexopt::Error> {
    let mut seconds = default;
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("seconds") => seconds = parser.value()?.parse()?,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &'static [&'static str]) -> Result<Option<Duration>, lexopt::Error> {
        parse(args.iter().map(OsString::from), 5)
    }

    #[test]
    fn seconds_are_the_default_or_what_was_given_and_nothing_else() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(of(&[]).unwrap(), seconds(5));
        assert_eq!(of(&["--seconds", "1"]).unwrap(), seconds(1));
        assert_eq!(of(&["--help"]).unwrap(), None);
        assert!(of(&["--seconds"]).is_err());
        assert!(of(&["--seconds", "-1"]).is_err());
        assert!(of(&["--second", "1"]).is_err());
    }
}

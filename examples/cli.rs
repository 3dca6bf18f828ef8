//! What all command lines share: numbers and their limits, `--seconds N`, and lines for a user who may be gone.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::process::exit;
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser};

/// No longer than a clock can count from now.
const SECONDS: RangeInclusive<u64> = 0..=10_000_000;

/// How long a small program shall run. Prints the help, or what is wrong, and exits where that was asked for.
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
    args: impl IntoIterator<Item = OsString>,
    default: u64,
) -> Result<Option<Duration>, String> {
    let mut seconds = default;
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("seconds") => seconds = number(&mut parser, "--seconds", &SECONDS)?,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(Some(Duration::from_secs(seconds)))
}

/// The value of `--seconds` in a program that may run for ever. `None`: 0, until a signal comes.
///
/// # Errors
/// As [`number`].
pub(crate) fn time(parser: &mut Parser) -> Result<Option<Duration>, String> {
    let seconds = number(parser, "--seconds", &SECONDS)?;
    Ok((seconds != 0).then(|| Duration::from_secs(seconds)))
}

/// The next argument, a number of the range.
///
/// # Errors
/// One line that names the option and what would be right.
pub(crate) fn number<T>(
    parser: &mut Parser,
    option: &str,
    range: &RangeInclusive<T>,
) -> Result<T, String>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    let text = parser.value().map_err(|e| e.to_string())?;
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!(
                "{option} wants a number from {} to {}, not {text:?}",
                range.start(),
                range.end()
            )
        })
}

/// A line for the user. That nobody reads it any more (`kernfsd | head`) is no reason to panic, as `println!` would.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A line on stderr that names the program, in the same way.
pub(crate) fn complain(name: &str, line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{name}: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Result<Option<Duration>, String> {
        parse(args.iter().map(OsString::from), 5)
    }

    #[test]
    fn seconds_are_the_default_or_what_was_given_and_nothing_else() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(of(&[]), Ok(seconds(5)));
        assert_eq!(of(&["--seconds", "1"]), Ok(seconds(1)));
        assert_eq!(of(&["--seconds=0"]), Ok(seconds(0)));
        assert_eq!(of(&["--seconds=10000000"]), Ok(seconds(10_000_000)));
        assert_eq!(of(&["--help"]), Ok(None));
        for (args, names) in [
            (&["--seconds"][..], "--seconds"),
            (&["--seconds", "-1"], "not \"-1\""),
            (
                &["--seconds=ten"],
                "--seconds wants a number from 0 to 10000000, not \"ten\"",
            ),
            (&["--seconds=10000001"], "not \"10000001\""),
            (&["--seconds=99999999999999999999"], "--seconds wants"),
            (&["--second", "1"], "--second"),
        ] {
            let message = of(args).expect_err(names);
            assert!(message.contains(names), "{args:?}: {message}");
        }
    }

    #[test]
    fn no_seconds_are_no_end() {
        let time = |text| time(&mut Parser::from_args([text]));
        assert_eq!(time("0"), Ok(None));
        assert_eq!(time("7"), Ok(Some(Duration::from_secs(7))));
        assert!(time("10000001").is_err());
    }

    #[test]
    fn a_number_is_one_of_its_range() {
        let of = |text| number(&mut Parser::from_args([text]), "--n", &(2..=4_u8));
        assert_eq!(of("2"), Ok(2));
        assert_eq!(of("4"), Ok(4));
        for text in ["1", "5", "256", "-3", "", "x"] {
            let wanted = format!("--n wants a number from 2 to 4, not {text:?}");
            assert_eq!(of(text), Err(wanted));
        }
    }
}

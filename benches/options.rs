//! The command line of `shootout`.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
What urcu costs beside its peers: one table, ratios first.

usage: cargo run --release -p benches --bin shootout [-- OPTIONS]

  --quick       few and short rounds: 1 to 2 seconds in all, figures are coarse
  --pin         keep each measured thread on its own CPU
  --json FILE   write all samples to FILE too
  --help        this text

Nothing is asserted: the exit status is 0 whatever the figures are, 1 when FILE
cannot be written, 2 when the command line is wrong.
";

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Few and short rounds.
    pub quick: bool,
    /// Each thread on its own CPU.
    pub pinned: bool,
    /// Only print [`HELP`].
    pub help: bool,
    /// Where the samples go.
    pub json: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// A message for an option that does not exist or lacks its value.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--quick") => options.quick = true,
                Some("--pin") => options.pinned = true,
                Some("--help" | "-h") => options.help = true,
                Some("--json") => {
                    let file = arguments.next().ok_or("--json wants a file name")?;
                    options.json = Some(file.into());
                }
                _ => return Err(format!("unknown option {}", argument.display())),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_may_stand_in_any_order() {
        let options = parse("--json out.json --quick").unwrap();
        assert!(options.quick && !options.pinned);
        assert_eq!(options.json, Some("out.json".into()));
        assert_eq!(parse(""), Ok(Options::default()));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(parse("--fast").unwrap_err().contains("--fast"));
        assert!(parse("--quick extra").is_err());
        assert!(parse("--json").unwrap_err().contains("file name"));
    }
}

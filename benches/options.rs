//! The command line of `shootout` and of `kernfs_bench`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::sections::Section;

/// What `--help` prints between how to start the program and the list of its sections.
pub const HELP: &str = "
  --quick       few and short rounds: under 30 seconds in all, figures are coarse
  --only NAME   one section, may be given several times
  --pin         keep each thread of the loops on its own CPU
  --json FILE   write all samples to FILE too
  --svg DIR     write a picture of each chart into DIR too
  --story DIR   write the pictures and tables of the README into DIR too
  --help        this text

Nothing is asserted: the exit status is 0 whatever the figures are, 1 when a file
cannot be written, 2 when the command line is wrong.

sections:
";

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Few and short rounds.
    pub quick: bool,
    /// Each thread on its own CPU.
    pub pinned: bool,
    /// The section and the peer of a [`probe`](crate::probe), which prints only its figures.
    pub probe: Option<(&'static str, String)>,
    /// Only print [`HELP`].
    pub help: bool,
    /// The sections; all if there is none.
    pub only: Vec<&'static str>,
    /// Where the samples go.
    pub json: Option<PathBuf>,
    /// Where the pictures go.
    pub svg: Option<PathBuf>,
    /// Where the README's pictures and tables go.
    pub story: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments after the program's name; `sections` are those that the program has.
    ///
    /// # Errors
    /// A message for an option that does not exist or lacks its value.
    pub fn parse(
        sections: &'static [Section],
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, String> {
        let section = |name: &OsStr| section(sections, name);
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--quick") => options.quick = true,
                Some("--pin") => options.pinned = true,
                Some("--help" | "-h") => options.help = true,
                Some("--only") => {
                    let name = arguments.next().ok_or("--only wants a section")?;
                    options.only.push(section(&name)?.name);
                }
                Some("--probe") => {
                    let name = arguments.next().ok_or("--probe wants a section")?;
                    let peer = arguments.next().ok_or("--probe wants a peer")?;
                    options.probe = Some((section(&name)?.name, peer.display().to_string()));
                }
                Some("--json") => {
                    let file = arguments.next().ok_or("--json wants a file name")?;
                    options.json = Some(file.into());
                }
                Some("--svg") => {
                    let folder = arguments.next().ok_or("--svg wants a folder")?;
                    options.svg = Some(folder.into());
                }
                Some("--story") => {
                    let folder = arguments.next().ok_or("--story wants a folder")?;
                    options.story = Some(folder.into());
                }
                _ => return Err(format!("unknown option {}", argument.display())),
            }
        }
        Ok(options)
    }

    /// Whether a section was asked for.
    pub fn wants(&self, section: &Section) -> bool {
        self.only.is_empty() || self.only.contains(&section.name)
    }
}

fn section(sections: &'static [Section], name: &OsStr) -> Result<&'static Section, String> {
    let section = sections.iter().find(|section| name == section.name);
    section.ok_or_else(|| format!("no section {}", name.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sections;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&sections::ALL, line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_may_stand_in_any_order() {
        let options = parse("--json out.json --quick --svg plots --story s").unwrap();
        assert!(options.quick && !options.pinned);
        assert_eq!(options.json, Some("out.json".into()));
        assert_eq!(options.svg, Some("plots".into()));
        assert_eq!(options.story, Some("s".into()));
        assert_eq!(parse(""), Ok(Options::default()));
    }

    #[test]
    fn without_only_every_section_is_wanted() {
        let wanted = |line: &str| {
            let options = parse(line).unwrap();
            let all = sections::ALL.iter();
            all.filter(|section| options.wants(section)).count()
        };
        assert_eq!(wanted(""), sections::ALL.len());
        assert_eq!(wanted("--only waits"), 1);
        assert_eq!(wanted("--only waits --only loops"), 2);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(parse("--fast").unwrap_err().contains("--fast"));
        assert!(parse("--quick extra").is_err());
        assert!(parse("--story").unwrap_err().contains("folder"));
        assert!(parse("--json").unwrap_err().contains("file name"));
        assert!(parse("--probe stall").unwrap_err().contains("peer"));
        assert!(parse("--only nothing").unwrap_err().contains("nothing"));
    }
}

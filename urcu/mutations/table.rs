//! The table of mutations: how it is written, and whether it still fits the sources.
//!
//! ```text
//! == what is weakened
//! file gp.rs                 below urcu/src; `kernfs gp.rs`: below kernfs/src
//! lib tests::torture         the tool that must notice, see `Tool`
//!  a line that stays         a hunk, as in a diff, without line numbers
//! -a line that goes
//! +a line that comes
//! ```
//! A row may have several hunks, each after a `file` line of its own. The old text of a hunk must occur
//! exactly once in its file: a change of the sources that the table does not follow is an error.

use std::fmt;
use std::path::{Path, PathBuf};

/// What must notice a mutation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tool {
    /// The tests in the sources whose path contains this, litmus and torture among them.
    Lib(String),
    /// Those of `urcu/tests/NAME.rs` that contain this.
    Test(String, String),
    /// The tests in the sources of kernfs whose path contains this.
    KernfsLib(String),
    /// Those of `kernfs/tests/NAME.rs` that contain this.
    KernfsTest(String, String),
    /// The doctests, compile-fail cases among them, that contain this.
    Doc(String),
    /// The loom models whose names contain this, with few preemptions.
    Loom(String),
    /// ThreadSanitizer on the tests in the sources that contain this.
    Tsan(String),
    /// A formal model with the same weakening, whose verdict in `urcu/models/verdicts.txt` says that the bad
    /// outcome is then possible. For what no x86 and no loom model shows: the sources are not looked at.
    Model(String),
}

impl Tool {
    fn parse(line: &str) -> Option<Self> {
        let (tool, rest) = line.split_once(' ').unwrap_or((line, ""));
        let filter = rest.to_owned();
        Some(match tool {
            "lib" => Self::Lib(filter),
            "test" => {
                let (name, filter) = rest.split_once(' ').unwrap_or((rest, ""));
                Self::Test(name.to_owned(), filter.to_owned())
            }
            "kernfs-lib" => Self::KernfsLib(filter),
            "kernfs-test" => {
                let (name, filter) = rest.split_once(' ').unwrap_or((rest, ""));
                Self::KernfsTest(name.to_owned(), filter.to_owned())
            }
            "doc" => Self::Doc(filter),
            "loom" => Self::Loom(filter),
            "tsan" => Self::Tsan(filter),
            "model" => Self::Model(filter),
            _ => return None,
        })
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lib(filter) => write!(f, "lib {filter}"),
            Self::Test(name, filter) => write!(f, "test {name} {filter}"),
            Self::KernfsLib(filter) => write!(f, "kernfs-lib {filter}"),
            Self::KernfsTest(name, filter) => write!(f, "kernfs-test {name} {filter}"),
            Self::Doc(filter) => write!(f, "doc {filter}"),
            Self::Loom(filter) => write!(f, "loom {filter}"),
            Self::Tsan(filter) => write!(f, "tsan {filter}"),
            Self::Model(name) => write!(f, "model {name}"),
        }
    }
}

/// One place of a mutation.
#[derive(Debug)]
pub(crate) struct Hunk {
    /// From the root of the workspace.
    pub(crate) file: PathBuf,
    old: String,
    new: String,
}

impl Hunk {
    /// The file's text with the mutation, or why it does not fit.
    pub(crate) fn apply(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.old).count() {
            1 => Ok(text.replacen(&self.old, &self.new, 1)),
            n => Err(format!(
                "the old text occurs {n} times in {}",
                self.file.display()
            )),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Mutation {
    pub(crate) name: String,
    pub(crate) tool: Tool,
    pub(crate) hunks: Vec<Hunk>,
}

/// Reads the table.
pub(crate) fn parse(text: &str) -> Result<Vec<Mutation>, String> {
    let mut rows: Vec<(String, Option<Tool>, Vec<Hunk>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("table.txt:{}: {what}: {line}", number + 1);
        if let Some(name) = line.strip_prefix("== ") {
            rows.push((name.to_owned(), None, Vec::new()));
            continue;
        }
        let Some((_, tool, hunks)) = rows.last_mut() else {
            continue; // the text before the first row
        };
        let folders = [("file ", "urcu/src"), ("kernfs ", "kernfs/src")];
        let file = folders
            .iter()
            .find_map(|(word, folder)| Some(Path::new(folder).join(line.strip_prefix(word)?)));
        if let Some(file) = file {
            hunks.push(Hunk {
                file,
                old: String::new(),
                new: String::new(),
            });
        } else if let Some(found) = Tool::parse(line) {
            *tool = Some(found);
        } else if !line.is_empty() && !line.starts_with('#') {
            let hunk = hunks.last_mut().ok_or_else(|| wrong("no file"))?;
            let (mark, text) = line.split_at(1);
            if mark != "+" {
                hunk.old += text;
                hunk.old += "\n";
            }
            if mark != "-" {
                hunk.new += text;
                hunk.new += "\n";
            }
            if !["+", "-", " "].contains(&mark) {
                return Err(wrong("neither kept, old nor new"));
            }
        }
    }
    let whole = rows.into_iter().map(|(name, tool, hunks)| {
        let fits = !hunks.is_empty() && hunks.iter().all(|hunk| hunk.old != hunk.new);
        match tool {
            Some(tool) if fits => Ok(Mutation { name, tool, hunks }),
            _ => Err(format!("row without tool or change: {name}")),
        }
    });
    whole.collect()
}

/// The root of the workspace that this was built in.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The table of this workspace.
pub(crate) fn table() -> Result<Vec<Mutation>, String> {
    let path = root().join("urcu/mutations/table.txt");
    let text =
        std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_fits_the_sources() {
        let table = table().unwrap();
        assert!(table.len() > 50, "the table was not found");
        let mut misfits = Vec::new();
        let mut names = HashSet::new();
        for row in &table {
            assert!(names.insert(&row.name), "two rows called {}", row.name);
            for hunk in &row.hunks {
                let text = std::fs::read_to_string(root().join(&hunk.file)).unwrap_or_default();
                if let Err(why) = hunk.apply(&text) {
                    misfits.push(format!("{}: {why}", row.name));
                }
            }
        }
        assert!(misfits.is_empty(), "{misfits:#?}");
    }

    #[test]
    fn a_hunk_replaces_its_text_once() {
        let table = parse("== a\nfile x.rs\nlib b\n 1\n-2\n+3\n").unwrap();
        let hunk = &table[0].hunks[0];
        assert_eq!(hunk.apply("0\n1\n2\n").unwrap(), "0\n1\n3\n");
        assert!(hunk.apply("1\n3\n").is_err());
        assert!(hunk.apply("1\n2\n1\n2\n").is_err());
        assert!(parse("== a\nlib b\n").is_err());
        assert!(parse("== a\nfile x.rs\nlib b\n?2\n").is_err());
        assert!(parse("== a\nfile x.rs\nlib b\n 2\n").is_err());
    }
}

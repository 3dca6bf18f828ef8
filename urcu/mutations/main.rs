//! Breaks urcu or kernfs in one place at a time, in a copy of the workspace, and sees that the tool that the table
//! names notices it. Exits non-zero if a mutation survives its tool, or the tool fails without one.
//!
//! ```sh
//! cargo run --release -p mutations                # all of them
//! cargo run --release -p mutations -- scan llist  # those whose name or tool contains one of these
//! cargo run --release -p mutations -- 10-14 70    # those with these numbers
//! cargo run --release -p mutations -- --list      # runs nothing, tells the numbers
//! ```
//! `URCU_MUTATIONS_SECONDS` is how long a test may run before it counts as hanging (90). It only does if the same test
//! without the mutation then passes in half of that; on a machine that has too much other work for that, give more.

mod table;

use std::collections::HashSet;
use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::Instant;

use table::{Mutation, Tool};

/// Seconds until a run is ended, building not counted, unless the environment says otherwise. One that hangs
/// has noticed: what it waits for never comes.
const LIMIT: u64 = 90;
/// Seconds for what is built and run in one.
const BUILD_LIMIT: u64 = 1200;
/// What timeout(1) exits with when the time is over.
const TIMED_OUT: i32 = 124;

/// How a tool's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Hung,
    /// herd7 or spin has said so when the verdicts were written; they are not run here.
    Stored,
    /// Not run, and why.
    Skipped(String),
    /// Something that says nothing about the mutation, and what.
    Broken(String),
}

/// The copy of the workspace, with one target directory for all runs.
#[derive(Clone)]
struct Bench {
    root: PathBuf,
    target: PathBuf,
    /// In seconds.
    limit: u64,
}

impl Bench {
    fn new() -> std::io::Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| table::root().join("target"), PathBuf::from)
            .join("mutations");
        let root = target.join("workspace");
        let _ = fs::remove_dir_all(&root);
        copy(&table::root(), &root)?;
        let limit = std::env::var("URCU_MUTATIONS_SECONDS").ok();
        let limit = limit.map_or(Ok(LIMIT), |seconds| seconds.parse());
        let limit = limit.map_err(|_| Error::other("URCU_MUTATIONS_SECONDS is no number"))?;
        Ok(Self {
            root,
            target,
            limit,
        })
    }

    fn run(
        &self,
        limit: u64,
        program: &str,
        args: &[&str],
        flags: &str,
    ) -> std::io::Result<Output> {
        Command::new("timeout")
            .args(["--kill-after=5", &limit.to_string(), program])
            .args(args)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUSTFLAGS", flags)
            .env("RUST_BACKTRACE", "0")
            .output()
    }

    /// Builds and runs a tool on the copy as it is.
    fn ask(&self, tool: &Tool) -> std::io::Result<Outcome> {
        let package = match tool {
            Tool::KernfsLib(_) | Tool::KernfsTest(..) => "kernfs",
            _ => "user-rcu",
        };
        let mut args = vec!["test", "--quiet", "--package", package];
        let filter = match tool {
            Tool::Lib(filter) | Tool::KernfsLib(filter) => {
                args.push("--lib");
                filter
            }
            Tool::Test(name, filter) | Tool::KernfsTest(name, filter) => {
                args.extend(["--test", name]);
                filter
            }
            Tool::Doc(filter) => {
                args.push("--doc");
                filter
            }
            Tool::Loom(filter) => return self.ask_loom(filter),
            Tool::Tsan(filter) => return self.ask_tsan(filter),
            Tool::Model(name) => return Ok(self.ask_model(name)),
        };
        // There is no building doctests apart from running them.
        let together = matches!(tool, Tool::Doc(_));
        if !together {
            let mut build = args.clone();
            build.push("--no-run");
            let output = self.run(BUILD_LIMIT, "cargo", &build, "")?;
            if !output.status.success() {
                return Ok(Outcome::Broken(last_lines("does not build", &output)));
            }
        }
        args.extend(["--", filter]);
        let limit = if together { BUILD_LIMIT } else { self.limit };
        Ok(judge(&self.run(limit, "cargo", &args, "")?))
    }

    fn ask_tsan(&self, filter: &str) -> std::io::Result<Outcome> {
        let output = self.run(BUILD_LIMIT, ".ci/tsan", &[filter], "")?;
        let text = text_of(&output);
        Ok(match text.find("tsan: skipped") {
            Some(at) => Outcome::Skipped(text[at..].lines().next().unwrap_or_default().to_owned()),
            None if text.contains("WARNING: ThreadSanitizer") => Outcome::Failed,
            None => judge(&output),
        })
    }

    fn ask_loom(&self, filter: &str) -> std::io::Result<Outcome> {
        // A directory of its own: flags of the compiler are not for everybody.
        let loom = Self {
            target: self.target.join("loom"),
            ..self.clone()
        };
        let build = "build --quiet --release --package benches --bin loom";
        let build: Vec<_> = build.split(' ').collect();
        let output = loom.run(BUILD_LIMIT, "cargo", &build, "--cfg loom")?;
        if !output.status.success() {
            return Ok(Outcome::Broken(last_lines("does not build", &output)));
        }
        let program = loom.target.join("release/loom");
        let args = ["--quick", "--no-controls", filter];
        let output = loom.run(self.limit, &program.to_string_lossy(), &args, "")?;
        Ok(match output.status.code() {
            Some(TIMED_OUT) => Outcome::Hung,
            Some(0) => Outcome::Passed,
            _ if text_of(&output).contains("FAILED") => Outcome::Failed,
            _ => Outcome::Broken(last_lines("no model of this name", &output)),
        })
    }

    fn ask_model(&self, name: &str) -> Outcome {
        let path = self.root.join("urcu/models/verdicts.txt");
        let verdicts = fs::read_to_string(&path).unwrap_or_default();
        let row = verdicts.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(name)).then(|| words.next().unwrap_or_default().to_owned())
        });
        match row.as_deref() {
            Some("Sometimes" | "deadlock") => Outcome::Stored,
            Some(_) => Outcome::Passed,
            None => Outcome::Broken(format!("no verdict of {name}")),
        }
    }

    fn write(&self, file: &Path, text: &str) -> std::io::Result<()> {
        fs::write(self.root.join(file), text)
    }

    /// Applies a mutation, asks its tool, and takes the mutation back.
    fn try_out(&self, mutation: &Mutation) -> std::io::Result<Outcome> {
        let mut before = Vec::new();
        let mut outcome = None;
        for hunk in &mutation.hunks {
            let text = fs::read_to_string(self.root.join(&hunk.file))?;
            match hunk.apply(&text) {
                Ok(mutated) => {
                    self.write(&hunk.file, &mutated)?;
                    before.push((&hunk.file, text));
                }
                Err(why) => outcome = Some(Outcome::Broken(why)),
            }
        }
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => self.ask(&mutation.tool)?,
        };
        for (file, text) in before.into_iter().rev() {
            self.write(file, &text)?;
        }
        match outcome {
            Outcome::Hung => self.explain_hang(&mutation.tool),
            outcome => Ok(outcome),
        }
    }

    /// Whether the mutation was what hung, or the machine is too busy to tell: the copy is without it again.
    fn explain_hang(&self, tool: &Tool) -> std::io::Result<Outcome> {
        let limit = self.limit / 2;
        let control = Self {
            limit,
            ..self.clone()
        };
        Ok(match control.ask(tool)? {
            Outcome::Passed => Outcome::Hung,
            other => Outcome::Broken(format!(
                "it hangs, but without it the tool does not pass in {limit} s either: {other:?}"
            )),
        })
    }
}

/// Everything of the workspace but what is built, and what git keeps.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() && name != "target" && name != ".git" {
            copy(&entry.path(), &to.join(name))?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn last_lines(what: &str, output: &Output) -> String {
    let text = text_of(output);
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| !line.is_empty())
        .rev()
        .take(12)
        .collect();
    lines.reverse();
    format!("{what}\n    {}", lines.join("\n    "))
}

fn judge(output: &Output) -> Outcome {
    let text = text_of(output);
    // "test result: ok. 5 passed; ..."
    let passed = text
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next());
    let passed = passed.filter_map(|n| n.parse::<u32>().ok()).sum::<u32>();
    let failed = text.contains("test result: FAILED") || text.contains("(signal: ");
    match output.status.code() {
        Some(TIMED_OUT) => Outcome::Hung,
        Some(0) if passed > 0 => Outcome::Passed,
        Some(0) => Outcome::Broken("no test of this name".to_owned()),
        _ if failed => Outcome::Failed,
        _ => Outcome::Broken(last_lines("the tool could not run", output)),
    }
}

fn main() -> ExitCode {
    let mut wanted: Vec<_> = std::env::args().skip(1).collect();
    let all = wanted.len();
    wanted.retain(|word| word != "--list");
    match run(&wanted, wanted.len() < all) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(bad) => {
            println!("{bad} rows are not right");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("mutations: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether a row is asked for: by its number, a range of numbers, or a part of its name or tool.
fn is_wanted(number: usize, row: &Mutation, wanted: &[String]) -> bool {
    wanted.is_empty()
        || wanted.iter().any(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            match (first.parse::<usize>(), last.parse::<usize>()) {
                (Ok(first), Ok(last)) => (first..=last).contains(&number),
                _ => row.name.contains(word) || row.tool.to_string().contains(word),
            }
        })
}

/// Runs the rows that are wanted, or lists them; gives how many are not right.
fn run(wanted: &[String], list: bool) -> Result<usize, String> {
    let table = table::table()?;
    let rows: Vec<_> = (1..)
        .zip(&table)
        .filter(|(number, row)| is_wanted(*number, row, wanted))
        .collect();
    if rows.is_empty() {
        return Err(format!("no row is called {wanted:?}"));
    }
    if list {
        for (number, row) in rows {
            println!("{number:3}  {} | {}", row.name, row.tool);
        }
        return Ok(0);
    }
    let bench = Bench::new().map_err(|why| format!("no copy of the workspace: {why}"))?;
    let start = Instant::now();
    let mut bad = 0;

    println!("whether each tool passes without a mutation:");
    let mut seen = HashSet::new();
    for tool in rows.iter().map(|(_, row)| &row.tool) {
        if matches!(tool, Tool::Model(_)) || !seen.insert(tool) {
            continue;
        }
        let outcome = bench.ask(tool).map_err(|why| why.to_string())?;
        let right = matches!(outcome, Outcome::Passed | Outcome::Skipped(_));
        bad += usize::from(!right);
        println!("{}{tool}: {outcome:?}", if right { "  " } else { "! " });
    }

    println!("whether each tool notices its mutations:");
    let (mut caught, mut stored, mut skipped) = (0, 0, 0);
    for (number, row) in rows {
        let at = Instant::now();
        let outcome = bench.try_out(row).map_err(|why| why.to_string())?;
        let (mark, what) = match outcome {
            Outcome::Failed => (' ', "caught".to_owned()),
            Outcome::Hung => (' ', "caught: it hangs".to_owned()),
            Outcome::Stored => (
                '=',
                "by a stored verdict (urcu/models/check runs the model)".to_owned(),
            ),
            Outcome::Skipped(why) => ('-', why),
            Outcome::Passed => ('!', "SURVIVED".to_owned()),
            Outcome::Broken(why) => ('!', why),
        };
        caught += usize::from(mark == ' ');
        stored += usize::from(mark == '=');
        skipped += usize::from(mark == '-');
        bad += usize::from(mark == '!');
        println!(
            "{mark} {:4.0} s {number:3}  {} | {} | {what}",
            at.elapsed().as_secs_f64(),
            row.name,
            row.tool
        );
    }
    println!(
        "{caught} caught, {stored} by stored verdicts, {skipped} skipped, {bad} not right, in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    Ok(bad)
}

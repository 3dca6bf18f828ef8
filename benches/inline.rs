//! liburcu with inlined read sections: a C program, compiled here and now where that is possible, that runs
//! the loops of [`rounds`](crate::rounds). A process of its own, so nothing here links against liburcu, and
//! its thread-locals are those of an executable, not of a shared library.

use core::time::Duration;
use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, fs, process};

use crate::rounds::Contender;
use crate::work::{Figures, Round, Share, Work};

const SOURCE: &str = include_str!("peers/liburcu_inline.c");

/// The name of inlined memb in the table.
pub const MEMB: &str = "liburcu memb, inline";
/// The name of inlined mb in the table.
pub const MB: &str = "liburcu mb, inline";
/// The name of inlined qsbr in the table.
pub const QSBR: &str = "liburcu qsbr, inline";

/// Compiles and starts the three flavors; for each that cannot be had, a sentence why.
pub fn contenders() -> Vec<Result<Box<dyn Contender>, String>> {
    [(MEMB, "memb"), (MB, "mb"), (QSBR, "qsbr")]
        .map(|(name, flavor)| match Inline::start(name, flavor) {
            Ok(inline) => Ok(Box::new(inline) as Box<dyn Contender>),
            Err(error) => Err(format!("{name}: {error}, skipped")),
        })
        .into()
}

/// A running program.
struct Inline {
    name: &'static str,
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Inline {
    fn start(name: &'static str, flavor: &str) -> io::Result<Self> {
        let program = compile(flavor)?;
        let child = Command::new(&program.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Self {
                name,
                child,
                pipes: RefCell::new((stdin, BufReader::new(stdout))),
            }),
            _ => Err(io::Error::other("no pipes")),
        }
    }

    /// One round; the leader's time comes with the figures.
    fn ask(&self, round: Round) -> io::Result<(Duration, Figures)> {
        let (stdin, stdout) = &mut *self.pipes.borrow_mut();
        let Round {
            work,
            number,
            blocks,
            pinned,
        } = round;
        writeln!(
            stdin,
            "{} {number} {blocks} {}",
            work as usize,
            u8::from(pinned)
        )?;
        let mut answer = String::new();
        stdout.read_line(&mut answer)?;
        parse(work, &answer).ok_or_else(|| ErrorKind::InvalidData.into())
    }
}

fn parse(work: Work, answer: &str) -> Option<(Duration, Figures)> {
    let numbers: Result<Vec<u64>, _> = answer.split_whitespace().map(str::parse).collect();
    let [leader, operations, follower, followed, freed] = numbers.ok()?[..] else {
        return None;
    };
    let share = |time, operations| Share {
        time: Duration::from_nanos(time),
        operations,
    };
    let follower = (followed > 0).then(|| share(follower, followed));
    let freed = (freed > 0).then(|| Duration::from_nanos(freed));
    let leader = share(leader, operations);
    Some((leader.time, Figures::of(work, leader, follower, freed)))
}

impl Contender for Inline {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, round: Round) -> Figures {
        self.ask(round).map_or_else(
            |error| {
                eprintln!("{}: {error}", self.name);
                Figures::default()
            },
            |(_, figures)| figures,
        )
    }

    fn calibrate(&self, work: Work, time: Duration, pinned: bool) -> u64 {
        let mut blocks = 1;
        loop {
            let round = Round {
                work,
                number: 0,
                blocks,
                pinned,
            };
            let Ok((took, _)) = self.ask(round) else {
                return 1;
            };
            if took >= time / 4 {
                let wanted = blocks as f64 * time.as_secs_f64() / took.as_secs_f64();
                return (wanted as u64).max(1);
            }
            blocks *= 4;
        }
    }

    fn warm_up(&self) {
        self.calibrate(Work::Update, Duration::from_micros(1), false);
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        // It would end by itself when its input ends, but for a hang.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A file that is removed when this is dropped; a program that runs from it goes on.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

/// Compiles beside our own program: that is a folder that we may write and run from, and nobody else.
fn compile(flavor: &str) -> io::Result<Removed> {
    let own = env::current_exe()?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let program = Removed(folder.join(format!("liburcu-inline-{flavor}-{}", process::id())));
    let mut cc = Command::new("cc")
        .args(["-std=gnu11", "-O2", "-D_LGPL_SOURCE", "-DURCU_API_MAP"])
        .arg(format!("-DFLAVOR_HEADER=<urcu/urcu-{flavor}.h>"))
        .args(["-x", "c", "-", "-o"])
        .arg(&program.0)
        .arg(format!("-lurcu-{flavor}"))
        .args(["-lurcu-common", "-lpthread"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| io::Error::other("no `cc` here"))?;
    if let Some(mut stdin) = cc.stdin.take() {
        // A compiler that has failed already reads nothing; its status tells.
        _ = stdin.write_all(SOURCE.as_bytes());
    }
    if cc.wait()?.success() {
        return Ok(program);
    }
    Err(io::Error::other(
        "liburcu's headers not found (package liburcu-dev)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_did_other_work_than_it_was_asked_for() {
        let (_, list) = SOURCE.split_once("enum work { ").unwrap();
        let (list, _) = list.split_once(" };").unwrap();
        let ours = Work::ALL.map(|work| {
            let mut name = String::new();
            for c in format!("{work:?}").chars() {
                if c.is_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(c.to_ascii_uppercase());
            }
            name
        });
        assert_eq!(list.split(", ").collect::<Vec<_>>(), ours);
    }

    #[test]
    fn an_answer_gives_figures_and_a_broken_one_none() {
        let (took, figures) = parse(Work::ReadByTwo, "300 100 100 100 0").unwrap();
        assert_eq!(took, Duration::from_nanos(300));
        assert_eq!((figures.read, figures.freed), (Some(2.0), None));
        assert!(parse(Work::Read, "300 100 100").is_none());
        assert!(parse(Work::Read, "").is_none());
    }

    #[test]
    fn the_program_runs_every_kind_of_work_where_it_can_be_compiled() {
        for contender in contenders() {
            let contender = match contender {
                Ok(contender) => contender,
                Err(why) => {
                    eprintln!("SKIP {why}");
                    continue;
                }
            };
            for work in Work::ALL {
                let figures = contender.run(Round {
                    work,
                    number: 1,
                    blocks: 2,
                    pinned: false,
                });
                assert_eq!(figures.update.is_some(), work.leader_updates());
                assert_eq!(figures.freed.is_some(), work.leader_updates());
                // Beside an updater the reader may come too late to read.
                if !work.leader_updates() {
                    assert!(figures.read.is_some());
                }
            }
        }
    }
}

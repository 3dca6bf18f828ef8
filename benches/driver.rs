//! What `shootout` and `kernfs_bench` have in common: options, sections, tables, files.

use std::io::{self, ErrorKind, Write};
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{self, ExitCode};
use std::time::Instant;
use std::{env, fs, thread};

use crate::aims::Aim;
use crate::chart::Report;
use crate::effort::Effort;
use crate::json::Json;
use crate::options::{HELP, Options};
use crate::placement::PLACES;
use crate::probe;
use crate::sections::Section;
use crate::story::Story;
use crate::svg::{self, Panel, Svg};
use crate::table::{Table, Verdict};

/// A program that measures.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// How it is called.
    pub name: &'static str,
    /// What it is for, a line of `--help`.
    pub about: &'static str,
    /// Its sections, in the order of the run.
    pub sections: &'static [Section],
    /// Whose figures are 1 in the columns of ratios.
    pub reference: &'static str,
    /// What was aimed at.
    pub aims: fn(&Report) -> Vec<Aim>,
    /// What the README shows of it.
    pub story: Story,
    /// Whom it measures beside, and its version.
    pub beside: (&'static str, fn() -> String),
}

impl Program {
    /// Does what the command line says.
    pub fn main(&self) -> ExitCode {
        let options = match Options::parse(self.sections, env::args_os().skip(1)) {
            Ok(options) => options,
            Err(message) => {
                eprintln!("{}: {message}\ntry --help", self.name);
                return ExitCode::from(2);
            }
        };
        match self.run(&options) {
            // Whoever reads has seen enough: `shootout | head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", self.name);
                ExitCode::FAILURE
            }
            Ok(()) => ExitCode::SUCCESS,
        }
    }

    fn run(&self, options: &Options) -> io::Result<()> {
        let mut out = io::stdout();
        if options.help {
            let Self { about, name, .. } = self;
            writeln!(
                out,
                "{about}\n\nusage: cargo run --release -p benches --bin {name} [-- OPTIONS]"
            )?;
            out.write_all(HELP.as_bytes())?;
            for section in self.sections {
                writeln!(out, "  {:13} {}", section.name, section.about)?;
            }
            return Ok(());
        }
        let effort = Effort {
            pinned: options.pinned,
            ..if options.quick {
                Effort::QUICK
            } else {
                Effort::FULL
            }
        };
        if let Some((section, peer)) = &options.probe {
            return self.probe(section, peer, effort);
        }
        let machine = machine();
        let beside = (self.beside.0, &*(self.beside.1)());
        writeln!(
            out,
            "{machine}\n{} {}\n{} interleaved rounds of {:?}, {PLACES} placements of each read loop{}",
            beside.0,
            beside.1,
            effort.rounds,
            effort.loop_time,
            if effort.pinned { ", pinned" } else { "" }
        )?;
        if cfg!(debug_assertions) {
            writeln!(
                out,
                "built with debug assertions: these figures mean nothing, use --release"
            )?;
        }
        let begun = Instant::now();
        let mut report = Report::default();
        let wanted = |section: &&Section| options.wants(section);
        for section in self.sections.iter().filter(wanted) {
            let (before, begun) = (report.groups.len(), Instant::now());
            // On a thread of its own: what it registers ends with it. A main thread that once read, and then
            // only waits, would answer no cooperative round of any later section.
            thread::scope(|scope| {
                let run = scope.spawn(|| (section.run)(effort, &mut report));
                run.join().unwrap_or_else(|panic| resume_unwind(panic));
            });
            let reference = self.reference;
            for group in &report.groups[before..] {
                write!(out, "{}", Table { group, reference })?;
            }
            let took = begun.elapsed().as_secs_f64();
            writeln!(out, "\n{} took {took:.1} s", section.name)?;
        }
        let aims = &*(self.aims)(&report);
        if let Some(file) = &options.json {
            let json = Json {
                report: &report,
                aims,
                machine: &machine,
                beside,
            };
            write(file, json.to_string())?;
        }
        if let Some(folder) = &options.svg {
            fs::create_dir_all(folder).map_err(|error| named(folder, &error))?;
            for chart in report.charts().filter(|chart| svg::is_drawable(chart)) {
                let picture = Svg {
                    title: chart.title,
                    machine: &machine,
                    reference: self.reference,
                    columns: 1,
                    names: svg::names(chart).collect(),
                    panels: vec![Panel::of(chart)],
                };
                let file = folder.join(chart.key).with_extension("svg");
                write(&file, picture.to_string())?;
            }
        }
        if let Some(folder) = &options.story {
            let shown = (&report, self.reference, &*place(beside));
            let written = self.story.write(self.name, shown, folder);
            written.map_err(|error| named(folder, &error))?;
        }
        let took = begun.elapsed().as_secs_f64();
        let report = &report;
        writeln!(out, "{}\nall took {took:.1} s", Verdict { report, aims })
    }

    /// What a child of ours does, see [`crate::probe`].
    fn probe(&self, section: &str, peer: &str, effort: Effort) -> io::Result<()> {
        let mut all = self.sections.iter();
        let run = all
            .find(|one| one.name == section)
            .and_then(|one| one.probe);
        let run = run.ok_or_else(|| io::Error::other("nothing to run apart in that section"))?;
        let figures = run(peer, effort).map_err(io::Error::other)?;
        probe::print(&figures);
        // Not through main: threads that never end may be there, and libraries that mind.
        process::exit(0);
    }
}

fn write(file: &Path, text: String) -> io::Result<()> {
    fs::write(file, text).map_err(|error| named(file, &error))
}

/// The error with the name of the file that it is about.
fn named(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

/// CPU, number of CPUs, kernel, and the load: who else runs takes the second CPU away from two threads.
fn machine() -> String {
    let (hardware, kernel) = hardware();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!("{hardware}, Linux {kernel}, load average {load} before")
}

/// The same for the README: no more of a version than its numbers, and no load.
fn place((what, version): (&str, &str)) -> String {
    let (hardware, kernel) = hardware();
    let numbers = |version: &str| {
        let end = version.find(|c: char| !c.is_ascii_digit() && c != '.');
        version[..end.unwrap_or(version.len())].to_owned()
    };
    let beside = match &*numbers(version) {
        "" => String::new(), // not there, or the kernel
        version => format!(", {what} {version}"),
    };
    format!("{hardware}, Linux {}{beside}", numbers(&kernel))
}

fn hardware() -> (String, String) {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, model)| model.trim());
    let cpus = thread::available_parallelism().map_or(1, |n| n.get());
    let kernel = read("/proc/sys/kernel/osrelease");
    (format!("{model}, {cpus} CPUs"), kernel.trim().to_owned())
}

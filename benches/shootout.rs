//! `shootout`: urcu beside its peers, in one table.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs, thread};

use benches::effort::Effort;
use benches::json::Json;
use benches::options::{HELP, Options};
use benches::placement::PLACES;
use benches::survey::Survey;
use benches::table::Table;

fn main() -> ExitCode {
    let options = match Options::parse(env::args_os().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("shootout: {message}\ntry --help");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        // Whoever reads has seen enough: `shootout | head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shootout: {error}");
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn run(options: &Options) -> io::Result<()> {
    let mut out = io::stdout();
    if options.help {
        return out.write_all(HELP.as_bytes());
    }
    let effort = Effort {
        pinned: options.pinned,
        ..if options.quick {
            Effort::QUICK
        } else {
            Effort::FULL
        }
    };
    let machine = machine();
    writeln!(
        out,
        "{machine}\n{} interleaved rounds of {:?}, {PLACES} placements of each read loop{}",
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
    let survey = Survey::take(effort);
    if let Some(file) = &options.json {
        let json = Json {
            survey: &survey,
            machine: &machine,
        };
        fs::write(file, json.to_string()).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?;
    }
    let took = begun.elapsed().as_secs_f64();
    writeln!(out, "{}\ntook {took:.1} s", Table(&survey))
}

/// CPU, number of CPUs, kernel, and the load: who else runs takes the second CPU away from two threads.
fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, model)| model.trim());
    let cpus = thread::available_parallelism().map_or(1, |n| n.get());
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!(
        "{model}, {cpus} CPUs, Linux {}, load average {load} before",
        kernel.trim()
    )
}

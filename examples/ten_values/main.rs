//! Ten values of a daemon in ten lines: what it takes to publish them, and what a reader then sees.

#![forbid(unsafe_code)]

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use examples::cli;
use kernfs::{Errno, Kind, OpenFlags, Result, Root, bin, ro, ro_atomic, rw, rw_atomic, wo};

const ABOUT: &str = "ten_values: a daemon's ten values, published in ten lines";

/// What the daemon has anyway.
#[derive(Default)]
struct Daemon {
    requests: AtomicU64,
    errors: AtomicU64,
    connections: AtomicU32,
    limit: AtomicU32,
    verbose: AtomicBool,
    name: Mutex<String>,
}

impl Daemon {
    fn name(&self) -> String {
        self.name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn rename(&self, name: String) -> Result<(), Errno> {
        if name.len() > 16 {
            return Err(Errno::ENAMETOOLONG);
        }
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = name;
        Ok(())
    }

    fn reset(&self) {
        self.requests.store(0, Relaxed);
        self.errors.store(0, Relaxed);
    }

    fn key(buffer: &mut [u8], offset: u64) -> Result<usize> {
        for (byte, at) in buffer.iter_mut().zip(offset..) {
            *byte = at.to_le_bytes()[0].wrapping_mul(37);
        }
        Ok(buffer.len())
    }
}

fn publish(root: &Root, daemon: &'static Daemon, start: Instant) -> Result<()> {
    root.attr("requests", ro_atomic(&daemon.requests))?;
    root.attr("errors", ro_atomic(&daemon.errors))?;
    root.attr("connections", ro_atomic(&daemon.connections))?;
    root.attr("limit", rw_atomic(&daemon.limit))?;
    root.attr("verbose", rw_atomic(&daemon.verbose))?;
    root.attr("uptime", ro(move || start.elapsed().as_secs()))?;
    root.attr("version", ro(|| env!("CARGO_PKG_VERSION")))?;
    root.attr("name", rw(|| daemon.name(), |name| daemon.rename(name)))?;
    root.attr("reset", wo(|_: String| daemon.reset()))?;
    root.attr("key", bin(8).read(Daemon::key))?;
    Ok(())
}

/// The tree as `grep . *` would show it.
fn show(root: &Root) -> Result<()> {
    let mut names: Vec<_> = root
        .entries()
        .filter(|entry| entry.kind == Kind::File)
        .collect();
    names.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in names {
        let Some(file) = root.find(&entry.name).and_then(|node| node.as_file()) else {
            continue;
        };
        let name = entry.name.escape_ascii().to_string();
        if file.mode() & 0o444 == 0 {
            println!("  {name:>12}  (write only)");
            continue;
        }
        let mut text = Vec::new();
        file.open(OpenFlags::READ)?.read_to_end(&mut text)?;
        println!("  {name:>12}  {}", text.trim_ascii_end().escape_ascii());
    }
    Ok(())
}

fn write(root: &Root, name: &str, value: &str) -> Result<()> {
    let file = root.find(name).and_then(|node| node.as_file());
    let file = file.ok_or(Errno::ENOENT)?;
    file.open(OpenFlags::WRITE)?.write_at(value.as_bytes(), 0)?;
    Ok(())
}

fn main() -> Result<()> {
    let time = cli::seconds(ABOUT, 1);
    let start = Instant::now();
    let daemon: &'static Daemon = Box::leak(Box::default());
    daemon.limit.store(100, Relaxed);
    let root = Root::new();
    publish(&root, daemon, start)?;

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let work = thread::spawn(move || {
        while !stopped.load(Relaxed) {
            daemon.requests.fetch_add(1, Relaxed);
            daemon.connections.fetch_xor(3, Relaxed);
            thread::sleep(Duration::from_micros(100));
        }
    });
    println!("at the start:");
    show(&root)?;
    thread::sleep(time);
    write(&root, "name", "eleven\n")?;
    write(&root, "verbose", "on\n")?;
    println!("after {time:?}, with name and verbose written:");
    show(&root)?;
    if let Err(error) = write(&root, "limit", "lots\n") {
        println!("limit = \"lots\": {error}");
    }
    stop.store(true, Relaxed);
    let _ = work.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    /// The claim of this example.
    #[test]
    fn ten_values_are_ten_lines() {
        let source = include_str!("main.rs");
        let body = source
            .split("start: Instant) -> Result<()> {\n")
            .nth(1)
            .unwrap();
        let body = body.split("    Ok(())\n").next().unwrap();
        assert_eq!(body.lines().count(), 10);
        assert_eq!(body.matches("root.attr(").count(), 10);
        assert!(
            body.lines()
                .all(|line| line.trim_start().starts_with("root.attr("))
        );
    }
}

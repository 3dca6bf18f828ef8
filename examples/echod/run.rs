//! A run from start to end: everything is made, the user told, signals obeyed, and everything taken down.

#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use kernfs::Root;
use kernfs::fuse::{self, Termination};
use rustix::process::Signal;

use super::clients::Clients;
use super::config::Config;
use super::launch::{Launch, PidFile};
use super::options::Options;
use super::settings::{self, Settings};
use super::sockets::Sockets;
use super::stats::{ACCEPTED, BAD_RELOADS, REFUSED, RELOADS, Report};
use super::tree::Tree;
use super::{NAME, complain, conn, http, notify, server};
use crate::callbacks;
use crate::cli::say;
use crate::mount::Mounted;

/// Everything that happens between the start and the end of the process.
///
/// # Errors
/// A line that says why it cannot go on.
pub(super) fn run(options: &Options, launch: &mut Launch) -> Result<Report, String> {
    // First of all, so that all threads are deaf to them: one thread waits for the signals.
    let signals = signals(Termination::block()).map_err(failed)?;
    let config = match &options.config {
        Some(path) => settings::load(path)?,
        None => Config::default(),
    };
    let settings = Arc::new(Settings::new(config));
    let (echo, echo_address) = server::bind(options.listen)?;
    let (metrics, metrics_address) = server::bind(options.metrics)?;
    let root = Root::new();
    let (open, scrapers) = (Sockets::default(), Sockets::default());
    let tree = Tree::new(&root, &settings, &open);
    let tree = tree.map_err(|e| format!("the tree cannot be built: {e}"))?;
    let mounted = Mounted::new(&root, &options.mount, &fuse::Options::new(), NAME)?;
    let mount_line = mounted.line("cat DIR/stats/*");
    let pidfile = options.pidfile.clone().map(PidFile::new).transpose()?;
    let (stop_reader, stop_writer) =
        io::pipe().map_err(|e| format!("a pipe cannot be made: {e}"))?;
    let over = AtomicBool::new(false);

    thread::scope(|scope| {
        // However this ends, the threads end with it.
        let end = OnDrop(Some(|| {
            over.store(true, Relaxed);
            drop(stop_writer);
            open.close();
            scrapers.close();
        }));
        let (stop, root, settings, tree) = (&stop_reader, &root, &settings, &tree);
        let (open, scrapers) = (&open, &scrapers);
        let echoing = server::spawn(scope, "accept", move || {
            server::accept(echo, stop, |stream| {
                let limit = settings.read(|c| c.max_connections);
                // Counted before the client can hear of it.
                match open.admit(stream, limit as usize) {
                    Ok(held) => {
                        ACCEPTED.add(1);
                        server::spawn(scope, "conn", || conn::serve(&tree.conn, settings, held));
                    }
                    Err(refused) => {
                        REFUSED.add(1);
                        drop(refused);
                    }
                }
            });
        });
        let answering = server::spawn(scope, "metrics", move || {
            server::accept(metrics, stop, |stream| {
                if let Ok(held) = scrapers.admit(stream, http::LIMIT) {
                    server::spawn(scope, "scrape", move || {
                        let _ = http::answer(&held.stream, root);
                    });
                }
            });
        });
        if !(echoing && answering) {
            return Err("not all threads could be started".to_owned());
        }
        launch.ready(&format!(
            "listening on {echo_address}\nmetrics on http://{metrics_address}/metrics\n{mount_line}"
        ));
        notify::tell("READY=1");
        if options.time.is_some() {
            let (echo, metrics, conn) = (echo_address, metrics_address, &tree.conn);
            let over = &over;
            Clients {
                echo,
                metrics,
                conn,
                over,
            }
            .start(scope);
        }
        obey(&signals, options.time, || {
            reload(settings, options.config.as_deref(), tree);
        });
        notify::tell("STOPPING=1");
        drop(end);
        Ok(())
    })?;

    let mounts = mounted.end().inspect_err(|e| complain(format_args!("{e}")));
    drop((tree, pidfile));
    let left = root.clone();
    root.destroy().map_err(|e| e.to_string())?;
    drop(settings);
    let callbacks = callbacks::wait().callbacks_pending;
    Ok(Report {
        connections: open.count(),
        // The handle that asks keeps the root directory.
        nodes: left.stats().nodes.saturating_sub(1),
        callbacks,
        mounts: mounts.is_err().into(),
    })
}

fn failed(e: io::Error) -> String {
    format!("a thread cannot be started: {e}; raise ulimit -u")
}

/// Does something when it is dropped.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|work| work());
    }
}

/// A thread that takes signals as they come. It is not joined: it waits until the process ends.
fn signals(blocked: Termination) -> io::Result<Receiver<i32>> {
    let (sender, signals) = mpsc::channel();
    thread::Builder::new()
        .name("echod-signals".to_owned())
        .spawn(move || {
            while let Ok(signal) = blocked.wait() {
                if sender.send(signal).is_err() {
                    return;
                }
            }
        })?;
    Ok(signals)
}

/// Reloads at each SIGHUP; returns at any other signal, or when the time is over.
fn obey(signals: &Receiver<i32>, time: Option<Duration>, mut reload: impl FnMut()) {
    let begin = Instant::now();
    loop {
        let signal = match time {
            Some(time) => signals
                .recv_timeout(time.saturating_sub(begin.elapsed()))
                .ok(),
            None => signals.recv().ok(),
        };
        match signal {
            Some(signal) if signal == Signal::HUP.as_raw() => reload(),
            _ => return,
        }
    }
}

/// What SIGHUP asks for. A file that cannot be used is told, and changes nothing.
fn reload(settings: &Settings, path: Option<&Path>, tree: &Tree) {
    let Some(path) = path else {
        return complain(format_args!("SIGHUP, but there is no --config to read"));
    };
    match settings.reload(path) {
        Ok(()) => {
            RELOADS.add(1);
            tree.reloaded();
            say(format_args!("configuration read from {}", path.display()));
        }
        Err(why) => {
            BAD_RELOADS.add(1);
            complain(format_args!("the old configuration stays: {why}"));
        }
    }
}

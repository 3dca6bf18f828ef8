//! Sees to it that a run ends: exit status 3 where a client's call or something of the owner's does not.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::place::Place;
use crate::progress::{Doing, Progress};
use crate::sys;

/// The exit status.
const HUNG: i32 = 3;
const LOOK: Duration = Duration::from_millis(200);

/// What is watched.
pub(crate) struct Watched<'a> {
    pub(crate) daemon: &'a Daemon,
    pub(crate) place: &'a Place,
    pub(crate) progress: &'a Progress,
    /// The process ids of the clients.
    pub(crate) clients: &'a [u32],
    pub(crate) clients_ended: AtomicBool,
    pub(crate) over: AtomicBool,
}

/// Ends the run it was made for: the watch over it does not go on.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Looks on until it is over.
pub(crate) fn watch(watched: &Watched<'_>) {
    let now = || Instant::now();
    let clients = watched.clients.len();
    let patience = watched.daemon.options.patience();
    let mut seen: Vec<(Doing, Instant)> = (0..clients)
        .map(|client| (watched.progress.of(client), now()))
        .collect();
    let mut deeds = (watched.daemon.deeds.load(Relaxed), now());
    while !watched.over.load(Relaxed) {
        thread::sleep(LOOK);
        let ended = watched.clients_ended.load(Relaxed);
        for (client, (last, since)) in seen.iter_mut().enumerate() {
            let doing = watched.progress.of(client);
            if doing != *last || ended {
                (*last, *since) = (doing, now());
            } else if since.elapsed() > patience {
                hang(
                    watched,
                    Some(client),
                    &format!("client {client}: {}", last.call),
                );
            }
        }
        let count = watched.daemon.deeds.load(Relaxed);
        if count != deeds.0 {
            deeds = (count, now());
        } else if deeds.1.elapsed() > patience {
            hang(watched, None, &format!("owner: {}", watched.daemon.deed()));
        }
    }
}

fn hang(watched: &Watched<'_>, client: Option<usize>, what: &str) -> ! {
    if let Some(pid) = client.and_then(|client| watched.clients.get(client)) {
        for file in ["wchan", "stack", "syscall"] {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            println!(
                "  {file} of process {pid}: {}",
                text.trim().replace('\n', "\n    ")
            );
        }
    }
    for task in fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        println!(
            "  thread {:16} waits in {}",
            read("comm").trim(),
            read("wchan")
        );
    }
    print!("{}", watched.daemon.faults);
    let seed = watched.daemon.options.seed;
    let patience = watched.daemon.options.patience();
    println!("kernfs_torture: HANG: for {patience:?} {what}; --seed {seed}");
    sys::abort_mount(&watched.place.mount_point());
    for pid in watched.clients {
        sys::kill(*pid);
    }
    std::process::exit(HUNG);
}

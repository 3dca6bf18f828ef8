//! A signal handler that notifies: SIGUSR1 wakes whoever polls the file, with no thread in between.
//!
//! `notify` takes no lock and allocates nothing, so the handler may call it whatever the signal has interrupted.
//! Here a third of the signals hit a thread that makes and removes nodes all the time, with the tree's locks and
//! malloc's held.

#![deny(unsafe_code)]

mod signal;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::Instant;

use examples::cli;
use examples::latencies::Latencies;
use kernfs::{File, OpenFlags, Result, Root, ro_atomic};

const ABOUT: &str = "signal_notify: SIGUSR1 wakes a poller through a file's notify in the handler";

static FILE: OnceLock<File> = OnceLock::new();
static SIGNALS: AtomicU64 = AtomicU64::new(0);
/// The thread that makes and removes nodes; 0 before it begins.
static CHURNER: AtomicI32 = AtomicI32::new(0);
static STOP: AtomicBool = AtomicBool::new(false);
/// One of the threads has ended.
static ENDED: AtomicBool = AtomicBool::new(false);

/// However its thread ends, main hears of it.
struct Tells<'m>(&'m Thread);

impl Drop for Tells<'_> {
    fn drop(&mut self) {
        ENDED.store(true, SeqCst);
        self.0.unpark();
    }
}

/// The handler: two atomic operations and `notify`.
fn on_signal() {
    SIGNALS.fetch_add(1, SeqCst);
    if let Some(file) = FILE.get() {
        file.notify();
    }
}

/// Waits for each change and tells the last one that it has seen.
fn follow(seen: &AtomicU64, main: &Thread) -> Result<u64> {
    let _tells = Tells(main);
    let Some(file) = FILE.get() else { return Ok(0) };
    let open = file.open(OpenFlags::READ)?;
    let mut wakes = 0;
    loop {
        let mut text = [0; 32];
        let n = open.read_at(&mut text, 0)?;
        let now = text[..n].trim_ascii_end();
        let now = str::from_utf8(now).ok().and_then(|text| text.parse().ok());
        seen.store(now.unwrap_or(0), SeqCst);
        main.unpark();
        if STOP.load(SeqCst) {
            return Ok(wakes);
        }
        open.wait_event(None)?;
        wakes += 1;
    }
}

/// Keeps the locks of the tree and of malloc busy on its thread.
fn churn(root: &Root, main: &Thread) -> Result<u64> {
    let _tells = Tells(main);
    let mut made = 0;
    CHURNER.store(signal::own_thread(), SeqCst);
    while !STOP.load(SeqCst) {
        let dir = root.create_dir("churn", 0o755)?;
        dir.attr("value", ro_atomic(&SIGNALS))?;
        dir.remove()?;
        made += 1;
    }
    Ok(made)
}

fn main() -> Result<()> {
    let time = cli::seconds(ABOUT, 1);
    let root = Root::new();
    let file = root.attr("signals", ro_atomic(&SIGNALS))?;
    let _ = FILE.set(file.clone());
    signal::install(on_signal)?;
    let (seen, mut latencies) = (AtomicU64::new(0), Latencies::default());
    let main = thread::current();
    thread::scope(|s| {
        let follower = s.spawn(|| follow(&seen, &main));
        let churner = s.spawn(|| churn(&root, &main));
        while CHURNER.load(SeqCst) == 0 && !ENDED.load(SeqCst) {
            thread::yield_now();
        }
        let begin = Instant::now();
        let mut sent = 0_u64;
        while begin.elapsed() < time && !ENDED.load(SeqCst) {
            let before = SIGNALS.load(SeqCst);
            latencies.time(|| {
                // In turn to this thread, to the one that churns, and to the process.
                match sent % 3 {
                    0 => signal::raise(),
                    1 => signal::send(CHURNER.load(SeqCst)),
                    _ => signal::send_process(),
                }
                // One at a time, so each is handled, and what it changed is read: unless somebody has failed.
                while seen.load(SeqCst) <= before && !ENDED.load(SeqCst) {
                    thread::park();
                }
            });
            sent += 1;
        }
        STOP.store(true, SeqCst);
        file.notify();
        let wakes = follower.join().expect("the follower does not panic")?;
        let made = churner.join().expect("the churner does not panic")?;
        println!(
            "{sent} signals sent, {} handled, {wakes} wake-ups, {made} nodes made and removed",
            SIGNALS.load(SeqCst)
        );
        println!("from kill(2) until the poller has read the new value: {latencies}");
        Ok(())
    })
}

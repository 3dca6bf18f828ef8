//! Sees to it that a run ends: exit status 3 where grace periods have stopped.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use crate::ops::Ops;
use crate::state::Torture;

/// The exit status.
pub(crate) const HUNG: i32 = 3;
/// Nothing at all for so long is a hang. Longer than a section is held by [`stalls`](crate::stalls).
const PATIENCE: Duration = Duration::from_secs(120);

/// A watch over updates and grace periods; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Watch(Arc<AtomicBool>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Starts the watch. Covers the end of the run too, where threads are joined.
pub(crate) fn watch<O: Ops>(torture: &'static Torture, describe: fn(&Torture) -> String) -> Watch {
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&over);
    let thread = Builder::new().name("watchdog".to_owned());
    let spawned = thread.spawn(move || {
        let state = || (torture.deeds.version.load(Relaxed), O::grace_periods());
        let (mut last, mut since) = (state(), Instant::now());
        while !done.load(Relaxed) {
            thread::sleep(Duration::from_millis(200));
            let now = state();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() > PATIENCE + torture.options.stall() {
                println!("{}", describe(torture));
                println!(
                    "{}: HANG: no update and no grace period for {PATIENCE:?}; --seed {}",
                    O::NAME,
                    torture.options.seed
                );
                std::process::exit(HUNG);
            }
        }
    });
    spawned.expect("a thread");
    Watch(over)
}

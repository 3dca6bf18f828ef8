//! The threads that look processes up as fast as they can.

use std::time::Duration;

use super::state::{Lookups, State};

/// Lookups between two looks at what changed.
const BATCH: usize = 4096;

/// A reader's life. It knows pids from the table itself, and asks for them until they are replaced.
pub(super) fn run(state: &State, mine: &Lookups) {
    let mut pids = Vec::new();
    let mut known = None;
    while !state.stopped() {
        let arm = state.arm();
        let sampled = state.sampled.value();
        if known.replace((arm, sampled)) != Some((arm, sampled)) {
            state.tables.pids(arm, &mut pids);
        }
        if pids.is_empty() {
            // Nothing to look up: the filter matches no process. Do not burn a CPU for that.
            state
                .sampled
                .wait_while(sampled, Some(Duration::from_secs(1)));
            continue;
        }
        let rounds = BATCH.div_ceil(pids.len());
        state.tables.find_all(arm, &pids, rounds);
        mine.add(arm, (rounds * pids.len()) as u64);
    }
}

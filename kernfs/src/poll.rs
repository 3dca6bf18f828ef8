//! What poll says of an open file, and waiting for a change.
//!
//! The kernel's `kernfs_fop_poll` and `kernfs_generic_poll`. Hearing of changes without waiting stands in
//! [`crate::changes`].

use core::panic::Location;
use std::time::{Duration, Instant};

use urcu::Memb;

use crate::cred::Caller;
use crate::error::{Errno, Result};
use crate::flags::{Has, PollFlags};
use crate::open::OpenFile;
use crate::path;
use crate::slow::Op;

impl OpenFile {
    /// poll(2), without waiting: always `IN|OUT`; with `ERR|PRI` when the file was notified since this open
    /// file last ran `show` or `read` (at first: always), or when the node is gone.
    #[doc(alias = "kernfs_generic_poll")]
    #[track_caller]
    pub fn poll(&self) -> PollFlags {
        let Ok(active) = self.handle.active("poll") else {
            return PollFlags::DEAD;
        };
        let generic = match self.handle.has_changed() {
            true => PollFlags::CHANGED,
            false => PollFlags::QUIET,
        };
        if !self.handle.of.has.contains(Has::POLL) {
            return generic;
        }
        self.call(Caller::default())
            .run_active(Op::Poll, &active, |file, cx| file.poll(cx, generic))
            .unwrap_or(generic | PollFlags::ERR)
    }

    /// Sleeps until the file is notified (returns at once if it was since the last read), at most
    /// `timeout`. `false`: the time is over. The next read that produces data clears it, this does not.
    ///
    /// # Errors
    /// ENODEV when the node is gone or was hidden, also if that happens meanwhile. EDEADLK: in a read section.
    #[track_caller]
    pub fn wait_event(&self, timeout: Option<Duration>) -> Result<bool> {
        if Memb::read_lock_held() {
            // Nobody would free anything while it waits.
            let what = format!(
                "wait at {} inside an RCU read section, file",
                Location::caller()
            );
            return Err(path::error(Errno::EDEADLK, &what, &self.handle.node));
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let handle = &self.handle;
        let drains = handle.drains();
        if handle.changed_since(drains, "wait")? {
            return Ok(true);
        }
        let bed = handle.bed().ok_or_else(|| handle.gone("wait"))?;
        loop {
            // This order: who notifies counts the event up, then the bed's; removal deactivates the node, then does
            // so, and again when it has counted the drain. Either we see that, or the bed's value has changed by the
            // time we sleep.
            let asleep_since = bed.value();
            if handle.changed_since(drains, "wait")? {
                return Ok(true);
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if !bed.wait_while(asleep_since, left) {
                // A removal or a change that came with the end of the time is more important.
                return handle.changed_since(drains, "wait");
            }
        }
    }
}

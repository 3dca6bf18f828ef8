//! Running code of the user: a panic becomes EIO and a line on stderr, a count is checked.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use crate::cx::Host;
use crate::error::{Errno, Result};
use crate::sys::say;

/// Runs a callback. A panic is reported and becomes EIO.
pub(crate) fn guarded<R>(op: &str, host: &dyn Host, run: impl FnOnce() -> R) -> Result<R> {
    // What the callback left half done is the owner's; our own state is not touched in it.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let said = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no text");
        let line = format!("{op} of {} panicked: {said}", host.path().escape_ascii());
        say(&format!("kernfs: {line}\n"));
        // A payload may panic when dropped, with another payload.
        if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            core::mem::forget(next);
        }
        Errno::EIO.because(line)
    })
}

/// What a callback says it has transferred, if that is possible.
pub(crate) fn transferred(op: &str, host: &dyn Host, n: usize, most: usize) -> Result<usize> {
    if n <= most {
        return Ok(n);
    }
    let path = host.path();
    Err(Errno::EIO.because(format!(
        "{op} of {} returned {n} for {most} bytes",
        path.escape_ascii()
    )))
}

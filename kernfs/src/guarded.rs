//! Running code of the user: a panic becomes EIO and a line on stderr, a count is checked.

use crate::caught::caught;
use crate::cx::Host;
use crate::error::{Errno, Result};
use crate::sys::say;

/// Runs a callback. A panic is reported and becomes EIO.
pub(crate) fn guarded<R>(op: &str, host: &dyn Host, run: impl FnOnce() -> R) -> Result<R> {
    caught(run).map_err(|said| {
        let line = format!("{op} of {} panicked: {said}", host.path().escape_ascii());
        say(&format!("kernfs: {line}\n"));
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

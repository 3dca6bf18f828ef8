//! SIGTERM for a daemon with a mount: wait for it in a thread instead of dying of it.

use crate::error::{Error, Result};
use crate::sys::mounting as sys;

/// SIGTERM, SIGINT and SIGHUP as something to wait for, so that the mount can be dropped in peace.
///
/// A signal that kills the process leaves its mount behind. Block first, before any thread is started
/// (threads inherit the mask, and one that does not block the signal would die of it), then wait in
/// any thread:
///
/// ```no_run
/// use kernfs::Root;
/// use kernfs::fuse::{Mount, Options, Termination};
///
/// let termination = Termination::block();
/// let root = Root::new();
/// let mount = Mount::new(&root, "/run/daemon", &Options::new())?;
/// termination.wait()?;
/// mount.unmount()?;
/// # Ok::<(), kernfs::Error>(())
/// ```
#[derive(Debug)]
pub struct Termination(());

impl Termination {
    /// Blocks the three signals in the calling thread, and in all that it starts from now on. A program
    /// executed later inherits the mask too.
    #[must_use = "the signals are blocked now; wait for them"]
    pub fn block() -> Self {
        sys::block_termination();
        Self(())
    }

    /// Sleeps until one of them comes, and returns its number.
    ///
    /// # Errors
    /// None is known on Linux.
    pub fn wait(&self) -> Result<i32> {
        sys::wait_termination().map_err(Error::from)
    }
}

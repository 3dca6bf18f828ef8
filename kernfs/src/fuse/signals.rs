//! SIGTERM for a daemon with a mount: wait for it in a thread instead of dying of it.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use crate::error::{Errno, Error, Result};
use crate::sys::{self, mounting};

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
///
/// A program that may end by itself ends the waiting with a [handle](Self::handle).
#[derive(Debug)]
pub struct Termination(Option<Descriptors>);

/// What is waited for.
#[derive(Debug)]
struct Descriptors {
    signals: File,
    end: Arc<File>,
}

impl Descriptors {
    fn new() -> Option<Self> {
        Some(Self {
            signals: mounting::termination_fd().ok()?,
            end: Arc::new(sys::eventfd().ok()?),
        })
    }
}

impl Termination {
    /// Blocks the three signals in the calling thread, and in all that it starts from now on. A program
    /// executed later inherits the mask too.
    #[must_use = "the signals are blocked now; wait for them"]
    pub fn block() -> Self {
        mounting::block_termination();
        Self(Descriptors::new())
    }

    /// Sleeps until one of them comes, and returns its number; or 0, at once, when the program has
    /// [ended](TerminationHandle::end) it. Of several threads that wait a signal wakes one, the end all.
    ///
    /// # Errors
    /// None is known on Linux.
    pub fn wait(&self) -> Result<i32> {
        match &self.0 {
            Some(all) => mounting::wait_termination_or(&all.signals, &all.end),
            None => mounting::wait_termination(), // nobody can have a handle
        }
        .map_err(Error::from)
    }

    /// A way to end the waiting without a signal.
    ///
    /// ```
    /// use kernfs::fuse::Termination;
    ///
    /// let termination = Termination::block();
    /// let handle = termination.handle()?;
    /// let work = std::thread::spawn(move || {
    ///     // ... until there is no more of it:
    ///     handle.end();
    /// });
    /// assert_eq!(termination.wait()?, 0);
    /// # work.join().unwrap();
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    ///
    /// # Errors
    /// ENFILE: there were no descriptors left for that when the signals were blocked.
    pub fn handle(&self) -> Result<TerminationHandle> {
        match &self.0 {
            Some(all) => Ok(TerminationHandle(Arc::clone(&all.end))),
            None => Err(Errno::ENFILE.because("no descriptor to end the waiting for a signal by")),
        }
    }
}

/// Ends the waiting of a [`Termination`].
#[derive(Clone, Debug)]
pub struct TerminationHandle(Arc<File>);

impl TerminationHandle {
    /// Ends the waiting that goes on, and all that comes later. Async-signal-safe.
    pub fn end(&self) {
        let _ = (&*self.0).write(&1_u64.to_ne_bytes()); // full: it was ended often enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    // A program that had no more to do could not wake who waited for a signal.
    #[test]
    fn the_program_ends_the_waiting_of_all_and_a_signal_comes_first() {
        let termination = Termination::block();
        let (woken, heard) = mpsc::channel();
        let handle = termination.handle().unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                let (termination, woken) = (&termination, woken.clone());
                scope.spawn(move || woken.send(termination.wait().unwrap()).unwrap());
            }
            assert_eq!(heard.recv_timeout(Duration::ZERO).ok(), None);
            handle.clone().end();
            assert_eq!((heard.recv(), heard.recv()), (Ok(0), Ok(0)));
        });
        handle.end();
        assert_eq!(mounting::hang_up(), termination.wait().unwrap());
        assert_eq!(termination.wait().unwrap(), 0);
    }

    #[test]
    fn without_descriptors_there_is_no_handle_and_signals_come() {
        mounting::block_termination();
        let termination = Termination(None);
        assert_eq!(termination.handle().unwrap_err().errno(), Errno::ENFILE);
        assert_eq!(mounting::hang_up(), termination.wait().unwrap());
    }
}

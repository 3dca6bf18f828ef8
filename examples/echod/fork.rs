//! fork(2).

#![expect(
    unsafe_code,
    reason = "a call of libc, which is what daemonisation is about"
)]

use std::io;

/// Which of the two processes this is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// With the id of the child, to be waited for.
    Parent(i32),
    Child,
}

/// Forks the process, which must have no other thread yet: neither its locks nor its work would go on in the child.
///
/// # Errors
/// EAGAIN, ENOMEM: no more processes. EBUSY: there is another thread. And where `/proc` cannot tell.
pub(super) fn fork() -> io::Result<Side> {
    let threads = std::fs::read_dir("/proc/self/task");
    let threads = threads.map_err(|e| io::Error::new(e.kind(), format!("/proc/self/task: {e}")))?;
    if threads.count() != 1 {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    // SAFETY: the only thread forks, and nobody else can start one; so the child has a whole process, in which no lock
    // is held by a thread that it has not.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        child => Ok(Side::Parent(child)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        let error = std::thread::spawn(fork).join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }
}

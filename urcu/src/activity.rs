//! What a thread does at the moment, as the kernel sees it. For messages only.

use core::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Whether a thread runs or sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// On a CPU, or ready to be: the section computes, or the machine is busy with others.
    Runs,
    /// In a system call that waits: a lock, a socket, a timer.
    Sleeps,
    /// The same, uninterruptibly: most often a disk, or a network filesystem that does not answer.
    WaitsForDevice,
    /// By a signal or a debugger.
    Stopped,
    /// It has ended.
    Ended,
}

impl Activity {
    /// That of the thread with this id of this process; `None` where /proc does not say.
    ///
    /// Opens and reads a file: not for a thread that others wait for.
    pub(crate) fn of(tid: i32) -> Option<Self> {
        let tasks = Path::new("/proc/self/task");
        match fs::read_to_string(tasks.join(tid.to_string()).join("stat")) {
            Ok(stat) => Self::parse(&stat),
            Err(error) if error.kind() == ErrorKind::NotFound && tasks.exists() => {
                Some(Self::Ended)
            }
            Err(_) => None,
        }
    }

    /// From proc_pid_stat(5): the third field. The second is the name in parentheses, which may hold some.
    fn parse(stat: &str) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(") ")?;
        match after_name.chars().next()? {
            'R' => Some(Self::Runs),
            'S' | 'I' => Some(Self::Sleeps),
            'D' => Some(Self::WaitsForDevice),
            'T' | 't' => Some(Self::Stopped),
            'Z' | 'X' | 'x' => Some(Self::Ended),
            _ => None,
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runs => "runs",
            Self::Sleeps => "sleeps",
            Self::WaitsForDevice => "waits for a device",
            Self::Stopped => "is stopped",
            Self::Ended => "has ended",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::gettid;
    use std::sync::mpsc::channel;

    #[test]
    fn the_state_is_the_field_behind_a_name_that_may_look_like_fields() {
        assert_eq!(
            Activity::parse("12 (a) R (b) S 1 2"),
            Some(Activity::Sleeps)
        );
        assert_eq!(
            Activity::parse("12 (cat) D 1 2"),
            Some(Activity::WaitsForDevice)
        );
        assert_eq!(Activity::parse("12 (cat) ? 1 2"), None);
        assert_eq!(Activity::parse(""), None);
    }

    #[test]
    fn a_thread_runs_then_sleeps_then_has_ended() {
        assert_eq!(Activity::of(gettid()), Some(Activity::Runs));
        let (tell, told) = channel();
        let (end, ends) = channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(gettid()).unwrap();
            let _ = ends.recv();
        });
        let tid = told.recv().unwrap();
        while Activity::of(tid) != Some(Activity::Sleeps) {
            std::thread::yield_now();
        }
        drop(end);
        thread.join().unwrap();
        // The kernel wakes who joins before it has taken the thread off the list.
        while Activity::of(tid) != Some(Activity::Ended) {
            std::thread::yield_now();
        }
    }
}

//! What a tree may grow to by others' doing, and counts of what there is: [`Limits`], and the gauges behind
//! [`Stats`](crate::Stats).

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::error::{Errno, Result};

/// How far others may go: users of a mount, whose files and directories cost this process memory. See
/// [`Root::set_limits`](crate::Root::set_limits). What the process itself makes is not limited; what it opens is.
///
/// ```
/// use kernfs::{Limits, OpenFlags, Root, ro};
///
/// let root = Root::new();
/// root.set_limits(Limits::NONE.open_files(1));
/// let file = root.attr("one", ro(|| 1))?;
/// let first = file.open(OpenFlags::READ)?;
/// let second = file.open(OpenFlags::READ).unwrap_err();
/// assert_eq!(second.errno(), kernfs::Errno::ENFILE);
/// drop(first);
/// file.open(OpenFlags::READ)?;
/// # Ok::<(), kernfs::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    nodes: u64,
    depth: u32,
    open_files: u64,
}

impl Limits {
    /// None.
    pub const NONE: Self = Self {
        nodes: u64::MAX,
        depth: u32::MAX,
        open_files: u64::MAX,
    };

    /// No user's mkdir is begun while the tree has this many nodes (EAGAIN, as cgroup says it), the root counted.
    /// Those count whose memory is not freed: removed ones as well, so a loop of mkdir and rmdir is bounded too.
    pub const fn nodes(self, nodes: u64) -> Self {
        Self { nodes, ..self }
    }

    /// No user's mkdir makes, and no user's rename brings, a directory to more than this many levels below the root
    /// (EAGAIN). Looked at when the call begins: of several at a time, each may go as deep as if it came alone.
    pub const fn depth(self, depth: u32) -> Self {
        Self { depth, ..self }
    }

    /// No more open files than this in the whole tree (ENFILE), whoever opens them.
    pub const fn open_files(self, open_files: u64) -> Self {
        Self { open_files, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::NONE
    }
}

/// The limits of a tree. Changed at any time: each is read by itself, once, by who makes something.
#[derive(Debug)]
pub(crate) struct Limited {
    nodes: AtomicU64,
    depth: AtomicU32,
    open_files: AtomicU64,
}

impl Limited {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: AtomicU64::new(u64::MAX),
            depth: AtomicU32::new(u32::MAX),
            open_files: AtomicU64::new(u64::MAX),
        }
    }

    pub(crate) fn set(&self, limits: Limits) {
        // Relaxed: numbers that nothing else goes by.
        self.nodes.store(limits.nodes, Ordering::Relaxed);
        self.depth.store(limits.depth, Ordering::Relaxed);
        self.open_files.store(limits.open_files, Ordering::Relaxed);
    }

    /// Whether a user may make a node while there are this many.
    pub(crate) fn check_nodes(&self, there_are: u64) -> Result<()> {
        match self.nodes.load(Ordering::Relaxed) {
            most if there_are >= most => {
                Err(Errno::EAGAIN.because(format!("the tree has {there_are} of {most} nodes")))
            }
            _ => Ok(()),
        }
    }

    /// The deepest level that users may make, if there is one.
    pub(crate) fn depth(&self) -> Option<u32> {
        Some(self.depth.load(Ordering::Relaxed)).filter(|most| *most != u32::MAX)
    }

    fn open_files(&self) -> Option<u64> {
        Some(self.open_files.load(Ordering::Relaxed)).filter(|most| *most != u64::MAX)
    }
}

/// How many files of a tree are open, or are being opened. Counted in several places, so that who opens different files
/// does not wait for the other's cache line.
#[derive(Debug)]
pub(crate) struct OpenFiles([Lane; LANES]);

const LANES: usize = 32;

#[repr(align(128))]
#[derive(Debug)]
struct Lane(AtomicU64);

impl OpenFiles {
    pub(crate) const fn new() -> Self {
        Self([const { Lane(AtomicU64::new(0)) }; LANES])
    }

    fn lane(&self, file: u64) -> &AtomicU64 {
        let [lane, ..] = file.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        &self.0[usize::from(lane) % LANES].0
    }

    /// How many.
    pub(crate) fn sum(&self) -> u64 {
        // SeqCst: see `add`.
        let counts = self.0.iter().map(|lane| lane.0.load(Ordering::SeqCst));
        // Not of one moment: a file may be counted and another one that was opened before it not.
        counts.fold(0, u64::wrapping_add)
    }

    /// One more, unless that were too many.
    pub(crate) fn add(&self, file: u64, limits: &Limited) -> Result<()> {
        // SeqCst, here and in `sum`: of those who are in at one moment the last to count itself sees all the others,
        // which counted themselves before and have not left. So too many never are; two who come at once to the last
        // place may both be refused.
        self.lane(file).fetch_add(1, Ordering::SeqCst);
        let Some(most) = limits.open_files() else {
            return Ok(());
        };
        if self.sum() > most {
            self.remove(file);
            return Err(Errno::ENFILE.because(format!("the tree has {most} open files, the most")));
        }
        Ok(())
    }

    /// One less.
    pub(crate) fn remove(&self, file: u64) {
        // Release: who counts himself in where this one left comes after its end.
        self.lane(file).fetch_sub(1, Ordering::Release);
    }
}

/// How many are doing something at this moment.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

/// Counted by a [`Gauge`] until it is dropped.
pub(crate) struct Counted<'a>(&'a Gauge);

impl Gauge {
    pub(crate) fn enter(&self) -> Counted<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Two who look before either has counted itself would both come in.
    #[test]
    fn never_more_than_the_limit_are_in_and_nobody_is_left_behind() {
        let (files, limits, inside) = (OpenFiles::new(), Limited::new(), AtomicU64::new(0));
        limits.set(Limits::NONE.open_files(2));
        thread::scope(|scope| {
            for file in 0..4 {
                let (files, limits, inside) = (&files, &limits, &inside);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if files.add(file, limits).is_ok() {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            files.remove(file);
                        }
                    }
                });
            }
        });
        assert_eq!(files.sum(), 0);
    }
}

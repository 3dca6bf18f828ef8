//! Callbacks that watch themselves, for several tests.
#![expect(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use kernfs::{Cx, Errno, File, Has, Node, OpenFile, Ops, PollFlags, Result, Seq};

/// What the callbacks of one [`Checked`] file have seen. Outlives the file.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) opens: AtomicUsize,
    pub(crate) releases: AtomicUsize,
    pub(crate) calls: AtomicUsize,
    /// Callbacks that run at this moment, `release` not counted.
    pub(crate) inside: AtomicUsize,
    /// Set by the test when `remove` has returned.
    pub(crate) poisoned: AtomicBool,
    /// Calls after that, and other faults.
    pub(crate) faults: AtomicUsize,
    /// The `Checked` objects that are alive.
    pub(crate) alive: AtomicUsize,
    pub(crate) value: AtomicU64,
}

impl Log {
    fn enter(&self) -> Inside<'_> {
        self.inside.fetch_add(1, SeqCst);
        self.calls.fetch_add(1, SeqCst);
        let inside = Inside(self);
        inside.check();
        inside
    }

    /// To be called after `remove` has returned.
    pub(crate) fn poison(&self) {
        if self.inside.load(SeqCst) != 0 {
            self.faults.fetch_add(1, SeqCst);
        }
        self.poisoned.store(true, SeqCst);
    }

    pub(crate) fn get(&self, counter: impl Fn(&Self) -> &AtomicUsize) -> usize {
        counter(self).load(SeqCst)
    }
}

struct Inside<'a>(&'a Log);

impl Inside<'_> {
    fn check(&self) {
        if self.0.poisoned.load(SeqCst) {
            self.0.faults.fetch_add(1, SeqCst);
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.check();
        self.0.inside.fetch_sub(1, SeqCst);
    }
}

/// A file with all callbacks that counts and checks.
#[derive(Debug)]
pub(crate) struct Checked(Arc<Log>);

impl Checked {
    pub(crate) fn new() -> (Self, Arc<Log>) {
        let log = Arc::new(Log::default());
        log.alive.store(1, SeqCst);
        (Self(Arc::clone(&log)), log)
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
    }
}

/// One open file: no callback may run in it after its release.
#[derive(Debug, Default)]
pub(crate) struct PerOpen {
    busy: AtomicUsize,
    released: AtomicBool,
}

impl PerOpen {
    fn run<R>(&self, log: &Log, f: impl FnOnce() -> R) -> R {
        let _inside = log.enter();
        if self.released.load(SeqCst) || self.busy.fetch_add(1, SeqCst) != 0 {
            log.faults.fetch_add(1, SeqCst);
        }
        let result = f();
        if self.busy.fetch_sub(1, SeqCst) != 1 || self.released.load(SeqCst) {
            log.faults.fetch_add(1, SeqCst);
        }
        result
    }
}

impl Ops for Checked {
    const HAS: Has = Has::SHOW
        .with(Has::WRITE)
        .with(Has::RELEASE)
        .with(Has::POLL);
    type Open = PerOpen;

    fn open(&self, _: &mut Cx<'_>) -> Result<PerOpen> {
        let _inside = self.0.enter();
        self.0.opens.fetch_add(1, SeqCst);
        Ok(PerOpen::default())
    }

    fn show(&self, _: &mut Cx<'_>, open: &PerOpen, seq: &mut Seq) -> Result<()> {
        open.run(&self.0, || {
            writeln!(seq, "{}", self.0.value.load(SeqCst));
        });
        Ok(())
    }

    fn write(&self, _: &mut Cx<'_>, open: &PerOpen, data: &[u8], _: u64) -> Result<usize> {
        open.run(&self.0, || self.0.value.fetch_add(1, SeqCst));
        Ok(data.len())
    }

    fn poll(&self, _: &mut Cx<'_>, open: &PerOpen, generic: PollFlags) -> PollFlags {
        let _inside = self.0.enter();
        if open.released.load(SeqCst) {
            self.0.faults.fetch_add(1, SeqCst);
        }
        generic
    }

    fn release(&self, _: &mut Cx<'_>, open: &PerOpen) {
        // Exactly once, not beside another callback of the same open file, before remove returns.
        let busy = open.busy.load(SeqCst) != 0;
        if open.released.swap(true, SeqCst) || busy || self.0.poisoned.load(SeqCst) {
            self.0.faults.fetch_add(1, SeqCst);
        }
        self.0.releases.fetch_add(1, SeqCst);
    }
}

/// The errno of what must have failed.
#[track_caller]
pub(crate) fn errno<T>(result: Result<T>) -> Errno {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error.errno(),
    }
}

/// The whole text of a file, read at offset 0.
#[track_caller]
pub(crate) fn text(open: &OpenFile) -> String {
    let mut buffer = vec![0; 1 << 16];
    let n = open.read_at(&mut buffer, 0).unwrap();
    String::from_utf8(buffer[..n].to_vec()).unwrap()
}

/// A node as the file it is.
#[track_caller]
pub(crate) fn file(node: Option<Node>) -> File {
    node.and_then(|n| n.as_file()).expect("a file")
}

/// xorshift64: a sequence that is the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// How often to do something: `n`, times `KERNFS_ROUNDS` if that is set.
pub(crate) fn rounds(n: usize) -> usize {
    let factor = std::env::var("KERNFS_ROUNDS").ok();
    n * factor.map_or(1, |factor| {
        factor.parse().expect("KERNFS_ROUNDS is a number")
    })
}

/// Sets a flag when dropped: also if the test fails, so that the threads that look at it end, and the failure is told.
#[derive(Debug)]
pub(crate) struct Sets<'a>(pub(crate) &'a AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What a panic throws, and panics itself when it is dropped.
pub(crate) struct Bomb;

impl Bomb {
    pub(crate) fn throw() -> ! {
        std::panic::resume_unwind(Box::new(Self))
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        Self::throw();
    }
}

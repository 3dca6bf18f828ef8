//! Open files, as far as they need not know the node.
//!
//! The kernel's `kernfs_open_file`. Unlike in the kernel, `release` runs without the hashed mutex; a state with a
//! claim takes its place ([`crate::life`]).

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::io::SeekFrom;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::active::Active;
use crate::cred::{Caller, Cred};
use crate::cx::{Counted, Cx};
use crate::error::Result;
use crate::flags::{Has, OpenFlags, PollFlags};
use crate::guarded::guarded;
use crate::held::{self, Held};
use crate::life::{Claim, Life};
use crate::memory::Memory;
use crate::order;
use crate::reader::Reader;
use crate::records::Start;
use crate::seq::Seq;
use crate::slow::{self, Op};

/// What the operations of an open file work with, one at a time.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) reader: Reader,
    /// With [`Has::PREALLOC`]: `atomic_write_len` bytes, or a page. Else empty.
    pub(crate) prealloc: Vec<u8>,
}

/// The lock of [`Opened::lock`] is held.
#[derive(Debug)]
pub(crate) struct IoGuard<'a> {
    io: MutexGuard<'a, Io>,
    _order: order::InFile,
}

impl Deref for IoGuard<'_> {
    type Target = Io;
    fn deref(&self) -> &Io {
        &self.io
    }
}

impl DerefMut for IoGuard<'_> {
    fn deref_mut(&mut self) -> &mut Io {
        &mut self.io
    }
}

/// One open file: its [`Ops`] and what their `open` returned.
pub(crate) trait AnyOpen: Send + Sync {
    fn show(&self, cx: &mut Cx<'_>, seq: &mut Seq) -> Result<()>;
    fn read(&self, cx: &mut Cx<'_>, buffer: &mut [u8], offset: u64) -> Result<usize>;
    fn write(&self, cx: &mut Cx<'_>, data: &[u8], offset: u64) -> Result<usize>;
    fn start<'a>(&'a self, cx: &mut Cx<'_>, position: u64) -> Result<Option<Start<'a>>>;
    fn llseek(&self, cx: &mut Cx<'_>, position: u64, to: SeekFrom) -> Result<u64>;
    fn mmap(&self, cx: &mut Cx<'_>, offset: u64, len: u64, flags: OpenFlags) -> Result<Memory>;
    fn poll(&self, cx: &mut Cx<'_>, generic: PollFlags) -> PollFlags;
    fn release(&self, cx: &mut Cx<'_>);
}

/// What an open file is made of beside its callbacks.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) flags: OpenFlags,
    /// `None`: this process.
    pub(crate) opener: Option<Cred>,
    pub(crate) has: Has,
    /// See [`Io`].
    pub(crate) prealloc: Vec<u8>,
}

/// One open file, in one piece with what the owner's `open` returned.
pub(crate) struct Opened<F: ?Sized = dyn AnyOpen> {
    pub(crate) flags: OpenFlags,
    /// `None`: this process.
    pub(crate) opener: Option<Cred>,
    pub(crate) has: Has,
    /// Serialises the callbacks that move data. The kernel's `of->mutex`, the lock of its seq buffer, and its
    /// `prealloc_mutex`.
    io: Mutex<Io>,
    /// Debug builds: a number of its own.
    pub(crate) serial: u64,
    /// The event that the last read has seen.
    pub(crate) seen: AtomicU32,
    pub(crate) life: Life,
    /// Where it stands in the open node's list.
    pub(crate) index: AtomicUsize,
    /// The open file and its mappings; the last one to go closes it.
    pub(crate) handles: AtomicUsize,
    /// What it has mapped; the same for all its mappings.
    pub(crate) memory: OnceLock<Memory>,
    /// A descriptor of that was given to somebody.
    pub(crate) shares: AtomicBool,
    pub(crate) file: F,
}

impl<F> Opened<F> {
    #[inline]
    pub(crate) fn new(seat: Seat, file: F) -> Self {
        let Seat {
            flags,
            opener,
            has,
            prealloc,
        } = seat;
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let serial = match cfg!(debug_assertions) {
            true => SERIAL.fetch_add(1, Ordering::Relaxed),
            false => 0,
        };
        let reader = Reader::new();
        Self {
            serial,
            flags,
            opener,
            has,
            io: Mutex::new(Io { reader, prealloc }),
            seen: AtomicU32::new(0),
            life: Life::new(),
            index: AtomicUsize::new(0),
            handles: AtomicUsize::new(1),
            memory: OnceLock::new(),
            shares: AtomicBool::new(false),
            file,
        }
    }
}

impl Opened {
    /// Takes the lock of the callbacks that move data.
    pub(crate) fn lock(&self, this: order::Use, host: &dyn Counted) -> IoGuard<'_> {
        let order = order::file(this, || host.path());
        IoGuard {
            io: self.io.lock().unwrap_or_else(PoisonError::into_inner),
            _order: order,
        }
    }

    pub(crate) fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// Whether the file was released, or is being.
    pub(crate) fn is_dead(&self) -> bool {
        self.life.is_over()
    }

    /// `active`: the reference of the operation, if the callback may give it up.
    pub(crate) fn cx<'a>(
        &'a self,
        host: &'a dyn Counted,
        caller: Caller<'a>,
        active: Option<&'a Active<'a>>,
    ) -> Cx<'a> {
        Cx {
            host,
            flags: self.flags,
            opener: self.opener,
            caller,
            active,
        }
    }

    /// Brings the file to its end: runs `release` if this thread is the one that claims it, else waits for
    /// the thread that did. No other callback of the file runs: it is being closed, or its node is drained.
    pub(crate) fn release(self: &Arc<Self>, host: &dyn Counted, place: &'static Location<'static>) {
        if !self.has.contains(Has::RELEASE) {
            return; // no drain claims it
        }
        match self.life.claim() {
            Claim::Ours => self.run_release(host, place),
            Claim::Theirs => self.wait_released(host, place),
            Claim::Nothing => {}
        }
    }

    /// Runs `release`. The caller has claimed the file.
    pub(crate) fn run_release(
        self: &Arc<Self>,
        host: &dyn Counted,
        place: &'static Location<'static>,
    ) {
        if self.has.contains(Has::RELEASE) {
            let _scope = held::enter(Held {
                node: host.address(),
                file: self.address(),
                op: Op::Release,
                place,
                given_up: false,
            });
            // A panic was reported; there is nobody to give the error to.
            let _ = guarded("release", host, || {
                self.file
                    .release(&mut self.cx(host, Caller::default(), None));
            });
        }
        self.life.end();
    }

    /// Waits for the thread that has claimed the file, if one has.
    pub(crate) fn wait_released(
        self: &Arc<Self>,
        host: &dyn Counted,
        place: &'static Location<'static>,
    ) {
        // `release` may drop the last handle of its own file: it would wait for itself.
        let address = self.address();
        if held::find(|h| h.file == address && h.op == Op::Release).is_some() {
            return;
        }
        let period = slow::period(self.has.contains(Has::MAY_BLOCK));
        self.life.wait(period, |waited| {
            slow::report(host.address(), host.path(), place, waited);
        });
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("flags", &self.flags)
            .field("dead", &self.is_dead())
            .finish()
    }
}

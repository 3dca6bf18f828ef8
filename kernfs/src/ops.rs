//! What a file can do: the callbacks of its owner, and how they are called.
//!
//! The kernel's `struct kernfs_ops`. [`Ops`] is what a user writes; the rest of the crate sees it without
//! its type ([`AnyOps`], and [`AnyOpen`] for one open file). Every call goes through [`guarded`]: a panic
//! of a callback becomes EIO and a line on stderr.

use core::fmt;
use std::io::SeekFrom;
use std::sync::Arc;

use crate::cx::Cx;
use crate::error::{Errno, Result};
use crate::flags::{Has, OpenFlags, PollFlags};
pub(crate) use crate::guarded::{guarded, transferred};
use crate::memory::Memory;
use crate::opened::{AnyOpen, Opened, Seat};
use crate::records::Start;
use crate::seq::Seq;

/// The callbacks of a file.
///
/// All but `release` run under an active reference of the node: while one runs, removal of the node
/// waits, and once [`Node::remove`](crate::Node::remove) has returned none runs and none will. `show`,
/// `start`, `read`, `write` and `llseek` of one open file never run at the same time; those of two open
/// files do. Callbacks run on the thread that called the operation, hold no lock of this crate but the open
/// file's own, and may block.
///
/// A callback that panics fails with EIO, as does one that claims to have read or written more than it
/// was given.
///
/// ```
/// use kernfs::{Cx, Errno, Has, OpenFlags, Ops, Result, Root, Seq};
/// use std::sync::Mutex;
///
/// struct Greeting(Mutex<String>);
///
/// impl Ops for Greeting {
///     const HAS: Has = Has::SHOW.with(Has::WRITE);
///     type Open = ();
///
///     fn open(&self, _: &mut Cx<'_>) -> Result<()> {
///         Ok(())
///     }
///     fn show(&self, _: &mut Cx<'_>, _: &(), seq: &mut Seq) -> Result<()> {
///         writeln!(seq, "{}", self.0.lock().unwrap());
///         Ok(())
///     }
///     fn write(&self, cx: &mut Cx<'_>, _: &(), data: &[u8], _: u64) -> Result<usize> {
///         let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
///         *self.0.lock().unwrap() = text.trim_end().to_owned();
///         cx.notify();
///         Ok(data.len())
///     }
/// }
///
/// let root = Root::new();
/// let file = root.create_file("greeting", 0o644, 0, Greeting(Mutex::default()))?;
/// let open = file.open(OpenFlags::RDWR)?;
/// open.write_at(b"hello\n", 0)?;
/// let mut text = [0; 64];
/// let n = open.read_at(&mut text, 0)?;
/// assert_eq!(&text[..n], b"hello\n");
/// # Ok::<(), kernfs::Error>(())
/// ```
#[doc(alias = "kernfs_ops")]
pub trait Ops: Send + Sync + 'static {
    /// Which of the callbacks there are. A callback that is not named here is never called.
    const HAS: Has;

    /// What belongs to one open file; dropped with it. `()` if nothing does.
    type Open: Send + Sync + 'static;

    /// The longest write that is handed over in one piece; more is E2BIG. 0: writes are cut to 4096 bytes.
    /// Asked at each open. With [`Has::PREALLOC`] also the size of the buffer, which reads are cut to.
    ///
    /// Through a mount more than 1 MiB less 4096 bytes is E2BIG whatever this says, and each 256 buffers of a writev(2) are
    /// a write of their own.
    fn atomic_write_len(&self) -> usize {
        0
    }

    /// A file is being opened. An error is what the opener gets; `release` is then not called.
    ///
    /// # Errors
    /// Whatever the owner wants to answer.
    fn open(&self, cx: &mut Cx<'_>) -> Result<Self::Open>;

    /// Writes the whole text of the file. See [`Seq`].
    ///
    /// # Errors
    /// The reader gets the error; nothing of the text is shown.
    #[doc(alias = "seq_show")]
    fn show(&self, cx: &mut Cx<'_>, open: &Self::Open, seq: &mut Seq) -> Result<()> {
        let _ = (cx, open, seq);
        Err(Errno::EINVAL.into())
    }

    /// Begins to read a file of many records: at the record at `position`, or the first one behind it if there
    /// is none; and tells the position of that record. `None`: there is none behind it either. The first call is
    /// for 0. See [`Records`](crate::Records); [`lines`](crate::lines) makes them of an iterator.
    ///
    /// # Errors
    /// The reader gets the error.
    #[doc(alias = "seq_start")]
    fn start<'a>(
        &'a self,
        cx: &mut Cx<'_>,
        open: &'a Self::Open,
        position: u64,
    ) -> Result<Option<Start<'a>>> {
        let _ = (cx, open, position);
        Err(Errno::EINVAL.into())
    }

    /// Reads up to `buffer.len()` bytes (at most 4096) at `offset`.
    ///
    /// # Errors
    /// The reader gets the error.
    fn read(
        &self,
        cx: &mut Cx<'_>,
        open: &Self::Open,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<usize> {
        let _ = (cx, open, buffer, offset);
        Err(Errno::EINVAL.into())
    }

    /// Takes what was written, in one piece, also when it is empty. `offset` is what the writer said; text
    /// attributes ignore it.
    ///
    /// # Errors
    /// The writer gets the error.
    fn write(&self, cx: &mut Cx<'_>, open: &Self::Open, data: &[u8], offset: u64) -> Result<usize> {
        let _ = (cx, open, data, offset);
        Err(Errno::EINVAL.into())
    }

    /// Moves the position of an open file, which is `position` now, and returns the new one. Without it
    /// seeking is arithmetic, and the end is the size that stat shows.
    ///
    /// # Errors
    /// The caller gets the error; the position stays.
    fn llseek(
        &self,
        cx: &mut Cx<'_>,
        open: &Self::Open,
        position: u64,
        to: SeekFrom,
    ) -> Result<u64> {
        let _ = (cx, open, position, to);
        Err(Errno::EINVAL.into())
    }

    /// Gives out memory to be mapped: `len` bytes at `offset` are wanted, for what `flags` says. All mappings
    /// of one open file must get the same.
    ///
    /// # Errors
    /// The caller gets the error.
    fn mmap(
        &self,
        cx: &mut Cx<'_>,
        open: &Self::Open,
        offset: u64,
        len: u64,
        flags: OpenFlags,
    ) -> Result<Memory> {
        let _ = (cx, open, offset, len, flags);
        Err(Errno::ENODEV.into())
    }

    /// What poll answers; `generic` is what it would answer without this callback. May run in parallel
    /// with the others.
    fn poll(&self, cx: &mut Cx<'_>, open: &Self::Open, generic: PollFlags) -> PollFlags {
        let _ = (cx, open);
        generic
    }

    /// The open file is closed, or its node is being removed: whichever comes first, exactly once for each
    /// `open` that succeeded, after the last other callback of this open file. No active reference is held
    /// and no lock.
    fn release(&self, cx: &mut Cx<'_>, open: &Self::Open) {
        let _ = (cx, open);
    }

    #[doc(hidden)]
    fn into_shared(self) -> SharedOps
    where
        Self: Sized,
    {
        SharedOps(Arc::new(self))
    }
}

/// What a node keeps of its owner.
#[doc(hidden)]
pub struct SharedOps(pub(crate) Arc<dyn AnyOps>);

impl fmt::Debug for SharedOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedOps").field(&self.0.any_has()).finish()
    }
}

/// One owner's object may serve many files, which share it.
impl<O: Ops> Ops for Arc<O> {
    const HAS: Has = O::HAS;
    type Open = O::Open;

    fn atomic_write_len(&self) -> usize {
        O::atomic_write_len(self)
    }
    fn open(&self, cx: &mut Cx<'_>) -> Result<Self::Open> {
        O::open(self, cx)
    }
    fn show(&self, cx: &mut Cx<'_>, open: &Self::Open, seq: &mut Seq) -> Result<()> {
        O::show(self, cx, open, seq)
    }
    fn read(
        &self,
        cx: &mut Cx<'_>,
        open: &Self::Open,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<usize> {
        O::read(self, cx, open, buffer, offset)
    }
    fn write(&self, cx: &mut Cx<'_>, open: &Self::Open, data: &[u8], offset: u64) -> Result<usize> {
        O::write(self, cx, open, data, offset)
    }
    fn start<'a>(
        &'a self,
        cx: &mut Cx<'_>,
        open: &'a Self::Open,
        position: u64,
    ) -> Result<Option<Start<'a>>> {
        O::start(self, cx, open, position)
    }
    fn llseek(
        &self,
        cx: &mut Cx<'_>,
        open: &Self::Open,
        position: u64,
        to: SeekFrom,
    ) -> Result<u64> {
        O::llseek(self, cx, open, position, to)
    }
    fn mmap(
        &self,
        cx: &mut Cx<'_>,
        open: &Self::Open,
        offset: u64,
        len: u64,
        flags: OpenFlags,
    ) -> Result<Memory> {
        O::mmap(self, cx, open, offset, len, flags)
    }
    fn poll(&self, cx: &mut Cx<'_>, open: &Self::Open, generic: PollFlags) -> PollFlags {
        O::poll(self, cx, open, generic)
    }
    fn release(&self, cx: &mut Cx<'_>, open: &Self::Open) {
        O::release(self, cx, open);
    }
    fn into_shared(self) -> SharedOps {
        SharedOps(self)
    }
}

/// [`Ops`] without its type.
pub(crate) trait AnyOps: Send + Sync {
    fn any_has(&self) -> Has;
    fn any_atomic_write_len(&self) -> usize;
    /// Runs `open`; the open file has its place in `seat`.
    fn any_open(self: Arc<Self>, cx: &mut Cx<'_>, seat: Seat) -> Result<Arc<Opened>>;
    /// What the file is, for who reads its number among many.
    fn any_help(&self) -> Option<&'static str> {
        None
    }
}

/// What an open file calls.
struct Callbacks<O: Ops> {
    open: O::Open,
    ops: Arc<O>,
}

impl<O: Ops> AnyOps for O {
    fn any_has(&self) -> Has {
        O::HAS
    }
    fn any_atomic_write_len(&self) -> usize {
        self.atomic_write_len()
    }
    fn any_open(self: Arc<Self>, cx: &mut Cx<'_>, seat: Seat) -> Result<Arc<Opened>> {
        let open = self.open(cx)?;
        Ok(Arc::new(Opened::new(seat, Callbacks { open, ops: self })))
    }
}

impl<O: Ops> AnyOpen for Callbacks<O> {
    fn show(&self, cx: &mut Cx<'_>, seq: &mut Seq) -> Result<()> {
        self.ops.show(cx, &self.open, seq)
    }
    fn read(&self, cx: &mut Cx<'_>, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.ops.read(cx, &self.open, buffer, offset)
    }
    fn write(&self, cx: &mut Cx<'_>, data: &[u8], offset: u64) -> Result<usize> {
        self.ops.write(cx, &self.open, data, offset)
    }
    fn start<'a>(&'a self, cx: &mut Cx<'_>, position: u64) -> Result<Option<Start<'a>>> {
        self.ops.start(cx, &self.open, position)
    }
    fn llseek(&self, cx: &mut Cx<'_>, position: u64, to: SeekFrom) -> Result<u64> {
        self.ops.llseek(cx, &self.open, position, to)
    }
    fn mmap(&self, cx: &mut Cx<'_>, offset: u64, len: u64, flags: OpenFlags) -> Result<Memory> {
        self.ops.mmap(cx, &self.open, offset, len, flags)
    }
    fn poll(&self, cx: &mut Cx<'_>, generic: PollFlags) -> PollFlags {
        self.ops.poll(cx, &self.open, generic)
    }
    fn release(&self, cx: &mut Cx<'_>) {
        self.ops.release(cx, &self.open);
    }
}

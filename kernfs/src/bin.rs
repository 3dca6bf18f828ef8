//! Binary attributes: bytes at offsets, and memory that may be mapped. sysfs's `bin_attribute`.

use core::fmt;
use std::io::SeekFrom;
use std::sync::Arc;

use crate::attr::Attr;
use crate::cx::Cx;
use crate::error::{Errno, Result};
use crate::flags::{Has, OpenFlags, PollFlags};
use crate::memory::Memory;
use crate::opened::{AnyOpen, Opened, Seat};
use crate::ops::AnyOps;
use crate::records::Start;
use crate::seq::Seq;

type Read = Arc<dyn Fn(&mut [u8], u64) -> Result<usize> + Send + Sync>;
type Write = Arc<dyn Fn(&[u8], u64) -> Result<usize> + Send + Sync>;

/// A binary attribute to be; made by [`bin`], given to [`Dir::attr`](crate::Dir::attr).
#[must_use = "give it to Dir::attr"]
#[derive(Clone)]
#[doc(alias = "bin_attribute")]
pub struct Bin {
    size: u64,
    read: Option<Read>,
    write: Option<Write>,
    memory: Option<Memory>,
}

/// A binary attribute of `size` bytes; 0: without an end. Its mode is 0444, 0200 or 0644, as it can be read,
/// written or both.
///
/// ```
/// use kernfs::{OpenFlags, Root, bin};
///
/// let firmware = [7_u8; 1000];
/// let root = Root::new();
/// let file = root.attr("firmware", bin(1000).read(move |buffer, offset| {
///     // Never called beyond the end, nor for more than is left.
///     let from = offset as usize;
///     buffer.copy_from_slice(&firmware[from..from + buffer.len()]);
///     Ok(buffer.len())
/// }))?;
/// let mut buffer = [0; 100];
/// assert_eq!(file.open(OpenFlags::READ)?.read_at(&mut buffer, 990)?, 10);
/// # Ok::<(), kernfs::Error>(())
/// ```
#[doc(alias = "BIN_ATTR")]
#[doc(alias = "sysfs_create_bin_file")]
pub fn bin(size: u64) -> Bin {
    Bin {
        size,
        read: None,
        write: None,
        memory: None,
    }
}

impl Bin {
    /// How it is read: as [`Ops::read`](crate::Ops::read), at most 4096 bytes a call, never beyond the size.
    pub fn read(
        self,
        read: impl Fn(&mut [u8], u64) -> Result<usize> + Send + Sync + 'static,
    ) -> Self {
        Self {
            read: Some(Arc::new(read)),
            ..self
        }
    }

    /// How it is written: as [`Ops::write`](crate::Ops::write), at most 4096 bytes a call, never beyond the
    /// size: what would begin there is EFBIG.
    pub fn write(
        self,
        write: impl Fn(&[u8], u64) -> Result<usize> + Send + Sync + 'static,
    ) -> Self {
        Self {
            write: Some(Arc::new(write)),
            ..self
        }
    }

    /// Lets it be mapped. What has no callback of its own reads and writes this memory too.
    ///
    /// ```
    /// use kernfs::{Memory, OpenFlags, Root, bin};
    ///
    /// let frame = Memory::new(4096)?;
    /// let root = Root::new();
    /// let file = root.attr("frame", bin(4096).memory(frame.clone()))?;
    /// let open = file.open(OpenFlags::RDWR)?;
    /// open.write_at(b"pixel", 100)?;
    /// let mapping = open.mmap(0, 4096, OpenFlags::READ)?;
    /// let mut pixel = [0; 5];
    /// mapping.read_at(&mut pixel, 100)?;
    /// assert_eq!(&pixel, b"pixel");
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    pub fn memory(self, memory: Memory) -> Self {
        let (source, target) = (memory.clone(), memory.clone());
        let read: Read = Arc::new(move |buffer, offset| source.read_at(buffer, offset));
        let write: Write = Arc::new(move |data, offset| {
            target.write_at(data, offset)?;
            Ok(data.len())
        });
        Self {
            read: self.read.or(Some(read)),
            write: self.write.or(Some(write)),
            memory: Some(memory),
            ..self
        }
    }

    fn has(&self) -> Has {
        let mut has = Has::NONE;
        for (there, flag) in [
            (self.read.is_some(), Has::READ),
            (self.write.is_some(), Has::WRITE),
            (self.memory.is_some(), Has::MMAP),
        ] {
            if there {
                has = has | flag;
            }
        }
        has
    }

    /// How many of `len` bytes at `offset` there are.
    fn clip(&self, len: usize, offset: u64) -> usize {
        match self.size {
            0 => len,
            size => {
                let left = size.saturating_sub(offset);
                usize::try_from(left).map_or(len, |left| left.min(len))
            }
        }
    }
}

impl From<Bin> for Attr {
    fn from(bin: Bin) -> Self {
        let mode = match (bin.read.is_some(), bin.write.is_some()) {
            (true, true) => 0o644,
            (false, true) => 0o200,
            _ => 0o444,
        };
        Self::new(mode, bin.size, Arc::new(bin))
    }
}

// Not by `Ops`, whose `HAS` is one for a type.
impl AnyOps for Bin {
    fn any_has(&self) -> Has {
        self.has()
    }
    fn any_atomic_write_len(&self) -> usize {
        0
    }
    fn any_open(self: Arc<Self>, _: &mut Cx<'_>, seat: Seat) -> Result<Arc<Opened>> {
        Ok(Arc::new(Opened::new(seat, OpenBin(self))))
    }
}

struct OpenBin(Arc<Bin>);

impl AnyOpen for OpenBin {
    fn read(&self, _: &mut Cx<'_>, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let n = self.0.clip(buffer.len(), offset);
        match &self.0.read {
            _ if n == 0 => Ok(0),
            Some(read) => read(&mut buffer[..n], offset),
            None => Err(Errno::EIO.into()),
        }
    }
    fn write(&self, _: &mut Cx<'_>, data: &[u8], offset: u64) -> Result<usize> {
        let n = self.0.clip(data.len(), offset);
        if n == 0 && !data.is_empty() {
            return Err(Errno::EFBIG.because(format!("write at {offset} of {}", self.0.size)));
        }
        match &self.0.write {
            _ if n == 0 => Ok(0),
            Some(write) => write(&data[..n], offset),
            None => Err(Errno::EIO.into()),
        }
    }
    fn mmap(&self, _: &mut Cx<'_>, offset: u64, len: u64, _: OpenFlags) -> Result<Memory> {
        let memory = self.0.memory.as_ref().ok_or(Errno::ENODEV)?;
        // Whole pages may be mapped, as far as there is anything.
        let pages = memory.len().next_multiple_of(4096);
        if offset.checked_add(len).is_none_or(|end| end > pages) {
            return Err(Errno::EINVAL.because(format!("mapping of {len} bytes at {offset}")));
        }
        Ok(memory.clone())
    }
    fn show(&self, _: &mut Cx<'_>, _: &mut Seq) -> Result<()> {
        Err(Errno::EINVAL.into())
    }
    fn start<'a>(&'a self, _: &mut Cx<'_>, _: u64) -> Result<Option<Start<'a>>> {
        Err(Errno::EINVAL.into())
    }
    fn llseek(&self, _: &mut Cx<'_>, _: u64, _: SeekFrom) -> Result<u64> {
        Err(Errno::EINVAL.into())
    }
    fn poll(&self, _: &mut Cx<'_>, generic: PollFlags) -> PollFlags {
        generic
    }
    fn release(&self, _: &mut Cx<'_>) {}
}

impl fmt::Debug for Bin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bin")
            .field("size", &self.size)
            .field("has", &self.has())
            .finish()
    }
}

//! Mapping a file. The kernel's `kernfs_fop_mmap` and the operations that it puts around the owner's.

use core::fmt;
use std::os::fd::OwnedFd;

use crate::cred::Caller;
use crate::error::{Errno, Result};
use crate::flags::{Has, OpenFlags};
use crate::memory::Memory;
use crate::open::{Handle, OpenFile};
use crate::path;
use crate::slow::Op;

/// What mappings begin and end at multiples of.
const PAGE: u64 = 4096;

/// A part of a file's memory, until the node is removed or hidden.
///
/// Reads and writes copy, each under an active reference: removal waits for those that run, and from then
/// on they are ENODEV. It keeps the file open: `release` comes when the open file and all its mappings are
/// gone, or at the removal.
pub struct Mapping {
    handle: Handle,
    memory: Memory,
    flags: OpenFlags,
    offset: u64,
    len: u64,
    /// How often the node had been drained.
    drains: u32,
}

impl OpenFile {
    /// mmap(2), shared: `len` bytes at `offset` of the memory that the file gives out. `flags` is what for:
    /// `READ`, or `RDWR`.
    ///
    /// # Errors
    /// ENODEV: the file cannot be mapped, or the node is gone. EINVAL: a length of 0, an `offset` that is no
    /// multiple of 4096, both together beyond 2^63 - 1; or the callback gave out another [`Memory`] than for
    /// an earlier mapping of this open file. EACCES: not open for that. EDEADLK, EIO: as
    /// [`read_at`](Self::read_at). And what the callback returns.
    #[doc(alias = "kernfs_fop_mmap")]
    #[track_caller]
    pub fn mmap(&self, offset: u64, len: u64, flags: OpenFlags) -> Result<Mapping> {
        let handle = &self.handle;
        let of = &handle.of;
        let fails = |errno: Errno| path::error(errno, "mmap", &handle.node);
        if !of.has.contains(Has::MMAP) {
            return Err(fails(Errno::ENODEV));
        }
        let end = offset
            .checked_add(len)
            .filter(|end| i64::try_from(*end).is_ok());
        if len == 0 || !offset.is_multiple_of(PAGE) || end.is_none() {
            return Err(fails(Errno::EINVAL));
        }
        // A mapping that can be written can be read.
        let wanted = flags | OpenFlags::READ;
        if !of.flags.contains(wanted) {
            return Err(fails(Errno::EACCES));
        }
        let call = self.call(Caller::default());
        let _io = call.lock("mmap")?;
        let active = handle.active("mmap")?;
        // Under the reference: a drain comes later, and counts.
        let drains = handle.drains();
        let memory = call.run_active(Op::Mmap, &active, |file, cx| {
            file.mmap(cx, offset, len, flags)
        })??;
        let first = of.memory.get_or_init(|| memory.clone());
        if !first.is(&memory) {
            return Err(fails(Errno::EINVAL));
        }
        Ok(Mapping {
            handle: handle.clone(),
            memory,
            flags: wanted,
            offset,
            len,
            drains,
        })
    }
}

impl Mapping {
    /// Runs `f` under an active reference, unless the mapping was revoked.
    fn access<R>(&self, what: &str, f: impl FnOnce() -> Result<R>) -> Result<R> {
        let _active = self.handle.active(what)?;
        if self.handle.drains() != self.drains {
            return Err(self.handle.gone(what));
        }
        f()
    }

    /// Copies bytes out; tells how many there are until the end of the mapping or of the memory.
    ///
    /// # Errors
    /// ENODEV: the node is gone, or was hidden.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize> {
        self.access("access to a mapping", || {
            let left = self.len.saturating_sub(at);
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            match self.offset.checked_add(at) {
                Some(at) => self.memory.read_at(&mut buffer[..most], at),
                None => Ok(0),
            }
        })
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// ENODEV: the node is gone, or was hidden. EACCES: mapped for reading. EFBIG: they would reach beyond
    /// the end.
    pub fn write_at(&self, data: &[u8], at: u64) -> Result<()> {
        let fails = |errno: Errno| path::error(errno, "write to a mapping", &self.handle.node);
        if !self.flags.contains(OpenFlags::WRITE) {
            return Err(fails(Errno::EACCES));
        }
        let end = at.checked_add(data.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(fails(Errno::EFBIG));
        }
        self.access("access to a mapping", || {
            self.memory.write_at(data, self.offset + at)
        })
    }

    /// A descriptor that another process may map: of the whole memory, so at the offsets of the file. For
    /// reading only, if the mapping is; but who may open `/proc/self/fd` for writing gets more.
    ///
    /// When the node is removed or hidden, or the last open file that gave out this memory is closed, it is
    /// cut to nothing: reads give nothing, mapped pages SIGBUS.
    ///
    /// # Errors
    /// ENODEV: the node is gone, or was hidden. EMFILE and the like: no descriptor.
    pub fn share(&self) -> Result<OwnedFd> {
        self.access("sharing of a mapping", || {
            self.memory.share(self.flags, &self.handle.of.shares)
        })
    }

    /// How many bytes were mapped.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> u64 {
        self.len
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("offset", &self.offset)
            .field("len", &self.len)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

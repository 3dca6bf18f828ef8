//! What read, write and seek do on an open file.
//!
//! The kernel's `kernfs_fop_read_iter`, `_write_iter`, `_llseek`. Polling stands in [`crate::poll`].

use core::panic::Location;
use std::io::{self, IoSlice, SeekFrom};

use crate::active::Active;
use crate::cred::Caller;
use crate::cx::Cx;
use crate::error::{Errno, Result};
use crate::flags::{Has, OpenFlags};
use crate::held::{self, Held};
use crate::open::{OpenFile, PAGE};
use crate::opened::{AnyOpen, IoGuard};
use crate::ops::{guarded, transferred};
use crate::order;
use crate::path;
use crate::reader::{Source, Walk};
use crate::records::Records;
use crate::seq::Seq;
use crate::slow::Op;

/// One call of an operation.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    open: &'a OpenFile,
    caller: Caller<'a>,
    place: &'static Location<'static>,
}

impl<'a> Call<'a> {
    /// Runs a callback under an active reference.
    fn run<R>(
        &self,
        op: Op,
        callback: impl FnOnce(&'a dyn AnyOpen, &mut Cx<'_>) -> R,
    ) -> Result<R> {
        let active = self.open.handle.active(op.name())?;
        self.run_active(op, &active, callback)
    }

    pub(crate) fn run_active<R>(
        &self,
        op: Op,
        active: &Active<'_>,
        callback: impl FnOnce(&'a dyn AnyOpen, &mut Cx<'_>) -> R,
    ) -> Result<R> {
        let open = self.open;
        let _scope = held::enter(Held {
            node: open.handle.node.address(),
            file: open.handle.of.address(),
            op,
            place: self.place,
            // Another callback of this pass may have forgotten to take it back.
            given_up: active.is_given_up(),
        });
        guarded(op.name(), &*open.handle.node, || {
            callback(
                &open.handle.of.file,
                &mut open
                    .handle
                    .of
                    .cx(&*open.handle.node, self.caller, Some(active)),
            )
        })
    }

    /// The lock that serialises a file's reads and writes. A callback of this very file would wait for
    /// itself.
    pub(crate) fn lock(&self, op: &'static str) -> Result<IoGuard<'a>> {
        let open = self.open;
        open.handle.node.tree.check(op)?;
        let address = open.handle.of.address();
        if let Some(inside) = held::find(|h| h.file == address) {
            return Err(path::error(
                Errno::EDEADLK,
                &format!(
                    "{op} at {} inside {}, called at {},",
                    self.place, inside.op, inside.place
                ),
                &open.handle.node,
            ));
        }
        let this = order::Use {
            file: open.handle.of.serial,
            op,
            place: self.place,
        };
        Ok(open.handle.of.lock(this, &*open.handle.node))
    }

    fn check(&self, op: &str, wanted: OpenFlags, offset: u64) -> Result<()> {
        if !self.open.handle.of.flags.contains(wanted) {
            return Err(path::error(Errno::EBADF, op, &self.open.handle.node));
        }
        if i64::try_from(offset).is_err() {
            let what = format!("{op} at offset {offset}");
            return Err(path::error(Errno::EINVAL, &what, &self.open.handle.node));
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.check("read", OpenFlags::READ, offset)?;
        if buffer.is_empty() {
            return Ok(0); // also when the node is gone
        }
        let mut io = self.lock("read")?;
        let has = self.open.handle.of.has;
        if has.intersects(Has::SHOW | Has::SEQ) {
            return io.reader.read(buffer, offset, &mut { *self });
        }
        let most = buffer.len().min(PAGE);
        if !has.contains(Has::PREALLOC) {
            return self.read_raw(&mut buffer[..most], offset);
        }
        let most = most.min(io.prealloc.len());
        let own = &mut io.prealloc[..most];
        let n = self.read_raw(own, offset)?;
        buffer[..n].copy_from_slice(&own[..n]);
        Ok(n)
    }

    fn read_raw(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let open = self.open;
        let most = buffer.len();
        let n = self.run(Op::Read, |file, cx| {
            open.handle.sample_event();
            if !open.handle.of.has.contains(Has::READ) {
                return Err(path::error(Errno::EINVAL, "read", &open.handle.node));
            }
            file.read(cx, buffer, offset)
        })??;
        transferred("read", &*open.handle.node, n, most)
    }

    /// What of a write of `len` bytes is handed over.
    fn write_len(&self, len: usize) -> Result<usize> {
        match self.open.atomic_write_len {
            0 => Ok(len.min(PAGE)),
            most if len > most => {
                let what = format!("write of {len} bytes ({most} is the most)");
                Err(path::error(Errno::E2BIG, &what, &self.open.handle.node))
            }
            _ => Ok(len),
        }
    }

    fn write(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.check("write", OpenFlags::WRITE, offset)?;
        let data = &data[..self.write_len(data.len())?];
        let mut io = self.lock("write")?;
        if !self.open.handle.of.has.contains(Has::PREALLOC) {
            return self.write_raw(data, offset);
        }
        // Never longer than the buffer: both go by `atomic_write_len`.
        let own = &mut io.prealloc[..data.len()];
        own.copy_from_slice(data);
        self.write_raw(own, offset)
    }

    fn write_raw(&self, data: &[u8], offset: u64) -> Result<usize> {
        let open = self.open;
        let n = self.run(Op::Write, |file, cx| {
            if !open.handle.of.has.contains(Has::WRITE) {
                return Err(path::error(Errno::EINVAL, "write", &open.handle.node));
            }
            file.write(cx, data, offset)
        })??;
        transferred("write", &*open.handle.node, n, data.len())
    }

    fn write_vectored(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        if let [part] = parts {
            return self.write(part, offset);
        }
        self.check("write", OpenFlags::WRITE, offset)?;
        let mut all = 0_usize;
        for part in parts {
            all = all.saturating_add(part.len());
        }
        let len = self.write_len(all)?;
        let mut data = Vec::new();
        data.try_reserve_exact(len).map_err(|_| {
            let what = format!("write of {len} bytes");
            path::error(Errno::ENOMEM, &what, &self.open.handle.node)
        })?;
        for part in parts {
            let rest = len - data.len();
            data.extend_from_slice(&part[..part.len().min(rest)]);
        }
        self.write(&data, offset)
    }

    fn seek(&self, position: u64, to: SeekFrom) -> Result<u64> {
        let _io = self.lock("lseek")?;
        let open = self.open;
        let target = if open.handle.of.has.contains(Has::LLSEEK) {
            Some(self.run(Op::Llseek, |file, cx| file.llseek(cx, position, to))??)
        } else {
            let _active = open.handle.active("lseek")?;
            match to {
                SeekFrom::Start(n) => Some(n),
                SeekFrom::End(n) => open.handle.node.stat().size.checked_add_signed(n),
                SeekFrom::Current(n) => position.checked_add_signed(n),
            }
        };
        target
            .filter(|n| i64::try_from(*n).is_ok())
            .ok_or_else(|| path::error(Errno::EINVAL, "lseek", &open.handle.node))
    }
}

/// A pass over a file of one record, standing at it.
struct Single<'c, 'a>(&'c Call<'a>, &'c Active<'c>);

impl Walk for Single<'_, '_> {
    fn show(&mut self, seq: &mut Seq) -> Result<()> {
        self.0.run_active(Op::Show, self.1, |file, cx| {
            self.0.open.handle.sample_event();
            file.show(cx, seq)
        })?
    }

    fn next(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// A pass over a file of many records.
struct Many<'c, 'a> {
    call: &'c Call<'a>,
    active: &'c Active<'c>,
    records: Box<dyn Records + 'a>,
    /// How often the node had been drained.
    drains: u32,
}

impl Many<'_, '_> {
    /// A callback of this pass may have given up its protection, and the file been released meanwhile: no other
    /// callback of it begins after that.
    fn check(&self) -> Result<()> {
        let handle = &self.call.open.handle;
        // This order: a node that was hidden and is shown again was drained.
        match self.active.protects() && handle.drains() == self.drains {
            true => Ok(()),
            false => Err(handle.gone("read")),
        }
    }
}

impl Walk for Many<'_, '_> {
    fn show(&mut self, seq: &mut Seq) -> Result<()> {
        self.check()?;
        let Self {
            call,
            active,
            records,
            ..
        } = self;
        call.run_active(Op::Show, active, |_, cx| {
            call.open.handle.sample_event();
            records.show(cx, seq)
        })?
    }

    fn next(&mut self) -> Result<Option<u64>> {
        self.check()?;
        let Self {
            call,
            active,
            records,
            ..
        } = self;
        call.run_active(Op::Next, active, |_, cx| records.next(cx))?
    }
}

impl Source for Call<'_> {
    fn pass(
        &mut self,
        position: u64,
        visit: &mut dyn FnMut(u64, &mut dyn Walk) -> Result<()>,
    ) -> Result<()> {
        let active = self.open.handle.active("read")?;
        if !self.open.handle.of.has.contains(Has::SEQ) {
            return match position {
                0 => visit(0, &mut Single(self, &active)),
                _ => Ok(()),
            };
        }
        // Under the reference: a drain comes later, and counts.
        let drains = self.open.handle.drains();
        let started = self.run_active(Op::Start, &active, |file, cx| file.start(cx, position))?;
        let Some((start, records)) = started? else {
            return Ok(());
        };
        let mut many = Many {
            call: self,
            active: &active,
            records,
            drains,
        };
        // One before would be shown for ever.
        let result = if start < position {
            Err(Errno::EIO.because(format!("start at record {position} went back to {start}")))
        } else {
            visit(start, &mut many)
        };
        let records = many.records;
        // The kernel's stop. It has run, whatever it did; what was shown stands.
        let _ = self.run_active(Op::Stop, &active, |_, _| drop(records));
        result
    }
}

impl OpenFile {
    #[track_caller]
    pub(crate) fn call<'a>(&'a self, caller: Caller<'a>) -> Call<'a> {
        Call {
            open: self,
            caller,
            place: Location::caller(),
        }
    }

    /// pread(2).
    ///
    /// Text (`show`, [`Records`]): offset 0 shows anew; the offset where the last read stopped goes on in the
    /// same text; any other offset shows anew and skips. Of many records one call gives about a page, always
    /// whole ones. Raw (`read`): one call of the callback, at most 4096 bytes. Blocks as long as the callback
    /// does; not for read sections.
    ///
    /// # Errors
    /// ENODEV: the node is gone. EBADF: not open for reading. EINVAL: no such callback, or an offset above
    /// 2^63 - 1. EDEADLK: inside a callback of this open file. EIO: the callback panicked. ENOMEM: no
    /// memory for the text. And what the callback returns.
    #[track_caller]
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.call(Caller::default()).read(buffer, offset)
    }

    /// [`read_at`](Self::read_at) on behalf of somebody, who may give up: the callback sees it in its
    /// [`Cx`].
    ///
    /// # Errors
    /// As `read_at`.
    #[track_caller]
    pub fn read_at_with<'a>(
        &'a self,
        buffer: &mut [u8],
        offset: u64,
        caller: impl Into<Caller<'a>>,
    ) -> Result<usize> {
        self.call(caller.into()).read(buffer, offset)
    }

    /// pwrite(2). All bytes are handed over in one call; see [`Ops::atomic_write_len`](crate::Ops).
    ///
    /// # Errors
    /// ENODEV: the node is gone. E2BIG: longer than `atomic_write_len` (also when the node is gone). EBADF:
    /// not open for writing. EINVAL, EDEADLK, EIO: as [`read_at`](Self::read_at). And what the callback
    /// returns.
    #[track_caller]
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.call(Caller::default()).write(data, offset)
    }

    /// [`write_at`](Self::write_at) on behalf of somebody, who may give up.
    ///
    /// # Errors
    /// As `write_at`.
    #[track_caller]
    pub fn write_at_with<'a>(
        &'a self,
        data: &[u8],
        offset: u64,
        caller: impl Into<Caller<'a>>,
    ) -> Result<usize> {
        self.call(caller.into()).write(data, offset)
    }

    /// pwritev(2): the parts joined, in one call of the callback.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at); ENOMEM: no memory to join them.
    #[track_caller]
    pub fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        self.call(Caller::default()).write_vectored(parts, offset)
    }

    /// lseek(2) for who keeps the position himself: where it moves to from `position`. The end is what stat
    /// shows as size, unless the file has a callback of its own.
    ///
    /// # Errors
    /// ENODEV: the node is gone. EINVAL: before the start, or above 2^63 - 1. EDEADLK: as
    /// [`read_at`](Self::read_at). And what the callback returns.
    #[doc(alias = "kernfs_fop_llseek")]
    #[track_caller]
    pub fn seek_from(&self, position: u64, to: SeekFrom) -> Result<u64> {
        self.call(Caller::default()).seek(position, to)
    }
}

impl io::Read for OpenFile {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.read_at(buffer, self.position)?;
        self.position = self.position.saturating_add(n as u64);
        Ok(n)
    }
}

impl io::Write for OpenFile {
    #[track_caller]
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.write_at(data, self.position)?;
        self.position = self.position.saturating_add(n as u64);
        Ok(n)
    }

    #[track_caller]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let n = self.write_vectored_at(parts, self.position)?;
        self.position = self.position.saturating_add(n as u64);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for OpenFile {
    #[track_caller]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.seek_from(self.position, to)?;
        Ok(self.position)
    }
}

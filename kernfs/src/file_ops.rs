//! What read, write, seek, poll and waiting do on an open file.
//!
//! The kernel's `kernfs_fop_read_iter`, `_write_iter`, `_poll`, `kernfs_generic_poll`.

use core::panic::Location;
use core::sync::atomic::Ordering;
use std::io::{self, SeekFrom};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::active::Active;
use crate::cx::{Cancel, Cx};
use crate::error::{Errno, Result};
use crate::flags::{Has, OpenFlags, PollFlags};
use crate::held::{self, Held};
use crate::open::{OpenFile, PAGE};
use crate::ops::{AnyOpen, guarded, transferred};
use crate::path;
use crate::seq::{Reader, Seq, Source};

/// One call of an operation.
#[derive(Clone, Copy)]
struct Call<'a> {
    open: &'a OpenFile,
    cancel: Option<&'a Cancel>,
    place: &'static Location<'static>,
}

impl Call<'_> {
    /// Runs a callback under an active reference.
    fn run<R>(
        &self,
        op: &'static str,
        callback: impl FnOnce(&dyn AnyOpen, &mut Cx<'_>) -> R,
    ) -> Result<R> {
        let active = self.open.active(op)?;
        self.run_active(op, &active, callback)
    }

    fn run_active<R>(
        &self,
        op: &'static str,
        _active: &Active<'_>,
        callback: impl FnOnce(&dyn AnyOpen, &mut Cx<'_>) -> R,
    ) -> Result<R> {
        let open = self.open;
        let file = open
            .of
            .file
            .get()
            .ok_or_else(|| path::error(Errno::ENODEV, op, &open.node))?;
        let _scope = held::enter(Held {
            node: open.node.address(),
            file: open.of.address(),
            op,
            place: self.place,
        });
        guarded(op, &*open.node, || {
            callback(&**file, &mut open.of.cx(self.cancel))
        })
    }

    /// The lock that serialises a file's reads and writes. A callback of this very file would wait for
    /// itself.
    fn lock(&self, op: &str) -> Result<MutexGuard<'_, Reader>> {
        let open = self.open;
        let address = open.of.address();
        if let Some(inside) = held::find(|h| h.file == address) {
            return Err(path::error(
                Errno::EDEADLK,
                &format!(
                    "{op} at {} inside {}, called at {},",
                    self.place, inside.op, inside.place
                ),
                &open.node,
            ));
        }
        Ok(open.of.io.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check(&self, op: &str, wanted: OpenFlags, offset: u64) -> Result<()> {
        if !self.open.of.flags.contains(wanted) {
            return Err(path::error(Errno::EBADF, op, &self.open.node));
        }
        if i64::try_from(offset).is_err() {
            let what = format!("{op} at offset {offset}");
            return Err(path::error(Errno::EINVAL, &what, &self.open.node));
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.check("read", OpenFlags::READ, offset)?;
        if buffer.is_empty() {
            return Ok(0); // also when the node is gone
        }
        let open = self.open;
        let mut io = self.lock("read")?;
        if open.of.has.contains(Has::SHOW) {
            return io.read(buffer, offset, &mut { *self });
        }
        let most = buffer.len().min(PAGE);
        let buffer = &mut buffer[..most];
        let n = self.run("read", |file, cx| {
            open.sample_event();
            if !open.of.has.contains(Has::READ) {
                return Err(path::error(Errno::EINVAL, "read", &open.node));
            }
            file.read(cx, buffer, offset)
        })??;
        transferred("read", &*open.node, n, most)
    }

    fn write(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.check("write", OpenFlags::WRITE, offset)?;
        let open = self.open;
        let data = match open.atomic_write_len {
            0 => &data[..data.len().min(PAGE)],
            most if data.len() > most => {
                let what = format!("write of {} bytes ({most} is the most)", data.len());
                return Err(path::error(Errno::E2BIG, &what, &open.node));
            }
            _ => data,
        };
        let _io = self.lock("write")?;
        let n = self.run("write", |file, cx| {
            if !open.of.has.contains(Has::WRITE) {
                return Err(path::error(Errno::EINVAL, "write", &open.node));
            }
            file.write(cx, data, offset)
        })??;
        transferred("write", &*open.node, n, data.len())
    }
}

impl Source for Call<'_> {
    fn show(&mut self, seq: &mut Seq) -> Result<()> {
        self.run("show", |file, cx| {
            self.open.sample_event();
            file.show(cx, seq)
        })?
    }

    fn alive(&mut self) -> Result<()> {
        self.open.active("read").map(drop)
    }
}

impl OpenFile {
    #[track_caller]
    fn call<'a>(&'a self, cancel: Option<&'a Cancel>) -> Call<'a> {
        Call {
            open: self,
            cancel,
            place: Location::caller(),
        }
    }

    /// pread(2).
    ///
    /// Text (`show`): offset 0 shows anew; the offset where the last read stopped goes on in the same text;
    /// any other offset shows anew and skips. Raw (`read`): one call of the callback, at most 4096 bytes.
    /// Blocks as long as the callback does; not for read sections.
    ///
    /// # Errors
    /// ENODEV: the node is gone. EBADF: not open for reading. EINVAL: no such callback, or an offset above
    /// 2^63 - 1. EDEADLK: inside a callback of this open file. EIO: the callback panicked. ENOMEM: no
    /// memory for the text. And what the callback returns.
    #[track_caller]
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.call(None).read(buffer, offset)
    }

    /// [`read_at`](Self::read_at) for a caller who may give up: the callback sees it through
    /// [`Cx::interrupted`].
    ///
    /// # Errors
    /// As `read_at`.
    #[track_caller]
    pub fn read_at_with(&self, buffer: &mut [u8], offset: u64, cancel: &Cancel) -> Result<usize> {
        self.call(Some(cancel)).read(buffer, offset)
    }

    /// pwrite(2). All bytes are handed over in one call; see [`Ops::atomic_write_len`](crate::Ops).
    ///
    /// # Errors
    /// ENODEV: the node is gone. E2BIG: longer than `atomic_write_len` (also when the node is gone). EBADF:
    /// not open for writing. EINVAL, EDEADLK, EIO: as [`read_at`](Self::read_at). And what the callback
    /// returns.
    #[track_caller]
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.call(None).write(data, offset)
    }

    /// [`write_at`](Self::write_at) for a caller who may give up.
    ///
    /// # Errors
    /// As `write_at`.
    #[track_caller]
    pub fn write_at_with(&self, data: &[u8], offset: u64, cancel: &Cancel) -> Result<usize> {
        self.call(Some(cancel)).write(data, offset)
    }

    /// poll(2), without waiting: always `IN|OUT`; with `ERR|PRI` when the file was notified since this open
    /// file last ran `show` or `read` (at first: always), or when the node is gone.
    #[doc(alias = "kernfs_generic_poll")]
    #[track_caller]
    pub fn poll(&self) -> PollFlags {
        let Ok(active) = self.active("poll") else {
            return PollFlags::DEAD;
        };
        let changed = self.on.event.value() != self.of.seen.load(Ordering::Relaxed);
        let generic = match changed {
            true => PollFlags::CHANGED,
            false => PollFlags::QUIET,
        };
        if !self.of.has.contains(Has::POLL) {
            return generic;
        }
        self.call(None)
            .run_active("poll", &active, |file, cx| file.poll(cx, generic))
            .unwrap_or(generic | PollFlags::ERR)
    }

    /// Sleeps until the file is notified (returns at once if it was since the last read), at most
    /// `timeout`. `false`: the time is over. The next read that produces data clears it, this does not.
    ///
    /// # Errors
    /// ENODEV when the node is gone, also if that happens meanwhile.
    pub fn wait_event(&self, timeout: Option<Duration>) -> Result<bool> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            // This order: removal deactivates the node, then counts the event up. Either we see the node
            // gone, or the event has changed by the time we sleep.
            let event = self.on.event.value();
            drop(self.active("wait")?);
            if event != self.of.seen.load(Ordering::Relaxed) {
                return Ok(true);
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if !self.on.event.wait_while(event, left) {
                // A removal that came with the end of the time is more important.
                return self.active("wait").map(|_| false);
            }
        }
    }

    fn seek(&self, to: SeekFrom) -> Result<u64> {
        let _active = self.active("lseek")?;
        let size = self.node.file().map_or(0, |file| file.size);
        let target = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => size.checked_add_signed(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
        };
        target
            .filter(|n| i64::try_from(*n).is_ok())
            .ok_or_else(|| path::error(Errno::EINVAL, "lseek", &self.node))
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

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = Self::seek(self, to)?;
        Ok(self.position)
    }
}

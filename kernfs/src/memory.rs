//! Memory that files may map: a memfd, of which no descriptor outlives its revocation.
//!
//! In this process it is read and written by copying (pread, pwrite), never mapped: whoever was given a
//! descriptor may cut the file, and a mapping of ours would die of SIGBUS.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Errno, Result};
use crate::flags::OpenFlags;
use crate::sys;

/// Bytes that a file's [`mmap`](crate::Ops::mmap) gives out. Clones are the same memory.
///
/// The owner keeps one and reads and writes it at any time; users get [`Mapping`](crate::Mapping)s, and
/// other processes a descriptor of it. When a file that gave it out is removed or hidden, or the last open
/// file that did is closed, the memory goes to another memfd and the old one is cut to nothing: foreign
/// mappings of it die of SIGBUS, the owner notices nothing. A change that a foreigner makes at that moment may be lost. Memory that several files
/// give out is taken from the foreigners of all of them.
///
/// ```
/// use kernfs::Memory;
///
/// let memory = Memory::new(8192)?;
/// memory.write_at(b"hello", 4094)?;
/// let mut buffer = [0; 8];
/// assert_eq!(memory.read_at(&mut buffer, 4094)?, 8);
/// assert_eq!(&buffer, b"hello\0\0\0");
/// # Ok::<(), kernfs::Error>(())
/// ```
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    file: RwLock<File>,
    size: u64,
    /// Somebody was given a descriptor since the last revocation.
    shared: AtomicBool,
    /// Open files through which somebody was.
    sharers: AtomicUsize,
    /// The process that it was made in.
    process: u32,
}

/// A memfd that nobody can seal: revocation must be able to shrink it.
fn memfd(size: u64) -> io::Result<File> {
    let file = sys::memfd(c"kernfs")?;
    file.set_len(size)?;
    Ok(file)
}

impl Memory {
    /// So many zero bytes. Takes memory as they are written.
    ///
    /// # Errors
    /// EINVAL: none, or more than 2^63 - 1. EMFILE, ENOMEM and the like: as memfd_create(2).
    pub fn new(size: u64) -> Result<Self> {
        if size == 0 || i64::try_from(size).is_err() {
            return Err(Errno::EINVAL.because(format!("memory of {size} bytes")));
        }
        Ok(Self(Arc::new(Shared {
            file: RwLock::new(memfd(size)?),
            size,
            shared: AtomicBool::new(false),
            sharers: AtomicUsize::new(0),
            process: sys::process(),
        })))
    }

    /// How many bytes it has.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> u64 {
        self.0.size
    }

    fn with<R>(&self, f: impl FnOnce(&File) -> io::Result<R>) -> Result<R> {
        if self.0.process != sys::process() {
            // A thread of the parent may have held the lock; and what is in it is the parent's.
            return Err(Errno::ENOTCONN.because("access to memory in a forked child"));
        }
        let file = self.0.file.read().unwrap_or_else(PoisonError::into_inner);
        Ok(f(&file)?)
    }

    /// Copies bytes out; tells how many there were.
    ///
    /// # Errors
    /// As pread(2). ENOTCONN: in a forked child.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let Ok(left) = usize::try_from(self.0.size.saturating_sub(offset)) else {
            return Err(Errno::EINVAL.into());
        };
        let most = buffer.len().min(left);
        let buffer = &mut buffer[..most];
        let mut n = 0;
        while n < buffer.len() {
            let done = self.with(|file| file.read_at(&mut buffer[n..], offset + n as u64))?;
            if done == 0 {
                // A foreigner has cut it. What is not there is zero, as when it is mapped anew.
                buffer[n..].fill(0);
                break;
            }
            n += done;
        }
        Ok(buffer.len())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// EFBIG: they would reach beyond the end; nothing was written. ENOSPC: no memory. ENOTCONN: in a
    /// forked child.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        let end = offset.checked_add(data.len() as u64);
        if end.is_none_or(|end| end > self.0.size) {
            let what = format!(
                "{} bytes at {offset} of memory of {}",
                data.len(),
                self.0.size
            );
            return Err(Errno::EFBIG.because(what));
        }
        self.with(|file| file.write_all_at(data, offset))
    }

    /// A descriptor for another process, until it is revoked. `READ`: one that is open for reading only. `counted`:
    /// whether the open file is a sharer already; from now on it is, and has to be taken off when it is closed.
    pub(crate) fn share(&self, flags: OpenFlags, counted: &AtomicBool) -> Result<OwnedFd> {
        // All under the lock: a revocation does not miss it, nor does that by the last of the other sharers, who does
        // not know of this one yet, take it away.
        let file = self.0.file.write().unwrap_or_else(PoisonError::into_inner);
        if !counted.swap(true, Ordering::Relaxed) {
            self.0.sharers.fetch_add(1, Ordering::Relaxed);
        }
        let copy = match flags.contains(OpenFlags::WRITE) {
            true => file.try_clone()?,
            false => sys::reopen_read_only(&file)?,
        };
        self.0.shared.store(true, Ordering::Relaxed);
        Ok(copy.into())
    }

    /// An open file that was a sharer is closed. The last one takes it away from everybody.
    pub(crate) fn remove_sharer(&self) {
        let mut file = self.0.file.write().unwrap_or_else(PoisonError::into_inner);
        if self.0.sharers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.revoke_locked(&mut file);
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes the memory away from everybody who has a descriptor. Blocks for the copying.
    pub(crate) fn revoke(&self) {
        self.revoke_locked(&mut self.0.file.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn revoke_locked(&self, file: &mut File) {
        if !self.0.shared.swap(false, Ordering::Relaxed) {
            return;
        }
        let lost = |what: &str, error: io::Error| {
            let line = format!("kernfs: mapped memory was revoked and {what}: {error}\n");
            let _ = io::stderr().write_all(line.as_bytes());
        };
        // Revoking is promised, the contents are not.
        let new = copy(file, self.0.size).or_else(|error| {
            lost("is lost", error);
            memfd(self.0.size)
        });
        match new {
            Ok(new) => {
                let old = core::mem::replace(file, new);
                if let Err(error) = old.set_len(0) {
                    lost("whoever had a descriptor keeps what was in it", error);
                }
            }
            Err(error) => {
                let _ = file.set_len(0);
                lost("whoever had a descriptor may write to it still", error);
            }
        }
    }
}

/// Another memfd with the same bytes.
fn copy(old: &File, size: u64) -> io::Result<File> {
    let new = memfd(size)?;
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    // From data to data: a hole costs nothing.
    while let Some(data) = sys::next_data(old, at)?.filter(|data| *data < size) {
        at = data;
        let n = old.read_at(&mut buffer, at)?;
        if n == 0 {
            break; // cut by a foreigner
        }
        let most = usize::try_from(size - at).map_or(n, |left| n.min(left));
        // A page of zeros is a hole, in the new one as well.
        if buffer[..most].iter().any(|byte| *byte != 0) {
            new.write_all_at(&buffer[..most], at)?;
        }
        at += n as u64;
    }
    Ok(new)
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("len", &self.0.size)
            .field("shared", &self.0.shared)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_was_given_out_is_cut_and_what_was_in_it_stays() {
        let memory = Memory::new(200_000).unwrap();
        memory.write_at(b"first", 0).unwrap();
        memory.write_at(b"last", 199_996).unwrap();
        memory.revoke(); // nobody has it
        let foreign = File::from(
            memory
                .share(OpenFlags::RDWR, &AtomicBool::new(false))
                .unwrap(),
        );
        let reader = File::from(
            memory
                .share(OpenFlags::READ, &AtomicBool::new(false))
                .unwrap(),
        );
        foreign.write_at(b"F", 0).unwrap();
        reader.write_at(b"R", 0).unwrap_err();
        memory.revoke();
        assert_eq!(foreign.metadata().unwrap().len(), 0);
        assert_eq!((&reader).read(&mut [0; 8]).unwrap(), 0);
        // It may be made long again, and is not ours any more.
        foreign.set_len(200_000).unwrap();
        foreign.write_at(b"nobody's", 0).unwrap();
        let mut text = [0; 5];
        memory.read_at(&mut text, 0).unwrap();
        assert_eq!(&text, b"First");
        assert_eq!(memory.read_at(&mut text, 199_996).unwrap(), 4);
        assert_eq!(&text[..4], b"last");
    }

    #[test]
    fn a_foreigner_who_cuts_it_kills_nobody() {
        let memory = Memory::new(8192).unwrap();
        memory.write_at(b"data", 8000).unwrap();
        File::from(
            memory
                .share(OpenFlags::RDWR, &AtomicBool::new(false))
                .unwrap(),
        )
        .set_len(100)
        .unwrap();
        let mut text = [1; 4];
        assert_eq!(memory.read_at(&mut text, 8000).unwrap(), 4);
        assert_eq!(text, [0; 4]);
        memory.write_at(b"back", 8000).unwrap();
        memory.revoke();
        memory.read_at(&mut text, 8000).unwrap();
        assert_eq!(&text, b"back");
    }

    // It would take minutes to read them all.
    #[test]
    fn holes_were_read_when_the_memory_was_taken_away() {
        let memory = Memory::new(1 << 42).unwrap();
        memory.write_at(b"first", 5).unwrap();
        memory.write_at(b"last", (1 << 42) - 4).unwrap();
        drop(
            memory
                .share(OpenFlags::READ, &AtomicBool::new(false))
                .unwrap(),
        );
        memory.revoke();
        let mut text = [0; 5];
        memory.read_at(&mut text, 5).unwrap();
        assert_eq!(&text, b"first");
        assert_eq!(memory.read_at(&mut text, (1 << 42) - 4).unwrap(), 4);
        assert_eq!(&text[..4], b"last");
    }

    #[test]
    fn the_end_is_the_end() {
        assert_eq!(Memory::new(0).unwrap_err().errno(), Errno::EINVAL);
        assert_eq!(Memory::new(1 << 63).unwrap_err().errno(), Errno::EINVAL);
        let memory = Memory::new(10).unwrap();
        assert_eq!(memory.read_at(&mut [0; 4], 8).unwrap(), 2);
        assert_eq!(memory.read_at(&mut [0; 4], u64::MAX).unwrap(), 0);
        for offset in [7, u64::MAX] {
            let error = memory.write_at(b"1234", offset).unwrap_err();
            assert_eq!(error.errno(), Errno::EFBIG);
        }
        memory.write_at(b"1234", 6).unwrap();
    }
}

//! The buffer that text is written into: the kernel's `seq_file`, the owner's half. How reads are served
//! from it stands in [`crate::reader`].

use core::fmt;

use crate::error::{Errno, Result};

/// Where a `show` callback writes its text.
///
/// Writing never fails from the callback's point of view, as `seq_printf` does not:
///
/// ```
/// # use kernfs::Seq;
/// fn show(seq: &mut Seq) {
///     writeln!(seq, "{} {}", "jiffies", 4711);
///     seq.put(b"raw bytes\n");
/// }
/// ```
///
/// When the text is longer than the buffer, `show` runs again with a larger one. So it may run several
/// times for one read, and must not have side effects that add up.
pub struct Seq {
    text: Vec<u8>,
    size: usize,
    /// Where the record that is being shown begins.
    start: usize,
    overflow: bool,
    failed: bool,
    skipped: bool,
}

/// First size of a buffer.
const PAGE: usize = 4096;
/// A `show` that writes more than this is taken for one that never ends.
const LARGEST: usize = if cfg!(test) { 1 << 18 } else { 1 << 30 };

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It is in the buffer, or it was skipped.
    Whole,
    /// It does not fit; nothing of it is in the buffer.
    TooLong,
}

impl Seq {
    pub(crate) const fn new() -> Self {
        Self {
            text: Vec::new(),
            size: 0,
            start: 0,
            overflow: false,
            failed: false,
            skipped: false,
        }
    }

    /// Appends bytes.
    #[doc(alias = "seq_write")]
    #[doc(alias = "seq_puts")]
    pub fn put(&mut self, bytes: &[u8]) {
        if self.overflow || bytes.len() > self.size - self.text.len() {
            self.overflow = true;
        } else {
            self.text.extend_from_slice(bytes);
        }
    }

    /// What `write!` calls. Returns nothing, so there is no result to drop.
    #[doc(alias = "seq_printf")]
    pub fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) {
        if fmt::write(self, arguments).is_err() {
            self.failed = true; // a Display of the caller's said so
        }
    }

    /// Leaves this record out, whatever was or will be written of it.
    #[doc(alias = "SEQ_SKIP")]
    pub fn skip(&mut self) {
        self.skipped = true;
    }

    /// Whether what was written does not fit any more. The record will be shown again with more room: an
    /// expensive `show` may return now.
    #[doc(alias = "seq_has_overflowed")]
    pub fn has_overflowed(&self) -> bool {
        self.overflow
    }

    /// How many bytes of this record were written so far.
    pub fn len(&self) -> usize {
        self.text.len() - self.start
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that is in the buffer.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Empties the buffer, which is made if there is none.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.text.clear();
        self.start = 0;
        if self.size == 0 {
            self.resize(PAGE)
        } else {
            Ok(())
        }
    }

    /// Shows a record behind those in the buffer. After an error nothing of it is there.
    pub(crate) fn record(&mut self, show: impl FnOnce(&mut Self) -> Result<()>) -> Result<Shown> {
        self.start = self.text.len();
        (self.overflow, self.failed, self.skipped) = (false, false, false);
        let result = show(self);
        let whole = result.is_ok() && !self.failed && !self.skipped && !self.overflow;
        if !whole {
            self.text.truncate(self.start);
        }
        self.start = 0;
        result?;
        if self.failed {
            return Err(Errno::EIO.because("a Display implementation failed in show"));
        }
        // A record that is left out needs no room.
        Ok(match self.overflow && !self.skipped {
            true => Shown::TooLong,
            false => Shown::Whole,
        })
    }

    /// Twice the room; empties the buffer.
    pub(crate) fn grow(&mut self) -> Result<()> {
        self.resize(self.size * 2)
    }

    fn resize(&mut self, size: usize) -> Result<()> {
        let too_long = || Errno::ENOMEM.because(format!("a buffer of {size} bytes for the text"));
        self.text.clear();
        if size > LARGEST {
            return Err(too_long());
        }
        self.text.try_reserve_exact(size).map_err(|_| too_long())?;
        self.size = size;
        Ok(())
    }
}

impl fmt::Write for Seq {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seq")
            .field("len", &self.text.len())
            .field("size", &self.size)
            .field("overflow", &self.overflow)
            .finish()
    }
}

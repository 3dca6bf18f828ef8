//! The buffer that text attributes are written into, and how reads are served from it.
//!
//! The kernel's `seq_file` for a file of one record: `show` writes the whole text, reads take it piece by
//! piece. What does not fit is not an error: the buffer is doubled and `show` runs again. Left out until
//! a later step: files of many records (`seq_start`, `seq_next`).

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
    overflow: bool,
    failed: bool,
}

/// First size of a buffer.
const PAGE: usize = 4096;
/// A `show` that writes more than this is taken for one that never ends.
const LARGEST: usize = if cfg!(test) { 1 << 18 } else { 1 << 30 };

impl Seq {
    const fn new() -> Self {
        Self {
            text: Vec::new(),
            size: 0,
            overflow: false,
            failed: false,
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

    /// How many bytes were written so far.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn clear(&mut self) {
        self.text.clear();
        self.overflow = false;
        self.failed = false;
    }

    /// Makes room for at least `size` bytes.
    fn grow(&mut self, size: usize) -> Result<()> {
        let too_long = || Errno::ENOMEM.because(format!("text of more than {} bytes", self.size));
        if size > LARGEST {
            return Err(too_long());
        }
        self.text.clear();
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

/// What a read needs of the file.
pub(crate) trait Source {
    /// Runs `show` under an active reference.
    fn show(&mut self, seq: &mut Seq) -> Result<()>;
    /// ENODEV if the node is gone.
    fn alive(&mut self) -> Result<()>;
}

/// The reading state of one open file.
#[derive(Debug)]
pub(crate) struct Reader {
    seq: Seq,
    /// How much of the buffer was read.
    from: usize,
    /// The offset where the next read would go on.
    position: u64,
}

impl Reader {
    pub(crate) const fn new() -> Self {
        Self {
            seq: Seq::new(),
            from: 0,
            position: 0,
        }
    }

    /// One read(2). Offset 0 starts anew; the offset where the last read stopped goes on in the buffer,
    /// also after the node was removed; any other offset shows again and skips.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        offset: u64,
        source: &mut impl Source,
    ) -> Result<usize> {
        let anew = offset == 0 || offset != self.position;
        if anew {
            self.restart();
            self.fill(source)?;
            // Beyond the end: nothing is left.
            let skip = usize::try_from(offset).unwrap_or(usize::MAX);
            self.from = skip.min(self.seq.len());
            self.position = offset;
        }
        let left = &self.seq.text[self.from..];
        if left.is_empty() {
            // The end of what was shown earlier: the kernel looks for a further record here.
            if !anew {
                source.alive()?;
            }
            return Ok(0);
        }
        let n = left.len().min(buffer.len());
        buffer[..n].copy_from_slice(&left[..n]);
        self.from += n;
        self.position = self.position.saturating_add(n as u64);
        Ok(n)
    }

    fn restart(&mut self) {
        self.seq.clear();
        self.from = 0;
        self.position = 0;
    }

    fn fill(&mut self, source: &mut impl Source) -> Result<()> {
        if self.seq.size == 0 {
            self.seq.grow(PAGE)?;
        }
        loop {
            self.seq.clear();
            let result = source.show(&mut self.seq);
            let failed = self.seq.failed;
            if result.is_err() || failed {
                self.restart();
                result?;
                return Err(Errno::EIO.because("a Display implementation failed in show"));
            }
            if !self.seq.overflow {
                return Ok(());
            }
            let doubled = self.seq.size * 2;
            if let Err(error) = self.seq.grow(doubled) {
                self.restart();
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text {
        text: Vec<u8>,
        runs: usize,
        alive: bool,
    }

    impl Source for Text {
        fn show(&mut self, seq: &mut Seq) -> Result<()> {
            self.alive()?;
            self.runs += 1;
            for piece in self.text.chunks(100) {
                seq.put(piece);
            }
            Ok(())
        }
        fn alive(&mut self) -> Result<()> {
            if self.alive {
                Ok(())
            } else {
                Err(Errno::ENODEV.into())
            }
        }
    }

    fn text(text: &[u8]) -> Text {
        Text {
            text: text.to_vec(),
            runs: 0,
            alive: true,
        }
    }

    #[test]
    fn sequential_reads_are_served_from_one_show() {
        let mut source = text(b"0123456789");
        let mut reader = Reader::new();
        let mut buffer = [0; 4];
        let mut all = Vec::new();
        loop {
            let n = reader
                .read(&mut buffer, all.len() as u64, &mut source)
                .unwrap();
            all.extend_from_slice(&buffer[..n]);
            if n == 0 {
                break;
            }
        }
        assert_eq!((all.as_slice(), source.runs), (&b"0123456789"[..], 1));
        // At the end nothing is shown; offset 0 and any jump show again.
        assert_eq!(reader.read(&mut buffer, 10, &mut source).unwrap(), 0);
        assert_eq!(source.runs, 1);
        assert_eq!(reader.read(&mut buffer, 7, &mut source).unwrap(), 3);
        assert_eq!((&buffer[..3], source.runs), (&b"789"[..], 2));
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 4);
        assert_eq!(source.runs, 3);
        assert_eq!(reader.read(&mut buffer, u64::MAX, &mut source).unwrap(), 0);
        assert_eq!(source.runs, 4);
    }

    #[test]
    fn a_text_larger_than_the_buffer_is_shown_again() {
        let mut source = text(&vec![b'x'; 3 * PAGE]);
        let mut reader = Reader::new();
        let mut buffer = vec![0; 4 * PAGE];
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 3 * PAGE);
        assert_eq!(source.runs, 3); // 1, 2, 4 pages
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 3 * PAGE);
        assert_eq!(source.runs, 4); // the larger buffer stays
    }

    #[test]
    fn exactly_one_page_fits() {
        let mut source = text(&[b'x'; PAGE]);
        let mut buffer = vec![0; PAGE];
        let n = Reader::new().read(&mut buffer, 0, &mut source).unwrap();
        assert_eq!((n, source.runs), (PAGE, 1));
    }

    #[test]
    fn what_was_buffered_is_still_given_after_the_end_of_the_node() {
        let mut source = text(b"old text");
        let mut reader = Reader::new();
        let mut buffer = [0; 4];
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 4);
        source.alive = false;
        assert_eq!(reader.read(&mut buffer, 4, &mut source).unwrap(), 4);
        assert_eq!(&buffer, b"text");
        let errno = |r: Result<usize>| r.unwrap_err().errno();
        assert_eq!(
            errno(reader.read(&mut buffer, 8, &mut source)),
            Errno::ENODEV
        );
        assert_eq!(
            errno(reader.read(&mut buffer, 0, &mut source)),
            Errno::ENODEV
        );
    }

    #[test]
    fn a_show_that_never_ends_is_told() {
        struct Endless;
        impl Source for Endless {
            fn show(&mut self, seq: &mut Seq) -> Result<()> {
                while !seq.overflow {
                    seq.put(&[b'x'; 1000]);
                }
                Ok(())
            }
            fn alive(&mut self) -> Result<()> {
                Ok(())
            }
        }
        let mut reader = Reader::new();
        for _ in 0..2 {
            let error = reader.read(&mut [0; 8], 0, &mut Endless).unwrap_err();
            assert_eq!(error.errno(), Errno::ENOMEM);
        }
    }

    #[test]
    fn a_display_that_fails_is_eio() {
        struct Bad;
        impl fmt::Display for Bad {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                Err(fmt::Error)
            }
        }
        struct Shows;
        impl Source for Shows {
            fn show(&mut self, seq: &mut Seq) -> Result<()> {
                write!(seq, "{Bad}");
                Ok(())
            }
            fn alive(&mut self) -> Result<()> {
                Ok(())
            }
        }
        let error = Reader::new().read(&mut [0; 8], 0, &mut Shows).unwrap_err();
        assert_eq!(error.errno(), Errno::EIO);
    }
}

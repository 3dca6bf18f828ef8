//! How reads of text are served: records are shown into a buffer, and given out piece by piece.
//!
//! The kernel's `seq_read`. One pass over the records runs under one active reference; what was shown
//! beyond the end of the request waits in the buffer for the next read, also when the node is gone by then.
//! A record that does not fit makes the buffer grow if it is the first one, else it is the next read's. So
//! one read gives about one page of small records, and always whole ones.

use crate::error::{Errno, Result};
use crate::seq::{Seq, Shown};

/// What a read needs of the file.
pub(crate) trait Source {
    /// Takes an active reference (or is ENODEV), starts at a position, runs `visit` unless there is no
    /// record there or behind it, and stops. `visit` is told the position of the record.
    fn pass(
        &mut self,
        position: u64,
        visit: &mut dyn FnMut(u64, &mut dyn Walk) -> Result<()>,
    ) -> Result<()>;
}

/// A pass that stands at a record.
pub(crate) trait Walk {
    /// Shows the record.
    fn show(&mut self, seq: &mut Seq) -> Result<()>;
    /// Goes on to the next one, and tells its position.
    fn next(&mut self) -> Result<Option<u64>>;
}

/// Goes on from the record at `position`. `None`: it was the last one.
fn advance(walk: &mut dyn Walk, position: u64) -> Result<Option<u64>> {
    let next = walk.next()?;
    match next {
        Some(next) if next <= position => Err(Errno::EIO.because(format!(
            "next went from record {position} to {next}, which is not behind it"
        ))),
        _ => Ok(next),
    }
}

/// The reading state of one open file.
#[derive(Debug)]
pub(crate) struct Reader {
    seq: Seq,
    /// How much of the buffer was given out.
    from: usize,
    /// Where the next pass starts. `None`: no record is behind those that were shown, their positions are used up.
    position: Option<u64>,
    /// The offset where the next read would go on.
    offset: u64,
}

impl Reader {
    pub(crate) const fn new() -> Self {
        Self {
            seq: Seq::new(),
            from: 0,
            position: Some(0),
            offset: 0,
        }
    }

    /// One read(2). Offset 0 starts anew; the offset where the last read stopped goes on; any other offset
    /// shows from the first record and skips. An error is told only if nothing was copied.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        offset: u64,
        source: &mut dyn Source,
    ) -> Result<usize> {
        if offset == 0 || offset != self.offset {
            self.restart()?;
            if offset != 0 {
                let skipped = self.skip(offset, source);
                if skipped.is_err() {
                    self.restart()?;
                    skipped?;
                }
                self.offset = offset;
            }
        }
        let mut n = self.give(buffer);
        if n < buffer.len() {
            match self.fill(buffer.len() - n, source) {
                Ok(()) => n += self.give(&mut buffer[n..]),
                Err(error) if n == 0 => return Err(error),
                Err(_) => {} // the next read comes to it again
            }
        }
        self.offset = self.offset.saturating_add(n as u64);
        Ok(n)
    }

    fn restart(&mut self) -> Result<()> {
        self.position = Some(0);
        self.offset = 0;
        self.clear()
    }

    fn clear(&mut self) -> Result<()> {
        self.from = 0;
        self.seq.clear()
    }

    /// Gives out what the buffer has.
    fn give(&mut self, buffer: &mut [u8]) -> usize {
        let left = self.seq.text().get(self.from..).unwrap_or_default();
        let n = left.len().min(buffer.len());
        buffer[..n].copy_from_slice(&left[..n]);
        self.from += n;
        n
    }

    /// Shows records into the empty buffer: one at least, if there is one that is not left out; then more
    /// until there are `want` bytes, or the next one does not fit.
    fn fill(&mut self, want: usize, source: &mut dyn Source) -> Result<()> {
        loop {
            self.clear()?;
            let mut grow = false;
            let Some(start) = self.position else {
                return Ok(());
            };
            let Self { seq, position, .. } = &mut *self;
            source.pass(start, &mut |mut at, walk| {
                *position = Some(at);
                loop {
                    let first = seq.text().is_empty();
                    match seq.record(|seq| walk.show(seq)) {
                        Ok(Shown::Whole) => {}
                        Ok(Shown::TooLong) => {
                            grow = first;
                            return Ok(());
                        }
                        Err(error) if first => return Err(error),
                        Err(_) => return Ok(()), // the next read shows this record first
                    }
                    let next = advance(walk, at);
                    *position = at.checked_add(1);
                    match next {
                        Ok(Some(next)) => at = next,
                        Ok(None) => return Ok(()),
                        Err(error) => {
                            return if seq.text().is_empty() {
                                Err(error)
                            } else {
                                Ok(())
                            };
                        }
                    }
                    *position = Some(at);
                    if seq.text().len() >= want {
                        return Ok(());
                    }
                }
            })?;
            if !grow {
                return Ok(());
            }
            self.seq.grow()?;
        }
    }

    /// Brings the reader to an offset: shows and drops what is before it, keeps the rest of the record that
    /// it lies in.
    fn skip(&mut self, offset: u64, source: &mut dyn Source) -> Result<()> {
        loop {
            self.clear()?;
            let mut grow = false;
            let mut before = 0_u64;
            let Self {
                seq,
                position,
                from,
                ..
            } = &mut *self;
            *position = Some(0);
            source.pass(0, &mut |mut at, walk| {
                loop {
                    if seq.record(|seq| walk.show(seq))? == Shown::TooLong {
                        grow = true;
                        return Ok(());
                    }
                    let next = advance(walk, at)?;
                    *position = next.or(at.checked_add(1));
                    let left = offset - before;
                    let len = seq.text().len();
                    if let Some(inside) = usize::try_from(left).ok().filter(|left| *left < len) {
                        *from = inside;
                        return Ok(());
                    }
                    before += len as u64;
                    seq.clear()?;
                    match next {
                        Some(next) if before < offset => at = next,
                        _ => return Ok(()),
                    }
                }
            })?;
            if !grow {
                return Ok(());
            }
            self.seq.grow()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt;

    const PAGE: usize = 4096;

    /// A record that the file shows in its turn.
    #[derive(Clone)]
    enum Record {
        Text(Vec<u8>),
        Skipped,
        Fails(Errno),
    }

    struct File {
        records: Vec<Record>,
        alive: bool,
        passes: usize,
        shows: usize,
        /// Fails at the end instead of saying that there is no more.
        next_fails: bool,
        step: u64,
    }

    struct At<'a>(&'a mut File, u64);

    impl Walk for At<'_> {
        fn show(&mut self, seq: &mut Seq) -> Result<()> {
            self.0.shows += 1;
            match &self.0.records[usize::try_from(self.1).unwrap()] {
                Record::Text(text) => text.chunks(100).for_each(|piece| seq.put(piece)),
                Record::Skipped => {
                    seq.put(&[b'?'; 2 * PAGE]);
                    seq.skip();
                }
                Record::Fails(errno) => {
                    seq.put(b"half");
                    return Err((*errno).into());
                }
            }
            Ok(())
        }
        fn next(&mut self) -> Result<Option<u64>> {
            self.1 += self.0.step;
            if self.1 < self.0.records.len() as u64 {
                return Ok(Some(self.1));
            }
            match self.0.next_fails {
                true => Err(Errno::ENODEV.into()),
                false => Ok(None),
            }
        }
    }

    impl Source for File {
        fn pass(
            &mut self,
            position: u64,
            visit: &mut dyn FnMut(u64, &mut dyn Walk) -> Result<()>,
        ) -> Result<()> {
            if !self.alive {
                return Err(Errno::ENODEV.into());
            }
            self.passes += 1;
            if position < self.records.len() as u64 {
                visit(position, &mut At(self, position))?;
            }
            Ok(())
        }
    }

    fn records(records: &[Record]) -> File {
        File {
            records: records.to_vec(),
            alive: true,
            passes: 0,
            shows: 0,
            next_fails: false,
            step: 1,
        }
    }

    fn text(text: &[u8]) -> File {
        records(&[Record::Text(text.to_vec())])
    }

    fn numbered(n: usize) -> Vec<Record> {
        (0..n)
            .map(|n| Record::Text(format!("record {n}\n").into_bytes()))
            .collect()
    }

    fn joined(records: &[Record]) -> Vec<u8> {
        let text = |record: &Record| match record {
            Record::Text(text) => text.clone(),
            _ => Vec::new(),
        };
        records.iter().flat_map(text).collect()
    }

    fn errno(result: Result<usize>) -> Errno {
        result.unwrap_err().errno()
    }

    /// Reads to the end with requests of one size; also tells how long each read was.
    fn all(reader: &mut Reader, source: &mut File, size: usize) -> (Vec<u8>, Vec<usize>) {
        let (mut all, mut lens) = (Vec::new(), Vec::new());
        let mut buffer = vec![0; size];
        loop {
            let n = reader.read(&mut buffer, all.len() as u64, source).unwrap();
            if n == 0 {
                return (all, lens);
            }
            all.extend_from_slice(&buffer[..n]);
            lens.push(n);
        }
    }

    #[test]
    fn sequential_reads_are_served_from_one_show() {
        let mut source = text(b"0123456789");
        let mut reader = Reader::new();
        let mut buffer = [0; 4];
        assert_eq!(all(&mut reader, &mut source, 4).0, b"0123456789");
        assert_eq!(source.shows, 1);
        // At the end nothing is shown; offset 0 and any jump show again.
        assert_eq!(reader.read(&mut buffer, 10, &mut source).unwrap(), 0);
        assert_eq!(source.shows, 1);
        assert_eq!(reader.read(&mut buffer, 7, &mut source).unwrap(), 3);
        assert_eq!((&buffer[..3], source.shows), (&b"789"[..], 2));
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 4);
        assert_eq!(source.shows, 3);
        assert_eq!(reader.read(&mut buffer, u64::MAX, &mut source).unwrap(), 0);
        assert_eq!(source.shows, 4);
    }

    #[test]
    fn a_text_larger_than_the_buffer_is_shown_again() {
        let mut source = text(&vec![b'x'; 3 * PAGE]);
        let mut reader = Reader::new();
        let mut buffer = vec![0; 4 * PAGE];
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 3 * PAGE);
        assert_eq!(source.shows, 3); // 1, 2, 4 pages
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 3 * PAGE);
        assert_eq!(source.shows, 4); // the larger buffer stays
    }

    #[test]
    fn exactly_one_page_fits() {
        let mut source = text(&[b'x'; PAGE]);
        let mut buffer = vec![0; PAGE];
        let n = Reader::new().read(&mut buffer, 0, &mut source).unwrap();
        assert_eq!((n, source.shows), (PAGE, 1));
    }

    #[test]
    fn what_was_buffered_is_still_given_after_the_end_of_the_node() {
        let mut source = text(b"old text");
        let mut reader = Reader::new();
        let mut buffer = [0; 6];
        assert_eq!(reader.read(&mut buffer[..4], 0, &mut source).unwrap(), 4);
        source.alive = false;
        // There is room for more, but what was copied is more important than the error.
        assert_eq!(reader.read(&mut buffer, 4, &mut source).unwrap(), 4);
        assert_eq!(&buffer[..4], b"text");
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
    fn a_read_gives_about_a_page_of_whole_records() {
        let all_records = numbered(2000);
        let mut source = records(&all_records);
        let (given, lens) = all(&mut Reader::new(), &mut source, 1 << 16);
        assert_eq!(given, joined(&all_records));
        let mut end = 0;
        for len in lens {
            end += len;
            assert!(len <= PAGE && given[end - 1] == b'\n', "{len} at {end}");
        }
        // Each record once, but for those that did not fit behind the others.
        assert!(source.shows <= 2000 + source.passes, "{}", source.shows);
    }

    #[test]
    fn any_size_of_request_gives_the_same_text() {
        let mut all_records = numbered(300);
        all_records.insert(100, Record::Text(vec![b'L'; 3 * PAGE + 7]));
        all_records.insert(50, Record::Skipped);
        all_records.insert(0, Record::Skipped);
        all_records.push(Record::Skipped);
        for size in [1, 7, 100, 4095, 4096, 4097, 50_000] {
            let mut source = records(&all_records);
            let (given, _) = all(&mut Reader::new(), &mut source, size);
            assert_eq!(given, joined(&all_records), "requests of {size}");
        }
    }

    #[test]
    fn any_offset_is_found_by_replaying() {
        let mut all_records = numbered(50);
        all_records.insert(20, Record::Text(vec![b'L'; PAGE + 1]));
        all_records.insert(10, Record::Skipped);
        let expected = joined(&all_records);
        let mut source = records(&all_records);
        let mut reader = Reader::new();
        for offset in (0..expected.len() + 3).rev() {
            let mut buffer = [0; 30];
            let n = reader
                .read(&mut buffer, offset as u64, &mut source)
                .unwrap();
            let rest = &expected[offset.min(expected.len())..];
            assert!(n > 0 || rest.is_empty(), "{offset}");
            assert_eq!(&buffer[..n], &rest[..n], "{offset}");
        }
    }

    #[test]
    fn an_error_comes_after_the_records_before_it() {
        let mut all_records = numbered(3);
        all_records.insert(2, Record::Fails(Errno::EAGAIN));
        let mut source = records(&all_records);
        let mut reader = Reader::new();
        let mut buffer = [0; 100];
        let n = reader.read(&mut buffer, 0, &mut source).unwrap();
        assert_eq!(&buffer[..n], b"record 0\nrecord 1\n");
        for _ in 0..2 {
            let error = reader.read(&mut buffer, n as u64, &mut source);
            assert_eq!(errno(error), Errno::EAGAIN);
        }
        // A replay meets it too.
        assert_eq!(
            errno(reader.read(&mut buffer, 19, &mut source)),
            Errno::EAGAIN
        );
        source.records.remove(2);
        let n = reader.read(&mut buffer, 18, &mut source).unwrap();
        assert_eq!(&buffer[..n], b"record 2\n");
    }

    #[test]
    fn a_next_that_fails_with_enodev_is_not_the_end_of_the_node() {
        let mut source = records(&numbered(2));
        source.next_fails = true;
        let mut reader = Reader::new();
        let mut buffer = [0; 100];
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 18);
        // The next pass starts behind the last record, and finds none.
        assert_eq!(reader.read(&mut buffer, 18, &mut source).unwrap(), 0);
        let mut source = records(&[Record::Skipped]);
        source.next_fails = true;
        assert_eq!(
            errno(reader.read(&mut buffer, 0, &mut source)),
            Errno::ENODEV
        );
    }

    #[test]
    fn a_next_that_stands_still_is_told() {
        let mut source = records(&numbered(2));
        source.step = 0;
        let mut buffer = [0; 100];
        let mut reader = Reader::new();
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 9);
        let error = reader.read(&mut buffer, 1, &mut source).unwrap_err();
        assert_eq!(error.errno(), Errno::EIO);
        assert!(error.to_string().contains("from record 0 to 0"), "{error}");
    }

    #[test]
    fn records_that_come_after_the_end_was_met_are_read_too() {
        let mut source = records(&numbered(1));
        let mut reader = Reader::new();
        let mut buffer = [0; 100];
        assert_eq!(reader.read(&mut buffer, 0, &mut source).unwrap(), 9);
        assert_eq!(reader.read(&mut buffer, 9, &mut source).unwrap(), 0);
        source.records.push(Record::Text(b"late\n".to_vec()));
        assert_eq!(reader.read(&mut buffer, 9, &mut source).unwrap(), 5);
    }

    /// A single record that a closure shows.
    struct One<F>(F);

    impl<F: FnMut(&mut Seq)> Walk for One<F> {
        fn show(&mut self, seq: &mut Seq) -> Result<()> {
            (self.0)(seq);
            Ok(())
        }
        fn next(&mut self) -> Result<Option<u64>> {
            Ok(None)
        }
    }

    impl<F: FnMut(&mut Seq)> Source for One<F> {
        fn pass(
            &mut self,
            _: u64,
            visit: &mut dyn FnMut(u64, &mut dyn Walk) -> Result<()>,
        ) -> Result<()> {
            visit(0, self)
        }
    }

    #[test]
    fn a_show_that_never_ends_is_told() {
        let mut endless = One(|seq: &mut Seq| {
            while !seq.has_overflowed() {
                seq.put(&[b'x'; 1000]);
            }
        });
        let mut reader = Reader::new();
        for offset in [0, 0, 5] {
            let result = reader.read(&mut [0; 8], offset, &mut endless);
            assert_eq!(errno(result), Errno::ENOMEM);
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
        let mut shows = One(|seq: &mut Seq| write!(seq, "{Bad}"));
        let result = Reader::new().read(&mut [0; 8], 0, &mut shows);
        assert_eq!(errno(result), Errno::EIO);
    }
}

//! Reading and writing.

mod common;

use std::io::{IoSlice, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use common::{errno, text};
use kernfs::{Cancel, Cx, Errno, Has, OpenFlags, Ops, Result, Root, Seq};

/// A text of any length; counts how often it is shown.
struct Text(Arc<Mutex<Vec<u8>>>, Arc<AtomicUsize>);

impl Ops for Text {
    const HAS: Has = Has::SHOW;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        self.1.fetch_add(1, SeqCst);
        for piece in self.0.lock().unwrap().chunks(1000) {
            seq.put(piece);
        }
        Ok(())
    }
}

fn lines(n: usize) -> Vec<u8> {
    (0..n)
        .flat_map(|n| format!("line {n}\n").into_bytes())
        .collect()
}

#[test]
fn a_big_text_is_read_in_pieces_from_one_snapshot() {
    let root = Root::new();
    let (data, shown) = (Arc::new(Mutex::new(lines(10_000))), Arc::default());
    let ops = Text(Arc::clone(&data), Arc::clone(&shown));
    let file = root.create_file("f", 0o444, 0, ops).unwrap();
    let mut open = file.open(OpenFlags::READ).unwrap();

    let mut head = vec![0; 1000];
    open.read_exact(&mut head).unwrap();
    let runs = shown.load(SeqCst);
    assert!(runs > 1, "the first buffer is too small");
    // The text changes under the reader, who goes on in the old one.
    let old = std::mem::take(&mut *data.lock().unwrap());
    let mut rest = Vec::new();
    open.read_to_end(&mut rest).unwrap();
    assert_eq!([head, rest].concat(), old);
    assert_eq!(shown.load(SeqCst), runs);
    // Offset 0 starts anew.
    open.rewind().unwrap();
    assert_eq!(open.read(&mut [0; 10]).unwrap(), 0);
    assert_eq!(shown.load(SeqCst), runs + 1);
}

#[test]
fn a_read_at_any_offset_shows_anew_and_skips() {
    let root = Root::new();
    let data = lines(3000);
    let ops = Text(Arc::new(Mutex::new(data.clone())), Arc::default());
    let file = root.create_file("f", 0o444, 0, ops).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    let mut random = common::Random(7);
    let mut buffer = vec![0; 5000];
    for _ in 0..300 {
        let at = usize::try_from(random.below(data.len() as u64 + 100)).unwrap();
        let most = usize::try_from(random.below(5000)).unwrap();
        let n = open.read_at(&mut buffer[..most], at as u64).unwrap();
        let expected = &data[at.min(data.len())..];
        assert_eq!(
            &buffer[..n],
            &expected[..most.min(expected.len())],
            "{at} {most}"
        );
    }
    assert_eq!(open.read_at(&mut buffer, i64::MAX as u64).unwrap(), 0);
    assert_eq!(errno(open.read_at(&mut buffer, 1 << 63)), Errno::EINVAL);
}

#[test]
fn buffered_text_is_given_out_after_removal() {
    let root = Root::new();
    let ops = Text(Arc::new(Mutex::new(b"old text".to_vec())), Arc::default());
    let file = root.create_file("f", 0o444, 0, ops).unwrap();
    let mut open = file.open(OpenFlags::READ).unwrap();
    let mut buffer = [0; 4];
    open.read_exact(&mut buffer).unwrap();
    file.remove().unwrap();
    open.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"text");
    let error = open.read(&mut buffer).unwrap_err();
    assert_eq!(kernfs::Error::from(error).errno(), Errno::ENODEV);
    assert_eq!(open.read(&mut []).unwrap(), 0);
    assert_eq!(
        kernfs::Error::from(open.seek(SeekFrom::Start(0)).unwrap_err()).errno(),
        Errno::ENODEV
    );
}

/// Raw bytes that remember how they were asked for.
#[derive(Default)]
struct Raw {
    calls: Arc<Mutex<Vec<(usize, u64)>>>,
    atomic: usize,
}

impl Ops for Raw {
    const HAS: Has = Has::READ.with(Has::WRITE);
    type Open = ();
    fn atomic_write_len(&self) -> usize {
        self.atomic
    }
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn read(&self, _: &mut Cx<'_>, (): &(), buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.calls.lock().unwrap().push((buffer.len(), offset));
        buffer.fill(b'r');
        Ok(buffer.len() / 2)
    }
    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], offset: u64) -> Result<usize> {
        self.calls.lock().unwrap().push((data.len(), offset));
        Ok(data.len())
    }
}

#[test]
fn raw_reads_get_the_callers_offset_and_at_most_a_page() {
    let root = Root::new();
    let raw = Raw::default();
    let calls = Arc::clone(&raw.calls);
    let file = root.create_file("f", 0o644, 164, raw).unwrap();
    let mut open = file.open(OpenFlags::READ).unwrap();
    assert_eq!(open.read_at(&mut vec![0; 100_000], 7).unwrap(), 2048);
    assert_eq!(open.read_at(&mut [0; 10], 1 << 40).unwrap(), 5);
    assert_eq!(open.seek(SeekFrom::End(-4)).unwrap(), 160);
    assert_eq!(open.read(&mut [0; 2]).unwrap(), 1);
    assert_eq!(open.stream_position().unwrap(), 161);
    assert!(open.seek(SeekFrom::Current(-162)).is_err());
    assert!(open.seek(SeekFrom::Start(1 << 63)).is_err());
    assert_eq!(
        open.stream_position().unwrap(),
        161,
        "a failed seek moves nothing"
    );
    assert_eq!(*calls.lock().unwrap(), [(4096, 7), (10, 1 << 40), (2, 160)]);
}

#[test]
fn a_callback_that_reads_more_than_asked_is_eio() {
    struct Lies;
    impl Ops for Lies {
        const HAS: Has = Has::READ;
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn read(&self, _: &mut Cx<'_>, (): &(), buffer: &mut [u8], _: u64) -> Result<usize> {
            Ok(buffer.len() + 1)
        }
    }
    let root = Root::new();
    let file = root.create_file("f", 0o444, 0, Lies).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    assert_eq!(errno(open.read_at(&mut [0; 8], 0)), Errno::EIO);
    file.remove().unwrap();
}

#[test]
fn a_write_is_one_call() {
    let root = Root::new();
    let raw = Raw::default();
    let calls = Arc::clone(&raw.calls);
    let file = root.create_file("f", 0o644, 0, raw).unwrap();
    let mut open = file.open(OpenFlags::WRITE).unwrap();
    assert_eq!(open.write_at(&[0; 4097], 3).unwrap(), 4096, "cut to a page");
    assert_eq!(open.write_at(&[], 0).unwrap(), 0);
    open.write_all(&[0; 5000]).unwrap();
    assert_eq!(
        *calls.lock().unwrap(),
        [(4096, 3), (0, 0), (4096, 0), (904, 4096)]
    );
    file.remove().unwrap();
    assert_eq!(errno(open.write_at(b"x", 0)), Errno::ENODEV);
    assert_eq!(errno(open.write_at(&[], 0)), Errno::ENODEV);
    assert_eq!(calls.lock().unwrap().len(), 4);
}

#[test]
fn atomic_write_len_is_all_or_e2big() {
    let root = Root::new();
    let raw = Raw {
        atomic: 10_000,
        ..Raw::default()
    };
    let calls = Arc::clone(&raw.calls);
    let file = root.create_file("f", 0o644, 0, raw).unwrap();
    let open = file.open(OpenFlags::WRITE).unwrap();
    assert_eq!(open.write_at(&[0; 10_000], 0).unwrap(), 10_000);
    assert_eq!(errno(open.write_at(&[0; 10_001], 0)), Errno::E2BIG);
    assert_eq!(*calls.lock().unwrap(), [(10_000, 0)]);
    file.remove().unwrap();
    assert_eq!(errno(open.write_at(&[0; 10_001], 0)), Errno::E2BIG);
    assert_eq!(errno(open.write_at(&[0; 10_000], 0)), Errno::ENODEV);
}

#[test]
fn a_callback_sees_that_its_caller_gave_up() {
    struct Waits;
    impl Ops for Waits {
        const HAS: Has = Has::SHOW.with(Has::WRITE);
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn show(&self, cx: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
            write!(seq, "{}", cx.interrupted());
            Ok(())
        }
        fn write(&self, cx: &mut Cx<'_>, (): &(), _: &[u8], _: u64) -> Result<usize> {
            while !cx.interrupted() {
                std::thread::yield_now();
            }
            Err(Errno::EINTR.into())
        }
    }
    let root = Root::new();
    let file = root.create_file("f", 0o644, 0, Waits).unwrap();
    let open = file.open(OpenFlags::RDWR).unwrap();
    assert_eq!(text(&open), "false");
    let cancel = Cancel::new();
    std::thread::scope(|s| {
        let writer = s.spawn(|| open.write_at_with(b"x", 0, &cancel));
        cancel.set();
        assert_eq!(errno(writer.join().unwrap()), Errno::EINTR);
    });
    let mut buffer = [0; 16];
    let n = open.read_at_with(&mut buffer, 0, &cancel).unwrap();
    assert_eq!(&buffer[..n], b"true");
}

#[test]
fn a_vectored_write_is_one_call_of_all_parts() {
    let root = Root::new();
    let raw = Raw::default();
    let calls = Arc::clone(&raw.calls);
    let file = root.create_file("f", 0o644, 0, raw).unwrap();
    let mut open = file.open(OpenFlags::WRITE).unwrap();
    let part = [0; 3000];
    let parts = [&part[..1], &[], &part[..4]].map(IoSlice::new);
    assert_eq!(open.write_vectored(&parts).unwrap(), 5);
    let parts = [&part[..], &part[..]].map(IoSlice::new);
    assert_eq!(open.write_vectored(&parts).unwrap(), 4096);
    assert_eq!(open.write_vectored(&[]).unwrap(), 0);
    assert_eq!(*calls.lock().unwrap(), [(5, 0), (4096, 5), (0, 4101)]);
}

/// One buffer for all reads and writes; remembers where it was.
#[derive(Default)]
struct Preallocated(Arc<Mutex<Vec<(usize, usize)>>>, usize, bool);

impl Ops for Preallocated {
    const HAS: Has = Has::READ.with(Has::WRITE).with(Has::PREALLOC);
    type Open = ();
    fn atomic_write_len(&self) -> usize {
        self.1
    }
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn read(&self, _: &mut Cx<'_>, (): &(), buffer: &mut [u8], _: u64) -> Result<usize> {
        let place = (buffer.as_ptr().addr(), buffer.len());
        self.0.lock().unwrap().push(place);
        buffer.fill(b'p');
        Ok(buffer.len() + usize::from(self.2))
    }
    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        let place = (data.as_ptr().addr(), data.len());
        self.0.lock().unwrap().push(place);
        assert!(data.iter().all(|byte| *byte == b'w'));
        Ok(data.len())
    }
}

#[test]
fn a_preallocated_buffer_serves_all_reads_and_writes() {
    let root = Root::new();
    for (atomic, read, written) in [(0, 4096, 4096), (100, 100, 100), (5000, 4096, 5000)] {
        let ops = Preallocated(Arc::default(), atomic, false);
        let places = Arc::clone(&ops.0);
        let file = root.create_file("f", 0o644, 0, ops).unwrap();
        let open = file.open(OpenFlags::RDWR).unwrap();
        let mut buffer = vec![0; 6000];
        assert_eq!(open.read_at(&mut buffer, 0).unwrap(), read);
        assert!(buffer[..read].iter().all(|byte| *byte == b'p') && buffer[read] == 0);
        assert_eq!(open.read_at(&mut buffer[..10], 0).unwrap(), 10);
        assert_eq!(open.write_at(&vec![b'w'; written], 0).unwrap(), written);
        let longer = open.write_at(&vec![b'w'; written + 1], 0);
        match atomic {
            0 => assert_eq!(longer.unwrap(), 4096, "cut"),
            _ => assert_eq!(errno(longer), Errno::E2BIG),
        }
        let places = places.lock().unwrap();
        assert!(
            places.iter().all(|place| place.0 == places[0].0),
            "{places:?}"
        );
        assert_eq!(
            places[..3].iter().map(|p| p.1).collect::<Vec<_>>(),
            [read, 10, written]
        );
        file.remove().unwrap();
    }
    let lies = root
        .create_file("f", 0o644, 0, Preallocated(Arc::default(), 8, true))
        .unwrap();
    let open = lies.open(OpenFlags::READ).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(errno(open.read_at(&mut buffer, 0)), Errno::EIO);
    assert_eq!(buffer, [0; 16], "nothing of it reaches the reader");
}

#[test]
fn a_preallocated_buffer_is_not_for_text() {
    struct Both;
    impl Ops for Both {
        const HAS: Has = Has::SHOW.with(Has::PREALLOC);
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            panic!("not so far")
        }
    }
    let root = Root::new();
    let file = root.create_file("f", 0o444, 0, Both).unwrap();
    assert_eq!(errno(file.open(OpenFlags::READ)), Errno::EINVAL);
}

#[test]
fn a_file_may_seek_in_its_own_way() {
    struct Tape;
    impl Ops for Tape {
        const HAS: Has = Has::READ.with(Has::LLSEEK);
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn llseek(&self, _: &mut Cx<'_>, (): &(), position: u64, to: SeekFrom) -> Result<u64> {
            match to {
                SeekFrom::Start(n) => Ok(n),
                SeekFrom::End(n) => 1000_u64.checked_add_signed(n).ok_or(Errno::ERANGE.into()),
                SeekFrom::Current(n) => Ok(position.wrapping_add_signed(n)),
            }
        }
    }
    let root = Root::new();
    let file = root.create_file("f", 0o444, 7, Tape).unwrap();
    let mut open = file.open(OpenFlags::READ).unwrap();
    assert_eq!(
        open.seek(SeekFrom::End(-1)).unwrap(),
        999,
        "not by the size"
    );
    assert_eq!(open.seek(SeekFrom::Current(1)).unwrap(), 1000);
    assert_eq!(
        errno(open.seek_from(5, SeekFrom::End(-2000))),
        Errno::ERANGE
    );
    assert_eq!(
        errno(open.seek_from(5, SeekFrom::Current(-6))),
        Errno::EINVAL
    );
    assert_eq!(open.stream_position().unwrap(), 1000);
    file.remove().unwrap();
    assert_eq!(errno(open.seek_from(0, SeekFrom::Start(0))), Errno::ENODEV);
}

#[test]
fn a_callback_may_use_other_open_files() {
    /// Shows what another file shows, at the same time as that one's users.
    struct Sum(Arc<Mutex<Vec<kernfs::OpenFile>>>);
    impl Ops for Sum {
        const HAS: Has = Has::SHOW;
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
            for part in self.0.lock().unwrap().iter() {
                let mut text = [0; 8];
                let n = part.read_at(&mut text, 0)?;
                seq.put(&text[..n]);
            }
            Ok(())
        }
    }
    let root = Root::new();
    let parts = Arc::default();
    let sum = root
        .create_file("sum", 0o444, 0, Sum(Arc::clone(&parts)))
        .unwrap();
    let files = [1, 2].map(|n| root.attr(n.to_string(), kernfs::ro(move || n)).unwrap());
    *parts.lock().unwrap() = files
        .iter()
        .map(|f| f.open(OpenFlags::READ).unwrap())
        .collect();
    let open = sum.open(OpenFlags::READ).unwrap();
    assert_eq!(text(&open), "1\n2\n");
    // One of them goes: the error is the other's.
    files[1].remove().unwrap();
    let error = open.read_at(&mut [0; 8], 0).unwrap_err();
    assert_eq!(error.errno(), Errno::ENODEV);
    assert!(
        error.to_string().contains("/2") && sum.is_active(),
        "{error}"
    );
    parts.lock().unwrap().clear();
}

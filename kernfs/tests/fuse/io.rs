//! Reads and writes of all sizes, and errors that pass unchanged.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernfs::{Cx, Errno, Has, Ops, Result, Seq};

use crate::support::{errno, shell, shell_ok, text, with_mount};

/// Shows many lines, takes much, counts the calls.
#[derive(Debug, Default)]
struct Big {
    lines: usize,
    most: usize,
    shows: AtomicUsize,
    writes: AtomicUsize,
    last: AtomicUsize,
}

impl Big {
    fn text(&self) -> String {
        (0..self.lines).map(|n| format!("line {n}\n")).collect()
    }
}

impl Ops for Big {
    const HAS: Has = Has::SHOW.with(Has::WRITE);
    type Open = ();

    fn atomic_write_len(&self) -> usize {
        self.most
    }

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        self.shows.fetch_add(1, Ordering::Relaxed);
        for n in 0..self.lines {
            writeln!(seq, "line {n}");
        }
        Ok(())
    }

    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.last.store(data.len(), Ordering::Relaxed);
        Ok(data.len())
    }
}

/// Fails with the errno that was last written to it.
#[derive(Debug)]
struct Fails(i32);

impl Ops for Fails {
    const HAS: Has = Has::SHOW.with(Has::WRITE);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        Err(Errno::new(self.0).unwrap_or(Errno::EIO).into())
    }

    fn write(&self, _: &mut Cx<'_>, (): &(), _: &[u8], _: u64) -> Result<usize> {
        Err(Errno::new(self.0).unwrap_or(Errno::EIO).into())
    }
}

#[test]
fn a_bad_write_is_einval_and_changes_nothing() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            assert_eq!(errno(fs::write(setup.at("speed"), "bad\n")), libc::EINVAL);
            let output = shell(&setup.path, "/bin/echo bad > speed");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("Invalid argument"), "{said}");
            assert!(!output.status.success());
            assert_eq!(setup.read("speed"), "30\n");
        },
    );
}

#[test]
fn a_text_of_many_pages_is_read_in_pieces_of_any_size() {
    let big = Arc::new(Big {
        lines: 20_000,
        ..Big::default()
    });
    let ops = Arc::clone(&big);
    with_mount(
        |root| drop(root.create_file("big", 0o444, 4096, ops).expect("new")),
        |setup| {
            let text = big.text();
            assert!(text.len() > 40 * 4096);
            assert_eq!(setup.read("big"), text);
            for bs in ["1000", "4096", "1M"] {
                let script = format!("dd if=big bs={bs} status=none");
                assert_eq!(shell_ok(&setup.path, &script), text);
            }
            let mut file = File::open(setup.at("big")).expect("open");
            let mut start = vec![0; 5000];
            file.read_exact(&mut start).expect("more than that");
            let shows = big.shows.load(Ordering::Relaxed);
            let mut rest = String::new();
            file.read_to_string(&mut rest).expect("text");
            assert_eq!(String::from_utf8(start).expect("text") + &rest, text);
            // One text from beginning to end, not a new one for each read.
            assert_eq!(big.shows.load(Ordering::Relaxed), shows);
        },
    );
}

#[test]
fn a_large_write_is_one_call() {
    let big = Arc::new(Big {
        most: 1 << 19,
        ..Big::default()
    });
    let ops = Arc::clone(&big);
    with_mount(
        |root| drop(root.create_file("big", 0o644, 4096, ops).expect("new")),
        |setup| {
            let mut file = OpenOptions::new()
                .write(true)
                .open(setup.at("big"))
                .expect("open");
            let data = vec![b'x'; 1 << 19];
            assert_eq!(file.write(&data).expect("not too long"), data.len());
            assert_eq!(big.writes.load(Ordering::Relaxed), 1);
            assert_eq!(big.last.load(Ordering::Relaxed), data.len());
            let more = vec![b'x'; data.len() + 1];
            assert_eq!(errno(file.write(&more)), libc::E2BIG);
            assert_eq!(big.writes.load(Ordering::Relaxed), 1);
        },
    );
}

/// It came in pieces, each with an answer of its own, and the end was stored without the beginning.
#[test]
fn what_does_not_fit_into_a_request_is_no_write_in_one_piece() {
    const MOST: usize = (1 << 20) - 4096;
    let big = Arc::new(Big {
        most: 2 << 20,
        ..Big::default()
    });
    let ops = Arc::clone(&big);
    with_mount(
        |root| drop(root.create_file("big", 0o644, 4096, ops).expect("new")),
        |setup| {
            let open = OpenOptions::new().write(true).open(setup.at("big"));
            let mut file = open.expect("open");
            for len in [MOST + 1, 1 << 20, 3 << 19, 2 << 20, 3 << 20] {
                assert_eq!(errno(file.write(&vec![b'x'; len])), libc::E2BIG, "{len}");
            }
            assert_eq!(big.writes.load(Ordering::Relaxed), 0);
            let mut data = vec![b'x'; MOST + 4096];
            // Wherever it lies.
            for at in [0, 1, 4095] {
                let part = &mut data[at..at + MOST];
                assert_eq!(file.write(part).expect("it fits"), MOST);
                assert_eq!(big.last.load(Ordering::Relaxed), MOST);
            }
            assert_eq!(big.writes.load(Ordering::Relaxed), 3);
        },
    );
}

#[test]
fn without_a_limit_of_its_own_a_file_takes_a_page_at_a_time() {
    let big = Arc::new(Big::default());
    let ops = Arc::clone(&big);
    with_mount(
        |root| drop(root.create_file("page", 0o644, 4096, ops).expect("new")),
        |setup| {
            let file = OpenOptions::new()
                .write(true)
                .open(setup.at("page"))
                .expect("open");
            assert_eq!(file.write_at(&[b'x'; 5000], 0).expect("a page"), 4096);
            assert_eq!(big.writes.load(Ordering::Relaxed), 1);
        },
    );
}

#[test]
fn errnos_of_callbacks_reach_the_client() {
    let passed = [
        libc::EPERM,
        libc::EAGAIN,
        libc::ENOSYS,
        libc::ETIMEDOUT,
        libc::ENOSPC,
        511,
    ];
    let odd = [512, 524, 4095];
    with_mount(
        |root| {
            for number in passed.iter().chain(&odd) {
                let name = number.to_string();
                root.create_file(name, 0o644, 0, Fails(*number))
                    .expect("new");
            }
        },
        |setup| {
            for (numbers, same) in [(&passed[..], true), (&odd[..], false)] {
                for number in numbers {
                    let path = setup.at(&number.to_string());
                    let expected = if same { *number } else { libc::EIO };
                    assert_eq!(errno(fs::read(&path)), expected);
                    assert_eq!(errno(fs::write(&path, "x")), expected);
                }
            }
        },
    );
}

/// Cannot be opened, and says so in the way that the kernel takes for the mount's.
struct Closed;

impl Ops for Closed {
    const HAS: Has = Has::SHOW;
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Err(Errno::ENOSYS.into())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        Ok(())
    }
}

/// The kernel opened no file any more, and every read was EBADF.
#[test]
fn one_open_that_was_enosys_was_the_end_of_all_files() {
    with_mount(
        |root| {
            root.create_file("closed", 0o444, 0, Closed).expect("new");
            text(root, "speed", "30");
        },
        |setup| {
            assert_eq!(errno(File::open(setup.at("closed"))), libc::EOPNOTSUPP);
            assert_eq!(setup.read("speed"), "30\n");
            fs::write(setup.at("speed"), "31").expect("as before");
            assert_eq!(setup.read("speed"), "31\n");
        },
    );
}

#[test]
fn what_was_opened_for_one_thing_cannot_do_the_other() {
    with_mount(
        |root| {
            text(root, "speed", "30");
            root.create_file("sealed", 0o444, 0, Big::default())
                .expect("new");
        },
        |setup| {
            let reader = File::open(setup.at("speed")).expect("open");
            assert_eq!(errno(reader.write_at(b"x", 0)), libc::EBADF);
            // Also root, whom modes do not stop.
            let writer = OpenOptions::new().write(true).open(setup.at("sealed"));
            assert_eq!(errno(writer), libc::EACCES);
            let direct = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_DIRECT)
                .open(setup.at("speed"));
            assert_eq!(errno(direct), libc::EINVAL);
        },
    );
}

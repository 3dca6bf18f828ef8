//! Reading and writing text.

use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use crate::calls::{self, bytes, ok, open, pread, read, said};
use crate::place::Place;
use crate::table::{Case, one};

const MTU: &str = "kfb0/mtu";

fn rw(place: &Place<'_>) -> File {
    open(&place.dev(MTU), libc::O_RDWR).expect("mode 0644")
}

/// What the attribute says now.
fn shown(place: &Place<'_>) -> String {
    bytes(fs::read(place.dev(MTU)))
}

/// Sets the value to begin with.
fn set(place: &Place<'_>, value: &str) {
    calls::store(&place.dev(MTU), value);
}

pub(crate) const CASES: &[Case] = &[
    ("s.write.ok", |place| {
        let len = said((&rw(place)).write(b"1400\n"));
        one(format!("{len} {}", shown(place)))
    }),
    ("s.write.bad", |place| {
        one(said((&rw(place)).write(b"junk\n")))
    }),
    ("s.write.keep", |place| {
        set(place, "1400\n");
        let _ = (&rw(place)).write(b"junk\n");
        one(shown(place))
    }),
    ("s.write.zero", |place| one(said((&rw(place)).write(b"")))),
    ("s.write.off", |place| {
        let len = said(rw(place).write_at(b"1300\n", 100));
        one(format!("{len} {}", shown(place)))
    }),
    ("s.write.big", |place| {
        let mut text = b"1350\n".to_vec();
        text.resize(5000, 0);
        one(format!(
            "{} {}",
            said((&rw(place)).write(&text)),
            shown(place)
        ))
    }),
    ("s.write.two", |place| {
        let file = rw(place);
        (&file).write_all(b"1400\n").expect("valid");
        (&file).write_all(b"1300\n").expect("valid");
        one(shown(place))
    }),
    ("s.write.writev", |place| {
        let pieces = [&b"14"[..], b"00", b"\n"].map(IoSlice::new);
        let len = said((&rw(place)).write_vectored(&pieces));
        one(format!("{len} {}", shown(place)))
    }),
    ("s.write.mtime", |place| {
        let times = || {
            let stat = fs::metadata(place.dev(MTU)).expect("there");
            [
                stat.mtime(),
                stat.mtime_nsec(),
                stat.ctime(),
                stat.ctime_nsec(),
            ]
        };
        // A file that was changed has times of its own, which is what may not move.
        let file = rw(place);
        let epoch = std::time::SystemTime::UNIX_EPOCH;
        file.set_modified(epoch).expect("ours");
        let before = times();
        (&file).write_all(b"1400\n").expect("valid");
        one(times() == before)
    }),
    ("x.write.append", |place| {
        let file = open(&place.dev(MTU), libc::O_WRONLY | libc::O_APPEND).expect("mode 0644");
        let len = said((&file).write(b"1310\n"));
        one(format!("{len} {}", shown(place)))
    }),
    ("x.write.position", |place| {
        let file = rw(place);
        let wrote = said((&file).write(b"1400\n"));
        let after = said((&file).stream_position());
        let failed = said((&file).write(b"junk\n"));
        one(format!(
            "{wrote} {after} {failed} {}",
            said((&file).stream_position())
        ))
    }),
    ("x.write.readonly", |place| {
        let file = open(&place.dev(MTU), libc::O_RDONLY).expect("mode 0644");
        let reader = said((&file).write(b"1400\n"));
        let file = open(&place.dev(MTU), libc::O_WRONLY).expect("mode 0644");
        one(format!("{reader} {}", bytes(read(&file, 16))))
    }),
    ("s.read.eof", |place| {
        set(place, "1400\n");
        let file = rw(place);
        one(format!(
            "{} {}",
            bytes(read(&file, 100)),
            bytes(read(&file, 100))
        ))
    }),
    ("s.read.seekend", |place| {
        let file = rw(place);
        let end = said((&file).seek(SeekFrom::End(0)));
        one(format!("{end} {}", bytes(read(&file, 100))))
    }),
    ("s.read.pread", |place| {
        set(place, "1400\n");
        one(bytes(pread(&rw(place), 2, 1)))
    }),
    ("s.read.err", |place| {
        let file = open(&place.dev("kfb0/speed"), libc::O_RDONLY);
        one(bytes(file.and_then(|file| read(&file, 100))))
    }),
    ("s.read.err.open", |place| {
        one(ok(open(&place.dev("kfb0/speed"), libc::O_RDONLY)))
    }),
    ("x.read.pieces", |place| {
        // A text is of one moment, until it is read from the beginning again.
        set(place, "1400\n");
        let file = rw(place);
        let first = bytes(read(&file, 2));
        set(place, "1399\n");
        let rest = bytes(read(&file, 100));
        (&file).rewind().expect("0 is a place");
        one(format!("{first} {rest} {}", bytes(read(&file, 100))))
    }),
    ("x.read.mixed", |place| {
        // One that goes on elsewhere is of two.
        set(place, "1400\n");
        let file = rw(place);
        let first = bytes(pread(&file, 2, 0));
        set(place, "1399\n");
        let jump = bytes(pread(&file, 3, 3));
        one(format!("{first} {jump} {}", bytes(pread(&file, 100, 2))))
    }),
    ("x.read.past", |place| {
        let file = rw(place);
        let offsets = [5, 6, 4096, 100_000];
        one(offsets
            .map(|offset| bytes(pread(&file, 16, offset)))
            .join(" "))
    }),
    ("x.read.zero", |place| one(bytes(read(&rw(place), 0)))),
    ("x.read.readv", |place| {
        set(place, "1400\n");
        let (mut first, mut second) = ([0; 3], [0; 3]);
        let mut pieces = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let len = said((&rw(place)).read_vectored(&mut pieces));
        let both = [first, second].concat();
        one(format!("{len} {}", bytes(Ok(both))))
    }),
    ("x.read.fault", |place| {
        one(said(calls::read_nowhere(&rw(place))))
    }),
    ("x.seek", |place| {
        let file = rw(place);
        let to = [
            SeekFrom::Start(3),
            SeekFrom::Current(-1),
            SeekFrom::Current(-10),
            SeekFrom::End(-4000),
            SeekFrom::Start((1 << 31) - 1),
        ];
        let seen = to.map(|to| said((&file).seek(to)));
        vec![
            ("", seen.join(" ")),
            ("far", said((&file).seek(SeekFrom::Start(1 << 31)))),
        ]
    }),
    ("x.dup", |place| {
        // One position for both.
        set(place, "1400\n");
        let file = rw(place);
        let twin = file.try_clone().expect("a descriptor is free");
        one(format!(
            "{} {}",
            bytes(read(&file, 2)),
            bytes(read(&twin, 100))
        ))
    }),
    ("x.sync", |place| {
        let file = rw(place);
        one(format!("{} {}", ok(file.sync_all()), ok(file.sync_data())))
    }),
    ("x.truncate", |place| {
        let file = rw(place);
        let cut = [0, 10, 100_000].map(|size| ok(file.set_len(size)));
        one(format!(
            "{} {}",
            cut.join(" "),
            fs::metadata(place.dev(MTU)).expect("there").len()
        ))
    }),
    ("x.fallocate", |place| {
        one(said(calls::fallocate(&rw(place))))
    }),
    ("x.ioctl", |place| one(said(calls::ioctl(&rw(place))))),
    ("x.lock", |place| {
        let (file, other) = (rw(place), rw(place));
        let locked = ok(file.lock());
        let busy = matches!(other.try_lock(), Err(fs::TryLockError::WouldBlock));
        one(format!("{locked} {busy} {}", ok(file.unlock())))
    }),
    ("x.sendfile", |place| {
        set(place, "1400\n");
        let (from, to) = io::pipe().expect("descriptors are free");
        let sent = said(calls::sendfile(&to, &rw(place)));
        drop(to);
        let mut got = Vec::new();
        let got = { &from }.read_to_end(&mut got).map(|_| got);
        one(format!("{sent} {}", bytes(got)))
    }),
    ("x.sendfile.again", |place| {
        let after = |change: fn(&Place<'_>)| {
            set(place, "1400\n");
            let file = rw(place);
            let (mut from, to) = io::pipe().expect("descriptors are free");
            let mut sent = || {
                (&file).rewind().expect("0 is a place");
                calls::sendfile(&to, &file).expect("readable");
                let mut got = [0; 5];
                from.read_exact(&mut got).expect("it was sent");
                got.escape_ascii().to_string()
            };
            let first = sent();
            change(place);
            format!("{first} {}", sent())
        };
        vec![
            ("write", after(|place| set(place, "1399\n"))),
            ("owner", after(|place| place.owner.set_mtu("kfb0", 1398))),
        ]
    }),
    ("s.mmap", |place| {
        one(bytes(calls::mmap(&rw(place), 4, libc::MAP_PRIVATE)))
    }),
    ("x.mmap.shared", |place| {
        one(bytes(calls::mmap(&rw(place), 4, libc::MAP_SHARED)))
    }),
    ("x.mmap.size", |place| {
        // Whoever maps it does not change what stat shows.
        let file = rw(place);
        drop(calls::mmap(&file, 4, libc::MAP_PRIVATE));
        let path = fs::metadata(place.dev(MTU)).expect("there").len();
        one(format!("{path} {}", file.metadata().expect("open").len()))
    }),
];

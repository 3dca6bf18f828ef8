//! Binary attributes, of those that the machine has.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom};
use std::path::PathBuf;

use crate::calls::{self, bytes, ok, open, pread, read, said};
use crate::place::{Bins, Place};
use crate::table::{Case, SKIPPED, Seen, one};

/// Runs `case` on the small or the large one, if there is one.
fn on(
    place: &Place<'_>,
    which: fn(&Bins) -> &Option<PathBuf>,
    case: fn(&File, u64, PathBuf) -> String,
) -> Seen {
    let Some(path) = which(place.bins) else {
        return one(SKIPPED);
    };
    let path = place.top.join(path);
    let file = open(&path, libc::O_RDONLY).expect("it worked before");
    let size = fs::metadata(&path).expect("there").len();
    one(case(&file, size, path))
}

const SMALL: fn(&Bins) -> &Option<PathBuf> = |bins| &bins.small;
const LARGE: fn(&Bins) -> &Option<PathBuf> = |bins| &bins.large;

pub(crate) const CASES: &[Case] = &[
    ("s.bin.size", |place| {
        on(place, SMALL, |file, size, _| {
            let all = read(file, 1 << 16).expect("readable");
            (all.len() as u64 == size).to_string()
        })
    }),
    ("s.bin.pread", |place| {
        on(place, SMALL, |file, size, _| {
            bytes(pread(file, 100, size - 4))
        })
    }),
    ("s.bin.past", |place| {
        on(place, SMALL, |file, size, _| {
            format!(
                "{} {}",
                bytes(pread(file, 100, size)),
                bytes(pread(file, 100, size + 1000))
            )
        })
    }),
    ("s.bin.end", |place| {
        on(place, SMALL, |mut file, _, _| {
            said(file.seek(SeekFrom::End(0)))
        })
    }),
    ("s.bin.wr", |place| {
        on(place, SMALL, |_, _, path| ok(open(&path, libc::O_WRONLY)))
    }),
    ("s.bin.poll", |place| {
        on(place, SMALL, |file, _, _| {
            let fresh = calls::poll(file);
            drop(read(file, 4096));
            format!("{fresh} {}", calls::poll(file))
        })
    }),
    ("s.binbig.read", |place| {
        on(place, LARGE, |file, _, _| {
            said(read(file, 1 << 20).map(|data| data.len()))
        })
    }),
    ("s.binbig.unaligned", |place| {
        on(place, LARGE, |file, _, _| {
            said(pread(file, 8192, 100).map(|data| data.len()))
        })
    }),
    ("x.binbig.all", |place| {
        on(place, LARGE, |file, size, _| {
            let (mut sum, mut len) = (0_u64, 0_u64);
            loop {
                let page = pread(file, 5000, len).expect("readable");
                if page.is_empty() {
                    return format!("{} {sum:x}", len == size);
                }
                len += page.len() as u64;
                for byte in page {
                    sum = sum.rotate_left(5) ^ u64::from(byte);
                }
            }
        })
    }),
    ("s.binbig.mmap", |place| {
        on(place, LARGE, |file, _, _| {
            let mut pages = Vec::new();
            while pages.len() < 3 * 4096 {
                pages.extend(pread(file, 4096, pages.len() as u64).expect("readable"));
            }
            said(calls::mmap(file, 3 * 4096, libc::MAP_PRIVATE).map(|seen| seen == pages))
        })
    }),
];

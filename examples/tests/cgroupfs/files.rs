//! Files: opening, reading, writing, seeking; and what is left of removed ones.

use std::io::IoSlice;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use rustix::fs::{
    Access, FallocateFlags, FlockOperation, Mode, OFlags, SeekFrom, access, fallocate, fdatasync,
    flock, fsync, ftruncate, open, seek, sendfile,
};
use rustix::io::{pwrite, readv, write, writev};

use crate::script::{COMMON, Case, Script};

const PROCS: &str = "cgroup.procs";
const EVENTS: &str = "cgroup.events";
const DEPTH: &str = "cgroup.max.depth";

pub(crate) const CASES: &[Case] = &[
    ("c.open.against-mode", |s| {
        for name in COMMON {
            let file = s.open(name, OFlags::RDWR);
            s.told(
                &format!("open {name}"),
                file.as_ref().map(drop).map_err(|e| *e),
            );
        }
    }),
    ("c.open.not-offered", |s| {
        let kill = s.both("cgroup.kill");
        s.next("cgroup.kill", &kill, 10);
        for name in ["cgroup.controllers", EVENTS, "cgroup.stat"] {
            s.write(name, "1");
            s.write(name, "");
        }
    }),
    ("c.open.not-open-for", |s| {
        let file = s.open(DEPTH, OFlags::RDONLY).expect("there");
        s.told("write", write(&file, b"1"));
        let file = s.open(DEPTH, OFlags::WRONLY).expect("there");
        s.next("it", &file, 10);
    }),
    ("c.open.create", |s| {
        let flags = OFlags::WRONLY | OFlags::CREATE;
        s.told("new", s.open("x", flags).map(drop));
        s.told("there", s.open(DEPTH, flags).map(drop));
        s.told("exclusive", s.open(DEPTH, flags | OFlags::EXCL).map(drop));
        s.told(
            "exclusive, new",
            s.open("x", flags | OFlags::EXCL).map(drop),
        );
    }),
    ("c.open.tmpfile", |s| {
        s.told(
            "open",
            s.open("", OFlags::WRONLY | OFlags::TMPFILE).map(drop),
        );
    }),
    ("c.open.direct", |s| {
        s.told(
            "open",
            s.open(DEPTH, OFlags::RDONLY | OFlags::DIRECT).map(drop),
        );
    }),
    ("c.open.kinds", |s| {
        s.told("directory to write", s.open("", OFlags::WRONLY).map(drop));
        s.told(
            "file as directory",
            s.open(DEPTH, OFlags::DIRECTORY).map(drop),
        );
        s.told("path", s.open(DEPTH, OFlags::PATH).map(drop));
        s.told("nofollow", s.open(DEPTH, OFlags::NOFOLLOW).map(drop));
        s.told(
            "below a file",
            s.open(&format!("{DEPTH}/x"), OFlags::RDONLY).map(drop),
        );
        s.told("missing", s.open("x", OFlags::RDONLY).map(drop));
    }),
    ("c.open.trunc", |s| {
        s.write(DEPTH, "5");
        s.told(
            "open",
            s.open(DEPTH, OFlags::WRONLY | OFlags::TRUNC).map(drop),
        );
        s.read(DEPTH);
        s.stat(DEPTH);
    }),
    ("c.access", |s| {
        for name in ["", DEPTH, EVENTS, "cgroup.kill", "x"] {
            for bits in [Access::READ_OK, Access::WRITE_OK, Access::EXEC_OK] {
                s.told(&format!("{name} {bits:?}"), access(s.at(name), bits));
            }
        }
    }),
    ("c.truncate", |s| {
        let file = s.both(DEPTH);
        for len in [0, 1, 100_000] {
            s.told(&format!("ftruncate {len}"), ftruncate(&file, len));
        }
        s.stat(DEPTH);
        s.read(DEPTH);
    }),
    ("c.fsync", |s| {
        let file = s.both(DEPTH);
        s.told("fsync", fsync(&file));
        s.told("fdatasync", fdatasync(&file));
    }),
    ("c.fsync.directory", |s| {
        let dir = s.file("");
        s.told("fsync", fsync(&dir));
    }),
    ("c.fallocate", |s| {
        let file = s.both(DEPTH);
        s.told(
            "fallocate",
            fallocate(&file, FallocateFlags::empty(), 0, 10),
        );
    }),
    ("c.flock", |s| {
        let (a, b) = (s.both(DEPTH), s.both(DEPTH));
        s.told("one", flock(&a, FlockOperation::NonBlockingLockExclusive));
        s.told("two", flock(&b, FlockOperation::NonBlockingLockExclusive));
    }),
    ("c.sendfile", |s| {
        let (reader, writer) = std::io::pipe().expect("descriptors");
        let file = s.file(EVENTS);
        s.told("sendfile", sendfile(&writer, &file, None, 100));
        drop(writer);
        s.next("the pipe", &reader, 100);
    }),
    ("c.read.pieces", |s| {
        let file = s.file(EVENTS);
        for _ in 0..30 {
            s.next("it", &file, 1);
        }
        s.next("it", &file, 0);
    }),
    ("c.read.offsets", |s| {
        let file = s.file(EVENTS);
        for offset in [0, 3, 10, 21, 22, 23, 100, 1 << 20] {
            s.next_at("it", &file, 10, offset);
        }
        s.next("it", &file, 65536);
        s.next("it", &file, 10);
    }),
    ("c.read.snapshot", |s| {
        // What was begun is read to its end, what is at an offset is new.
        let file = s.file(EVENTS);
        s.next("it", &file, 15);
        s.write("cgroup.freeze", "1");
        s.next("it", &file, 100);
        s.next_at("it", &file, 100, 12);
        s.next_at("it", &file, 100, 0);
    }),
    ("c.read.vectored", |s| {
        let file = s.file(EVENTS);
        let (mut a, mut b) = ([0; 5], [0; 50]);
        let answer = readv(
            &file,
            &mut [
                std::io::IoSliceMut::new(&mut a),
                std::io::IoSliceMut::new(&mut b),
            ],
        );
        s.told("readv", answer);
    }),
    ("c.read.directory", |s| {
        let dir = s.file("");
        s.next("directory", &dir, 10);
    }),
    ("c.seek", |s| {
        let file = s.file(EVENTS);
        for to in [
            SeekFrom::End(0),
            SeekFrom::End(-1),
            SeekFrom::Start(5),
            SeekFrom::Current(5),
            SeekFrom::Current(-11),
        ] {
            s.told(&format!("{to:?}"), seek(&file, to));
        }
        s.next("it", &file, 10);
    }),
    ("c.seek.far", |s| {
        let file = s.file(EVENTS);
        for at in [i64::from(i32::MAX), 1 << 31, i64::MAX] {
            s.told(
                &format!("{at}"),
                seek(&file, SeekFrom::Start(at.cast_unsigned())),
            );
        }
    }),
    ("c.seek.data", |s| {
        let file = s.file(EVENTS);
        s.told("data", seek(&file, SeekFrom::Data(0)));
        s.told("hole", seek(&file, SeekFrom::Hole(0)));
    }),
    ("c.write.empty", |s| {
        for name in COMMON {
            s.write(name, "");
        }
        s.read(DEPTH);
    }),
    ("c.write.offset", |s| {
        let file = s.both(DEPTH);
        for (offset, text) in [(0, "1"), (100, "2"), (1 << 30, "3")] {
            s.told("pwrite", pwrite(&file, text.as_bytes(), offset));
            s.next_at("it", &file, 10, 0);
        }
    }),
    ("c.write.position", |s| {
        let file = s.both(DEPTH);
        s.told("write", write(&file, b"12"));
        s.told("position", seek(&file, SeekFrom::Current(0)));
        s.told("write", write(&file, b"x"));
        s.told("position", seek(&file, SeekFrom::Current(0)));
        s.told("write", write(&file, b"7"));
        s.next("it", &file, 10);
        s.read(DEPTH);
    }),
    ("c.write.4096", |s| {
        let padded = |len: usize| format!("7{}", " ".repeat(len - 1));
        for len in [4095, 4096, 4097, 5000, 100_000] {
            s.write(DEPTH, &padded(len));
            s.read(DEPTH);
        }
        s.write(EVENTS, &padded(4097));
        s.write(PROCS, &padded(4097));
        s.write("cpu.pressure", &padded(4097));
    }),
    ("c.write.vectored", |s| {
        let file = s.both(DEPTH);
        let parts = ["1", "2", "3\n"].map(|part| IoSlice::new(part.as_bytes()));
        s.told("writev", writev(&file, &parts));
        s.read(DEPTH);
    }),
    ("c.write.append", |s| {
        let file = s
            .open(DEPTH, OFlags::WRONLY | OFlags::APPEND)
            .expect("there");
        s.told("write", write(&file, b"9"));
        s.read(DEPTH);
    }),
    ("c.mmap.shared", |s| {
        let file = s.both(DEPTH);
        s.told("mmap", map(&file, libc::MAP_SHARED));
    }),
    ("c.mmap.private", |s| {
        let file = s.both(DEPTH);
        s.told("mmap", map(&file, libc::MAP_PRIVATE));
    }),
    ("c.ioctl", |s| {
        let file = s.both(DEPTH);
        s.told("FIONREAD", rustix::io::ioctl_fionread(&file));
    }),
    ("c.removed.io", |s| {
        let files = removed(s);
        for (name, file) in &files {
            s.next(name, file, 10);
            s.next(name, file, 0);
            s.next_at(name, file, 10, 0);
            s.told("write", write(file, b"1"));
            s.told("write much", write(file, &[b'1'; 4097]));
            s.told("fsync", fsync(file));
            s.told("truncate", ftruncate(file, 0));
        }
    }),
    ("c.removed.write.empty", |s| {
        for (name, file) in &removed(s) {
            s.told(name, write(file, b""));
        }
    }),
    ("c.removed.seek", |s| {
        for (name, file) in &removed(s) {
            s.told(name, seek(file, SeekFrom::Start(0)));
        }
    }),
    ("c.removed.poll", |s| {
        for (name, file) in &removed(s) {
            s.ready(name, file);
        }
    }),
    ("c.removed.mmap", |s| {
        for (name, file) in &removed(s) {
            s.told(name, map(file, libc::MAP_SHARED));
        }
    }),
    ("c.removed.reopen", |s| {
        for (name, file) in &removed(s) {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            s.told(name, open(path, OFlags::RDONLY, Mode::empty()).map(drop));
        }
    }),
    ("c.removed.buffered", |s| {
        s.mkdir("a");
        let file = s.file("a/cgroup.events");
        s.next("it", &file, 3);
        s.rmdir("a");
        s.next("it", &file, 100);
        s.next("it", &file, 100);
    }),
    ("c.removed.path", |s| {
        s.mkdir("a");
        s.read("a/cgroup.freeze");
        s.rmdir("a");
        s.read("a/cgroup.freeze");
        s.stat("a/cgroup.freeze");
        s.mkdir("a");
        s.read("a/cgroup.freeze");
    }),
];

/// Open files of a group that is not there any more.
fn removed(s: &mut Script) -> Vec<(&'static str, OwnedFd)> {
    s.mkdir("a");
    let open = |&name: &&'static str| (name, s.both(&format!("a/{name}")));
    let files = [EVENTS, DEPTH, PROCS, "cpu.pressure"]
        .iter()
        .map(open)
        .collect();
    s.rmdir("a");
    files
}

/// Maps a page of it, and unmaps it.
fn map(file: &OwnedFd, flags: libc::c_int) -> std::io::Result<()> {
    let (null, fd) = (std::ptr::null_mut(), file.as_fd().as_raw_fd());
    // SAFETY: a new mapping, at a place of the kernel's choice.
    let page = unsafe { libc::mmap(null, 4096, libc::PROT_READ, flags, fd, 0) };
    if page == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: what was just mapped, and nobody has used.
    unsafe { libc::munmap(page, 4096) };
    Ok(())
}

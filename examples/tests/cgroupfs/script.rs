//! What a case is made of: calls, and a log of what they answered.

use std::fmt::{Debug, Write as _};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use kernfs::Errno;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};

/// Its id, and what it does in a fresh group.
pub(crate) type Case = (&'static str, fn(&mut Script));

/// The files that both trees have.
pub(crate) const COMMON: [&str; 14] = [
    "cgroup.controllers",
    "cgroup.events",
    "cgroup.freeze",
    "cgroup.kill",
    "cgroup.max.depth",
    "cgroup.max.descendants",
    "cgroup.pressure",
    "cgroup.procs",
    "cgroup.stat",
    "cgroup.threads",
    "cgroup.type",
    "cpu.pressure",
    "io.pressure",
    "memory.pressure",
];

/// A group, and what was told of it.
pub(crate) struct Script {
    dir: PathBuf,
    log: String,
}

impl Script {
    pub(crate) fn new(dir: PathBuf) -> Self {
        let log = String::new();
        Self { dir, log }
    }

    pub(crate) fn end(self) -> String {
        self.log
    }

    /// A path below the group; itself for "".
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        match name {
            "" => self.dir.clone(),
            _ => self.dir.join(name),
        }
    }

    /// Notes something seen.
    pub(crate) fn saw(&mut self, what: &str, it: impl Debug) {
        let _ = writeln!(self.log, "{what}: {it:?}");
    }

    /// Notes an answer: a value, or an errno.
    pub(crate) fn told<T: Debug, E: Into<io::Error>>(&mut self, what: &str, answer: Result<T, E>) {
        match answer {
            Ok(value) => self.saw(what, value),
            Err(error) => {
                let error = error.into();
                let errno = error.raw_os_error().and_then(Errno::new);
                match errno {
                    Some(errno) => self.saw(what, errno),
                    None => self.saw(what, error),
                }
            }
        }
    }

    pub(crate) fn mkdir(&mut self, name: &str) {
        let answer = fs::create_dir(self.at(name));
        self.told(&format!("mkdir {name}"), answer);
    }

    pub(crate) fn mkdir_mode(&mut self, name: &str, mode: u32) {
        let answer = DirBuilder::new().mode(mode).create(self.at(name));
        self.told(&format!("mkdir {name} {mode:o}"), answer);
    }

    pub(crate) fn rmdir(&mut self, name: &str) {
        let answer = fs::remove_dir(self.at(name));
        self.told(&format!("rmdir {name}"), answer);
    }

    /// Writes a text with one call.
    pub(crate) fn write(&mut self, name: &str, text: &str) {
        let file = OpenOptions::new().write(true).open(self.at(name));
        let answer = file.and_then(|file| Ok(rustix::io::write(file, text.as_bytes())?));
        let shown = if text.len() > 99 { "..." } else { text };
        self.told(&format!("write {name} {shown:?}"), answer);
    }

    /// Reads all of it.
    pub(crate) fn read(&mut self, name: &str) {
        let answer = fs::read_to_string(self.at(name));
        self.told(&format!("read {name}"), answer);
    }

    /// Each value is written, then the file read.
    pub(crate) fn values(&mut self, name: &str, values: &[&str]) {
        for value in values {
            self.write(name, value);
            self.read(name);
        }
    }

    pub(crate) fn stat(&mut self, name: &str) {
        let answer = fs::symlink_metadata(self.at(name)).map(|stat| Stat {
            mode: format!("{:o}", stat.mode()),
            nlink: stat.nlink(),
            owner: (stat.uid(), stat.gid()),
            size: stat.size(),
            blocks: (stat.blocks(), stat.blksize()),
        });
        self.told(&format!("stat {name}"), answer);
    }

    /// Opens it as the flags say.
    pub(crate) fn open(&self, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        open(self.at(name), flags | OFlags::CLOEXEC, Mode::from(0o644))
    }

    /// Opens it, which must work.
    pub(crate) fn file(&self, name: &str) -> File {
        let file = File::open(self.at(name));
        file.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// For both, also against the mode.
    pub(crate) fn both(&self, name: &str) -> OwnedFd {
        let file = self.open(name, OFlags::RDWR);
        file.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What a file is ready for at once.
    pub(crate) fn ready(&mut self, what: &str, file: &impl AsFd) {
        let flags = ready(file, 0x7ff, false);
        self.saw(&format!("poll {what}"), format_args!("{flags:#x}"));
    }

    /// Up to `len` bytes from the position of the file.
    pub(crate) fn next(&mut self, what: &str, file: &impl AsFd, len: usize) {
        let mut bytes = vec![0; len];
        let answer = rustix::io::read(file, &mut bytes[..]);
        let answer = answer.map(|n| String::from_utf8_lossy(&bytes[..n]).into_owned());
        self.told(&format!("read {len} of {what}"), answer);
    }

    /// Up to `len` bytes from an offset.
    pub(crate) fn next_at(&mut self, what: &str, file: &impl AsFd, len: usize, offset: u64) {
        let mut bytes = vec![0; len];
        let answer = rustix::io::pread(file, &mut bytes[..], offset);
        let answer = answer.map(|n| String::from_utf8_lossy(&bytes[..n]).into_owned());
        self.told(&format!("read {len} of {what} at {offset}"), answer);
    }

    /// Those of the names that the directory lists, in order.
    pub(crate) fn list(&mut self, name: &str) {
        let names = names(&self.at(name)).map(|mut names| {
            names.retain(|name| !name.contains('.') || COMMON.contains(&name.as_str()));
            names
        });
        self.told(&format!("list {name}"), names);
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug")]
struct Stat {
    mode: String,
    nlink: u64,
    owner: (u32, u32),
    size: u64,
    blocks: (u64, u64),
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        names.push(String::from_utf8_lossy(name.as_bytes()).into_owned());
    }
    names.sort();
    Ok(names)
}

/// What poll(2) answers to the question for these events. With `wait` it sleeps for them; there is a watchdog.
pub(crate) fn ready(file: &impl AsFd, events: u16, wait: bool) -> u16 {
    let mut items = [PollFd::new(file, PollFlags::from_bits_retain(events))];
    let now = rustix::event::Timespec::default();
    poll(&mut items, if wait { None } else { Some(&now) }).expect("poll");
    items[0].revents().bits()
}

/// The lines of two logs that are not the same.
pub(crate) fn difference(real: &str, own: &str) -> String {
    let mut text = String::new();
    let (mut real, mut own) = (real.lines(), own.lines());
    loop {
        match (real.next(), own.next()) {
            (None, None) => return text,
            (theirs, own) if theirs == own => {}
            (theirs, own) => {
                let _ = writeln!(text, "  cgroup2  {}", theirs.unwrap_or("(nothing)"));
                let _ = writeln!(text, "  cgroupfs {}", own.unwrap_or("(nothing)"));
            }
        }
    }
}

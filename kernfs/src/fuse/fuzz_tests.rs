//! A kernel that sends anything: random requests, most of them with sense, to a session that serves them as a mount does.
//!
//! The device is a socket that keeps messages apart; this test is its other end. Checked: each request that wants an answer
//! gets one, well formed, with an errno that the kernel takes; nothing hangs; and when all is given back, nothing is
//! left. `KERNFS_ROUNDS` makes it longer; `KERNFS_FUZZ_SECONDS` goes on with other seeds for so long, which it prints.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::abi::{
    BatchForgetIn, EntryOut, Field, ForgetOne, IoIn, MkdirIn, OpenIn, OpenOut, OutHeader, PollIn,
    ReleaseIn, RenameIn, SetattrIn, SetxattrIn, op,
};
use super::abi::{InHeader, ROOT_ID};
use super::adapter::Adapter;
use super::channel::Channel;
use super::listener::Listener;
use super::notifier::Notifier;
use super::options::Options;
use super::session::Session;
use crate::attr::{ro, rw, wo};
use crate::bin::bin;
use crate::cx::SyscallCx;
use crate::error::{Errno, Result};
use crate::flags::RootFlags;
use crate::node::{Dir, Node};
use crate::root::Root;
use crate::syscalls::SyscallOps;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(0) % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A number of any size, small ones more often.
    fn number(&mut self) -> u64 {
        let bits = self.below(64);
        self.next() >> bits
    }

    fn word(&mut self) -> u32 {
        u32::try_from(self.number() & 0xffff_ffff).unwrap_or(0)
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        match list.len() {
            0 => None,
            len => Some(list[self.below(len)]),
        }
    }
}

/// Users may do all.
struct Users;

impl SyscallOps for Users {
    fn mkdir(&self, _: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        let dir = parent.create_dir(name, mode)?;
        dir.attr("size", ro(|| 1)).map(drop)
    }
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        let _unprotected = cx.break_protection();
        dir.remove()
    }
    fn rename(&self, _: &mut SyscallCx<'_>, node: &Node, to: &Dir, name: &[u8]) -> Result<()> {
        node.rename(to, name)
    }
}

const NAMES: [&[u8]; 10] = [
    b"a", b"b", b"dir", b"speed", b"kick", b"link", b"raw", b"fails", b".", b"..",
];

/// What the owner does meanwhile. All may fail: the name is taken, or gone.
fn own(root: &Root, random: &mut Random) {
    let dirs: [&[u8]; 4] = [b"", b"dir", b"a", b"a/b"];
    let dir = root.walk(dirs[random.below(dirs.len())]);
    let Some(dir) = dir.and_then(|node| node.as_dir()) else {
        return;
    };
    let name = NAMES[random.below(8)];
    match random.below(8) {
        0 => drop(dir.create_dir(name, 0o755)),
        1 => drop(dir.attr("speed", rw(|| 7, |_: u32| {}))),
        2 => {
            let raw = bin(100).read(|_, offset| Ok(usize::try_from(offset % 7).unwrap_or(0)));
            drop(dir.attr("raw", raw));
        }
        3 => {
            // A write to it removes what is beside it: its answer has to wait for the news.
            let victim = dir.clone();
            let kick =
                wo(move |_: String| victim.find("speed").map_or(Ok(()), |node| node.remove()));
            drop(dir.attr("kick", kick));
        }
        4 => drop(dir.attr("fails", ro(|| 1).mode(0o200))),
        5 => drop(dir.create_link("link", &dir).or_else(|_| {
            let target = root.find(name).ok_or(Errno::ENOENT)?;
            dir.create_link("link", &target)
        })),
        6 => drop(dir.remove_by_name(name)),
        _ => {
            if let Some(file) = dir.find(name).and_then(|node| node.as_file()) {
                file.notify();
                let _ = file.hide();
                let _ = file.show();
            }
        }
    }
}

/// What this kernel knows.
#[derive(Default)]
struct Known {
    /// Lookups to give back.
    nodes: HashMap<u64, u64>,
    files: HashSet<u64>,
    dirs: HashSet<u64>,
}

impl Known {
    fn id(&self, random: &mut Random) -> u64 {
        match random.below(10) {
            0 => random.number(),
            1 | 2 => ROOT_ID,
            _ => {
                let mut ids: Vec<u64> = self.nodes.keys().copied().collect();
                ids.sort_unstable(); // one seed, one run
                random.of(&ids).unwrap_or(ROOT_ID)
            }
        }
    }

    fn fh(&self, random: &mut Random) -> u64 {
        if random.one_in(10) {
            return random.number();
        }
        let mut all: Vec<u64> = self.files.union(&self.dirs).copied().collect();
        all.sort_unstable();
        random.of(&all).unwrap_or(1)
    }
}

fn name(random: &mut Random, body: &mut Vec<u8>) {
    match random.below(12) {
        0 => body.extend((0..random.below(300)).map(|n| u8::try_from(n % 251).unwrap_or(0) | 1)),
        1 => body.extend_from_slice(b"a/b"),
        2 => {}
        _ => body.extend_from_slice(NAMES[random.below(NAMES.len())]),
    }
    body.push(0);
}

const OPS: [u32; 30] = [
    op::LOOKUP,
    op::LOOKUP,
    op::LOOKUP,
    op::GETATTR,
    op::SETATTR,
    op::READLINK,
    op::MKDIR,
    op::RMDIR,
    op::RENAME,
    op::OPEN,
    op::OPEN,
    op::READ,
    op::WRITE,
    op::WRITE,
    op::STATFS,
    op::RELEASE,
    op::OPENDIR,
    op::READDIR,
    op::RELEASEDIR,
    op::POLL,
    op::SETXATTR,
    op::GETXATTR,
    op::LISTXATTR,
    op::REMOVEXATTR,
    op::ACCESS,
    op::FLUSH,
    op::INIT,
    op::INTERRUPT,
    op::CREATE,
    op::BATCH_FORGET,
];

/// A body for the operation that has sense, or nearly so.
fn body(opcode: u32, known: &mut Known, random: &mut Random) -> Vec<u8> {
    let mut body = Vec::new();
    match opcode {
        op::LOOKUP | op::RMDIR | op::REMOVEXATTR | op::CREATE => name(random, &mut body),
        op::MKDIR => {
            MkdirIn {
                mode: random.word(),
                umask: random.word(),
            }
            .put(&mut body);
            name(random, &mut body);
        }
        op::RENAME => {
            RenameIn {
                newdir: known.id(random),
            }
            .put(&mut body);
            name(random, &mut body);
            name(random, &mut body);
        }
        op::SETATTR => SetattrIn {
            valid: random.word(),
            mode: random.word(),
            atime: random.number().cast_signed(),
            atimensec: random.word(),
            ..SetattrIn::default()
        }
        .put(&mut body),
        op::OPEN | op::OPENDIR => OpenIn {
            flags: u32::try_from(random.below(4)).unwrap_or(0) | (random.word() & 0o1000),
            open_flags: 0,
        }
        .put(&mut body),
        op::READ | op::READDIR | op::WRITE => {
            let size = random.below(20_000);
            let offset = match random.one_in(3) {
                true => random.number(),
                false => 0,
            };
            IoIn {
                fh: known.fh(random),
                offset,
                size: u32::try_from(size).unwrap_or(0),
                ..IoIn::default()
            }
            .put(&mut body);
            if opcode == op::WRITE {
                body.extend((0..size).map(|n| b"17\n"[n % 3]));
            }
        }
        op::RELEASE | op::RELEASEDIR => {
            let fh = known.fh(random);
            known.files.remove(&fh);
            known.dirs.remove(&fh);
            ReleaseIn {
                fh,
                ..ReleaseIn::default()
            }
            .put(&mut body);
        }
        op::POLL => PollIn {
            fh: known.fh(random),
            kh: random.number(),
            flags: random.word(),
            events: random.word(),
        }
        .put(&mut body),
        op::SETXATTR => {
            let size = random.below(3000);
            SetxattrIn {
                size: u32::try_from(size).unwrap_or(0),
                flags: u32::try_from(random.below(4)).unwrap_or(0),
            }
            .put(&mut body);
            body.extend_from_slice([&b"user.a\0"[..], b"trusted.b\0", b"odd\0"][random.below(3)]);
            body.resize(body.len() + size, 7);
        }
        op::GETXATTR | op::LISTXATTR => {
            u64::from(random.word()).put(&mut body);
            body.extend_from_slice([&b"user.a\0"[..], b"trusted.b\0"][random.below(2)]);
        }
        op::BATCH_FORGET => {
            // As the kernel does: never more than it was given.
            let id = known.id(random);
            let count = known.nodes.remove(&id).unwrap_or(0);
            BatchForgetIn { count: 1, dummy: 0 }.put(&mut body);
            ForgetOne {
                nodeid: id,
                nlookup: count,
            }
            .put(&mut body);
        }
        _ => (0..random.below(8)).for_each(|_| random.number().put(&mut body)),
    }
    body
}

/// The kernel's end of the device.
struct Kernel {
    socket: File,
    known: Known,
    unique: u64,
    answered: [u64; 2],
}

impl Kernel {
    /// Sends a request and waits for its answer, if it gets one.
    fn ask(&mut self, opcode: u32, nodeid: u64, body: &[u8]) {
        self.unique += 2;
        let mut bytes = Vec::new();
        InHeader {
            len: u32::try_from(size_of::<InHeader>() + body.len()).unwrap_or(0),
            opcode,
            unique: self.unique,
            nodeid,
            pid: 7,
            ..InHeader::default()
        }
        .put(&mut bytes);
        bytes.extend_from_slice(body);
        self.socket.write_all(&bytes).unwrap();
        // An INTERRUPT of nothing that runs is answered EAGAIN.
        if opcode != op::FORGET && opcode != op::BATCH_FORGET && opcode != op::NOTIFY_REPLY {
            self.answer(opcode, body);
        }
    }

    fn answer(&mut self, opcode: u32, body: &[u8]) {
        let mut buffer = vec![0; 1 << 18];
        loop {
            let len = self.socket.read(&mut buffer).unwrap();
            let mut bytes = &buffer[..len];
            let header = OutHeader::take(&mut bytes).unwrap();
            assert_eq!(header.len as usize, len, "{header:?}");
            if header.unique == 0 {
                assert!((1..=6).contains(&header.error), "{header:?}");
                continue; // news
            }
            assert_eq!(header.unique, self.unique);
            assert!((-511..=0).contains(&header.error), "{header:?}");
            self.answered[usize::from(header.error == 0)] += 1;
            if header.error != 0 {
                assert!(bytes.is_empty());
                return;
            }
            match opcode {
                op::LOOKUP | op::MKDIR => {
                    let entry = EntryOut::take(&mut bytes).unwrap();
                    assert_eq!(entry.nodeid, entry.attr.ino);
                    // Not of the root: it is never given back.
                    if entry.nodeid != ROOT_ID {
                        *self.known.nodes.entry(entry.nodeid).or_default() += 1;
                    }
                }
                op::OPEN => drop(
                    self.known
                        .files
                        .insert(OpenOut::take(&mut bytes).unwrap().fh),
                ),
                op::OPENDIR => drop(
                    self.known
                        .dirs
                        .insert(OpenOut::take(&mut bytes).unwrap().fh),
                ),
                op::READ | op::READDIR => {
                    let asked = IoIn::take(&mut &*body).unwrap().size;
                    assert!(bytes.len() <= asked as usize);
                }
                _ => {}
            }
            return;
        }
    }

    /// Gives everything back.
    fn forget_all(&mut self) {
        for fh in core::mem::take(&mut self.known.files) {
            self.ask(op::RELEASE, ROOT_ID, &release(fh));
        }
        for fh in core::mem::take(&mut self.known.dirs) {
            self.ask(op::RELEASEDIR, ROOT_ID, &release(fh));
        }
        for (id, count) in core::mem::take(&mut self.known.nodes) {
            self.ask(op::FORGET, id, &count.to_ne_bytes());
        }
        // Answered when what was sent before it was read.
        self.ask(op::STATFS, ROOT_ID, b"");
    }
}

fn release(fh: u64) -> Vec<u8> {
    let mut body = Vec::new();
    ReleaseIn {
        fh,
        ..ReleaseIn::default()
    }
    .put(&mut body);
    body
}

fn rounds() -> usize {
    let factor = std::env::var("KERNFS_ROUNDS").ok();
    3000 * factor.map_or(1, |factor| factor.parse().unwrap())
}

fn run(seed: u64) {
    let root = Root::with_ops(RootFlags::SUPPORT_USER_XATTR, Users);
    let (ours, theirs) = crate::sys::packet_pair().unwrap();
    let file = |socket: OwnedFd| File::from(socket);
    let channel = Arc::new(Channel::new(file(theirs).into()));
    let adapter = Arc::new(Adapter::new(root.dir(), None));
    let notifier = Arc::new(Notifier::new(adapter.nodes()));
    let watching = root
        .watch(Arc::new(Listener {
            notifier: Arc::clone(&notifier),
            adapter: Arc::clone(&adapter),
            channel: Arc::clone(&channel),
            poker: None,
        }))
        .unwrap();
    let session = Session::new(
        Arc::clone(&adapter),
        Arc::clone(&notifier),
        Arc::clone(&channel),
        &Options::new(),
    );
    assert!(session.open(0));
    let mut random = Random(seed);
    let kernel = Kernel {
        socket: file(ours),
        known: Known::default(),
        unique: 0,
        answered: [0; 2],
    };
    thread::scope(|scope| {
        let (queue, tree, out) = (&notifier, &adapter, &channel);
        scope.spawn(move || queue.run(tree, out));
        let session = &session;
        scope.spawn(move || session.serve(0));
        scope.spawn(move || session.enforce_limit());
        // However it ends, the threads end: the socket does, and the queue is closed.
        let _close = Close(session);
        let mut kernel_end = kernel;
        for _ in 0..rounds() {
            if random.one_in(4) {
                own(&root, &mut random);
            }
            let opcode = match random.one_in(20) {
                true => random.word() % 60,
                false => OPS[random.below(OPS.len())],
            };
            if opcode == op::FORGET {
                continue;
            }
            let id = kernel_end.known.id(&mut random);
            let mut body = body(opcode, &mut kernel_end.known, &mut random);
            if random.one_in(30) && opcode != op::BATCH_FORGET {
                let len = random.below(body.len() + 1);
                // A cut RELEASE closes nothing.
                if opcode != op::RELEASE && opcode != op::RELEASEDIR {
                    body.truncate(len);
                }
            }
            kernel_end.ask(opcode, id, &body);
        }
        kernel_end.forget_all();
        assert_eq!(root.stats().open_files, 0);
        let [failed, worked] = kernel_end.answered;
        assert!(
            failed > 100 && worked > 100,
            "{failed} failed, {worked} worked"
        );
        for entry in root.readdir(0, usize::MAX) {
            let node = root.find(&entry.name).unwrap();
            assert!(!adapter.is_known(node.id()));
        }
    });
    drop(watching);
}

struct Close<'a>(&'a Session);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.notifier.close();
        self.0.end_limit();
    }
}

#[test]
fn any_request_gets_one_answer_and_nothing_is_left() {
    for seed in [0x9e37_79b9_7f4a_7c15, 3, 0xdead_beef] {
        run(seed);
    }
}

/// `KERNFS_FUZZ_SEED` repeats what failed.
#[test]
fn any_request_gets_one_answer_for_as_long_as_is_asked_for() {
    let number = |name| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let seconds = number("KERNFS_FUZZ_SECONDS");
    let time = Duration::from_secs(seconds.unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now
        .ok()
        .and_then(|since| u64::try_from(since.as_micros()).ok());
    // The same each time where nobody has asked for more.
    let other = seconds.and(now).unwrap_or(1);
    let mut seed = number("KERNFS_FUZZ_SEED").unwrap_or(other) | 1;
    let (began, mut runs) = (Instant::now(), 0);
    while runs == 0 || began.elapsed() < time {
        println!("KERNFS_FUZZ_SEED={seed}");
        run(seed);
        runs += 1;
        seed += 2;
    }
    println!("{runs} runs of {} requests", rounds());
}

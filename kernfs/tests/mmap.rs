//! Mapping files, and the end of mappings.

mod common;

use std::fs::File as StdFile;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Checked, PerOpen, errno};
use kernfs::{Cx, Errno, File, Has, Memory, OpenFile, OpenFlags, Ops, Result, Root, RootFlags};

/// A file that is memory, and counts as [`Checked`] does.
struct Mapped {
    checked: Checked,
    memory: Memory,
    other: Arc<AtomicBool>,
}

impl Ops for Mapped {
    const HAS: Has = Has::MMAP.with(Has::RELEASE);
    type Open = PerOpen;
    fn open(&self, cx: &mut Cx<'_>) -> Result<PerOpen> {
        self.checked.open(cx)
    }
    fn mmap(
        &self,
        _: &mut Cx<'_>,
        _: &PerOpen,
        offset: u64,
        len: u64,
        _: OpenFlags,
    ) -> Result<Memory> {
        if offset + len > self.memory.len() {
            return Err(Errno::EFBIG.into());
        }
        match self.other.load(SeqCst) {
            true => Memory::new(4096),
            false => Ok(self.memory.clone()),
        }
    }
    fn release(&self, cx: &mut Cx<'_>, open: &PerOpen) {
        self.checked.release(cx, open);
    }
}

const SIZE: u64 = 1 << 16;

fn mapped(root: &Root) -> (File, Memory, Arc<common::Log>, Arc<AtomicBool>) {
    let (checked, log) = Checked::new();
    let memory = Memory::new(SIZE).unwrap();
    let other = Arc::default();
    let ops = Mapped {
        checked,
        memory: memory.clone(),
        other: Arc::clone(&other),
    };
    let file = root.create_file("f", 0o644, SIZE, ops).unwrap();
    (file, memory, log, other)
}

#[test]
fn what_the_owner_writes_is_seen_and_the_other_way_round() {
    let root = Root::new();
    let (file, memory, ..) = mapped(&root);
    let open = file.open(OpenFlags::RDWR).unwrap();
    let all = open.mmap(0, SIZE, OpenFlags::RDWR).unwrap();
    let part = open.mmap(8192, 100, OpenFlags::READ).unwrap();
    all.write_at(b"user", 8192).unwrap();
    memory.write_at(b"owner", 8196).unwrap();
    let mut text = [0; 200];
    assert_eq!(part.read_at(&mut text, 0).unwrap(), 100);
    assert_eq!(&text[..10], b"userowner\0");
    assert_eq!(part.read_at(&mut text, 98).unwrap(), 2);
    assert_eq!(part.read_at(&mut text, u64::MAX).unwrap(), 0);
    assert_eq!(errno(part.write_at(b"x", 0)), Errno::EACCES);
    assert_eq!(errno(all.write_at(b"xy", SIZE - 1)), Errno::EFBIG);
    assert_eq!(errno(all.write_at(b"x", u64::MAX)), Errno::EFBIG);
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let root = Root::with_flags(RootFlags::NONE);
    let (file, _, _, other) = mapped(&root);
    let open = file.open(OpenFlags::RDWR).unwrap();
    let reads = file.open(OpenFlags::READ).unwrap();
    let writes = file.open(OpenFlags::WRITE).unwrap();
    for (offset, len) in [(0, 0), (1, 4096), (1 << 63, 4096), (u64::MAX - 4095, 8192)] {
        assert_eq!(
            errno(open.mmap(offset, len, OpenFlags::READ)),
            Errno::EINVAL
        );
    }
    assert_eq!(
        errno(open.mmap(4096, SIZE, OpenFlags::READ)),
        Errno::EFBIG,
        "the owner's"
    );
    assert_eq!(errno(reads.mmap(0, 1, OpenFlags::RDWR)), Errno::EACCES);
    assert_eq!(errno(writes.mmap(0, 1, OpenFlags::RDWR)), Errno::EACCES);
    let _first = open.mmap(0, 1, OpenFlags::READ).unwrap();
    other.store(true, SeqCst);
    assert_eq!(
        errno(open.mmap(0, 1, OpenFlags::READ)),
        Errno::EINVAL,
        "another memory"
    );
    let plain = root.attr("plain", kernfs::ro(|| 1)).unwrap();
    let plain = plain.open(OpenFlags::READ).unwrap();
    assert_eq!(errno(plain.mmap(0, 1, OpenFlags::READ)), Errno::ENODEV);
    file.remove().unwrap();
    assert_eq!(errno(open.mmap(0, 1, OpenFlags::READ)), Errno::ENODEV);
}

#[test]
fn a_mapping_keeps_the_file_open_and_dies_with_the_node() {
    let root = Root::new();
    let (file, memory, log, _) = mapped(&root);
    let open = file.open(OpenFlags::RDWR).unwrap();
    let one = open.mmap(0, SIZE, OpenFlags::RDWR).unwrap();
    let two = open.mmap(0, 4096, OpenFlags::READ).unwrap();
    let third = file.open(OpenFlags::RDWR).unwrap();
    let three = third.mmap(0, 4096, OpenFlags::RDWR).unwrap();
    drop((open, third));
    assert_eq!(log.get(|l| &l.releases), 0);
    one.write_at(b"x", 0).unwrap();
    drop(three);
    assert_eq!(log.get(|l| &l.releases), 1, "by its mapping");
    file.remove().unwrap();
    assert_eq!(log.get(|l| &l.releases), 2, "by the removal");
    for mapping in [&one, &two] {
        assert_eq!(errno(mapping.read_at(&mut [0; 1], 0)), Errno::ENODEV);
        assert_eq!(errno(mapping.share()), Errno::ENODEV);
    }
    assert_eq!(errno(one.write_at(b"y", 0)), Errno::ENODEV);
    drop((one, two));
    assert_eq!(log.get(|l| &l.faults), 0);
    let mut text = [0; 1];
    memory.read_at(&mut text, 0).unwrap();
    assert_eq!(&text, b"x", "the owner keeps it");
}

#[test]
fn whoever_was_given_memory_sealed_it_against_its_owner() {
    let root = Root::new();
    let (file, memory, ..) = mapped(&root);
    let open = file.open(OpenFlags::RDWR).unwrap();
    let foreign = StdFile::from(
        open.mmap(0, SIZE, OpenFlags::RDWR)
            .unwrap()
            .share()
            .unwrap(),
    );
    for seal in [
        libc::F_SEAL_FUTURE_WRITE,
        libc::F_SEAL_SHRINK,
        libc::F_SEAL_GROW,
    ] {
        // SAFETY: an open descriptor; takes integers.
        let ret = unsafe { libc::fcntl(foreign.as_raw_fd(), libc::F_ADD_SEALS, seal) };
        assert_eq!(ret, -1, "{seal}");
    }
    memory.write_at(b"owner", 0).unwrap();
    file.remove().unwrap();
    assert_eq!(foreign.metadata().unwrap().len(), 0);
}

#[test]
fn a_descriptor_ends_with_the_last_open_file_that_gave_it() {
    let root = Root::new();
    let (file, memory, ..) = mapped(&root);
    let share = || {
        let open = file.open(OpenFlags::RDWR).unwrap();
        let mapping = open.mmap(0, SIZE, OpenFlags::RDWR).unwrap();
        let foreign = StdFile::from(mapping.share().unwrap());
        mapping.share().unwrap();
        (mapping, foreign)
    };
    let ((one, first), (two, second)) = (share(), share());
    drop(one);
    second.write_all_at(b"z", 7).unwrap();
    assert_eq!(first.metadata().unwrap().len(), SIZE);
    drop(two);
    assert_eq!(first.metadata().unwrap().len(), 0);
    assert_eq!(second.metadata().unwrap().len(), 0);
    let mut text = [0; 1];
    memory.read_at(&mut text, 7).unwrap();
    assert_eq!(&text, b"z");
}

/// S19: two open files map, write and share while the node is removed.
#[test]
fn no_access_survives_the_removal() {
    for _ in 0..100 {
        let root = Root::new();
        let (file, _, log, _) = mapped(&root);
        let removed = AtomicBool::new(false);
        let late = AtomicUsize::new(0);
        thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    let mut shared = Vec::new();
                    while let Ok(open) = file.open(OpenFlags::RDWR) {
                        let Ok(mapping) = open.mmap(0, SIZE, OpenFlags::RDWR) else {
                            break;
                        };
                        drop(open);
                        loop {
                            let over = removed.load(SeqCst);
                            if mapping.write_at(b"w", 9).is_err() {
                                break;
                            }
                            late.fetch_add(usize::from(over), SeqCst);
                            if shared.len() < 3 {
                                shared.extend(mapping.share().map(StdFile::from));
                            }
                        }
                    }
                    while !removed.load(SeqCst) {
                        thread::yield_now();
                    }
                    for foreign in shared {
                        late.fetch_add(usize::from(foreign.metadata().unwrap().len() != 0), SeqCst);
                    }
                });
            }
            while log.get(|l| &l.opens) < 2 {
                thread::yield_now();
            }
            file.remove().unwrap();
            removed.store(true, SeqCst);
            log.poison();
        });
        assert_eq!(late.into_inner(), 0);
        assert_eq!(log.get(|l| &l.faults), 0);
        assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases));
    }
}

/// S19: what a foreign process has mapped dies of SIGBUS.
#[test]
fn a_foreign_mapping_dies_of_sigbus() {
    let root = Root::new();
    let (file, memory, ..) = mapped(&root);
    memory.write_at(b"alive", 0).unwrap();
    let open = file.open(OpenFlags::RDWR).unwrap();
    let mapping = open.mmap(0, 4096, OpenFlags::RDWR).unwrap();
    let foreign = mapping.share().unwrap();
    // SAFETY: a new mapping at a place of the kernel's choice.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ,
            libc::MAP_SHARED,
            foreign.as_raw_fd(),
            0,
        )
    };
    assert_ne!(address, libc::MAP_FAILED);
    let byte = address.cast::<u8>();
    // SAFETY: mapped above, and the file is that long.
    assert_eq!(unsafe { byte.read_volatile() }, b'a');
    file.remove().unwrap();
    // SAFETY: the child does nothing but read one byte and end.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: takes an integer. A child that hangs is ended.
        unsafe { libc::alarm(60) };
        // SAFETY: the default action. The handler of std, or of a sanitizer, may want a lock that another thread had at
        // the fork, and a sanitizer's ends the child in its own way.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
        // SAFETY: mapped; that it is no memory any more is what is tested.
        unsafe { byte.read_volatile() };
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(
        libc::WIFSIGNALED(status),
        "it could still read: {status:#x}"
    );
    assert_eq!(libc::WTERMSIG(status), libc::SIGBUS);
    // SAFETY: mapped above, not used any more.
    unsafe { libc::munmap(address, 4096) };
}

/// The drain gave up a file's last count where nobody caught what its drop did, and the node stayed half removed.
#[test]
fn a_drop_that_panics_does_not_unwind_the_removal() {
    /// Drops the last handle of its own file in `release`.
    struct Closes(Arc<Mutex<Option<OpenFile>>>, Arc<AtomicUsize>);
    struct Bomb(Arc<AtomicUsize>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            panic!("as wanted by the test");
        }
    }
    impl Ops for Closes {
        const HAS: Has = Has::MMAP.with(Has::RELEASE);
        type Open = Bomb;
        fn open(&self, _: &mut Cx<'_>) -> Result<Bomb> {
            Ok(Bomb(Arc::clone(&self.1)))
        }
        fn mmap(&self, _: &mut Cx<'_>, _: &Bomb, _: u64, _: u64, _: OpenFlags) -> Result<Memory> {
            Memory::new(4096)
        }
        fn release(&self, _: &mut Cx<'_>, _: &Bomb) {
            drop(self.0.lock().unwrap().take());
        }
    }
    for maps in [false, true] {
        let root = Root::new();
        let (kept, dropped) = (Arc::default(), Arc::default());
        let ops = Closes(Arc::clone(&kept), Arc::clone(&dropped));
        let file = root.create_file("f", 0o644, 4096, ops).unwrap();
        let open = file.open(OpenFlags::RDWR).unwrap();
        if maps {
            drop(open.mmap(0, 4096, OpenFlags::RDWR).unwrap());
        }
        *kept.lock().unwrap() = Some(open);
        file.remove().unwrap();
        assert_eq!(dropped.load(SeqCst), 1);
        assert!(kept.lock().unwrap().is_none() && root.find("f").is_none());
    }
}

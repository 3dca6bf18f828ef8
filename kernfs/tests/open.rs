//! Opening, closing, release, and the drain of open files.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use common::{Checked, errno, text};
use kernfs::{
    Cx, Errno, Error, Has, OpenFile, OpenFlags, Ops, PollFlags, Result, Root, RootFlags, Seq, ro,
    rw, wo,
};

#[test]
fn release_comes_once_for_each_open() {
    let root = Root::new();
    let (ops, log) = Checked::new();
    let file = root.create_file("f", 0o644, 0, ops).unwrap();
    let first = file.open(OpenFlags::READ).unwrap();
    let second = file.open(OpenFlags::RDWR).unwrap();
    drop(first);
    assert_eq!((log.get(|l| &l.opens), log.get(|l| &l.releases)), (2, 1));
    assert_eq!(text(&second), "0\n");
    file.remove().unwrap();
    assert_eq!(log.get(|l| &l.releases), 2, "remove has released the file");
    log.poison();
    assert_eq!(errno(second.read_at(&mut [0; 8], 0)), Errno::ENODEV);
    assert_eq!(second.poll(), PollFlags::DEAD);
    drop(second);
    assert_eq!(log.get(|l| &l.releases), 2);
    assert_eq!(log.get(|l| &l.faults), 0);
}

#[test]
fn release_comes_once_when_close_meets_removal() {
    const FILES: usize = 3;
    let root = Root::new();
    for _ in 0..2000 {
        let (ops, log) = Checked::new();
        let file = root.create_file("f", 0o644, 0, ops).unwrap();
        let opens: Vec<OpenFile> = (0..FILES)
            .map(|_| file.open(OpenFlags::READ).unwrap())
            .collect();
        let start = Barrier::new(2);
        thread::scope(|s| {
            s.spawn(|| {
                start.wait();
                drop(opens);
            });
            start.wait();
            file.remove().unwrap();
            assert_eq!(
                log.get(|l| &l.releases),
                FILES,
                "released when remove returns"
            );
            log.poison();
        });
        assert_eq!(log.get(|l| &l.faults), 0);
        assert_eq!(log.get(|l| &l.alive), 0);
    }
}

#[test]
fn removal_waits_for_the_release_of_a_close() {
    struct SlowRelease(
        mpsc::Sender<()>,
        Mutex<mpsc::Receiver<()>>,
        Arc<AtomicUsize>,
    );
    impl Ops for SlowRelease {
        const HAS: Has = Has::SHOW.with(Has::RELEASE);
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn release(&self, _: &mut Cx<'_>, (): &()) {
            self.0.send(()).unwrap();
            self.1.lock().unwrap().recv().unwrap();
            self.2.fetch_add(1, SeqCst);
        }
    }
    let root = Root::new();
    let (entered, is_entered) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let ended = Arc::new(AtomicUsize::new(0));
    let ops = SlowRelease(entered, Mutex::new(go), Arc::clone(&ended));
    let file = root.create_file("f", 0o444, 0, ops).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    thread::scope(|s| {
        let let_go = let_go; // dropped if this fails: then the callback ends
        s.spawn(|| drop(open));
        is_entered.recv().unwrap();
        // No lock is held over the release: other files that share its mutex are not held up.
        for n in 0..64 {
            let other = root.attr(format!("other{n}"), ro(move || n)).unwrap();
            drop(other.open(OpenFlags::READ).unwrap());
        }
        let remover = s.spawn(|| {
            file.remove().unwrap();
            ended.load(SeqCst)
        });
        while file.is_active() {
            thread::yield_now();
        }
        let_go.send(()).unwrap();
        assert_eq!(remover.join().unwrap(), 1, "returned before the release");
    });
}

#[test]
fn a_failed_open_leaves_nothing_behind() {
    struct Refuses(Arc<AtomicUsize>);
    impl Ops for Refuses {
        const HAS: Has = Has::SHOW.with(Has::RELEASE);
        type Open = ();
        fn open(&self, cx: &mut Cx<'_>) -> Result<()> {
            self.0.fetch_add(1, SeqCst);
            match cx.flags() {
                OpenFlags::READ => Err(Errno::EBUSY.because("taken")),
                _ => panic!("as wanted by the test"),
            }
        }
        fn release(&self, _: &mut Cx<'_>, (): &()) {
            panic!("release without open");
        }
    }
    let root = Root::with_flags(RootFlags::NONE);
    let opens = Arc::new(AtomicUsize::new(0));
    let file = root
        .create_file("f", 0o644, 0, Refuses(Arc::clone(&opens)))
        .unwrap();
    for _ in 0..3 {
        assert_eq!(errno(file.open(OpenFlags::READ)), Errno::EBUSY);
        assert_eq!(errno(file.open(OpenFlags::RDWR)), Errno::EIO);
    }
    assert_eq!(opens.load(SeqCst), 6);
    file.remove().unwrap();
    assert_eq!(errno(file.open(OpenFlags::READ)), Errno::ENODEV);
    assert_eq!(opens.load(SeqCst), 6);
    assert_eq!(Arc::strong_count(&opens), 1, "the callbacks were dropped");
    drop(file);
    for _ in 0..3 {
        urcu::Memb::barrier();
    }
    assert_eq!(root.stats().nodes, 1, "a failed open keeps the node");
}

#[test]
fn the_extra_permission_check_is_that_of_sysfs() {
    let table = |flags| {
        let root = Root::with_flags(flags);
        let files = [
            root.attr("ro", ro(|| 1)).unwrap(),
            root.attr("wo", wo(|_: u32| ())).unwrap(),
            root.attr("rw", rw(|| 1, |_: u32| ())).unwrap(),
            root.attr("none", rw(|| 1, |_: u32| ()).mode(0)).unwrap(),
            root.attr("ro, mode 0666", ro(|| 1).mode(0o666)).unwrap(),
        ];
        files.map(|file| {
            [
                OpenFlags::READ,
                OpenFlags::WRITE,
                OpenFlags::RDWR,
                OpenFlags::NONE,
            ]
            .map(|flags| match file.open(flags) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.errno(), Errno::EACCES);
                    false
                }
            })
        })
    };
    assert_eq!(
        table(RootFlags::EXTRA_OPEN_PERM_CHECK),
        [
            [true, false, false, true],
            [false, true, false, true],
            [true, true, true, true],
            [false, false, false, true],
            [true, false, false, true],
        ]
    );
    assert_eq!(table(RootFlags::NONE), [[true; 4]; 5]);
}

#[test]
fn without_the_check_a_missing_callback_is_einval() {
    let root = Root::with_flags(RootFlags::NONE);
    let readable = root.attr("ro", ro(|| 1)).unwrap();
    let open = readable.open(OpenFlags::RDWR).unwrap();
    assert_eq!(errno(open.write_at(b"1", 0)), Errno::EINVAL);
    let writable = root.attr("wo", wo(|_: u32| ())).unwrap();
    let open = writable.open(OpenFlags::RDWR).unwrap();
    assert_eq!(errno(open.read_at(&mut [0; 8], 0)), Errno::EINVAL);
    // What the file was not opened for is EBADF.
    let open = readable.open(OpenFlags::NONE).unwrap();
    assert_eq!(errno(open.read_at(&mut [0; 8], 0)), Errno::EBADF);
    assert_eq!(errno(open.write_at(b"1", 0)), Errno::EBADF);
}

/// Panics, or lies about what it has done, as its file's name says.
struct Bad;

impl Ops for Bad {
    const HAS: Has = Has::SHOW
        .with(Has::WRITE)
        .with(Has::RELEASE)
        .with(Has::POLL);
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn show(&self, cx: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        seq.put(b"half of ");
        match &*cx.name() {
            b"panics" => panic!("show panics"),
            b"fails" => Err(Error::from(Errno::EAGAIN)),
            _ => Ok(()),
        }
    }
    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        match &*cx.name() {
            b"panics" => panic!("write panics: {}", data.len()),
            b"fails" => Err(Errno::ERANGE.because("of the test")),
            _ => Ok(data.len() + 1),
        }
    }
    fn poll(&self, _: &mut Cx<'_>, (): &(), _: PollFlags) -> PollFlags {
        panic!("poll panics")
    }
    fn release(&self, _: &mut Cx<'_>, (): &()) {
        std::panic::panic_any(7)
    }
}

#[test]
fn a_callback_that_panics_or_lies_is_eio_and_nothing_is_poisoned() {
    let root = Root::new();
    for (name, show, write) in [
        ("panics", Some(Errno::EIO), Errno::EIO),
        ("fails", Some(Errno::EAGAIN), Errno::ERANGE),
        ("lies", None, Errno::EIO),
    ] {
        let file = root.create_file(name, 0o644, 0, Bad).unwrap();
        let open = file.open(OpenFlags::RDWR).unwrap();
        for _ in 0..3 {
            let read = open.read_at(&mut [0; 64], 0);
            assert_eq!(read.err().map(|e| e.errno()), show, "{name}");
            let error = open.write_at(b"abc", 0).unwrap_err();
            assert_eq!(error.errno(), write, "{name}");
            assert!(open.poll().contains(PollFlags::ERR));
        }
        let again = file.open(OpenFlags::READ).unwrap();
        drop(open);
        file.remove().unwrap();
        drop(again);
    }
    let error = root
        .create_file("panics", 0o644, 0, Bad)
        .and_then(|f| f.open(OpenFlags::WRITE))
        .and_then(|f| f.write_at(b"12345", 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "write of /panics panicked: write panics: 5: input/output error (EIO)"
    );
}

#[test]
fn the_operations_of_one_open_file_take_turns() {
    // `Checked` counts a fault when two run at once.
    let root = Root::new();
    let (ops, log) = Checked::new();
    let file = root.create_file("f", 0o644, 0, ops).unwrap();
    let open = file.open(OpenFlags::RDWR).unwrap();
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                for _ in 0..5000 {
                    open.write_at(b"x", 0).unwrap();
                    open.read_at(&mut [0; 32], 0).unwrap();
                }
            });
        }
    });
    assert_eq!(text(&open), "15000\n");
    assert_eq!(log.get(|l| &l.faults), 0);
}

#[test]
fn a_callback_that_uses_its_own_open_file_is_told() {
    struct Loops(Arc<Mutex<Option<Arc<OpenFile>>>>);
    impl Ops for Loops {
        const HAS: Has = Has::SHOW.with(Has::WRITE);
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn show(&self, _: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
            let open = self.0.lock().unwrap().clone();
            open.unwrap().write_at(b"x", 0).map(drop)
        }
    }
    let root = Root::new();
    let slot = Arc::default();
    let file = root
        .create_file("f", 0o644, 0, Loops(Arc::clone(&slot)))
        .unwrap();
    let open = Arc::new(file.open(OpenFlags::RDWR).unwrap());
    *slot.lock().unwrap() = Some(Arc::clone(&open));
    let error = open.read_at(&mut [0; 8], 0).unwrap_err();
    assert_eq!(error.errno(), Errno::EDEADLK);
    assert!(
        error.to_string().contains("inside show, called at"),
        "{error}"
    );
    *slot.lock().unwrap() = None;
}

#[test]
fn many_open_files_close_in_any_order() {
    let root = Root::new();
    let (ops, log) = Checked::new();
    let file = root.create_file("f", 0o644, 0, ops).unwrap();
    let mut opens: Vec<_> = (0..1000)
        .map(|_| file.open(OpenFlags::READ).unwrap())
        .collect();
    let mut random = common::Random(3);
    while opens.len() > 100 {
        let at = random.below(opens.len() as u64);
        drop(opens.swap_remove(usize::try_from(at).unwrap()));
    }
    assert_eq!(log.get(|l| &l.releases), 900);
    file.remove().unwrap();
    assert_eq!(log.get(|l| &l.releases), 1000);
}

#[test]
fn a_release_may_drop_its_own_open_file() {
    struct Drops(Arc<Mutex<Option<OpenFile>>>, Arc<AtomicUsize>);
    impl Ops for Drops {
        const HAS: Has = Has::SHOW.with(Has::RELEASE);
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn release(&self, _: &mut Cx<'_>, (): &()) {
            drop(self.0.lock().unwrap().take());
            self.1.fetch_add(1, SeqCst);
        }
    }
    let root = Root::new();
    let (slot, released) = (Arc::default(), Arc::default());
    let ops = Drops(Arc::clone(&slot), Arc::clone(&released));
    let file = root.create_file("f", 0o444, 0, ops).unwrap();
    *slot.lock().unwrap() = Some(file.open(OpenFlags::READ).unwrap());
    file.remove().unwrap();
    assert!(slot.lock().unwrap().is_none());
    assert_eq!(released.load(SeqCst), 1);
}

#[test]
fn a_slow_close_holds_back_no_other_release() {
    /// The release of the first open file waits to be let go, the others tell that they run.
    struct Ordered(mpsc::Sender<usize>, Mutex<mpsc::Receiver<()>>, AtomicUsize);
    impl Ops for Ordered {
        const HAS: Has = Has::SHOW.with(Has::RELEASE);
        type Open = usize;
        fn open(&self, _: &mut Cx<'_>) -> Result<usize> {
            Ok(self.2.fetch_add(1, SeqCst))
        }
        fn release(&self, _: &mut Cx<'_>, open: &usize) {
            self.0.send(*open).unwrap();
            if *open == 0 {
                self.1.lock().unwrap().recv().unwrap();
            }
        }
    }
    let root = Root::new();
    let (released, is_released) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let ops = Ordered(released, Mutex::new(go), AtomicUsize::new(0));
    let file = root.create_file("f", 0o444, 0, ops).unwrap();
    let mut opens: Vec<_> = (0..3)
        .map(|_| file.open(OpenFlags::READ).unwrap())
        .collect();
    thread::scope(|s| {
        let let_go = let_go; // dropped if this fails: then the callback ends
        let first = opens.remove(0);
        s.spawn(move || drop(first));
        assert_eq!(is_released.recv(), Ok(0));
        let remover = s.spawn(|| file.remove().unwrap());
        // The drain releases what is live before it waits for what a close has claimed.
        assert_eq!(is_released.recv(), Ok(1));
        assert_eq!(is_released.recv(), Ok(2));
        assert!(
            !remover.is_finished(),
            "returned before the release of the close"
        );
        let_go.send(()).unwrap();
    });
    drop(opens);
    assert!(is_released.try_recv().is_err());
}

/// S8: files whose nodes share a mutex, with releases that take long.
#[test]
fn slow_releases_do_not_stop_files_of_the_same_mutex() {
    struct Slow(Arc<AtomicUsize>);
    impl Ops for Slow {
        const HAS: Has = Has::SHOW.with(Has::RELEASE);
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            self.0.fetch_add(1, SeqCst);
            Ok(())
        }
        fn release(&self, cx: &mut Cx<'_>, (): &()) {
            for _ in 0..3 {
                thread::yield_now();
            }
            // It may use the tree, and with it any hashed mutex.
            cx.notify();
            self.0.fetch_sub(1, SeqCst);
        }
    }
    let root = Root::new();
    let open = Arc::new(AtomicUsize::new(0));
    // More nodes than mutexes, so some share one.
    let files: Vec<_> = (0..16)
        .map(|n| {
            root.create_file(format!("f{n}"), 0o444, 0, Slow(Arc::clone(&open)))
                .unwrap()
        })
        .collect();
    thread::scope(|s| {
        for seed in 1..=4 {
            let files = &files;
            s.spawn(move || {
                let mut random = common::Random(seed);
                for _ in 0..common::rounds(200) {
                    let n = usize::try_from(random.below(16)).unwrap();
                    let _one = files[n].open(OpenFlags::READ);
                    let _two = files[(n + 1) % 16].open(OpenFlags::READ);
                    if random.below(50) == 0 {
                        files[n].remove().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(open.load(SeqCst), 0);
}

/// S17: opens that fail and opens that succeed, beside closes and the removal.
#[test]
fn release_comes_exactly_for_the_opens_that_succeeded() {
    struct Fails(Checked, AtomicUsize);
    impl Ops for Fails {
        const HAS: Has = Has::SHOW.with(Has::RELEASE);
        type Open = common::PerOpen;
        fn open(&self, cx: &mut Cx<'_>) -> Result<common::PerOpen> {
            match self.1.fetch_add(1, SeqCst) % 3 {
                0 => Err(Errno::EBUSY.into()),
                _ => self.0.open(cx),
            }
        }
        fn release(&self, cx: &mut Cx<'_>, open: &common::PerOpen) {
            self.0.release(cx, open);
        }
    }
    let root = Root::new();
    for _ in 0..common::rounds(100) {
        let (ops, log) = Checked::new();
        let file = root
            .create_file("f", 0o444, 0, Fails(ops, AtomicUsize::new(0)))
            .unwrap();
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    let mut kept = Vec::new();
                    loop {
                        match file.open(OpenFlags::READ) {
                            Ok(open) => kept.push(open),
                            Err(error) if error.errno() == Errno::EBUSY => {}
                            Err(error) => break assert_eq!(error.errno(), Errno::ENODEV),
                        }
                        if kept.len() > 4 {
                            drop(kept.swap_remove(0));
                        }
                    }
                });
            }
            while log.get(|l| &l.opens) < 20 {
                thread::yield_now();
            }
            file.remove().unwrap();
            log.poison();
            assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases));
        });
        assert_eq!(log.get(|l| &l.faults), 0);
        assert_eq!(log.get(|l| &l.alive), 0);
    }
}

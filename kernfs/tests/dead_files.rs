//! Open files that outlive a hiding or a given-up protection: they stay dead.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use common::{Checked, errno, text};
use kernfs::{Cx, Errno, Has, Memory, OpenFlags, Ops, PollFlags, Result, Root, bin, ro};

/// R3 (CVE-2025-39881), S5: hiding released the file, showing made its node usable again, and poll used what was freed.
#[test]
fn what_hiding_released_is_dead_for_ever() {
    let root = Root::new();
    let (ops, log) = Checked::new();
    let file = root.create_file("f", 0o644, 0, ops).unwrap();
    let id = file.id();
    let old = file.open(OpenFlags::RDWR).unwrap();
    text(&old);
    let fd = old.change_fd().unwrap();
    assert!(!fd.clear());
    for _ in 0..common::rounds(3) {
        file.hide().unwrap();
        file.show().unwrap();
        assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases));
        assert_eq!(old.poll(), PollFlags::DEAD);
        assert_eq!(errno(old.read_at(&mut [0; 8], 0)), Errno::ENODEV);
        assert_eq!(errno(old.write_at(b"x", 0)), Errno::ENODEV);
        assert_eq!(
            errno(old.seek_from(0, std::io::SeekFrom::Start(0))),
            Errno::ENODEV
        );
        assert_eq!(errno(old.wait_event(None)), Errno::ENODEV);
        let new = file.open(OpenFlags::RDWR).unwrap();
        assert_eq!(text(&new), "0\n");
        drop(new);
    }
    while !fd.clear() {
        thread::yield_now();
    }
    assert_eq!(file.id(), id);
    drop((old, fd));
    file.remove().unwrap();
    log.poison();
    assert_eq!((log.get(|l| &l.faults), log.get(|l| &l.alive)), (0, 0));
    assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases));
}

/// S5: hiding ends a wait, also of a file without `release`, which lives on when it is shown again.
#[test]
fn a_wait_ends_when_the_file_is_hidden_however_short() {
    let root = Root::new();
    let file = root.attr("f", ro(|| 1)).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    for _ in 0..common::rounds(50) {
        text(&open);
        let (waits, is_waiting) = mpsc::channel();
        thread::scope(|s| {
            let open = &open;
            let waiter = s.spawn(move || {
                waits.send(()).unwrap();
                open.wait_event(None)
            });
            is_waiting.recv().unwrap();
            // It may not have begun to wait: then the next time ends it.
            while !waiter.is_finished() {
                file.hide().unwrap();
                file.show().unwrap();
            }
            match waiter.join().unwrap() {
                Err(error) => assert_eq!(error.errno(), Errno::ENODEV),
                // Hidden and shown before the wait began: the signal of that is a change.
                Ok(ready) => assert!(ready),
            }
        });
        assert_eq!(text(&open), "1\n", "without release it lives on");
    }
}

/// S5: a wait that began before the file was hidden ends, though the file is there again when it looks.
#[test]
fn a_wait_from_before_the_hiding_is_over() {
    let root = Root::new();
    let file = root.attr("f", ro(|| 1)).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    text(&open);
    let mut before = pin!(open.changed());
    let mut context = Context::from_waker(Waker::noop());
    assert!(before.as_mut().poll(&mut context).is_pending());
    file.hide().unwrap();
    file.show().unwrap();
    let Poll::Ready(result) = before.as_mut().poll(&mut context) else {
        panic!("it goes on waiting");
    };
    assert_eq!(errno(result), Errno::ENODEV);
    text(&open);
    assert!(pin!(open.changed()).poll(&mut context).is_pending());
}

/// R9: a mapping was torn down by hiding, and its mark stayed.
#[test]
fn a_file_is_mapped_again_after_it_was_hidden() {
    let root = Root::new();
    let memory = Memory::new(4096).unwrap();
    let file = root.attr("f", bin(4096).memory(memory.clone())).unwrap();
    let open = file.open(OpenFlags::RDWR).unwrap();
    for n in 0..3_u8 {
        let mapping = open.mmap(0, 4096, OpenFlags::RDWR).unwrap();
        let foreign = std::fs::File::from(mapping.share().unwrap());
        mapping.write_at(&[n], usize::from(n) as u64).unwrap();
        file.hide().unwrap();
        assert_eq!(errno(mapping.read_at(&mut [0; 1], 0)), Errno::ENODEV);
        assert_eq!(foreign.metadata().unwrap().len(), 0);
        file.show().unwrap();
        // Without `release` the open file is used again; the mapping is not.
        assert_eq!(errno(mapping.read_at(&mut [0; 1], 0)), Errno::ENODEV);
    }
    let mut bytes = [9; 3];
    open.read_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [0, 1, 2], "the owner keeps what was written");
    file.remove().unwrap();
}

/// What a callback works on, which release takes away.
#[derive(Default)]
struct Object(Mutex<Option<Arc<AtomicUsize>>>);

/// R5 (2026-04): a callback that had given its protection up used what the drain's release had freed.
struct Breaks {
    broken: mpsc::Sender<()>,
    go: Mutex<mpsc::Receiver<()>>,
    released: Arc<AtomicUsize>,
}

impl Ops for Breaks {
    const HAS: Has = Has::WRITE.with(Has::RELEASE);
    type Open = Object;
    fn open(&self, _: &mut Cx<'_>) -> Result<Object> {
        Ok(Object(Mutex::new(Some(Arc::default()))))
    }
    fn write(&self, cx: &mut Cx<'_>, open: &Object, data: &[u8], _: u64) -> Result<usize> {
        let _unprotected = cx.break_protection();
        self.broken.send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        // Looked for again, under the lock, as one must.
        match open.0.lock().unwrap().as_ref() {
            Some(object) => object.fetch_add(1, SeqCst),
            None => return Err(Errno::ENODEV.because("released meanwhile")),
        };
        Ok(data.len())
    }
    fn release(&self, _: &mut Cx<'_>, open: &Object) {
        open.0.lock().unwrap().take();
        self.released.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_callback_without_protection_finds_out_that_its_file_was_released() {
    let root = Root::new();
    let (broken, is_broken) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let released = Arc::new(AtomicUsize::new(0));
    let ops = Breaks {
        broken,
        go: Mutex::new(go),
        released: Arc::clone(&released),
    };
    let file = root.create_file("f", 0o200, 0, ops).unwrap();
    let open = file.open(OpenFlags::WRITE).unwrap();
    thread::scope(|s| {
        let let_go = let_go; // dropped if this fails: then the callback ends
        let writer = s.spawn(|| open.write_at(b"x", 0));
        is_broken.recv().unwrap();
        file.remove().unwrap();
        assert_eq!(released.load(SeqCst), 1, "the removal waited for nobody");
        let_go.send(()).unwrap();
        let error = writer.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("released meanwhile"), "{error}");
    });
    drop(open);
    assert_eq!(released.load(SeqCst), 1);
}

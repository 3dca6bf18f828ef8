//! Hearing of changes as a task, by a descriptor, by a callback.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::{Bomb, Checked, Random, errno, text};
use kernfs::{
    Cx, Errno, File, Has, OpenFile, OpenFlags, Ops, PollFlags, Result, Root, Seq, Watch, ro,
};

/// Wakes a thread that runs a future.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(Arc<AtomicUsize>);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        // Who sees the number finds that the waker is gone.
        let count = Arc::clone(&self.0);
        drop(self);
        count.fetch_add(1, SeqCst);
    }
}

fn counter(root: &Root, name: &str) -> (File, Arc<AtomicU64>) {
    let value = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&value);
    let file = root.attr(name, ro(move || shown.load(SeqCst))).unwrap();
    (file, value)
}

fn number(open: &OpenFile) -> u64 {
    text(open).trim_end().parse().unwrap()
}

const LAST: u64 = 3000;

/// S6: a poller that read before the last notification must be woken by it.
#[test]
fn no_wake_up_of_a_task_is_lost() {
    let root = Root::new();
    let (file, value) = counter(&root, "f");
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                // Each its own: a read by one is a read for all who share the open file.
                let open = file.open(OpenFlags::READ).unwrap();
                block_on(async {
                    while number(&open) != LAST {
                        open.changed().await.unwrap();
                    }
                });
            });
        }
        for n in 1..=LAST {
            value.store(n, SeqCst);
            file.notify();
            if n % 64 == 0 {
                thread::yield_now();
            }
        }
    });
}

#[test]
fn a_task_is_woken_by_the_newest_waker_and_leaves_nothing_behind() {
    let root = Root::new();
    let (file, _) = counter(&root, "f");
    let open = file.open(OpenFlags::READ).unwrap();
    text(&open);
    let counts: [Arc<Count>; 3] = Default::default();
    {
        let mut future = pin!(open.changed());
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            assert!(
                future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        file.notify();
        while counts[2].0.load(SeqCst) == 0 {
            thread::yield_now();
        }
        let waker = Waker::from(Arc::clone(&counts[0]));
        let ready = future.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(ready, Poll::Ready(Ok(()))));
        assert_eq!(counts.each_ref().map(|c| c.0.load(SeqCst)), [0, 0, 1]);
    }
    // A future that is dropped unfinished takes its waker along.
    text(&open);
    {
        let waker = Waker::from(Arc::clone(&counts[0]));
        let mut future = pin!(open.changed());
        assert!(
            future
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    assert!(counts.iter().all(|count| Arc::strong_count(count) == 1));
}

/// R4 (CVE-2023-52707): the queue that a poller slept on went away with the removal.
#[test]
fn a_removal_ends_every_way_of_waiting() {
    let root = Root::new();
    for _ in 0..common::rounds(100) {
        let (ops, log) = Checked::new();
        let file = root.create_file("f", 0o444, 0, ops).unwrap();
        let open = file.open(OpenFlags::READ).unwrap();
        text(&open);
        let fd = open.change_fd().unwrap();
        let (sender, told) = mpsc::channel();
        let callback = open
            .on_change(move |flags| sender.send(flags).unwrap())
            .unwrap();
        thread::scope(|s| {
            let task = s.spawn(|| block_on(open.changed()));
            let sleeper = s.spawn(|| open.wait_event(None));
            file.remove().unwrap();
            log.poison();
            assert_eq!(errno(task.join().unwrap()), Errno::ENODEV);
            assert_eq!(errno(sleeper.join().unwrap()), Errno::ENODEV);
        });
        assert_eq!(told.recv(), Ok(PollFlags::DEAD));
        while !fd.clear() {
            thread::yield_now();
        }
        assert_eq!(errno(block_on(open.changed())), Errno::ENODEV);
        assert_eq!(errno(open.change_fd()), Errno::ENODEV);
        assert_eq!(errno(open.on_change(|_| ())), Errno::ENODEV);
        drop((fd, callback, open));
        assert_eq!(log.get(|l| &l.faults), 0);
        assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases));
    }
}

/// poll(2) on one descriptor.
fn is_readable(fd: &impl std::os::fd::AsRawFd, timeout: i32) -> bool {
    let mut item = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd that lives over the call.
    let n = unsafe { libc::poll(&raw mut item, 1, timeout) };
    n == 1 && item.revents & libc::POLLIN != 0
}

#[test]
fn a_descriptor_follows_the_file() {
    let root = Root::new();
    let (file, value) = counter(&root, "f");
    let open = file.open(OpenFlags::READ).unwrap();
    let fresh = open.change_fd().unwrap();
    assert!(
        is_readable(&fresh, 0) && fresh.clear() && !fresh.clear(),
        "never read"
    );
    drop(fresh);
    text(&open);
    let fd = open.change_fd().unwrap();
    assert!(!is_readable(&fd, 0));
    thread::scope(|s| {
        s.spawn(|| {
            loop {
                fd.clear();
                if number(&open) == LAST {
                    return;
                }
                assert!(is_readable(&fd, -1));
            }
        });
        for n in 1..=LAST {
            value.store(n, SeqCst);
            file.notify();
        }
    });
    // The descriptor keeps the file open.
    let (ops, log) = Checked::new();
    let other = root.create_file("other", 0o444, 0, ops).unwrap();
    let fd = other.open(OpenFlags::READ).unwrap().change_fd().unwrap();
    assert_eq!(log.get(|l| &l.releases), 0);
    drop(fd);
    assert_eq!(log.get(|l| &l.releases), 1);
}

#[test]
fn a_callback_hears_the_last_change_and_nothing_after_its_end() {
    let root = Root::new();
    let (file, value) = counter(&root, "f");
    let open = Arc::new(file.open(OpenFlags::READ).unwrap());
    let (sender, told) = mpsc::channel();
    let reader = Arc::clone(&open);
    let registered = open
        .on_change(move |flags| {
            assert_eq!(flags, PollFlags::CHANGED);
            let _ = sender.send(number(&reader));
        })
        .unwrap();
    for n in 1..=LAST {
        value.store(n, SeqCst);
        file.notify();
    }
    let mut heard = 0;
    while heard != LAST {
        let now = told.recv().unwrap();
        assert!(now >= heard);
        heard = now;
    }
    drop(registered);
    // Its sender is dropped with it, at the latest when a call that runs has ended.
    // Until then it may have told the last number again.
    assert!(told.iter().all(|now| now == LAST));
    file.notify();
    drop(open);
}

#[test]
fn a_poller_that_panics_or_ends_itself_holds_nobody_up() {
    let root = Root::new();
    let (file, _) = counter(&root, "f");
    let open = Arc::new(file.open(OpenFlags::READ).unwrap());
    let _panics = open
        .on_change(|_| std::panic::resume_unwind(Box::new(1)))
        .unwrap();
    let own = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&own);
    let ends = open
        .on_change(move |_| drop(slot.lock().unwrap().take()))
        .unwrap();
    *own.lock().unwrap() = Some(ends);
    let (sender, told) = mpsc::channel();
    let _last = open.on_change(move |_| sender.send(()).unwrap()).unwrap();
    for _ in 0..3 {
        file.notify();
        told.recv().unwrap();
    }
    assert!(own.lock().unwrap().is_none());
}

/// It tells of everything by a panic whose payload panics when it is dropped.
struct Bombs;

impl Watch for Bombs {
    fn added(&self, _: u64, _: &[u8]) {
        Bomb::throw();
    }
    fn removed(&self, _: u64, _: &[u8], _: u64) {
        Bomb::throw();
    }
    fn notified(&self, _: u64) {
        Bomb::throw();
    }
}

#[test]
fn a_panic_whose_payload_panicked_too_ended_the_notify_worker() {
    let root = Root::new();
    let watching = root.watch(Arc::new(Bombs)).unwrap();
    let (first, _) = counter(&root, "first");
    let (other, _) = counter(&root, "other");
    let open = [&first, &other].map(|file| file.open(OpenFlags::READ).unwrap());
    open.iter().for_each(|open| drop(text(open)));
    let _bomb = open[0].on_change(|_| Bomb::throw()).unwrap();
    let fd = open[1].change_fd().unwrap();
    for _ in 0..3 {
        first.notify();
        watching.flush();
        other.notify();
        watching.flush();
        assert!(fd.clear());
    }
    first.remove().unwrap();
}

/// Its `write` waits until somebody who waits for the file was told of its end.
struct WaitsForPoller {
    inside: mpsc::SyncSender<()>,
    told: Mutex<mpsc::Receiver<()>>,
}

impl Ops for WaitsForPoller {
    const HAS: Has = Has::SHOW.with(Has::WRITE);
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn show(&self, _: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        Ok(())
    }
    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        self.inside.send(()).unwrap();
        // Not without an end: it is to fail, and not to hang.
        let told = self.told.lock().unwrap();
        told.recv_timeout(Duration::from_secs(60))
            .map_err(|_| Errno::ETIMEDOUT)?;
        Ok(data.len())
    }
}

/// Says that it was called.
struct Says(mpsc::Sender<()>);

impl Wake for Says {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_removal_waited_for_a_callback_that_waited_for_a_poller_of_its_file() {
    for (way, hides) in [(0, false), (1, false), (2, false), (0, true)] {
        let root = Root::new();
        let (inside, is_inside) = mpsc::sync_channel(0);
        let (tells, told) = mpsc::channel();
        let told = Mutex::new(told);
        let ops = WaitsForPoller { inside, told };
        let file = root.create_file("f", 0o600, 0, ops).unwrap();
        let open = file.open(OpenFlags::READ).unwrap();
        text(&open);
        thread::scope(|s| {
            let mut future = pin!(open.changed());
            let mut callback = None;
            match way {
                0 => {
                    let tell = move |flags| {
                        assert_eq!(flags, PollFlags::DEAD);
                        tells.send(()).unwrap();
                    };
                    callback = Some(open.on_change(tell).unwrap());
                }
                1 => {
                    let fd = open.change_fd().unwrap();
                    s.spawn(move || {
                        assert!(is_readable(&fd, -1));
                        tells.send(()).unwrap();
                    });
                }
                _ => {
                    let waker = Waker::from(Arc::new(Says(tells)));
                    let first = future.as_mut().poll(&mut Context::from_waker(&waker));
                    assert!(first.is_pending());
                }
            }
            let writer = file.open(OpenFlags::WRITE).unwrap();
            let write = s.spawn(move || writer.write_at(b"x", 0));
            is_inside.recv().unwrap();
            match hides {
                true => file.hide().unwrap(),
                false => file.remove().unwrap(),
            }
            assert_eq!(write.join().unwrap().map_err(|e| e.errno()), Ok(1));
            if way == 2 {
                assert_eq!(errno(block_on(future)), Errno::ENODEV);
            }
            drop(callback);
        });
    }
}

#[test]
fn a_poller_that_flushed_waited_for_itself() {
    let root = Root::new();
    let (file, _) = counter(&root, "f");
    let watching = Arc::new(root.watch(Arc::new(Nobody)).unwrap());
    let open = file.open(OpenFlags::READ).unwrap();
    let (sender, told) = mpsc::channel();
    let flushed = Arc::clone(&watching);
    let callback = open.on_change(move |_| {
        flushed.flush();
        sender.send(()).unwrap();
    });
    let callback = callback.unwrap();
    for _ in 0..3 {
        file.notify();
        told.recv().unwrap();
    }
    watching.flush();
    drop(callback);
}

/// It listens to nothing.
struct Nobody;

impl Watch for Nobody {
    fn added(&self, _: u64, _: &[u8]) {}
    fn removed(&self, _: u64, _: &[u8], _: u64) {}
    fn notified(&self, _: u64) {}
}

/// S6, S7: pollers come and go, files are opened and closed, while others notify.
#[test]
fn pollers_come_and_go_in_a_storm() {
    let root = Root::new();
    let files: Vec<_> = (0..3).map(|n| counter(&root, &n.to_string())).collect();
    thread::scope(|s| {
        let users = [1_u64, 2, 3].map(|seed| {
            let files = &files;
            s.spawn(move || {
                let mut random = Random(seed);
                for _ in 0..common::rounds(300) {
                    let (file, value) = &files[usize::try_from(random.below(3)).unwrap()];
                    let open = file.open(OpenFlags::READ).unwrap();
                    let seen = number(&open);
                    match random.below(4) {
                        0 => drop(open.on_change(|_| ()).unwrap()),
                        1 => drop(open.change_fd().unwrap()),
                        2 => {
                            // This thread's creator goes on notifying until all are done.
                            block_on(open.changed()).unwrap();
                            assert!(number(&open) >= seen);
                        }
                        _ => {
                            let _ = open.wait_event(Some(Duration::ZERO)).unwrap();
                        }
                    }
                    value.fetch_add(1, SeqCst);
                    file.notify();
                }
            })
        });
        while users.iter().any(|user| !user.is_finished()) {
            files.iter().for_each(|(file, _)| file.notify());
            thread::yield_now();
        }
    });
}

#[test]
fn waiting_in_a_read_section_is_told() {
    let root = Root::new();
    let (file, _) = counter(&root, "f");
    let open = file.open(OpenFlags::READ).unwrap();
    let guard = urcu::Memb::read_lock();
    let error = open.wait_event(None).unwrap_err();
    drop(guard);
    assert_eq!(error.errno(), Errno::EDEADLK);
    assert!(error.to_string().contains("changes.rs"), "{error}");
    assert!(open.wait_event(None).unwrap());
}

//! Poll and waiting for events.

mod common;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use common::{Checked, errno, text};
use kernfs::{Cx, Errno, Has, OpenFlags, Ops, PollFlags, Result, Root, ro, rw};

#[test]
fn a_file_is_ready_until_it_was_read_and_again_when_notified() {
    let root = Root::new();
    let file = root.attr("f", rw(|| 1, |_: u32| ())).unwrap();
    let open = file.open(OpenFlags::RDWR).unwrap();
    let other = file.open(OpenFlags::READ).unwrap();
    assert_eq!(open.poll(), PollFlags::CHANGED, "never read");
    text(&open);
    assert_eq!(open.poll(), PollFlags::QUIET);
    assert_eq!(
        other.poll(),
        PollFlags::CHANGED,
        "each open file for itself"
    );
    text(&other);
    // A write notifies nobody.
    other_write(&file);
    assert_eq!(open.poll(), PollFlags::QUIET);
    file.notify();
    assert_eq!(
        (open.poll(), other.poll()),
        (PollFlags::CHANGED, PollFlags::CHANGED)
    );
    // A read at the end runs no show, so it clears nothing.
    assert_eq!(open.read_at(&mut [0; 8], 2).unwrap(), 0);
    assert_eq!(open.poll(), PollFlags::CHANGED);
    // A read at an offset out of line does.
    assert_eq!(open.read_at(&mut [0; 8], 1).unwrap(), 1);
    assert_eq!(open.poll(), PollFlags::QUIET);
    file.remove().unwrap();
    assert_eq!(open.poll(), PollFlags::DEAD);
}

fn other_write(file: &kernfs::File) {
    let open = file.open(OpenFlags::WRITE).unwrap();
    open.write_at(b"7", 0).unwrap();
}

#[test]
fn a_raw_read_is_a_read_too() {
    struct Raw;
    impl Ops for Raw {
        const HAS: Has = Has::READ;
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn read(&self, cx: &mut Cx<'_>, (): &(), _: &mut [u8], offset: u64) -> Result<usize> {
            if offset == 7 {
                cx.notify();
            }
            Ok(0)
        }
    }
    let root = Root::new();
    let file = root.create_file("f", 0o444, 0, Raw).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    assert_eq!(open.poll(), PollFlags::CHANGED);
    open.read_at(&mut [0; 8], 0).unwrap();
    assert_eq!(open.poll(), PollFlags::QUIET);
    // A change while the data are produced.
    open.read_at(&mut [0; 8], 7).unwrap();
    assert_eq!(open.poll(), PollFlags::CHANGED);
}

#[test]
fn a_change_during_show_makes_the_file_ready_again() {
    let root = Root::new();
    let (notify, notified) = mpsc::channel::<kernfs::File>();
    let notified = std::sync::Mutex::new(notified);
    let file = root
        .attr(
            "f",
            ro(move || {
                if let Ok(file) = notified.lock().unwrap().try_recv() {
                    file.notify();
                }
                1
            }),
        )
        .unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    notify.send(file.clone()).unwrap();
    text(&open);
    assert_eq!(open.poll(), PollFlags::CHANGED);
    text(&open);
    assert_eq!(open.poll(), PollFlags::QUIET);
}

#[test]
fn only_files_can_be_notified_and_nobody_need_have_them_open() {
    let root = Root::new();
    let file = root.attr("f", ro(|| 1)).unwrap();
    file.notify();
    let open = file.open(OpenFlags::READ).unwrap();
    text(&open);
    assert_eq!(open.poll(), PollFlags::QUIET);
    file.remove().unwrap();
    file.notify();
}

#[test]
fn waiting_ends_with_a_notification() {
    let root = Root::new();
    let value = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&value);
    let file = root.attr("f", ro(move || shown.load(SeqCst))).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    assert!(open.wait_event(None).unwrap(), "never read");
    text(&open);
    assert!(!open.wait_event(Some(Duration::ZERO)).unwrap());
    const LAST: u64 = 2000;
    thread::scope(|s| {
        // The last change is never missed, whatever comes in between.
        let waiter = s.spawn(|| {
            while text(&open) != format!("{LAST}\n") {
                assert!(open.wait_event(None).unwrap());
            }
        });
        for n in 1..=LAST {
            value.store(n, SeqCst);
            file.notify();
        }
        waiter.join().unwrap();
    });
}

#[test]
fn waiting_ends_with_enodev_at_removal() {
    let root = Root::new();
    for round in 0..500 {
        let (ops, log) = Checked::new();
        let file = root.create_file("f", 0o444, 0, ops).unwrap();
        let open = file.open(OpenFlags::READ).unwrap();
        text(&open);
        thread::scope(|s| {
            let waiters: Vec<_> = (0..2).map(|_| s.spawn(|| open.wait_event(None))).collect();
            if round % 2 == 0 {
                thread::yield_now();
            }
            file.remove().unwrap();
            log.poison();
            for waiter in waiters {
                assert_eq!(errno(waiter.join().unwrap()), Errno::ENODEV);
            }
        });
        assert_eq!(errno(open.wait_event(None)), Errno::ENODEV);
        drop(open);
        assert_eq!(log.get(|l| &l.faults), 0);
    }
}

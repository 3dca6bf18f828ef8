//! A18 and the unsafe door: callbacks by a head inside the object, without an allocation.

use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::child::in_child;
use crate::flavors::{Reader, every_flavor};
use crate::libc_calls::fork_and_wait;
use crate::reports;
use urcu::{AlreadyQueued, Memb, RcuHead, Report, container_of};

/// A node with the head in the middle.
#[repr(C)]
struct Node {
    value: usize,
    head: RcuHead,
    again: usize,
    sum: &'static AtomicUsize,
}

fn node(value: usize, sum: &'static AtomicUsize) -> *mut Node {
    Box::into_raw(Box::new(Node {
        value,
        head: RcuHead::of_object(size_of::<Node>()),
        again: 0,
        sum,
    }))
}

fn head_of(node: *mut Node) -> NonNull<RcuHead> {
    // SAFETY: `node` came from Box::into_raw.
    let head = unsafe { &raw mut (*node).head };
    NonNull::new(head).unwrap()
}

/// # Safety
/// 1. `head` is that of a node from `node`, which nobody else uses.
unsafe fn free(head: NonNull<RcuHead>) {
    // SAFETY: clause 1; `head_of` made the pointer from one to the node.
    let node = unsafe { Box::from_raw(container_of!(head.as_ptr(), Node, head)) };
    node.sum.fetch_add(node.value, SeqCst);
}

fn queue<R: Reader>(node: *mut Node) -> Result<(), AlreadyQueued> {
    // SAFETY: 1, 3: `free` frees it, nobody else; 2: `head_of`; 4: nothing is unloaded.
    unsafe { R::call_head(head_of(node), free) }
}

fn heads<R: Reader>() {
    let sum: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    let mut reader = R::join();
    {
        let _guard = reader.lock();
        for value in 0..1000 {
            assert_eq!(queue::<R>(node(value, sum)), Ok(()));
        }
        assert_eq!(
            sum.load(SeqCst),
            0,
            "a callback ran before its grace period"
        );
    }
    reader.barrier();
    assert_eq!(sum.load(SeqCst), 999 * 1000 / 2);
}
every_flavor!(a18_heads_are_run_with_the_pointer_that_was_given, heads in child);

fn twice<R: Reader>() {
    static SUM: AtomicUsize = AtomicUsize::new(0);
    reports::collect();
    let mut reader = R::join();
    let first = node(1, &SUM);
    {
        let _guard = reader.lock();
        assert_eq!(queue::<R>(first), Ok(()));
        // SAFETY: the section holds its grace period back.
        assert!(unsafe { head_of(first).as_ref() }.is_queued());
        // Others before and behind it: the refused ones must not have broken the row.
        for value in 0..10 {
            assert_eq!(queue::<R>(node(value, &SUM)), Ok(()));
            assert_eq!(queue::<R>(first), Err(AlreadyQueued));
        }
        assert_eq!(R::stats().heads_refused, 10);
    }
    reader.barrier();
    assert_eq!(SUM.load(SeqCst), 46);
    assert_eq!(R::stats().callbacks_run, 11);
    let told = |report: &Report| {
        matches!(report, Report::HeadQueuedTwice { flavor, place }
            if *flavor == R::NAME && place.file().ends_with(".rs"))
    };
    reports::wait_for(10, told);
}
every_flavor!(a18_a_head_that_is_queued_twice_is_refused_counted_and_told, twice in child);

/// The head is free again when its function is called.
fn requeued<R: Reader>() {
    /// # Safety
    /// 1. As `free`.
    unsafe fn again<R: Reader>(head: NonNull<RcuHead>) {
        let node: *mut Node = container_of!(head.as_ptr(), Node, head);
        // SAFETY: clause 1.
        let left = unsafe { &mut (*node).again };
        *left -= 1;
        let next = if *left == 0 { free } else { again::<R> };
        // SAFETY: 1, 3: one of the two frees it, nobody else; 2: the pointer came as it was given.
        assert_eq!(unsafe { R::call_head(head, next) }, Ok(()));
    }
    let sum: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    let mut reader = R::join();
    let node = node(5, sum);
    // SAFETY: not queued yet.
    unsafe { (*node).again = 20 };
    // SAFETY: as in `again`.
    assert_eq!(unsafe { R::call_head(head_of(node), again::<R>) }, Ok(()));
    // A barrier covers what was queued before it, and so at least one round each.
    for _ in 0..21 {
        reader.barrier();
    }
    assert_eq!((sum.load(SeqCst), R::stats().callbacks_run), (5, 21));
}
every_flavor!(a18_a_head_may_be_queued_again_by_its_own_function, requeued in child);

/// 2.6: what was done before `call_head` is seen by the callback, and what it did after the barrier.
fn message<R: Reader>() {
    let sum: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    let mut reader = R::join();
    for round in 1..=2000 {
        let node = node(0, sum);
        // SAFETY: not queued yet.
        unsafe { (*node).value = 1 };
        assert_eq!(queue::<R>(node), Ok(()));
        reader.barrier();
        assert_eq!(sum.load(Relaxed), round);
    }
}
every_flavor!(
    a18_a_callback_sees_what_was_done_before_and_barrier_what_it_did,
    message
);

/// Intrusive and boxed callbacks in one row, and what the child of a fork finds of it.
#[test]
fn a06_a_child_runs_the_heads_that_were_queued() {
    in_child(
        "a18_heads::a06_a_child_runs_the_heads_that_were_queued",
        || {
            static SUM: AtomicUsize = AtomicUsize::new(0);
            let count = || {
                let guard = Memb::read_lock();
                for value in 0..10 {
                    assert_eq!(
                        queue::<crate::flavors::Auto<Memb>>(node(value, &SUM)),
                        Ok(())
                    );
                    Memb::call(|| {
                        SUM.fetch_add(1000, SeqCst);
                    });
                }
                let bytes = Memb::stats().bytes_pending;
                let status = fork_and_wait(|| {
                    assert_eq!(Memb::stats().bytes_pending, bytes);
                    drop(guard);
                    Memb::barrier();
                    assert_eq!((SUM.load(SeqCst), Memb::stats().bytes_pending), (10_045, 0));
                });
                assert_eq!(status, 0);
            };
            count();
            Memb::barrier();
            assert_eq!(SUM.load(SeqCst), 10_045);
        },
    );
}

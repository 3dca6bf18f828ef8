//! A17: srcu in async code, with an executor of thirty lines. A guard crosses `.await` and threads; a grace
//! period is a future.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use crate::a17_srcu::holds_back_until;
use crate::flavors::{Dropping, wait_until};
use urcu::{Srcu, SrcuPtr};

/// Counts how often it was woken, and unparks the thread that made it.
struct Unparker {
    woken: AtomicUsize,
    thread: thread::Thread,
}

impl Unparker {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            woken: AtomicUsize::new(0),
            thread: thread::current(),
        })
    }
}

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, SeqCst);
        self.thread.unpark();
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Runs a future to its end on the calling thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let unparker = Unparker::new();
    let waker = Waker::from(Arc::clone(&unparker));
    loop {
        let before = unparker.woken.load(SeqCst);
        if let Poll::Ready(value) = poll(future.as_mut(), &waker) {
            return value;
        }
        while unparker.woken.load(SeqCst) == before {
            thread::park();
        }
    }
}

/// Pending once.
struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

async fn reads_twice(srcu: Srcu, pointer: Arc<SrcuPtr<String>>) -> String {
    let guard = srcu.read_lock();
    let value = pointer.dereference(&guard).unwrap();
    Yield(false).await;
    value.clone()
}

/// Each poll on a thread of its own; between them the object is replaced, and its grace period waits.
#[test]
fn a17_a_guard_crosses_await_and_threads() {
    let srcu = Srcu::new();
    let pointer = Arc::new(srcu.new_ptr("old".to_owned()));
    let mut task = Box::pin(reads_twice(srcu.clone(), Arc::clone(&pointer)));
    let (mut task, first) = thread::spawn(move || {
        let first = poll(task.as_mut(), Waker::noop());
        (task, first)
    })
    .join()
    .unwrap();
    assert!(first.is_pending());
    let old = pointer.replace("new".to_owned()).unwrap();
    holds_back_until(&srcu, || {
        let second = thread::spawn(move || poll(task.as_mut(), Waker::noop()));
        assert_eq!(second.join().unwrap(), Poll::Ready("old".to_owned()));
    });
    assert_eq!(*old.synchronize(), "old");
}

/// A task that is dropped in the middle ends its section.
#[test]
fn a17_a_cancelled_task_ends_its_section() {
    let srcu = Srcu::new();
    let pointer = Arc::new(srcu.new_ptr("old".to_owned()));
    let mut task = Box::pin(reads_twice(srcu.clone(), pointer));
    assert!(poll(task.as_mut(), Waker::noop()).is_pending());
    holds_back_until(&srcu, || drop(task));
}

#[test]
fn a17_a_grace_period_is_a_future() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let srcu = Srcu::new();
    let pointer = srcu.new_ptr(Dropping(&DROPS));
    let guard = srcu.read_lock();
    let old = pointer.take().unwrap();
    let mut done = pin!(old.cookie().clone().done());
    let (first, second) = (Unparker::new(), Unparker::new());
    assert!(poll(done.as_mut(), &Waker::from(Arc::clone(&first))).is_pending());
    // Only the waker of the last poll is woken.
    assert!(poll(done.as_mut(), &Waker::from(Arc::clone(&second))).is_pending());
    drop(guard);
    wait_until(|| second.woken.load(SeqCst) == 1);
    assert!(poll(done.as_mut(), Waker::noop()).is_ready());
    assert!(poll(done.as_mut(), Waker::noop()).is_ready(), "again");
    assert_eq!(first.woken.load(SeqCst), 0);
    drop(old.try_into_box().unwrap());
    assert_eq!(DROPS.load(SeqCst), 1);
}

#[test]
fn a17_grace_periods_are_awaited_by_a_task_and_may_be_dropped() {
    let srcu = Srcu::new();
    let mut dropped = Box::pin(srcu.get_state().done());
    assert!(poll(dropped.as_mut(), Waker::noop()).is_pending());
    drop(dropped);
    srcu.barrier();
    for _ in 0..100 {
        block_on(async {
            let cookie = srcu.get_state();
            assert!(!cookie.is_done());
            cookie.clone().done().await;
            assert!(cookie.is_done());
        });
    }
}

/// A waker that panics when it is woken does not take the worker along.
#[test]
fn a17_a_waker_that_panics_is_a_callback_that_panics() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("from the waker");
        }
    }
    let srcu = Srcu::new();
    let guard = srcu.read_lock();
    let mut done = pin!(srcu.get_state().done());
    assert!(poll(done.as_mut(), &Waker::from(Arc::new(Panics))).is_pending());
    drop(guard);
    srcu.barrier();
    assert_eq!(srcu.stats().callback_panics, 1);
    assert!(poll(done.as_mut(), Waker::noop()).is_ready());
    block_on(srcu.get_state().done());
}

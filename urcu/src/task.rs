//! The task that waits for a callback, and the callback's end of it. Without a lock: a child forked while another
//! thread is in the middle of this finds nothing taken (rule A6).
//!
//! The task leaves its waker in a box; the callback says that it is over and then takes the box. Both reach the
//! pointer by exchanges, which have one order: whose comes second sees what the other did before its own. So
//! either the task sees that it is over, or the callback finds the task's newest waker.
//!
//! A user's code runs here where wakers are cloned, woken and dropped: never between two steps that belong
//! together.

use core::ptr;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use crate::atomic::{AtomicBool, AtomicPtr, Ordering, fence};

/// The task that polls a future.
#[derive(Debug, Default)]
pub(crate) struct Task(Option<Arc<Shared>>);

/// What the callback holds.
#[derive(Debug)]
pub(crate) struct Alarm(Arc<Shared>);

/// Between the two.
///
/// # Invariants
/// 1. `waker` is null or from `Box::into_raw`; who exchanges it for something else owns the box.
#[derive(Debug)]
struct Shared {
    over: AtomicBool,
    waker: AtomicPtr<Waker>,
}

impl Shared {
    /// Puts a waker in the place of the one that is there, and gives that.
    fn exchange(&self, new: Option<Waker>) -> Option<Waker> {
        let new = new.map_or(ptr::null_mut(), |waker| Box::into_raw(Box::new(waker)));
        // AcqRel: see the module; and the box passes from one side to the other. INVARIANT: 1.
        let old = self.waker.swap(new, Ordering::AcqRel);
        // SAFETY: invariant 1: the exchange made it ours.
        (!old.is_null()).then(|| *unsafe { Box::from_raw(old) })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.exchange(None));
    }
}

impl Alarm {
    /// The callback runs.
    pub(crate) fn ring(self) {
        self.0.over.store(true, Ordering::Release);
        if let Some(waker) = self.0.exchange(None) {
            waker.wake(); // it may poll at once
        }
    }
}

impl Task {
    /// Whether the alarm has rung; if not, it will wake the task. The first poll gives `queue` the alarm.
    ///
    /// Lock-free; allocates.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        queue: impl FnOnce(Alarm),
    ) -> Poll<()> {
        let mine = Some(context.waker().clone());
        let Some(shared) = &self.0 else {
            let shared = Arc::new(Shared {
                over: AtomicBool::new(false),
                waker: AtomicPtr::new(ptr::null_mut()),
            });
            shared.exchange(mine);
            self.0 = Some(Arc::clone(&shared));
            queue(Alarm(shared));
            return Poll::Pending;
        };
        drop(shared.exchange(mine));
        // Acquire pairs with the store in `ring`, which its grace period precedes; the fence is that of
        // `Cookie::is_done`.
        if shared.over.load(Ordering::Acquire) {
            fence(Ordering::SeqCst);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_newest_waker_is_woken_once_and_none_is_leaked() {
        let counts: [Arc<Count>; 3] = Default::default();
        let (mut task, mut alarm) = (Task::default(), None);
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            let mut context = Context::from_waker(&waker);
            assert!(task.poll(&mut context, |a| alarm = Some(a)).is_pending());
        }
        alarm.take().unwrap().ring();
        let woken = counts
            .each_ref()
            .map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 0, 1]);
        let waker = Waker::from(Arc::clone(&counts[0]));
        let mut context = Context::from_waker(&waker);
        assert!(
            task.poll(&mut context, |_| unreachable!("queued"))
                .is_ready()
        );
        drop((waker, task));
        assert!(counts.iter().all(|count| Arc::strong_count(count) == 1));
    }
}

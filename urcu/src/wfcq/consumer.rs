//! [`Consumer`]: the one who takes.

use core::fmt;
use core::ptr::{self, NonNull};

use crate::atomic::Ordering;
use crate::backoff::Backoff;

use super::node::Inner;
use super::taken::Owned;
use super::{Node, Pushed, Queue, TakeAll};

/// Why there is nothing to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// The queue is empty.
    Empty,
    /// The next element is being pushed: its producer has not stored the link yet.
    #[doc(alias = "CDS_WFCQ_WOULDBLOCK")]
    Pending,
}

/// The right to take from a [`Queue`]. There is one at a time.
///
/// [`try_pop`](Self::try_pop) never waits. [`pop`](Self::pop) waits at an element that is just being pushed, for one
/// store of its producer: it spins for a few microseconds at most (not at all on one CPU), yields a few times, and
/// then sleeps 50 us, doubled up to a millisecond. So a producer that was preempted there costs the consumer no CPU, and
/// can run, also on one CPU and with a lower priority. In a signal handler only [`try_pop_node`](Self::try_pop_node) may
/// be used, whose node is neither dropped there nor taken apart, which would free it: the push that the handler has
/// interrupted would be waited for, for ever, and so would malloc's lock.
pub struct Consumer<'q, T: Send> {
    queue: &'q Queue<T>,
}

impl<'q, T: Send> Consumer<'q, T> {
    /// For who has set `has_consumer`.
    pub(super) fn new(queue: &'q Queue<T>) -> Self {
        Self { queue }
    }

    /// Takes the first element; waits for its producer if it is in the middle of the push. `None`: the queue was
    /// empty.
    #[doc(alias = "cds_wfcq_dequeue_blocking")]
    pub fn pop(&mut self) -> Option<T> {
        self.pop_node().map(Node::into_inner)
    }

    /// The same with the element's memory.
    pub fn pop_node(&mut self) -> Option<Node<T>> {
        let mut backoff = Backoff::new();
        loop {
            match self.try_pop_node() {
                Ok(node) => return Some(node),
                Err(Nothing::Empty) => return None,
                Err(Nothing::Pending) => backoff.wait(),
            }
        }
    }

    /// Takes the first element. Wait-free: waits for nobody.
    ///
    /// # Errors
    /// There is none, or it is being pushed.
    #[doc(alias = "cds_wfcq_dequeue_nonblocking")]
    pub fn try_pop(&mut self) -> Result<T, Nothing> {
        self.try_pop_node().map(Node::into_inner)
    }

    /// The same with the element's memory.
    ///
    /// # Errors
    /// As [`try_pop`](Self::try_pop).
    pub fn try_pop_node(&mut self) -> Result<Node<T>, Nothing> {
        let (front, last) = (&self.queue.front, &self.queue.last);
        // Acquire pairs with the push that stored it.
        let Some(node) = NonNull::new(front.first.load(Ordering::Acquire)) else {
            return Err(self.why_nothing());
        };
        // SAFETY: 1: on the queue, by invariant 2 of Queue; only we take.
        let next = unsafe { Inner::next(node) };
        let mut second = next.load(Ordering::Acquire);
        if second.is_null() {
            // The last one, as it seems. Empty `first` before `last`: once `last` is null, a push may store `first`.
            front.first.store(ptr::null_mut(), Ordering::Relaxed);
            // Release: after the line above; Acquire: after the push of what is there.
            match last.compare_exchange(
                node.as_ptr(),
                ptr::null_mut(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                // SAFETY: 1: nobody exchanged it out of `last`, so nobody will write its link, and it is off.
                Ok(_) => return Ok(unsafe { Node::from_raw(node) }),
                // Somebody has, and is about to store the link.
                Err(_) => {
                    second = next.load(Ordering::Acquire);
                    if second.is_null() {
                        front.first.store(node.as_ptr(), Ordering::Relaxed);
                        return Err(Nothing::Pending);
                    }
                }
            }
        }
        front.first.store(second, Ordering::Relaxed);
        // SAFETY: 1: its link was written, by the one push that does, so nobody comes to it any more.
        Ok(unsafe { Node::from_raw(node) })
    }

    #[cold]
    fn why_nothing(&self) -> Nothing {
        if self.queue.is_empty() {
            Nothing::Empty
        } else {
            Nothing::Pending
        }
    }

    /// Takes everything that was pushed, with one exchange. Waits, as [`pop`](Self::pop) does, for who is just pushing
    /// into the empty queue; the iterator waits likewise at each element that is being pushed.
    #[doc(alias = "cds_wfcq_splice_blocking")]
    pub fn take_all(&mut self) -> TakeAll<T> {
        let mut backoff = Backoff::new();
        loop {
            match self.try_take_all() {
                Ok(all) => return all,
                Err(Nothing::Empty) => return TakeAll::new(Owned::empty()),
                Err(Nothing::Pending) => backoff.wait(),
            }
        }
    }

    /// Takes everything that was pushed. Wait-free: one exchange.
    ///
    /// # Errors
    /// There is nothing, or the first element is being pushed.
    #[doc(alias = "cds_wfcq_splice_nonblocking")]
    pub fn try_take_all(&mut self) -> Result<TakeAll<T>, Nothing> {
        let (front, last) = (&self.queue.front, &self.queue.last);
        let first = front.first.load(Ordering::Acquire);
        if first.is_null() {
            return Err(self.why_nothing());
        }
        // As in `try_pop_node`: `first` before `last`.
        front.first.store(ptr::null_mut(), Ordering::Relaxed);
        let last = last.swap(ptr::null_mut(), Ordering::SeqCst);
        Ok(TakeAll::new(Owned::new(first, last)))
    }

    /// Moves everything to the end of another queue, in order, and tells what that was. `None`: there was nothing.
    ///
    /// Waits as [`take_all`](Self::take_all); two exchanges, however much it is. The other queue's consumer then waits for
    /// those who are in the middle of a push.
    #[doc(alias = "cds_wfcq_splice_blocking")]
    pub fn splice_into(&mut self, other: &Queue<T>) -> Option<Pushed> {
        let (first, last) = self.take_all().into_chain()?;
        // SAFETY: 1: the chain was taken off, and is ours.
        Some(unsafe { other.append(first, last) })
    }

    /// The queue.
    pub fn queue(&self) -> &'q Queue<T> {
        self.queue
    }
}

impl<T: Send> Drop for Consumer<'_, T> {
    fn drop(&mut self) {
        // Release pairs with the Acquire of the next consumer.
        self.queue
            .front
            .has_consumer
            .store(false, Ordering::Release);
    }
}

impl<T: Send> fmt::Debug for Consumer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Consumer").field(self.queue).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::AtomicPtr;

    /// A push that was stopped between its exchange and its store: where it will store, and what.
    fn half_a_push<T: Send>(
        queue: &Queue<T>,
        value: T,
    ) -> (&AtomicPtr<Inner<T>>, NonNull<Inner<T>>) {
        let node = Node::new(value).into_raw();
        let before = queue.last.swap(node.as_ptr(), Ordering::SeqCst);
        let link = NonNull::new(before).map_or(&queue.front.first, |before| {
            // SAFETY: 1: no consumer takes it before it has the link.
            unsafe { Inner::next(before) }
        });
        (link, node)
    }

    // Who sleeps where the queue is empty would sleep beside an element, and who counts what it takes would miss one.
    #[test]
    fn what_is_being_pushed_is_pending_and_not_nothing() {
        let queue = Queue::new();
        let mut consumer = queue.consumer().unwrap();
        let (link, first) = half_a_push(&queue, 1);
        assert_eq!(consumer.try_pop(), Err(Nothing::Pending));
        assert_eq!(consumer.try_take_all().err(), Some(Nothing::Pending));
        link.store(first.as_ptr(), Ordering::Release);
        let (link, second) = half_a_push(&queue, 2);
        // The first one cannot be taken either: its link is about to be written.
        assert_eq!(consumer.try_pop(), Err(Nothing::Pending));
        assert_eq!(consumer.try_pop(), Err(Nothing::Pending));
        link.store(second.as_ptr(), Ordering::Release);
        assert_eq!([consumer.try_pop(), consumer.try_pop()], [Ok(1), Ok(2)]);
        assert_eq!(consumer.try_pop(), Err(Nothing::Empty));
        assert_eq!(consumer.try_take_all().err(), Some(Nothing::Empty));
    }
}

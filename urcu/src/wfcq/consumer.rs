//! [`Consumer`]: the one who takes.

use core::fmt;
use core::ptr::{self, NonNull};

use crate::atomic::Ordering;
use crate::backoff::Backoff;

use super::block::{Block, CLOSED};
use super::node::Inner;
use super::place::{Claims, Place};
use super::taken::{Element, Owned};
use super::{Node, Pushed, Queue, TakeAll};

/// Why there is nothing to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// The queue is empty.
    Empty,
    /// The next element is being pushed: its producer has not stored the link, or the value into its slot, yet.
    #[doc(alias = "CDS_WFCQ_WOULDBLOCK")]
    Pending,
}

/// The right to take from a [`Queue`]. There is one at a time.
///
/// [`try_pop`](Self::try_pop) never waits. [`pop`](Self::pop) waits at an element that is just being pushed, for its
/// producer to copy the value into its slot, or for one store if it goes as a node: it spins for a few microseconds at
/// most (not at all on one CPU), yields a few times, and then sleeps 50 us, doubled up to a millisecond. So a producer
/// that was preempted there costs the consumer no CPU, and can run, also on one CPU and with a lower priority. In a
/// signal handler only [`try_pop_node`](Self::try_pop_node) may be used, of a queue onto which only
/// [nodes](Queue::push_node) are pushed, and the node is neither dropped there nor taken apart, which would free it:
/// the push that the handler has interrupted would be waited for, for ever, and so would malloc's lock.
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
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.pop_element().map(Element::into_inner)
    }

    /// The same with memory by which the element can be pushed: its own if [`push_node`](Queue::push_node) has pushed it,
    /// else new.
    pub fn pop_node(&mut self) -> Option<Node<T>> {
        self.pop_element().map(Element::into_node)
    }

    #[inline]
    fn pop_element(&mut self) -> Option<Element<T>> {
        let mut backoff = Backoff::new();
        loop {
            match self.try_pop_element() {
                Ok(element) => return Some(element),
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
    #[inline]
    pub fn try_pop(&mut self) -> Result<T, Nothing> {
        self.try_pop_element().map(Element::into_inner)
    }

    /// The same with memory, as [`pop_node`](Self::pop_node).
    ///
    /// # Errors
    /// As [`try_pop`](Self::try_pop).
    pub fn try_pop_node(&mut self) -> Result<Node<T>, Nothing> {
        self.try_pop_element().map(Element::into_node)
    }

    #[inline]
    fn try_pop_element(&mut self) -> Result<Element<T>, Nothing> {
        loop {
            // Acquire pairs with the push that stored it.
            match Place::of(self.queue.front.first.load(Ordering::Acquire)) {
                Place::Nothing => return Err(self.why_nothing()),
                Place::Node(node) => return self.take_node(node).map(Element::Node),
                Place::Block(block, _) => {
                    if let Some(value) = self.take_value(block)? {
                        return Ok(Element::Value(value));
                    }
                }
            }
        }
    }

    /// Takes the first element, which is in this node.
    fn take_node(&mut self, node: NonNull<Inner<T>>) -> Result<Node<T>, Nothing> {
        let (front, last) = (&self.queue.front, &self.queue.last);
        // SAFETY: 1: on the queue, by invariant 2 of Queue; only we take.
        let next = unsafe { Inner::next(node) };
        let mut second = next.load(Ordering::Acquire);
        if second.is_null() {
            // The last one, as it seems. Empty `first` before `last`: once `last` is null, a push may store `first`.
            let this = Place::Node(node).word();
            front.first.store(ptr::null_mut(), Ordering::Relaxed);
            // Release: after the line above; Acquire: after the push of what is there.
            match last.compare_exchange(this, ptr::null_mut(), Ordering::SeqCst, Ordering::Relaxed)
            {
                // SAFETY: 1: nobody exchanged it out of `last`, so nobody will write its link, and it is off.
                Ok(_) => return Ok(unsafe { Node::from_raw(node) }),
                // Somebody has, and is about to store the link.
                Err(_) => {
                    second = next.load(Ordering::Acquire);
                    if second.is_null() {
                        front.first.store(this, Ordering::Relaxed);
                        return Err(Nothing::Pending);
                    }
                }
            }
        }
        front.first.store(second, Ordering::Relaxed);
        // SAFETY: 1: its link was written, by the one push that does, so nobody comes to it any more.
        Ok(unsafe { Node::from_raw(node) })
    }

    /// Takes the first element, which is in this block. `None`: none was left in it; what is behind it is the first now.
    ///
    /// Looks at `last`, and the line that pushes write, only when all is taken that it was seen to have.
    #[inline]
    fn take_value(&mut self, at: NonNull<Block<T>>) -> Result<Option<T>, Nothing> {
        // SAFETY: on the queue, by invariant 2 of Queue, until `leave`; only we take.
        let block = unsafe { &*at.as_ptr() };
        let mut known = block.known();
        if block.taken() == known {
            known = self.more(at)?;
        }
        // SAFETY: 1: we are the consumer.
        let Some(value) = (unsafe { block.take() }) else {
            return self.leave(at).map(|()| None);
        };
        let taken = block.taken();
        if taken == known {
            self.drained(at, taken);
        }
        Ok(Some(value))
    }

    /// All is taken that was known to be in the first block: is there more in it?
    fn more(&mut self, at: NonNull<Block<T>>) -> Result<u8, Nothing> {
        // SeqCst: see the module.
        let last = Place::of(self.queue.last.load(Ordering::SeqCst));
        let known = match last.claims_of(at) {
            Some(claims) if claims.drained => return Err(Nothing::Empty),
            Some(claims) => claims.claimed,
            None => CLOSED,
        };
        // SAFETY: as in `take_value`.
        unsafe { &*at.as_ptr() }.know(known);
        Ok(known)
    }

    /// So many have been taken from the first block: tells pushes, if they are all that there is.
    #[inline]
    fn drained(&mut self, at: NonNull<Block<T>>, claimed: u8) {
        let word = |drained| Place::Block(at, Claims { claimed, drained }).word();
        // SeqCst: see the module.
        let told = self.queue.last.compare_exchange(
            word(false),
            word(true),
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
        if let Err(now) = told {
            let known = Place::of(now)
                .claims_of(at)
                .map_or(CLOSED, |claims| claims.claimed);
            // SAFETY: as in `take_value`.
            unsafe { &*at.as_ptr() }.know(known);
        }
    }

    /// The first block has no more values that are ready: goes on to what is behind it, if there are none at all.
    #[cold]
    fn leave(&mut self, at: NonNull<Block<T>>) -> Result<(), Nothing> {
        // SAFETY: as in `take_value`.
        let block = unsafe { &*at.as_ptr() };
        // Acquire pairs with the push that stores it, after `end`.
        let next = block.next().load(Ordering::Acquire);
        if next.is_null() || block.taken() != block.end() {
            return Err(Nothing::Pending);
        }
        // INVARIANT: 3.
        self.queue.front.first.store(next, Ordering::Relaxed);
        // SAFETY: 1: its link was written, and all slots that were claimed, so nobody comes to it any more.
        unsafe { self.queue.spend(at) };
        Ok(())
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
        // `last` once, and before `first`: whoever has pushed what is there has stored `first`, or is about to.
        let otherwise = self.why_nothing();
        let first = front.first.load(Ordering::Acquire);
        if first.is_null() || otherwise == Nothing::Empty {
            return Err(otherwise);
        }
        // As in `take_node`: `first` before `last`.
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
    use super::super::Claim;
    use super::super::place::Item;
    use super::*;
    use crate::atomic::AtomicPtr;

    /// A push of a node that was stopped between its exchange and its store: where it will store, and what.
    fn half_a_push<T: Send>(queue: &Queue<T>, value: T) -> (&AtomicPtr<Item<T>>, *mut Item<T>) {
        let word = Place::Node(Node::new(value).into_raw()).word();
        let link = match Place::of(queue.last.swap(word, Ordering::SeqCst)) {
            Place::Nothing => &queue.front.first,
            // SAFETY: 1: no consumer takes it before it has the link.
            Place::Node(before) => unsafe { Inner::next(before) },
            Place::Block(before, claims) => {
                // SAFETY: as above.
                let before = unsafe { &*before.as_ptr() };
                before.close(claims.claimed);
                before.next()
            }
        };
        (link, word)
    }

    /// A push that was stopped before it wrote its slot.
    fn half_a_claim<T: Send>(queue: &Queue<T>) -> impl FnOnce(T) {
        let Claim::Slot(block, slot, _) = queue.claim() else {
            panic!("a block with room is last");
        };
        // SAFETY: 1: claimed above, written once.
        move |value| unsafe { Block::put(block, slot, value) }
    }

    // Who sleeps where the queue is empty would sleep beside an element, and who counts what it takes would miss one.
    #[test]
    fn what_is_being_pushed_is_pending_and_not_nothing() {
        let queue = Queue::new();
        let mut consumer = queue.consumer().unwrap();
        let (link, first) = half_a_push(&queue, 1);
        assert_eq!(consumer.try_pop(), Err(Nothing::Pending));
        assert_eq!(consumer.try_take_all().err(), Some(Nothing::Pending));
        link.store(first, Ordering::Release);
        let (link, second) = half_a_push(&queue, 2);
        // The first one cannot be taken either: its link is about to be written.
        assert_eq!(consumer.try_pop(), Err(Nothing::Pending));
        assert_eq!(consumer.try_pop(), Err(Nothing::Pending));
        link.store(second, Ordering::Release);
        assert_eq!([consumer.try_pop(), consumer.try_pop()], [Ok(1), Ok(2)]);
        assert_eq!(consumer.try_pop(), Err(Nothing::Empty));
        assert_eq!(consumer.try_take_all().err(), Some(Nothing::Empty));
    }

    // The same in a block, which also must not be freed under who has claimed a slot.
    #[test]
    fn a_claimed_slot_is_pending_until_it_is_written() {
        let queue = Queue::new();
        let mut consumer = queue.consumer().unwrap();
        assert_eq!(queue.push(0), Pushed::First);
        let write_1 = half_a_claim(&queue);
        assert_eq!(queue.push(2), Pushed::Behind);
        let (link, third) = half_a_push(&queue, 3);
        assert_eq!(consumer.try_pop(), Ok(0));
        assert_eq!(consumer.try_pop(), Err(Nothing::Pending));
        link.store(third, Ordering::Release);
        assert_eq!(consumer.try_pop(), Err(Nothing::Pending));
        write_1(1);
        assert_eq!([consumer.try_pop(), consumer.try_pop()], [Ok(1), Ok(2)]);
        assert_eq!(consumer.try_pop(), Ok(3));
        assert_eq!(consumer.try_pop(), Err(Nothing::Empty));

        assert_eq!(queue.push(4), Pushed::First);
        let write_5 = half_a_claim(&queue);
        let mut all = consumer.try_take_all().unwrap();
        assert_eq!(all.try_next(), Ok(4));
        assert_eq!(all.try_next(), Err(Nothing::Pending));
        assert_eq!(queue.push(6), Pushed::First);
        write_5(5);
        assert_eq!(all.try_next(), Ok(5));
        assert_eq!(all.try_next(), Err(Nothing::Empty));
        assert_eq!(consumer.try_pop(), Ok(6));
    }
}

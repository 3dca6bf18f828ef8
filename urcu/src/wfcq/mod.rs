//! [`Queue<T>`]: many push without waiting, one takes. liburcu's wfcqueue, which owns what is in it.
//!
//! A push is one exchange and one store (Mellor-Crummey: "Concurrent Queues: Practical Fetch-and-phi
//! Algorithms", 1987; Desnoyers and Jiangshan's `wfcqueue` in liburcu). Between the two the chain has a gap: the
//! element is the last one, and nobody can come to it yet. The one consumer waits there, or is told.
//!
//! Unlike liburcu's there is no node that is always in the queue: who pushes into an empty one stores the head.
//!
//! # Orderings
//! * A push's exchange of `last` is AcqRel: Acquire, because it then writes to the element before, which must have been
//!   prepared; Release, because the next one writes to this. It is SeqCst, so that who pushes and then looks whether the
//!   consumer sleeps meets a consumer who does the reverse; on x86 that is the same instruction.
//! * The link, or the head, is stored with Release and loaded with Acquire: the consumer sees the value.

mod consumer;
mod node;
mod taken;

pub use consumer::{Consumer, Nothing};
pub use node::Node;
pub use taken::TakeAll;

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use crate::atomic::{AtomicBool, AtomicPtr, Ordering};
use crate::pad::Padded;

use self::node::Inner;

/// What [`Queue::push`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The queue was empty: the consumer may need to be woken.
    First,
    /// The queue was not empty.
    Behind,
}

/// A queue for many producers and one consumer at a time.
///
/// Any thread may [`push`](Self::push); to take elements one needs the [`Consumer`], of which there is one.
/// Elements come out in the order of the pushes' exchanges: those of one thread in its order, and what was
/// pushed before another push began comes out before it.
///
/// ```
/// use urcu::wfcq::{Pushed, Queue};
///
/// static QUEUE: Queue<String> = Queue::new();
///
/// assert_eq!(QUEUE.push("a".to_owned()), Pushed::First);
/// assert_eq!(QUEUE.push("b".to_owned()), Pushed::Behind);
///
/// let mut consumer = QUEUE.consumer().expect("there is no other");
/// assert!(QUEUE.consumer().is_none());
/// assert_eq!(consumer.pop().as_deref(), Some("a"));
/// assert_eq!(consumer.take_all().collect::<Vec<_>>(), ["b"]);
/// assert_eq!(consumer.pop(), None);
/// ```
///
/// # Progress and cost
/// * `push` is wait-free: an allocation, one exchange, one store. [`push_node`](Self::push_node) does without the
///   allocation. Not async-signal-safe because of the allocation; `push_node` is.
/// * Whoever is stopped between the exchange and the store holds back the *consumer* from this element on, and nobody
///   else. [`Consumer`] says how it waits.
/// * No grace period is needed: elements are their takers' at once.
/// * Producers and consumer write different cache lines while the queue is not empty.
/// * No user's code runs inside but the drops of elements, when the queue or a [`TakeAll`] is dropped.
///
/// # Fork
/// A push that another thread was in the middle of is never finished in the child: there the consumer would wait for
/// ever at it (and `try_pop` says [`Nothing::Pending`] for ever). If another thread had the [`Consumer`], nobody gets
/// one in the child. Dropping the queue leaks what is behind; so does
/// dropping one while a push is under way onto the queue that was [spliced](Consumer::splice_into) into it.
///
/// # Invariants
/// 1. `last` is null, or the newest element; each element but the newest has, or is about to get from the one push
///    that exchanged it out of `last`, its `next`; so has `first`, from the push that found `last` null.
/// 2. Elements are nodes whose boxes the queue owns, from the exchange until they are taken.
/// 3. `first` is written, after that push, and elements are taken, by the one who has set `has_consumer` (or has `&mut`).
#[doc(alias = "cds_wfcq_head")]
#[doc(alias = "cds_wfcq_tail")]
pub struct Queue<T> {
    /// What producers write.
    last: Padded<AtomicPtr<Inner<T>>>,
    /// What the consumer writes, and who finds the queue empty.
    front: Padded<Front<T>>,
    owns: PhantomData<T>,
}

struct Front<T> {
    first: AtomicPtr<Inner<T>>,
    has_consumer: AtomicBool,
}

// SAFETY: elements pass from thread to thread, no `&T` is shared.
unsafe impl<T: Send> Send for Queue<T> {}
// SAFETY: as above; all shared state is atomic, or one consumer's.
unsafe impl<T: Send> Sync for Queue<T> {}

impl<T: Send> Queue<T> {
    /// An empty queue. `const`, for statics.
    #[doc(alias = "cds_wfcq_init")]
    pub const fn new() -> Self {
        Self {
            last: Padded::new(AtomicPtr::new(ptr::null_mut())),
            front: Padded::new(Front {
                first: AtomicPtr::new(ptr::null_mut()),
                has_consumer: AtomicBool::new(false),
            }),
            owns: PhantomData,
        }
    }

    /// Puts a value at the end. Wait-free but for the allocation.
    #[doc(alias = "cds_wfcq_enqueue")]
    pub fn push(&self, value: T) -> Pushed {
        self.push_node(Node::new(value))
    }

    /// Puts a value that is in a node already at the end. Wait-free; async-signal-safe.
    #[doc(alias = "cds_wfcq_enqueue")]
    pub fn push_node(&self, node: Node<T>) -> Pushed {
        let node = node.into_raw();
        // SAFETY: 1: a node of our own, whose `next` is null.
        unsafe { self.append(node, node) }
    }

    /// Puts a chain at the end. Wait-free.
    ///
    /// # Safety
    /// 1. The chain from `first` to `last` is the caller's, who gives it up; each node but `last` has its `next` or is about
    ///    to get it, and that of `last` is null.
    unsafe fn append(&self, first: NonNull<Inner<T>>, last: NonNull<Inner<T>>) -> Pushed {
        // INVARIANT: 1, 2.
        let before = self.last.swap(last.as_ptr(), Ordering::SeqCst);
        let (link, pushed) = match NonNull::new(before) {
            None => (&self.front.first, Pushed::First),
            // SAFETY: invariant 1: the consumer does not take the element before it has the link that we are about to
            // store, so it lives until then.
            Some(before) => (unsafe { Inner::next(before) }, Pushed::Behind),
        };
        link.store(first.as_ptr(), Ordering::Release);
        pushed
    }

    /// The right to take elements, if nobody has it. Dropping it gives it back; forgetting it keeps it for ever.
    pub fn consumer(&self) -> Option<Consumer<'_, T>> {
        // Acquire pairs with the Release of the drop: what the last consumer did to `first` and to the nodes is done.
        let taken = self.front.has_consumer.swap(true, Ordering::Acquire);
        // INVARIANT: 3.
        (!taken).then(|| Consumer::new(self))
    }

    /// The same for who has the queue for itself: always there, also after another was forgotten.
    pub fn consumer_mut(&mut self) -> Consumer<'_, T> {
        self.front.has_consumer.store(true, Ordering::Relaxed);
        // INVARIANT: 3: the borrow ends all others.
        Consumer::new(self)
    }

    /// Whether nothing is in the queue, not even a push that is about to be finished.
    #[doc(alias = "cds_wfcq_empty")]
    pub fn is_empty(&self) -> bool {
        // SeqCst: see `push`.
        self.last.load(Ordering::SeqCst).is_null()
    }
}

impl<T: Send> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send> Extend<T> for Queue<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        for value in values {
            self.push(value);
        }
    }
}

impl<T: Send> FromIterator<T> for Queue<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut queue = Self::new();
        queue.extend(values);
        queue
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        // No push is under way: it would borrow the queue. But one onto the queue that a chain was spliced from may
        // be, and in a forked child for ever: what is behind it is leaked.
        let first = self.front.first.load(Ordering::Acquire);
        let last = self.last.load(Ordering::Acquire);
        drop(taken::Owned::new(first, last));
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("last", &self.last.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

//! [`Queue<T>`]: many push without waiting, one takes. liburcu's wfcqueue, which owns what is in it.
//!
//! Of two pushes one is that of a node, which is one exchange and one store (Mellor-Crummey: "Concurrent Queues: Practical
//! Fetch-and-phi Algorithms", 1987; Desnoyers and Jiangshan's `wfcqueue` in liburcu). Between the two the chain has a gap:
//! the element is the last one, and nobody can come to it yet. The one consumer waits there, or is told.
//!
//! The other is that of a value, and claims a slot of the block that is last. The address of the last one and the number
//! of its claimed slots are one word, so a claim is one CAS, and who exchanges the block out of the word knows how many
//! slots were claimed, for ever: nobody comes to a block but who has claimed a slot of it, or is to store its link. So
//! the consumer may free it, as it may a node, when it has seen those stores; a push that only lost a CAS has not touched
//! the block. Where a block is full, or none is last, a push exchanges a new one in, with its value in the first slot.
//! Where it loses 16 times, it goes as a node; so does a value of more than 64 bytes, for which a block would be large.
//!
//! Blocks are there for the caches. In a chain of nodes each element has a line of its own and a place in malloc, and
//! both go from the producer's processor to the consumer's and back, as `last` does. The consumer takes from a block what
//! it knows to be claimed, and looks at `last` only when that is taken.
//!
//! Unlike liburcu's there is no node that is always in the queue: who pushes into an empty one stores the head, or finds
//! a block marked as drained.
//!
//! # Orderings
//! * A push's exchange or CAS of `last` is AcqRel: Acquire, because it then writes to the node before, or to the block, which
//!   must have been prepared; Release, because the next one writes to this. It is SeqCst, so that who pushes and then looks
//!   whether the consumer sleeps meets a consumer who does the reverse; on x86 that is the same instruction.
//! * The link, or the head, is stored with Release and loaded with Acquire: the consumer sees the value, and the end of the
//!   block before. So is a slot's flag.

mod block;
mod consumer;
mod node;
mod place;
mod taken;

pub use consumer::{Consumer, Nothing};
pub use node::Node;
pub use taken::TakeAll;

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use crate::atomic::{AtomicBool, AtomicPtr, Ordering};
use crate::pad::Padded;

use self::block::{Block, SLOTS};
use self::node::Inner;
use self::place::{Claims, Item, Place};

/// How often a push tries to claim a slot before it goes as a node: others were faster so often.
const TRIES: u32 = if cfg!(loom) { 2 } else { 16 };
/// Bytes of a value that goes through a block: one push of a larger one would pay for a block's 31.
const LARGEST: usize = 64;

/// What [`Queue::push`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The queue was empty: the consumer may need to be woken.
    First,
    /// The queue was not empty.
    Behind,
}

impl Pushed {
    fn onto(nothing: bool) -> Self {
        if nothing { Self::First } else { Self::Behind }
    }
}

/// What a push has got.
enum Claim<T> {
    /// This slot of this block, which lives until it is written.
    Slot(NonNull<Block<T>>, u8, Pushed),
    /// No block is last, or it is full.
    NoBlock,
    /// Others were always faster.
    Contended,
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
/// * `push` is wait-free: one CAS and two stores, as a rule. Of 31 pushes one allocates a block, unless the consumer has
///   left one behind, and exchanges; so does the first behind a node or into a queue that was taken as a whole. Who loses
///   16 CASes to other pushes does as [`push_node`](Self::push_node), and allocates for that. `push_node` is one exchange
///   and one store, and allocates nothing. Not async-signal-safe because of the allocation; `push_node` is.
/// * Whoever is stopped between the exchange or CAS and the last store holds back the *consumer* from this element on, and
///   nobody else. [`Consumer`] says how it waits.
/// * No grace period is needed: elements are their takers' at once.
/// * The consumer comes to the cache line that all producers write when it has taken all that it saw there the last time.
/// * A block has room for 31 values, 512 bytes with values of 8. A queue keeps up to two while it is empty. Values of more
///   than 64 bytes go as nodes, with an allocation each; boxed they go through blocks.
/// * No user's code runs inside but the drops of elements, when the queue or a [`TakeAll`] is dropped.
///
/// # Fork
/// A push that another thread was in the middle of is never finished in the child: there the consumer would wait for
/// ever at it (and `try_pop` says [`Nothing::Pending`] for ever). If another thread had the [`Consumer`], nobody gets
/// one in the child. Dropping the queue leaks what is behind; so does
/// dropping one while a push is under way onto the queue that was [spliced](Consumer::splice_into) into it.
///
/// # Invariants
/// 1. `last` is null, or the newest node, or the newest block and how many of its slots are claimed; each but the newest
///    has, or is about to get from the one push that exchanged it out of `last`, its `next`; so has `first`, from the push
///    that found `last` null. A claimed slot has, or is about to get from the one push that claimed it, its value.
/// 2. Nodes and blocks are boxes that the queue owns, from the exchange until they are taken, or left with all slots taken.
/// 3. `first` is written, after that push, and elements are taken, by the one who has set `has_consumer` (or has `&mut`).
/// 4. A block in `last` is marked as drained when all its claimed slots have been taken, by the consumer, who otherwise
///    takes the last node out of `last`: so who exchanges `last` knows whether the queue was empty.
/// 5. `spare` is null or a block with no values that is nobody's.
#[doc(alias = "cds_wfcq_head")]
#[doc(alias = "cds_wfcq_tail")]
pub struct Queue<T> {
    /// What producers write.
    last: Padded<AtomicPtr<Item<T>>>,
    /// What the consumer writes, and who finds the queue empty.
    front: Padded<Front<T>>,
    owns: PhantomData<T>,
}

struct Front<T> {
    first: AtomicPtr<Item<T>>,
    /// A block's memory, or null.
    spare: AtomicPtr<Block<T>>,
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
                spare: AtomicPtr::new(ptr::null_mut()),
                has_consumer: AtomicBool::new(false),
            }),
            owns: PhantomData,
        }
    }

    /// Puts a value at the end. Wait-free but for the allocation, which few pushes make.
    #[doc(alias = "cds_wfcq_enqueue")]
    #[inline]
    pub fn push(&self, value: T) -> Pushed {
        if const { size_of::<T>() > LARGEST } {
            return self.push_node(Node::new(value));
        }
        match self.claim() {
            Claim::Slot(block, slot, pushed) => {
                // SAFETY: 1: claimed.
                unsafe { Block::put(block, slot, value) };
                pushed
            }
            Claim::NoBlock => self.push_block(value),
            Claim::Contended => self.push_node(Node::new(value)),
        }
    }

    /// Tries to claim a slot of the last block, a bounded number of times.
    #[inline]
    fn claim(&self) -> Claim<T> {
        let mut seen = self.last.load(Ordering::Relaxed);
        for _ in 0..TRIES {
            let (block, claims) = match Place::of(seen) {
                Place::Block(block, claims) if claims.claimed < SLOTS => (block, claims),
                _ => return Claim::NoBlock,
            };
            let one_more = Claims {
                claimed: claims.claimed + 1,
                drained: false,
            };
            // INVARIANT: 1. SeqCst, of which Acquire: the block is there, and the value is written to it.
            match self.last.compare_exchange_weak(
                seen,
                Place::Block(block, one_more).word(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Claim::Slot(block, claims.claimed, Pushed::onto(claims.drained)),
                Err(now) => seen = now,
            }
        }
        Claim::Contended
    }

    /// Puts a value at the end with a new block.
    #[cold]
    fn push_block(&self, value: T) -> Pushed {
        // Acquire pairs with the Release of `spend`: who used the memory has done so.
        let spare = self.front.spare.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: 1: exchanged, so nobody else's.
        let block = unsafe { Block::with(NonNull::new(spare), value) };
        let claims = Claims {
            claimed: 1,
            drained: false,
        };
        let word = Place::Block(block, claims).word();
        // SAFETY: 1: a new block.
        unsafe { self.append(word, word) }
    }

    /// Puts a value that is in a node already at the end. Wait-free; async-signal-safe.
    #[doc(alias = "cds_wfcq_enqueue")]
    pub fn push_node(&self, node: Node<T>) -> Pushed {
        let word = Place::Node(node.into_raw()).word();
        // SAFETY: 1: a node of our own, whose `next` is null.
        unsafe { self.append(word, word) }
    }

    /// Puts a chain at the end. Wait-free.
    ///
    /// # Safety
    /// 1. The chain from `first` to `last` is the caller's, who gives it up; each item but `last` has its `next` or is about
    ///    to get it, and that of `last` is null.
    unsafe fn append(&self, first: *mut Item<T>, last: *mut Item<T>) -> Pushed {
        // INVARIANT: 1, 2.
        let before = Place::of(self.last.swap(last, Ordering::SeqCst));
        let (link, pushed) = match before {
            Place::Nothing => (&self.front.first, Pushed::First),
            // SAFETY: invariant 1: the consumer does not take the element before it has the link that we are about to
            // store, so it lives until then.
            Place::Node(before) => (unsafe { Inner::next(before) }, Pushed::Behind),
            Place::Block(before, claims) => {
                // SAFETY: as above.
                let before = unsafe { &*before.as_ptr() };
                before.close(claims.claimed);
                (before.next(), Pushed::onto(claims.drained))
            }
        };
        link.store(first, Ordering::Release);
        pushed
    }

    /// Keeps a block's memory for the next one.
    ///
    /// # Safety
    /// 1. The block is the caller's alone, and has no values.
    unsafe fn spend(&self, block: NonNull<Block<T>>) {
        // Release pairs with the Acquire of `push_block`. No Acquire: only consumers put one there, and `has_consumer` orders
        // them.
        let other = self.front.spare.swap(block.as_ptr(), Ordering::Release);
        if let Some(other) = NonNull::new(other) {
            // SAFETY: 1: exchanged, so nobody else's.
            unsafe { block::free(other) };
        }
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
        // SeqCst: see the module.
        match Place::of(self.last.load(Ordering::SeqCst)) {
            Place::Nothing => true,
            Place::Node(_) => false,
            Place::Block(_, claims) => claims.drained,
        }
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
        // Before the elements, whose drops may panic. Acquire pairs with the Release of `spend`.
        let spare = self.front.spare.load(Ordering::Acquire);
        if let Some(spare) = NonNull::new(spare) {
            // SAFETY: 1: `&mut self`.
            unsafe { block::free(spare) };
        }
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

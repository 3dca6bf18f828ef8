//! The models of queue, stack, ids and list: who takes an element has it alone, and sees what was written to it; who walks
//! or looks up finds what was published.

use std::ptr::NonNull;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use crate::atomic::{AtomicBool, Event, Ordering};
use crate::flavor::{Fault, Memb, has};
use crate::guard::Guard;
use crate::lfs_raw::{Inner, RawStack};
use crate::links::{Link, Links};
use crate::slot::{Slots, Stage, State};
use crate::wfcq::{Node, Nothing, Pushed, Queue};
use crate::world::{slot, synchronize};

/// A value that loom watches: who has it may write to it.
#[derive(Debug)]
pub(crate) struct Watched(UnsafeCell<u32>);

// SAFETY: that accesses do not conflict is what the models check; loom panics where they do.
unsafe impl Send for Watched {}
// SAFETY: as above.
unsafe impl Sync for Watched {}

impl Watched {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    /// Writes, as only who has it alone may.
    pub(crate) fn set(&self, value: u32) {
        // SAFETY: loom has just checked that nobody uses it meanwhile.
        self.0.with_mut(|at| unsafe { *at = value });
    }

    pub(crate) fn get(&self) -> u32 {
        // SAFETY: loom has just checked that nobody writes it meanwhile.
        self.0.with(|at| unsafe { *at })
    }
}

/// A queue and nodes that one thread has used, so that their first values belong to nobody.
fn queue_and_nodes<const N: usize>() -> (Arc<Queue<Watched>>, [Node<Watched>; N]) {
    let queue = Arc::new(Queue::new());
    let mut consumer = queue.consumer().expect("the first");
    // A block would stay, and `last` then orders what links and head should.
    for _ in 0..N {
        queue.push_node(Node::new(Watched::new()));
    }
    let nodes = std::array::from_fn(|_| consumer.try_pop_node().expect("pushed"));
    assert!(queue.is_empty());
    drop(consumer);
    (queue, nodes)
}

/// Two producers; the consumer pops, and gives one element a second turn.
pub(crate) fn queue() {
    let (queue, nodes) = queue_and_nodes::<2>();
    let producers: Vec<_> = nodes
        .into_iter()
        .zip(1..)
        .map(|(node, value)| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                node.set(value);
                queue.push_node(node);
            })
        })
        .collect();
    let mut consumer = queue.consumer().expect("the first");
    let mut sum = 0;
    let mut again = true;
    while sum < 13 {
        let Some(node) = consumer.pop_node() else {
            thread::yield_now();
            continue;
        };
        sum += node.get();
        if again {
            again = false;
            node.set(10);
            queue.push_node(node);
        }
    }
    assert_eq!(sum, 13, "1 and 2 once each, and 10");
    assert!(consumer.pop_node().is_none());
    for producer in producers {
        producer.join().expect("a producer");
    }
}

/// Two producers of values: one fills a block and the other's may be in it, or in the next one, or go as a node. The
/// consumer pops.
pub(crate) fn slots() {
    let queue = Arc::new(Queue::new());
    queue.push(Watched::new());
    let mut consumer = queue.consumer().expect("the first");
    assert!(consumer.pop().is_some(), "a drained block is left");
    let producers = [&[1, 2][..], &[4]].map(|values| {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            for &value in values {
                let watched = Watched::new();
                watched.set(value);
                queue.push(watched);
            }
        })
    });
    let mut sum = 0;
    while sum < 7 {
        match consumer.pop() {
            Some(watched) => {
                let value = watched.get();
                assert!(value != 2 || sum & 1 == 1, "2 came before 1");
                sum += value;
            }
            None => thread::yield_now(),
        }
    }
    assert_eq!(sum, 7, "each once");
    assert!(queue.is_empty() && consumer.pop().is_none());
    for producer in producers {
        producer.join().expect("a producer");
    }
}

fn push(queue: &Queue<Watched>, value: u32) -> Pushed {
    let watched = Watched::new();
    watched.set(value);
    queue.push(watched)
}

/// Blocks go round: one is spare at first, both threads push into what the consumer has left behind, and one may claim a slot
/// of a block that has had another life since it looked.
pub(crate) fn spare() {
    let queue = Arc::new(Queue::new());
    let mut consumer = queue.consumer().expect("the first");
    for value in 0..3 {
        push(&queue, value);
    }
    for value in 0..3 {
        assert_eq!(consumer.pop().expect("pushed").get(), value);
    }
    let producer = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            push(&queue, 10);
            push(&queue, 20);
        })
    };
    let mut popped = Vec::new();
    for value in [1, 3] {
        push(&queue, value);
        push(&queue, value + 1);
        popped.extend([consumer.pop(), consumer.pop()]);
    }
    while popped.iter().flatten().count() < 6 {
        match consumer.pop() {
            None => thread::yield_now(),
            more => popped.push(more),
        }
    }
    let popped = || popped.iter().flatten().map(Watched::get);
    assert!(popped().filter(|&value| value < 10).eq(1..=4), "in order");
    assert!(popped().filter(|&value| value >= 10).eq([10, 20]), "in order");
    assert!(queue.is_empty() && consumer.pop().is_none());
    producer.join().expect("the producer");
}

/// Takes so many; sleeps where there is nothing, about which `asleep` is told.
fn take_or_sleep(queue: &Queue<Watched>, many: u32, bell: &Event, asleep: impl Fn(bool)) {
    let mut consumer = queue.consumer().expect("the first");
    let mut taken = 0;
    while taken < many {
        let seen = bell.value();
        asleep(true);
        let element = consumer.try_pop();
        if let Err(Nothing::Empty) = element {
            assert!(bell.wait_while(seen, None));
        }
        asleep(false);
        match element {
            Ok(watched) => taken += watched.get(),
            Err(_) => thread::yield_now(),
        }
    }
}

fn bell() -> Arc<Event> {
    let bell = Arc::new(Event::new());
    let _ = format!("{bell:?}");
    bell
}

/// Who pushes looks then whether the consumer sleeps, who says so and looks then whether there is something. There was a
/// block before, or nothing.
///
/// That the push's own access is SeqCst is not checked: loom's fence for the look stands between the two, and would do.
pub(crate) fn sleeper(block: bool) {
    let ((queue, _), bell) = (queue_and_nodes::<1>(), bell());
    if block {
        push(&queue, 0);
        assert!(queue.consumer().and_then(|mut all| all.pop()).is_some());
    }
    let sleeps = Arc::new(AtomicBool::new(false));
    let _ = format!("{sleeps:?}");
    let producer = {
        let (queue, bell, sleeps) = (Arc::clone(&queue), Arc::clone(&bell), Arc::clone(&sleeps));
        thread::spawn(move || {
            push(&queue, 1);
            if sleeps.load(Ordering::SeqCst) {
                bell.signal();
            }
        })
    };
    take_or_sleep(&queue, 1, &bell, |now| sleeps.store(now, Ordering::SeqCst));
    producer.join().expect("the producer");
}

/// Who finds the queue empty rings, and nobody else does: that is enough.
pub(crate) fn first_wakes() {
    let (queue, bell) = (Arc::new(Queue::new()), bell());
    push(&queue, 0);
    assert!(queue.consumer().and_then(|mut all| all.pop()).is_some());
    let producers = [(); 2].map(|()| {
        let (queue, bell) = (Arc::clone(&queue), Arc::clone(&bell));
        thread::spawn(move || {
            if push(&queue, 1) == Pushed::First {
                bell.signal();
            }
        })
    });
    take_or_sleep(&queue, 2, &bell, |_| ());
    for producer in producers {
        producer.join().expect("a producer");
    }
}

/// One producer of two elements; the consumer takes all, into another queue. Order is kept.
pub(crate) fn splice() {
    let (queue, [first, second]) = queue_and_nodes::<2>();
    let (other, _) = queue_and_nodes::<1>();
    let producer = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            first.set(1);
            queue.push_node(first);
            second.set(2);
            queue.push_node(second);
        })
    };
    let mut consumer = queue.consumer().expect("the first");
    let mut spliced = other.consumer().expect("the first");
    let mut expected = 1;
    while expected < 3 {
        if consumer.splice_into(&other).is_none() {
            thread::yield_now();
        }
        while let Some(node) = spliced.pop_node() {
            assert_eq!(node.get(), expected);
            expected += 1;
        }
    }
    assert!(queue.is_empty() && other.is_empty());
    producer.join().expect("the producer");
}

/// The owner of a slot gives it to one object after the other; a reader asks for the old id and the new one.
pub(crate) fn ids() {
    let slots = Arc::new(Slots::new());
    let objects = [0, 1].map(Arc::new);
    let state = |generation, stage| State::new(generation, stage);
    {
        let slot = slots.at(1);
        slot.set(state(0, Stage::Reserved));
        slot.put(Arc::clone(&objects[0]));
        slot.set(state(0, Stage::Published));
    }
    let owner = {
        let (slots, second) = (Arc::clone(&slots), Arc::clone(&objects[1]));
        thread::spawn(move || {
            let slot = slots.at(1);
            let first = slot.hide(0).expect("published");
            assert!(slot.step(state(0, Stage::Hidden), state(1, Stage::Free)));
            slot.set(state(1, Stage::Reserved));
            slot.put(second);
            slot.set(state(1, Stage::Published));
            first.as_ptr().expose_provenance()
        })
    };
    for generation in [0, 1] {
        let found = slots.get(1).and_then(|slot| slot.find(generation));
        let object = &objects[usize::from(generation == 1)];
        assert!(found.is_none_or(|found| std::ptr::eq(found.as_ptr(), Arc::as_ptr(object))));
    }
    let first = owner.join().expect("the owner");
    // SAFETY: the count that the slot had.
    drop(unsafe { Arc::from_raw(std::ptr::with_exposed_provenance::<u32>(first)) });
}

/// An id whose object is hidden by one thread is released by another as soon as that may be, and the slot used again. Who
/// hides takes the object of its generation and not the next one's.
pub(crate) fn early_release() {
    let slots = Arc::new(Slots::new());
    let objects = [0, 1].map(Arc::new);
    let publish = |slots: &Slots<u32>, generation, object| {
        let slot = slots.at(1);
        slot.set(State::new(generation, Stage::Reserved));
        slot.put(object);
        slot.set(State::new(generation, Stage::Published));
    };
    publish(&slots, 0, Arc::clone(&objects[0]));
    let hider = {
        let slots = Arc::clone(&slots);
        thread::spawn(move || {
            let taken = slots.at(1).hide(0).expect("published, and hidden by nobody else");
            taken.as_ptr().expose_provenance()
        })
    };
    let owner = {
        let (slots, second) = (Arc::clone(&slots), Arc::clone(&objects[1]));
        thread::spawn(move || {
            let hidden = State::new(0, Stage::Hidden);
            if slots.at(1).step(hidden, State::new(1, Stage::Free)) {
                publish(&slots, 1, second);
            }
        })
    };
    let taken = hider.join().expect("who hides");
    assert_eq!(taken, Arc::as_ptr(&objects[0]).addr(), "the next owner's object");
    owner.join().expect("the owner");
    // SAFETY: the count that the slot had.
    drop(unsafe { Arc::from_raw(std::ptr::with_exposed_provenance::<u32>(taken)) });
}

/// What `links.rs` asks of its parent.
pub(crate) trait Ends {
    const NEW: Self;
    fn last(&self) -> Option<*mut ()>;
    fn set_last(&self, last: *mut ());
}

/// Only the first is known.
struct FrontOnly;

impl Ends for FrontOnly {
    const NEW: Self = Self;
    fn last(&self) -> Option<*mut ()> {
        None
    }
    fn set_last(&self, _: *mut ()) {}
}

/// What a reader of the list meets.
#[repr(C)]
struct Item {
    link: Link,
    value: UnsafeCell<u32>,
}

/// Has the first values of its atomics from whoever makes it.
fn item() -> *mut Item {
    let item = Box::leak(Box::new(Item {
        link: Link::new(),
        value: UnsafeCell::new(0),
    }));
    let _ = format!("{:?}", item.link);
    item
}

/// A list of 1 and 3; the writer inserts 2 and removes 1. The walk meets 1 or not, 2 or not, and 3.
pub(crate) fn list() {
    struct Shared(Links<FrontOnly>, [*mut Item; 3]);
    // SAFETY: that accesses do not conflict is what the models check.
    unsafe impl Send for Shared {}
    // SAFETY: as above.
    unsafe impl Sync for Shared {}
    impl Shared {
        fn write(&self, n: usize, value: u32) {
            // SAFETY: leaked.
            let item = unsafe { &*self.1[n] };
            // SAFETY: loom has just checked that nobody uses it meanwhile.
            item.value.with_mut(|at| unsafe { *at = value });
        }
    }
    let shared = Arc::new(Shared(Links::new(), [(); 3].map(|()| item())));
    let [one, two, three] = shared.1;
    for (n, item) in [(2, three), (0, one)] {
        shared.write(n, n as u32 + 1);
        // SAFETY: 1: nobody else is here yet; 2: new.
        unsafe { shared.0.insert(std::ptr::null_mut(), item.cast()) };
    }
    let reader = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let mut met = Vec::new();
            let mut at = shared.0.first().load(crate::atomic::Ordering::Acquire);
            // SAFETY: leaked.
            while let Some(item) = unsafe { at.cast::<Item>().as_ref() } {
                // SAFETY: loom has just checked that nobody writes it meanwhile.
                met.push(item.value.with(|value| unsafe { *value }));
                at = item.link.next().load(crate::atomic::Ordering::Acquire);
            }
            met
        })
    };
    shared.write(1, 2);
    // SAFETY: 1: the only writer, and `one` is on the list; 2: new.
    unsafe { shared.0.insert(one.cast(), two.cast()) };
    // SAFETY: leaked, and on the list.
    unsafe { shared.0.remove(&(*one).link) };
    let met = reader.join().expect("the reader");
    let possible: [&[u32]; 3] = [&[1, 3], &[1, 2, 3], &[2, 3]];
    assert!(possible.contains(&&met[..]), "{met:?}");
}

/// Nodes on a stack, of which this execution knows the addresses.
struct Nodes {
    stack: RawStack<&'static Watched>,
    nodes: [NonNull<Inner<&'static Watched>>; 2],
}

// SAFETY: what is done with the addresses is what the models check.
unsafe impl Send for Nodes {}
// SAFETY: as above.
unsafe impl Sync for Nodes {}

impl Nodes {
    /// The second on top of the first. They are leaked: whoever has one at the end has it.
    fn new() -> Arc<Self> {
        let nodes = [(); 2].map(|()| Inner::boxed(&*Box::leak(Box::new(Watched::new()))));
        let stack = RawStack::new();
        for node in nodes {
            // SAFETY: 1: new.
            unsafe { stack.push(node, node) };
        }
        Arc::new(Self { stack, nodes })
    }

    fn pop(&self, guard: Guard<'_, Memb>) -> Option<NonNull<Inner<&'static Watched>>> {
        // SAFETY: 1: the guard; that the others keep to it is what the models check.
        let node = unsafe { self.stack.pop() };
        drop(guard);
        node
    }

    /// Whoever took it has it alone.
    fn claim(&self, node: NonNull<Inner<&'static Watched>>) {
        assert!(self.nodes.contains(&node));
        // SAFETY: leaked, and a reference may be copied often.
        unsafe { Inner::take(node) }.set(1);
    }
}

/// One pops; the other pops both, and pushes the first again after a grace period: without that, the pop's CAS may find the
/// same node and put a link on top that is long gone.
pub(crate) fn stack() {
    let nodes = Nodes::new();
    let popper = {
        let (nodes, slot) = (Arc::clone(&nodes), slot::<Memb>());
        thread::spawn(move || {
            let popped = nodes.pop(Guard::<Memb>::enter(slot));
            popped.inspect(|&node| nodes.claim(node))
        })
    };
    let slot = slot::<Memb>();
    let mine = [(); 2].map(|()| nodes.pop(Guard::<Memb>::enter(slot)));
    mine.into_iter().flatten().for_each(|node| nodes.claim(node));
    let mut kept = mine[1];
    if let [Some(first), Some(_)] = mine {
        if !has(Fault::NoGracePeriod) {
            synchronize::<Memb>();
        }
        // SAFETY: 1: ours, and nobody is in a section that is older.
        unsafe { nodes.stack.push(first, first) };
    } else {
        kept = mine[0].or(mine[1]);
    }
    let other = popper.join().expect("the popper");
    let left = nodes.pop(Guard::<Memb>::enter(slot));
    let all: Vec<_> = [kept, other, left].into_iter().flatten().collect();
    let mut once = all.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!((all.len(), once.len()), (2, 2), "each node has one owner");
    all.iter().for_each(|&node| nodes.claim(node));
}

/// One pushes, one takes all: values are seen.
pub(crate) fn stack_values() {
    let nodes = Nodes::new();
    let slot = slot::<Memb>();
    let first = nodes.pop(Guard::<Memb>::enter(slot)).expect("two");
    let second = nodes.pop(Guard::<Memb>::enter(slot)).expect("two");
    let pushers: Vec<_> = [first.as_ptr().expose_provenance(), second.as_ptr().expose_provenance()]
        .into_iter()
        .map(|node| {
            let nodes = Arc::clone(&nodes);
            thread::spawn(move || {
                let node = NonNull::new(std::ptr::with_exposed_provenance_mut(node)).expect("a node");
                nodes.claim(node);
                // SAFETY: 1: ours; nobody pops.
                unsafe { nodes.stack.push(node, node) };
            })
        })
        .collect();
    let mut seen = 0;
    while seen < 2 {
        let mut at = nodes.stack.take_all();
        while let Some(node) = NonNull::new(at) {
            // SAFETY: 1: leaked.
            at = unsafe { Inner::next(node) }.load(crate::atomic::Ordering::Relaxed);
            nodes.claim(node);
            seen += 1;
        }
        thread::yield_now();
    }
    for pusher in pushers {
        pusher.join().expect("a pusher");
    }
}

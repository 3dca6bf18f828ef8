//! [`urcu::list::IntrusiveList`], through its unsafe door.

use proptest::prelude::*;
use std::ptr::NonNull;

use urcu::list::{IntrusiveList, ListHead, NotInserted, Place};
use urcu::{Memb, RcuHead, Writer, container_of};

use crate::counted::{Counted, Counter};

struct Node {
    value: Counted<u32>,
    on: ListHead,
    dead: RcuHead,
}

/// A node of the heap, which lives until it is freed.
#[derive(Clone, Copy)]
struct At(*mut Node);

impl At {
    fn new(counter: &Counter, value: u32) -> Self {
        let (value, on, dead) = (counter.value(value), ListHead::new(), RcuHead::new());
        Self(Box::into_raw(Box::new(Node { value, on, dead })))
    }

    fn head(self) -> NonNull<ListHead> {
        // SAFETY: the tests free nodes last.
        NonNull::new(unsafe { &raw mut (*self.0).on }).unwrap()
    }

    fn on(&self) -> &ListHead {
        // SAFETY: as above.
        unsafe { &(*self.0).on }
    }

    /// Of a head that a list gave.
    fn of(head: NonNull<ListHead>) -> Self {
        Self(container_of!(head.as_ptr(), Node, on))
    }

    fn value(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).value.value }
    }

    fn insert(
        self,
        list: &IntrusiveList,
        writer: &mut Writer,
        place: Place<'_>,
    ) -> Result<(), NotInserted> {
        // SAFETY: 1: freed by `free` only; 2: made from the pointer to the node; 3: a node is `Sync`; 4: the tests here have no
        // readers meanwhile.
        unsafe { list.insert(writer, place, self.head()) }
    }

    /// Without an allocation, after a grace period.
    fn free(self) {
        /// # Safety
        /// 1. `head` is that of a `Node` that nobody reaches any more.
        unsafe fn free(head: NonNull<RcuHead>) {
            let node: *mut Node = container_of!(head.as_ptr(), Node, dead);
            // SAFETY: clause 1.
            drop(unsafe { Box::from_raw(node) });
        }
        // SAFETY: the tests free nodes last.
        let head = NonNull::new(unsafe { &raw mut (*self.0).dead }).unwrap();
        // SAFETY: 1: only `free` frees it; 2: made from the node; 3: it is `Send`, and off every list; 4: nothing is unloaded.
        assert_eq!(unsafe { Memb::call_head(head, free) }, Ok(()));
    }
}

fn values(list: &IntrusiveList) -> Vec<u32> {
    list.iter(&Memb::read_lock())
        .map(|head| At::of(head).value())
        .collect()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert {
        node: usize,
        place: usize,
        there: usize,
    },
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let insert = (0_usize..6, 0_usize..4, 0_usize..6)
        .prop_map(|(node, place, there)| Step::Insert { node, place, there });
    prop::collection::vec(
        prop_oneof![2 => insert, 1 => (0_usize..6).prop_map(Step::Remove)],
        1..80,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn does_what_a_vec_does(steps in steps()) {
        let counter = Counter::default();
        let mut writer = Writer::new();
        let list: IntrusiveList = IntrusiveList::new(&writer);
        let nodes: Vec<_> = (0..6).map(|n| At::new(&counter, n)).collect();
        let mut model: Vec<u32> = Vec::new();
        for step in steps {
            match step {
                Step::Insert { node, place, there } => {
                    let at = model.iter().position(|&value| value as usize == there);
                    let (place, at) = match place {
                        0 => (Place::Front, Some(0)),
                        1 => (Place::Back, Some(model.len())),
                        2 => (Place::Before(nodes[there].on()), at),
                        _ => (Place::After(nodes[there].on()), at.map(|at| at + 1)),
                    };
                    let linked = model.contains(&(node as u32));
                    let expected = match at {
                        None => Err(NotInserted::NoSuchPlace),
                        Some(_) if linked => Err(NotInserted::AlreadyLinked),
                        Some(at) => {
                            model.insert(at, node as u32);
                            Ok(())
                        }
                    };
                    prop_assert_eq!(nodes[node].insert(&list, &mut writer, place), expected);
                }
                Step::Remove(node) => {
                    let at = model.iter().position(|&value| value as usize == node);
                    let removed = list.remove(&mut writer, nodes[node].on());
                    prop_assert_eq!(removed, at.map(|_| nodes[node].head()));
                    at.map(|at| model.remove(at));
                }
            }
            prop_assert_eq!(values(&list), &model[..]);
            prop_assert_eq!(list.len(&writer), model.len());
            for (n, node) in nodes.iter().enumerate() {
                prop_assert_eq!(node.on().is_linked(), model.contains(&(n as u32)));
            }
        }
        drop(list);
        for node in nodes {
            prop_assert!(!node.on().is_linked());
            node.free();
        }
        Memb::barrier();
        prop_assert_eq!(counter.alive(), 0);
    }
}

#[test]
fn one_list_does_not_touch_what_is_on_another() {
    let counter = Counter::default();
    let (mut writer, mut other_writer) = (Writer::new(), Writer::new());
    let (one, two) = (IntrusiveList::new(&writer), IntrusiveList::new(&writer));
    let foreign: IntrusiveList = IntrusiveList::new(&other_writer);
    let (a, b) = (At::new(&counter, 1), At::new(&counter, 2));
    assert_eq!(a.insert(&one, &mut writer, Place::Front), Ok(()));
    assert_eq!(
        a.insert(&two, &mut writer, Place::Front),
        Err(NotInserted::AlreadyLinked)
    );
    assert_eq!(
        b.insert(&two, &mut writer, Place::After(a.on())),
        Err(NotInserted::NoSuchPlace)
    );
    assert_eq!(two.remove(&mut writer, a.on()), None);
    assert_eq!(foreign.remove(&mut other_writer, a.on()), None);
    assert!(!b.on().is_linked() && two.is_empty() && one.has(a.on()));
    // A1: whoever has another writer changes nothing.
    let refused = std::panic::AssertUnwindSafe(|| one.remove(&mut other_writer, a.on()));
    assert!(std::panic::catch_unwind(refused).is_err());
    assert_eq!(values(&one), [1]);
    drop(one);
    assert_eq!(a.insert(&two, &mut writer, Place::Front), Ok(()));
    drop(two);
    a.free();
    b.free();
    Memb::barrier();
    assert_eq!(counter.alive(), 0);
}

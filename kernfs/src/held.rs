//! What the calling thread is inside of: the callbacks that run on it, innermost last.
//!
//! Lockdep's part in the kernel. A callback that removes its own node, or a directory above it, would wait
//! for itself for ever; with this list it gets EDEADLK instead, in release builds too. Entries are plain
//! addresses for comparison, nothing is followed through them.

use core::cell::RefCell;
use core::marker::PhantomData;
use core::panic::Location;

use crate::order;
use crate::slow::{Op, Own};

/// One callback that the thread is inside of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Address of the node.
    pub(crate) node: usize,
    /// Address of the open file.
    pub(crate) file: usize,
    /// Which callback.
    pub(crate) op: Op,
    /// Who called the operation that runs it.
    pub(crate) place: &'static Location<'static>,
    /// It gave its active reference up: nobody waits for it.
    pub(crate) given_up: bool,
}

impl Held {
    /// Whether whoever drains this node would wait for the callback.
    pub(crate) fn holds(&self, node: usize) -> bool {
        self.node == node && !self.given_up
    }
}

/// What belongs to a thread.
struct Inside {
    list: Vec<Held>,
    /// Made with the first callback.
    own: Option<Own>,
}

thread_local! {
    static INSIDE: RefCell<Inside> = const {
        RefCell::new(Inside {
            list: Vec::new(),
            own: None,
        })
    };
}

/// Ends the entry when dropped. Belongs to its thread.
#[must_use]
pub(crate) struct Scope {
    depth: usize,
    thread: PhantomData<*mut ()>,
}

/// Notes that the thread enters a callback.
#[track_caller]
#[inline]
pub(crate) fn enter(held: Held) -> Scope {
    order::nothing_held("a callback");
    let Held {
        node,
        file,
        op,
        place,
        given_up,
    } = held;
    push(node, file, op, place, given_up)
}

/// In registers: a record that is written field by field and copied in larger pieces waits for the stores.
fn push(
    node: usize,
    file: usize,
    op: Op,
    place: &'static Location<'static>,
    given_up: bool,
) -> Scope {
    // In TLS destructors the list may be gone; then nothing is noted and nothing is refused.
    let depth = INSIDE.try_with(|inside| {
        let Inside { list, own } = &mut *inside.borrow_mut();
        let depth = list.len();
        list.push(Held {
            node,
            file,
            op,
            place,
            given_up,
        });
        own.get_or_insert_with(Own::new).enter(depth, node, op);
        depth
    });
    Scope {
        depth: depth.unwrap_or(0),
        thread: PhantomData,
    }
}

impl Scope {
    /// The callback is over, and another one of the same file begins.
    pub(crate) fn go_on(&self, op: Op) {
        let _ = INSIDE.try_with(|inside| {
            let Inside { list, own } = &mut *inside.borrow_mut();
            if let (Some(last), Some(own)) = (list.get_mut(self.depth), own) {
                last.op = op;
                own.enter(self.depth, last.node, op);
            }
        });
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // Scopes are stack values of this crate, so they end in order.
        let _ = INSIDE.try_with(|inside| {
            let Inside { list, own } = &mut *inside.borrow_mut();
            list.truncate(self.depth);
            if let Some(own) = own {
                own.leave(self.depth);
            }
        });
    }
}

/// The innermost callback, which holds references to so many nodes, gives them up.
pub(crate) fn give_up(nodes: usize) {
    mark(nodes, true);
}

/// It takes them back.
pub(crate) fn take_back(nodes: usize) {
    mark(nodes, false);
}

fn mark(nodes: usize, given_up: bool) {
    // The innermost one: no other's context is in reach of the code that runs.
    let _ = INSIDE.try_with(|inside| {
        for entry in inside.borrow_mut().list.iter_mut().rev().take(nodes) {
            entry.given_up = given_up;
        }
    });
}

/// Whether the thread is inside any callback.
pub(crate) fn any() -> bool {
    INSIDE
        .try_with(|inside| !inside.borrow().list.is_empty())
        .unwrap_or(false)
}

/// The innermost entry that `matches`.
pub(crate) fn find(mut matches: impl FnMut(&Held) -> bool) -> Option<Held> {
    let innermost = |inside: &RefCell<Inside>| {
        let list = &inside.borrow().list;
        list.iter().rev().find(|h| matches(h)).copied()
    };
    INSIDE.try_with(innermost).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest() {
        let held = |node, op| Held {
            node,
            file: 0,
            op,
            place: Location::caller(),
            given_up: false,
        };
        assert!(!any());
        let outer = enter(held(1, Op::Show));
        {
            let inner = enter(held(2, Op::Read));
            assert_eq!(find(|h| h.node == 2).map(|h| h.op), Some(Op::Read));
            inner.go_on(Op::Write);
            assert_eq!(find(|h| h.node == 2).map(|h| h.op), Some(Op::Write));
            assert_eq!(find(|h| h.node == 1).map(|h| h.op), Some(Op::Show));
            give_up(1);
            assert!(find(|h| h.holds(2)).is_none() && find(|h| h.holds(1)).is_some());
            take_back(1);
            assert!(find(|h| h.holds(2)).is_some());
            assert!(std::thread::spawn(|| !any()).join().unwrap());
        }
        assert!(find(|h| h.node == 2).is_none() && any());
        drop(outer);
        assert!(!any());
    }
}

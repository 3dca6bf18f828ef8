//! What the calling thread is inside of: the callbacks that run on it, innermost last.
//!
//! Lockdep's part in the kernel. A callback that removes its own node, or a directory above it, would wait
//! for itself for ever; with this list it gets EDEADLK instead, in release builds too. Entries are plain
//! addresses for comparison, nothing is followed through them.

use core::cell::RefCell;
use core::marker::PhantomData;
use core::panic::Location;

use crate::order;
use crate::slow;

/// One callback that the thread is inside of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Address of the node.
    pub(crate) node: usize,
    /// Address of the open file.
    pub(crate) file: usize,
    /// Which callback.
    pub(crate) op: &'static str,
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

thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
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
    op: &'static str,
    place: &'static Location<'static>,
    given_up: bool,
) -> Scope {
    // In TLS destructors the list may be gone; then nothing is noted and nothing is refused.
    let depth = HELD.try_with(|list| {
        let mut list = list.borrow_mut();
        list.push(Held {
            node,
            file,
            op,
            place,
            given_up,
        });
        let depth = list.len() - 1;
        slow::enter(depth, node, op);
        depth
    });
    Scope {
        depth: depth.unwrap_or(0),
        thread: PhantomData,
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // Scopes are stack values of this crate, so they end in order.
        let _ = HELD.try_with(|list| list.borrow_mut().truncate(self.depth));
        slow::leave(self.depth);
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
    let _ = HELD.try_with(|list| {
        for entry in list.borrow_mut().iter_mut().rev().take(nodes) {
            entry.given_up = given_up;
        }
    });
}

/// Whether the thread is inside any callback.
pub(crate) fn any() -> bool {
    HELD.try_with(|list| !list.borrow().is_empty())
        .unwrap_or(false)
}

/// The innermost entry that `matches`.
pub(crate) fn find(mut matches: impl FnMut(&Held) -> bool) -> Option<Held> {
    HELD.try_with(|list| list.borrow().iter().rev().find(|h| matches(h)).copied())
        .ok()
        .flatten()
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
        let outer = enter(held(1, "show"));
        {
            let _inner = enter(held(2, "write"));
            assert_eq!(find(|h| h.node == 2).map(|h| h.op), Some("write"));
            assert_eq!(find(|h| h.node == 1).map(|h| h.op), Some("show"));
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

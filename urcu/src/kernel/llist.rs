//! The kernel's names of the lock-free list.
//!
//! ```
//! use std::sync::Arc;
//! use urcu::kernel::*;
//! use urcu::llist::{Linked, Llist};
//!
//! let list = Llist::new();
//! assert!(llist_add(&Arc::new(Linked::new(1)), &list), "wake the consumer");
//! assert!(!llist_empty(&list));
//! assert_eq!(llist_del_all(&list).count(), 1);
//! ```

use std::sync::Arc;

use crate::llist::{Linked, Llist, Pushed, TakeAll};

/// [`Llist::push`]; whether the list was empty before.
pub fn llist_add<T: Send + Sync>(node: &Arc<Linked<T>>, list: &Llist<T>) -> bool {
    list.push(node) == Pushed::First
}

/// [`Llist::take_all`].
pub fn llist_del_all<T: Send + Sync>(list: &Llist<T>) -> TakeAll<T> {
    list.take_all()
}

/// [`Llist::is_empty`].
pub fn llist_empty<T: Send + Sync>(list: &Llist<T>) -> bool {
    list.is_empty()
}

/// [`Linked::is_queued`].
pub fn llist_on_list<T>(node: &Linked<T>) -> bool {
    node.is_queued()
}

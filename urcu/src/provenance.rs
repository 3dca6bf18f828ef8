//! Pointers on lists whose pushes compare addresses.
//!
//! A push links its node to the top that it loaded, and publishes it if the top still has that address. Meanwhile
//! the old top may have been taken and freed, and another node have come to its address: the list is right, but the
//! link was made from a pointer to memory that is gone. No processor minds; Rust's rules do (a pointer is more
//! than its address). So nodes that go onto such lists are exposed, and whoever takes them off makes the pointers
//! anew from their addresses. The root of the ordered map is such a place too: its lock is in the same word.
//!
//! Argued, not tested: no test of this crate runs under Miri.

use core::ptr;

/// A pointer on its way onto a list.
pub(crate) fn exposed<T>(node: *mut T) -> *mut T {
    node.expose_provenance();
    node
}

/// The same pointer, found on a list: good for what is at its address now, if that was exposed.
pub(crate) fn reloaded<T>(node: *mut T) -> *mut T {
    ptr::with_exposed_provenance_mut(node.addr())
}

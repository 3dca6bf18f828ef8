//! A callback that removes its own node.
//!
//! The kernel's `kernfs_remove_self`. Of several callbacks that do so one wins: it removes the node, with its own
//! reference given up so that the drain does not wait for it. The others return only when the winner's whole
//! operation is over: what they would do with the node has been done.
//!
//! The winner takes its reference back *before* it says that it is done: so whoever hears that, and then finds
//! nobody in the node, knows that the winner's operation has ended.

use core::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::active::Active;
use crate::error::{Errno, Result};
use crate::held;
use crate::inner::Inner;
use crate::path;
use crate::remove;
use crate::state::{REMOVED_ITSELF, REMOVES_ITSELF};

/// See [`Cx::remove_self`](crate::Cx::remove_self). `active` is the reference of the operation that calls.
pub(crate) fn remove_self(
    node: &Arc<Inner>,
    active: &Active<'_>,
    place: &'static Location<'static>,
) -> Result<bool> {
    held::give_up(1);
    if let Some(outer) = held::find(|h| h.holds(node.address())) {
        held::take_back(1);
        let what = format!(
            "removal of itself at {place}: this thread is inside {} as well, called at {}: removal",
            outer.op, outer.place
        );
        return Err(path::error(Errno::EDEADLK, &what, node));
    }
    active.give_up();
    let first = node
        .tree
        .write("removal")
        .map(|_locked| !node.state.set(REMOVES_ITSELF));
    let result = if let Err(error) = first {
        active.take_back();
        Err(error)
    } else if first? {
        // Not refused: the thread holds nothing of the node any more.
        let removed = remove::remove(node, place);
        active.take_back();
        node.state.announce(REMOVED_ITSELF);
        removed.map(|_| true)
    } else {
        node.state.wait_for(REMOVED_ITSELF);
        node.active.drain(Duration::MAX, |_| {}); // the winner tells
        active.take_back();
        Ok(false)
    };
    held::take_back(1);
    result
}

//! Removal: deactivate a whole subtree, wait for all that runs in it, unlink it.
//!
//! The kernel's `__kernfs_remove`. Where that walks from leaf to leaf and drops its lock in each drain,
//! this takes the list of the subtree in one pass. Nothing can be added below a node that is being removed,
//! so the list stays complete, and the lock is never held while anything is waited for.

use core::panic::Location;
use core::sync::atomic::Ordering;
use std::sync::Arc;

use urcu::{Memb, Writer};

use crate::error::{Errno, Result};
use crate::held;
use crate::inner::Inner;
use crate::open;
use crate::ops::guarded;
use crate::path;

/// Removes a node and all below it. When this returns, none of their callbacks runs and none will. Several
/// removers may overlap: all return after the drain of what they were asked to remove, and one of them (for
/// whom the result is `true`) has unlinked the node.
#[track_caller]
pub(crate) fn remove(node: &Arc<Inner>) -> Result<bool> {
    let place = Location::caller();
    let tree = &node.tree;
    let subtree = {
        let writer = tree.write();
        if node.unlinked.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let subtree = collect(node, &writer);
        refuse_own(node, &subtree, place)?;
        // All in one pass: from here on nothing of the subtree is opened, nothing is added to it.
        for member in &subtree {
            member.removing.store(true, Ordering::Relaxed);
            member.active.deactivate();
        }
        subtree
    };
    // Who waits in `wait_event` holds no reference, so nobody waits for him; but he has to hear of it.
    for file in subtree.iter().filter_map(|member| member.file()) {
        file.signal();
    }
    for member in &subtree {
        member.active.drain();
        open::drain(member, place);
        if let Some(ops) = member.file().and_then(|file| file.take_ops()) {
            // What the owner's object captured dies here, or with the last open file.
            let _ = guarded("drop of the callbacks", &**member, || drop(ops));
        }
    }
    let unlinked = {
        let mut writer = tree.write();
        let mut mine: Vec<&Arc<Inner>> = Vec::new();
        for member in &subtree {
            // An overlapping remover may have been faster.
            if !member.unlinked.swap(true, Ordering::Relaxed) {
                if let Some(dir) = member.dir() {
                    dir.children.clear(&mut writer);
                }
                mine.push(member);
            }
        }
        if mine.last().is_some_and(|last| Arc::ptr_eq(last, node)) {
            unlink(node, &mut writer);
        }
        mine
    };
    tell(node, &unlinked);
    Ok(unlinked.last().is_some_and(|last| Arc::ptr_eq(last, node)))
}

/// The subtree, children before their parents.
fn collect(node: &Arc<Inner>, writer: &Writer) -> Vec<Arc<Inner>> {
    let mut list = vec![Arc::clone(node)];
    let mut next = 0;
    // Breadth first, then turned round. No recursion: trees may be deeper than stacks.
    while let Some(member) = list.get(next).cloned() {
        if let Some(dir) = member.dir() {
            let children = dir.children.get_from(0, writer);
            list.extend(children.map(|(_, child)| Arc::clone(child)));
        }
        next += 1;
    }
    list.reverse();
    list
}

/// A callback that removes its own node, or a directory above it, would wait for itself.
fn refuse_own(
    node: &Arc<Inner>,
    subtree: &[Arc<Inner>],
    place: &'static Location<'static>,
) -> Result<()> {
    if !held::any() {
        return Ok(());
    }
    let mut own = subtree
        .iter()
        .filter_map(|member| Some((member, held::find(|h| h.node == member.address())?)));
    let Some((member, inside)) = own.next() else {
        return Ok(());
    };
    let guard = Memb::read_lock();
    Err(Errno::EDEADLK.because(format!(
        "remove of {} at {place}: this thread is inside {} of {}, called at {}",
        path::full(node, &guard).escape_ascii(),
        inside.op,
        path::full(member, &guard).escape_ascii(),
        inside.place,
    )))
}

/// Takes the top of the subtree out of its parent.
fn unlink(node: &Inner, writer: &mut Writer) {
    let guard = Memb::read_lock();
    let link = node.link(&guard);
    if let Some(dir) = link.parent.as_ref().and_then(|parent| parent.dir()) {
        dir.children.remove(writer, link.key);
        if node.dir().is_some() {
            dir.subdirs.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Tells the listeners.
fn tell(top: &Inner, unlinked: &[&Arc<Inner>]) {
    let watches = top.tree.queue.watches();
    if watches.is_empty() {
        return;
    }
    for node in unlinked {
        let (parent, name) = {
            let guard = Memb::read_lock();
            let link = node.link(&guard);
            (link.parent.as_ref().map(|p| p.id), link.name.clone())
        };
        // The root has no parent and no name.
        if let Some(parent) = parent {
            for (_, watch) in watches.iter() {
                watch.removed(parent, &name, node.id);
            }
        }
    }
}

//! Removal: deactivate a whole subtree, wait for all that runs in it, unlink it.
//!
//! The kernel's `__kernfs_remove`. Where that walks from leaf to leaf and drops its lock in each drain,
//! this takes the list of the subtree in one pass. Nothing can be added below a node that is being removed,
//! so the list stays complete, and the lock is never held while anything is waited for.

use core::panic::Location;
use core::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;

use urcu::{Id, Memb, RetiredArc};

use crate::cx::Host as _;
use crate::error::{Errno, Result};
use crate::flags::Has;
use crate::held;
use crate::inner::{self, FileBody, Inner, Link};
use crate::open;
use crate::ops::guarded;
use crate::path;
use crate::slow;
use crate::state::{REMOVING, UNLINKED};
use crate::tree::Locked;

/// Removes a node and all below it. When this returns, none of their callbacks runs and none will. Several
/// removers may overlap: all return after the drain of what they were asked to remove, and one of them (for
/// whom the result is `true`) has unlinked the node.
pub(crate) fn remove(node: &Arc<Inner>, place: &'static Location<'static>) -> Result<bool> {
    remove_from(node, |_| true, place)
}

/// The same, unless the node is somewhere else than where it has to be by now.
pub(crate) fn remove_from(
    node: &Arc<Inner>,
    has_to_be: impl Fn(&Link) -> bool,
    place: &'static Location<'static>,
) -> Result<bool> {
    let tree = &node.tree;
    let subtree = {
        let locked = tree.write("removal")?;
        if node.state.has(UNLINKED) || !has_to_be(node.link(&Memb::read_lock())) {
            return Ok(false);
        }
        let subtree = collect(node, &locked);
        refuse_own("remove", node, &subtree, place)?;
        // All in one pass: from here on nothing of the subtree is opened, nothing is added to it or moved.
        for member in &subtree {
            member.state.set(REMOVING);
            member.active.deactivate();
        }
        subtree
    };
    subtree.iter().for_each(|member| signal(member));
    for member in &subtree {
        drain(member, place);
        if let Some(ops) = member.file().and_then(|file| file.take_ops()) {
            // What the owner's object captured dies here, or with the last open file.
            let _ = guarded("drop of the callbacks", &**member, || drop(ops));
        }
    }
    let (mut unlinked, mut given_up) = (Vec::with_capacity(subtree.len()), Vec::new());
    given_up.reserve_exact(subtree.len() + 1);
    {
        let locked = tree.write("removal")?;
        // An overlapping remover may have been faster. Children before their parents: who finds an entry in a
        // directory knows that the directory is in its own.
        for member in subtree.iter().filter(|member| !member.state.set(UNLINKED)) {
            given_up.extend(forget(member));
            unlinked.push(member);
        }
        if unlinked.last().is_some_and(|last| Arc::ptr_eq(last, node)) {
            given_up.extend(unlink(node, &locked));
        }
    }
    // One callback for the whole subtree.
    RetiredArc::free_all(given_up);
    tell(node, &unlinked);
    end_tree(node);
    Ok(unlinked.last().is_some_and(|last| Arc::ptr_eq(last, node)))
}

/// The same for destructors. Inside a callback of the node, whose end it would wait for, a thread of its own does it. In
/// a forked child, whose the tree is not, nothing does.
pub(crate) fn remove_in_drop(node: &Arc<Inner>, place: &'static Location<'static>) -> Result<()> {
    match remove(node, place) {
        Err(error) if error.errno() == Errno::EDEADLK => {
            let node = Arc::clone(node);
            let thread = thread::Builder::new().name("kernfs-remove".into());
            // It cannot fail there: the thread is inside nothing.
            thread.spawn(move || drop(remove(&node, place)))?;
            Ok(())
        }
        Err(error) if error.errno() == Errno::ENOTCONN => Ok(()),
        other => other.map(drop),
    }
}

/// Who waits in `wait_event` holds no reference, so nobody waits for him; but he has to hear that the node was
/// deactivated. First of all: a callback may wait for what he will do.
pub(crate) fn signal(node: &Inner) {
    if let Some(file) = node.file() {
        file.signal();
    }
}

/// Waits until a deactivated node is not used any more, and brings its open files to their end. A long wait is told
/// (see [`crate::slow`]): it may be for ever, if a callback waits for a lock of whoever removes its node.
pub(crate) fn drain(node: &Arc<Inner>, place: &'static Location<'static>) {
    let file = node.file();
    let may_block = file.is_some_and(|file| file.has.contains(Has::MAY_BLOCK));
    // An open node that merely stays is nothing to wait for. This order: what was just opened is open, or active still.
    let waits = !node.active.is_drained() || file.is_some_and(FileBody::is_open);
    let _waiting = waits.then(|| node.tree.waiting.enter());
    node.active.drain(slow::period(may_block), |waited| {
        slow::report(node.address(), node.path(), place, waited);
    });
    open::drain(node, place);
}

/// The subtree, children before their parents.
pub(crate) fn collect(node: &Arc<Inner>, _: &Locked<'_>) -> Vec<Arc<Inner>> {
    let mut list = Vec::with_capacity(32);
    list.push(Arc::clone(node));
    let mut next = 0;
    // Breadth first, then turned round. No recursion: trees may be deeper than stacks.
    while let Some(member) = list.get(next).cloned() {
        if let Some(dir) = member.dir() {
            // A section for each directory: the tree may be large.
            let guard = Memb::read_lock();
            list.extend(dir.children.iter(&guard).map(|(_, child)| child.get()));
        }
        next += 1;
    }
    list.reverse();
    list
}

/// A callback that removes its own node, or a directory above it, would wait for itself.
pub(crate) fn refuse_own(
    what: &str,
    node: &Arc<Inner>,
    subtree: &[Arc<Inner>],
    place: &'static Location<'static>,
) -> Result<()> {
    if !held::any() {
        return Ok(());
    }
    let mut own = subtree
        .iter()
        .filter_map(|member| Some((member, held::find(|h| h.holds(member.address()))?)));
    let Some((member, inside)) = own.next() else {
        return Ok(());
    };
    let guard = Memb::read_lock();
    Err(Errno::EDEADLK.because(format!(
        "{what} of {} at {place}: this thread is inside {} of {}, called at {}",
        path::full(node, &guard).escape_ascii(),
        inside.op,
        path::full(member, &guard).escape_ascii(),
        inside.place,
    )))
}

/// Takes out what a removed node still finds, and what finds it by its id.
fn forget(node: &Inner) -> Option<RetiredArc<Inner>> {
    if let Some(dir) = node.dir() {
        dir.children.clear();
        dir.subdirs.store(0, Ordering::Relaxed);
        dir.revision.fetch_add(1, Ordering::Release);
    }
    node.tree.ids.remove(Id::from_raw(node.id)?)
}

/// Takes the top of the subtree out of its parent.
fn unlink(node: &Inner, _: &Locked<'_>) -> Option<RetiredArc<Inner>> {
    let guard = Memb::read_lock();
    let link = node.link(&guard);
    let parent = link.parent.as_ref()?;
    let mut removed = None;
    if let Some(dir) = parent.dir() {
        let key = inner::key(link.label.hash(), node.id);
        removed = dir.children.remove(key, &guard);
        dir.revision.fetch_add(1, Ordering::Release);
        if node.dir().is_some() {
            dir.subdirs.fetch_sub(1, Ordering::Relaxed);
        }
    }
    parent.touch();
    removed
}

/// Tells the listeners.
fn tell(top: &Inner, unlinked: &[&Arc<Inner>]) {
    let queue = &top.tree.queue;
    if !queue.is_watched() {
        return;
    }
    for node in unlinked {
        let (parent, name) = {
            let guard = Memb::read_lock();
            let link = node.link(&guard);
            (
                link.parent.as_ref().map(|p| p.id),
                link.label.name().to_vec(),
            )
        };
        // The root has no parent and no name.
        if let Some(parent) = parent {
            queue.tell(|watch| watch.removed(parent, &name, node.id));
        }
    }
}

/// With the root go the owner's system calls. They may hold nodes, and each node holds the tree.
fn end_tree(top: &Inner) {
    let is_root = top.parent(&Memb::read_lock()).is_none();
    if is_root && let Some(ops) = top.tree.take_syscalls() {
        let _ = guarded("drop of the callbacks", top, || drop(ops));
    }
}

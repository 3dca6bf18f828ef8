//! Removal: deactivate a whole subtree, wait for all that runs in it, unlink it.
//!
//! The kernel's `__kernfs_remove`. Where that walks from leaf to leaf and drops its lock in each drain,
//! this takes the list of the subtree in one pass. Nothing can be added below a node that is being removed,
//! so the list stays complete, and the lock is never held while anything is waited for.

use core::panic::Location;
use core::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;

use urcu::{DetachedMap, Id, Memb, RetiredArc};

use crate::cx::Host as _;
use crate::error::{Errno, Result};
use crate::flags::Has;
use crate::held;
use crate::inner::{self, FileBody, Inner, Link, Locked};
use crate::open;
use crate::ops::guarded;
use crate::path;
use crate::slow;
use crate::state::{REMOVING, UNLINKED};

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
    let mut unlinked = Vec::with_capacity(subtree.len());
    let mut given_up = Vec::with_capacity(2 * subtree.len());
    let (mut entries, mut top) = (Vec::new(), None);
    let is_last = {
        let locked = tree.write("removal")?;
        // An overlapping remover may have been faster. Children before their parents: who finds an entry in a
        // directory knows that the directory is in its own.
        for member in subtree.iter().filter(|member| !member.state.set(UNLINKED)) {
            entries.extend(forget(member));
            given_up.extend(Id::from_raw(member.id).and_then(|id| tree.ids.remove(id)));
            unlinked.push(member);
        }
        let is_last = unlinked.last().is_some_and(|last| Arc::ptr_eq(last, node));
        if is_last {
            top = unlink(node, &locked);
        }
        is_last
    };
    tell(node, &unlinked);
    // The last counts are the entries', children's before their parents'. Ours go before all of them: what only
    // the list keeps is used again. One callback for the whole subtree.
    drop(subtree);
    for entries in entries {
        entries.take_values(&mut given_up);
    }
    given_up.extend(top);
    Inner::give_up(given_up);
    end_tree(node);
    Ok(is_last)
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

/// Who waits for a change holds no reference, so nobody waits for him; but he has to hear that the node was
/// deactivated. First of all: a callback may wait for what he will do.
pub(crate) fn signal(node: &Inner) {
    if let Some(file) = node.file() {
        file.signal();
        node.tree.queue.push_gone(node.id);
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

/// Takes out what a removed directory still finds.
fn forget(node: &Inner) -> Option<DetachedMap<u64, Inner>> {
    let dir = node.dir()?;
    dir.subdirs.store(0, Ordering::Relaxed);
    let entries = dir.children.detach();
    dir.revision.fetch_add(1, Ordering::Release);
    entries
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

/// With the root go the spare nodes and the owner's system calls. They may hold nodes, and each node holds the tree.
fn end_tree(top: &Inner) {
    let is_root = top.parent(&Memb::read_lock()).is_none();
    if is_root && let Ok(spares) = top.tree.close_spares() {
        drop(spares);
    }
    if is_root && let Some(ops) = top.tree.take_syscalls() {
        let _ = guarded("drop of the callbacks", top, || drop(ops));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Root;

    fn settle() {
        for _ in 0..3 {
            Memb::barrier();
        }
    }

    fn make(root: &Root, count: usize) {
        // Until the handle is dropped nothing is given up.
        let _guard = Memb::read_lock();
        let dir = root.create_dir("d", 0o755).unwrap();
        for n in 0..count {
            dir.create_dir(n.to_string(), 0o755).unwrap();
        }
        dir.remove().unwrap();
    }

    // All that a removal frees is kept, and nodes are made of it; with the root it goes, and with it the tree.
    #[test]
    fn removed_nodes_become_new_ones_and_hold_no_tree() {
        let root = Root::new();
        let tree = Arc::clone(&root.0.0.tree);
        make(&root, 19);
        settle();
        assert_eq!((tree.spares.len(), tree.live_nodes()), (20, 1));
        root.create_dir("one", 0o755).unwrap();
        assert_eq!((tree.spares.len(), tree.live_nodes()), (19, 2));
        let weak = Arc::downgrade(&tree);
        drop(tree);
        make(&root, 30);
        drop(root);
        settle();
        assert_eq!(weak.strong_count(), 0, "the tree holds itself");
    }

    // So many are kept and no more.
    #[test]
    fn what_a_tree_keeps_of_removed_nodes_is_bounded() {
        let root = Root::new();
        make(&root, crate::spare::MOST + 500);
        settle();
        let tree = &root.0.0.tree;
        assert_eq!(
            (tree.spares.len(), tree.live_nodes()),
            (crate::spare::MOST, 1)
        );
    }

    // Found in a section, by a reader who counts nothing: it stays what it was until the section ends.
    #[test]
    fn a_section_keeps_a_node_from_becoming_another_one() {
        let root = Root::new();
        let dir = root.create_dir("d", 0o755).unwrap();
        let id = dir.create_dir("old", 0o700).unwrap().id();
        let guard = Memb::read_lock();
        let (found, link) = dir.0.0.entry(b"old", None, &guard).unwrap();
        dir.remove().unwrap();
        for n in 0..20 {
            root.create_dir(n.to_string(), 0o755).unwrap();
        }
        assert_eq!((found.id, link.label.name()), (id, &b"old"[..]));
        assert_eq!(root.0.0.tree.spares.len(), 0);
        drop(guard);
        settle();
        // The handle keeps the directory.
        assert_eq!(root.0.0.tree.spares.len(), 1);
    }
}

//! Renaming, within a directory and to another one. The kernel's `kernfs_rename_ns`.
//!
//! Three steps, under the tree lock: the node gets its new place in an index, its link is swapped, it loses its old
//! place. Readers believe the link, so the swap is the moment of the rename, and the two entries that there are
//! meanwhile are never both seen, nor neither; see [`crate::lookup`].

use core::sync::atomic::Ordering;
use std::sync::Arc;

use urcu::Memb;

use crate::create::may_add;
use crate::error::{Errno, Result};
use crate::flags::RootFlags;
use crate::inner::{self, Inner, Link};
use crate::name::{self, Label};
use crate::node::{Dir, Node};
use crate::ns::Ns;
use crate::state::EMPTY_DIR;
use crate::step::step;

impl Node {
    /// Gives the node another name, in its directory or in another one. All that is below moves along; open files stay
    /// open, the inode number stays, symlinks to it lead to where it is now.
    ///
    /// Lookups, paths and listings see it under the old name or the new one: at no moment under both or none.
    ///
    /// # Errors
    /// EEXIST: the name is taken (nothing is ever replaced). EINVAL: the root, a directory below itself or of another
    /// tree; a name that is none; another directory, with [`RootFlags::INVARIANT_PARENT`]; a name space where there is
    /// none or the other way round. ENAMETOOLONG. ENOENT: the node or the directory is not active (being removed,
    /// hidden, not activated), or the directory stays empty.
    ///
    /// ```
    /// let root = kernfs::Root::new();
    /// let (a, b) = (root.create_dir("a", 0o755)?, root.create_dir("b", 0o755)?);
    /// b.rename(&a, "c")?;
    /// assert_eq!(b.path(), b"/a/c");
    /// assert_eq!(a.rename(&b, "d").unwrap_err().errno(), kernfs::Errno::EINVAL);
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    #[doc(alias = "kernfs_rename")]
    pub fn rename(&self, parent: &Dir, name: impl AsRef<[u8]>) -> Result<()> {
        self.move_to(parent, Some(name.as_ref()), None)
    }

    /// The same with a name space. No name: the one that it has.
    ///
    /// # Errors
    /// As [`rename`](Self::rename).
    #[doc(alias = "kernfs_rename_ns")]
    pub fn rename_ns(&self, parent: &Dir, name: Option<&[u8]>, ns: Option<Ns>) -> Result<()> {
        self.move_to(parent, name, Some(ns))
    }

    /// What is `None` stays as it is.
    fn move_to(&self, parent: &Dir, name: Option<&[u8]>, ns: Option<Option<Ns>>) -> Result<()> {
        if let Some(name) = name {
            name::check(name)?;
        }
        let Some((from, old)) = rename(&self.0, &parent.0.0, name, ns)? else {
            return Ok(());
        };
        self.0.tree.queue.tell(|watch| {
            watch.removed(from, &old, self.id());
            watch.added(parent.id(), &self.name());
        });
        Ok(())
    }

    /// The name space that it is in.
    pub fn ns(&self) -> Option<Ns> {
        self.0.link(&Memb::read_lock()).label.ns()
    }
}

/// Tells which directory it was in and its name there; `None` if there was nothing to do.
fn rename(
    node: &Arc<Inner>,
    parent: &Arc<Inner>,
    name: Option<&[u8]>,
    ns: Option<Option<Ns>>,
) -> Result<Option<(u64, Vec<u8>)>> {
    let refuse = |errno, what: &str| Err(crate::path::error(errno, what, node));
    if !Arc::ptr_eq(&node.tree, &parent.tree) {
        return refuse(Errno::EINVAL, "rename into another tree");
    }
    let _locked = node.tree.write("rename")?;
    let guard = Memb::read_lock();
    let old = node.link(&guard);
    let Some(from) = &old.parent else {
        return refuse(Errno::EINVAL, "rename of the root, that is");
    };
    if !node.active.is_active() {
        return refuse(Errno::ENOENT, "rename");
    }
    if !parent.active.is_active() || parent.state.has(EMPTY_DIR) {
        return refuse(Errno::ENOENT, "rename into a directory that is not active,");
    }
    let stays = Arc::ptr_eq(from, parent);
    if !stays && node.tree.flags.contains(RootFlags::INVARIANT_PARENT) {
        return refuse(Errno::EINVAL, "rename into another directory");
    }
    let ns = ns.unwrap_or_else(|| old.label.ns());
    let label = Label::new(name.unwrap_or_else(|| old.label.name()), ns)?;
    if stays && old.label.is(label.name(), ns) {
        return Ok(None);
    }
    // The tree lock is held, so nothing moves.
    let mut above = Some(parent);
    while let Some(dir) = above {
        if Arc::ptr_eq(dir, node) {
            return refuse(Errno::EINVAL, "rename below itself");
        }
        above = dir.parent(&guard);
    }
    let to = may_add(parent, &label)?;
    let Some(left) = from.dir() else {
        return refuse(Errno::ENOTDIR, "rename"); // nothing but a directory has entries
    };

    let (old_key, new_key) = (
        inner::key(old.label.hash(), node.id),
        inner::key(label.hash(), node.id),
    );
    // The same place, if the hash is the same.
    let moves = !stays || old_key != new_key;
    if moves {
        to.children.insert(new_key, Arc::clone(node), &guard);
    }
    step("in both places");
    node.relink(Link {
        parent: Some(Arc::clone(parent)),
        label,
    });
    step("moved");
    if moves {
        left.children.remove(old_key, &guard);
    }
    left.revision.fetch_add(1, Ordering::Release);
    if !stays {
        to.revision.fetch_add(1, Ordering::Release);
        if node.dir().is_some() {
            to.subdirs.fetch_add(1, Ordering::Relaxed);
            left.subdirs.fetch_sub(1, Ordering::Relaxed);
        }
    }
    Ok(Some((from.id, old.label.name().to_vec())))
}

#[cfg(test)]
mod tests {
    use crate::name;
    use crate::node::{Dir, Node};
    use crate::root::Root;
    use crate::step::at_steps;
    use std::cell::Cell;
    use std::collections::HashMap;
    use std::rc::Rc;

    // S9. Between the steps of a rename the index has the node twice. Whoever looks then finds it once: under the old name
    // before the link is swapped, under the new one behind that.
    #[test]
    fn a_node_had_two_names_or_none() {
        let root = Root::new();
        let (a, b) = (
            root.create_dir("a", 0o755).unwrap(),
            root.create_dir("b", 0o755).unwrap(),
        );
        let node = a.create_dir("1", 0o755).unwrap();
        node.create_dir("leaf", 0o755).unwrap();
        let steps = Rc::new(Cell::new(0));
        let places = [
            (&a, "2"),
            (&b, "2"),
            (&b, "1"),
            (&a, "a name that is kept elsewhere"),
        ];
        let mut old = (a.clone(), "1");
        for (to, name) in places {
            let new = (to.clone(), name);
            let (node, seen, root) = (Node::clone(&node), Rc::clone(&steps), root.clone());
            let moved = node.clone();
            let is_there = move |(dir, name): &(Dir, &str), there: bool, of: usize| {
                let expected = there.then(|| node.clone());
                assert_eq!(dir.find(name), expected);
                let path = format!("{}/{name}", dir.name().escape_ascii());
                assert_eq!(root.walk(&path), expected);
                assert_eq!(root.walk(path + "/leaf").is_some(), there);
                assert_eq!(dir.readdir(0, 9).len(), of);
            };
            let (from, into) = (old.clone(), new.clone());
            let look = move |step: &str| {
                let done = match step {
                    "in both places" => false,
                    "moved" => true,
                    _ => return,
                };
                let same = from.0 == into.0;
                is_there(&from, !done, usize::from(same || !done));
                is_there(&into, done, usize::from(same || done));
                seen.set(seen.get() + 1);
            };
            at_steps(look, || moved.rename(to, name).unwrap());
            old = new;
        }
        assert_eq!(steps.get(), 8);
    }

    // Two names of one hash have one place in the index: nothing may be inserted twice or removed.
    #[test]
    fn a_name_of_the_same_hash_lost_the_node() {
        let mut seen = HashMap::new();
        let (one, two) = (0..)
            .find_map(|n: u32| {
                let name = format!("attribute {n}");
                let hash = name::hash(name.as_bytes(), None);
                seen.insert(hash, n)
                    .map(|old| (format!("attribute {old}"), name))
            })
            .unwrap();
        let root = Root::new();
        let (a, b) = (
            root.create_dir("a", 0o755).unwrap(),
            root.create_dir("b", 0o755).unwrap(),
        );
        let node = a.create_dir(&one, 0o755).unwrap();
        let offset = a.readdir(0, 1)[0].offset;
        node.rename(&a, &two).unwrap();
        assert_eq!(a.find(&two), Some(node.clone().into()));
        assert_eq!(a.find(&one), None);
        assert_eq!(a.readdir(0, 2).len(), 1);
        assert_eq!(a.readdir(0, 1)[0].offset, offset);
        node.rename(&b, &one).unwrap();
        assert_eq!((a.readdir(0, 2).len(), b.readdir(0, 2).len()), (0, 1));
        assert_eq!(b.find(&one), Some(node.clone().into()));

        // Both at a time are told apart.
        let other = b.create_dir(&two, 0o755).unwrap();
        assert_eq!(b.find(&one), Some(node.clone().into()));
        assert_eq!(b.find(&two), Some(other.clone().into()));
        assert_eq!(b.readdir(0, 3).len(), 2);
        node.remove().unwrap();
        assert_eq!(b.find(&one), None);
        assert_eq!(b.find(&two), Some(other.into()));
    }
}

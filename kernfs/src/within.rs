//! [`NodeRef`]: a node that was found in a read section, and is not counted.
//!
//! A lookup that gives out a [`Node`] adds to its count, which whoever looks the same node up on another CPU changes too.
//! Who wants only to know something of the node needs no count: the section keeps what it found. Within one, a path, an
//! answer and the name that it has cost a walk and no store.

use core::fmt;
use core::hash::{Hash, Hasher};

use urcu::{Borrowed, Guard};

use crate::inner::Inner;
use crate::lookup;
use crate::mode::{Kind, Stat};
use crate::node::Node;
use crate::ns::Ns;
use crate::path;

/// A node, for as long as a read section lasts; [`get`](Self::get) makes a handle of it, for longer. `Copy`.
///
/// It is what [`Node::within`] gives, and what is found from there. All that it does is lock-free, enters no further
/// section and, but for the count of [`get`](Self::get), writes to no memory that others read. As with a handle, the
/// node may be removed meanwhile; then it answers for what the node was.
///
/// The section holds back all memory of the domain: look, and leave it. Callbacks that block, and removal, are not for
/// sections, so this has neither; nor can it go to another thread.
///
/// ```
/// use kernfs::{Node, Root, ro};
/// use kernfs::urcu::Memb;
///
/// let root = Root::new();
/// let cpu = root.create_dir("cpu", 0o755)?;
/// cpu.attr("load", ro(|| 7))?;
///
/// let guard = Memb::read_lock();
/// let load = root.within(&guard).walk("cpu/load").unwrap();
/// assert_eq!((load.name(), load.mode()), (&b"load"[..], 0o444));
/// assert_eq!(load.parent().unwrap().id(), cpu.id());
/// let kept: Node = load.get(); // counted
/// drop(guard);
/// assert_eq!(kept.path(), b"/cpu/load");
/// # Ok::<(), kernfs::Error>(())
/// ```
///
/// It does not outlive the section,
///
/// ```compile_fail,E0505
/// # let root = kernfs::Root::new();
/// let guard = kernfs::urcu::Memb::read_lock();
/// let found = root.within(&guard).find("cpu");
/// drop(guard);
/// println!("{found:?}");
/// ```
///
/// nor the handle that the search began at:
///
/// ```compile_fail,E0505
/// # let root = kernfs::Root::new();
/// let guard = kernfs::urcu::Memb::read_lock();
/// let found = root.within(&guard).find("cpu");
/// drop(root);
/// println!("{found:?}");
/// ```
#[derive(Clone, Copy)]
pub struct NodeRef<'g> {
    node: Borrowed<'g, Inner>,
    guard: &'g Guard<'g>,
}

impl Node {
    /// The node as one that a read section keeps: where lookups begin that count nothing. See [`NodeRef`].
    pub fn within<'g>(&'g self, guard: &'g Guard<'_>) -> NodeRef<'g> {
        NodeRef {
            node: Borrowed::from(&self.0),
            guard,
        }
    }
}

impl<'g> NodeRef<'g> {
    fn with(self, node: Borrowed<'g, Inner>) -> Self {
        Self { node, ..self }
    }

    /// A handle, which keeps the node beyond the section. One atomic addition.
    #[doc(alias = "kernfs_get")]
    pub fn get(self) -> Node {
        Node(self.node.get())
    }

    /// As [`Node::id`].
    pub fn id(self) -> u64 {
        self.node.id
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        self.node.kind()
    }

    /// The name, empty for the root. It stays the name of this moment when the node is renamed.
    #[doc(alias = "kernfs_name")]
    pub fn name(self) -> &'g [u8] {
        self.node.into_ref().link(self.guard).label.name()
    }

    /// Permission bits.
    pub fn mode(self) -> u32 {
        self.node.mode_in(self.guard)
    }

    /// The size that stat shows.
    pub fn size(self) -> u64 {
        self.node.file().map_or(0, |file| file.size)
    }

    /// What stat(2) shows, of one moment.
    pub fn stat(self) -> Stat {
        self.node.stat_in(self.guard)
    }

    /// As [`Node::path`].
    #[doc(alias = "kernfs_path")]
    pub fn path(self) -> Vec<u8> {
        path::full(&self.node, self.guard)
    }

    /// The directory it is in, or was in when it was removed; `None` for the root.
    #[doc(alias = "kernfs_get_parent")]
    pub fn parent(self) -> Option<Self> {
        let parent = self.node.into_ref().parent(self.guard)?;
        Some(self.with(parent.into()))
    }

    /// As [`Node::is_active`].
    pub fn is_active(self) -> bool {
        self.node.active.is_active()
    }

    /// The entry of this name, as [`Dir::find`](crate::Dir::find). In what is no directory: nothing.
    #[doc(alias = "kernfs_find_and_get")]
    pub fn find(self, name: impl AsRef<[u8]>) -> Option<Self> {
        self.find_ns(name, None)
    }

    /// As [`Dir::find_ns`](crate::Dir::find_ns).
    #[doc(alias = "kernfs_find_and_get_ns")]
    pub fn find_ns(self, name: impl AsRef<[u8]>, ns: Option<Ns>) -> Option<Self> {
        let dir = self.node.into_ref();
        let (child, _) = dir.entry(name.as_ref(), ns, self.guard)?;
        Some(self.with(child))
    }

    /// Follows a path of names, as [`Dir::walk`](crate::Dir::walk).
    #[doc(alias = "kernfs_walk_and_get")]
    pub fn walk(self, path: impl AsRef<[u8]>) -> Option<Self> {
        self.walk_ns(path, None)
    }

    /// As [`Dir::walk_ns`](crate::Dir::walk_ns).
    #[doc(alias = "kernfs_walk_and_get_ns")]
    pub fn walk_ns(self, path: impl AsRef<[u8]>, ns: Option<Ns>) -> Option<Self> {
        let found = lookup::walk(self.node, path.as_ref(), ns, self.guard)?;
        Some(self.with(found))
    }
}

impl PartialEq for NodeRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.node.as_ptr(), other.node.as_ptr())
    }
}

impl Eq for NodeRef<'_> {}

impl Hash for NodeRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.node.as_ptr().hash(state);
    }
}

impl fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeRef")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("path", &format_args!("\"{}\"", self.path().escape_ascii()))
            .field("active", &self.node.active)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use urcu::Memb;

    fn counts(node: &Node) -> usize {
        Arc::strong_count(&node.0)
    }

    #[test]
    fn looking_counts_nothing_and_get_does() {
        let root = crate::root::Root::new();
        let dir = root.create_dir("dir", 0o750).unwrap();
        let leaf = dir.create_dir("leaf", 0o700).unwrap();
        let sized = root.attr("sized", crate::bin::bin(7)).unwrap();
        let before = [&root.dir(), &dir, &leaf].map(|node| counts(node));
        let guard = Memb::read_lock();
        let found = root.within(&guard).walk("dir/leaf").unwrap();
        assert_eq!(
            Some(found),
            dir.within(&guard).find("leaf").filter(|at| at.is_active())
        );
        assert_eq!((found.id(), found.kind()), (leaf.id(), Kind::Dir));
        assert_eq!((found.name(), found.path()), (&b"leaf"[..], leaf.path()));
        assert_eq!((found.mode(), found.stat()), (0o700, leaf.stat()));
        assert_eq!((found.size(), sized.within(&guard).size()), (0, 7));
        let above = found.parent().unwrap();
        assert_eq!((above.id(), above.find("none")), (dir.id(), None));
        assert_eq!(above.parent().unwrap().parent(), None);
        let after = [&root.dir(), &dir, &leaf].map(|node| counts(node));
        assert_eq!(before, after);
        let kept = found.get();
        assert_eq!((&kept, counts(&leaf)), (&*leaf, before[2] + 1));
    }

    // What the section found stays, with what it showed, whoever removes and renames it meanwhile and drops every handle.
    #[test]
    fn what_was_found_outlives_its_removal_and_its_name_a_rename() {
        let root = crate::root::Root::new();
        let dir = root.create_dir("dir", 0o755).unwrap();
        dir.create_dir("leaf", 0o700).unwrap();
        let guard = Memb::read_lock();
        let found = root.within(&guard).walk("dir/leaf").unwrap();
        let name = found.name();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                root.walk("dir/leaf")
                    .unwrap()
                    .rename(&root, "a new name")
                    .unwrap();
                root.find("a new name").unwrap().remove().unwrap();
                dir.remove().unwrap();
            });
        });
        assert_eq!((name, found.name()), (&b"leaf"[..], &b"a new name"[..]));
        assert!(!found.is_active() && found.mode() == 0o700);
        assert_eq!(root.within(&guard).find("a new name"), None);
        assert_eq!(found.get().path(), b"/a new name");
    }
}

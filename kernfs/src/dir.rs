//! [`Dir`]: finding nodes, by name, by path, and removing them by name.

use core::sync::atomic::Ordering;

use urcu::Memb;

use crate::error::{Errno, Result};
use crate::inner::Link;
use crate::lookup;
use crate::node::{Dir, Node};
use crate::ns::Ns;
use crate::path;
use crate::remove;
use crate::state::NS;

impl Dir {
    /// The entry of this name, also one that is hidden, not activated, or being removed. Lock-free: a search in the
    /// index. In a directory with name spaces: nothing, see [`find_ns`](Self::find_ns).
    #[doc(alias = "kernfs_find_and_get")]
    pub fn find(&self, name: impl AsRef<[u8]>) -> Option<Node> {
        self.find_ns(name, None)
    }

    /// The entry of this name in a name space. Nothing if the directory has none, as in one that has some without a
    /// name space.
    #[doc(alias = "kernfs_find_and_get_ns")]
    pub fn find_ns(&self, name: impl AsRef<[u8]>, ns: Option<Ns>) -> Option<Node> {
        let guard = Memb::read_lock();
        let (child, _) = self.0.0.entry(name.as_ref(), ns, &guard)?;
        Some(Node(child.get()))
    }

    /// Follows a path of names. Leading and repeated slashes are skipped; "." and ".." have no meaning, and
    /// symlinks are not followed. `None` if something on the way is missing or no directory. The path of
    /// nothing but slashes is the directory itself.
    ///
    /// Lock-free. What is found was there, as a whole, at one moment of the call, whatever is renamed meanwhile; the
    /// walk starts anew when a rename of something on this very path was faster.
    ///
    /// ```
    /// let root = kernfs::Root::new();
    /// let b = root.create_dir("a", 0o755)?.create_dir("b", 0o755)?;
    /// assert_eq!(root.walk("a//b"), Some(b.into()));
    /// assert_eq!(root.walk("a/../a/b"), None);
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    #[doc(alias = "kernfs_walk_and_get")]
    pub fn walk(&self, path: impl AsRef<[u8]>) -> Option<Node> {
        self.walk_ns(path, None)
    }

    /// The same for who sees a name space: in directories with name spaces the names are looked up in that one. (The
    /// kernel warns, and finds nothing, where a path leads through directories of both kinds.)
    #[doc(alias = "kernfs_walk_and_get_ns")]
    pub fn walk_ns(&self, path: impl AsRef<[u8]>, ns: Option<Ns>) -> Option<Node> {
        let guard = Memb::read_lock();
        let found = lookup::walk((&self.0.0).into(), path.as_ref(), ns, &guard)?;
        Some(Node(found.get())) // only the last one is counted
    }

    /// Removes the entry of this name, as [`Node::remove`] does.
    ///
    /// # Errors
    /// ENOENT: there is none, or another thread removed it meanwhile (also then its callbacks are finished
    /// when this returns). EDEADLK: as `Node::remove`.
    #[doc(alias = "kernfs_remove_by_name")]
    #[track_caller]
    pub fn remove_by_name(&self, name: impl AsRef<[u8]>) -> Result<()> {
        self.remove_by_name_ns(name, None)
    }

    /// The same with a name space, as [`find_ns`](Self::find_ns).
    ///
    /// # Errors
    /// As `remove_by_name`.
    #[doc(alias = "kernfs_remove_by_name_ns")]
    #[track_caller]
    pub fn remove_by_name_ns(&self, name: impl AsRef<[u8]>, ns: Option<Ns>) -> Result<()> {
        let name = name.as_ref();
        let dir = &self.0.0;
        let here = |link: &Link| link.is_in(dir) && link.label.is(name, dir.tag(ns));
        // The handle keeps the node over the drain; without it two removers free it under each other, as
        // the kernel did in 2022 (4abc99652812). Once more if it was removed or renamed meanwhile.
        while let Some(node) = self.find_ns(name, ns) {
            if remove::remove_from(&node.0, here, core::panic::Location::caller())? {
                return Ok(());
            }
        }
        let what = format!("no \"{}\" in the directory", name.escape_ascii());
        Err(path::error(Errno::ENOENT, &what, &self.0.0))
    }

    /// From now on each entry of this directory belongs to a name space.
    ///
    /// # Errors
    /// EINVAL: it has entries, or is one that stays empty.
    #[doc(alias = "kernfs_enable_ns")]
    pub fn enable_ns(&self) -> Result<()> {
        let _locked = self.0.0.tree.write("name spaces")?;
        match self.0.0.dir() {
            Some(dir) if dir.children.is_empty() && !self.stays_empty() => {
                self.0.0.state.set(NS);
                Ok(())
            }
            _ => Err(self.error(Errno::EINVAL, "name spaces for the entries")),
        }
    }

    /// Whether its entries belong to name spaces.
    #[doc(alias = "kernfs_ns_enabled")]
    pub fn is_namespaced(&self) -> bool {
        self.0.0.is_namespaced()
    }

    /// A number that is another one after an entry came or went. What is hidden or shown changes nothing.
    pub fn revision(&self) -> u64 {
        let dir = self.0.0.dir();
        dir.map_or(0, |dir| dir.revision.load(Ordering::Acquire))
    }
}

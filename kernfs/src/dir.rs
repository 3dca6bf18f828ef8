//! [`Dir`]: making nodes in a directory and finding them.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use urcu::{Memb, Writer};

use crate::error::{Errno, Error, Result};
use crate::inner::{self, Body, DirBody, FileBody, Inner, Link as Place};
use crate::mode;
use crate::name;
use crate::node::{Dir, File, Link, Node};
use crate::ops::{AnyOps, Ops};
use crate::path;
use crate::remove;

impl Dir {
    /// Makes a directory.
    ///
    /// # Errors
    /// EINVAL or ENAMETOOLONG: a name that is empty, ".", "..", has a "/" or a NUL, or more than 4095
    /// bytes; a mode above 07777. EEXIST: the name is taken, be it by a node that is being removed. ENOENT:
    /// this directory is being removed.
    #[doc(alias = "kernfs_create_dir")]
    pub fn create_dir(&self, name: impl AsRef<[u8]>, mode: u32) -> Result<Self> {
        let make = |_: u64, writer: &Writer| Body::Dir(DirBody::new(writer));
        self.create(name.as_ref(), mode, make).map(Self)
    }

    /// Makes a file with the callbacks `ops`. `size` is what stat shows, nothing else.
    ///
    /// # Errors
    /// As [`create_dir`](Self::create_dir); EINVAL also for a size above 2^63 - 1.
    #[doc(alias = "kernfs_create_file")]
    pub fn create_file(
        &self,
        name: impl AsRef<[u8]>,
        mode: u32,
        size: u64,
        ops: impl Ops,
    ) -> Result<File> {
        self.create_any(name.as_ref(), mode, size, Arc::new(ops))
    }

    pub(crate) fn create_any(
        &self,
        name: &[u8],
        mode: u32,
        size: u64,
        ops: Arc<dyn AnyOps>,
    ) -> Result<File> {
        let size = mode::check_size(size)?;
        let tree = &self.0.0.tree;
        // If it fails, the caller's object is dropped after the tree lock: its drop is the caller's code.
        let copy = Arc::clone(&ops);
        let make = |id, _: &Writer| Body::File(FileBody::new(tree, id, size, copy));
        self.create(name, mode, make).map(File)
    }

    /// Makes a symbolic link to another node of the tree.
    ///
    /// # Errors
    /// As [`create_dir`](Self::create_dir); EINVAL also if the target is the root or a node of another
    /// tree, ENOENT if it is being removed.
    #[doc(alias = "kernfs_create_link")]
    pub fn create_link(&self, name: impl AsRef<[u8]>, target: &Node) -> Result<Link> {
        if !Arc::ptr_eq(&target.0.tree, &self.0.0.tree) {
            return Err(target.error(Errno::EINVAL, "link into another tree, target is the node"));
        }
        if target.parent().is_none() {
            return Err(target.error(Errno::EINVAL, "link to the root, that is the parent"));
        }
        if target.0.removing.load(Ordering::Relaxed) {
            return Err(target.error(Errno::ENOENT, "link to a removed node, removal"));
        }
        let target = Arc::clone(&target.0);
        let make = |_, _: &Writer| Body::Link(Some(target));
        self.create(name.as_ref(), 0o777, make).map(Link)
    }

    /// The common part of the kernel's three `kernfs_create_*` and `kernfs_add_one`.
    fn create(
        &self,
        name: &[u8],
        mode: u32,
        make: impl FnOnce(u64, &Writer) -> Body,
    ) -> Result<Node> {
        name::check(name)?;
        let mode = mode::check(mode)?;
        let parent = &self.0.0;
        let node = {
            let mut writer = parent.tree.write();
            self.add(&mut writer, name, mode, make)?
        };
        for (_, watch) in parent.tree.queue.watches().iter() {
            watch.added(parent.id, name);
        }
        Ok(Node(node))
    }

    fn add(
        &self,
        writer: &mut Writer,
        name: &[u8],
        mode: u32,
        make: impl FnOnce(u64, &Writer) -> Body,
    ) -> Result<Arc<Inner>> {
        let parent = &self.0.0;
        let Some(dir) = parent.dir() else {
            return Err(self.error(Errno::ENOTDIR, "creation below"));
        };
        let what = |text: &str| format!("creation of \"{}\" {text}", name.escape_ascii());
        if parent.removing.load(Ordering::Relaxed) {
            return Err(self.error(
                Errno::ENOENT,
                &what("in a directory that is being removed,"),
            ));
        }
        if parent.child(name, &Memb::read_lock()).is_some() {
            return Err(self.error(Errno::EEXIST, &what("in the directory")));
        }
        // Ids are never used twice, but only the low half is in the key.
        let (id, key) = loop {
            let id = parent.tree.new_id();
            let key = inner::key(name, id);
            let next = dir.children.get_from(key, writer).next();
            if next.is_none_or(|(k, _)| k != key) {
                break (id, key);
            }
        };
        let mut copy = Vec::new();
        copy.try_reserve_exact(name.len())
            .map_err(|_| Error::from(Errno::ENOMEM))?;
        copy.extend_from_slice(name);
        let place = Place {
            parent: Some(Arc::clone(parent)),
            name: copy.into(),
            key,
        };
        let body = make(id, writer);
        let node = Arc::new(Inner::new(&parent.tree, id, mode, place, body));
        // Before it is seen: no lookup finds a node that is not there yet.
        node.active.activate();
        if node.dir().is_some() {
            dir.subdirs.fetch_add(1, Ordering::Relaxed);
        }
        dir.children.insert(writer, key, Arc::clone(&node));
        Ok(node)
    }

    /// The entry of this name, also while it is being removed. Lock-free.
    #[doc(alias = "kernfs_find_and_get")]
    pub fn find(&self, name: impl AsRef<[u8]>) -> Option<Node> {
        let guard = Memb::read_lock();
        let child = self.0.0.child(name.as_ref(), &guard);
        child.map(|child| Node(Arc::clone(child)))
    }

    /// Follows a path of names. Leading and repeated slashes are skipped; "." and ".." have no meaning, and
    /// symlinks are not followed. `None` if something on the way is missing or no directory. The path of
    /// nothing but slashes is the directory itself. Lock-free.
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
        let guard = Memb::read_lock();
        let mut node = &self.0.0;
        for name in path.as_ref().split(|byte| *byte == b'/') {
            if !name.is_empty() {
                node = node.child(name, &guard)?;
            }
        }
        // Only the last one is counted.
        Some(Node(Arc::clone(node)))
    }

    /// Removes the entry of this name, as [`Node::remove`] does.
    ///
    /// # Errors
    /// ENOENT: there is none, or another thread removed it meanwhile (also then its callbacks are finished
    /// when this returns). EDEADLK: as `Node::remove`.
    #[doc(alias = "kernfs_remove_by_name")]
    #[track_caller]
    pub fn remove_by_name(&self, name: impl AsRef<[u8]>) -> Result<()> {
        let name = name.as_ref();
        // The handle keeps the node over the drain; without it two removers free it under each other, as
        // the kernel did in 2022 (4abc99652812).
        let removed = match self.find(name) {
            Some(node) => remove::remove(&node.0)?,
            None => false,
        };
        if removed {
            return Ok(());
        }
        let what = format!("no \"{}\" in the directory", name.escape_ascii());
        Err(path::error(Errno::ENOENT, &what, &self.0.0))
    }
}

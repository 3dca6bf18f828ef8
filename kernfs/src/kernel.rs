//! The kernel's names, for people with fs/kernfs in the other window.
//!
//! Each is one call of the method that its line names; nothing in this crate uses them. `kernfs_get` is
//! `clone`, `kernfs_put` is `drop`. Namespaces (`_ns`) and owner pointers (`priv`) are not arguments here.
//!
//! ```
//! use kernfs::kernel::*;
//!
//! let root = kernfs_create_root();
//! let dir = kernfs_create_dir(&root, "devices", 0o755)?;
//! assert_eq!(kernfs_find_and_get(&root, "devices"), Some(dir.clone().into()));
//! assert_eq!(kernfs_path(&dir), b"/devices");
//! kernfs_remove(&dir)?;
//! kernfs_destroy_root(root)?;
//! # Ok::<(), kernfs::Error>(())
//! ```

use crate::error::Result;
use crate::node::{Dir, File, Link, Node};
use crate::ops::Ops;
use crate::root::Root;

/// [`Root::new`].
#[must_use]
pub fn kernfs_create_root() -> Root {
    Root::new()
}

/// [`Root::destroy`].
///
/// # Errors
/// As there.
#[track_caller]
pub fn kernfs_destroy_root(root: Root) -> Result<()> {
    root.destroy()
}

/// [`Root::dir`].
#[must_use]
pub fn kernfs_root_to_node(root: &Root) -> Dir {
    root.dir()
}

/// [`Dir::create_dir`].
///
/// # Errors
/// As there.
pub fn kernfs_create_dir(parent: &Dir, name: impl AsRef<[u8]>, mode: u32) -> Result<Dir> {
    parent.create_dir(name, mode)
}

/// [`Dir::create_file`].
///
/// # Errors
/// As there.
pub fn kernfs_create_file(
    parent: &Dir,
    name: impl AsRef<[u8]>,
    mode: u32,
    size: u64,
    ops: impl Ops,
) -> Result<File> {
    parent.create_file(name, mode, size, ops)
}

/// [`Dir::create_link`].
///
/// # Errors
/// As there.
pub fn kernfs_create_link(parent: &Dir, name: impl AsRef<[u8]>, target: &Node) -> Result<Link> {
    parent.create_link(name, target)
}

/// [`Dir::find`].
#[must_use]
pub fn kernfs_find_and_get(parent: &Dir, name: impl AsRef<[u8]>) -> Option<Node> {
    parent.find(name)
}

/// [`Dir::walk`].
#[must_use]
pub fn kernfs_walk_and_get(parent: &Dir, path: impl AsRef<[u8]>) -> Option<Node> {
    parent.walk(path)
}

/// [`Node::parent`].
#[must_use]
pub fn kernfs_get_parent(node: &Node) -> Option<Dir> {
    node.parent()
}

/// [`Node::name`].
#[must_use]
pub fn kernfs_name(node: &Node) -> Vec<u8> {
    node.name()
}

/// [`Node::path`].
#[must_use]
pub fn kernfs_path(node: &Node) -> Vec<u8> {
    node.path()
}

/// [`Node::path_from`].
///
/// # Errors
/// As there.
pub fn kernfs_path_from_node(to: &Node, from: &Node) -> Result<Vec<u8>> {
    to.path_from(from)
}

/// [`Node::remove`].
///
/// # Errors
/// As there.
#[track_caller]
pub fn kernfs_remove(node: &Node) -> Result<()> {
    node.remove()
}

/// [`Dir::remove_by_name`].
///
/// # Errors
/// As there.
#[track_caller]
pub fn kernfs_remove_by_name(parent: &Dir, name: impl AsRef<[u8]>) -> Result<()> {
    parent.remove_by_name(name)
}

/// [`File::notify`].
pub fn kernfs_notify(file: &File) {
    file.notify();
}

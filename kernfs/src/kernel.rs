//! The kernel's names, for people with fs/kernfs in the other window.
//!
//! Each is one call of the method that its line names; nothing in this crate uses them. Owner pointers (`priv`) are
//! not arguments: closures and [`Ops`] objects own what they need. `NULL` is `None` where the kernel takes it and it
//! means something.
//!
//! ```
//! use kernfs::{RootFlags, kernel::*};
//!
//! let root = kernfs_create_root(RootFlags::EXTRA_OPEN_PERM_CHECK);
//! let dir = kernfs_create_dir(&root, "devices", 0o755)?;
//! assert_eq!(kernfs_find_and_get(&root, "devices"), Some(dir.clone().into()));
//! assert_eq!(kernfs_path(&dir), b"/devices");
//! kernfs_remove(Some(&dir))?;
//! kernfs_destroy_root(root)?;
//! # Ok::<(), kernfs::Error>(())
//! ```
//!
//! # Not here
//! What belongs to super blocks, dentries and inodes, which user space has none of:
//!
//! * `kernfs_get_tree`, `kernfs_free_fs_context`, `kernfs_kill_sb`: mounting and unmounting is the feature `fuse`.
//! * `kernfs_super_ns`, `kernfs_root_from_sb`: a mount has one root and shows one name space (`Options::ns` of the
//!   feature `fuse`); in the process a name space is an argument.
//! * `kernfs_node_from_dentry`, `kernfs_get_inode`, `kernfs_node_dentry`: a mount finds nodes by their ids,
//!   [`kernfs_find_and_get_node_by_id`], as the kernel's file handles do.

use crate::create::Creation;
use crate::cx::{Cx, Unprotected};
use crate::error::Result;
use crate::flags::{PollFlags, RootFlags};
use crate::mode::{Kind, SetAttr};
use crate::node::{Dir, File, Link, Node};
use crate::ns::Ns;
use crate::open::OpenFile;
use crate::ops::Ops;
use crate::root::Root;
use crate::xattr::XattrHow;

fn creation(uid: u32, gid: u32, ns: Option<Ns>) -> Creation {
    let creation = Creation::new().owner(uid, gid);
    ns.map_or(creation, |ns| creation.ns(ns))
}

/// [`Root::with_flags`]; with syscall ops, [`Root::with_ops`].
#[must_use]
pub fn kernfs_create_root(flags: RootFlags) -> Root {
    Root::with_flags(flags)
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

/// [`Node::root_flags`].
#[must_use]
pub fn kernfs_root_flags(node: &Node) -> RootFlags {
    node.root_flags()
}

/// [`Dir::create_dir`].
///
/// # Errors
/// As there.
pub fn kernfs_create_dir(parent: &Dir, name: impl AsRef<[u8]>, mode: u32) -> Result<Dir> {
    parent.create_dir(name, mode)
}

/// [`Dir::create_dir_with`].
///
/// # Errors
/// As there.
pub fn kernfs_create_dir_ns(
    parent: &Dir,
    name: impl AsRef<[u8]>,
    mode: u32,
    uid: u32,
    gid: u32,
    ns: Option<Ns>,
) -> Result<Dir> {
    parent.create_dir_with(name, mode, creation(uid, gid, ns))
}

/// [`Dir::create_empty_dir`].
///
/// # Errors
/// As there.
pub fn kernfs_create_empty_dir(parent: &Dir, name: impl AsRef<[u8]>) -> Result<Dir> {
    parent.create_empty_dir(name)
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

/// [`Dir::create_file_with`].
///
/// # Errors
/// As there.
#[expect(clippy::too_many_arguments, reason = "the kernel's")]
pub fn kernfs_create_file_ns(
    parent: &Dir,
    name: impl AsRef<[u8]>,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    ops: impl Ops,
    ns: Option<Ns>,
) -> Result<File> {
    parent.create_file_with(name, mode, size, ops, creation(uid, gid, ns))
}

/// [`Dir::create_file_with`].
///
/// # Errors
/// As there. (The lock class of the kernel's last argument is not needed: see [`Node::remove`], EDEADLK.)
#[expect(clippy::too_many_arguments, reason = "the kernel's")]
pub fn __kernfs_create_file(
    parent: &Dir,
    name: impl AsRef<[u8]>,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    ops: impl Ops,
    ns: Option<Ns>,
) -> Result<File> {
    kernfs_create_file_ns(parent, name, mode, uid, gid, size, ops, ns)
}

/// [`Dir::create_link`].
///
/// # Errors
/// As there.
pub fn kernfs_create_link(parent: &Dir, name: impl AsRef<[u8]>, target: &Node) -> Result<Link> {
    parent.create_link(name, target)
}

/// [`Node::activate`].
pub fn kernfs_activate(node: &Node) {
    node.activate();
}

/// [`Node::show`] or [`Node::hide`].
///
/// # Errors
/// As there.
#[track_caller]
pub fn kernfs_show(node: &Node, show: bool) -> Result<()> {
    if show { node.show() } else { node.hide() }
}

/// [`Node::remove`].
///
/// # Errors
/// As there.
#[track_caller]
pub fn kernfs_remove(node: Option<&Node>) -> Result<()> {
    node.map_or(Ok(()), Node::remove)
}

/// [`Dir::remove_by_name`].
///
/// # Errors
/// As there.
#[track_caller]
pub fn kernfs_remove_by_name(parent: &Dir, name: impl AsRef<[u8]>) -> Result<()> {
    parent.remove_by_name(name)
}

/// [`Dir::remove_by_name_ns`].
///
/// # Errors
/// As there.
#[track_caller]
pub fn kernfs_remove_by_name_ns(
    parent: &Dir,
    name: impl AsRef<[u8]>,
    ns: Option<Ns>,
) -> Result<()> {
    parent.remove_by_name_ns(name, ns)
}

/// [`Cx::remove_self`].
///
/// # Errors
/// As there.
#[track_caller]
pub fn kernfs_remove_self(cx: &mut Cx<'_>) -> Result<bool> {
    cx.remove_self()
}

/// [`Cx::break_protection`].
pub fn kernfs_break_active_protection<'a>(cx: &'a mut Cx<'_>) -> Unprotected<'a> {
    cx.break_protection()
}

/// `drop` of an [`Unprotected`].
pub fn kernfs_unbreak_active_protection(unprotected: Unprotected<'_>) {
    drop(unprotected);
}

/// [`Node::rename`].
///
/// # Errors
/// As there.
pub fn kernfs_rename(node: &Node, new_parent: &Dir, new_name: impl AsRef<[u8]>) -> Result<()> {
    node.rename(new_parent, new_name)
}

/// [`Node::rename_ns`].
///
/// # Errors
/// As there.
pub fn kernfs_rename_ns(
    node: &Node,
    new_parent: &Dir,
    new_name: Option<&[u8]>,
    new_ns: Option<Ns>,
) -> Result<()> {
    node.rename_ns(new_parent, new_name, new_ns)
}

/// [`Dir::find`].
#[must_use]
pub fn kernfs_find_and_get(parent: &Dir, name: impl AsRef<[u8]>) -> Option<Node> {
    parent.find(name)
}

/// [`Dir::find_ns`].
#[must_use]
pub fn kernfs_find_and_get_ns(
    parent: &Dir,
    name: impl AsRef<[u8]>,
    ns: Option<Ns>,
) -> Option<Node> {
    parent.find_ns(name, ns)
}

/// [`Dir::walk`].
#[must_use]
pub fn kernfs_walk_and_get(parent: &Dir, path: impl AsRef<[u8]>) -> Option<Node> {
    parent.walk(path)
}

/// [`Dir::walk_ns`].
#[must_use]
pub fn kernfs_walk_and_get_ns(
    parent: &Dir,
    path: impl AsRef<[u8]>,
    ns: Option<Ns>,
) -> Option<Node> {
    parent.walk_ns(path, ns)
}

/// [`Root::find_by_id`].
#[must_use]
pub fn kernfs_find_and_get_node_by_id(root: &Root, id: u64) -> Option<Node> {
    root.find_by_id(id)
}

/// [`Node::clone`].
#[must_use]
pub fn kernfs_get(node: &Node) -> Node {
    node.clone()
}

/// `drop` of a [`Node`].
pub fn kernfs_put(node: Node) {
    drop(node);
}

/// [`Node::parent`].
#[must_use]
pub fn kernfs_get_parent(node: &Node) -> Option<Dir> {
    node.parent()
}

/// [`Node::kind`].
#[must_use]
pub fn kernfs_type(node: &Node) -> Kind {
    node.kind()
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

/// [`Node::path_from`], `None` being the root: [`Node::path`].
///
/// # Errors
/// As there.
pub fn kernfs_path_from_node(to: &Node, from: Option<&Node>) -> Result<Vec<u8>> {
    from.map_or_else(|| Ok(to.path()), |from| to.path_from(from))
}

/// [`Dir::enable_ns`].
///
/// # Errors
/// As there.
pub fn kernfs_enable_ns(dir: &Dir) -> Result<()> {
    dir.enable_ns()
}

/// [`Dir::is_namespaced`].
#[must_use]
pub fn kernfs_ns_enabled(dir: &Dir) -> bool {
    dir.is_namespaced()
}

/// [`Node::setattr`].
///
/// # Errors
/// As there.
pub fn kernfs_setattr(node: &Node, new: &SetAttr) -> Result<()> {
    node.setattr(new)
}

/// [`Node::xattr`].
///
/// # Errors
/// As there.
pub fn kernfs_xattr_get(node: &Node, name: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    node.xattr(name)
}

/// [`Node::set_xattr`], or [`Node::remove_xattr`] for `None`. With the limits that the kernel has in its handlers: [`XattrHow`].
///
/// # Errors
/// As there.
pub fn kernfs_xattr_set(
    node: &Node,
    name: impl AsRef<[u8]>,
    value: Option<&[u8]>,
    how: XattrHow,
) -> Result<()> {
    match value {
        Some(value) => node.set_xattr(name, value, how),
        None => node.remove_xattr(name),
    }
}

/// [`File::notify`].
pub fn kernfs_notify(file: &File) {
    file.notify();
}

/// [`OpenFile::poll`].
#[track_caller]
#[must_use]
pub fn kernfs_generic_poll(open: &OpenFile) -> PollFlags {
    open.poll()
}

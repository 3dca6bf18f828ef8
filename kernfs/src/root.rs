//! [`Root`]: the owner of a tree.

use core::fmt;
use core::ops::Deref;
use core::panic::Location;
use std::io::Write as _;
use std::sync::Arc;

use urcu::{Id, Memb};

use crate::error::{Errno, Result};
use crate::flags::RootFlags;
use crate::inner::{Inner, Link, New, Tree};
use crate::limits::Limits;
use crate::name::Label;
use crate::node::{Dir, Node};
use crate::notify::Watching;
use crate::remove;
use crate::state::ACTIVATED;
use crate::tree::Syscalls;
use crate::watch::Watch;

/// A tree. Clones are handles of the same tree; when the last one is dropped, the tree is removed as
/// [`destroy`](Self::destroy) does: dropped inside a callback of the tree, by a thread of its own, when the callback
/// has ended. In a forked child nothing is removed: the tree is the parent's.
///
/// Derefs to the root directory (mode 0555, id 1).
///
/// ```
/// let root = kernfs::Root::new();
/// let dir = root.create_dir("devices", 0o755)?;
/// drop(root);
/// assert!(!dir.is_active());
/// # Ok::<(), kernfs::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "kernfs_root")]
pub struct Root(Arc<Owner>);

/// What the last handle takes along.
struct Owner(Dir);

/// Counters of a tree; see [`Root::stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Nodes that somebody may have: those in the tree, and removed ones that a handle or a grace period keeps. Not those
    /// (4096 at most, about 1 MiB) whose memory waits to be made a node of again.
    pub nodes: u64,
    /// Files that are open, or being opened.
    pub open_files: u64,
    /// Removals and hidings that wait at this moment: for a callback to return, for an open file to be released. For
    /// long means a callback that does not return; [`on_slow_removal`](crate::on_slow_removal) names it.
    pub waiting_drains: u64,
    /// How often the worker has told the listeners of a notified file.
    pub delivered: u64,
}

impl Root {
    /// An empty tree, with [`RootFlags::EXTRA_OPEN_PERM_CHECK`]. Its nodes belong to the effective user
    /// and group of now. In a forked child of a process that had one it is dead: every call answers ENOTCONN.
    #[doc(alias = "kernfs_create_root")]
    #[expect(
        clippy::new_without_default,
        reason = "a new tree each time, with an owner: not a value that stands for nothing"
    )]
    pub fn new() -> Self {
        Self::with_flags(RootFlags::EXTRA_OPEN_PERM_CHECK)
    }

    /// An empty tree with other flags.
    pub fn with_flags(flags: RootFlags) -> Self {
        Self::build(flags, None)
    }

    pub(crate) fn build(flags: RootFlags, syscalls: Option<Box<dyn Syscalls<Inner>>>) -> Self {
        let tree = Tree::new(flags, syscalls);
        let place = Link {
            parent: None,
            label: Label::ROOT,
        };
        let active = !flags.contains(RootFlags::CREATE_DEACTIVATED);
        let state = if active { ACTIVATED } else { 0 };
        // INVARIANT: the first id is 1. A new table has room.
        let reservation = tree.ids.reserve().expect("room for one");
        let id = reservation.id().raw();
        let node = Inner::make(None, &tree, id, 0o555, place, New::Dir, state);
        reservation.publish(Arc::clone(&node));
        Self(Arc::new(Owner(Dir(Node(node)))))
    }

    /// The root directory.
    #[doc(alias = "kernfs_root_to_node")]
    pub fn dir(&self) -> Dir {
        self.0.0.clone()
    }

    /// The flags.
    pub fn flags(&self) -> RootFlags {
        self.tree().flags
    }

    /// Removes everything, as [`Node::remove`] of the root directory: waits for all callbacks that run.
    /// Other handles stay valid and find an empty, dead tree.
    ///
    /// # Errors
    /// EDEADLK: inside a callback of the tree; nothing was changed.
    #[doc(alias = "kernfs_destroy_root")]
    #[track_caller]
    pub fn destroy(self) -> Result<()> {
        self.remove()
    }

    /// The node of an id, unless it is not active. An id is never used for two nodes. Wait-free.
    ///
    /// ```
    /// let root = kernfs::Root::new();
    /// let dir = root.create_dir("d", 0o755)?;
    /// assert_eq!(root.find_by_id(dir.id()), Some(dir.clone().into()));
    /// dir.remove()?;
    /// assert_eq!(root.find_by_id(dir.id()), None);
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    #[doc(alias = "kernfs_find_and_get_node_by_id")]
    pub fn find_by_id(&self, id: u64) -> Option<Node> {
        self.by_id(id)
    }

    /// The node of a [`Node::handle`].
    ///
    /// # Errors
    /// ESTALE: not active (any more), or never was. EOPNOTSUPP: not with [`RootFlags::SUPPORT_EXPORTOP`].
    #[doc(alias = "open_by_handle_at")]
    pub fn by_handle(&self, handle: [u8; 8]) -> Result<Node> {
        self.exports()?;
        let id = u64::from_ne_bytes(handle);
        let stale = || Errno::ESTALE.because(format!("file handle of node {id}"));
        self.find_by_id(id).ok_or_else(stale)
    }

    /// Registers a listener for changes of the tree, until the result is dropped.
    ///
    /// # Errors
    /// EAGAIN and the like: the worker thread could not be started.
    pub fn watch(&self, watch: Arc<dyn Watch>) -> Result<Watching> {
        self.tree().queue.watch(watch)
    }

    /// Sets how far others may go, from now on: what there is stays.
    pub fn set_limits(&self, limits: Limits) {
        self.tree().limits.set(limits);
    }

    /// Counters, as of now.
    pub fn stats(&self) -> Stats {
        let tree = self.tree();
        Stats {
            nodes: tree.live_nodes(),
            open_files: tree.open_files.sum(),
            waiting_drains: tree.waiting.value(),
            delivered: tree.queue.delivered(),
        }
    }

    fn tree(&self) -> &Tree {
        &self.0.0.0.0.tree
    }
}

impl Dir {
    /// The active node of the tree with this id.
    pub(crate) fn by_id(&self, id: u64) -> Option<Node> {
        let guard = Memb::read_lock();
        let node = self.0.0.tree.ids.get(Id::from_raw(id)?, &guard)?;
        node.active.is_active().then(|| Node(node.get()))
    }
}

impl Node {
    /// The flags of its root.
    #[doc(alias = "kernfs_root_flags")]
    pub fn root_flags(&self) -> RootFlags {
        self.0.tree.flags
    }

    /// What finds the node again: for name_to_handle_at(2), or to be kept by who keeps no handle. 8 bytes, the id.
    ///
    /// # Errors
    /// EOPNOTSUPP: not with [`RootFlags::SUPPORT_EXPORTOP`].
    #[doc(alias = "name_to_handle_at")]
    pub fn handle(&self) -> Result<[u8; 8]> {
        self.exports()?;
        Ok(self.id().to_ne_bytes())
    }

    fn exports(&self) -> Result<()> {
        if self.0.tree.flags.contains(RootFlags::SUPPORT_EXPORTOP) {
            return Ok(());
        }
        Err(self.error(Errno::EOPNOTSUPP, "file handles"))
    }
}

impl Deref for Root {
    type Target = Dir;
    fn deref(&self) -> &Dir {
        &self.0.0
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Root").field(self.tree()).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Err(error) = remove::remove_in_drop(&self.0.0.0, Location::caller()) {
            let _ = writeln!(
                std::io::stderr(),
                "kernfs: the last Root was dropped, the tree stays: {error}"
            );
        }
    }
}

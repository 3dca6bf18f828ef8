//! [`Root`]: the owner of a tree.

use core::fmt;
use core::ops::Deref;
use core::sync::atomic::Ordering;
use std::io::Write as _;
use std::sync::Arc;

use crate::error::Result;
use crate::flags::RootFlags;
use crate::inner::{Body, DirBody, Inner, Link};
use crate::node::{Dir, Node};
use crate::notify::Watching;
use crate::remove;
use crate::tree::Tree;
use crate::watch::Watch;

/// A tree. Clones are handles of the same tree; when the last one is dropped, the tree is removed as
/// [`destroy`](Self::destroy) does.
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
    /// Nodes whose memory is not freed: those in the tree, and removed ones that a handle or a grace
    /// period keeps.
    pub nodes: u64,
    /// How often the worker has told the listeners of a notified file.
    pub delivered: u64,
}

impl Root {
    /// An empty tree, with [`RootFlags::EXTRA_OPEN_PERM_CHECK`]. Its nodes belong to the effective user
    /// and group of now.
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
        let tree = Tree::new(flags);
        let id = tree.new_id();
        let place = Link {
            parent: None,
            name: Box::default(),
            key: 0,
        };
        let body = Body::Dir(DirBody::new(&tree.write()));
        let node = Arc::new(Inner::new(&tree, id, 0o555, place, body));
        node.active.activate();
        Self(Arc::new(Owner(Dir(Node(node)))))
    }

    /// The root directory.
    #[doc(alias = "kernfs_root_to_node")]
    pub fn dir(&self) -> Dir {
        self.0.0.clone()
    }

    /// The flags.
    #[doc(alias = "kernfs_root_flags")]
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

    /// Registers a listener for changes of the tree, until the result is dropped.
    ///
    /// # Errors
    /// EAGAIN and the like: the worker thread could not be started.
    pub fn watch(&self, watch: Arc<dyn Watch>) -> Result<Watching> {
        self.tree().queue.watch(watch)
    }

    /// Counters, as of now.
    pub fn stats(&self) -> Stats {
        let tree = self.tree();
        Stats {
            nodes: tree.nodes.load(Ordering::Relaxed),
            delivered: tree.queue.delivered(),
        }
    }

    fn tree(&self) -> &Tree {
        &self.0.0.0.0.tree
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
        // The one failure: the last handle goes inside a callback of the tree. Waiting would be for ever.
        if let Err(error) = remove::remove(&self.0.0.0) {
            let _ = writeln!(
                std::io::stderr(),
                "kernfs: the last Root was dropped, the tree stays: {error}"
            );
        }
    }
}

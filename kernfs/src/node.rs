//! [`Node`]: the handle of any node, and what directories, files and links have in common.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;
use core::panic::Location;
use std::sync::Arc;

use urcu::Memb;

use crate::cx::Host;
use crate::error::{Errno, Error, Result};
use crate::inner::Inner;
use crate::mode::{Kind, Stat};
use crate::path;
use crate::remove;

/// A node of the tree. Clones are handles of the same node and compare equal.
///
/// A handle keeps the memory of the node, not the node in the tree: after removal it answers for what the
/// node was. Looking takes no lock (read sections only), so it may be done anywhere. What changes the tree takes its
/// lock for a moment; [`remove`](Self::remove) and [`hide`](Self::hide) wait for callbacks.
#[derive(Clone)]
#[doc(alias = "kernfs_node")]
#[doc(alias = "kernfs_get")]
#[doc(alias = "kernfs_put")]
pub struct Node(pub(crate) Arc<Inner>);

impl Node {
    /// The inode number: 1 for the root, never used for another node of the tree.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The name; empty for the root. Lock-free, as all that only looks.
    #[doc(alias = "kernfs_name")]
    pub fn name(&self) -> Vec<u8> {
        self.0.name()
    }

    /// What it is.
    #[doc(alias = "kernfs_type")]
    pub fn kind(&self) -> Kind {
        self.0.kind()
    }

    /// Permission bits.
    pub fn mode(&self) -> u32 {
        self.0.mode()
    }

    /// What stat(2) shows, of one moment.
    pub fn stat(&self) -> Stat {
        self.0.stat()
    }

    /// The directory it is in, or was in when it was removed; `None` for the root.
    #[doc(alias = "kernfs_get_parent")]
    pub fn parent(&self) -> Option<Dir> {
        let guard = Memb::read_lock();
        self.0.parent(&guard).map(|p| Dir(Self(Arc::clone(p))))
    }

    /// The path from the root; "/" for the root itself. Never cut, and as it was at one moment, whatever is renamed
    /// meanwhile.
    #[doc(alias = "kernfs_path")]
    pub fn path(&self) -> Vec<u8> {
        self.0.path()
    }

    /// The path from another node: a "/.." for each level up, then the names down. "/" if both are the
    /// same.
    ///
    /// # Errors
    /// EINVAL: nodes of different roots.
    ///
    /// ```
    /// let root = kernfs::Root::new();
    /// let a = root.create_dir("a", 0o755)?;
    /// let (b, c) = (a.create_dir("b", 0o755)?, a.create_dir("c", 0o755)?);
    /// assert_eq!(b.path(), b"/a/b");
    /// assert_eq!(b.path_from(&c)?, b"/../b");
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    #[doc(alias = "kernfs_path_from_node")]
    pub fn path_from(&self, from: &Self) -> Result<Vec<u8>> {
        path::between(&from.0, &self.0, &Memb::read_lock())
    }

    /// Whether it can be used now. `false` before it is activated, while it is hidden, and from the moment when its
    /// removal begins.
    pub fn is_active(&self) -> bool {
        self.0.active.is_active()
    }

    /// Removes the node and all below it.
    ///
    /// When this returns, no callback of these nodes runs and none ever will, each open file was released
    /// exactly once, and what their [`Ops`](crate::Ops) captured was dropped, unless a file is open still
    /// (then that keeps it). Blocks until the callbacks that run are finished. Removing a node again, or
    /// from several threads, is fine: all return after that.
    ///
    /// A callback must not take locks that the caller of this holds. Whoever waits for more than 10 s says so on stderr,
    /// with this place and the node.
    ///
    /// # Errors
    /// EDEADLK: the calling thread is inside a callback of one of these nodes; nothing was changed. ENOTCONN: in a
    /// forked child.
    ///
    /// # Panics
    /// Not by itself, but waiting in a read section stalls all memory of the domain; so do not.
    #[doc(alias = "kernfs_remove")]
    #[track_caller]
    pub fn remove(&self) -> Result<()> {
        remove::remove(&self.0, Location::caller()).map(drop)
    }

    /// As a directory, if it is one.
    pub fn as_dir(&self) -> Option<Dir> {
        (self.kind() == Kind::Dir).then(|| Dir(self.clone()))
    }

    /// As a file, if it is one.
    pub fn as_file(&self) -> Option<File> {
        (self.kind() == Kind::File).then(|| File(self.clone()))
    }

    /// As a symlink, if it is one.
    pub fn as_link(&self) -> Option<Link> {
        (self.kind() == Kind::Link).then(|| Link(self.clone()))
    }

    /// An error about this node.
    pub(crate) fn error(&self, errno: Errno, what: &str) -> Error {
        path::error(errno, what, &self.0)
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Node {}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.address().hash(state);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("path", &format_args!("\"{}\"", self.path().escape_ascii()))
            .field("active", &self.0.active)
            .finish()
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub(crate) Node);

        impl Deref for $name {
            type Target = Node;
            fn deref(&self) -> &Node {
                &self.0
            }
        }

        impl From<$name> for Node {
            fn from(handle: $name) -> Self {
                handle.0
            }
        }
    };
}

handle! {
    /// A directory.
    Dir
}
handle! {
    /// A file. Its methods are those of [`Node`], and to open and notify it.
    File
}
handle! {
    /// A symbolic link to another node of the same tree. Its text is computed when it is read.
    Link
}

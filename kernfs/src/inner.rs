//! The node record, and every access to its RCU-protected fields.
//!
//! The kernel's `kernfs_node`. Who may look at what:
//!
//! * `link` (parent and name): in a read section. It is one record so that a rename can swap both at once.
//! * a directory's `children`: in a read section, or with the tree lock.
//! * a file's `open`: in a read section, or with the node's hashed mutex.
//! * `removing`, `unlinked`: written with the tree lock; reading one without it is a hint.
//!
//! A node is kept by its `Arc`s: handles, its children's links, symlinks to it, open files, and the one in
//! its parent's index that removal gives up. Nodes reached through an index in a section live at least as
//! long as the section, because the index does.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use urcu::llist::Linked;
use urcu::{Guard, Memb, Rcu, RcuLocked, Writer};

use crate::active::ActiveWord;
use crate::children::Children;
use crate::flags::Has;
use crate::locks::Slot;
use crate::mode::{Kind, Stat};
use crate::name;
use crate::notify::Ticket;
use crate::opened::OpenNode;
use crate::ops::AnyOps;
use crate::tree::Tree;

/// A node.
pub(crate) struct Inner {
    pub(crate) id: u64,
    pub(crate) mode: u32,
    pub(crate) body: Body,
    pub(crate) active: ActiveWord,
    pub(crate) tree: Arc<Tree>,
    /// Removal has begun; nothing is added below any more.
    pub(crate) removing: AtomicBool,
    /// Removal is over.
    pub(crate) unlinked: AtomicBool,
    link: Rcu<Link>,
    born: Duration,
}

/// Where a node is.
pub(crate) struct Link {
    /// `None`: the root.
    pub(crate) parent: Option<Arc<Inner>>,
    pub(crate) name: Box<[u8]>,
    /// The node's place in its parent's index.
    pub(crate) key: u64,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Body {
    Dir(DirBody),
    File(FileBody),
    /// The target; `None` only while the node is being dropped.
    Link(Option<Arc<Inner>>),
}

#[derive(Debug)]
pub(crate) struct DirBody {
    pub(crate) children: Children<Inner>,
    /// Changed with the tree lock.
    pub(crate) subdirs: AtomicU32,
}

pub(crate) struct FileBody {
    pub(crate) has: Has,
    pub(crate) size: u64,
    /// Taken out by removal, after the drain.
    pub(crate) ops: Mutex<Option<Arc<dyn AnyOps>>>,
    /// Published while somebody has the file open. Belongs to the mutex `slot`.
    pub(crate) open: RcuLocked<Arc<OpenNode>>,
    pub(crate) slot: Slot,
    ticket: Ticket,
}

impl DirBody {
    pub(crate) fn new(writer: &Writer) -> Self {
        Self {
            children: Children::new(writer),
            subdirs: AtomicU32::new(0),
        }
    }
}

impl FileBody {
    pub(crate) fn new(tree: &Tree, id: u64, size: u64, ops: Arc<dyn AnyOps>) -> Self {
        let slot = Slot::of(tree.serial, id);
        let open = RcuLocked::null(&slot.lock());
        Self {
            has: ops.any_has(),
            size,
            ops: Mutex::new(Some(ops)),
            open,
            slot,
            ticket: Arc::new(Linked::new(id)),
        }
    }

    /// The owner's callbacks, until removal has taken them.
    pub(crate) fn ops(&self) -> Option<Arc<dyn AnyOps>> {
        let ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        ops.clone()
    }

    pub(crate) fn take_ops(&self) -> Option<Arc<dyn AnyOps>> {
        let mut ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        ops.take()
    }

    /// Counts the event up and wakes who waits in this process. Async-signal-safe.
    pub(crate) fn signal(&self) {
        let guard = Memb::read_lock();
        // The open node cannot go before the section ends; it may be unpublished meanwhile, and then
        // nobody is left to wake.
        if let Some(open) = self.open.dereference(&guard) {
            open.event.signal();
        }
    }
}

/// The key for a name and an id.
pub(crate) fn key(name: &[u8], id: u64) -> u64 {
    first_key(name) | (id & 0xffff_ffff)
}

/// The smallest key for a name.
pub(crate) fn first_key(name: &[u8]) -> u64 {
    u64::from(name::hash(name)) << 32
}

impl Inner {
    pub(crate) fn new(tree: &Arc<Tree>, id: u64, mode: u32, link: Link, body: Body) -> Self {
        tree.nodes.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            id,
            mode,
            body,
            active: ActiveWord::new(),
            tree: Arc::clone(tree),
            removing: AtomicBool::new(false),
            unlinked: AtomicBool::new(false),
            link: Rcu::new(link),
            born: now.unwrap_or_default(),
        }
    }

    pub(crate) fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.body {
            Body::Dir(_) => Kind::Dir,
            Body::File(_) => Kind::File,
            Body::Link(_) => Kind::Link,
        }
    }

    /// Parent and name at this moment.
    pub(crate) fn link<'g>(&'g self, guard: &'g Guard<'_>) -> &'g Link {
        // INVARIANT: set by `new` and never cleared.
        self.link
            .dereference(guard)
            .expect("a node always has a link")
    }

    pub(crate) fn parent<'g>(&'g self, guard: &'g Guard<'_>) -> Option<&'g Arc<Self>> {
        self.link(guard).parent.as_ref()
    }

    pub(crate) fn dir(&self) -> Option<&DirBody> {
        match &self.body {
            Body::Dir(dir) => Some(dir),
            _ => None,
        }
    }

    pub(crate) fn file(&self) -> Option<&FileBody> {
        match &self.body {
            Body::File(file) => Some(file),
            _ => None,
        }
    }

    /// The child of this name, whatever its state. Lock-free: two binary searches.
    pub(crate) fn child<'g>(&'g self, name: &[u8], guard: &'g Guard<'_>) -> Option<&'g Arc<Self>> {
        let first = first_key(name);
        self.dir()?
            .children
            .from(first, guard)
            .take_while(|(key, _)| key >> 32 == first >> 32)
            .map(|(_, child)| child)
            // Different names may have one hash.
            .find(|child| *child.link(guard).name == *name)
    }

    pub(crate) fn stat(&self) -> Stat {
        let gone = self.removing.load(Ordering::Relaxed);
        Stat {
            id: self.id,
            kind: self.kind(),
            mode: self.mode,
            uid: self.tree.uid,
            gid: self.tree.gid,
            nlink: match &self.body {
                _ if gone => 0,
                Body::Dir(dir) => dir.subdirs.load(Ordering::Relaxed).saturating_add(2),
                _ => 1,
            },
            size: self.file().map_or(0, |file| file.size),
            time: self.born,
        }
    }
}

impl Inner {
    /// Tells pollers and listeners that the file changed. Async-signal-safe. Nothing but files changes.
    pub(crate) fn notify(&self) {
        if let Body::File(file) = &self.body {
            file.signal();
            self.tree.queue.push(&file.ticket);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tree.nodes.fetch_sub(1, Ordering::Relaxed);
        // The last handle below a deep, removed tree frees the chain of its parents: a loop, not
        // recursion, or the stack would not last. A link to a link to a link is such a chain as well.
        let mut next = self.give_up_parent();
        let mut more: Vec<Arc<Self>> = Vec::new();
        more.extend(self.give_up_target());
        while let Some(node) = next.take().or_else(|| more.pop()) {
            if let Some(mut node) = Arc::into_inner(node) {
                next = node.give_up_parent();
                more.extend(node.give_up_target());
            }
        }
    }
}

impl Inner {
    fn give_up_parent(&mut self) -> Option<Arc<Self>> {
        self.link.get_mut()?.parent.take()
    }

    fn give_up_target(&mut self) -> Option<Arc<Self>> {
        match &mut self.body {
            Body::Link(target) => target.take(),
            _ => None,
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id)
            .field("kind", &self.kind())
            .field(
                "name",
                &format_args!("{}", self.link(&Memb::read_lock()).name.escape_ascii()),
            )
            .field("active", &self.active)
            .finish()
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("has", &self.has)
            .field("size", &self.size)
            .field("open", &!self.open.is_null())
            .finish()
    }
}

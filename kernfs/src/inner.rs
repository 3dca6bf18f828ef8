//! The node record, and every access to its RCU-protected fields.
//!
//! The kernel's `kernfs_node`. Who may look at what:
//!
//! * `link` (parent, name, name space): in a read section. It is one record, so that a rename changes all three at
//!   one moment, by one swap. Changed with the tree lock.
//! * `record`: in a read section. Changed with the lock of the records.
//! * a directory's `children`: in a read section. Changed with the tree lock.
//! * a file's `open`: in a read section, or with the node's hashed mutex.
//! * `state`: see [`crate::state`].
//!
//! A node is kept by its `Arc`s: handles, its children's links, symlinks to it, open files, and the two in its
//! parent's index and in the table of ids, which removal gives up. A node that was found through those in a section
//! lives as long as the section, because they give their count up only after a grace period.

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use urcu::llist::Linked;
use urcu::{Guard, Memb, OrdMap, Rcu, RcuLocked, RetiredArc};

use crate::active::ActiveWord;
use crate::bell;
use crate::error::Result;
use crate::flags::Has;
use crate::locks::Slot;
use crate::mode::{self, Kind, Stat};
use crate::name::Label;
use crate::notify::Ticket;
use crate::open_node::OpenNode;
use crate::ops::AnyOps;
use crate::record::Record;
use crate::state::{ACTIVATED, NS, REMOVING, State};
use crate::step::step;
use crate::tree;

/// The tree of these nodes.
pub(crate) type Tree = tree::Tree<Inner>;
/// Its lock is held.
pub(crate) type Locked<'t> = tree::Locked<'t, Inner>;

/// A node. What a lookup loads comes first, next to the counts of the `Arc`: often one cache line.
#[repr(C)]
pub(crate) struct Inner {
    link: Rcu<Link>,
    pub(crate) active: ActiveWord,
    pub(crate) state: State,
    pub(crate) id: u64,
    pub(crate) body: Body,
    pub(crate) tree: Arc<Tree>,
    /// Null until something is set.
    record: Rcu<Record>,
    /// Nanoseconds since the epoch.
    born: u64,
}

/// Where a node is.
#[derive(Debug)]
pub(crate) struct Link {
    /// `None`: the root.
    pub(crate) parent: Option<Arc<Inner>>,
    pub(crate) label: Label,
}

fn first_active(state: u32) -> ActiveWord {
    match state & ACTIVATED {
        0 => ActiveWord::new(),
        _ => ActiveWord::born_active(),
    }
}

/// Until the year 2554.
fn born() -> u64 {
    u64::try_from(mode::now().as_nanos()).unwrap_or(u64::MAX)
}

impl Body {
    /// `ticket` is that of a file that was.
    fn new(new: New, tree: &Tree, id: u64, mode: u32, ticket: Option<Ticket>) -> Self {
        let mode = u16::try_from(mode).expect("a mode that was checked");
        match new {
            New::Dir => Self::Dir(DirBody {
                mode,
                ..DirBody::default()
            }),
            New::File { size, ops } => Self::File(FileBody::new(tree, id, mode, size, ops, ticket)),
            New::Link(target) => {
                debug_assert_eq!(u32::from(mode), LINK_MODE);
                Self::Link(Some(target))
            }
        }
    }
}

impl Link {
    /// Whether this is a place in directory `dir`.
    pub(crate) fn is_in(&self, dir: &Inner) -> bool {
        let parent = self.parent.as_ref();
        parent.is_some_and(|parent| core::ptr::eq(Arc::as_ptr(parent), dir))
    }
}

/// What a node is going to be.
pub(crate) enum New {
    Dir,
    File { size: u64, ops: Arc<dyn AnyOps> },
    Link(Arc<Inner>),
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Body {
    Dir(DirBody),
    File(FileBody),
    /// The target; `None` only while the node is being dropped.
    Link(Option<Arc<Inner>>),
}

#[derive(Debug, Default)]
pub(crate) struct DirBody {
    /// By `name hash << 32 | low half of the id`, which is also the offset in a listing. An entry counts only if its
    /// node's link says this directory and this name.
    pub(crate) children: OrdMap<u64, Inner>,
    pub(crate) subdirs: AtomicU32,
    /// Counted up when an entry comes or goes.
    pub(crate) revision: AtomicU64,
    /// See [`Inner::born_mode`].
    mode: u16,
}

pub(crate) struct FileBody {
    pub(crate) has: Has,
    pub(crate) slot: Slot,
    /// See [`Inner::born_mode`].
    mode: u16,
    /// A byte of few values, in whose others the compiler puts which body it is.
    _kind: File,
    pub(crate) size: u64,
    /// Taken out by removal, after the drain.
    pub(crate) ops: Mutex<Option<Arc<dyn AnyOps>>>,
    /// Published while somebody has the file open, and after that until another file of the mutex takes its place there, or
    /// the drain comes. Belongs to the mutex `slot`.
    pub(crate) open: RcuLocked<OpenNode>,
    ticket: Ticket,
}

/// The mode of each symlink, as in Linux.
pub(crate) const LINK_MODE: u32 = 0o777;

/// See [`FileBody`].
#[derive(Clone, Copy)]
#[repr(u8)]
enum File {
    Regular = 1,
}

// What there is a million of.
static_assertions::const_assert!(size_of::<Inner>() <= 112);
static_assertions::const_assert_eq!(size_of::<Link>(), 32);

impl FileBody {
    fn new(
        tree: &Tree,
        id: u64,
        mode: u16,
        size: u64,
        ops: Arc<dyn AnyOps>,
        ticket: Option<Ticket>,
    ) -> Self {
        let slot = Slot::of(tree.serial, id);
        let open = RcuLocked::null(&slot.lock());
        Self {
            has: ops.any_has(),
            mode,
            _kind: File::Regular,
            size,
            ops: Mutex::new(Some(ops)),
            open,
            slot,
            ticket: self::ticket(id, ticket),
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

    /// Whether somebody has the file open. It may have changed by now, unless the mutex is held.
    pub(crate) fn is_open(&self) -> bool {
        let guard = Memb::read_lock();
        let open = self.open.dereference(&guard);
        open.is_some_and(|open| !open.is_unused())
    }

    /// Counts the event up and wakes who waits in this process. Async-signal-safe.
    pub(crate) fn signal(&self) {
        let guard = Memb::read_lock();
        // The open node cannot go before the section ends; it may be unpublished meanwhile, and then
        // nobody is left to wake.
        let find = || self.open.dereference(&guard).map(|open| &open.bell);
        bell::ring_found(&guard, find);
    }
}

/// A ticket of this id: the old one, unless the queue still has it.
fn ticket(id: u64, old: Option<Ticket>) -> Ticket {
    if let Some(mut old) = old
        && let Some(linked) = Arc::get_mut(&mut old)
    {
        *linked = Linked::new(id);
        return old;
    }
    Arc::new(Linked::new(id))
}

/// The place of a name's hash and an id in a directory.
pub(crate) fn key(hash: u32, id: u64) -> u64 {
    u64::from(hash) << 32 | (id & 0xffff_ffff)
}

impl Inner {
    /// A node that nobody has yet. A spare one becomes it, with what it has allocated.
    pub(crate) fn make(
        spare: Option<Arc<Self>>,
        tree: &Arc<Tree>,
        id: u64,
        mode: u32,
        link: Link,
        new: New,
        state: u32,
    ) -> Arc<Self> {
        if let Some(mut node) = spare
            && let Some(own) = Arc::get_mut(&mut node)
        {
            let ticket = match core::mem::replace(&mut own.body, Body::Link(None)) {
                Body::File(file) => Some(file.ticket),
                _ => None,
            };
            own.id = id;
            own.active = first_active(state);
            own.state = State::new(state);
            own.body = Body::new(new, tree, id, mode, ticket);
            // INVARIANT: it has a link for ever.
            if let Some(place) = own.link.get_mut() {
                *place = link;
            }
            own.born = born();
            return node;
        }
        tree.nodes.fetch_add(1, Ordering::Relaxed);
        let body = Body::new(new, tree, id, mode, None);
        Arc::new(Self {
            id,
            tree: Arc::clone(tree),
            active: first_active(state),
            state: State::new(state),
            body,
            link: Rcu::new(link),
            record: Rcu::null(),
            born: born(),
        })
    }

    /// Gives up what others have a part in: what is left is memory. The node was removed, and is the caller's alone.
    fn lay_down(&mut self) {
        debug_assert!(self.active.is_drained(), "{self:?} is laid down in use"); // invariant I5
        drop((self.give_up_parent(), self.give_up_target()));
        if let Some(link) = self.link.get_mut() {
            link.label = Label::ROOT;
        }
        self.record = Rcu::null();
    }

    /// Gives counts of removed nodes of one tree up after a grace period, children's before their parents'. Nodes that
    /// nobody else has are kept to be used again.
    pub(crate) fn give_up(all: Vec<RetiredArc<Self>>) {
        let Some(tree) = all.first().map(|first| Arc::clone(&first.tree)) else {
            return;
        };
        RetiredArc::call_all(all, move |mut nodes| {
            let mut room = tree.spares.room();
            nodes.retain_mut(|node| match Arc::get_mut(node) {
                Some(node) if room > 0 => {
                    room -= 1;
                    node.lay_down();
                    true
                }
                _ => false,
            });
            tree.spares.keep(&mut nodes);
        });
    }

    /// Permission bits as long as there is no record. They stand where there is room.
    fn born_mode(&self) -> u32 {
        match &self.body {
            Body::Dir(dir) => dir.mode.into(),
            Body::File(file) => file.mode.into(),
            Body::Link(_) => LINK_MODE,
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

    /// Whether the children of this directory carry tags.
    pub(crate) fn is_namespaced(&self) -> bool {
        self.state.has(NS)
    }

    /// Moves the node. Tree lock held.
    pub(crate) fn relink(&self, link: Link) {
        // Whoever found the old link is in a section, which its memory outlasts.
        self.link.assign(link);
    }

    pub(crate) fn record<'g>(&'g self, guard: &'g Guard<'_>) -> Option<&'g Record> {
        self.record.dereference(guard)
    }

    /// Changes the attribute record, which is made if there is none. If `change` fails nothing is changed.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Record) -> Result<R>) -> Result<R> {
        let _lock = self.tree.write_records()?;
        let old = {
            let guard = Memb::read_lock();
            self.record(&guard).cloned()
        };
        let mut new = old.unwrap_or_else(|| {
            Record::new(self.born_mode(), self.tree.uid, self.tree.gid, mode::now())
        });
        let result = change(&mut new)?;
        self.record.assign(new);
        Ok(result)
    }

    /// An entry of this directory came or went. As in the kernel, only a directory that has a record has times.
    pub(crate) fn touch(&self) {
        if !self.record.is_null() {
            let _ = self.update(|record| {
                record.touch(mode::now());
                Ok(())
            });
        }
    }

    /// Permission bits.
    pub(crate) fn mode(&self) -> u32 {
        self.mode_in(&Memb::read_lock())
    }

    pub(crate) fn mode_in(&self, guard: &Guard<'_>) -> u32 {
        self.record(guard)
            .map_or_else(|| self.born_mode(), |record| record.mode)
    }

    pub(crate) fn stat(&self) -> Stat {
        self.stat_in(&Memb::read_lock())
    }

    pub(crate) fn stat_in(&self, guard: &Guard<'_>) -> Stat {
        let born = Duration::from_nanos(self.born);
        let (nlink, record) = self.nlink_and_record(guard);
        let mut stat = Stat {
            id: self.id,
            kind: self.kind(),
            mode: self.born_mode(),
            uid: self.tree.uid,
            gid: self.tree.gid,
            nlink,
            size: self.file().map_or(0, |file| file.size),
            atime: born,
            mtime: born,
            ctime: born,
        };
        if let Some(record) = record {
            stat.mode = record.mode;
            (stat.uid, stat.gid) = (record.uid, record.gid);
            (stat.atime, stat.mtime, stat.ctime) = (record.atime, record.mtime, record.ctime);
        }
        stat
    }

    /// Both of one moment: the record is the same before and after the number is read. In the section its address is not
    /// used again.
    fn nlink_and_record<'g>(&'g self, guard: &'g Guard<'_>) -> (u32, Option<&'g Record>) {
        let mut record = self.record(guard);
        loop {
            step("record read");
            let nlink = match &self.body {
                _ if self.state.has(REMOVING) => 0,
                // Acquire: before the second look. The first one, which acquires, comes before this: who sees what
                // `touch` has published sees the number that was changed before.
                Body::Dir(dir) => dir.subdirs.load(Ordering::Acquire).saturating_add(2),
                _ => 1,
            };
            let again = self.record(guard);
            if record.map(core::ptr::from_ref) == again.map(core::ptr::from_ref) {
                return (nlink, record);
            }
            record = again;
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
        debug_assert!(self.active.is_drained(), "{self:?} was dropped in use"); // invariant I5
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
                &format_args!("{:?}", self.link(&Memb::read_lock()).label),
            )
            .field("active", &self.active)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("has", &self.has)
            .field("size", &self.size)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::mode::SetAttr;
    use crate::root::Root;
    use crate::step::at_steps;

    #[test]
    fn stat_showed_the_time_of_an_entry_that_it_did_not_count() {
        let root = Root::new();
        let dir = root.create_dir("d", 0o755).unwrap();
        let mode = Some(0o700);
        dir.setattr(&SetAttr {
            mode,
            ..SetAttr::default()
        })
        .unwrap();
        let before = dir.stat();
        let parent = dir.clone();
        let mut made = false;
        let visit = move |_| {
            if !std::mem::replace(&mut made, true) {
                parent.create_dir("sub", 0o755).unwrap();
            }
        };
        let seen = at_steps(visit, || dir.stat());
        let after = dir.stat();
        assert_ne!((before.nlink, before.mtime), (after.nlink, after.mtime));
        assert!(seen == before || seen == after, "{seen:?}");
    }
}

//! Making nodes. The kernel's `kernfs_create_dir_ns`, `__kernfs_create_file`, `kernfs_create_link`,
//! `kernfs_create_empty_dir` and what they have in common, `kernfs_add_one`.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use urcu::Memb;

use crate::error::{Errno, Error, Result};
use crate::flags::RootFlags;
use crate::inner::{self, DirBody, Inner, Link as Place, New};
use crate::mode::{self, S_ISGID};
use crate::name::{self, Label};
use crate::node::{Dir, File, Link, Node};
use crate::ns::Ns;
use crate::ops::{AnyOps, Ops};
use crate::state::{ACTIVATED, EMPTY_DIR, REMOVING};

/// What a new node has beyond a name and a mode: an owner, a name space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Creation {
    owner: Option<(u32, u32)>,
    ns: Option<Ns>,
}

impl Creation {
    /// The tree's owner, no name space.
    pub const fn new() -> Self {
        Self {
            owner: None,
            ns: None,
        }
    }

    /// Belongs to this user and group. In a directory with the set-group-ID bit the group is the directory's, if that
    /// was ever given one.
    pub const fn owner(self, uid: u32, gid: u32) -> Self {
        Self {
            owner: Some((uid, gid)),
            ..self
        }
    }

    /// In this name space.
    pub const fn ns(self, ns: Ns) -> Self {
        Self {
            ns: Some(ns),
            ..self
        }
    }
}

impl Dir {
    /// Makes a directory.
    ///
    /// It can be used at once, unless the tree has [`RootFlags::CREATE_DEACTIVATED`]. If this directory has the
    /// set-group-ID bit the new one gets it too, and its group if it was ever given one.
    ///
    /// # Errors
    /// EINVAL or ENAMETOOLONG: a name that is empty, ".", "..", has a "/" or a NUL, or more than 4095
    /// bytes; a mode above 07777; entries of this directory have name spaces. EEXIST: the name is taken, be it by a
    /// node that is hidden, not activated or being removed. ENOENT: this directory is being removed, or stays empty.
    #[doc(alias = "kernfs_create_dir")]
    pub fn create_dir(&self, name: impl AsRef<[u8]>, mode: u32) -> Result<Self> {
        self.create_dir_with(name, mode, Creation::new())
    }

    /// The same with an owner or a name space.
    ///
    /// # Errors
    /// As [`create_dir`](Self::create_dir); EINVAL also if the node has a name space and the entries of this
    /// directory have none, or the other way round.
    #[doc(alias = "kernfs_create_dir_ns")]
    pub fn create_dir_with(
        &self,
        name: impl AsRef<[u8]>,
        mode: u32,
        with: Creation,
    ) -> Result<Self> {
        self.create(name.as_ref(), mode, with, 0, New::Dir)
            .map(Self)
    }

    /// Makes a directory that stays empty, mode 0555: a place to mount something on. Nothing can be added (ENOENT), its
    /// attributes do not change (EPERM), and it has no extended ones (EOPNOTSUPP).
    ///
    /// # Errors
    /// As [`create_dir`](Self::create_dir).
    #[doc(alias = "kernfs_create_empty_dir")]
    #[doc(alias = "sysfs_create_mount_point")]
    pub fn create_empty_dir(&self, name: impl AsRef<[u8]>) -> Result<Self> {
        let with = Creation::new();
        self.create(name.as_ref(), 0o555, with, EMPTY_DIR, New::Dir)
            .map(Self)
    }

    /// Whether it is one of [`create_empty_dir`](Self::create_empty_dir).
    pub fn stays_empty(&self) -> bool {
        self.0.0.state.has(EMPTY_DIR)
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
        self.create_file_with(name, mode, size, ops, Creation::new())
    }

    /// The same with an owner or a name space.
    ///
    /// # Errors
    /// As [`create_file`](Self::create_file) and [`create_dir_with`](Self::create_dir_with).
    #[doc(alias = "__kernfs_create_file")]
    #[doc(alias = "kernfs_create_file_ns")]
    pub fn create_file_with(
        &self,
        name: impl AsRef<[u8]>,
        mode: u32,
        size: u64,
        ops: impl Ops,
        with: Creation,
    ) -> Result<File> {
        self.create_any(name.as_ref(), mode, size, ops.into_shared().0, with)
    }

    pub(crate) fn create_any(
        &self,
        name: &[u8],
        mode: u32,
        size: u64,
        ops: Arc<dyn AnyOps>,
        with: Creation,
    ) -> Result<File> {
        let size = mode::check_size(size)?;
        self.create(name, mode, with, 0, New::File { size, ops })
            .map(File)
    }

    /// Makes a symbolic link to another node of the tree. It belongs to whom the target belongs; in a directory with
    /// name spaces it is in the target's.
    ///
    /// # Errors
    /// As [`create_dir`](Self::create_dir); EINVAL also if the target is the root or a node of another
    /// tree, or has no name space and the entries of this directory have; ENOENT if the target is being removed.
    #[doc(alias = "kernfs_create_link")]
    pub fn create_link(&self, name: impl AsRef<[u8]>, target: &Node) -> Result<Link> {
        if !Arc::ptr_eq(&target.0.tree, &self.0.0.tree) {
            return Err(target.error(Errno::EINVAL, "link into another tree, target is the node"));
        }
        if target.parent().is_none() {
            return Err(target.error(Errno::EINVAL, "link to the root, that is the parent"));
        }
        if target.0.state.has(REMOVING) {
            return Err(target.error(Errno::ENOENT, "link to a removed node, removal"));
        }
        let guard = Memb::read_lock();
        let record = target.0.record(&guard);
        let with = Creation {
            owner: record.map(|record| (record.uid, record.gid)),
            ns: self.0.0.tag(target.ns()),
        };
        drop(guard);
        let new = New::Link(Arc::clone(&target.0));
        self.create(name.as_ref(), inner::LINK_MODE, with, 0, new)
            .map(Link)
    }

    fn create(&self, name: &[u8], mode: u32, with: Creation, state: u32, new: New) -> Result<Node> {
        name::check(name)?;
        let mode = mode::check(mode)?;
        let label = Label::new(name, with.ns)?;
        let parent = &self.0.0;
        let node = self.add(label, mode, with, state, new)?;
        parent.tree.queue.tell(|watch| watch.added(parent.id, name));
        Ok(Node(node))
    }

    /// If it fails, the caller's object in `new` is dropped with the tree lock given back (a parameter outlives what is
    /// in the body): its drop is the caller's code.
    fn add(
        &self,
        label: Label,
        mut mode: u32,
        with: Creation,
        mut state: u32,
        new: New,
    ) -> Result<Arc<Inner>> {
        let parent = &self.0.0;
        let tree = &parent.tree;
        let mut locked = tree.write("create")?;
        let dir = may_add(parent, &label)?;
        let full = |_| Error::from(Errno::ENOMEM);
        let reservation = tree.ids.reserve().map_err(full)?;
        let id = reservation.id().raw();
        let mut owner = with.owner;
        let is_dir = matches!(new, New::Dir);
        if parent.mode() & S_ISGID != 0 {
            if is_dir {
                mode |= S_ISGID;
            }
            if let Some(record) = parent.record(&Memb::read_lock()) {
                let uid = owner.map_or(tree.uid, |(uid, _)| uid);
                owner = Some((uid, record.gid));
            }
        }
        let key = inner::key(label.hash(), id);
        let place = Place {
            parent: Some(Arc::clone(parent)),
            label,
        };
        // Active before it is seen: no lookup finds a node that is not there yet.
        if !tree.flags.contains(RootFlags::CREATE_DEACTIVATED) {
            state |= ACTIVATED;
        }
        let spare = locked.take_spare();
        let node = Inner::make(spare, tree, id, mode, place, new, state);
        if let Some((uid, gid)) = owner.filter(|owner| *owner != (tree.uid, tree.gid)) {
            let changed = node.update(|record| {
                (record.uid, record.gid) = (uid, gid);
                Ok(())
            });
            if let Err(error) = changed {
                node.active.deactivate();
                drop(locked);
                return Err(error);
            }
        }
        dir.children
            .insert(key, Arc::clone(&node), &Memb::read_lock());
        reservation.publish(Arc::clone(&node));
        dir.revision.fetch_add(1, Ordering::Release);
        if is_dir {
            dir.subdirs.fetch_add(1, Ordering::Relaxed);
        }
        parent.touch();
        Ok(node)
    }
}

/// The body of a directory, if an entry of this name may be added. Tree lock held.
pub(crate) fn may_add<'p>(parent: &'p Arc<Inner>, label: &Label) -> Result<&'p DirBody> {
    let refuse = |errno, text: &str| {
        let what = format!("\"{}\" {text}", label.name().escape_ascii());
        Err(crate::path::error(errno, &what, parent))
    };
    let Some(dir) = parent.dir() else {
        return refuse(Errno::ENOTDIR, "below");
    };
    if parent.is_namespaced() != label.ns().is_some() {
        let text = match label.ns() {
            Some(_) => "with a name space in a directory without,",
            None => "without a name space in a directory with,",
        };
        return refuse(Errno::EINVAL, text);
    }
    if parent.state.has(REMOVING) {
        return refuse(Errno::ENOENT, "in a directory that is being removed,");
    }
    if parent.state.has(EMPTY_DIR) {
        return refuse(Errno::ENOENT, "in a directory that stays empty,");
    }
    let guard = Memb::read_lock();
    match parent.entry(label.name(), label.ns(), &guard) {
        None => Ok(dir),
        Some(_) => refuse(Errno::EEXIST, "in the directory"),
    }
}

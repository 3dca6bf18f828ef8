//! What mkdir(2), rmdir(2) and rename(2) mean in a tree: what its owner says. The kernel's `kernfs_syscall_ops`.

use core::iter;
use core::panic::Location;
use std::sync::Arc;

use urcu::Memb;

use crate::active::Active;
use crate::cred::Caller;
use crate::cx::{Cx, SyscallCx};
use crate::error::{Errno, Result};
use crate::flags::RootFlags;
use crate::held::{self, Held};
use crate::inner::Inner;
use crate::mode;
use crate::name;
use crate::node::{Dir, Node};
use crate::ops::guarded;
use crate::path;
use crate::root::Root;
use crate::slow::Op;
use crate::tree::Syscalls;

/// What users may change in a tree by system calls. By default nothing: EPERM, as in sysfs; cgroup has the first two.
///
/// Each runs under active references of the nodes that it is given: their removal waits for it. So a call that removes
/// its own node, or takes a lock whose holder removes nodes, gives its protection up first. A call may do anything; the
/// node that it makes need not be the one that was asked for. A panic is EIO.
///
/// May hold handles of its own tree: removal of the root directory drops it, after the drain, unless a call runs still
/// that gave its protection up (then the end of that call does).
///
/// ```
/// use kernfs::{Dir, Node, Result, Root, RootFlags, SyscallCx, SyscallOps};
///
/// struct Groups;
///
/// impl SyscallOps for Groups {
///     fn mkdir(&self, _: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
///         parent.create_dir(name, mode).map(drop)
///     }
///     fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
///         let _unprotected = cx.break_protection();
///         dir.remove()
///     }
/// }
///
/// let root = Root::with_ops(RootFlags::NONE, Groups);
/// root.user_mkdir("group", 0o755)?;
/// let group = root.find("group").and_then(|n| n.as_dir()).unwrap();
/// group.user_rmdir()?;
/// assert_eq!(root.find("group"), None);
/// # Ok::<(), kernfs::Error>(())
/// ```
#[doc(alias = "kernfs_syscall_ops")]
pub trait SyscallOps: Send + Sync + 'static {
    /// A user wants a directory `name` in `parent`.
    ///
    /// # Errors
    /// What the user gets.
    fn mkdir(&self, cx: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        let _ = (cx, parent, name, mode);
        Err(Errno::EPERM.into())
    }

    /// A user wants `dir` to go.
    ///
    /// # Errors
    /// What the user gets.
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        let _ = (cx, dir);
        Err(Errno::EPERM.into())
    }

    /// A user wants `node` to be `name` in `parent`.
    ///
    /// # Errors
    /// What the user gets.
    fn rename(&self, cx: &mut SyscallCx<'_>, node: &Node, parent: &Dir, name: &[u8]) -> Result<()> {
        let _ = (cx, node, parent, name);
        Err(Errno::EPERM.into())
    }
}

/// From nodes to handles.
struct Owner<O>(O);

fn dir(node: &Arc<Inner>) -> Dir {
    Dir(Node(Arc::clone(node)))
}

impl<O: SyscallOps> Syscalls<Inner> for Owner<O> {
    fn mkdir(
        &self,
        cx: &mut SyscallCx<'_>,
        parent: &Arc<Inner>,
        name: &[u8],
        mode: u32,
    ) -> Result<()> {
        self.0.mkdir(cx, &dir(parent), name, mode)
    }

    fn rmdir(&self, cx: &mut SyscallCx<'_>, node: &Arc<Inner>) -> Result<()> {
        self.0.rmdir(cx, &dir(node))
    }

    fn rename(
        &self,
        cx: &mut SyscallCx<'_>,
        node: &Arc<Inner>,
        parent: &Arc<Inner>,
        name: &[u8],
    ) -> Result<()> {
        self.0
            .rename(cx, &Node(Arc::clone(node)), &dir(parent), name)
    }
}

impl Root {
    /// An empty tree in which users may change what `ops` let them.
    #[doc(alias = "kernfs_create_root")]
    pub fn with_ops(flags: RootFlags, ops: impl SyscallOps) -> Self {
        Self::build(flags, Some(Box::new(Owner(ops))))
    }
}

impl Dir {
    /// mkdir(2) of a user: runs the owner's [`SyscallOps::mkdir`].
    ///
    /// # Errors
    /// EPERM: the tree has no [`SyscallOps`]. EAGAIN: that were more nodes, or a deeper tree, than
    /// [`Root::set_limits`] lets users make. ENODEV: this directory is not active. EINVAL, ENAMETOOLONG: a name or mode
    /// that is none. EIO: the callback panicked. And what it returns.
    #[doc(alias = "kernfs_iop_mkdir")]
    #[track_caller]
    pub fn user_mkdir(&self, name: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        self.user_mkdir_with(name, mode, Caller::default())
    }

    /// The same, on behalf of somebody.
    ///
    /// # Errors
    /// As [`user_mkdir`](Self::user_mkdir).
    #[track_caller]
    pub fn user_mkdir_with<'a>(
        &'a self,
        name: impl AsRef<[u8]>,
        mode: u32,
        caller: impl Into<Caller<'a>>,
    ) -> Result<()> {
        let (node, name) = (&self.0.0, name.as_ref());
        name::check(name)?;
        let mode = mode::check(mode)?;
        let tree = &node.tree;
        if tree.has_syscalls() {
            tree.limits.check_nodes(tree.live_nodes())?;
            check_depth("mkdir", node, 1)?;
        }
        let call = Call::new(Op::Mkdir, [node, node], caller.into(), Location::caller());
        call.run(|ops, cx| ops.mkdir(cx, node, name, mode))
    }

    /// rmdir(2) of a user: runs the owner's [`SyscallOps::rmdir`].
    ///
    /// # Errors
    /// As [`user_mkdir`](Self::user_mkdir).
    #[doc(alias = "kernfs_iop_rmdir")]
    #[track_caller]
    pub fn user_rmdir(&self) -> Result<()> {
        self.user_rmdir_with(Caller::default())
    }

    /// The same, on behalf of somebody.
    ///
    /// # Errors
    /// As [`user_mkdir`](Self::user_mkdir).
    #[track_caller]
    pub fn user_rmdir_with<'a>(&'a self, caller: impl Into<Caller<'a>>) -> Result<()> {
        let node = &self.0.0;
        let call = Call::new(Op::Rmdir, [node, node], caller.into(), Location::caller());
        call.run(|ops, cx| ops.rmdir(cx, node))
    }
}

impl Node {
    /// rename(2) of a user: runs the owner's [`SyscallOps::rename`].
    ///
    /// # Errors
    /// As [`Dir::user_mkdir`], but for the number of nodes; ENODEV also if the new directory is not active, EINVAL if it is in another tree.
    #[doc(alias = "kernfs_iop_rename")]
    #[track_caller]
    pub fn user_rename(&self, parent: &Dir, name: impl AsRef<[u8]>) -> Result<()> {
        self.user_rename_with(parent, name, Caller::default())
    }

    /// The same, on behalf of somebody.
    ///
    /// # Errors
    /// As [`user_rename`](Self::user_rename).
    #[track_caller]
    pub fn user_rename_with<'a>(
        &'a self,
        parent: &Dir,
        name: impl AsRef<[u8]>,
        caller: impl Into<Caller<'a>>,
    ) -> Result<()> {
        let (node, parent, name) = (&self.0, &parent.0.0, name.as_ref());
        name::check(name)?;
        if !Arc::ptr_eq(&node.tree, &parent.tree) {
            return Err(path::error(Errno::EINVAL, "rename into another tree", node));
        }
        if node.tree.has_syscalls() {
            check_depth("rename", parent, height(node))?;
        }
        let call = Call::new(
            Op::Rename,
            [node, parent],
            caller.into(),
            Location::caller(),
        );
        call.run(|ops, cx| ops.rename(cx, node, parent, name))
    }
}

/// Whether users may bring directories `levels` below `dir`.
fn check_depth(op: &str, dir: &Arc<Inner>, levels: usize) -> Result<()> {
    let Some(most) = dir.tree.limits.depth().map(|most| most as usize) else {
        return Ok(());
    };
    let guard = Memb::read_lock();
    let above = iter::successors(dir.parent(&guard), |dir| dir.parent(&guard));
    let depth = above.take(most).count().saturating_add(levels);
    match levels > 0 && depth > most {
        true => Err(path::error(
            Errno::EAGAIN,
            &format!("{op} to more than {most} levels, in the directory"),
            dir,
        )),
        false => Ok(()),
    }
}

/// How many levels of directories a node has, itself counted.
fn height(node: &Arc<Inner>) -> usize {
    if node.tree.limits.depth().is_none() {
        return 0; // nobody wants to know
    }
    let mut height = 0;
    let mut level: Vec<_> = node.dir().map(|_| Arc::clone(node)).into_iter().collect();
    // Level by level. No recursion: trees may be deeper than stacks.
    while !level.is_empty() {
        height += 1;
        let mut below = Vec::new();
        for dir in level.iter().filter_map(|member| member.dir()) {
            // A section for each directory: the tree may be large.
            let guard = Memb::read_lock();
            let children = dir.children.iter(&guard);
            let dirs = children.filter(|(_, child)| child.dir().is_some());
            below.extend(dirs.map(|(_, child)| child.get()));
        }
        level = below;
    }
    height
}

/// One call of the owner's object.
#[derive(Clone, Copy)]
struct Call<'a> {
    op: Op,
    /// Which may be the same.
    nodes: [&'a Arc<Inner>; 2],
    caller: Caller<'a>,
    place: &'static Location<'static>,
}

impl<'a> Call<'a> {
    fn new(
        op: Op,
        nodes: [&'a Arc<Inner>; 2],
        caller: Caller<'a>,
        place: &'static Location<'static>,
    ) -> Self {
        Self {
            op,
            nodes,
            caller,
            place,
        }
    }

    /// Runs the callback under an active reference of each of the nodes.
    fn run(
        self,
        run: impl FnOnce(&dyn Syscalls<Inner>, &mut SyscallCx<'_>) -> Result<()>,
    ) -> Result<()> {
        let [node, _] = self.nodes;
        if !node.tree.has_syscalls() {
            return Err(path::error(Errno::EPERM, self.op.name(), node));
        }
        let mut ops = None;
        let result = self.protected(&mut ops, run);
        // If the root was removed meanwhile, what the owner's object captured dies here: no reference is held any more.
        let _ = guarded("drop of the callbacks", &**node, || drop(ops));
        result
    }

    /// The same. Leaves the callbacks in `used`, to be dropped when the references are not held any more.
    fn protected(
        self,
        used: &mut Option<Arc<dyn Syscalls<Inner>>>,
        run: impl FnOnce(&dyn Syscalls<Inner>, &mut SyscallCx<'_>) -> Result<()>,
    ) -> Result<()> {
        let [node, other] = self.nodes;
        let gone = |node: &Arc<Inner>| path::error(Errno::ENODEV, self.op.name(), node);
        node.tree.check(self.op.name())?;
        let first = node.active.get().ok_or_else(|| gone(node))?;
        let second: Option<Active<'_>> = match Arc::ptr_eq(node, other) {
            true => None,
            false => Some(other.active.get().ok_or_else(|| gone(other))?),
        };
        // They are taken out after the drain of all nodes, so who holds a reference finds them.
        *used = node.tree.syscalls();
        let ops = used.as_deref().ok_or_else(|| gone(node))?;
        let held = |node: &Arc<Inner>| Held {
            node: node.address(),
            file: 0, // none
            op: self.op,
            place: self.place,
            given_up: false,
        };
        let _scope = held::enter(held(node));
        let _scope = second.as_ref().map(|_| held::enter(held(other)));
        let mut cx = SyscallCx {
            active: [Some(&first), second.as_ref()],
            caller: self.caller,
        };
        guarded(self.op.name(), &**node, || run(ops, &mut cx))?
    }
}

// A context is for the thread that runs the callback: what a thread is inside of goes by threads.
static_assertions::assert_not_impl_any!(Cx<'static>: Send, Sync);
static_assertions::assert_not_impl_any!(SyscallCx<'static>: Send, Sync);

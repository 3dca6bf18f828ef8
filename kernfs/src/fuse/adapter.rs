//! What each operation of the mount means in the tree. Plain values in and out: it knows no transport, so
//! its tests are function calls.
//!
//! The rule for removed nodes makes the answers exact whatever the kernel has cached: LOOKUP and OPEN
//! answer ESTALE, at which the VFS walks the path again without its cache; I/O through an old descriptor
//! answers ENODEV (the open file does that itself). Where a second ESTALE would reach the client the answer
//! is ENOENT ([`super::retry`]). Who opens a removed node by a descriptor he has gets what a removed node has to say.
//! What is done to attributes stands in [`super::attributes`].
//!
//! Left out: mmap, which the kernel does not hand on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::abi;
use super::handles::{Handle, Handles};
use super::retry::Retries;
use super::table::{News, NodeTable};
use crate::cred::{Caller, Cred};
use crate::error::Errno;
use crate::flags::{Has, OpenFlags, PollFlags};
use crate::mode::{Kind, Stat};
use crate::node::{Dir, Node};
use crate::ns::Ns;
use crate::readdir::{EntryRef, Listing};
use crate::step::step;
use crate::sys::mounting as sys;

/// The tree as one mount sees it.
#[derive(Debug)]
pub(super) struct Adapter {
    root: Dir,
    /// What is seen of directories with name spaces; `None`: nothing.
    ns: Option<Ns>,
    nodes: Arc<NodeTable>,
    handles: Handles,
    retries: Retries,
    stale: Mutex<Vec<News>>,
    /// Whether there are; stored with the lock.
    has_stale: AtomicBool,
    /// The listener of this mount; see [`told_by`](Self::told_by).
    listener: OnceLock<Weak<dyn Send + Sync>>,
}

/// Directory offsets of "." and ".."; the tree's own keys are larger.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;

/// Entries that are copied out of the tree at once.
const BATCH: usize = 128;

impl Adapter {
    pub(super) fn new(root: Dir, ns: Option<Ns>) -> Self {
        Self {
            root,
            ns,
            nodes: Arc::default(),
            handles: Handles::default(),
            retries: Retries::default(),
            stale: Mutex::default(),
            has_stale: AtomicBool::new(false),
            listener: OnceLock::new(),
        }
    }

    /// The listener that tells the kernel of this mount.
    pub(super) fn told_by<L: Send + Sync + 'static>(&self, listener: &Arc<L>) {
        // Weak: while we may compare its address nobody else's has it, also after the end of the mount.
        let listener: Weak<L> = Arc::downgrade(listener);
        let _ = self.listener.set(listener); // once
    }

    /// Its address.
    pub(super) fn listener(&self) -> usize {
        self.listener
            .get()
            .map_or(0, |listener| listener.as_ptr().cast::<()>().addr())
    }

    /// What the kernel knows.
    pub(super) fn nodes(&self) -> Arc<NodeTable> {
        Arc::clone(&self.nodes)
    }

    /// The name space to look into a directory by.
    fn ns_of(&self, dir: &Dir) -> Option<Ns> {
        self.ns.filter(|_| dir.is_namespaced())
    }

    fn live_child(&self, dir: &Dir, name: &[u8]) -> Option<Node> {
        dir.find_ns(name, self.ns_of(dir)).filter(Node::is_active)
    }

    pub(super) fn node(&self, id: u64) -> Result<Node, Errno> {
        if id == abi::ROOT_ID {
            return Ok((*self.root).clone());
        }
        self.nodes.get(id).ok_or(Errno::ESTALE)
    }

    /// The errno for a removed node that client `who` asks about by a path. ESTALE makes the VFS look the
    /// path up afresh, once; it is not worth that where the name is plainly gone.
    pub(super) fn removed(&self, who: u32, node: &Node) -> Errno {
        match node.parent() {
            Some(parent)
                if parent.is_active() && self.live_child(&parent, &node.name()).is_none() =>
            {
                Errno::ENOENT
            }
            _ => self.gone(who, node),
        }
    }

    fn gone(&self, who: u32, node: &Node) -> Errno {
        let dir = node.parent().map(|dir| dir.id());
        self.retries.gone(who, node.id(), dir)
    }

    /// The result of a request that only ever is the last one of a client's walk.
    pub(super) fn ended<T>(&self, who: u32, result: Result<T, Errno>) -> Result<T, Errno> {
        if !matches!(result, Err(Errno::ESTALE)) {
            self.retries.over(who);
        }
        result
    }

    fn stale(&self) -> MutexGuard<'_, Vec<News>> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_stale(&self, news: News) {
        let mut stale = self.stale();
        stale.push(news);
        self.has_stale.store(true, Ordering::Relaxed);
    }

    /// Names that were entered for lookups which found them gone: for whoever has done one.
    pub(super) fn take_stale(&self) -> Vec<News> {
        // Relaxed: who has put something there reads his own store. The others leave it to him.
        match self.has_stale.load(Ordering::Relaxed) {
            false => Vec::new(),
            true => {
                let mut stale = self.stale();
                self.has_stale.store(false, Ordering::Relaxed);
                std::mem::take(&mut *stale)
            }
        }
    }

    /// LOOKUP: counts one lookup of what it found, to be given back by [`forget`](Self::forget).
    pub(super) fn lookup(&self, who: u32, parent: u64, name: &[u8]) -> Result<Stat, Errno> {
        if name == b"." || name == b".." {
            return self.connect(parent, name == b"..");
        }
        let parent = self.node(parent)?;
        let dir = parent.as_dir().ok_or(Errno::ENOTDIR)?;
        while let Some(node) = self.live_child(&dir, name) {
            step("found");
            // In this order: whoever changes it, or takes the name from it, after the second look finds it known, and
            // tells the kernel.
            self.nodes.remember(&node, dir.id(), name);
            step("remembered");
            if self.live_child(&dir, name).as_ref() != Some(&node) {
                self.forget(node.id(), 1);
                // Its name stays entered, for a LOOKUP beside this one may have answered by it: to be told as if the
                // news of the change came now.
                self.put_stale(News::Entry {
                    parent: dir.id(),
                    name: name.into(),
                    node: node.id(),
                });
                continue;
            }
            let stat = node.stat();
            self.retries.looked_up(who, dir.id(), name, Some(stat.id));
            return Ok(stat);
        }
        if parent.is_active() {
            self.retries.looked_up(who, dir.id(), name, None);
            return Err(Errno::ENOENT);
        }
        let errno = self.removed(who, &parent);
        if errno == Errno::ENOENT {
            // The kernel remembers that there is no such name, and with that the directory, for as long as it has memory.
            self.put_stale(News::Missing {
                parent: dir.id(),
                name: name.into(),
            });
        }
        Err(errno)
    }

    /// LOOKUP of "." and "..": the kernel has nothing but the id, out of a file handle, and wants the node or the
    /// directory that it is in.
    fn connect(&self, id: u64, above: bool) -> Result<Stat, Errno> {
        let node = match id {
            abi::ROOT_ID => (*self.root).clone(),
            id => self.root.by_id(id).ok_or(Errno::ESTALE)?,
        };
        let node = match above {
            true => node.parent().map_or(node, Node::from),
            false => node,
        };
        if !self.shows(&node) {
            return Err(Errno::ESTALE); // by a handle from another mount
        }
        if node.id() != abi::ROOT_ID {
            self.nodes.remember_nameless(&node);
        }
        let stat = node.stat(); // after that: a change from here on is told
        Ok(stat)
    }

    /// Whether the name space of this mount has it.
    fn shows(&self, node: &Node) -> bool {
        let mut node = node.clone();
        while let Some(dir) = node.parent() {
            if dir.is_namespaced() && node.ns() != self.ns {
                return false;
            }
            node = dir.into();
        }
        true
    }

    /// FORGET, and the undoing of a lookup whose reply nobody took.
    pub(super) fn forget(&self, id: u64, count: u64) {
        if id != abi::ROOT_ID {
            self.nodes.forget(id, count);
        }
    }

    /// GETATTR. A removed node has attributes as long as the kernel knows it: it may ask for a descriptor (also by O_PATH,
    /// of which we do not hear), or for a permission when a walk is over, and then it does not walk again at ESTALE. Who
    /// comes by a name sees it until the kernel is told, as he does what the kernel has cached.
    pub(super) fn getattr(&self, id: u64) -> Result<Stat, Errno> {
        Ok(self.node(id)?.stat()) // perhaps for a permission on the way of a walk, so it does not end it
    }

    /// The errno for a removed node that client `who` opens; `None` if he does by a descriptor, not by a name, and so gets
    /// what the node itself has to say. To tell, the first walk is answered ESTALE.
    fn opens_removed(&self, who: u32, node: &Node) -> Option<Errno> {
        match self.retries.walks_again(who) {
            Some(from) if from == Some(node.id()) => None,
            None if self.handles.is_open(node.id()) => Some(self.gone(who, node)),
            _ => Some(self.removed(who, node)),
        }
    }

    /// Whether a node's attributes may be asked for and changed: also when it is removed, while somebody has it open.
    pub(super) fn is_usable(&self, id: u64, node: &Node) -> bool {
        node.is_active() || self.handles.is_open(id)
    }

    /// READLINK: the text as of now.
    pub(super) fn readlink(&self, who: u32, id: u64) -> Result<Vec<u8>, Errno> {
        let node = self.node(id)?;
        let link = node.as_link().ok_or(Errno::EINVAL)?;
        if !node.is_active() {
            return Err(self.removed(who, &node));
        }
        link.readlink().map_err(|error| error.errno())
    }

    fn dir(&self, id: u64) -> Result<Dir, Errno> {
        self.node(id)?.as_dir().ok_or(Errno::ENOTDIR)
    }

    /// What `who` means by a name that the kernel has found in a directory.
    fn named(&self, who: u32, parent: u64, name: &[u8]) -> Result<Node, Errno> {
        let dir = self.dir(parent)?;
        self.live_child(&dir, name)
            .ok_or_else(|| match dir.is_active() {
                true => Errno::ENOENT,
                // There may be another directory in its place by now.
                false => self.removed(who, &dir),
            })
    }

    /// What a callback of the tree's owner said to `who`, about these nodes.
    fn said(&self, who: u32, result: crate::Result<()>, nodes: &[&Node]) -> Result<(), Errno> {
        result.map_err(|error| {
            let gone = nodes.iter().find(|node| !node.is_active());
            // ENODEV: before the callback. ENOENT: the tree said so to the callback, which had given its protection up.
            match gone.filter(|_| matches!(error.errno(), Errno::ENODEV | Errno::ENOENT)) {
                Some(node) => self.removed(who, node),
                None => error.errno(),
            }
        })
    }

    /// MKDIR: counts a lookup of what the callback made. ENOENT if that was not what was asked for.
    pub(super) fn mkdir(
        &self,
        who: u32,
        (parent, name): (u64, &[u8]),
        mode: u32,
        caller: Caller<'_>,
    ) -> Result<Stat, Errno> {
        let dir = self.dir(parent)?;
        // Also where nobody may make any: that it is gone comes before what may be done in it.
        let made = match dir.is_active() {
            true => self.said(who, dir.user_mkdir_with(name, mode, caller), &[&dir]),
            false => Err(self.removed(who, &dir)),
        };
        let result = made.and_then(|()| {
            let stat = self.lookup(who, parent, name)?;
            if stat.kind != Kind::Dir {
                // The kernel refuses it, and will not give the lookup back.
                self.forget(stat.id, 1);
                return Err(Errno::ENOENT);
            }
            Ok(stat)
        });
        self.ended(who, result)
    }

    /// RMDIR.
    pub(super) fn rmdir(
        &self,
        who: u32,
        (parent, name): (u64, &[u8]),
        caller: Caller<'_>,
    ) -> Result<(), Errno> {
        let result = self.named(who, parent, name).and_then(|node| {
            let dir = node.as_dir().ok_or(Errno::ENOTDIR)?;
            self.said(who, dir.user_rmdir_with(caller), &[&dir])
        });
        self.ended(who, result)
    }

    /// RENAME, of what has a name in a directory to a name in a directory.
    pub(super) fn rename(
        &self,
        who: u32,
        (parent, name): (u64, &[u8]),
        (new_parent, new_name): (u64, &[u8]),
        caller: Caller<'_>,
    ) -> Result<(), Errno> {
        let result = self.named(who, parent, name).and_then(|node| {
            let to = self.dir(new_parent)?;
            let result = node.user_rename_with(&to, new_name, caller);
            self.said(who, result, &[&node, &to])
        });
        self.ended(who, result)
    }

    /// OPEN: returns the fh. Runs the file's `open` callback.
    pub(super) fn open(&self, cred: Cred, id: u64, flags: u32) -> Result<u64, Errno> {
        let who = cred.pid;
        let node = self.node(id)?;
        let file = node.as_file().ok_or(Errno::EINVAL)?;
        let flags = flags.cast_signed();
        let access = match flags & sys::O_ACCMODE {
            sys::O_RDONLY => OpenFlags::READ,
            sys::O_WRONLY => OpenFlags::WRITE,
            sys::O_RDWR => OpenFlags::RDWR,
            _ => OpenFlags::NONE, // for ioctl only
        };
        let result = if flags & sys::O_DIRECT != 0 {
            Err(Errno::EINVAL)
        } else {
            match file.open_admitted(access, cred) {
                Ok(file) => {
                    if flags & sys::O_TRUNC != 0 {
                        node.was_truncated(self.listener());
                    }
                    Ok(self.handles.insert(id, node, Some(file)))
                }
                Err(_) if !node.is_active() => {
                    Err(self.opens_removed(who, &node).unwrap_or(Errno::ENODEV))
                }
                Err(error) => Err(error.errno()),
            }
        };
        self.ended(who, result)
    }

    /// Whether callbacks of this node say that they may wait for long.
    pub(super) fn may_block(&self, id: u64) -> bool {
        let file = self.node(id).ok().and_then(|node| node.as_file());
        file.is_some_and(|file| file.has().contains(Has::MAY_BLOCK))
    }

    fn handle(&self, fh: u64) -> Result<Arc<Handle>, Errno> {
        // Only a reply that was never delivered leads here, or a confused kernel.
        self.handles.get(fh).ok_or(Errno::EBADF)
    }

    /// READ. Runs callbacks.
    pub(super) fn read(
        &self,
        fh: u64,
        offset: u64,
        out: &mut [u8],
        caller: Caller<'_>,
    ) -> Result<usize, Errno> {
        let handle = self.handle(fh)?;
        let file = handle.file.as_ref().ok_or(Errno::EISDIR)?;
        file.read_at_with(out, offset, caller)
            .map_err(|error| error.errno())
    }

    /// READ for the page cache: as many reads as it takes, since the kernel takes a short answer for the end of the file.
    pub(super) fn fill(
        &self,
        fh: u64,
        offset: u64,
        out: &mut [u8],
        caller: Caller<'_>,
    ) -> Result<usize, Errno> {
        let mut len = 0;
        while let Some(rest) = out.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match self.read(fh, offset + len as u64, rest, caller)? {
                0 => break,
                more => len += more,
            }
        }
        Ok(len)
    }

    /// WRITE. Runs callbacks.
    pub(super) fn write(
        &self,
        fh: u64,
        offset: u64,
        data: &[u8],
        caller: Caller<'_>,
    ) -> Result<usize, Errno> {
        let handle = self.handle(fh)?;
        let file = handle.file.as_ref().ok_or(Errno::EISDIR)?;
        if data.len() > abi::WHOLE_WRITE && file.atomic_write_len > 0 {
            return Err(Errno::E2BIG); // there may be more of it to come
        }
        file.write_at_with(data, offset, caller)
            .map_err(|error| error.errno())
    }

    /// POLL: with a `kh` the next notify wakes it. Runs the `poll` callback.
    pub(super) fn poll(&self, fh: u64, kh: Option<u64>) -> Result<PollFlags, Errno> {
        let handle = self.handle(fh)?;
        let file = handle.file.as_ref().ok_or(Errno::EISDIR)?;
        if let Some(kh) = kh {
            handle.arm(kh); // before the look at the event: see there
        }
        // To a client the dead are ready for the same as what changed; 16 bits say no more.
        Ok(match file.poll() {
            PollFlags::DEAD => PollFlags::CHANGED,
            ready => ready,
        })
    }

    /// The poll handles to wake for a notified file, each once.
    pub(super) fn waiting(&self, id: u64) -> Vec<u64> {
        self.handles.take_waiting(id)
    }

    /// OPENDIR: returns the fh. The listing itself keeps no state, its offsets are the tree's keys.
    pub(super) fn opendir(&self, who: u32, id: u64) -> Result<u64, Errno> {
        let node = self.node(id)?;
        if node.as_dir().is_none() {
            return Err(Errno::ENOTDIR);
        }
        let refused = match node.is_active() {
            true => None,
            false => self.opens_removed(who, &node),
        };
        let result = match refused {
            Some(errno) => Err(errno),
            None => Ok(self.handles.insert(id, node, None)),
        };
        self.ended(who, result)
    }

    /// READDIR behind the offset `from`, until `emit` says that the reply is full. A removed directory has "." and
    /// ".." only. `batch` is memory, to be used again.
    pub(super) fn readdir(
        &self,
        fh: u64,
        mut from: u64,
        batch: &mut Listing,
        mut emit: impl FnMut(EntryRef<'_>) -> bool,
    ) -> Result<(), Errno> {
        let handle = self.handle(fh)?;
        let dir = handle.node.as_dir().ok_or(Errno::ENOTDIR)?;
        let parent = handle.node.parent();
        let above = parent.map_or(handle.id, |parent| parent.id());
        for (id, name, offset) in [(handle.id, &b"."[..], DOT), (above, b"..", DOT_DOT)] {
            let kind = Kind::Dir;
            let entry = EntryRef {
                name,
                id,
                kind,
                offset,
            };
            if from < offset && !emit(entry) {
                return Ok(());
            }
        }
        from = from.max(DOT_DOT);
        loop {
            dir.list(from, BATCH, self.ns_of(&dir), batch);
            if !batch.iter().all(&mut emit) {
                return Ok(());
            }
            from = batch.end();
            if batch.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// RELEASE and RELEASEDIR. Closes the file, which runs its `release` callback.
    pub(super) fn release(&self, fh: u64) {
        drop(self.handles.remove(fh));
    }

    /// Whether the kernel may have something cached about this node.
    pub(super) fn is_known(&self, id: u64) -> bool {
        id == abi::ROOT_ID || self.nodes.contains(id)
    }

    /// The directory through which the kernel may just be getting to know this node.
    pub(super) fn parent(&self, id: u64) -> Option<u64> {
        Some(self.nodes.get(id)?.parent()?.id())
    }

    /// The connection has ended: closes what is open, forgets what is known.
    pub(super) fn shut(&self) {
        self.handles.clear();
        self.nodes.clear();
    }
}

//! Open files: open, close, and the drain that ends them with their node.
//!
//! The kernel's fs/kernfs/file.c as the thread of April 2022 left it. The open node is published under the
//! node's hashed mutex and freed by RCU; nobody who holds an open file on its list needs either. What the
//! operations do stands in [`crate::file_ops`].

use core::ops::Deref;
use core::panic::Location;
use core::sync::atomic::{Ordering, fence};
use std::sync::{Arc, OnceLock};

use urcu::{Event, Memb, Retired, Writer};

use crate::active::Active;
use crate::bell;
use crate::cred::{Caller, Cred};
use crate::cx::Cx;
use crate::error::{Errno, Error, Result};
use crate::flags::{Has, OpenFlags, RootFlags};
use crate::held::{self, Held};
use crate::inner::{FileBody, Inner};
use crate::memory::Memory;
use crate::notify::User;
use crate::open_node::OpenNode;
use crate::opened::{Opened, Seat};
use crate::ops::guarded;
use crate::order;
use crate::path;
use crate::slow::Op;
use crate::step::step;

/// Longest read or write that is handed to a callback in one piece, unless `atomic_write_len` says more.
pub(crate) const PAGE: usize = 4096;

/// An open file.
///
/// Operations go through `&self` and may run on several threads; those that read or write one open file
/// take turns. Dropping it closes the file.
///
/// When the node is removed, removal waits for the operations that run and calls `release`; from then on
/// every operation answers ENODEV, and [`poll`](Self::poll) `IN|OUT|ERR|PRI`. Text that was buffered for
/// sequential reads is still given out before that.
#[derive(Debug)]
#[doc(alias = "kernfs_open_file")]
pub struct OpenFile {
    pub(crate) handle: Handle,
    pub(crate) atomic_write_len: usize,
    /// For `Read`, `Write` and `Seek`.
    pub(crate) position: u64,
    /// Set by the first task that waits.
    pub(crate) worker: OnceLock<User>,
}

fn gone(what: &str, node: &Arc<Inner>) -> Error {
    path::error(Errno::ENODEV, what, node)
}

/// The extra check of sysfs: also root may not open what cannot be read or written at all.
fn check_permission(node: &Arc<Inner>, file: &FileBody, flags: OpenFlags) -> Result<()> {
    let reads = Has::SHOW | Has::SEQ | Has::READ | Has::MMAP;
    let mode = node.mode();
    let writable = mode & 0o222 != 0 && file.has.intersects(Has::WRITE | Has::MMAP);
    let readable = mode & 0o444 != 0 && file.has.intersects(reads);
    if flags.contains(OpenFlags::WRITE) && !writable {
        return Err(path::error(Errno::EACCES, "open for writing", node));
    }
    if flags.contains(OpenFlags::READ) && !readable {
        return Err(path::error(Errno::EACCES, "open for reading", node));
    }
    Ok(())
}

/// The permission bits, for somebody else than this process.
fn check_mode(node: &Arc<Inner>, flags: OpenFlags, cred: &Cred) -> Result<()> {
    let stat = node.stat();
    let read = if flags.contains(OpenFlags::READ) {
        4
    } else {
        0
    };
    let write = if flags.contains(OpenFlags::WRITE) {
        2
    } else {
        0
    };
    if cred.allows(stat.mode, stat.uid, stat.gid, read | write) {
        return Ok(());
    }
    let what = format!("open as user {}, group {}", cred.uid, cred.gid);
    Err(path::error(Errno::EACCES, &what, node))
}

/// The buffer that an open file with [`Has::PREALLOC`] has for its reads and writes.
fn preallocate(node: &Arc<Inner>, has: Has, atomic_write_len: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    if has.contains(Has::PREALLOC) {
        if has.intersects(Has::SHOW | Has::SEQ) {
            return Err(path::error(
                Errno::EINVAL,
                "open with SHOW and PREALLOC",
                node,
            ));
        }
        let len = match atomic_write_len {
            0 => PAGE,
            len => len,
        };
        buffer.try_reserve_exact(len).map_err(|_| {
            let what = format!("open with a buffer of {len} bytes");
            path::error(Errno::ENOMEM, &what, node)
        })?;
        buffer.resize(len, 0);
    }
    Ok(buffer)
}

/// Who opens, and whether the permission bits say so.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opener {
    /// This process, which may do all.
    Process,
    /// Somebody, if the permission bits allow it.
    Checked(Cred),
    /// Somebody whom the kernel has checked for a mount.
    #[cfg_attr(not(feature = "fuse"), expect(dead_code, reason = "the mount's"))]
    Admitted(Cred),
}

/// `kernfs_fop_open`.
#[track_caller]
pub(crate) fn open(node: &Arc<Inner>, flags: OpenFlags, opener: Opener) -> Result<OpenFile> {
    let place = Location::caller();
    let Some(file) = node.file() else {
        return Err(path::error(Errno::EINVAL, "open", node));
    };
    node.tree.check("open")?;
    let active = node.active.get().ok_or_else(|| gone("open", node))?;
    if node.tree.flags.contains(RootFlags::EXTRA_OPEN_PERM_CHECK) {
        check_permission(node, file, flags)?;
    }
    let opener = match opener {
        Opener::Process => None,
        Opener::Checked(cred) => {
            check_mode(node, flags, &cred)?;
            Some(cred)
        }
        Opener::Admitted(cred) => Some(cred),
    };
    let place_taken = Taken::new(node)?;
    // Removal takes the ops after the drain, so they are there while we are active.
    let ops = file.ops().ok_or_else(|| gone("open", node))?;
    let scope = held::enter(Held {
        node: node.address(),
        file: 0, // not there yet
        op: Op::AtomicWriteLen,
        place,
        given_up: false,
    });
    let atomic_write_len = guarded("atomic_write_len", &**node, || ops.any_atomic_write_len())?;
    let prealloc = preallocate(node, file.has, atomic_write_len)?;
    scope.go_on(Op::Open);
    let mut cx = Cx {
        host: node,
        flags,
        opener,
        caller: opener.map_or_else(Caller::default, Caller::from),
        active: None,
    };
    let seat = Seat {
        flags,
        opener,
        has: file.has,
        prealloc,
    };
    let of = guarded("open", &**node, || ops.any_open(&mut cx, seat))??;
    drop(scope);
    // No drain came meanwhile, nor does one before we are done: it waits for us.
    let node = enlist(node, file, &of);
    drop(active);
    core::mem::forget(place_taken); // the handle's now
    Ok(OpenFile {
        handle: Handle { node, of, place },
        atomic_write_len,
        position: 0,
        worker: OnceLock::new(),
    })
}

/// A place among the open files of the tree.
struct Taken<'n>(&'n Inner);

impl<'n> Taken<'n> {
    fn new(node: &'n Inner) -> Result<Self> {
        let tree = &node.tree;
        tree.open_files.add(node.id, &tree.limits)?;
        Ok(Self(node))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.tree.open_files.remove(self.0.id);
    }
}

/// `kernfs_get_open_node`: puts the file among those of the node, whose open node is made if there is none. The result is
/// the handle's count of the node.
fn enlist(node: &Arc<Inner>, file: &FileBody, of: &Arc<Opened>) -> Kept {
    let mut slot = file.slot.lock();
    let idle = slot.take_idle(node.address());
    match file.open.get(&slot) {
        Some(on) => on.add(of),
        None => {
            let on = OpenNode::new();
            on.add(of);
            bell::hang(|| file.open.assign(&mut slot, on));
        }
    }
    drop(slot);
    let idle = idle.and_then(|idle| idle.downcast().ok());
    Kept(Some(idle.unwrap_or_else(|| Arc::clone(node))))
}

/// `kernfs_unlink_open_file`: takes the file off. The last one leaves the open node to who opens the file again, with its
/// own count of the node, and takes along the one that was left before.
fn delist(node: &mut Kept, of: &Arc<Opened>) {
    let Some(file) = node.file() else { return };
    step("to be taken off");
    let mut slot = file.slot.lock();
    // INVARIANT: 1.
    let on = file.open.get(&slot).expect("the file is open");
    on.remove(of);
    if !on.is_unused() {
        return;
    }
    // Who deactivates the node does so before he takes the mutex, and looks for what is left there: he comes before us,
    // or finds it.
    if node.active.is_active() {
        let idle = node.0.take().and_then(|node| slot.put_idle(node));
        let other = idle.and_then(|idle| idle.downcast::<Inner>().ok());
        let file = other.as_ref().and_then(|other| other.file());
        let retired = file.and_then(|file| unpublish(file, &mut slot));
        drop(slot);
        drop(retired);
        drop(other);
    } else {
        let retired = unpublish(file, &mut slot);
        drop(slot);
        drop(retired);
    }
}

/// Takes out an open node that nobody has open. RCU frees it when the caller drops it.
#[must_use = "to be dropped without the mutex"]
fn unpublish(file: &FileBody, writer: &mut Writer) -> Option<Retired<OpenNode>> {
    if let Some(on) = file.open.get(writer) {
        on.empty();
    }
    file.open.take(writer)
}

/// `kernfs_drain_open_files`: when this returns every mapping is dead and every open file released. The node
/// is deactivated and its operations are over, so no file comes to the list any more.
pub(crate) fn drain(node: &Arc<Inner>, place: &'static Location<'static>) {
    let Some(file) = node.file() else { return };
    if file.open.is_null() {
        // Pairs with the release of who has taken it out, the last close: what its `release` did comes before our
        // return. If it is not null yet, we wait for that close below.
        fence(Ordering::Acquire);
        return;
    }
    // Al Viro: nobody has to be lock-free because RCU lets others be so. With the mutex the pointer and
    // the list stand still. It is dropped for what takes long: `release`, and copying what was mapped. Meanwhile
    // the last file may take the open node along. No other one comes: nobody can begin to open a node that is being
    // drained.
    let mapped = {
        let mut writer = file.slot.lock();
        if let Some(idle) = writer.take_idle(node.address()) {
            let retired = unpublish(file, &mut writer);
            drop(writer);
            drop((retired, idle));
            return;
        }
        let guard = Memb::read_lock();
        let Some(on) = file.open.dereference(&guard) else {
            return;
        };
        on.begin_drain();
        // The memory, not the files: of those a count that goes last runs the user's code, see `give_up`.
        let mapped = match file.has.contains(Has::MMAP) {
            true => on.mapped(),
            false => Vec::new(),
        };
        drop(writer);
        // Who waits for a change looks whether the node was drained.
        on.bell.ring(&guard);
        mapped
    };
    mapped.iter().for_each(Memory::revoke);
    drop(mapped);
    if !file.has.contains(Has::RELEASE) {
        return;
    }
    loop {
        let claimed = {
            let writer = file.slot.lock();
            file.open.get(&writer).and_then(OpenNode::claim_next)
        };
        match claimed {
            Some(of) => {
                of.run_release(node, place);
                give_up(node, of);
            }
            None => break,
        }
    }
    // What a close or another drain has claimed.
    let files = {
        let writer = file.slot.lock();
        file.open.get(&writer).map(OpenNode::all)
    };
    for of in files.into_iter().flatten() {
        of.wait_released(node, place);
        give_up(node, of);
    }
}

/// The drain is done with a file. If it has closed meanwhile, what belongs to it is dropped here: the user's code.
fn give_up(node: &Arc<Inner>, of: Arc<Opened>) {
    let _ = guarded("drop of an open file", &**node, || drop(of));
}

/// A count of a node, until the last handle of a file gives it to who opens the node next.
#[derive(Debug)]
pub(crate) struct Kept(Option<Arc<Inner>>);

impl Deref for Kept {
    type Target = Arc<Inner>;
    #[inline]
    fn deref(&self) -> &Arc<Inner> {
        self.0.as_ref().expect("it is not closed yet")
    }
}

/// What keeps an open file open: [`OpenFile`], and its mappings.
///
/// # Invariants
/// 1. Its file is counted by the node's open node, which is the same for as long as the handle lives.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) node: Kept,
    pub(crate) of: Arc<Opened>,
    place: &'static Location<'static>,
}

impl Handle {
    /// An active reference, unless the node is gone or this file was released.
    pub(crate) fn active(&self, what: &str) -> Result<Active<'_>> {
        self.node.tree.check(what)?;
        // The reference first: it holds the drain, and so the release, back.
        let active = self.node.active.get();
        active
            .filter(|_| !self.of.is_dead())
            .ok_or_else(|| gone(what, &self.node))
    }

    /// Looks at the node's open node, in a read section.
    fn look<R>(&self, look: impl FnOnce(&OpenNode) -> R) -> R {
        let guard = Memb::read_lock();
        let file = self.node.file();
        let on = file.and_then(|file| file.open.dereference(&guard));
        look(on.expect("INVARIANT: 1"))
    }

    /// How often the node was drained. Read it before you look whether the node is active: a drain after
    /// that changes it.
    pub(crate) fn drains(&self) -> u32 {
        self.look(OpenNode::drains)
    }

    /// Where to sleep until the file is notified or the node is drained: read its value, look, then sleep while that
    /// value stands. It outlives the open node.
    pub(crate) fn bed(&self) -> Option<Arc<Event>> {
        let file = self.node.file()?;
        let writer = file.slot.lock();
        file.open.get(&writer).map(|on| on.bell.bed())
    }

    /// Notes the event that the coming read will have seen. Before the data are produced: a change that
    /// comes meanwhile makes poll ready again.
    pub(crate) fn sample_event(&self) {
        // Relaxed: read back by this open file's poll; the value orders itself by the event's SeqCst.
        let event = self.look(|on| on.bell.event());
        self.of.seen.store(event, Ordering::Relaxed);
    }

    /// Whether the file was notified since the last read.
    pub(crate) fn has_changed(&self) -> bool {
        self.look(|on| on.bell.event()) != self.of.seen.load(Ordering::Relaxed)
    }

    /// The same, unless the node is gone, or was drained since it had been `drains` times.
    pub(crate) fn changed_since(&self, drains: u32, what: &str) -> Result<bool> {
        let _active = self.active(what)?;
        // Hidden and shown again meanwhile: that ends a wait too.
        if self.drains() != drains {
            return Err(self.gone(what));
        }
        let changed = self.has_changed();
        // Removal deactivates the node, then counts the event up, then waits for our reference: that event is none.
        match changed && !self.node.active.is_active() {
            true => Err(self.gone(what)),
            false => Ok(changed),
        }
    }

    /// ENODEV about the node.
    pub(crate) fn gone(&self, what: &str) -> Error {
        gone(what, &self.node)
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        // Relaxed: who clones has one.
        self.of.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            node: Kept(Some(Arc::clone(&self.node))),
            of: Arc::clone(&self.of),
            place: self.place,
        }
    }
}

impl Drop for Handle {
    /// The last one is the close: `release` runs here, unless the drain has run it; if the drain is running
    /// it, waits.
    fn drop(&mut self) {
        // Acquire, AcqRel: what was done through the other handles is over before the release. Nobody makes another one of
        // the only one, which is ours: that needs no exchange.
        let handles = &self.of.handles;
        if handles.load(Ordering::Acquire) != 1 && handles.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        if !self.node.tree.is_ours() {
            return; // a forked child: the file is the parent's, who will close it
        }
        if let Some(memory) = self.of.memory.get()
            && self.of.shares.load(Ordering::Relaxed)
        {
            memory.remove_sharer();
        }
        let place = Taken(&self.node); // since `open`
        self.of.release(&*self.node, self.place);
        drop(place);
        delist(&mut self.node, &self.of);
        order::forget(self.of.serial);
    }
}

impl OpenFile {
    /// What the file was opened for.
    pub fn flags(&self) -> OpenFlags {
        self.handle.of.flags
    }
}

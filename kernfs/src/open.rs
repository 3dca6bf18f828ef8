//! Open files: open, close, and the drain that ends them with their node.
//!
//! The kernel's fs/kernfs/file.c as the thread of April 2022 left it. The open node is published under the
//! node's hashed mutex and freed by RCU; nobody who holds an open file on its list needs either. What the
//! operations do stands in [`crate::file_ops`].

use core::panic::Location;
use core::sync::atomic::Ordering;
use std::sync::Arc;

use crate::active::Active;
use crate::error::{Errno, Error, Result};
use crate::flags::{Has, OpenFlags, RootFlags};
use crate::held::{self, Held};
use crate::inner::{FileBody, Inner};
use crate::opened::{OpenNode, Opened};
use crate::ops::{AnyOps, guarded};
use crate::path;

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
    pub(crate) node: Arc<Inner>,
    pub(crate) on: Arc<OpenNode>,
    pub(crate) of: Arc<Opened>,
    pub(crate) atomic_write_len: usize,
    /// For `Read`, `Write` and `Seek`.
    pub(crate) position: u64,
    place: &'static Location<'static>,
}

fn gone(what: &str, node: &Arc<Inner>) -> Error {
    path::error(Errno::ENODEV, what, node)
}

/// The extra check of sysfs: also root may not open what cannot be read or written at all.
fn check_permission(node: &Arc<Inner>, file: &FileBody, flags: OpenFlags) -> Result<()> {
    let reads = Has::SHOW | Has::READ;
    let writable = node.mode & 0o222 != 0 && file.has.contains(Has::WRITE);
    let readable = node.mode & 0o444 != 0 && file.has.intersects(reads);
    if flags.contains(OpenFlags::WRITE) && !writable {
        return Err(path::error(Errno::EACCES, "open for writing", node));
    }
    if flags.contains(OpenFlags::READ) && !readable {
        return Err(path::error(Errno::EACCES, "open for reading", node));
    }
    Ok(())
}

/// `kernfs_fop_open`.
#[track_caller]
pub(crate) fn open(node: &Arc<Inner>, flags: OpenFlags) -> Result<OpenFile> {
    let place = Location::caller();
    let Some(file) = node.file() else {
        return Err(path::error(Errno::EINVAL, "open", node));
    };
    let active = node.active.get().ok_or_else(|| gone("open", node))?;
    if node.tree.flags.contains(RootFlags::EXTRA_OPEN_PERM_CHECK) {
        check_permission(node, file, flags)?;
    }
    // Removal takes the ops after the drain, so they are there while we are active.
    let ops = file.ops().ok_or_else(|| gone("open", node))?;
    let of = Arc::new(Opened::new(Arc::<Inner>::clone(node), flags, file.has));
    let on = attach(file, &of);
    match call_open(node, &of, ops, place, &active) {
        Ok(atomic_write_len) => Ok(OpenFile {
            node: Arc::clone(node),
            on,
            of,
            atomic_write_len,
            position: 0,
            place,
        }),
        Err(error) => {
            detach(file, &on, &of);
            Err(error)
        }
    }
}

/// Runs the owner's `open`; the file is live if that succeeds.
fn call_open(
    node: &Arc<Inner>,
    of: &Arc<Opened>,
    ops: Arc<dyn AnyOps>,
    place: &'static Location<'static>,
    _active: &Active<'_>,
) -> Result<usize> {
    let _scope = held::enter(Held {
        node: node.address(),
        file: of.address(),
        op: "open",
        place,
    });
    let (len, open) = guarded("open", &**node, || {
        let len = ops.any_atomic_write_len();
        (len, ops.any_open(&mut of.cx(None)))
    })?;
    // Nobody else sets it: a new file has no second opener.
    let _ = of.file.set(open?);
    of.set_live();
    Ok(len)
}

/// `kernfs_get_open_node`: puts the file on the list of the node's open node, which is made if there is
/// none.
fn attach(file: &FileBody, of: &Arc<Opened>) -> Arc<OpenNode> {
    let mut writer = file.slot.lock();
    let on = match file.open.get(&writer) {
        Some(on) => Arc::clone(on),
        None => {
            let on = Arc::new(OpenNode::new());
            file.open.assign(&mut writer, Arc::clone(&on));
            on
        }
    };
    on.add(Arc::clone(of));
    on
}

/// `kernfs_unlink_open_file`: the last file takes the open node along, which RCU frees.
fn detach(file: &FileBody, on: &OpenNode, of: &Arc<Opened>) {
    let mut writer = file.slot.lock();
    if on.remove(of)
        && let Some(retired) = file.open.take(&mut writer)
    {
        retired.free();
    }
}

/// `kernfs_drain_open_files`: every open file is released when this returns. The node is deactivated and
/// its operations are over, so no file comes to the list any more.
pub(crate) fn drain(node: &Arc<Inner>, place: &'static Location<'static>) {
    let Some(file) = node.file() else { return };
    if !file.has.contains(Has::RELEASE) || file.open.is_null() {
        return;
    }
    // Al Viro: nobody has to be lock-free because RCU lets others be so. With the mutex the pointer and
    // the list stand still; the callbacks run after it is dropped, and the counts keep the files.
    let files = {
        let writer = file.slot.lock();
        file.open.get(&writer).map(|on| on.snapshot())
    };
    for of in files.iter().flatten() {
        of.release(node.address(), place);
    }
}

impl OpenFile {
    /// What the file was opened for.
    pub fn flags(&self) -> OpenFlags {
        self.of.flags
    }

    /// An active reference, unless the node is gone or this file was released.
    pub(crate) fn active(&self, what: &str) -> Result<Active<'_>> {
        // The reference first: it holds the drain, and so the release, back.
        let active = self.node.active.get();
        active
            .filter(|_| !self.of.is_dead())
            .ok_or_else(|| gone(what, &self.node))
    }

    /// Notes the event that the coming read will have seen. Before the data are produced: a change that
    /// comes meanwhile makes poll ready again.
    pub(crate) fn sample_event(&self) {
        // Relaxed: read back by this open file's poll; the value orders itself by the event's SeqCst.
        self.of.seen.store(self.on.event.value(), Ordering::Relaxed);
    }
}

impl Drop for OpenFile {
    /// Close: `release` runs here, unless the drain has run it; if the drain is running it, waits.
    fn drop(&mut self) {
        self.of.release(self.node.address(), self.place);
        if let Some(file) = self.node.file() {
            detach(file, &self.on, &self.of);
        }
    }
}

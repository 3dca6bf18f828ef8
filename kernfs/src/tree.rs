//! What all nodes of a tree share: the locks of those who change it, the ids, the listeners.
//!
//! Lock order, outer first. None is held over a callback, a grace period or a drain, but for the first two.
//!
//! 1. the notify worker's `working`, over all that it calls: only workers take it, one after the other
//! 2. an open file's `io`, over that file's callbacks
//! 3. the tree lock
//! 4. a hashed mutex ([`crate::locks`])
//! 5. leaves: the lock of the attribute records, a file's `ops`, the tree's `syscalls`, an open node's `files`, the
//!    registry of listeners, the lists of pollers and of drained files, a [`crate::Memory`]'s file, the spare nodes

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use urcu::Idr;

use crate::cx::SyscallCx;
use crate::error::{Errno, Result};
use crate::flags::RootFlags;
use crate::limits::{Gauge, Limited, OpenFiles};
use crate::notify::Queue;
use crate::order;
use crate::spare::{AtHand, Spares};
use crate::sys;

/// What an owner's [`SyscallOps`](crate::SyscallOps) are for a tree of nodes `N`.
pub(crate) trait Syscalls<N>: Send + Sync {
    fn mkdir(&self, cx: &mut SyscallCx<'_>, parent: &Arc<N>, name: &[u8], mode: u32) -> Result<()>;
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Arc<N>) -> Result<()>;
    fn rename(
        &self,
        cx: &mut SyscallCx<'_>,
        node: &Arc<N>,
        parent: &Arc<N>,
        name: &[u8],
    ) -> Result<()>;
}

/// The shared part of a tree of nodes `N`.
pub(crate) struct Tree<N: Send + Sync + 'static> {
    pub(crate) flags: RootFlags,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Tells trees of a process apart.
    pub(crate) serial: u64,
    /// The process that it was made in; 0: one that may have none.
    process: u32,
    pub(crate) queue: Arc<Queue>,
    /// Nodes whose memory is not freed yet, spare ones included.
    pub(crate) nodes: AtomicU64,
    pub(crate) limits: Limited,
    pub(crate) open_files: OpenFiles,
    /// Drains that wait.
    pub(crate) waiting: Gauge,
    /// Finds nodes by their ids: low half a number that comes again after a rest, high half how often it did.
    pub(crate) ids: Idr<N>,
    /// `None`: the owner gave none. Taken out by removal of the root.
    syscalls: Option<Mutex<Option<Arc<dyn Syscalls<N>>>>>,
    /// Only writers take them; who looks is in a read section instead.
    lock: Mutex<AtHand<N>>,
    pub(crate) spares: Spares<N>,
    records: Mutex<()>,
}

/// The tree lock is held. Functions take one to say that they need it.
#[derive(Debug)]
pub(crate) struct Locked<'t, N: Send + Sync + 'static> {
    tree: &'t Tree<N>,
    at_hand: MutexGuard<'t, AtHand<N>>,
}

impl<N: Send + Sync + 'static> Locked<'_, N> {
    /// A node that was one before, and nobody else has.
    pub(crate) fn take_spare(&mut self) -> Option<Arc<N>> {
        self.tree.spares.take(&mut self.at_hand)
    }
}

impl<N: Send + Sync + 'static> Tree<N> {
    pub(crate) fn new(flags: RootFlags, syscalls: Option<Box<dyn Syscalls<N>>>) -> Arc<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let (uid, gid) = sys::effective_ids();
        Arc::new(Self {
            flags,
            uid,
            gid,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            process: match sys::is_forked() {
                true => 0, // nobody's: dead from the start
                false => sys::process(),
            },
            queue: Queue::new(),
            nodes: AtomicU64::new(0),
            limits: Limited::new(),
            open_files: OpenFiles::new(),
            waiting: Gauge::default(),
            ids: Idr::new(),
            syscalls: syscalls.map(|ops| Mutex::new(Some(ops.into()))),
            lock: Mutex::new(AtHand::new()),
            spares: Spares::new(),
            records: Mutex::default(),
        })
    }

    /// Whether this is not a forked child of the process that made the tree. There threads of the parent may have held
    /// its locks, or been inside callbacks, at the fork: for ever now.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == sys::process()
    }

    /// ENOTCONN in a forked child.
    pub(crate) fn check(&self, op: &str) -> Result<()> {
        match self.is_ours() {
            true => Ok(()),
            false => Err(Errno::ENOTCONN.because(format!("{op} in a forked child"))),
        }
    }

    /// Takes the tree lock.
    ///
    /// # Errors
    /// ENOTCONN: in a forked child.
    #[track_caller]
    pub(crate) fn write(&self, op: &str) -> Result<Locked<'_, N>> {
        order::nothing_held("the tree lock");
        self.check(op)?;
        Ok(Locked {
            tree: self,
            at_hand: self.lock.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// Keeps no spare nodes any more: each holds the tree. Those that it kept, to be dropped outside of all locks.
    ///
    /// # Errors
    /// ENOTCONN: in a forked child.
    pub(crate) fn close_spares(&self) -> Result<Vec<Arc<N>>> {
        let mut locked = self.write("removal")?;
        Ok(self.spares.close(&mut locked.at_hand))
    }

    /// Nodes whose memory is kept by somebody.
    pub(crate) fn live_nodes(&self) -> u64 {
        let spares = self.spares.len() as u64; // CAST: 64 bits
        self.nodes.load(Ordering::Relaxed).saturating_sub(spares)
    }

    /// Whether the owner gave [`Syscalls`], which may have been taken out since.
    pub(crate) fn has_syscalls(&self) -> bool {
        self.syscalls.is_some()
    }

    /// The owner's [`Syscalls`], until removal of the root has taken them.
    pub(crate) fn syscalls(&self) -> Option<Arc<dyn Syscalls<N>>> {
        let ops = self.syscalls.as_ref()?.lock();
        ops.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes them out: they may hold nodes, which hold the tree. To be dropped outside of all locks and sections.
    pub(crate) fn take_syscalls(&self) -> Option<Arc<dyn Syscalls<N>>> {
        let ops = self.syscalls.as_ref()?.lock();
        ops.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes the lock of the attribute records.
    ///
    /// # Errors
    /// ENOTCONN: in a forked child.
    pub(crate) fn write_records(&self) -> Result<MutexGuard<'_, ()>> {
        self.check("change of attributes")?;
        Ok(self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<N: Send + Sync + 'static> fmt::Debug for Tree<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("serial", &self.serial)
            .field("flags", &self.flags)
            .field("nodes", &self.live_nodes())
            .finish_non_exhaustive()
    }
}

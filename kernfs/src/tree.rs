//! What all nodes of a tree share: the lock of those who change it, the ids, the listeners.
//!
//! Lock order, outer first. None is held over a callback, a grace period or a drain.
//!
//! 1. an open file's `io` (the one exception: it is held over that file's callbacks)
//! 2. the tree lock
//! 3. a hashed mutex ([`crate::locks`])
//! 4. leaves: a file's `ops`, an open node's `files`, the registry of listeners

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use urcu::Writer;

use crate::flags::RootFlags;
use crate::notify::Queue;
use crate::sys;

/// The shared part of a tree.
pub(crate) struct Tree {
    pub(crate) flags: RootFlags,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Tells trees of a process apart.
    pub(crate) serial: u64,
    pub(crate) queue: Arc<Queue>,
    /// Nodes whose memory is not freed yet.
    pub(crate) nodes: AtomicU64,
    /// Only writers take it; who looks is in a read section instead.
    lock: Mutex<Writer>,
    next_id: AtomicU64,
}

impl Tree {
    pub(crate) fn new(flags: RootFlags) -> Arc<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let (uid, gid) = sys::effective_ids();
        Arc::new(Self {
            flags,
            uid,
            gid,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            queue: Queue::new(),
            nodes: AtomicU64::new(0),
            lock: Mutex::new(Writer::new()),
            next_id: AtomicU64::new(1),
        })
    }

    /// Takes the tree lock.
    pub(crate) fn write(&self) -> MutexGuard<'_, Writer> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id that no node of this tree had before: 64 bits, counting up. The first one, of the root, is 1.
    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("serial", &self.serial)
            .field("flags", &self.flags)
            .field("nodes", &self.nodes)
            .finish()
    }
}

//! What the kernel has open: fh to open file, and for each node the handles to wake.
//!
//! The FUSE half of the kernel's `struct kernfs_open_file`: beside the open file it keeps the poll
//! handle (`kh`) that the kernel gave to be woken by.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::caught::caught_and_told;
use crate::node::Node;
use crate::open::OpenFile;

/// One open(2) or opendir(3) of a client.
#[derive(Debug)]
pub(super) struct Handle {
    /// The nodeid it was opened by.
    pub(super) id: u64,
    pub(super) node: Node,
    /// `None` for a directory.
    pub(super) file: Option<OpenFile>,
    /// The poll handle to wake, 0 for none: the kernel counts them from 1.
    kh: AtomicU64,
}

impl Handle {
    /// The client is about to sleep in poll(2). Follow with a look at the file's event.
    ///
    /// Pairs with [`Handle::take_kh`]: store kh, fence, read the event; there: raise the event, fence, take
    /// kh. If our fence comes first, the notifier sees kh and wakes the client; if theirs does, we see
    /// the event and the client does not sleep. Without the fences both could miss.
    pub(super) fn arm(&self, kh: u64) {
        self.kh.store(kh, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Takes the poll handle, so that one SCHEDULE_NOTIFY is answered by one wake-up. Call it after the
    /// event was raised.
    pub(super) fn take_kh(&self) -> Option<u64> {
        fence(Ordering::SeqCst);
        match self.kh.swap(0, Ordering::Relaxed) {
            0 => None,
            kh => Some(kh),
        }
    }
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    by_fh: HashMap<u64, Arc<Handle>>,
    by_node: HashMap<u64, Vec<u64>>,
}

/// The table of open files of one mount.
#[derive(Debug, Default)]
pub(super) struct Handles {
    open: Mutex<Open>,
}

impl Handles {
    fn lock(&self) -> MutexGuard<'_, Open> {
        // No user code runs under the lock, so a panic cannot leave it half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one, returns its fh.
    pub(super) fn insert(&self, id: u64, node: Node, file: Option<OpenFile>) -> u64 {
        let handle = Arc::new(Handle {
            id,
            node,
            file,
            kh: AtomicU64::new(0),
        });
        let mut open = self.lock();
        open.last += 1;
        let fh = open.last;
        open.by_fh.insert(fh, handle);
        open.by_node.entry(id).or_default().push(fh);
        fh
    }

    pub(super) fn get(&self, fh: u64) -> Option<Arc<Handle>> {
        self.lock().by_fh.get(&fh).cloned()
    }

    /// Whether some client has the node open.
    pub(super) fn is_open(&self, id: u64) -> bool {
        self.lock().by_node.contains_key(&id)
    }

    /// Forgets one. The open file is closed by the last one to use it: here, or at the end of a callback
    /// whose client did not wait for it.
    pub(super) fn remove(&self, fh: u64) -> Option<Arc<Handle>> {
        let mut open = self.lock();
        let handle = open.by_fh.remove(&fh)?;
        if let Some(of_node) = open.by_node.get_mut(&handle.id) {
            of_node.retain(|other| *other != fh);
            if of_node.is_empty() {
                open.by_node.remove(&handle.id);
            }
        }
        Some(handle)
    }

    /// The poll handles that wait for this node; each is given out once.
    pub(super) fn take_waiting(&self, id: u64) -> Vec<u64> {
        let open = self.lock();
        let of_node = open.by_node.get(&id).into_iter().flatten();
        of_node
            .filter_map(|fh| open.by_fh.get(fh)?.take_kh())
            .collect()
    }

    /// Closes everything: the connection has ended.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        // One by one: that is the user's code, and one that panics keeps no other one open.
        for handle in all.by_fh.into_values() {
            let _ = caught_and_told("the close of a file", || drop(handle));
        }
    }
}

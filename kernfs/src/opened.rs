//! Open nodes and open files, as far as they need not know the node: the list, and the life of one file.
//!
//! The kernel's `kernfs_open_node` and `kernfs_open_file`. One open node stands for all open files of a
//! file; it exists only while there is one, and is published, found and freed by RCU (the seed of this
//! crate: Al Viro's review of April 2022). Unlike in the kernel, `release` runs without the hashed mutex;
//! a state with a claim takes its place.

use core::fmt;
use core::panic::Location;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use urcu::Event;
use urcu::futex::Word;

use crate::cx::{Cancel, Cx, Host};
use crate::flags::{Has, OpenFlags};
use crate::held::{self, Held};
use crate::ops::{AnyOpen, guarded};
use crate::seq::Reader;

/// What all open files of one node share.
pub(crate) struct OpenNode {
    /// Counted up by `notify`, starts at 1; who waits for a change sleeps here.
    pub(crate) event: Event,
    /// Changed only under the node's hashed mutex, so never contended. A mutex all the same, because the
    /// hashed one protects a `Writer` and not this.
    files: Mutex<Vec<Arc<Opened>>>,
}

impl OpenNode {
    pub(crate) fn new() -> Self {
        Self {
            event: Event::starting_at(1),
            files: Mutex::default(),
        }
    }

    fn files(&self) -> MutexGuard<'_, Vec<Arc<Opened>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a file. Hashed mutex held.
    pub(crate) fn add(&self, file: Arc<Opened>) {
        let mut files = self.files();
        file.index.store(files.len(), Ordering::Relaxed);
        files.push(file);
    }

    /// Takes a file off; tells whether it was the last. Hashed mutex held.
    pub(crate) fn remove(&self, file: &Arc<Opened>) -> bool {
        let mut files = self.files();
        let index = file.index.load(Ordering::Relaxed);
        debug_assert!(Arc::ptr_eq(&files[index], file));
        files.swap_remove(index);
        if let Some(moved) = files.get(index) {
            moved.index.store(index, Ordering::Relaxed);
        }
        files.is_empty()
    }

    /// All files. Hashed mutex held.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Opened>> {
        self.files().clone()
    }
}

impl fmt::Debug for OpenNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenNode")
            .field("event", &self.event.value())
            .field("files", &self.files().len())
            .finish()
    }
}

/// The state of an open file. It goes from top to bottom and never back.
mod state {
    /// `open` runs; the opener holds an active reference, so no drain is here yet.
    pub(super) const OPENING: u32 = 0;
    /// Usable.
    pub(super) const LIVE: u32 = 1;
    /// Claimed by a close or a drain, whose thread runs `release`.
    pub(super) const RELEASING: u32 = 2;
    /// Dead for ever.
    pub(super) const RELEASED: u32 = 3;
}

/// One open file.
pub(crate) struct Opened {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) flags: OpenFlags,
    pub(crate) has: Has,
    /// What `open` returned; set before the state becomes LIVE.
    pub(crate) file: OnceLock<Box<dyn AnyOpen>>,
    /// Serialises `show`, `read` and `write`. The kernel's `of->mutex` and the lock of its seq buffer.
    pub(crate) io: Mutex<Reader>,
    /// The event that the last read has seen.
    pub(crate) seen: AtomicU32,
    state: Word,
    /// Where it stands in the open node's list.
    index: AtomicUsize,
}

impl Opened {
    pub(crate) fn new(host: Arc<dyn Host>, flags: OpenFlags, has: Has) -> Self {
        Self {
            host,
            flags,
            has,
            file: OnceLock::new(),
            io: Mutex::new(Reader::new()),
            seen: AtomicU32::new(0),
            state: Word::new(state::OPENING),
            index: AtomicUsize::new(0),
        }
    }

    pub(crate) fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// The end of a successful `open`.
    pub(crate) fn set_live(&self) {
        // Release pairs with the claim: who releases sees what `open` returned.
        self.state.store(state::LIVE, Ordering::Release);
    }

    /// Whether the file was released, or is being.
    pub(crate) fn is_dead(&self) -> bool {
        self.state.load(Ordering::Acquire) >= state::RELEASING
    }

    pub(crate) fn cx<'a>(&'a self, cancel: Option<&'a Cancel>) -> Cx<'a> {
        Cx {
            host: &*self.host,
            flags: self.flags,
            cancel,
        }
    }

    /// Brings the file to its end: runs `release` if this thread is the one that claims it, else waits for
    /// the thread that did. No other callback of the file runs: it is being closed, or its node is drained.
    pub(crate) fn release(self: &Arc<Self>, node: usize, place: &'static Location<'static>) {
        // Acquire pairs with the Release of `set_live`; of two claims one wins.
        let claim = self.state.compare_exchange(
            state::LIVE,
            state::RELEASING,
            Ordering::Acquire,
            Ordering::Acquire,
        );
        match claim {
            Ok(_) => self.run_release(node, place),
            Err(state::RELEASING) => self.wait_released(),
            Err(_) => {}
        }
    }

    fn run_release(self: &Arc<Self>, node: usize, place: &'static Location<'static>) {
        if self.has.contains(Has::RELEASE)
            && let Some(file) = self.file.get()
        {
            let _scope = held::enter(Held {
                node,
                file: self.address(),
                op: "release",
                place,
            });
            // A panic was reported; there is nobody to give the error to.
            let _ = guarded("release", &*self.host, || file.release(&mut self.cx(None)));
        }
        // Release pairs with the Acquire below: who waited sees what `release` did.
        self.state.store(state::RELEASED, Ordering::Release);
        self.state.wake(i32::MAX);
    }

    fn wait_released(self: &Arc<Self>) {
        // `release` may drop the last handle of its own file: it would wait for itself.
        let address = self.address();
        if held::find(|h| h.file == address && h.op == "release").is_some() {
            return;
        }
        while self.state.load(Ordering::Acquire) == state::RELEASING {
            self.state.wait(state::RELEASING, None);
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("id", &self.host.id())
            .field("flags", &self.flags)
            .field("dead", &self.is_dead())
            .finish()
    }
}

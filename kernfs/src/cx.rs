//! What a callback is told about the call: which file, opened how, and whether the caller gave up.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::flags::OpenFlags;

/// The file that a callback runs for, seen from below: [`Cx`] needs no more of the node than this.
pub(crate) trait Host: Send + Sync {
    fn id(&self) -> u64;
    fn name(&self) -> Vec<u8>;
    fn path(&self) -> Vec<u8>;
    fn notify(&self);
}

/// The context of one call of a callback.
pub struct Cx<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) flags: OpenFlags,
    pub(crate) cancel: Option<&'a Cancel>,
}

impl Cx<'_> {
    /// The id (inode number) of the file.
    pub fn id(&self) -> u64 {
        self.host.id()
    }

    /// The name of the file.
    pub fn name(&self) -> Vec<u8> {
        self.host.name()
    }

    /// What the file was opened for.
    pub fn flags(&self) -> OpenFlags {
        self.flags
    }

    /// Tells pollers that the file changed, as [`File::notify`](crate::File::notify) does.
    #[doc(alias = "kernfs_notify")]
    pub fn notify(&self) {
        self.host.notify();
    }

    /// Whether whoever waits for the result was interrupted. A callback that waits should look, and give
    /// up with EINTR.
    #[doc(alias = "signal_pending")]
    pub fn interrupted(&self) -> bool {
        self.cancel.is_some_and(Cancel::is_set)
    }
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("id", &self.id())
            .field("flags", &self.flags)
            .field("interrupted", &self.interrupted())
            .finish()
    }
}

/// Tells a running callback that its caller gave up. See [`Cx::interrupted`].
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Not set.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Says so. Async-signal-safe.
    pub fn set(&self) {
        // Relaxed: a hint; nothing else is read on the strength of it.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

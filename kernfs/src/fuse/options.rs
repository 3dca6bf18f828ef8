//! How a tree is mounted.

use std::thread;
use std::time::Duration;

/// Options of a mount. The defaults are right for a tree that everybody on the machine may look at.
///
/// ```
/// use kernfs::fuse::Options;
/// let options = Options::new().threads(4).allow_other(false);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) threads: usize,
    pub(super) allow_other: bool,
    pub(super) cache: Duration,
}

impl Options {
    /// Every user, the number of processors but 2 to 4 service threads, an hour of caching.
    pub fn new() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4)),
            allow_other: true,
            cache: Duration::from_secs(3600),
        }
    }

    /// How many threads serve requests and run callbacks, at least 2. A callback that blocks keeps one
    /// busy: choose one more than block at the same time.
    #[must_use]
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = count.max(2);
        self
    }

    /// Whether other users than the one who mounts may come in, as far as the modes of the nodes let them.
    /// On by default.
    #[must_use]
    pub fn allow_other(mut self, allow: bool) -> Self {
        self.allow_other = allow;
        self
    }

    /// How long the kernel may remember a name and what stat(2) showed of it, without asking. Changes of
    /// the tree are told to it at once, so this may be long, and long is fast. Contents are never
    /// remembered.
    #[must_use]
    pub fn cache(mut self, time: Duration) -> Self {
        self.cache = time;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

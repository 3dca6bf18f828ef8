//! How a tree is mounted.

use std::thread;
use std::time::Duration;

use super::limit::{Hook, LateCallback};
use crate::ns::Ns;

/// More threads than that are of no use to anybody.
const MOST: usize = 1024;

/// Options of a mount. The defaults are right for a tree that everybody on the machine may look at.
///
/// ```
/// use kernfs::fuse::Options;
/// let options = Options::new().threads(4).allow_other(false);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) threads: usize,
    pub(super) most_threads: usize,
    /// `None`: as far as the machine lets us let them in.
    pub(super) allow_other: Option<bool>,
    pub(super) cache: Duration,
    pub(super) xattrs: bool,
    pub(super) ns: Option<Ns>,
    pub(super) inotify: bool,
    pub(super) callback_limit: Option<Duration>,
    pub(super) late: Option<Hook>,
}

impl Options {
    /// Every user, the number of processors but 2 to 4 service threads, an hour of caching.
    pub fn new() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4)),
            most_threads: 64,
            allow_other: None,
            cache: Duration::from_secs(3600),
            xattrs: true,
            ns: None,
            inotify: false,
            callback_limit: None,
            late: None,
        }
    }

    /// How many threads serve requests and run callbacks, 2 to 1024. While callbacks block in all of them more are
    /// started, see [`most_threads`](Self::most_threads).
    #[must_use]
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = count.clamp(2, MOST);
        self
    }

    /// How many threads there may be if callbacks block: 64 by default, 1024 at most. If all are in callbacks, and none has come back
    /// for 10 ms, another one is started, which stays. With so many of them blocked clients wait, and stderr says so.
    #[must_use]
    pub fn most_threads(mut self, count: usize) -> Self {
        self.most_threads = count.min(MOST);
        self
    }

    /// How long a callback may keep its client waiting: his open, read, write, mkdir, rmdir or rename fails with
    /// ETIMEDOUT then, a poll(2) says POLLERR (what has become of it he does not know; no signal came, so it is not EINTR, and nothing is broken,
    /// so it is not EIO). The callback runs on, hears of it by [`Cx::interrupted`](crate::Cx::interrupted), and its
    /// result is dropped. Its thread is stuck until it returns: it counts in [`most_threads`](Self::most_threads), and in
    /// [`Mount::late_callbacks`](super::Mount::late_callbacks). Each such callback is told once, on stderr or to
    /// [`on_late_callback`](Self::on_late_callback).
    ///
    /// Off by default: a file may block as long as it likes. Clients whose requests nobody can take,
    /// because all threads are in callbacks, wait still.
    #[must_use]
    pub fn callback_limit(mut self, limit: Duration) -> Self {
        self.callback_limit = Some(limit);
        self
    }

    /// Has `hook` told of callbacks beyond their [`callback_limit`](Self::callback_limit), instead of stderr. It runs on a
    /// thread of the mount, which the end of the mount waits for: no lock may be taken in it that is held there. The next
    /// one that is late waits for it.
    #[must_use]
    pub fn on_late_callback(
        mut self,
        hook: impl Fn(&LateCallback) + Send + Sync + 'static,
    ) -> Self {
        self.late = Some(Hook::new(hook));
        self
    }

    /// Whether other users than the one who mounts may come in, as far as the modes of the nodes let them.
    /// On by default. A user who mounts by fusermount3 may let nobody in unless /etc/fuse.conf says `user_allow_other`:
    /// then the default lets nobody in, and who asks for it here is refused. The superuser is another user too; of a mount
    /// in a user namespace others are only those in it.
    #[must_use]
    pub fn allow_other(mut self, allow: bool) -> Self {
        self.allow_other = Some(allow);
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

    /// Whether there are extended attributes, as in sysfs. On by default. Without them `ls -l` is two or three times as
    /// fast in large directories: it asks for two of each file, and the kernel remembers only that there are none at
    /// all.
    #[must_use]
    pub fn xattrs(mut self, xattrs: bool) -> Self {
        self.xattrs = xattrs;
        self
    }

    /// What is seen in directories with name spaces: the entries of this one. By default none of them. A tree may
    /// have several mounts, each with another name space.
    #[must_use]
    pub fn ns(mut self, ns: Option<Ns>) -> Self {
        self.ns = ns;
        self
    }
}

impl Options {
    /// Whether inotify hears of a notified file: IN_MODIFY, of the file and of its directory, as in sysfs. Off by
    /// default: it costs a thread, and some 17 us for each file that is notified, whoever listens. Where the daemon
    /// may not write the file (it is not root, and the mode says so) there is no event. While a callback of the file's
    /// write runs, or one of mkdir, rmdir or rename in a directory on the way, this waits, and so do the events of other
    /// files. Needs /proc, and Linux 5.6.
    #[must_use]
    pub fn inotify(mut self, inotify: bool) -> Self {
        self.inotify = inotify;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

//! inotify of what the owner changes: the thread that pokes notified files through their own mount.
//!
//! The kernel takes no message for it, but it tells watchers of a file that is truncated: IN_MODIFY, of the file and of
//! its directory, which is what `kernfs_notify` gives. So a notified file is truncated by its path, which reaches us
//! as a SETATTR of a size, which changes nothing. (Measured: 17 us each. Source of the idea: tests of what inotify hears
//! on a FUSE mount.)
//!
//! A thread of its own: the truncation waits for a client whose write of the same file runs a callback, and its way there
//! for one whose mkdir, rmdir or rename does; the notifier must not.

use std::collections::{HashSet, VecDeque};
use std::ffi::CString;
use std::fs::File;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::node::Dir;
use crate::ns::Ns;
use crate::sys::mounting as sys;

#[derive(Debug, Default)]
struct Queue {
    /// Each file at most once: changes of a file that come together are one event, as inotify merges them too.
    files: VecDeque<u64>,
    queued: HashSet<u64>,
    busy: bool,
    closed: bool,
}

/// The queue of notified files.
#[derive(Debug, Default)]
pub(super) struct Poker {
    queue: Mutex<Queue>,
    work: Condvar,
}

impl Poker {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file was notified. Does not wait.
    pub(super) fn push(&self, file: u64) {
        let mut queue = self.lock();
        if !queue.closed && queue.queued.insert(file) {
            queue.files.push_back(file);
            drop(queue);
            self.work.notify_one();
        }
    }

    /// Ends the thread; tells whether it does at once. Else it waits for a client, or for the end of the connection.
    pub(super) fn close(&self) -> bool {
        let mut queue = self.lock();
        queue.closed = true;
        self.work.notify_one();
        !queue.busy
    }

    fn next(&self) -> Option<u64> {
        let mut queue = self.lock();
        queue.busy = false;
        loop {
            if queue.closed {
                return None;
            }
            if let Some(file) = queue.files.pop_front() {
                // Before the poke: a change from here on is poked again.
                queue.queued.remove(&file);
                queue.busy = true;
                return Some(file);
            }
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The thread's body. `mount` leads to the root of the mount, which shows the name space `ns`.
    pub(super) fn run(&self, root: &Dir, ns: Option<Ns>, mount: File) {
        while let Some(id) = self.next() {
            let Some(node) = root.by_id(id) else {
                continue;
            };
            // What the mount does not show has no watchers. If it is renamed meanwhile, nothing is truncated, or another
            // file of the mount: that changes nothing. What somebody has mounted over a part of it is not touched.
            let path = node.path();
            if root.walk_ns(&path, ns).as_ref() == Some(&node)
                && let Ok(path) = CString::new(path.strip_prefix(b"/").unwrap_or(&path))
            {
                let _ = sys::truncate_below(&mount, &path); // no permission: no event
            }
        }
        drop(mount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_waits_once_and_again_when_its_turn_has_begun() {
        let poker = Poker::default();
        for file in [7, 8, 7, 7] {
            poker.push(file);
        }
        assert_eq!(poker.next(), Some(7));
        assert!(!poker.lock().closed && poker.lock().busy);
        poker.push(7);
        assert_eq!((poker.next(), poker.next()), (Some(8), Some(7)));
        assert!(!poker.close());
        assert_eq!(poker.next(), None);
        assert!(poker.close());
        poker.push(9);
        assert!(poker.lock().files.is_empty());
    }
}

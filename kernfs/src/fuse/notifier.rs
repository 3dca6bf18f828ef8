//! The one thread that tells the kernel what changed: entries and attributes to forget, pollers to wake.
//!
//! An invalidation takes the directory's inode lock in the kernel, which a client whose LOOKUP we are
//! serving may hold. Sent from a service thread it deadlocks the mount, whatever the number of
//! threads; so whoever changes the tree only queues, and this thread, which serves nobody, sends.
//! A reply can be queued too: it then reaches its client after the invalidations before it.
//!
//! Left out: a bound on the queue. A tree that changes faster than the kernel forgets (some
//! microseconds each) makes it grow.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::abi::{NotifyInvalEntry, NotifyInvalInode, NotifyPollOut, notify};
use super::adapter::Adapter;
use super::channel::Channel;
use crate::sys::mounting as sys;

/// Something for the notifier to send.
#[derive(Debug)]
pub(super) enum Job {
    /// The name in the directory means something else now.
    Entry { parent: u64, name: Vec<u8> },
    /// What stat(2) shows has changed.
    Attributes { id: u64 },
    /// The file was notified.
    Ready { id: u64 },
    /// A reply that must come after the jobs before it.
    Reply(Reply),
}

/// A reply to send later.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) channel: Arc<Channel>,
    pub(super) unique: u64,
    pub(super) payload: Result<Vec<u8>, i32>,
}

impl Reply {
    fn send(self) {
        // An error: nobody waits any more. Such replies carry nothing to take back.
        let _ = match self.payload {
            Ok(payload) => self.channel.reply(self.unique, &payload),
            Err(errno) => self.channel.reply_error(self.unique, errno),
        };
    }
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    pushed: u64,
    done: u64,
    closed: bool,
}

/// The queue and its thread's state.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    queue: Mutex<Queue>,
    /// There are jobs, or the queue was closed.
    work: Condvar,
    /// `done` grew.
    progress: Condvar,
    /// How many jobs besides `Ready` were ever queued.
    changes: AtomicU64,
}

impl Notifier {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics under the lock but an allocation.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues jobs. Does not wait for the kernel: any lock may be held.
    pub(super) fn push(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut queue = self.lock();
        if queue.closed {
            return; // nobody is left to tell
        }
        for job in jobs {
            if !matches!(job, Job::Ready { .. }) {
                // Relaxed: read back only by the thread that pushed, around its own callback.
                self.changes.fetch_add(1, Ordering::Relaxed);
            }
            queue.jobs.push_back(job);
            queue.pushed += 1;
        }
        drop(queue);
        self.work.notify_one();
    }

    /// Sends a reply after what is queued now.
    pub(super) fn defer(&self, reply: Reply) {
        let mut queue = self.lock();
        if queue.closed {
            drop(queue);
            reply.send();
            return;
        }
        queue.jobs.push_back(Job::Reply(reply));
        queue.pushed += 1;
        drop(queue);
        self.work.notify_one();
    }

    /// A number that differs after the calling thread changed the tree.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Waits until all that was queued before the call has been sent.
    pub(super) fn flush(&self) {
        let mut queue = self.lock();
        let target = queue.pushed;
        while queue.done < target && !queue.closed {
            queue = self
                .progress
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the thread, after what is queued: there may be replies in it.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.progress.notify_all();
    }

    /// The thread's body.
    pub(super) fn run(&self, adapter: &Adapter, channel: &Channel) {
        loop {
            let mut queue = self.lock();
            while queue.jobs.is_empty() && !queue.closed {
                queue = self
                    .work
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if queue.jobs.is_empty() {
                return; // closed
            }
            let jobs = std::mem::take(&mut queue.jobs);
            drop(queue);
            for job in jobs {
                send(job, adapter, channel);
                self.lock().done += 1;
                self.progress.notify_all();
            }
        }
    }
}

/// Errors mean that the kernel does not know the node any more, or that the connection has ended:
/// then there is nothing to forget and nobody to wake.
fn send(job: Job, adapter: &Adapter, channel: &Channel) {
    match job {
        Job::Entry { parent, name } => {
            if adapter.is_known(parent) {
                forget_entry(parent, &name, channel);
            }
        }
        Job::Attributes { id } => forget_attributes(id, adapter, channel),
        Job::Ready { id } => {
            for kh in adapter.waiting(id) {
                let _ = channel.notify(notify::POLL, &NotifyPollOut { kh }, b"");
            }
        }
        Job::Reply(reply) => reply.send(),
    }
}

fn forget_entry(parent: u64, name: &[u8], channel: &Channel) {
    let message = NotifyInvalEntry {
        parent,
        namelen: u32::try_from(name.len()).unwrap_or(0),
        flags: 0,
    };
    let _ = channel.notify(notify::INVAL_ENTRY, &message, name);
}

fn forget_attributes(id: u64, adapter: &Adapter, channel: &Channel) {
    if !adapter.is_known(id) {
        return;
    }
    // A negative offset: attributes only, there is no cached data.
    let message = NotifyInvalInode {
        ino: id,
        off: -1,
        len: 0,
    };
    let tell = || channel.notify(notify::INVAL_INODE, &message, b"");
    if let Err(error) = tell()
        && error.raw_os_error() == Some(sys::ENOENT)
        && let Some(parent) = adapter.parent(id)
    {
        // We know it and the kernel does not: the answer to its first LOOKUP is under way, perhaps with what was true
        // before. To forget a name, here one that there cannot be, the kernel waits until that LOOKUP has ended.
        forget_entry(parent, b"/", channel);
        let _ = tell();
    }
}

//! The one thread that tells the kernel what changed: entries and attributes to forget.
//!
//! An invalidation takes the directory's inode lock in the kernel, which a client whose LOOKUP we are
//! serving may hold. Sent from a service thread it deadlocks the mount, whatever the number of
//! threads; so whoever changes the tree only queues, and this thread, which serves nobody, sends.
//! A reply can be queued too: it then reaches its client after the invalidations before it, unless that gets a signal, or
//! one of them takes long. It is queued if the callback's own thread has changed the tree; what it has others change is not
//! seen.
//!
//! One may take long: a client can have the kernel hold a directory's lock for as long as he likes (getdents64(2) into
//! memory of a file system of his own). So what matters to who may do what is not left to this thread: attributes are
//! forgotten by whoever changes them, for which no such lock is taken ([`forget_attributes`]). Names need the lock: that all
//! of them be looked up anew (FUSE_NOTIFY_INC_EPOCH, Linux 6.16) needs none, but unmounts what is mounted below any.
//!
//! News are queued once, and only if the kernel knows what they are about ([`super::table`]). So a tree that changes
//! faster than the kernel forgets fills the queue up to what the kernel itself remembers.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::abi::{self, NotifyInvalEntry, NotifyInvalInode, notify};
use super::adapter::Adapter;
use super::channel::Channel;
use super::table::{News, NodeTable};
use crate::sys::mounting as sys;

/// With so many jobs those are looked for that are of no use any more.
const MANY: usize = 4096;

/// How long the kernel may keep the thread waiting with one job until the replies behind it are sent all the same.
pub(super) const LONG: Duration = Duration::from_millis(250);

/// How long until nobody waits any more for the job to be done.
const HOPELESS: Duration = Duration::from_secs(10);

/// Something for the notifier to send.
#[derive(Debug)]
enum Job {
    News(News),
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
    /// With their numbers, which grow.
    jobs: VecDeque<(u64, Job)>,
    /// The number of the next job.
    next: u64,
    /// The number of the job that is being sent, and since when.
    sending: Option<(u64, Instant)>,
    /// The length at which it is searched.
    many: usize,
    closed: bool,
}

impl Queue {
    fn push(&mut self, job: Job) {
        self.jobs.push_back((self.next, job));
        self.next += 1;
    }

    /// The number of the first job that is not sent yet.
    fn oldest(&self) -> u64 {
        let first = self.jobs.front().map(|(number, _)| *number);
        let sending = self.sending.map(|(number, _)| number);
        sending.or(first).unwrap_or(self.next)
    }

    /// For how long one job has been sent now.
    fn waited(&self, now: Instant) -> Duration {
        self.sending.map_or(Duration::ZERO, |(_, since)| {
            now.saturating_duration_since(since)
        })
    }
}

thread_local! {
    /// How many news this thread ever had. Read back around a callback: what others change meanwhile is not its doing.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// The queue and its thread's state.
#[derive(Debug)]
pub(super) struct Notifier {
    nodes: Arc<NodeTable>,
    /// Outside the table's lock.
    queue: Mutex<Queue>,
    /// There are jobs, or the queue was closed.
    work: Condvar,
    /// A job was sent, or the queue was closed.
    progress: Condvar,
}

impl Notifier {
    pub(super) fn new(nodes: Arc<NodeTable>) -> Self {
        Self {
            nodes,
            queue: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics under the lock but an allocation.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues news of what has happened. Does not wait for the kernel: any lock may be held.
    pub(super) fn push(&self, all: impl IntoIterator<Item = News>) {
        let mut queue = self.lock();
        if queue.closed {
            return; // nobody is left to tell
        }
        let before = queue.next;
        for news in all {
            CHANGES.set(CHANGES.get().wrapping_add(1));
            // Under the lock of the queue: what is queued according to the table stands before a reply that comes now.
            if self.nodes.queue(&news) {
                queue.push(Job::News(news));
            }
        }
        if queue.jobs.len() > queue.many {
            queue.jobs.retain(|(_, job)| match job {
                Job::News(news) => self.nodes.wants(news),
                Job::Reply(_) => true,
            });
            // Not again before there are as many more.
            queue.many = MANY.max(queue.jobs.len() * 2);
        }
        let is_work = queue.next != before;
        drop(queue);
        if is_work {
            self.work.notify_one();
        }
    }

    /// Sends a reply after what is queued now.
    pub(super) fn defer(&self, reply: Reply) {
        let mut queue = self.lock();
        if queue.closed {
            drop(queue);
            reply.send();
            return;
        }
        queue.push(Job::Reply(reply));
        drop(queue);
        self.work.notify_one();
    }

    /// A number that differs after the calling thread changed a tree.
    pub(super) fn changes() -> u64 {
        CHANGES.get()
    }

    /// Sends the reply to a request now, if it waits here: its client has got a signal.
    pub(super) fn hurry(&self, unique: u64) -> bool {
        let mut queue = self.lock();
        let is_it = |job: &Job| matches!(job, Job::Reply(reply) if reply.unique == unique);
        let at = queue.jobs.iter().position(|(_, job)| is_it(job));
        let job = at.and_then(|at| queue.jobs.remove(at));
        drop(queue);
        match job {
            Some((_, Job::Reply(reply))) => {
                reply.send();
                true
            }
            _ => false,
        }
    }

    /// Sends the replies that wait, if the kernel keeps the thread waiting for long. How long until that may be so; `None`:
    /// none waits.
    pub(super) fn relieve(&self, now: Instant) -> Option<Duration> {
        let queue = self.lock();
        if !queue.jobs.iter().any(|(_, job)| is_reply(job)) {
            return None;
        }
        let left = LONG.saturating_sub(queue.waited(now));
        if !left.is_zero() {
            return Some(left);
        }
        self.send_replies(queue);
        None
    }

    /// Sends all replies that wait, before the news.
    fn send_replies(&self, mut queue: MutexGuard<'_, Queue>) {
        let all = std::mem::take(&mut queue.jobs).into_iter();
        let (replies, others) = all.partition::<VecDeque<_>, _>(|(_, job)| is_reply(job));
        queue.jobs = others;
        drop(queue);
        for (_, job) in replies {
            if let Job::Reply(reply) = job {
                reply.send();
            }
        }
        self.progress.notify_all();
    }

    /// Waits until all that was queued before the call has been sent, unless it is hopeless.
    pub(super) fn flush(&self) {
        self.flush_within(HOPELESS);
    }

    /// The same; hopeless is what takes longer than `patience`.
    pub(super) fn flush_within(&self, patience: Duration) {
        let mut queue = self.lock();
        let end = queue.next;
        while queue.oldest() < end && !queue.closed {
            let left = patience.saturating_sub(queue.waited(Instant::now()));
            if left.is_zero() {
                return;
            }
            queue = self
                .progress
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Ends the thread, after what is queued. The replies are sent at once: nobody calls [`relieve`](Self::relieve) any
    /// more, and the thread may wait for a client as long as that likes.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        self.work.notify_all();
        self.send_replies(queue);
    }

    /// The thread's body.
    pub(super) fn run(&self, adapter: &Adapter, channel: &Channel) {
        let mut queue = self.lock();
        loop {
            if let Some((number, job)) = queue.jobs.pop_front() {
                queue.sending = Some((number, Instant::now()));
                drop(queue);
                match job {
                    Job::News(news) if self.nodes.take(&news) => tell(&news, adapter, channel),
                    Job::News(_) => {} // the kernel has forgotten it by itself
                    Job::Reply(reply) => reply.send(),
                }
                queue = self.lock();
                queue.sending = None;
                self.progress.notify_all();
            } else if queue.closed {
                return;
            } else {
                // Others take jobs out too: a reply whose client got a signal, news of no use any more.
                self.progress.notify_all();
                queue = self
                    .work
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

fn is_reply(job: &Job) -> bool {
    matches!(job, Job::Reply(_))
}

/// Errors mean that the kernel does not know the node any more, or that the connection has ended:
/// then there is nothing to forget and nobody to wake.
fn tell(news: &News, adapter: &Adapter, channel: &Channel) {
    match news {
        News::Entry { parent, name, .. } | News::Missing { parent, name } => {
            forget_entry((*parent, name), 0, channel);
        }
        // It is most likely true. To forget it the kernel would unmount what is mounted below.
        News::Moved { parent, name } => {
            forget_entry((*parent, name), abi::EXPIRE_ONLY, channel);
        }
        News::Attributes { id } => {
            if !forget_attributes(*id, channel)
                && let Some(parent) = adapter.parent(*id)
            {
                // We know it and the kernel does not: the answer to its first LOOKUP is under way, perhaps with what was
                // true before. To forget a name, here one that there cannot be, the kernel waits until that LOOKUP has
                // ended.
                forget_entry((parent, b"/"), 0, channel);
                forget_attributes(*id, channel);
            }
        }
    }
}

fn forget_entry((parent, name): (u64, &[u8]), flags: u32, channel: &Channel) {
    let message = NotifyInvalEntry {
        parent,
        namelen: u32::try_from(name.len()).unwrap_or(0),
        flags,
    };
    let _ = channel.notify(notify::INVAL_ENTRY, &message, name);
}

/// Takes no lock of a directory, nor one that a client may have: for any thread, also in a callback. `false`: the kernel
/// does not know the node.
pub(super) fn forget_attributes(id: u64, channel: &Channel) -> bool {
    // A negative offset: attributes only, there is no cached data.
    let message = NotifyInvalInode {
        ino: id,
        off: -1,
        len: 0,
    };
    let told = channel.notify(notify::INVAL_INODE, &message, b"");
    told.map_or_else(|error| error.raw_os_error() != Some(sys::ENOENT), |()| true)
}

//! Hearing of a file's changes without a thread that waits: as a future, by a descriptor, by a callback.
//!
//! The kernel's poll queue of the open node. There `notify` wakes everybody itself; here that is what it
//! does for who sleeps in [`OpenFile::wait_event`], and the rest, which takes locks or runs code of the user,
//! is the tree's notify worker's. No wake-up is lost: who waits registers first and looks second, `notify`
//! counts the event up first and looks for pollers second.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::flags::PollFlags;
use crate::notify::User;
use crate::open::{Handle, OpenFile};
use crate::pollers::{News, Poller};
use crate::sys;

/// A poller of an open file, until it is dropped. Keeps the file open.
struct Registered {
    handle: Handle,
    poller: Arc<dyn Poller>,
    #[expect(dead_code, reason = "dropped")]
    user: Option<User>,
}

impl Registered {
    fn new(handle: &Handle, poller: Arc<dyn Poller>, user: Option<User>) -> Self {
        let pollers = &handle.node.tree.queue.pollers;
        pollers.add(handle.node.id, Arc::clone(&poller));
        Self {
            handle: handle.clone(),
            poller,
            user,
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let node = &self.handle.node;
        if node.tree.is_ours() {
            node.tree.queue.pollers.remove(node.id, &self.poller);
        }
    }
}

// ---- a task ----

/// The newest waker of a task.
#[derive(Default)]
struct Task(Mutex<Option<Waker>>);

impl Task {
    fn exchange(&self, new: Option<Waker>) -> Option<Waker> {
        let mut waker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        core::mem::replace(&mut *waker, new)
    }
}

impl Poller for Task {
    fn tell(&self, _: News) {
        if let Some(waker) = self.exchange(None) {
            waker.wake();
        }
    }
}

/// The future of [`OpenFile::changed`].
#[must_use = "futures do nothing unless polled"]
pub struct Changed<'a> {
    file: &'a OpenFile,
    drains: u32,
    waiting: Option<(Arc<Task>, Registered)>,
}

impl OpenFile {
    /// Waits until the file is notified, without a thread: `Ok` at once if it was since the last read, which
    /// alone clears that. Needs no runtime. Many tasks may wait for one open file, but a read by one of them is
    /// a read for all; each with an open file of its own misses nothing.
    ///
    /// # Errors
    /// ENODEV when the node is gone or was hidden, also if that happens meanwhile. EAGAIN and the like: the
    /// tree's notify worker could not be started.
    ///
    /// ```
    /// # use kernfs::{OpenFlags, Root, ro};
    /// # async fn follow() -> kernfs::Result<()> {
    /// let root = Root::new();
    /// let open = root.attr("speed", ro(|| 7))?.open(OpenFlags::READ)?;
    /// let mut text = [0; 64];
    /// loop {
    ///     let n = open.read_at(&mut text, 0)?;
    ///     print!("{}", text[..n].escape_ascii());
    ///     open.changed().await?;
    /// }
    /// # }
    /// ```
    pub fn changed(&self) -> Changed<'_> {
        Changed {
            file: self,
            drains: self.handle.drains(),
            waiting: None,
        }
    }

    /// A descriptor that becomes readable when the file is notified, and when the node is gone: for poll,
    /// epoll and the event loops made of them. Readable at once if there is something to read already.
    ///
    /// # Errors
    /// ENODEV: the node is gone. EMFILE and the like: no descriptor. EAGAIN and the like: the tree's notify
    /// worker could not be started.
    pub fn change_fd(&self) -> Result<ChangeFd> {
        let handle = &self.handle;
        let drains = handle.drains();
        let fd = Arc::new(EventFd(sys::eventfd()?));
        let user = handle.node.tree.queue.user()?;
        let registered = Registered::new(handle, Arc::<EventFd>::clone(&fd), Some(user));
        if handle.changed_since(drains, "change_fd")? {
            fd.raise();
        }
        Ok(ChangeFd {
            fd,
            _registered: registered,
        })
    }

    /// Calls `f` when the file is notified (with [`PollFlags::CHANGED`]) and when the node is gone (with
    /// [`PollFlags::DEAD`]), until the result is dropped.
    ///
    /// The end is told before the removal waits for the callbacks that run: one of them may wait for `f`.
    ///
    /// `f` runs on the tree's notify worker, which it holds up; notifications that come meanwhile are merged,
    /// the last is not lost. A change before this call is not told: read the file after it. A call that had
    /// begun may still end after the drop.
    ///
    /// # Errors
    /// ENODEV: the node is gone. EAGAIN and the like: the worker could not be started.
    pub fn on_change(&self, f: impl Fn(PollFlags) + Send + Sync + 'static) -> Result<OnChange> {
        let handle = &self.handle;
        let drains = handle.drains();
        let user = handle.node.tree.queue.user()?;
        let poller = Arc::new(Callback(f));
        let registered = Registered::new(handle, poller, Some(user));
        handle.changed_since(drains, "on_change")?;
        Ok(OnChange(registered))
    }
}

impl Future for Changed<'_> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let handle = &this.file.handle;
        let look = || match handle.changed_since(this.drains, "wait") {
            Ok(false) => Poll::Pending,
            Ok(true) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        };
        if look().is_pending() {
            if this.waiting.is_none() {
                // Until the file is closed, so that the next wait need not start the worker again.
                if this.file.worker.get().is_none() {
                    let user = handle.node.tree.queue.user()?;
                    // Another task was faster: one is enough.
                    let _ = this.file.worker.set(user);
                }
                let task = Arc::new(Task::default());
                let registered = Registered::new(handle, Arc::<Task>::clone(&task), None);
                this.waiting = Some((task, registered));
            }
            if let Some((task, _)) = &this.waiting {
                // The clone and the drop are the user's code: not under the lock.
                drop(task.exchange(Some(context.waker().clone())));
            }
        }
        // Once more: a notification before the registration has woken nobody.
        let result = look();
        if result.is_ready() {
            this.waiting = None;
        }
        result
    }
}

impl fmt::Debug for Changed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed")
            .field("waiting", &self.waiting.is_some())
            .finish_non_exhaustive()
    }
}

// ---- a descriptor ----

struct EventFd(File);

impl EventFd {
    fn raise(&self) {
        // EAGAIN: the counter is full, so it is readable.
        let _ = (&self.0).write_all(&1_u64.to_ne_bytes());
    }
}

impl Poller for EventFd {
    fn tell(&self, _: News) {
        self.raise();
    }
}

/// A descriptor that follows an open file; see [`OpenFile::change_fd`]. Keeps the file open.
pub struct ChangeFd {
    fd: Arc<EventFd>,
    _registered: Registered,
}

impl ChangeFd {
    /// Makes the descriptor unreadable until the next notification; tells whether it was readable. Call it
    /// *before* you read the file: then no change is missed.
    pub fn clear(&self) -> bool {
        (&self.fd.0).read_exact(&mut [0; 8]).is_ok()
    }
}

impl AsFd for ChangeFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.0.as_fd()
    }
}

impl AsRawFd for ChangeFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.0.as_raw_fd()
    }
}

impl fmt::Debug for ChangeFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChangeFd").field(&self.as_raw_fd()).finish()
    }
}

// ---- a callback ----

struct Callback<F>(F);

impl<F: Fn(PollFlags) + Send + Sync> Poller for Callback<F> {
    fn tell(&self, news: News) {
        (self.0)(match news {
            News::Changed => PollFlags::CHANGED,
            News::Gone => PollFlags::DEAD,
        });
    }
}

/// A registered callback; see [`OpenFile::on_change`]. Dropping it ends the registration.
#[must_use = "dropping it ends the registration"]
pub struct OnChange(Registered);

impl fmt::Debug for OnChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnChange")
            .field(&self.0.handle.node)
            .finish()
    }
}

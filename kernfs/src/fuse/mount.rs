//! A mount as a value: set up, taken down.
//!
//! Order of the set-up: check the place, mount, shake hands, listen to the tree, serve; so that no news of
//! the tree is missed between the first LOOKUP and the first invalidation. Down: end the pokes, whose way
//! in keeps the mount busy; unmount (which ends the connection, so the threads end); let the clients go; stop listening;
//! join; close what is open.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::adapter::Adapter;
use super::channel::Channel;
use super::exit;
use super::init;
use super::listener::Listener;
use super::mountpoint;
use super::notifier::Notifier;
use super::options::Options;
use super::place::Place;
use super::poker::Poker;
use super::session::Session;
use super::threads::{Kept, Threads, join, spawn};
use crate::error::{Errno, Error, Result};
use crate::notify::Watching;
use crate::root::Root;
use crate::sys::mounting as sys;

/// A tree, mounted. Dropping it unmounts.
///
/// Everything in the mount is served by this process: reads and writes run the callbacks of the
/// [`Ops`](crate::Ops), on the service threads of the mount, with all signals blocked. Removal of a
/// node is exact also here: after [`Node::remove`](crate::Node::remove) its name cannot be opened any
/// more, and open descriptors answer ENODEV.
///
/// **Fork**: a child does not keep the descriptors of /dev/fuse, so the mount ends with the daemon; dropping a `Mount` in
/// a child does nothing.
///
/// **Signals, exit**: see [`Termination`](super::Termination). `std::process::exit` and the return from
/// `main` unmount; a signal that kills does not, but the next [`Mount::new`] on the same directory does.
///
/// **Deadlock**: a callback that uses the mount it is served by needs a free service thread; better use the
/// tree directly.
///
/// ```no_run
/// use kernfs::Root;
/// use kernfs::fuse::{Mount, Options};
///
/// let root = Root::new();
/// let mount = Mount::new(&root, "/run/daemon", &Options::new())?;
/// // cat, echo, poll, ls ... work in /run/daemon until:
/// mount.unmount()?;
/// # Ok::<(), kernfs::Error>(())
/// ```
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    /// `None` after the end.
    live: Option<Live>,
}

/// What a mount consists of while it lives.
#[derive(Debug)]
struct Live {
    place: Place,
    exit_key: u64,
    session: Arc<Session>,
    channel: Arc<Channel>,
    watching: Watching,
    service: Threads,
    notifier: Kept,
    limit: JoinHandle<()>,
    poker: Option<(Arc<Poker>, Kept)>,
    pid: u32,
    /// The tree lives at least as long as the mount.
    _root: Root,
}

impl Mount {
    /// Mounts the tree on a directory, which must exist, be empty, and not be mounted on. What a daemon
    /// that was killed left mounted there is taken away first.
    ///
    /// The mount is nosuid, nodev and noexec, its modes are enforced by the kernel, and it shows as type
    /// `fuse.kernfs`. The calling thread must be in the mount namespace where the mount is wanted.
    ///
    /// # Errors
    /// The text of each names the thing and what to do about it.
    /// - ENOENT: the directory or /dev/fuse does not exist.
    /// - ENOTDIR: it is no directory.
    /// - EBUSY: it is not empty, or mounted on.
    /// - EPERM, EACCES: no right to open /dev/fuse, or to mount, and no fusermount3 that does it for us.
    /// - ENODEV, ENXIO, EOPNOTSUPP: the kernel has no FUSE, or an old one.
    #[doc(alias = "kernfs_get_tree")]
    pub fn new(root: &Root, path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let (path, target) = mountpoint::prepare(path.as_ref())?;
        let device = sys::Device::open().map_err(|error| no_device(&error))?;
        let (place, device) = Place::mount(
            &path,
            target,
            device,
            root.dir().mode(),
            options.allow_other,
        )?;
        let mut undo = Undo(Some(place.clone()));
        let live = Live::start(root, place, Arc::new(Channel::new(device)), options)?;
        undo.0 = None;
        Ok(Self {
            path,
            live: Some(live),
        })
    }

    /// Where it is mounted: absolute, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the mount is still there. It is not after somebody unmounted it from outside.
    pub fn is_mounted(&self) -> bool {
        let connected = |live: &Live| live.channel.is_disconnected().is_ok_and(|ended| !ended);
        self.live
            .as_ref()
            .is_some_and(|live| live.is_here() && connected(live) && live.place.is_ours())
    }

    /// Waits until the kernel knows of every change and every notification of the tree made before the
    /// call: names that are gone cannot be stat'ed any more, pollers are woken. For tests, mostly.
    ///
    /// What inotify hears ([`Options::inotify`]) may come later. So may a notification that another thread is making at
    /// this moment; and all of them where this is called by what runs on the tree's notify worker. See
    /// [`Watching::flush`](crate::Watching::flush).
    ///
    /// Clients may have the kernel keep a directory's lock, for which news of what is in it wait; when that has taken 10 s
    /// this returns.
    ///
    /// Not from a callback that was called through the mount, nor with a lock held that one of
    /// [`SyscallOps`](crate::SyscallOps) takes: the kernel holds a directory's lock meanwhile, which the news waits for.
    pub fn flush(&self) {
        if let Some(live) = self.live.as_ref().filter(|live| live.is_here()) {
            live.watching.flush();
            live.session.notifier.flush();
        }
    }

    /// How many callbacks have run longer than [`Options::callback_limit`], and run on: as many threads are stuck.
    pub fn late_callbacks(&self) -> usize {
        let live = self.live.as_ref().filter(|live| live.is_here());
        live.map_or(0, |live| live.session.late())
    }

    /// Unmounts, and waits for the callbacks that run; those that look at
    /// [`Cx::interrupted`](crate::Cx::interrupted) know that they should end.
    ///
    /// Hold no lock meanwhile that such a callback takes.
    ///
    /// If clients still have files open the mount is taken away all the same: they get ENOTCONN. Where it was fusermount3
    /// that mounted it only detaches: they get ENODEV, callbacks that run then are not waited for, and the mount's threads
    /// end when the last of those files is closed. (`Dir::remove` waits for callbacks in any case.) If
    /// somebody else has unmounted it before, what is there now is left alone. Drop does the same and ignores the error.
    ///
    /// A thread of the mount that waits in the kernel for a directory's lock, which a client keeps, is waited for 2 s. It
    /// ends when he lets go.
    ///
    /// # Errors
    /// EPERM: the right to unmount was given up since. The path then answers ENOTCONN once the process is
    /// gone, until it is unmounted by hand or mounted on by the next daemon.
    pub fn unmount(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        match self.live.take() {
            Some(live) if live.is_here() => live.end(),
            Some(live) => {
                // A forked child: threads, locks, heap and mount are the parent's.
                let _leaked = ManuallyDrop::new((live, std::mem::take(&mut self.path)));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Unmounts, unless the mount has come to life.
struct Undo(Option<Place>);

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = self.0.take().map(|place| place.unmount());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn no_device(error: &std::io::Error) -> Error {
    let why = match error.raw_os_error() {
        Some(sys::ENOENT) => "it does not exist; try modprobe fuse, in Docker --device /dev/fuse",
        Some(sys::EACCES | sys::EPERM) => {
            "no permission; run as root or make it readable and writable, in Docker --device /dev/fuse"
        }
        Some(sys::ENODEV | sys::ENXIO) => "this kernel has no FUSE; try modprobe fuse",
        _ => "it cannot be opened",
    };
    let errno = error.raw_os_error().and_then(Errno::new);
    errno
        .unwrap_or(Errno::EIO)
        .because(format!("cannot mount: {}: {why}", sys::DEVICE))
}

impl Live {
    /// The connection is new: nothing was read from it. On an error or a panic the caller unmounts, and the threads
    /// that were started already end.
    fn start(root: &Root, place: Place, channel: Arc<Channel>, options: &Options) -> Result<Self> {
        init::handshake(&channel, root.flags())?;
        let adapter = Arc::new(Adapter::new(root.dir(), options.ns));
        let notifier = Arc::new(Notifier::new(adapter.nodes()));
        let poker = match options.inotify {
            true => Some((Arc::default(), place.way_in()?)),
            false => None,
        };
        let listener = Arc::new(Listener {
            notifier: Arc::clone(&notifier),
            adapter: Arc::clone(&adapter),
            channel: Arc::clone(&channel),
            poker: poker.as_ref().map(|(poker, _)| Arc::clone(poker)),
        });
        adapter.told_by(&listener);
        let watching = root.watch(listener)?;

        let session = Arc::new(Session::new(
            Arc::clone(&adapter),
            Arc::clone(&notifier),
            Arc::clone(&channel),
            options,
        ));

        // These end with what they wait for, not with the connection; and callbacks may wait to be told.
        let undo = |_: &Error| {
            session.close();
            session.end_limit();
            session.load.close();
            session.close(); // again, as in `end`
            session.notifier.close();
        };
        let service = Threads::start(&session, options.threads).inspect_err(undo)?;
        let (queue, out) = (notifier, Arc::clone(&channel));
        let body = move || queue.run(&adapter, &out);
        let notifier = Kept::spawn("kernfs-inval".into(), body).inspect_err(undo)?;
        let limited = Arc::clone(&session);
        let body = move || limited.enforce_limit();
        let limit = spawn("kernfs-limit".into(), body).inspect_err(undo)?;
        let poker = match poker {
            Some((poker, way)) => {
                let (pokes, root) = (Arc::clone(&poker), root.dir());
                let ns = options.ns;
                let body = move || pokes.run(&root, ns, way);
                let thread = Kept::spawn("kernfs-poke".into(), body).inspect_err(undo)?;
                Some((poker, thread))
            }
            None => None,
        };
        Ok(Self {
            exit_key: exit::note(place.clone()),
            place,
            session,
            channel,
            watching,
            service,
            notifier,
            limit,
            poker,
            pid: process::id(),
            _root: root.clone(),
        })
    }

    /// Whether this is not a forked child, where threads, locks and descriptors of the mount are not.
    fn is_here(&self) -> bool {
        self.pid == process::id()
    }

    fn end(self) -> Result<()> {
        // Its way into the mount makes that busy. If it waits for a client, the end of the connection wakes it.
        let poker = self.poker.and_then(|(poker, thread)| match poker.close() {
            true => {
                thread.join();
                None
            }
            false => Some(thread),
        });
        let ended = self.place.unmount();
        // Before anything is waited for: the news may wait for the lock of a directory, and a poke for that of a file,
        // which a client has whose callback waits until it is told to end.
        self.session.close();
        self.session.end_limit();
        exit::done(self.exit_key);
        drop(self.watching);
        let service = self.service.close();
        self.session.close(); // again: what a thread began to run that came meanwhile
        self.session.notifier.close();
        join(self.limit);
        poker.into_iter().for_each(Kept::join); // its way in may be the last that keeps the connection
        // Somebody else may have detached it while it was busy, or it lives on in another mount namespace, or
        // we may not unmount. Then the threads go on, answer ENODEV, and end with the connection.
        if self.channel.is_disconnected().unwrap_or(true) {
            service.into_iter().for_each(join);
            self.notifier.join(); // the lock of a directory, which it may wait for, outlives the connection
        }
        self.session.adapter.shut();
        ended
    }
}

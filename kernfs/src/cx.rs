//! What a callback is told about the call: which file, opened by whom and how, and who calls now.

use core::fmt;
use core::panic::Location;
use std::sync::Arc;

use crate::active::Active;
use crate::cred::{Caller, Cred};
use crate::error::{Errno, Result};
use crate::flags::OpenFlags;
use crate::held;

/// The file that a callback runs for, seen from below: [`Cx`] needs no more of the node than this.
pub(crate) trait Host: Send + Sync {
    fn id(&self) -> u64;
    fn name(&self) -> Vec<u8>;
    fn path(&self) -> Vec<u8>;
    fn notify(&self);
    /// Tells it from others.
    fn address(&self) -> usize;
}

/// A count of it.
pub(crate) trait Counted: Host {
    fn remove_self(&self, active: &Active<'_>, place: &'static Location<'static>) -> Result<bool>;
}

impl<H: Host> Host for Arc<H> {
    fn id(&self) -> u64 {
        H::id(self)
    }
    fn name(&self) -> Vec<u8> {
        H::name(self)
    }
    fn path(&self) -> Vec<u8> {
        H::path(self)
    }
    fn notify(&self) {
        H::notify(self);
    }
    fn address(&self) -> usize {
        H::address(self)
    }
}

/// The context of one call of a callback.
pub struct Cx<'a> {
    pub(crate) host: &'a dyn Counted,
    pub(crate) flags: OpenFlags,
    /// `None`: this process.
    pub(crate) opener: Option<Cred>,
    pub(crate) caller: Caller<'a>,
    /// The reference of the operation. None in `open`, whose file is not yet one that removal could release, and in
    /// `release`, which has none.
    pub(crate) active: Option<&'a Active<'a>>,
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

    /// Who opened the file: whom to ask for permission. A descriptor may have been handed to somebody with
    /// more rights, who writes what he was given to write (CVE-2021-4197); so it is not the caller who
    /// must be allowed.
    ///
    /// For what this process opened itself, its effective ids as they are now.
    #[doc(alias = "file_cred")]
    #[doc(alias = "f_cred")]
    pub fn opener(&self) -> Cred {
        self.opener.unwrap_or_else(Cred::process)
    }

    /// Who makes this call. When the file is closed, or released by a removal: this process.
    #[doc(alias = "current_cred")]
    pub fn caller(&self) -> Cred {
        self.caller.cred()
    }

    /// Tells pollers that the file changed, as [`File::notify`](crate::File::notify) does.
    #[doc(alias = "kernfs_notify")]
    pub fn notify(&self) {
        self.host.notify();
    }

    /// Whether whoever waits for the result was interrupted. A callback that waits should look, and give
    /// up with EINTR. One that does not: its client in a mount is told EINTR after 50 ms (at once if the file
    /// [may block](crate::Has::MAY_BLOCK)), which does not tell him whether it was done.
    #[doc(alias = "signal_pending")]
    pub fn interrupted(&self) -> bool {
        self.caller.gave_up()
    }

    /// Lets removal and hiding of the file pass this callback by, until the result is dropped.
    ///
    /// For a callback that takes a lock whose holder may remove the file: keep alive by other means what you will
    /// touch, give the protection up, take the lock, and look whether your object is still there. From here on the
    /// file may be removed, drained and *released* while this callback goes on; what [`release`](crate::Ops::release)
    /// takes away must be looked for again under the lock. Dropping the result does not bring the protection back.
    /// Forgetting it is harmless.
    ///
    /// In `open` and `release` it does nothing: removal waits for them.
    ///
    /// ```
    /// # use kernfs::{Cx, Has, Ops, Result};
    /// # use std::sync::Mutex;
    /// static LOCK: Mutex<Option<u32>> = Mutex::new(None); // its holder removes files
    ///
    /// struct Control;
    ///
    /// impl Ops for Control {
    ///     const HAS: Has = Has::WRITE;
    ///     type Open = ();
    ///     fn open(&self, _: &mut Cx<'_>) -> Result<()> {
    ///         Ok(())
    ///     }
    ///     fn write(&self, cx: &mut Cx<'_>, _: &(), data: &[u8], _: u64) -> Result<usize> {
    ///         let _unprotected = cx.break_protection();
    ///         let mut object = LOCK.lock().unwrap();
    ///         *object.as_mut().ok_or(kernfs::Errno::ENODEV)? += 1; // removed meanwhile?
    ///         Ok(data.len())
    ///     }
    /// }
    /// ```
    #[doc(alias = "kernfs_break_active_protection")]
    #[doc(alias = "sysfs_break_active_protection")]
    pub fn break_protection(&mut self) -> Unprotected<'_> {
        Unprotected::of([self.active, None])
    }

    /// Removes the file that this callback runs for, as [`Node::remove`](crate::Node::remove) does, without waiting
    /// for this callback. The open file is released when this returns; the callback goes on.
    ///
    /// Of several callbacks of the file that do so, on several threads, one gets `true`; the others return `false` when
    /// that one has ended, not when its `remove_self` has.
    ///
    /// # Errors
    /// EDEADLK: the thread is inside another callback of the file as well, or this one is `open` or `release`.
    #[doc(alias = "kernfs_remove_self")]
    #[doc(alias = "sysfs_remove_file_self")]
    #[track_caller]
    pub fn remove_self(&mut self) -> Result<bool> {
        let place = Location::caller();
        match self.active {
            Some(active) => self.host.remove_self(active, place),
            None => Err(Errno::EDEADLK.because(format!(
                "removal of {} by its own open or release at {place}",
                self.host.path().escape_ascii()
            ))),
        }
    }
}

/// The context of one call of a [`SyscallOps`](crate::SyscallOps).
#[derive(Debug)]
pub struct SyscallCx<'a> {
    /// The references of the operation; two for a rename.
    pub(crate) active: [Option<&'a Active<'a>>; 2],
    pub(crate) caller: Caller<'a>,
}

impl SyscallCx<'_> {
    /// Who makes this call: whom to ask for permission. The modes of the directories let him come here, if it is a mount
    /// through which he came.
    #[doc(alias = "current_cred")]
    pub fn caller(&self) -> Cred {
        self.caller.cred()
    }

    /// As [`Cx::interrupted`]: whether whoever waits for the result was interrupted.
    #[doc(alias = "signal_pending")]
    pub fn interrupted(&self) -> bool {
        self.caller.gave_up()
    }

    /// As [`Cx::break_protection`], for the nodes of the call: it may then remove them, and take locks whose holder does.
    #[doc(alias = "kernfs_break_active_protection")]
    pub fn break_protection(&mut self) -> Unprotected<'_> {
        Unprotected::of(self.active)
    }
}

/// The callback is not protected while this lives; see [`Cx::break_protection`].
#[must_use = "dropping it ends it"]
#[derive(Debug)]
pub struct Unprotected<'a>([Option<&'a Active<'a>>; 2]);

impl<'a> Unprotected<'a> {
    /// Gives up what is held.
    fn of(active: [Option<&'a Active<'a>>; 2]) -> Self {
        let held = active.map(|active| active.filter(|active| active.give_up()));
        let unprotected = Self(held);
        held::give_up(unprotected.nodes());
        unprotected
    }

    fn nodes(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

impl Drop for Unprotected<'_> {
    #[doc(alias = "kernfs_unbreak_active_protection")]
    fn drop(&mut self) {
        self.0
            .iter()
            .flatten()
            .for_each(|active| active.take_back());
        held::take_back(self.nodes());
    }
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("id", &self.id())
            .field("flags", &self.flags)
            .field("caller", &self.caller)
            .finish()
    }
}

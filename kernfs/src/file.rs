//! [`File`] and [`Link`]: what they do besides being nodes.

use core::fmt;
use std::sync::Arc;

use urcu::Memb;

use crate::cred::Cred;
use crate::error::{Errno, Result};
use crate::flags::{Has, OpenFlags};
use crate::inner::Body;
use crate::node::{File, Link, Node};
use crate::open::{self, OpenFile, Opener};
use crate::path;

impl File {
    /// Opens the file. Runs the owner's `open`.
    ///
    /// # Errors
    /// ENODEV: the node is gone. ENFILE: [`Limits::open_files`](crate::Limits::open_files). EACCES: nobody has that permission, or there is no such callback (with
    /// [`RootFlags::EXTRA_OPEN_PERM_CHECK`](crate::RootFlags)). EIO: the callback panicked. And what the
    /// callback returns.
    #[track_caller]
    pub fn open(&self, flags: OpenFlags) -> Result<OpenFile> {
        open::open(&self.0.0, flags, Opener::Process)
    }

    /// Opens the file for somebody: if the permission bits let these credentials. The callbacks see them as
    /// [`Cx::opener`](crate::Cx::opener). User 0 may do all but what the extra check forbids everybody.
    ///
    /// # Errors
    /// As [`open`](Self::open); EACCES also if the permission bits say so.
    ///
    /// ```
    /// use kernfs::{Cred, Errno, OpenFlags, Root, ro};
    ///
    /// let root = Root::new();
    /// let secret = root.attr("secret", ro(|| 42).mode(0o400))?;
    /// let nobody = Cred { uid: 65534, gid: 65534, pid: 0 };
    /// let error = secret.open_as(OpenFlags::READ, nobody).unwrap_err();
    /// assert_eq!(error.errno(), Errno::EACCES);
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    #[track_caller]
    pub fn open_as(&self, flags: OpenFlags, cred: Cred) -> Result<OpenFile> {
        open::open(&self.0.0, flags, Opener::Checked(cred))
    }

    /// Opens the file for a client of a mount, whom the kernel has checked.
    #[cfg(feature = "fuse")]
    #[track_caller]
    pub(crate) fn open_admitted(&self, flags: OpenFlags, cred: Cred) -> Result<OpenFile> {
        open::open(&self.0.0, flags, Opener::Admitted(cred))
    }

    /// Tells everybody who polls or waits for the file that it changed, and the listeners of the tree.
    ///
    /// Wait-free but for the push to the listeners' queue, which is lock-free; takes no lock, allocates and
    /// frees nothing, keeps errno. May be called from callbacks, in read sections, with any lock held, and
    /// in signal handlers. Pollers are woken at once; listeners hear of it from a worker, where
    /// notifications that follow each other are merged and the last is never lost.
    #[doc(alias = "kernfs_notify")]
    #[doc(alias = "sysfs_notify")]
    pub fn notify(&self) {
        self.0.0.notify();
    }

    /// The size that stat shows.
    pub fn size(&self) -> u64 {
        self.stat().size
    }

    /// Which callbacks the file has.
    pub fn has(&self) -> Has {
        self.0.0.file().map_or(Has::NONE, |file| file.has)
    }

    /// What [`Attr::help`](crate::Attr::help) says of it.
    pub(crate) fn help(&self) -> Option<&'static str> {
        self.0.0.file()?.ops()?.any_help()
    }
}

impl Link {
    /// The node that it points at, which may have been removed.
    pub fn target(&self) -> Option<Node> {
        match &self.0.0.body {
            Body::Link(target) => target.as_ref().map(|t| Node(Arc::clone(t))),
            _ => None,
        }
    }

    /// The text: relative, from the link's directory to where the target is now, or was last.
    ///
    /// # Errors
    /// ENAMETOOLONG: more than 4095 bytes.
    #[doc(alias = "kernfs_iop_get_link")]
    pub fn readlink(&self) -> Result<Vec<u8>> {
        let Some(target) = self.target() else {
            return Err(self.error(Errno::EINVAL, "readlink"));
        };
        path::link_text(&self.0.0, &target.0, &Memb::read_lock())
    }
}

impl fmt::Display for Node {
    /// The path, with bytes that are not printable ASCII escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path().escape_ascii())
    }
}

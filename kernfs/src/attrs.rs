//! Attributes of a node that an owner or a mount changes: mode, owner, times, extended attributes. The kernel's
//! `kernfs_setattr`, `kernfs_xattr_get`, `kernfs_xattr_set` and the handlers of fs/kernfs/inode.c.

use std::sync::Arc;

use urcu::Memb;

use crate::error::{Errno, Result};
use crate::flags::RootFlags;
use crate::mode::{self, Kind, SetAttr};
use crate::node::Node;
use crate::record::Record;
use crate::state::EMPTY_DIR;
use crate::xattr::{Space, XattrHow, Xattrs};

impl Node {
    /// Changes mode, owner and times. Who may do so is the caller's affair, as is that a changed mode means another
    /// ctime. Works on removed nodes too. What stat shows changes at one moment.
    ///
    /// The first change of a node makes its attribute record, in which all times are that moment. From then on a
    /// directory has times: they move with its entries.
    ///
    /// Then the listeners are told, and a mount has the kernel forget what it remembers. Who opens a file through a
    /// mount after `Mount::flush` goes by the new mode.
    ///
    /// # Errors
    /// EINVAL: a mode above 07777. EPERM: a directory that stays empty.
    #[doc(alias = "kernfs_setattr")]
    pub fn setattr(&self, new: &SetAttr) -> Result<()> {
        self.setattr_if(new, |_| Ok(()))
    }

    /// The same if what is there allows it: nobody changes it between the question and the change.
    pub(crate) fn setattr_if(
        &self,
        new: &SetAttr,
        may: impl FnOnce(&Record) -> Result<()>,
    ) -> Result<()> {
        if let Some(mode) = new.mode {
            mode::check(mode)?;
        }
        if self.0.state.has(EMPTY_DIR) {
            return Err(self.error(Errno::EPERM, "setattr"));
        }
        self.0.update(|record| {
            may(record)?;
            record.set(new);
            Ok(())
        })?;
        let id = self.id();
        self.0.tree.queue.tell(|watch| watch.attributes_changed(id));
        Ok(())
    }

    /// What O_TRUNC does through a mount, as in sysfs: the size stays, the times of change do not. Not told to
    /// the listener at this address, that mount's: its kernel asks anew by itself, and to be told so while it asks would
    /// have it show the size of an empty file.
    #[cfg(feature = "fuse")]
    pub(crate) fn was_truncated(&self, but: usize) {
        // In a forked child there is no mount.
        let _ = self.0.update(|record| {
            record.touch(mode::now());
            Ok(())
        });
        let id = self.id();
        self.0.tree.queue.tell(|watch| {
            if core::ptr::from_ref(watch).addr() != but {
                watch.attributes_changed(id);
            }
        });
    }

    /// The value of an extended attribute. Lock-free.
    ///
    /// # Errors
    /// ENODATA: there is none of that name. ERANGE: a name that is empty or longer than 255 bytes. EOPNOTSUPP: a name
    /// that does not begin with "user.", "trusted." or "security.", or a directory that stays empty. EINVAL: nothing
    /// but that.
    #[doc(alias = "kernfs_xattr_get")]
    #[doc(alias = "getxattr")]
    pub fn xattr(&self, name: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let name = name.as_ref();
        self.xattr_space(name, Errno::ENODATA)?;
        let value = self.with_xattrs(|list| list?.get(name).map(<[u8]>::to_vec));
        value.ok_or_else(|| self.error(Errno::ENODATA, "extended attribute"))
    }

    /// The names of the extended attributes, sorted. Lock-free. Those that begin with "trusted." are not for
    /// everybody: a mount leaves them out for who has no CAP_SYS_ADMIN.
    #[doc(alias = "listxattr")]
    pub fn xattrs(&self) -> Vec<Vec<u8>> {
        self.with_xattrs(|list| {
            let names = list.into_iter().flat_map(Xattrs::names);
            names.map(<[u8]>::to_vec).collect()
        })
    }

    /// Sets an extended attribute. Who may do so is the caller's affair.
    ///
    /// # Errors
    /// As [`xattr`](Self::xattr) for the name. EOPNOTSUPP: "user.", without [`RootFlags::SUPPORT_USER_XATTR`]. EPERM:
    /// "user." on a symbolic link. E2BIG: a value of more than 65536 bytes. ENOSPC: more than 128 names in "user.", or
    /// 128 KiB in their values (the value that is replaced counts). EEXIST, ENODATA: see [`XattrHow`]. ENOMEM.
    #[doc(alias = "kernfs_xattr_set")]
    #[doc(alias = "setxattr")]
    pub fn set_xattr(
        &self,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        how: XattrHow,
    ) -> Result<()> {
        let (name, value) = (name.as_ref(), value.as_ref());
        let space = self.xattr_space(name, Errno::EPERM)?;
        self.change_xattrs(|list| list.with(space, name, value, how))
    }

    /// Why one that must be there and must not be there is not set.
    #[cfg(feature = "fuse")]
    pub(crate) fn refuse_xattr(&self, name: &[u8]) -> crate::error::Error {
        let space = self.xattr_space(name, Errno::EPERM);
        let refused = space.and_then(|_| {
            self.change_xattrs(|list| match list.get(name) {
                Some(_) => Err(Errno::EEXIST.into()),
                None => Err(Errno::ENODATA.into()),
            })
        });
        // INVARIANT: the change fails.
        refused.err().unwrap_or_else(|| Errno::EINVAL.into())
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// As [`set_xattr`](Self::set_xattr) for the name. ENODATA: there is none.
    #[doc(alias = "removexattr")]
    pub fn remove_xattr(&self, name: impl AsRef<[u8]>) -> Result<()> {
        let name = name.as_ref();
        self.xattr_space(name, Errno::EPERM)?;
        self.change_xattrs(|list| list.without(name))
    }

    /// The space of a name. `on_link` is for "user." of a symbolic link.
    fn xattr_space(&self, name: &[u8], on_link: Errno) -> Result<Space> {
        let space = Space::of(name)?;
        if self.0.state.has(EMPTY_DIR) {
            return Err(self.error(Errno::EOPNOTSUPP, "extended attribute"));
        }
        if space == Space::User {
            if self.kind() == Kind::Link {
                return Err(self.error(on_link, "extended attribute"));
            }
            let flags = self.0.tree.flags;
            if on_link == Errno::EPERM && !flags.contains(RootFlags::SUPPORT_USER_XATTR) {
                return Err(self.error(Errno::EOPNOTSUPP, "extended attribute of users"));
            }
        }
        Ok(space)
    }

    fn with_xattrs<R>(&self, f: impl FnOnce(Option<&Xattrs>) -> R) -> R {
        let guard = Memb::read_lock();
        let record = self.0.record(&guard);
        f(record.and_then(|record| record.xattrs.as_deref()))
    }

    fn change_xattrs(&self, change: impl FnOnce(&Xattrs) -> Result<Xattrs>) -> Result<()> {
        // The first record brings times of its own. (Of two at a time both may tell: a hint to look.)
        let had_times = self.0.record(&Memb::read_lock()).is_some();
        self.0.update(|record| {
            let none = Xattrs::default();
            let new = change(record.xattrs.as_deref().unwrap_or(&none))?;
            record.xattrs = Some(Arc::new(new));
            Ok(())
        })?;
        if !had_times {
            let id = self.id();
            self.0.tree.queue.tell(|watch| watch.attributes_changed(id));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Root;
    use std::sync::mpsc;
    use std::thread;

    // Who had owned a file asked, the file was given away, and then he changed it.
    #[test]
    fn nobody_changes_a_node_between_the_question_and_the_change() {
        let root = Root::new();
        let node: Node = root.create_dir("dir", 0o755).unwrap().into();
        let mode = |mode| SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        };
        let (asked, wait) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        let other = node.clone();
        thread::scope(|scope| {
            scope.spawn(move || {
                wait.recv().unwrap();
                other.setattr(&mode(0o700)).unwrap();
                done.send(()).unwrap();
            });
            let may = |_: &Record| {
                asked.send(()).unwrap();
                // The other's change would come within these, if it could.
                (0..1000).for_each(|_| thread::yield_now());
                assert!(is_done.try_recv().is_err(), "changed meanwhile");
                Ok(())
            };
            node.setattr_if(&mode(0o711), may).unwrap();
        });
        assert_eq!(node.stat().mode & 0o7777, 0o700, "the later one is left");
    }
}

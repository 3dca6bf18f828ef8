//! The attribute record of a node: owner, mode, times, extended attributes. Most nodes never need one.
//!
//! The kernel's `kernfs_iattrs`, made when something is set for the first time. Here a record never changes: a
//! change publishes another one (with the lock of the records held) and RCU frees the old one, so what stat(2)
//! shows is one moment, without a lock.

use std::sync::Arc;
use std::time::Duration;

use crate::mode::SetAttr;
use crate::xattr::Xattrs;

/// A record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) atime: Duration,
    pub(crate) mtime: Duration,
    pub(crate) ctime: Duration,
    pub(crate) xattrs: Option<Arc<Xattrs>>,
}

impl Record {
    /// A node's first record: all its times are `now`.
    pub(crate) fn new(mode: u32, uid: u32, gid: u32, now: Duration) -> Self {
        Self {
            mode,
            uid,
            gid,
            atime: now,
            mtime: now,
            ctime: now,
            xattrs: None,
        }
    }

    /// The entries of a directory changed.
    pub(crate) fn touch(&mut self, now: Duration) {
        self.mtime = now;
        self.ctime = now;
    }

    pub(crate) fn set(&mut self, new: &SetAttr) {
        fn set<T: Copy>(field: &mut T, new: Option<T>) {
            *field = new.unwrap_or(*field);
        }
        set(&mut self.mode, new.mode);
        set(&mut self.uid, new.uid);
        set(&mut self.gid, new.gid);
        set(&mut self.atime, new.atime);
        set(&mut self.mtime, new.mtime);
        set(&mut self.ctime, new.ctime);
    }
}

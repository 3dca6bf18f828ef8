//! What kind of thing a node is, its permission bits, and what stat(2) shows of it.

use std::time::{Duration, SystemTime};

use crate::error::{Errno, Result};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file: an attribute.
    File,
    /// A symbolic link to another node of the tree.
    Link,
}

/// What stat(2) shows of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The inode number: never used again for another node of the tree.
    pub id: u64,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, at most 07777.
    pub mode: u32,
    /// Owner: the effective user when the root was made, unless another was said.
    pub uid: u32,
    /// Group: the effective group when the root was made, unless another was said.
    pub gid: u32,
    /// Directories: sub-directories + 2; 0 once the node is being removed.
    pub nlink: u32,
    /// As given at creation; 0 for directories and links.
    pub size: u64,
    /// Last access, since the epoch, as [`Node::setattr`](crate::Node::setattr) said. Reading and writing changes
    /// no times.
    pub atime: Duration,
    /// Last change, since the epoch. Of a directory that ever was given an owner, mode, time or extended attribute:
    /// of its entries.
    pub mtime: Duration,
    /// The same.
    pub ctime: Duration,
}

impl Stat {
    /// Whether the permission bits let user `uid`, a member of `groups`, do all of `wanted`: 4 to read, 2 to write,
    /// 1 to execute or search. Knows no capabilities: whoever has CAP_DAC_OVERRIDE need not ask.
    #[doc(alias = "generic_permission")]
    pub fn permits(&self, uid: u32, groups: &[u32], wanted: u32) -> bool {
        let shift = match self {
            _ if uid == self.uid => 6,
            _ if groups.contains(&self.gid) => 3,
            _ => 0,
        };
        (self.mode >> shift) & 0o7 & wanted == wanted
    }
}

/// What [`Node::setattr`](crate::Node::setattr) changes; `None` stays as it is.
///
/// ```
/// let root = kernfs::Root::new();
/// let dir = root.create_dir("d", 0o755)?;
/// dir.setattr(&kernfs::SetAttr { mode: Some(0o700), uid: Some(1000), ..Default::default() })?;
/// assert_eq!((dir.stat().mode, dir.stat().uid), (0o700, 1000));
/// # Ok::<(), kernfs::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "iattr")]
pub struct SetAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Since the epoch.
    pub atime: Option<Duration>,
    /// Since the epoch.
    pub mtime: Option<Duration>,
    /// Since the epoch.
    pub ctime: Option<Duration>,
}

/// Set-group-ID: new entries of such a directory get its group.
pub(crate) const S_ISGID: u32 = 0o2000;

/// The time, since the epoch.
pub(crate) fn now() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Checks permission bits from a caller.
pub(crate) fn check(mode: u32) -> Result<u32> {
    if mode & !0o7777 == 0 {
        Ok(mode)
    } else {
        Err(Errno::EINVAL.because(format!("mode {mode:#o} (07777 is the most)")))
    }
}

/// Checks a size from a caller: stat(2) has a signed field.
pub(crate) fn check_size(size: u64) -> Result<u64> {
    if i64::try_from(size).is_ok() {
        Ok(size)
    } else {
        Err(Errno::EINVAL.because(format!("size {size} (2^63 - 1 is the most)")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_decides() {
        let stat = Stat {
            id: 1,
            kind: Kind::File,
            mode: 0o640,
            uid: 10,
            gid: 20,
            nlink: 1,
            size: 0,
            atime: Duration::ZERO,
            mtime: Duration::ZERO,
            ctime: Duration::ZERO,
        };
        assert!(stat.permits(10, &[], 6) && !stat.permits(10, &[], 1));
        assert!(stat.permits(11, &[5, 20], 4) && !stat.permits(11, &[20], 2));
        assert!(!stat.permits(11, &[], 4) && stat.permits(11, &[], 0));
        // The owner is not helped by what the group may.
        let stat = Stat {
            mode: 0o060,
            ..stat
        };
        assert!(!stat.permits(10, &[20], 4));
    }
}

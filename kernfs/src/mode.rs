//! What kind of thing a node is, its permission bits, and what stat(2) shows of it.

use std::time::Duration;

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
    /// Owner: the effective user when the root was made.
    pub uid: u32,
    /// Group: the effective group when the root was made.
    pub gid: u32,
    /// Directories: sub-directories + 2; 0 once the node is removed.
    pub nlink: u32,
    /// As given at creation; 0 for directories and links.
    pub size: u64,
    /// When the node was made, since the epoch. Reading and writing changes no times.
    pub time: Duration,
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

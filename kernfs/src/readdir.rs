//! Listing a directory.
//!
//! The kernel's `kernfs_fop_readdir`, with two differences. A listing resumes at the true successor of an
//! offset (the kernel may repeat an entry after a removal), and offsets are hash and id, so equal hashes do
//! not share one. Each call fills a buffer and leaves its read section before the caller sees anything.

use core::iter::FusedIterator;

use urcu::Memb;

use crate::mode::Kind;
use crate::node::Dir;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Vec<u8>,
    /// The id (inode number) of the node.
    pub id: u64,
    /// What it is.
    pub kind: Kind,
    /// Where the listing goes on behind this entry; see [`Dir::readdir`]. At least 2^33, at most
    /// 2^63 - 1.
    pub offset: u64,
}

impl Dir {
    /// Up to `most` entries behind `offset`, which is 0 or the offset of an entry of an earlier listing,
    /// whether that exists still or not. Fewer than `most`: that was the end. "." and ".." are not listed.
    ///
    /// An entry that is there during the whole listing comes exactly once, one that is not never; of others
    /// nothing is promised. The order is by hash. Lock-free; costs a search and the copy of the entries.
    pub fn readdir(&self, offset: u64, most: usize) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(most.min(BATCH));
        let Some(dir) = self.0.0.dir() else {
            return entries;
        };
        let guard = Memb::read_lock();
        entries.extend(
            dir.children
                .from(offset.saturating_add(1), &guard)
                .filter(|(_, child)| child.active.is_active())
                .take(most)
                .map(|(key, child)| Entry {
                    name: child.link(&guard).name.to_vec(),
                    id: child.id,
                    kind: child.kind(),
                    offset: key,
                }),
        );
        entries
    }

    /// All entries, read in small batches as the iterator goes on.
    ///
    /// ```
    /// let root = kernfs::Root::new();
    /// for n in 0..3 {
    ///     root.create_dir(format!("d{n}"), 0o755)?;
    /// }
    /// let mut names: Vec<Vec<u8>> = root.entries().map(|e| e.name).collect();
    /// names.sort();
    /// assert_eq!(names, [b"d0", b"d1", b"d2"]);
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    pub fn entries(&self) -> Entries {
        Entries {
            dir: self.clone(),
            batch: Vec::new().into_iter(),
            offset: 0,
            end: false,
        }
    }
}

/// Entries that are copied in one section.
const BATCH: usize = 64;

/// The iterator of [`Dir::entries`].
#[derive(Clone, Debug)]
pub struct Entries {
    dir: Dir,
    batch: std::vec::IntoIter<Entry>,
    offset: u64,
    end: bool,
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.batch.as_slice().is_empty() && !self.end {
            let batch = self.dir.readdir(self.offset, BATCH);
            self.end = batch.len() < BATCH;
            self.batch = batch.into_iter();
        }
        let entry = self.batch.next()?;
        self.offset = entry.offset;
        Some(entry)
    }
}

impl FusedIterator for Entries {}

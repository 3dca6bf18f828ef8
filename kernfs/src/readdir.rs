//! Listing a directory.
//!
//! The kernel's `kernfs_fop_readdir`, with two differences. A listing resumes at the true successor of an
//! offset (the kernel may repeat an entry after a removal), and offsets are hash and id, so equal hashes do
//! not share one. No lock: while a node is being renamed the index has it twice, and its link says which of the two
//! counts (see [`crate::lookup`]). Each call fills a buffer and leaves its read section before the caller sees anything.

use core::iter::FusedIterator;

use urcu::Memb;

use crate::inner;
use crate::mode::Kind;
use crate::node::Dir;
use crate::ns::Ns;

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
    /// An entry that is there during the whole listing under one name comes exactly once, one that is not never; of
    /// others nothing is promised. What is hidden or not activated is not there. The order is by hash. Lock-free; costs a search and the copy of the entries.
    pub fn readdir(&self, offset: u64, most: usize) -> Vec<Entry> {
        self.readdir_ns(offset, most, None)
    }

    /// The same for who sees a name space. A directory with name spaces shows the entries of this one, another
    /// directory all that it has.
    pub fn readdir_ns(&self, offset: u64, most: usize, ns: Option<Ns>) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(most.min(BATCH));
        let node = &self.0.0;
        let Some(dir) = node.dir() else {
            return entries;
        };
        let tag = node.tag(ns);
        let guard = Memb::read_lock();
        entries.extend(
            dir.children
                .range(offset.saturating_add(1).., &guard)
                .filter_map(|(offset, child)| {
                    let link = child.into_ref().link(&guard);
                    let counts = link.is_in(node)
                        && inner::key(link.label.hash(), child.id) == offset
                        && link.label.ns() == tag;
                    (counts && child.active.is_active()).then(|| Entry {
                        name: link.label.name().to_vec(),
                        id: child.id,
                        kind: child.kind(),
                        offset,
                    })
                })
                .take(most),
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
        self.entries_ns(None)
    }

    /// The same as [`readdir_ns`](Self::readdir_ns) sees it.
    pub fn entries_ns(&self, ns: Option<Ns>) -> Entries {
        Entries {
            dir: self.clone(),
            ns,
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
    ns: Option<Ns>,
    batch: std::vec::IntoIter<Entry>,
    offset: u64,
    end: bool,
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.batch.as_slice().is_empty() && !self.end {
            let batch = self.dir.readdir_ns(self.offset, BATCH, self.ns);
            self.end = batch.len() < BATCH;
            self.batch = batch.into_iter();
        }
        let entry = self.batch.next()?;
        self.offset = entry.offset;
        Some(entry)
    }
}

impl FusedIterator for Entries {}

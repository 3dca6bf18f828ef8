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
use crate::name::Label;
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

/// Entries of a directory, in one buffer; see [`Dir::list`].
#[derive(Clone, Debug, Default)]
pub struct Listing {
    names: Vec<u8>,
    entries: Vec<Listed>,
    end: u64,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    id: u64,
    offset: u64,
    name_end: usize,
    kind: Kind,
}

/// An entry of a [`Listing`]: an [`Entry`] whose name is not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'l> {
    /// The name.
    pub name: &'l [u8],
    /// The id (inode number) of the node.
    pub id: u64,
    /// What it is.
    pub kind: Kind,
    /// As [`Entry::offset`].
    pub offset: u64,
}

impl Listing {
    /// An empty one. Allocates nothing.
    pub const fn new() -> Self {
        Self {
            names: Vec::new(),
            entries: Vec::new(),
            end: 0,
        }
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where the listing goes on: the offset of the last entry; without one, that from which it began.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        let mut names = self.names.as_slice();
        let mut begin = 0;
        self.entries.iter().map(move |entry| {
            let (name, rest) = names.split_at(entry.name_end - begin);
            (names, begin) = (rest, entry.name_end);
            EntryRef {
                name,
                id: entry.id,
                kind: entry.kind,
                offset: entry.offset,
            }
        })
    }
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
        self.visit(offset, ns, |label, id, kind, offset| {
            if entries.len() < most {
                let name = label.name().to_vec();
                entries.push(Entry {
                    name,
                    id,
                    kind,
                    offset,
                });
            }
            entries.len() < most
        });
        entries
    }

    /// The same into a buffer, whose old contents go: with the names in one piece, for a long directory or for who lists
    /// again and again.
    ///
    /// ```
    /// let root = kernfs::Root::new();
    /// for n in 0..100 {
    ///     root.create_dir(format!("d{n}"), 0o755)?;
    /// }
    /// let (mut listing, mut all) = (kernfs::Listing::new(), Vec::new());
    /// loop {
    ///     root.list(listing.end(), 30, None, &mut listing);
    ///     all.extend(listing.iter().map(|entry| entry.name.to_vec()));
    ///     if listing.len() < 30 {
    ///         break;
    ///     }
    /// }
    /// all.sort();
    /// all.dedup();
    /// assert_eq!(all.len(), 100);
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    pub fn list(&self, offset: u64, most: usize, ns: Option<Ns>, into: &mut Listing) {
        into.names.clear();
        into.entries.clear();
        into.end = offset;
        self.visit(offset, ns, |label, id, kind, offset| {
            if into.entries.len() < most {
                label.append_to(&mut into.names);
                into.end = offset;
                into.entries.push(Listed {
                    id,
                    offset,
                    name_end: into.names.len(),
                    kind,
                });
            }
            into.entries.len() < most
        });
    }

    /// Shows the entries behind `offset`, in a read section, until `go_on` says no.
    fn visit(
        &self,
        offset: u64,
        ns: Option<Ns>,
        mut go_on: impl FnMut(&Label, u64, Kind, u64) -> bool,
    ) {
        let node = &self.0.0;
        let Some(dir) = node.dir() else {
            return;
        };
        let tag = node.tag(ns);
        let guard = Memb::read_lock();
        for (offset, child) in dir.children.range(offset.saturating_add(1).., &guard) {
            let link = child.into_ref().link(&guard);
            let counts = link.is_in(node)
                && inner::key(link.label.hash(), child.id) == offset
                && link.label.ns() == tag
                && child.active.is_active();
            if counts && !go_on(&link.label, child.id, child.kind(), offset) {
                return;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Root;

    // Names of all lengths, long ones behind a pointer too; in pages, and from an offset whose entry is gone.
    #[test]
    fn a_listing_is_what_readdir_gives() {
        let root = Root::new();
        for len in 1..90 {
            root.create_dir("n".repeat(len), 0o755).unwrap();
        }
        let mut listing = Listing::new();
        for most in [0, 1, 2, 30, usize::MAX] {
            let mut offset = 0;
            loop {
                let entries = root.readdir(offset, most);
                root.list(offset, most, None, &mut listing);
                let listed = listing.iter().map(|entry| Entry {
                    name: entry.name.to_vec(),
                    id: entry.id,
                    kind: entry.kind,
                    offset: entry.offset,
                });
                assert!(listed.eq(entries.iter().cloned()));
                assert_eq!(listing.len(), entries.len());
                assert_eq!(listing.end(), entries.last().map_or(offset, |e| e.offset));
                let Some(last) = entries.last() else { break };
                offset = last.offset;
            }
        }
        let first = root.readdir(0, 1).remove(0);
        root.remove_by_name(&first.name).unwrap();
        root.list(first.offset, 1, None, &mut listing);
        assert_eq!(listing.end(), root.readdir(0, 1)[0].offset);
    }
}

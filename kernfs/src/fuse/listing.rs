//! Nodes in the protocol's terms: the attributes of a node, and a READDIR reply.

use super::abi::{Dirent, WireAttr};
use crate::mode::{Kind, Stat};
use crate::readdir::EntryRef;
use crate::sys::mounting as sys;

fn type_bits(kind: Kind) -> u32 {
    match kind {
        Kind::Dir => sys::S_IFDIR,
        Kind::File => sys::S_IFREG,
        Kind::Link => sys::S_IFLNK,
    }
}

/// What stat(2) shows.
pub(super) fn attr(stat: &Stat) -> WireAttr {
    WireAttr {
        ino: stat.id,
        size: stat.size,
        blocks: 0,
        atime: stat.atime.as_secs(),
        mtime: stat.mtime.as_secs(),
        ctime: stat.ctime.as_secs(),
        atimensec: stat.atime.subsec_nanos(),
        mtimensec: stat.mtime.subsec_nanos(),
        ctimensec: stat.ctime.subsec_nanos(),
        mode: type_bits(stat.kind) | stat.mode,
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// A READDIR reply under construction.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
}

impl<'a> Listing<'a> {
    /// At most `limit` bytes into `out`.
    pub(super) fn new(out: &'a mut Vec<u8>, limit: usize) -> Self {
        Self { out, limit }
    }

    /// Appends an entry; `false` if it did not fit. One that never will is left out: a reply without entries would be
    /// the end of the directory.
    pub(super) fn add(&mut self, entry: EntryRef<'_>) -> bool {
        let len = (size_of::<Dirent>() + entry.name.len()).next_multiple_of(8);
        if len > self.limit {
            return true;
        }
        let end = self.out.len() + len;
        let (Ok(namelen), true) = (u32::try_from(entry.name.len()), end <= self.limit) else {
            return false;
        };
        let header = Dirent {
            ino: entry.id,
            off: entry.offset,
            namelen,
            kind: type_bits(entry.kind) >> 12,
        };
        self.out.reserve(len);
        self.out.extend_from_slice(&header.to_bytes());
        self.out.extend_from_slice(entry.name);
        self.out.resize(end, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::abi::Field as _;
    use super::*;

    #[test]
    fn entries_are_padded_and_limited() {
        let mut out = Vec::new();
        let mut listing = Listing::new(&mut out, 64);
        let add = |listing: &mut Listing<'_>, name| {
            listing.add(EntryRef {
                id: 5,
                kind: Kind::File,
                name,
                offset: 9,
            })
        };
        assert!(add(&mut listing, b"x"));
        assert!(add(&mut listing, b"12345678"));
        assert!(!add(&mut listing, b"y"));
        // It ended the listing, with all behind it.
        assert!(add(&mut listing, &[b'n'; 41]));
        assert_eq!(out.len(), 64);
        let first = Dirent::take(&mut &out[..]);
        assert_eq!(
            first.map(|e| (e.ino, e.off, e.namelen, e.kind)),
            Some((5, 9, 1, 8))
        );
        assert_eq!(&out[24..32], b"x\0\0\0\0\0\0\0");
    }
}

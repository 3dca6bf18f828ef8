//! The wire format of /dev/fuse (protocol 7.31 and later), as far as a kernfs mount speaks it.
//!
//! Each struct is parsed and written field by field in native byte order, so no byte is ever
//! reinterpreted; the sizes are asserted against the protocol's. Source of the layout: the kernel's
//! `include/uapi/linux/fuse.h`. Left out: everything a tree without data blocks, locks, devices and
//! backing files never needs (READDIRPLUS, locks, ioctl payloads, passthrough, io_uring).

use static_assertions::const_assert_eq;

/// The protocol version spoken here: the major is fixed, older minors than 31 are refused.
pub(super) const MAJOR: u32 = 7;
pub(super) const MINOR: u32 = 45;
pub(super) const MIN_MINOR: u32 = 31;

/// The largest WRITE payload, and with it the largest request.
pub(super) const MAX_WRITE: u32 = 1 << 20;
/// A write of up to so many bytes is one request, wherever its buffer lies; a longer one may begin with one that is larger
/// than this.
pub(super) const WHOLE_WRITE: usize = MAX_WRITE as usize - 4096;
/// What must fit a read of the device beside the payload: headers, and names with room to spare.
pub(super) const REQUEST_OVERHEAD: usize = 16 << 10;
/// `MAX_WRITE` in pages; also lifts the limit on names from 1024 bytes to PATH_MAX.
pub(super) const MAX_PAGES: u16 = 256;

/// The nodeid of the root directory.
pub(super) const ROOT_ID: u64 = 1;

/// INIT flags.
pub(super) mod init {
    pub(crate) const ATOMIC_O_TRUNC: u32 = 1 << 3;
    pub(crate) const EXPORT_SUPPORT: u32 = 1 << 4;
    pub(crate) const BIG_WRITES: u32 = 1 << 5;
    pub(crate) const PARALLEL_DIROPS: u32 = 1 << 18;
    pub(crate) const MAX_PAGES: u32 = 1 << 22;
    /// There are `flags2`.
    pub(crate) const INIT_EXT: u32 = 1 << 30;
    /// In `flags2`: no file handles. Linux 6.9; older ones do not look at it.
    pub(crate) const NO_EXPORT_SUPPORT: u32 = 1 << 6;
}

/// `open_flags` of an OPEN reply.
pub(super) mod fopen {
    pub(crate) const DIRECT_IO: u32 = 1 << 0;
    pub(crate) const NOFLUSH: u32 = 1 << 5;
    pub(crate) const PARALLEL_DIRECT_WRITES: u32 = 1 << 6;
}

/// READ: a system call wants it, not the page cache.
pub(super) const READ_LOCKOWNER: u32 = 1 << 1;
/// POLL: the kernel wants a message when the file becomes ready.
pub(super) const POLL_SCHEDULE_NOTIFY: u32 = 1;

/// SETATTR `valid` bits: what is to be changed, and whether `fh` is set. Left out: the size, which stays.
pub(super) mod fattr {
    pub(crate) const MODE: u32 = 1 << 0;
    pub(crate) const UID: u32 = 1 << 1;
    pub(crate) const GID: u32 = 1 << 2;
    pub(crate) const ATIME: u32 = 1 << 4;
    pub(crate) const MTIME: u32 = 1 << 5;
    pub(crate) const ATIME_NOW: u32 = 1 << 7;
    pub(crate) const MTIME_NOW: u32 = 1 << 8;
}

/// Opcodes that are not simply refused.
pub(super) mod op {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const READLINK: u32 = 5;
    pub(crate) const SYMLINK: u32 = 6;
    pub(crate) const MKNOD: u32 = 8;
    pub(crate) const MKDIR: u32 = 9;
    pub(crate) const UNLINK: u32 = 10;
    pub(crate) const RMDIR: u32 = 11;
    pub(crate) const RENAME: u32 = 12;
    pub(crate) const LINK: u32 = 13;
    pub(crate) const OPEN: u32 = 14;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const FSYNC: u32 = 20;
    pub(crate) const SETXATTR: u32 = 21;
    pub(crate) const GETXATTR: u32 = 22;
    pub(crate) const LISTXATTR: u32 = 23;
    pub(crate) const REMOVEXATTR: u32 = 24;
    pub(crate) const FLUSH: u32 = 25;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const OPENDIR: u32 = 27;
    pub(crate) const READDIR: u32 = 28;
    pub(crate) const RELEASEDIR: u32 = 29;
    pub(crate) const FSYNCDIR: u32 = 30;
    pub(crate) const ACCESS: u32 = 34;
    pub(crate) const CREATE: u32 = 35;
    pub(crate) const INTERRUPT: u32 = 36;
    pub(crate) const DESTROY: u32 = 38;
    pub(crate) const IOCTL: u32 = 39;
    pub(crate) const POLL: u32 = 40;
    pub(crate) const NOTIFY_REPLY: u32 = 41;
    pub(crate) const BATCH_FORGET: u32 = 42;
    pub(crate) const FALLOCATE: u32 = 43;
    pub(crate) const RENAME2: u32 = 45;
    pub(crate) const COPY_FILE_RANGE: u32 = 47;
    pub(crate) const TMPFILE: u32 = 51;
}

/// Codes of messages that no request asked for (in the error field, with unique 0).
pub(super) mod notify {
    pub(crate) const POLL: i32 = 1;
    pub(crate) const INVAL_INODE: i32 = 2;
    pub(crate) const INVAL_ENTRY: i32 = 3;
}

/// `flags` of INVAL_ENTRY: the name is only to be looked up anew. Linux 6.2; older ones do not look at it.
pub(super) const EXPIRE_ONLY: u32 = 1;

/// A field of a wire struct.
pub(super) trait Field: Sized {
    /// Takes the field off the front of `bytes`.
    fn take(bytes: &mut &[u8]) -> Option<Self>;
    /// Appends the field.
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Field for $int {
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let (head, tail) = bytes.split_first_chunk()?;
                *bytes = tail;
                Some(<$int>::from_ne_bytes(*head))
            }

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_ne_bytes());
            }
        }
    )*};
}
integers!(u16, u32, u64, i32, i64);

/// Declares a struct of the protocol, its size, and how to take it off and append it.
macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident($size:literal) { $($field:ident: $ty:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) struct $name {
            $(pub(super) $field: $ty),*
        }
        const_assert_eq!(size_of::<$name>(), $size);

        impl Field for $name {
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: Field::take(bytes)?),* })
            }

            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
        }
    )*};
}

wire! {
    /// Before every request.
    InHeader(40) {
        len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32,
        total_extlen: u16, padding: u16,
    }
    /// Before every reply and every notification.
    OutHeader(16) { len: u32, error: i32, unique: u64 }
    /// The part of INIT that every minor version sends.
    InitIn(16) { major: u32, minor: u32, max_readahead: u32, flags: u32 }
    InitOut(64) {
        major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16,
        congestion_threshold: u16, max_write: u32, time_gran: u32, max_pages: u16,
        map_alignment: u16, flags2: u32, unused0: u32, unused1: u64, unused2: u64, unused3: u64,
    }
    WireAttr(88) {
        ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64, atimensec: u32,
        mtimensec: u32, ctimensec: u32, mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32,
        blksize: u32, flags: u32,
    }
    EntryOut(128) {
        nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32,
        attr_valid_nsec: u32, attr: WireAttr,
    }
    AttrOut(104) { attr_valid: u64, attr_valid_nsec: u32, dummy: u32, attr: WireAttr }
    ForgetIn(8) { nlookup: u64 }
    BatchForgetIn(8) { count: u32, dummy: u32 }
    ForgetOne(16) { nodeid: u64, nlookup: u64 }
    GetattrIn(16) { flags: u32, dummy: u32, fh: u64 }
    SetattrIn(88) {
        valid: u32, padding: u32, fh: u64, size: u64, lock_owner: u64, atime: i64, mtime: i64,
        ctime: i64, atimensec: u32, mtimensec: u32, ctimensec: u32, mode: u32, unused4: u32,
        uid: u32, gid: u32, unused5: u32,
    }
    /// Before the name and the value. (The longer form was not negotiated.)
    SetxattrIn(8) { size: u32, flags: u32 }
    /// GETXATTR, before the name, and LISTXATTR: the room of the client, 0 if he asks how much he needs.
    GetxattrIn(8) { size: u32, padding: u32 }
    /// How much he needs.
    GetxattrOut(8) { size: u32, padding: u32 }
    /// Before the name.
    MkdirIn(8) { mode: u32, umask: u32 }
    /// Before the two names.
    RenameIn(8) { newdir: u64 }
    OpenIn(8) { flags: u32, open_flags: u32 }
    OpenOut(16) { fh: u64, open_flags: u32, backing_id: i32 }
    /// READ, READDIR and WRITE share this layout.
    IoIn(40) {
        fh: u64, offset: u64, size: u32, io_flags: u32, lock_owner: u64, flags: u32, padding: u32,
    }
    WriteOut(8) { size: u32, padding: u32 }
    ReleaseIn(24) { fh: u64, flags: u32, release_flags: u32, lock_owner: u64 }
    InterruptIn(8) { unique: u64 }
    PollIn(24) { fh: u64, kh: u64, flags: u32, events: u32 }
    PollOut(8) { revents: u32, padding: u32 }
    StatfsOut(80) {
        blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32,
        frsize: u32, padding: u32, spare0: u64, spare1: u64, spare2: u64,
    }
    /// Before each name of a READDIR reply; the name is padded to 8 bytes.
    Dirent(24) { ino: u64, off: u64, namelen: u32, kind: u32 }
    NotifyPollOut(8) { kh: u64 }
    NotifyInvalInode(24) { ino: u64, off: i64, len: i64 }
    NotifyInvalEntry(16) { parent: u64, namelen: u32, flags: u32 }
}

impl OutHeader {
    /// For the hot path: no allocation.
    pub(super) fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let mut bytes = [0; size_of::<Self>()];
        let (len, rest) = bytes.split_at_mut(4);
        let (error, unique) = rest.split_at_mut(4);
        len.copy_from_slice(&self.len.to_ne_bytes());
        error.copy_from_slice(&self.error.to_ne_bytes());
        unique.copy_from_slice(&self.unique.to_ne_bytes());
        bytes
    }
}

impl Dirent {
    /// For the hot path too: one piece instead of four.
    pub(super) fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let mut bytes = [0; size_of::<Self>()];
        let (ino, rest) = bytes.split_at_mut(8);
        let (off, rest) = rest.split_at_mut(8);
        let (namelen, kind) = rest.split_at_mut(4);
        ino.copy_from_slice(&self.ino.to_ne_bytes());
        off.copy_from_slice(&self.off.to_ne_bytes());
        namelen.copy_from_slice(&self.namelen.to_ne_bytes());
        kind.copy_from_slice(&self.kind.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_back() {
        let entry = EntryOut {
            nodeid: 7,
            attr: WireAttr {
                mode: 0o100_644,
                ..WireAttr::default()
            },
            ..EntryOut::default()
        };
        let mut bytes = Vec::new();
        entry.put(&mut bytes);
        assert_eq!(bytes.len(), size_of::<EntryOut>());
        let mut rest = &bytes[..];
        assert_eq!(EntryOut::take(&mut rest), Some(entry));
        assert!(rest.is_empty());
    }

    #[test]
    fn the_quick_headers_are_the_headers() {
        let header = OutHeader {
            len: 1,
            error: -2,
            unique: 3,
        };
        let mut bytes = Vec::new();
        header.put(&mut bytes);
        assert_eq!(bytes, header.to_bytes());
        let entry = Dirent {
            ino: 1,
            off: 2,
            namelen: 3,
            kind: 4,
        };
        bytes.clear();
        entry.put(&mut bytes);
        assert_eq!(bytes, entry.to_bytes());
    }

    #[test]
    fn a_short_struct_is_refused() {
        let bytes = [0; 39];
        assert_eq!(InHeader::take(&mut &bytes[..]), None);
    }
}

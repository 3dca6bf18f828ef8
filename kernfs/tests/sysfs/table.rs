//! What a case is, which there must be, and where our mount is known to differ.

use std::fmt::Display;

use crate::place::Place;

/// What a case saw: one thing, or several by name. A name is a part of the id in [`DIFFERENCES`].
pub(crate) type Seen = Vec<(&'static str, String)>;

/// An id, and what is done. It leaves what there is as it was, but for the value of an mtu.
pub(crate) type Case = (&'static str, fn(&Place<'_>) -> Seen);

pub(crate) fn one(value: impl Display) -> Seen {
    vec![("", value.to_string())]
}

/// What a case says that this machine has not what it takes for.
pub(crate) const SKIPPED: &str = "skipped";

/// Where our mount differs. Each must: what has become equal is taken out.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Of a case, or `id.name` of one thing that it saw.
    pub(crate) id: &'static str,
    /// The row of the table of `kernfs::fuse` that it comes from.
    pub(crate) row: &'static str,
    /// Whether it depends on the kernel, so that it may be missing.
    pub(crate) varies: bool,
}

const fn differs(id: &'static str, row: &'static str) -> Difference {
    Difference {
        id,
        row,
        varies: false,
    }
}

/// With some kernels.
const fn may_differ(id: &'static str, row: &'static str) -> Difference {
    Difference {
        id,
        row,
        varies: true,
    }
}

const LINKS: &str = "a removed node keeps its link count (before Linux 7)";
const NOT_OPEN: &str =
    "a removed directory that nobody has open can be opened as \"..\", or where it is bound";
const TEXT_MAP: &str = "text cannot be mapped";

pub(crate) const DIFFERENCES: &[Difference] = &[
    differs("s.gone.lseek", "lseek(2) on a removed file is ENODEV"),
    differs("s.gone.mmap", TEXT_MAP),
    differs("s.mmap", TEXT_MAP),
    differs(
        "s.ns.same_ns_same_dev",
        "mounts of one tree with one name space are one file system",
    ),
    differs(
        "s.readdir.last",
        "an offset in a directory is a hash of 31 bits",
    ),
    differs("s.statfs.type", "statfs(2) tells the type"),
    differs(
        "x.gone.cwd.name",
        "a descriptor on something removed shows its path",
    ),
    differs("x.gone.cwd.up", NOT_OPEN),
    may_differ("s.gone.nlink", LINKS),
    may_differ("s.gone.dir_nlink", LINKS),
    may_differ(
        "x.seek.far",
        "offsets in a file end at 2^31 (before Linux 7)",
    ),
    may_differ("s.handle", "no file handles, if the tree has none"),
    may_differ("s.binbig.mmap", "some binary attributes can be mapped"),
    may_differ("x.mmap.size", "a mapping has nothing to do with the size"),
    may_differ("x.sendfile.again.owner", "splice(2) and sendfile(2) read"),
    may_differ("x.lookup.long", "a name has up to 4095 bytes"),
    may_differ("x.inotify.owner", "inotify hears of what the owner does"),
];

/// The cases that there must be at least.
pub(crate) const IDS: &str = "
    s.stat.attr s.stat.dir s.stat.nlink s.stat.link s.readlink s.readlink.short s.link.nofollow s.link.follow
    s.open.ro.wr s.open.ro.rdwr s.open.wo.rd s.open.chmod s.open.chmod0 s.open.access s.open.direct s.open.trunc
    s.open.creat s.mkdir s.rmdir s.rmdir.link s.unlink s.unlink.link s.rename s.symlink
    s.write.ok s.write.bad s.write.keep s.write.zero s.write.off s.write.big s.write.two s.write.writev s.write.mtime
    s.read.eof s.read.seekend s.read.pread s.read.err s.read.err.open s.mmap
    s.poll.unread s.poll.read s.poll.write s.xattr.user s.xattr.user.get s.xattr.list s.xattr.trusted s.handle s.statfs
    s.bin.size s.bin.pread s.bin.past s.bin.end s.bin.wr s.bin.poll s.binbig.read s.binbig.unaligned s.binbig.mmap
    s.link.rename s.rename.dir s.readdir s.gone s.remake s.ns
";

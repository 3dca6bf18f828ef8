//! Turns the bytes of a request into a value, and decides which requests are refused outright.
//!
//! What is refused, and with which errno, is what sysfs answers: no file is created or removed from outside
//! (directories are the affair of the tree's owner), fsync of a file works and does nothing. Some errnos have a second meaning for the
//! kernel: ENOSYS switches an operation off for the whole mount, so it is given only where that is wanted.

use super::abi::{
    self, BatchForgetIn, Field, ForgetIn, ForgetOne, GetattrIn, GetxattrIn, InHeader, InitIn,
    InterruptIn, IoIn, MkdirIn, OpenIn, PollIn, ReleaseIn, RenameIn, SetattrIn, SetxattrIn, op,
};
use crate::sys::mounting as sys;

/// A request, borrowed from the buffer it was read into.
#[derive(Debug)]
pub(super) enum Request<'a> {
    Lookup {
        name: &'a [u8],
    },
    Forget {
        nlookup: u64,
    },
    BatchForget {
        items: Items<'a>,
    },
    Getattr,
    Setattr {
        new: SetattrIn,
    },
    Getxattr {
        name: &'a [u8],
        room: u32,
    },
    Listxattr {
        room: u32,
    },
    Setxattr {
        name: &'a [u8],
        value: &'a [u8],
        flags: u32,
    },
    Removexattr {
        name: &'a [u8],
    },
    Readlink,
    Mkdir {
        name: &'a [u8],
        mode: u32,
    },
    Rmdir {
        name: &'a [u8],
    },
    Rename {
        name: &'a [u8],
        new_parent: u64,
        new_name: &'a [u8],
    },
    Open {
        flags: u32,
    },
    Read {
        fh: u64,
        offset: u64,
        size: u32,
        /// For the page cache, out of which private mappings and splice(2) are served.
        pages: bool,
    },
    Write {
        fh: u64,
        offset: u64,
        data: &'a [u8],
    },
    Statfs,
    Release {
        fh: u64,
    },
    Opendir,
    Readdir {
        fh: u64,
        offset: u64,
        size: u32,
    },
    Releasedir {
        fh: u64,
    },
    Init(InitIn),
    Interrupt {
        unique: u64,
    },
    Poll {
        fh: u64,
        kh: Option<u64>,
    },
    /// Succeeds and does nothing.
    Accept,
    /// Fails with this errno.
    Refuse(i32),
    /// Wants no answer.
    Ignore,
}

impl Request<'_> {
    /// What a client waits for, if that runs callbacks.
    pub(super) fn callback(&self) -> Option<&'static str> {
        Some(match self {
            Request::Open { .. } => "open",
            Request::Read { .. } => "read",
            Request::Write { .. } => "write",
            Request::Poll { .. } => "poll",
            Request::Mkdir { .. } => "mkdir",
            Request::Rmdir { .. } => "rmdir",
            Request::Rename { .. } => "rename",
            _ => return None,
        })
    }
}

/// The pairs of a BATCH_FORGET.
#[derive(Debug)]
pub(super) struct Items<'a>(&'a [u8]);

impl Iterator for Items<'_> {
    type Item = ForgetOne;

    fn next(&mut self) -> Option<ForgetOne> {
        ForgetOne::take(&mut self.0)
    }
}

/// A name ends at its NUL.
fn name(bytes: &[u8]) -> Option<&[u8]> {
    bytes.iter().position(|b| *b == 0).map(|end| &bytes[..end])
}

/// Splits a request into its header and its meaning. `Err` is the header of a request whose body makes
/// no sense (answer EIO); `None` is not even a header.
pub(super) fn parse(bytes: &[u8]) -> Option<Result<(InHeader, Request<'_>), InHeader>> {
    let mut body = bytes;
    let header = InHeader::take(&mut body)?;
    // Extensions stand behind the body; none was negotiated.
    Some(match parse_body(header.opcode, body) {
        Some(request) if header.len as usize == bytes.len() => Ok((header, request)),
        _ => Err(header),
    })
}

fn parse_body(opcode: u32, mut body: &[u8]) -> Option<Request<'_>> {
    let bytes = &mut body;
    Some(match opcode {
        op::LOOKUP => Request::Lookup { name: name(bytes)? },
        op::FORGET => Request::Forget {
            nlookup: ForgetIn::take(bytes)?.nlookup,
        },
        op::BATCH_FORGET => {
            let count = BatchForgetIn::take(bytes)?.count as usize;
            let len = count.checked_mul(size_of::<ForgetOne>())?;
            Request::BatchForget {
                items: Items(bytes.get(..len)?),
            }
        }
        op::GETATTR => {
            GetattrIn::take(bytes)?; // by which descriptor makes no difference
            Request::Getattr
        }
        op::SETATTR => Request::Setattr {
            new: SetattrIn::take(bytes)?,
        },
        op::GETXATTR => Request::Getxattr {
            room: GetxattrIn::take(bytes)?.size,
            name: name(bytes)?,
        },
        op::LISTXATTR => Request::Listxattr {
            room: GetxattrIn::take(bytes)?.size,
        },
        op::SETXATTR => {
            let SetxattrIn { size, flags } = Field::take(bytes)?;
            let name = name(bytes)?;
            let value = bytes.get(name.len() + 1..)?;
            Request::Setxattr {
                name,
                value: value.get(..size as usize)?,
                flags,
            }
        }
        op::REMOVEXATTR => Request::Removexattr { name: name(bytes)? },
        op::READLINK => Request::Readlink,
        op::MKDIR => {
            let MkdirIn { mode, umask } = Field::take(bytes)?;
            Request::Mkdir {
                name: name(bytes)?,
                mode: mode & !umask & 0o7777,
            }
        }
        op::RMDIR => Request::Rmdir { name: name(bytes)? },
        op::RENAME => {
            let new_parent = RenameIn::take(bytes)?.newdir;
            let old = name(bytes)?;
            Request::Rename {
                name: old,
                new_parent,
                new_name: name(bytes.get(old.len() + 1..)?)?,
            }
        }
        op::OPEN => Request::Open {
            flags: OpenIn::take(bytes)?.flags,
        },
        op::READ => {
            let body = IoIn::take(bytes)?;
            Request::Read {
                fh: body.fh,
                offset: body.offset,
                size: body.size,
                pages: body.io_flags & abi::READ_LOCKOWNER == 0,
            }
        }
        op::WRITE => {
            let body = IoIn::take(bytes)?;
            Request::Write {
                fh: body.fh,
                offset: body.offset,
                data: bytes.get(..body.size as usize)?,
            }
        }
        op::STATFS => Request::Statfs,
        op::RELEASE => Request::Release {
            fh: ReleaseIn::take(bytes)?.fh,
        },
        op::OPENDIR => Request::Opendir,
        op::READDIR => {
            let IoIn {
                fh, offset, size, ..
            } = Field::take(bytes)?;
            Request::Readdir { fh, offset, size }
        }
        op::RELEASEDIR => Request::Releasedir {
            fh: ReleaseIn::take(bytes)?.fh,
        },
        op::INIT => Request::Init(Field::take(bytes)?),
        op::INTERRUPT => Request::Interrupt {
            unique: InterruptIn::take(bytes)?.unique,
        },
        op::POLL => {
            let body = PollIn::take(bytes)?;
            Request::Poll {
                fh: body.fh,
                kh: (body.flags & abi::POLL_SCHEDULE_NOTIFY != 0).then_some(body.kh),
            }
        }
        op::FSYNC | op::FLUSH | op::ACCESS | op::DESTROY => Request::Accept,
        op::NOTIFY_REPLY => Request::Ignore,
        other => Request::Refuse(refusal(other, body)),
    })
}

fn refusal(opcode: u32, body: &[u8]) -> i32 {
    match opcode {
        op::CREATE => sys::EACCES,
        // A regular file is made as by open(2), to whom a file system without a way to do so is one without the right.
        op::MKNOD if is_regular(body) => sys::EACCES,
        op::MKNOD | op::SYMLINK | op::LINK | op::UNLINK => sys::EPERM,
        op::RENAME2 | op::FSYNCDIR => sys::EINVAL,
        op::IOCTL => sys::ENOTTY,
        op::TMPFILE | op::FALLOCATE | op::COPY_FILE_RANGE => sys::EOPNOTSUPP,
        // Locks, LSEEK with holes, STATX, SYNCFS: the kernel falls back for good.
        _ => sys::ENOSYS,
    }
}

/// Whether the mode, at the head of the body, is that of a regular file.
fn is_regular(body: &[u8]) -> bool {
    let mode = body.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    mode.is_some_and(|mode| mode & sys::S_IFMT == sys::S_IFREG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(opcode: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        InHeader {
            len: u32::try_from(size_of::<InHeader>() + body.len()).unwrap_or(0),
            opcode,
            unique: 2,
            nodeid: 1,
            ..InHeader::default()
        }
        .put(&mut bytes);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn names_end_at_their_nul() {
        let bytes = message(op::LOOKUP, b"speed\0\0\0");
        match parse(&bytes) {
            Some(Ok((header, Request::Lookup { name }))) => {
                assert_eq!(header.nodeid, 1);
                assert_eq!(name, b"speed");
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            parse(&message(op::LOOKUP, b"speed")),
            Some(Err(_))
        ));
    }

    #[test]
    fn a_rename_has_two_names() {
        let mut body = 7_u64.to_ne_bytes().to_vec();
        body.extend_from_slice(b"old\0newer\0");
        match parse(&message(op::RENAME, &body)) {
            Some(Ok((
                _,
                Request::Rename {
                    name,
                    new_parent,
                    new_name,
                },
            ))) => {
                assert_eq!(
                    (name, new_parent, new_name),
                    (&b"old"[..], 7, &b"newer"[..])
                );
            }
            other => panic!("{other:?}"),
        }
        body.pop();
        assert!(matches!(parse(&message(op::RENAME, &body)), Some(Err(_))));
        let mut body = [0o777_u32.to_ne_bytes(), 0o022_u32.to_ne_bytes()].concat();
        body.extend_from_slice(b"new\0");
        match parse(&message(op::MKDIR, &body)) {
            Some(Ok((_, Request::Mkdir { name, mode }))) => {
                assert_eq!((name, mode), (&b"new"[..], 0o755));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lying_lengths_are_refused() {
        let mut write = Vec::new();
        IoIn {
            size: 100,
            ..IoIn::default()
        }
        .put(&mut write);
        write.extend_from_slice(b"short");
        assert!(matches!(parse(&message(op::WRITE, &write)), Some(Err(_))));
        let forget = [0xff; 8];
        assert!(matches!(
            parse(&message(op::BATCH_FORGET, &forget)),
            Some(Err(_))
        ));
        let mut cut = message(op::STATFS, b"");
        cut.push(0);
        assert!(matches!(parse(&cut), Some(Err(_))));
        assert!(parse(b"").is_none());
    }

    #[test]
    fn nothing_is_created_from_outside() {
        let (regular, directory) = (sys::S_IFREG.to_ne_bytes(), sys::S_IFDIR.to_ne_bytes());
        for (opcode, body, errno) in [
            (op::CREATE, &b""[..], sys::EACCES),
            (op::MKNOD, &regular, sys::EACCES),
            (op::MKNOD, &directory, sys::EPERM),
            (op::MKNOD, b"", sys::EPERM),
            (op::RENAME2, b"", sys::EINVAL),
            (op::FSYNCDIR, b"", sys::EINVAL),
            (op::IOCTL, b"", sys::ENOTTY),
            (9999, b"", sys::ENOSYS),
        ] {
            let bytes = message(opcode, body);
            match parse(&bytes) {
                Some(Ok((_, Request::Refuse(got)))) => assert_eq!(got, errno),
                other => panic!("{other:?}"),
            }
        }
    }
}

//! The system calls that clients make, by name.

macro_rules! calls {
    ($($call:ident $name:literal,)*) => {
        /// What a client asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Call {
            $(#[doc = $name] $call,)*
        }

        /// All of them.
        pub(crate) const ALL: &[Call] = &[$(Call::$call,)*];

        impl Call {
            /// As it is printed.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$call => $name,)*
                }
            }
        }
    };
}

calls! {
    Open "open",
    Create "open O_CREAT",
    Temporary "open O_TMPFILE",
    OpenPath "open O_PATH",
    Reopen "open /proc/self/fd",
    Read "read",
    ReadAt "pread",
    Write "write",
    WriteAt "pwrite",
    Seek "lseek",
    Poll "poll",
    List "getdents64",
    Map "mmap",
    Touch "what is mapped",
    SendFile "sendfile",
    Sync "fsync",
    Ioctl "ioctl",
    Allocate "fallocate",
    Lock "flock",
    Truncate "truncate",
    TruncateFd "ftruncate",
    Stat "fstatat",
    StatFd "fstat",
    Access "faccessat",
    Readlink "readlinkat",
    Mkdir "mkdirat",
    Rmdir "rmdir",
    Unlink "unlink",
    Rename "renameat",
    Rename2 "renameat2",
    Symlink "symlinkat",
    Link "linkat",
    Mknod "mknodat",
    Chmod "fchmodat",
    ChmodFd "fchmod",
    Chown "fchownat",
    ChownFd "fchown",
    Utimes "utimensat",
    SetXattr "setxattr",
    GetXattr "getxattr",
    ListXattr "listxattr",
    RemoveXattr "removexattr",
    FdXattr "fsetxattr",
    Statfs "statfs",
    StatfsFd "fstatfs",
    Handle "name_to_handle_at",
    ByHandle "open_by_handle_at",
    Watch "inotify_add_watch",
}

impl Call {
    /// The call of a number that a client has sent.
    pub(crate) fn from_number(number: usize) -> Option<Self> {
        ALL.get(number).copied()
    }

    /// What a client sends.
    pub(crate) fn number(self) -> usize {
        self as usize
    }
}

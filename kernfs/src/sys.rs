//! Every system and libc call of this crate. Nothing else says `libc::`, nothing else is unsafe. In one file however
//! long, so that there is one place to look for that.
//!
//! The wrappers add no policy: they turn errno into a value and keep pointers inside. What std
//! already does safely (open with CLOEXEC, read, vectored write) is left to std.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

// ---- the tree ----

/// errno numbers that [`Errno`](crate::Errno) names.
pub(crate) mod errno {
    pub(crate) use libc::{
        E2BIG, EACCES, EAGAIN, EBADF, EBUSY, EDEADLK, EEXIST, EFBIG, EINTR, EINVAL, EIO, EISDIR,
        ELOOP, ENAMETOOLONG, ENFILE, ENODATA, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENOTCONN,
        ENOTDIR, EOPNOTSUPP, EPERM, ERANGE, ESRCH, ESTALE, ETIMEDOUT,
    };
}

/// The effective user and group of the process: who owns the nodes.
pub(crate) fn effective_ids() -> (u32, u32) {
    // SAFETY: always succeeds, touches no memory of ours.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: as above.
    let gid = unsafe { libc::getegid() };
    (uid, gid)
}

/// The number of the calling thread.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: always succeeds, touches no memory of ours.
    unsafe { libc::gettid() }
}

/// Set in a forked child of a process that had a tree.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether the process is a forked child of one that had a tree: its threads may have held locks that all trees share.
pub(crate) fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// The process, as far as fork(2) made it one: a number that is another one in a forked child. One load; and a system
/// call where the handler could not be registered. Not seen: a child made by clone(2) or vfork(2) themselves.
pub(crate) fn process() -> u32 {
    extern "C" fn in_child() {
        // Relaxed: the child has one thread.
        FORKED.store(true, Ordering::Relaxed);
        PROCESS.store(std::process::id(), Ordering::Relaxed);
        #[cfg(feature = "fuse")]
        mounting::close_in_child();
    }
    /// 0: not known yet.
    static PROCESS: AtomicU32 = AtomicU32::new(0);
    static BEGUN: AtomicBool = AtomicBool::new(false);

    let known = PROCESS.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // Who comes meanwhile asks the kernel. Not a lock: a fork might leave it taken.
    if !BEGUN.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler stores integers; getpid(2) and close(2) are async-signal-safe. If this code is unloaded, libc
        // forgets the handler.
        let ret = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if ret == 0 {
            PROCESS.store(std::process::id(), Ordering::Relaxed);
        }
    }
    match PROCESS.load(Ordering::Relaxed) {
        0 => std::process::id(),
        known => known,
    }
}

/// Runs `f` in a forked child, and tells whether it returned; for two minutes it is waited for.
#[cfg(test)]
pub(crate) fn returns_in_child(f: impl FnOnce()) -> bool {
    // SAFETY: the child runs what is tested, and its heap is one that glibc repairs at fork.
    let child = unsafe { libc::fork() };
    assert_ne!(child, -1);
    if child == 0 {
        // SAFETY: takes an integer. A child that hangs is ended.
        unsafe { libc::alarm(120) };
        let returned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_ok();
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(i32::from(!returned)) };
    }
    let mut status = -1;
    // SAFETY: our own child; one int to write.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status == 0
}

fn set_mask(how: libc::c_int, set: &libc::sigset_t) -> libc::sigset_t {
    let mut old = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: both sets are valid; `how` is one of the three constants, so it cannot fail.
    unsafe { libc::pthread_sigmask(how, set, old.as_mut_ptr()) };
    // SAFETY: written by the call, and zeroed before.
    unsafe { old.assume_init() }
}

/// Runs `f` with every signal blocked: threads it starts never run the program's handlers.
pub(crate) fn with_signals_blocked<T>(f: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `all` is one sigset_t.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: filled above.
    let all = unsafe { all.assume_init() };
    let old = set_mask(libc::SIG_SETMASK, &all);
    let out = f();
    set_mask(libc::SIG_SETMASK, &old);
    out
}

/// A new memfd that nobody can seal: nobody can forbid to shrink it, or its owner to write to it.
pub(crate) fn memfd(name: &CStr) -> io::Result<File> {
    let create = |flags| {
        // SAFETY: a NUL-terminated string that lives over the call.
        owned(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | flags) })
    };
    // Where the sysctl vm.memfd_noexec is 2 there are no others; kernels before 6.3 do not know the flag.
    let file = create(libc::MFD_NOEXEC_SEAL).or_else(|_| create(0))?;
    forbid_seals(&file)?;
    Ok(file.into())
}

/// Whoever has a memfd may seal it, if it was made without execute permission: by that flag, or by the sysctl alone.
fn forbid_seals(file: &OwnedFd) -> io::Result<()> {
    // SAFETY: an open descriptor; takes integers.
    let ret = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SEAL) };
    match io::Error::last_os_error() {
        error if ret == -1 && error.raw_os_error() != Some(libc::EPERM) => Err(error),
        _ => Ok(()), // EPERM: it was made as one that is not to be sealed
    }
}

/// Another description of the same file, open for reading only.
pub(crate) fn reopen_read_only(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Where a file has data: at `from` or behind it. `None`: nowhere.
pub(crate) fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    let Ok(from) = libc::off_t::try_from(from) else {
        return Ok(None);
    };
    // SAFETY: takes no memory of ours. The position that it leaves is nobody's who may count on it.
    let at = unsafe { libc::lseek(file.as_raw_fd(), from, libc::SEEK_DATA) };
    match u64::try_from(at) {
        Ok(at) => Ok(Some(at)),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
    }
}

/// A new eventfd that never blocks.
pub(crate) fn eventfd() -> io::Result<File> {
    // SAFETY: takes no memory of ours.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(File::from)
}

/// Two connected sockets that keep messages apart and tell when the other one is closed.
pub(crate) fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    socket_pair(libc::SOCK_SEQPACKET)
}

fn socket_pair(kind: libc::c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut pair = [-1; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: `pair` has room for the two descriptors.
    let ret = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
    if ret == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok((owned(pair[0])?, owned(pair[1])?))
}

/// Sends one message; never blocks, never raises SIGPIPE.
pub(crate) fn send_packet(socket: &OwnedFd, message: &[u8]) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and the length are those of a slice that lives over the call.
    let ret = unsafe {
        libc::send(
            socket.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            flags,
        )
    };
    if ret == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The result of a call that makes a descriptor.
fn owned(ret: libc::c_int) -> io::Result<OwnedFd> {
    if ret == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made by the kernel for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(ret) })
}

/// Tells something on stderr if that has room, or soon. Not by std: nobody may read stderr, which must hold up neither a
/// callback's client nor the end of a mount, and whoever waits for room has std's lock. One write, so that lines do not mix.
pub(crate) fn say(line: &str) {
    /// In milliseconds, for a reader who is only slow.
    const PATIENCE: libc::c_int = 10;
    let mut item = libc::pollfd {
        fd: libc::STDERR_FILENO,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one pollfd, valid for reading and writing.
    unsafe { libc::poll(&raw mut item, 1, PATIENCE) };
    if item.revents & libc::POLLOUT != 0 {
        // So much fits into a pipe that has room.
        let len = line.len().min(libc::PIPE_BUF);
        // SAFETY: the pointer and the length are within a string that lives over the call.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), len) };
    }
}

// ---- the mount (feature `fuse`) ----

#[cfg(feature = "fuse")]
pub(crate) mod mounting {
    //! mount(2), umount2(2), /dev/fuse and the signals of a daemon that has a mount.

    use std::ffi::{CStr, CString, OsStr};
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::mem::MaybeUninit;
    use std::ops::Deref;
    use std::os::fd::{AsRawFd, OwnedFd, RawFd};
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::set_mask;
    pub(crate) use super::{memfd, with_signals_blocked};

    /// Bits of the flags word of FUSE_OPEN, and of a poll mask, that this crate looks at.
    pub(crate) use libc::{
        O_ACCMODE, O_DIRECT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG,
    };

    /// errno values that decide something in this crate.
    pub(crate) use libc::{
        EACCES, EAGAIN, EBADF, EBUSY, ECONNABORTED, EINTR, EINVAL, EIO, ENODEV, ENOENT, ENOSYS,
        ENOTCONN, ENOTTY, ENXIO, EOPNOTSUPP, EPERM, EPROTO, ERANGE, ETIMEDOUT,
    };

    /// Flags of SETXATTR.
    pub(crate) use libc::{XATTR_CREATE, XATTR_REPLACE};

    /// The path of the device.
    pub(crate) const DEVICE: &str = "/dev/fuse";

    /// `FUSE_DEV_IOC_CLONE`, `_IOR(229, 0, u32)`.
    const FUSE_DEV_IOC_CLONE: libc::Ioctl = 0x8004_e500;

    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

    fn check(ret: libc::c_int) -> io::Result<()> {
        if ret == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// A descriptor of /dev/fuse. Children do not keep it, or a dead daemon's mount would hang until the last of them
    /// ends: std sets O_CLOEXEC for those that exec, and the others close it as soon as they are there. (Not those of
    /// other threads' fork(2) just while it is opened; nor, with more than some hundred, those beyond.)
    #[derive(Debug)]
    pub(crate) struct Device {
        file: File,
        noted: Option<&'static AtomicI32>,
    }

    /// The descriptors that a forked child closes; -1: none.
    static DEVICES: [AtomicI32; 256] = [const { AtomicI32::new(-1) }; 256];

    /// In a forked child: the only thread.
    pub(super) fn close_in_child() {
        for noted in &DEVICES {
            match noted.swap(-1, Ordering::Relaxed) {
                -1 => {}
                // SAFETY: a descriptor of ours. Whoever has its `Device` belongs to the parent's threads, or to a
                // `Mount`, which does nothing in a child; a service thread whose callback forks neither answers
                // nor reads in the child.
                fd => drop(unsafe { libc::close(fd) }),
            }
        }
    }

    impl Device {
        /// Opens it.
        pub(crate) fn open() -> io::Result<Self> {
            let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
            Ok(Self::noted(file))
        }

        fn noted(file: File) -> Self {
            let fd = file.as_raw_fd();
            let free = |noted: &AtomicI32| {
                noted
                    .compare_exchange(-1, fd, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            };
            let noted = DEVICES.iter().find(|noted| free(noted));
            Self { file, noted }
        }
    }

    #[cfg(test)]
    impl From<File> for Device {
        fn from(file: File) -> Self {
            Self { file, noted: None }
        }
    }

    impl Deref for Device {
        type Target = File;
        fn deref(&self) -> &File {
            &self.file
        }
    }

    impl Drop for Device {
        fn drop(&mut self) {
            // Before it is closed, when the number may be somebody else's.
            if let Some(noted) = self.noted {
                noted.store(-1, Ordering::Relaxed);
            }
        }
    }

    /// A second device of the connection behind `session`, with its own queue of requests being served.
    pub(crate) fn clone_device(session: &File) -> io::Result<Device> {
        let device = Device::open()?;
        let source = session.as_raw_fd().cast_unsigned();
        // SAFETY: the ioctl reads one u32 at the address, which is valid for the call; both
        // descriptors are open, and a wrong one is an error.
        let ret = unsafe { libc::ioctl(device.as_raw_fd(), FUSE_DEV_IOC_CLONE, &raw const source) };
        check(ret)?;
        Ok(device)
    }

    /// mount(2) with nosuid, nodev, noexec.
    pub(crate) fn mount(source: &CStr, target: &CStr, kind: &CStr, data: &CStr) -> io::Result<()> {
        // SAFETY: four NUL-terminated strings that live over the call; the kernel copies them.
        let ret = unsafe {
            libc::mount(
                source.as_ptr(),
                target.as_ptr(),
                kind.as_ptr(),
                libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
                data.as_ptr().cast(),
            )
        };
        check(ret)
    }

    /// How to unmount.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Unmount {
        /// Fails with EBUSY while anything in it is open.
        Plain,
        /// Takes the name away at once; what is open stays open.
        Detach,
        /// Aborts the connection (every request fails with ENOTCONN), then detaches.
        Abort,
    }

    /// umount2(2), never through a symbolic link.
    pub(crate) fn unmount(target: &CStr, how: Unmount) -> io::Result<()> {
        let flags = libc::UMOUNT_NOFOLLOW
            | match how {
                Unmount::Plain => 0,
                Unmount::Detach => libc::MNT_DETACH,
                Unmount::Abort => libc::MNT_FORCE | libc::MNT_DETACH,
            };
        // SAFETY: a NUL-terminated string that lives over the call.
        check(unsafe { libc::umount2(target.as_ptr(), flags) })
    }

    /// Two connected stream sockets. The second one's number is none of stdin, stdout, stderr.
    pub(crate) fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
        let (ours, theirs) = super::socket_pair(libc::SOCK_STREAM)?;
        // SAFETY: an open descriptor; takes integers.
        let moved = unsafe { libc::fcntl(theirs.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
        Ok((ours, super::owned(moved)?))
    }

    /// The command's program gets the descriptor, which keeps its number.
    pub(crate) fn keep_over_exec(command: &mut Command, kept: OwnedFd) {
        let keep = move || {
            // SAFETY: an open descriptor, in the child only; takes integers.
            check(unsafe { libc::fcntl(kept.as_raw_fd(), libc::F_SETFD, 0) })
        };
        // SAFETY: between fork and exec it makes one system call.
        unsafe { command.pre_exec(keep) };
    }

    /// The /dev/fuse that somebody has sent into the other end of this stream socket. Does not wait. `None`: nothing came.
    pub(crate) fn receive_device(socket: &OwnedFd) -> io::Result<Option<Device>> {
        #[repr(C)]
        union Control {
            header: libc::cmsghdr,
            room: [u8; 64],
        }
        let mut byte = 0_u8;
        let mut data = libc::iovec {
            iov_base: (&raw mut byte).cast(),
            iov_len: 1,
        };
        let mut control = Control { room: [0; 64] };
        // SAFETY: plain integers and pointers, for which zero means nothing.
        let mut message = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
        message.msg_iov = &raw mut data;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>();
        let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
        // SAFETY: an open descriptor; all that the message points to is there, with room as it says.
        let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        if len == -1 {
            return match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                error => Err(error),
            };
        }
        // SAFETY: as the kernel has filled it in.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: null, or within `control`, which is aligned for it.
        let Some(first) = (unsafe { header.as_ref() }) else {
            return Ok(None);
        };
        // SAFETY: computes with an integer.
        let one = unsafe { libc::CMSG_LEN(size_of::<RawFd>() as libc::c_uint) } as usize;
        let is_one = (first.cmsg_level, first.cmsg_type, first.cmsg_len)
            == (libc::SOL_SOCKET, libc::SCM_RIGHTS, one);
        if !is_one {
            return Ok(None);
        }
        // SAFETY: `header` is one, and not the end of what there is.
        let at = unsafe { libc::CMSG_DATA(header) };
        // SAFETY: there is one integer, perhaps not aligned.
        let fd = unsafe { at.cast::<RawFd>().read_unaligned() };
        Ok(Some(Device::noted(super::owned(fd)?.into())))
    }

    /// Whether the connection behind a /dev/fuse descriptor has ended (poll(2) says POLLERR).
    pub(crate) fn is_disconnected(device: &File) -> io::Result<bool> {
        let mut item = libc::pollfd {
            fd: device.as_raw_fd(),
            events: 0,
            revents: 0,
        };
        // SAFETY: one pollfd, valid for reading and writing; timeout 0, so it does not sleep.
        check(unsafe { libc::poll(&raw mut item, 1, 0) })?;
        Ok(item.revents & libc::POLLERR != 0)
    }

    /// Truncates the file at `path` below `dir` to nothing, if that leads over no mount and no link. (EXDEV, ELOOP.)
    pub(crate) fn truncate_below(dir: &File, path: &CStr) -> io::Result<()> {
        let mut how = MaybeUninit::<libc::open_how>::zeroed();
        // SAFETY: plain integers, for which zero means nothing.
        let how = unsafe { how.assume_init_mut() };
        how.flags = (libc::O_PATH | libc::O_CLOEXEC).unsigned_abs().into();
        how.resolve = libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_BENEATH;
        let size = size_of::<libc::open_how>();
        // SAFETY: an open descriptor, a NUL-terminated string and an open_how of that size; all live over the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                &raw const *how,
                size,
            )
        };
        let file = super::owned(libc::c_int::try_from(fd).unwrap_or(-1))?;
        let place = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        // SAFETY: a NUL-terminated string that lives over the call. It leads to what was opened, whatever is where now.
        check(unsafe { libc::truncate(place.as_ptr(), 0) })
    }

    /// Opens a directory as a place only (O_PATH).
    pub(crate) fn open_path(path: &CStr) -> io::Result<File> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let path = OsStr::from_bytes(path.to_bytes());
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    }

    /// Which mount a path lies in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct MountId {
        pub(crate) id: u64,
        /// The path is the root of that mount.
        pub(crate) is_root: bool,
    }

    /// Which of the two ids of a mount.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum IdKind {
        /// The one of /proc/self/mountinfo; used again after the unmount.
        Listed,
        /// One that is never used again (Linux 6.8, else the listed one).
        Unique,
    }

    /// statx(2) for the mount id only: asks no file system for fresh attributes, follows no link.
    pub(crate) fn mount_id(path: &CStr, kind: IdKind) -> io::Result<MountId> {
        statx(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW, kind)
    }

    /// The same of something that is open.
    pub(crate) fn mount_id_of(file: &File, kind: IdKind) -> io::Result<MountId> {
        statx(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH, kind)
    }

    fn statx(dir: RawFd, path: &CStr, flags: libc::c_int, kind: IdKind) -> io::Result<MountId> {
        let mask = match kind {
            IdKind::Listed => libc::STATX_MNT_ID,
            IdKind::Unique => libc::STATX_MNT_ID | libc::STATX_MNT_ID_UNIQUE,
        };
        let mut out = MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: `path` is NUL-terminated, `out` is one statx the kernel may write.
        let ret = unsafe {
            libc::statx(
                dir,
                path.as_ptr(),
                flags | libc::AT_NO_AUTOMOUNT | libc::AT_STATX_DONT_SYNC,
                mask,
                out.as_mut_ptr(),
            )
        };
        check(ret)?;
        // SAFETY: zeroed above, and statx is plain integers: every bit pattern is a value.
        let out = unsafe { out.assume_init() };
        Ok(MountId {
            id: out.stx_mnt_id,
            is_root: out.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0,
        })
    }

    fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: `set` is one sigset_t.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        for &signal in signals {
            // SAFETY: initialised by sigemptyset; a wrong number would be an error only.
            unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
        }
        // SAFETY: filled above.
        unsafe { set.assume_init() }
    }

    const TERMINATION: [libc::c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

    /// Blocks SIGTERM, SIGINT and SIGHUP in the calling thread and in those it starts later.
    pub(crate) fn block_termination() {
        set_mask(libc::SIG_BLOCK, &signal_set(&TERMINATION));
    }

    /// A descriptor that can be read while one of them is pending.
    pub(crate) fn termination_fd() -> io::Result<File> {
        let set = signal_set(&TERMINATION);
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: a valid set; -1 asks for a new descriptor.
        super::owned(unsafe { libc::signalfd(-1, &raw const set, flags) }).map(File::from)
    }

    /// Sleeps until one of them is pending, takes it, returns its number.
    pub(crate) fn wait_termination() -> io::Result<i32> {
        let set = signal_set(&TERMINATION);
        let mut signal = 0;
        // SAFETY: a valid set and one int to write.
        match unsafe { libc::sigwait(&raw const set, &raw mut signal) } {
            0 => Ok(signal),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// The same; or 0 when `end` can be read. `signals` is the descriptor for them.
    pub(crate) fn wait_termination_or(signals: &File, end: &File) -> io::Result<i32> {
        let set = signal_set(&TERMINATION);
        let now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        loop {
            // Not from the descriptor: it would have to be read as a struct.
            // SAFETY: a valid set and time; nothing more is asked for about the signal.
            let signal =
                unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const now) };
            if signal > 0 {
                return Ok(signal);
            }
            let mut items = [signals, end].map(|file| libc::pollfd {
                fd: file.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            });
            // SAFETY: two pollfds, valid for reading and writing.
            match check(unsafe { libc::poll(items.as_mut_ptr(), 2, -1) }) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(()) if items[0].revents == 0 && items[1].revents != 0 => return Ok(0),
                _ => {} // a signal, unless another thread takes it
            }
        }
    }

    /// Sends one of them to the calling thread, which has blocked it; its number.
    #[cfg(test)]
    pub(crate) fn hang_up() -> i32 {
        // SAFETY: takes an integer, and runs no handler.
        assert_eq!(unsafe { libc::raise(libc::SIGHUP) }, 0);
        libc::SIGHUP
    }

    /// Runs `f` when the process ends by exit(3) or by returning from main.
    pub(crate) fn at_exit(f: extern "C" fn()) {
        // SAFETY: registering a function that takes and returns nothing. A full table only means
        // that it is not called.
        unsafe { libc::atexit(f) };
    }
}

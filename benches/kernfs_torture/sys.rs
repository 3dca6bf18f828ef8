//! All calls into libc: those that clients make on the mount, with any argument; and what the daemon needs.
//!
//! Each says what the kernel says: a number, or an errno.

use core::ffi::{CStr, c_int, c_uint};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

/// What a call came to.
pub(crate) type Answer<T = i64> = Result<T, i32>;

/// A file handle of name_to_handle_at(2): the header, and room for 128 bytes.
pub(crate) type FileHandle = [u32; 34];

/// A directory descriptor and a path from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a>(pub(crate) c_int, pub(crate) &'a CStr);

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn answer(ret: impl Into<i64>) -> Answer {
    match ret.into() {
        -1 => Err(errno()),
        ret => Ok(ret),
    }
}

fn length(ret: isize) -> Answer<usize> {
    usize::try_from(ret).map_err(|_| errno())
}

pub(crate) fn open(at: At<'_>, flags: c_int, mode: c_uint) -> Answer<c_int> {
    // SAFETY: a NUL-terminated path; the kernel checks the descriptor.
    let fd = unsafe { libc::openat(at.0, at.1.as_ptr(), flags | libc::O_CLOEXEC, mode) };
    answer(fd).map(|fd| fd as c_int)
}

/// Closes a descriptor that [`open`] gave, and that its caller does not use any more.
pub(crate) fn close(fd: c_int) {
    // SAFETY: clients use raw numbers only: nothing owns a descriptor that this could close under it.
    unsafe { libc::close(fd) };
}

pub(crate) fn read(fd: c_int, buffer: &mut [u8]) -> Answer<usize> {
    // SAFETY: the kernel writes at most as many bytes as there are.
    length(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) })
}

pub(crate) fn read_at(fd: c_int, buffer: &mut [u8], offset: i64) -> Answer<usize> {
    let (to, len) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the kernel writes at most as many bytes as there are.
    length(unsafe { libc::pread(fd, to, len, offset) })
}

pub(crate) fn write(fd: c_int, data: &[u8]) -> Answer<usize> {
    // SAFETY: the kernel reads as many bytes as there are.
    length(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) })
}

pub(crate) fn write_at(fd: c_int, data: &[u8], offset: i64) -> Answer<usize> {
    // SAFETY: the kernel reads as many bytes as there are.
    length(unsafe { libc::pwrite(fd, data.as_ptr().cast(), data.len(), offset) })
}

pub(crate) fn seek(fd: c_int, offset: i64, whence: c_int) -> Answer {
    // SAFETY: integers only.
    answer(unsafe { libc::lseek(fd, offset, whence) })
}

/// poll(2) with a timeout.
pub(crate) fn poll(fd: c_int, events: i16, milliseconds: c_int) -> Answer {
    let mut item = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: one pollfd, valid for reading and writing.
    answer(unsafe { libc::poll(&raw mut item, 1, milliseconds) })?;
    Ok(item.revents.into())
}

/// getdents64(2); how many bytes.
pub(crate) fn list(fd: c_int, buffer: &mut [u8]) -> Answer<usize> {
    let (to, len) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the kernel writes at most as many bytes as there are.
    let n = unsafe { libc::syscall(libc::SYS_getdents64, fd, to, len) };
    usize::try_from(n).map_err(|_| errno())
}

/// Memory of a file, unmapped when this is dropped. Never looked at by this process itself: that may be SIGBUS.
#[derive(Debug)]
pub(crate) struct Mapped(*mut libc::c_void, usize);

impl Mapped {
    pub(crate) fn new(fd: c_int, len: usize, offset: i64, shared: bool) -> Answer<Self> {
        let kind = match shared {
            true => libc::MAP_SHARED,
            false => libc::MAP_PRIVATE,
        };
        let null = ptr::null_mut();
        // SAFETY: a new mapping where the kernel likes it: it takes the place of nothing.
        let at = unsafe { libc::mmap(null, len, libc::PROT_READ, kind, fd, offset) };
        match at {
            libc::MAP_FAILED => Err(errno()),
            at => Ok(Self(at, len)),
        }
    }

    /// What is in it: the kernel copies it through the file `through`, and tells EFAULT where touching it is SIGBUS.
    pub(crate) fn copy(&self, through: c_int, buffer: &mut [u8]) -> Answer<usize> {
        let len = self.1.min(buffer.len());
        // SAFETY: as many bytes as the mapping has; whether they are there the kernel finds out.
        let written = length(unsafe { libc::pwrite(through, self.0.cast_const(), len, 0) })?;
        read_at(through, &mut buffer[..written], 0)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: our own mapping, whole, to which there are no references.
        unsafe { libc::munmap(self.0, self.1) };
    }
}

/// Memory as a file.
pub(crate) fn memory_file() -> Answer<c_int> {
    // SAFETY: a NUL-terminated name.
    let fd = unsafe { libc::memfd_create(c"torture".as_ptr(), libc::MFD_CLOEXEC) };
    answer(fd).map(|fd| fd as c_int)
}

pub(crate) fn send_file(to: c_int, from: c_int, offset: i64, count: usize) -> Answer<usize> {
    let mut offset = offset;
    // SAFETY: one offset, valid for reading and writing.
    length(unsafe { libc::sendfile(to, from, &raw mut offset, count) })
}

pub(crate) fn sync(fd: c_int, data_only: bool) -> Answer {
    if data_only {
        // SAFETY: an integer.
        return answer(unsafe { libc::fdatasync(fd) });
    }
    // SAFETY: an integer.
    answer(unsafe { libc::fsync(fd) })
}

/// A request that nobody knows.
pub(crate) fn ioctl(fd: c_int) -> Answer {
    // SAFETY: no argument is a pointer that is followed: the request is unknown everywhere.
    answer(unsafe { libc::ioctl(fd, 0x6b01, 0) })
}

pub(crate) fn allocate(fd: c_int, offset: i64, len: i64) -> Answer {
    // SAFETY: integers only.
    answer(unsafe { libc::fallocate(fd, 0, offset, len) })
}

/// flock(2), never waiting.
pub(crate) fn lock(fd: c_int, kind: c_int) -> Answer {
    // SAFETY: integers only.
    answer(unsafe { libc::flock(fd, kind | libc::LOCK_NB) })
}

pub(crate) fn truncate(path: &CStr, len: i64) -> Answer {
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::truncate(path.as_ptr(), len) })
}

pub(crate) fn truncate_fd(fd: c_int, len: i64) -> Answer {
    // SAFETY: integers only.
    answer(unsafe { libc::ftruncate(fd, len) })
}

/// All zero.
fn empty_stat() -> libc::stat {
    // SAFETY: a struct of integers.
    unsafe { core::mem::zeroed() }
}

/// The link count.
pub(crate) fn stat(at: At<'_>, flags: c_int) -> Answer {
    let mut stat = empty_stat();
    // SAFETY: a NUL-terminated path, and one struct that the kernel writes.
    answer(unsafe { libc::fstatat(at.0, at.1.as_ptr(), &raw mut stat, flags) })?;
    Ok(stat.st_nlink as i64)
}

/// The link count.
pub(crate) fn stat_fd(fd: c_int) -> Answer {
    let mut stat = empty_stat();
    // SAFETY: one struct that the kernel writes.
    answer(unsafe { libc::fstat(fd, &raw mut stat) })?;
    Ok(stat.st_nlink as i64)
}

pub(crate) fn access(at: At<'_>, mode: c_int) -> Answer {
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::faccessat(at.0, at.1.as_ptr(), mode, 0) })
}

pub(crate) fn readlink(at: At<'_>, buffer: &mut [u8]) -> Answer<usize> {
    let (to, len) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: a NUL-terminated path; the kernel writes at most as many bytes as there are.
    length(unsafe { libc::readlinkat(at.0, at.1.as_ptr(), to, len) })
}

pub(crate) fn mkdir(at: At<'_>, mode: c_uint) -> Answer {
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::mkdirat(at.0, at.1.as_ptr(), mode) })
}

pub(crate) fn unlink(at: At<'_>, flags: c_int) -> Answer {
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::unlinkat(at.0, at.1.as_ptr(), flags) })
}

pub(crate) fn rename(from: At<'_>, to: At<'_>) -> Answer {
    // SAFETY: NUL-terminated paths.
    answer(unsafe { libc::renameat(from.0, from.1.as_ptr(), to.0, to.1.as_ptr()) })
}

pub(crate) fn rename2(from: At<'_>, to: At<'_>, flags: c_uint) -> Answer {
    let (old, new) = (from.1.as_ptr(), to.1.as_ptr());
    // SAFETY: NUL-terminated paths.
    answer(unsafe { libc::syscall(libc::SYS_renameat2, from.0, old, to.0, new, flags) })
}

pub(crate) fn symlink(text: &CStr, at: At<'_>) -> Answer {
    // SAFETY: NUL-terminated strings.
    answer(unsafe { libc::symlinkat(text.as_ptr(), at.0, at.1.as_ptr()) })
}

pub(crate) fn link(from: At<'_>, to: At<'_>) -> Answer {
    // SAFETY: NUL-terminated paths.
    answer(unsafe { libc::linkat(from.0, from.1.as_ptr(), to.0, to.1.as_ptr(), 0) })
}

pub(crate) fn mknod(at: At<'_>, mode: c_uint) -> Answer {
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::mknodat(at.0, at.1.as_ptr(), mode, 0) })
}

pub(crate) fn chmod(at: At<'_>, mode: c_uint) -> Answer {
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::fchmodat(at.0, at.1.as_ptr(), mode, 0) })
}

pub(crate) fn chmod_fd(fd: c_int, mode: c_uint) -> Answer {
    // SAFETY: integers only.
    answer(unsafe { libc::fchmod(fd, mode) })
}

pub(crate) fn chown(at: At<'_>, uid: u32, gid: u32, flags: c_int) -> Answer {
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::fchownat(at.0, at.1.as_ptr(), uid, gid, flags) })
}

pub(crate) fn chown_fd(fd: c_int, uid: u32, gid: u32) -> Answer {
    // SAFETY: integers only.
    answer(unsafe { libc::fchown(fd, uid, gid) })
}

/// `None`: both are now.
pub(crate) fn utimes(at: At<'_>, times: Option<[i64; 2]>, flags: c_int) -> Answer {
    let times = times.map(|times| times.map(|tv_sec| libc::timespec { tv_sec, tv_nsec: 5 }));
    let times = times.as_ref().map_or(ptr::null(), |times| times.as_ptr());
    // SAFETY: a NUL-terminated path, and null or two times.
    answer(unsafe { libc::utimensat(at.0, at.1.as_ptr(), times, flags) })
}

pub(crate) fn set_xattr(path: &CStr, name: &CStr, value: &[u8], flags: c_int) -> Answer {
    let (path, name) = (path.as_ptr(), name.as_ptr());
    // SAFETY: NUL-terminated strings, and a slice of the length given.
    answer(unsafe { libc::setxattr(path, name, value.as_ptr().cast(), value.len(), flags) })
}

pub(crate) fn set_xattr_fd(fd: c_int, name: &CStr, value: &[u8]) -> Answer {
    let (value, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: a NUL-terminated name, and a slice of the length given.
    answer(unsafe { libc::fsetxattr(fd, name.as_ptr(), value, len, 0) })
}

pub(crate) fn get_xattr(path: &CStr, name: &CStr, room: &mut [u8]) -> Answer<usize> {
    let (path, name) = (path.as_ptr(), name.as_ptr());
    // SAFETY: NUL-terminated strings; the kernel writes at most as many bytes as there are.
    length(unsafe { libc::getxattr(path, name, room.as_mut_ptr().cast(), room.len()) })
}

pub(crate) fn list_xattr(path: &CStr, room: &mut [u8]) -> Answer<usize> {
    let (to, len) = (room.as_mut_ptr().cast(), room.len());
    // SAFETY: a NUL-terminated path; the kernel writes at most as many bytes as there are.
    length(unsafe { libc::listxattr(path.as_ptr(), to, len) })
}

pub(crate) fn remove_xattr(path: &CStr, name: &CStr) -> Answer {
    // SAFETY: NUL-terminated strings.
    answer(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) })
}

/// All zero.
fn empty_statfs() -> libc::statfs {
    // SAFETY: a struct of integers.
    unsafe { core::mem::zeroed() }
}

pub(crate) fn statfs(path: &CStr) -> Answer {
    let mut stat = empty_statfs();
    // SAFETY: a NUL-terminated path, and one struct that the kernel writes.
    answer(unsafe { libc::statfs(path.as_ptr(), &raw mut stat) })
}

pub(crate) fn statfs_fd(fd: c_int) -> Answer {
    let mut stat = empty_statfs();
    // SAFETY: one struct that the kernel writes.
    answer(unsafe { libc::fstatfs(fd, &raw mut stat) })
}

pub(crate) fn handle(at: At<'_>, flags: c_int) -> Answer<FileHandle> {
    let mut handle = [0; 34];
    handle[0] = 128;
    let mut mount_id = 0;
    let (path, to) = (at.1.as_ptr(), handle.as_mut_ptr().cast());
    // SAFETY: a NUL-terminated path, a header that says how much room is behind it, and an integer.
    answer(unsafe { libc::name_to_handle_at(at.0, path, to, &raw mut mount_id, flags) })?;
    Ok(handle)
}

pub(crate) fn open_handle(top: c_int, handle: &mut FileHandle, flags: c_int) -> Answer<c_int> {
    handle[0] = handle[0].min(128);
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: a header that says how much is behind it, no more than there is.
    let fd = unsafe { libc::open_by_handle_at(top, handle.as_mut_ptr().cast(), flags) };
    answer(fd).map(|fd| fd as c_int)
}

pub(crate) fn inotify() -> Answer<c_int> {
    // SAFETY: an integer.
    let fd = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
    answer(fd).map(|fd| fd as c_int)
}

pub(crate) fn watch(inotify: c_int, path: &CStr) -> Answer {
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::inotify_add_watch(inotify, path.as_ptr(), libc::IN_ALL_EVENTS) })
}

extern "C" fn nothing(_: c_int) {}

/// SIGALRM interrupts what this process waits in, and does nothing else.
pub(crate) fn heed_alarms() {
    // SAFETY: all-zero bytes are a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    // SAFETY: a whole sigaction, whose handler does nothing.
    unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) };
}

/// SIGALRM after so long and then every 20 ms; never for 0.
pub(crate) fn alarm_in(microseconds: i64) {
    let time = |tv_usec| libc::timeval { tv_sec: 0, tv_usec };
    let timer = libc::itimerval {
        it_value: time(microseconds),
        it_interval: time(if microseconds == 0 { 0 } else { 20_000 }),
    };
    // SAFETY: one struct that the kernel reads.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
}

/// Makes a directory the only one there is for this process.
pub(crate) fn live_in(path: &CStr) -> Answer {
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::chroot(path.as_ptr()) })?;
    // SAFETY: a NUL-terminated path.
    answer(unsafe { libc::chdir(c"/".as_ptr()) })
}

/// Gives the process another user, for good.
pub(crate) fn become_user(id: u32) -> Answer {
    // SAFETY: no groups, so no pointer is followed.
    answer(unsafe { libc::setgroups(0, ptr::null()) })?;
    // SAFETY: integers only.
    answer(unsafe { libc::setresgid(id, id, id) })?;
    // SAFETY: integers only.
    answer(unsafe { libc::setresuid(id, id, id) })
}

/// Of whom this process is.
pub(crate) fn user() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() }
}

/// A mount namespace for this process, whose mounts go with it.
pub(crate) fn private_mounts() -> Answer {
    // SAFETY: concerns the calling thread only, touches no memory.
    answer(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let (none, flags) = (ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
    // SAFETY: source, type and data may be null for a change of propagation.
    answer(unsafe { libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) })
}

/// Ends the connection of a mount that hangs, so that its clients can be killed.
pub(crate) fn abort_mount(path: &Path) {
    if let Ok(path) = CString::new(path.as_os_str().as_bytes()) {
        // SAFETY: a NUL-terminated path.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH) };
    }
}

/// Kills a client, which was not waited for.
pub(crate) fn kill(pid: u32) {
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: integers; its number is still its own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

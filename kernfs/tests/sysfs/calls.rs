//! System calls, and how their results read.

use std::ffi::{CString, c_void};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::support::c_string;

macro_rules! names {
    ($($name:ident)*) => {
        /// The name of an error number.
        pub(crate) fn errno(number: i32) -> String {
            match number {
                $(libc::$name => stringify!($name).to_owned(),)*
                other => format!("errno {other}"),
            }
        }
    };
}

names! {
    EPERM ENOENT EINTR EIO ENXIO E2BIG EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR
    EINVAL ENOTTY EFBIG ENOSPC ESPIPE EROFS ENAMETOOLONG ENOSYS ENOTEMPTY ELOOP ENODATA EOVERFLOW EOPNOTSUPP ESTALE
    ERANGE ETXTBSY
}

fn failed(error: &io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), errno)
}

/// A value, or the name of the error.
pub(crate) fn said<T: Display>(result: io::Result<T>) -> String {
    result.map_or_else(|error| failed(&error), |value| value.to_string())
}

/// "ok", or the name of the error.
pub(crate) fn ok<T>(result: io::Result<T>) -> String {
    said(result.map(|_| "ok"))
}

/// Bytes as Rust writes them, or the name of the error.
pub(crate) fn bytes(result: io::Result<Vec<u8>>) -> String {
    said(result.map(|bytes| format!("\"{}\"", bytes.escape_ascii())))
}

fn check(ret: libc::c_int) -> io::Result<i32> {
    check_size(ret as isize).map(|_| ret)
}

fn check_size(ret: isize) -> io::Result<usize> {
    usize::try_from(ret).map_err(|_| io::Error::last_os_error())
}

fn name(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

fn owned(fd: libc::c_int) -> io::Result<File> {
    check(fd)?;
    // SAFETY: just opened, nobody else has it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// open(2) with any flags. With O_PATH and for directories too.
pub(crate) fn open(path: &Path, flags: libc::c_int) -> io::Result<File> {
    let path = c_string(path);
    // SAFETY: a NUL-terminated string that lives over the call.
    owned(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o644) })
}

/// The same below an open directory.
pub(crate) fn openat(dir: &File, path: &str, flags: libc::c_int) -> io::Result<File> {
    let path = name(path);
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: a NUL-terminated string that lives over the call.
    owned(unsafe { libc::openat(dir.as_raw_fd(), path.as_ptr(), flags) })
}

/// Stores a value, without O_TRUNC.
pub(crate) fn store(path: &Path, value: &str) {
    let stored = open(path, libc::O_WRONLY).and_then(|mut file| file.write(value.as_bytes()));
    assert_eq!(stored.expect("a valid value"), value.len());
}

/// One read(2).
pub(crate) fn read(file: &File, len: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; len];
    let n = io::Read::read(&mut &*file, &mut buffer)?;
    buffer.truncate(n);
    Ok(buffer)
}

/// One pread(2).
pub(crate) fn pread(file: &File, len: usize, offset: u64) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; len];
    let n = std::os::unix::fs::FileExt::read_at(file, &mut buffer, offset)?;
    buffer.truncate(n);
    Ok(buffer)
}

/// readlink(2) into so many bytes: how many it gave.
pub(crate) fn readlink_short(path: &Path, room: usize) -> io::Result<usize> {
    let path = c_string(path);
    let mut text = vec![0_u8; room];
    let out = text.as_mut_ptr().cast();
    // SAFETY: room for so many bytes at `out`.
    check_size(unsafe { libc::readlink(path.as_ptr(), out, room) })
}

pub(crate) fn access(path: &Path, mode: libc::c_int) -> io::Result<i32> {
    let path = c_string(path);
    // SAFETY: a NUL-terminated string that lives over the call.
    check(unsafe { libc::access(path.as_ptr(), mode) })
}

pub(crate) fn mknod(path: &Path) -> io::Result<i32> {
    let path = c_string(path);
    // SAFETY: a NUL-terminated string that lives over the call.
    check(unsafe { libc::mknod(path.as_ptr(), libc::S_IFIFO | 0o644, 0) })
}

pub(crate) fn renameat2(from: &Path, to: &Path, flags: libc::c_uint) -> io::Result<i32> {
    let (from, to) = (c_string(from), c_string(to));
    let here = libc::AT_FDCWD;
    // SAFETY: NUL-terminated strings that live over the call.
    check(unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), flags) })
}

/// Maps the beginning of a file, privately or shared, and copies what is seen there.
pub(crate) fn mmap(file: &File, len: usize, flags: libc::c_int) -> io::Result<Vec<u8>> {
    let fd = file.as_raw_fd();
    // SAFETY: a new mapping, of which nobody else knows.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, flags, fd, 0) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // Through a pipe: where nothing can be read the kernel says EFAULT, we would die of SIGBUS.
    let (mut from, to) = io::pipe()?;
    // SAFETY: the kernel reads the mapping, which lives; there is room for so much in a pipe.
    let copied = check_size(unsafe { libc::write(to.as_raw_fd(), at, len) });
    drop(to);
    let mut seen = Vec::new();
    io::Read::read_to_end(&mut from, &mut seen)?;
    // SAFETY: ours, and nothing refers to it any more.
    check(unsafe { libc::munmap(at, len) })?;
    copied.map(|_| seen)
}

/// The names of poll's bits.
pub(crate) fn poll_names(revents: i16) -> String {
    let bits = [
        (libc::POLLIN, "IN"),
        (libc::POLLPRI, "PRI"),
        (libc::POLLOUT, "OUT"),
        (libc::POLLERR, "ERR"),
        (libc::POLLHUP, "HUP"),
        (libc::POLLNVAL, "NVAL"),
    ];
    let set = bits.iter().filter(|(bit, _)| revents & bit != 0);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join("+")
}

/// What poll(2) says at once.
pub(crate) fn poll(file: &File) -> String {
    let events = libc::POLLIN | libc::POLLPRI | libc::POLLOUT;
    poll_names(crate::support::poll_now(file, events))
}

/// Sleeps in poll(2) until there is something, or `end` can be read. What `file` has then. It is asked after `end`, so once
/// it was, the end is not missed, and it is asked again.
pub(crate) fn poll_until(file: &File, end: &impl std::os::fd::AsRawFd) -> i16 {
    let item = |fd, events| libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    let mut items = [
        item(end.as_raw_fd(), libc::POLLIN),
        item(file.as_raw_fd(), libc::POLLPRI),
    ];
    // SAFETY: two pollfds to read and write.
    check(unsafe { libc::poll(items.as_mut_ptr(), 2, -1) }).expect("poll");
    items[1].revents
}

pub(crate) fn setxattr(path: &Path, key: &str, value: &[u8], flags: i32) -> io::Result<i32> {
    let (path, key) = (c_string(path), name(key));
    let from = value.as_ptr().cast::<c_void>();
    // SAFETY: NUL-terminated strings, and as many bytes as it says, over the call.
    check(unsafe { libc::setxattr(path.as_ptr(), key.as_ptr(), from, value.len(), flags) })
}

pub(crate) fn getxattr(path: &Path, key: &str) -> io::Result<Vec<u8>> {
    let (path, key) = (c_string(path), name(key));
    let mut value = vec![0_u8; 256];
    let (to, room) = (value.as_mut_ptr().cast::<c_void>(), value.len());
    // SAFETY: NUL-terminated strings over the call, room for so many bytes at `to`.
    let len = unsafe { libc::getxattr(path.as_ptr(), key.as_ptr(), to, room) };
    value.truncate(check_size(len)?);
    Ok(value)
}

pub(crate) fn removexattr(path: &Path, key: &str) -> io::Result<i32> {
    let (path, key) = (c_string(path), name(key));
    // SAFETY: NUL-terminated strings over the call.
    check(unsafe { libc::removexattr(path.as_ptr(), key.as_ptr()) })
}

/// The names of the extended attributes, without the labels of a security module.
pub(crate) fn listxattr(path: &Path) -> io::Result<Vec<String>> {
    let path = c_string(path);
    let mut names = vec![0_u8; 4096];
    let (to, room) = (names.as_mut_ptr().cast(), names.len());
    // SAFETY: a NUL-terminated string over the call, room for so many bytes at `to`.
    let len = check_size(unsafe { libc::listxattr(path.as_ptr(), to, room) })?;
    let all = String::from_utf8_lossy(&names[..len]).into_owned();
    let own = all
        .split_terminator('\0')
        .filter(|name| !name.starts_with("security."));
    Ok(own.map(str::to_owned).collect())
}

/// name_to_handle_at(2): how long the handle is.
pub(crate) fn handle(path: &Path) -> io::Result<u32> {
    const MOST: u32 = 128;
    let path = c_string(path);
    // `struct file_handle`: length, type, bytes.
    let mut handle = [0_u32; 2 + MOST as usize / 4];
    handle[0] = MOST;
    let mut mount = 0_i32;
    // SAFETY: the last four are pointers to a string, to a handle with the room it says, to an int; all live.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            handle.as_mut_ptr(),
            &raw mut mount,
            0,
        )
    };
    check_size(ret as isize)?;
    Ok(handle[0])
}

/// statfs(2): block size, blocks, length of a name; and the type.
pub(crate) fn statfs(path: &Path) -> io::Result<(String, String)> {
    let path = c_string(path);
    // SAFETY: all zero is a value of this plain struct.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a NUL-terminated string and a struct to fill.
    check(unsafe { libc::statfs(path.as_ptr(), &raw mut stat) })?;
    let sizes = format!("{} {} {}", stat.f_bsize, stat.f_blocks, stat.f_namelen);
    Ok((sizes, format!("{:#x}", stat.f_type)))
}

/// An entry as getdents64(2) gives it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) ino: u64,
    pub(crate) next: i64,
    pub(crate) kind: u8,
}

/// All entries from where the directory stands.
pub(crate) fn getdents(dir: &File) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let (fd, to, room) = (dir.as_raw_fd(), buffer.as_mut_ptr(), buffer.len());
        // SAFETY: room for so many bytes at `to`.
        let ret = unsafe { libc::syscall(libc::SYS_getdents64, fd, to, room) };
        let len = check_size(ret as isize)?;
        if len == 0 {
            return Ok(entries);
        }
        let mut rest = &buffer[..len];
        // `struct linux_dirent64`: inode, offset, length of the record, type, name.
        while let Some((ino, tail)) = rest.split_first_chunk() {
            let (next, tail) = tail.split_first_chunk().expect("whole");
            let (len, tail) = tail.split_first_chunk().expect("whole");
            let (kind, name) = tail.split_first().expect("whole");
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            entries.push(Entry {
                name: String::from_utf8_lossy(name).into_owned(),
                ino: u64::from_ne_bytes(*ino),
                next: i64::from_ne_bytes(*next),
                kind: *kind,
            });
            rest = &rest[usize::from(u16::from_ne_bytes(*len))..];
        }
    }
}

/// fallocate(2) of a page.
pub(crate) fn fallocate(file: &File) -> io::Result<i32> {
    // SAFETY: touches no memory.
    check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, 4096) })
}

/// ioctl(2) with a number that nobody knows.
pub(crate) fn ioctl(file: &File) -> io::Result<i32> {
    // SAFETY: no driver takes it, so nothing is at the pointer.
    check(unsafe { libc::ioctl(file.as_raw_fd(), 0x5a5a, 0) })
}

/// read(2) to an address that is none.
pub(crate) fn read_nowhere(file: &File) -> io::Result<usize> {
    let nowhere = std::ptr::without_provenance_mut::<c_void>(8);
    // SAFETY: the kernel checks the address, nothing is mapped there.
    check_size(unsafe { libc::read(file.as_raw_fd(), nowhere, 16) })
}

/// sendfile(2) to a pipe.
pub(crate) fn sendfile(to: &impl std::os::fd::AsRawFd, file: &File) -> io::Result<usize> {
    let (to, from) = (to.as_raw_fd(), file.as_raw_fd());
    // SAFETY: no offset to write to.
    check_size(unsafe { libc::sendfile(to, from, std::ptr::null_mut(), 4096) })
}

/// Listens to some paths.
#[derive(Debug)]
pub(crate) struct Inotify(File);

impl Inotify {
    pub(crate) fn new(paths: &[&Path]) -> Self {
        // SAFETY: touches no memory.
        let fd = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        let inotify = owned(fd).expect("descriptors are free");
        let changes = libc::IN_MODIFY
            | libc::IN_ATTRIB
            | libc::IN_CREATE
            | libc::IN_DELETE
            | libc::IN_MOVE
            | libc::IN_DELETE_SELF
            | libc::IN_MOVE_SELF;
        for path in paths {
            let path = c_string(path);
            // SAFETY: a NUL-terminated string that lives over the call.
            let watch = unsafe { libc::inotify_add_watch(fd, path.as_ptr(), changes) };
            check(watch).expect("there");
        }
        Self(inotify)
    }

    /// What came until now: the number of the path, the event, a name.
    pub(crate) fn seen(&self) -> String {
        let mut buffer = [0; 4096];
        let len = io::Read::read(&mut &self.0, &mut buffer).unwrap_or(0);
        let mut rest = &buffer[..len];
        let mut all = Vec::new();
        // `struct inotify_event`: watch, mask, cookie, length of the name, name.
        while let Some((watch, tail)) = rest.split_first_chunk() {
            let (mask, tail) = tail.split_first_chunk().expect("whole");
            let (_, tail) = tail.split_first_chunk::<4>().expect("whole");
            let (len, tail) = tail.split_first_chunk().expect("whole");
            let (name, tail) = tail.split_at(u32::from_ne_bytes(*len) as usize);
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let (watch, mask) = (i32::from_ne_bytes(*watch), u32::from_ne_bytes(*mask));
            all.push(format!("{watch}:{mask:#x}:{}", name.escape_ascii()));
            rest = tail;
        }
        all.join(" ")
    }
}

/// The calling thread's id.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: touches no memory.
    unsafe { libc::gettid() }
}

/// Whether a thread of this process sleeps.
pub(crate) fn sleeps(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    // The state stands behind the name, which is in brackets. Nothing: it has ended.
    let state = stat.as_ref().ok().and_then(|stat| stat.rsplit_once(") "));
    state.is_some_and(|(_, state)| state.starts_with('S'))
}

/// The last name of what a descriptor is open on.
pub(crate) fn name_of(file: &File) -> String {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("proc");
    let name = path
        .as_os_str()
        .as_bytes()
        .rsplit(|byte| *byte == b'/')
        .next();
    String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
}

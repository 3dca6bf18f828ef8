//! The kernel's own kernfs, through system calls: sysfs, and cgroup2 where it is mounted and may be changed.

use core::ffi::{CStr, c_int};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process;

/// An attribute of seven components that shows a number.
pub const ATTRIBUTE: &str = "/sys/devices/system/cpu/cpu0/topology/core_id";
/// A directory of sysfs with hundreds of entries, where the kernel was built with it.
pub const LONG: &str = "/sys/kernel/slab";

fn check(ret: c_int) -> io::Result<c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// A path for system calls.
///
/// # Errors
/// A NUL in it.
pub fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_encoded_bytes())?)
}

/// stat(2); the inode number.
///
/// # Errors
/// What the kernel says.
#[inline]
pub fn stat(path: &CStr) -> io::Result<u64> {
    // SAFETY: all-zero bytes are a value of this struct of integers.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: a NUL-terminated path, and one struct that the kernel writes.
    check(unsafe { libc::stat(path.as_ptr(), &raw mut stat) })?;
    Ok(stat.st_ino)
}

/// openat(2) for reading.
///
/// # Errors
/// What the kernel says.
#[inline]
pub fn open_at(dir: &File, name: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: an open descriptor and a NUL-terminated name.
    let fd = check(unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made it for us, nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// read(2).
///
/// # Errors
/// What the kernel says.
#[inline]
pub fn read(file: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most as many bytes as there are.
    let n = unsafe { libc::read(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// pread(2) from the start.
///
/// # Errors
/// What the kernel says.
#[inline]
pub fn pread(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let (to, len) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the kernel writes at most as many bytes as there are.
    let n = unsafe { libc::pread(file.as_raw_fd(), to, len, 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// poll(2) for POLLPRI; what it says, 0 when the time is over. -1: without end.
///
/// # Errors
/// What the kernel says.
#[inline]
pub fn poll(file: &File, milliseconds: c_int) -> io::Result<i16> {
    let mut one = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLPRI,
        revents: 0,
    };
    // SAFETY: one pollfd, valid for reading and writing.
    check(unsafe { libc::poll(&raw mut one, 1, milliseconds) })?;
    Ok(one.revents)
}

/// getdents64(2) from the start to the end; how many entries, without "." and "..".
///
/// # Errors
/// What the kernel says.
pub fn list(dir: &File, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: integers only.
    if unsafe { libc::lseek(dir.as_raw_fd(), 0, libc::SEEK_SET) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut entries = 0;
    loop {
        let (fd, to, len) = (dir.as_raw_fd(), buffer.as_mut_ptr(), buffer.len());
        // SAFETY: the kernel writes at most as many bytes as there are.
        let n = unsafe { libc::syscall(libc::SYS_getdents64, fd, to, len) };
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        if n == 0 {
            return Ok(entries - 2);
        }
        let mut at = 0;
        while at < n {
            // d_ino, d_off: eight bytes each; then d_reclen.
            at += usize::from(u16::from_ne_bytes([buffer[at + 16], buffer[at + 17]]));
            entries += 1;
        }
    }
}

/// A cgroup of our own, removed when this is dropped. Nothing is in it.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one.
    ///
    /// # Errors
    /// A sentence why there is none.
    pub fn new(purpose: &str) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/mounts").map_err(|error| error.to_string())?;
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let (_, at, kind) = (words.next()?, words.next()?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(at))
        });
        let mount = mount.ok_or("cgroup2 is not mounted")?;
        let path = mount.join(format!("kernfs_bench-{purpose}-{}", process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(format!("no cgroup of our own: {error}")),
        }
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// How many files it has.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn files(&self) -> io::Result<usize> {
        Ok(fs::read_dir(&self.0)?
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .count())
    }

    /// Makes a cgroup in it and removes it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn make_and_remove(&self) -> io::Result<()> {
        let path = self.0.join("group");
        fs::create_dir(&path)?;
        fs::remove_dir(&path)
    }

    /// Freezes or thaws it; whoever polls its `cgroup.events` is told.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn freeze(&self, freezer: &mut File, frozen: bool) -> io::Result<()> {
        freezer.write_all(if frozen { b"1" } else { b"0" })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        _ = fs::remove_dir(self.file("group"));
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_work_on_any_directory() {
        let dir = File::open("/proc/self").unwrap();
        let status = open_at(&dir, c"stat").unwrap();
        let mut buffer = [0; 8192];
        assert!(read(&status, &mut buffer).unwrap() > 0);
        assert!(list(&dir, &mut buffer).unwrap() > 10);
        assert!(stat(c"/proc/self/stat").unwrap() > 0);
        assert!(stat(c"/proc/self/nothing").is_err());
        let status = File::open("/proc/self/stat").unwrap();
        assert!(pread(&status, &mut buffer).unwrap() > 0);
        // Not of /proc: who mounts something meanwhile is told there.
        let (quiet, _writer) = io::pipe().unwrap();
        let quiet = File::from(OwnedFd::from(quiet));
        assert_eq!(poll(&quiet, 0).unwrap(), 0);
    }
}

//! The directory that is mounted on: what may be, and what a dead daemon left there.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::helper;
use crate::error::{Errno, Error, Result};
use crate::sys::mounting::{self as sys, Unmount};

/// The file system type that a mount shows.
pub(super) const TYPE: &str = "fuse.kernfs";

/// More stale mounts than anybody stacks on one directory.
const STALE_MAX: usize = 64;

pub(super) fn errno(error: &io::Error) -> Errno {
    error
        .raw_os_error()
        .and_then(Errno::new)
        .unwrap_or(Errno::EIO)
}

pub(super) fn refuse(path: &Path, error: &io::Error, why: &str) -> Error {
    errno(error).because(format!("cannot mount on {}: {why}", path.display()))
}

fn c_string(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        Errno::EINVAL.because(format!(
            "cannot mount on {}: a path has no NUL byte",
            path.display()
        ))
    })
}

/// The absolute path without links. Asks no dead mount for anything.
fn resolve(path: &Path) -> Result<PathBuf> {
    c_string(path)?; // std would give an error without an errno
    fs::canonicalize(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "it does not exist; create the directory first",
            io::ErrorKind::PermissionDenied => "no permission to look it up",
            io::ErrorKind::NotADirectory => "a part of the path is not a directory",
            _ => "it cannot be looked up",
        };
        refuse(path, &error, why)
    })
}

/// The type of the mount with this id, as in /proc/thread-self/mountinfo.
fn type_of_mount(id: u64) -> Option<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let found = mount.split(' ').next()?.parse::<u64>().ok()?;
        (found == id).then(|| file_system.split(' ').next().unwrap_or("").to_owned())
    })
}

/// Whether the mount at `target` belongs to a daemon that died. A cached stat(2) would not tell.
fn is_dead(path: &Path) -> bool {
    fs::read_dir(path).is_err_and(|error| error.raw_os_error() == Some(sys::ENOTCONN))
}

/// Takes away what daemons that were killed left mounted at `path`: a kernfs mount whose every access
/// fails with ENOTCONN. Returns whether there was one. A mount that works is left alone.
///
/// [`Mount::new`](super::Mount::new) does this by itself.
///
/// # Errors
/// - ENOENT and others: the path cannot be looked up.
/// - EBUSY: a dead FUSE mount of another kind is there.
/// - EPERM: no right to unmount.
pub fn recover_stale(path: impl AsRef<Path>) -> Result<bool> {
    let path = resolve(path.as_ref())?;
    let target = c_string(&path)?;
    recover(&path, &target)
}

fn recover(path: &Path, target: &CStr) -> Result<bool> {
    for round in 0..STALE_MAX {
        if !is_dead(path) {
            return Ok(round > 0);
        }
        let kind = sys::mount_id(target, sys::IdKind::Listed)
            .ok()
            .and_then(|mount| type_of_mount(mount.id));
        if let Some(other) = kind.filter(|kind| kind != TYPE) {
            return Err(Errno::EBUSY.because(format!(
                "cannot mount on {}: a dead {other} mount is there; unmount it first",
                path.display()
            )));
        }
        let unmounted = match sys::unmount(target, Unmount::Detach) {
            // It may have been mounted by it.
            Err(error) if error.raw_os_error() == Some(sys::EPERM) => {
                helper::unmount(target).map_err(|_| error)
            }
            unmounted => unmounted,
        };
        unmounted.map_err(|error| {
            refuse(
                path,
                &error,
                "a dead mount is there that cannot be unmounted; try umount -l as root",
            )
        })?;
    }
    Err(Errno::EBUSY.because(format!(
        "cannot mount on {}: dead mounts without end are there",
        path.display()
    )))
}

/// Checks that `path` is an empty directory that nothing is mounted on, after stale mounts were taken
/// away. Returns the absolute path, as the kernel wants it too.
pub(super) fn prepare(path: &Path) -> Result<(PathBuf, CString)> {
    let path = resolve(path)?;
    let target = c_string(&path)?;
    recover(&path, &target)?;
    let mut entries = fs::read_dir(&path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotADirectory => "it is not a directory",
            io::ErrorKind::PermissionDenied => "no permission to read it",
            _ => "it cannot be read",
        };
        refuse(&path, &error, why)
    })?;
    let mount = sys::mount_id(&target, sys::IdKind::Listed)
        .map_err(|error| refuse(&path, &error, "it cannot be looked at"))?;
    if mount.is_root {
        let kind = type_of_mount(mount.id).unwrap_or_default();
        let advice = if kind == TYPE {
            "does the daemon run already?"
        } else {
            "choose another directory, or unmount it first"
        };
        return Err(Errno::EBUSY.because(format!(
            "cannot mount on {}: something ({kind}) is mounted there; {advice}",
            path.display()
        )));
    }
    if entries.next().is_some() {
        return Err(Errno::EBUSY.because(format!(
            "cannot mount on {}: it is not empty, and a mount would hide what is in it",
            path.display()
        )));
    }
    Ok((path, target))
}

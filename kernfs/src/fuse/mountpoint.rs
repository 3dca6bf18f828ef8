//! The directory that is mounted on: what may be, what a dead daemon left there, what is still ours.
//!
//! A mount is ours as long as our connection lives and the mount on top of the path has the id that it had
//! when we made it. Otherwise somebody unmounted it, and may have mounted something else: hands off.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Errno, Error, Result};
use crate::sys::mounting::{self as sys, Unmount};

/// The file system type that a mount shows.
pub(super) const TYPE: &str = "fuse.kernfs";

/// More stale mounts than anybody stacks on one directory.
const STALE_MAX: usize = 64;

fn errno(error: &io::Error) -> Errno {
    error
        .raw_os_error()
        .and_then(Errno::new)
        .unwrap_or(Errno::EIO)
}

fn refuse(path: &Path, error: &io::Error, why: &str) -> Error {
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
        sys::unmount(target, Unmount::Detach).map_err(|error| {
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

/// A mount that we made.
#[derive(Clone, Debug)]
pub(super) struct Place {
    target: CString,
    id: u64,
}

impl Place {
    /// Mounts, with `data` as the options of the FUSE file system.
    pub(super) fn mount(path: &Path, target: CString, data: &str) -> Result<Self> {
        let text = |text: &str| {
            CString::new(text).map_err(|_| Errno::EINVAL.because("a mount option with a NUL byte"))
        };
        sys::mount(&text("kernfs")?, &target, &text(TYPE)?, &text(data)?).map_err(|error| {
            let why = match error.raw_os_error() {
                Some(sys::EPERM) => {
                    "mount(2) needs CAP_SYS_ADMIN: run as root, or in a user namespace (unshare -Urm); \
                     in Docker add --cap-add SYS_ADMIN --security-opt apparmor:unconfined"
                }
                Some(sys::EBUSY) => "it is in use by another mount",
                Some(sys::ENODEV) => "this kernel has no FUSE; try modprobe fuse",
                _ => "mount(2) failed",
            };
            refuse(path, &error, why)
        })?;
        match sys::mount_id(&target, sys::IdKind::Unique) {
            Ok(mount) if mount.is_root => Ok(Self {
                target,
                id: mount.id,
            }),
            // statx cannot say it (Linux before 5.8), or somebody was very quick. Not being able to tell
            // our mount from another later is worse than no mount.
            other => {
                let _ = sys::unmount(&target, Unmount::Detach);
                let error = other.err().unwrap_or_else(|| io::ErrorKind::Other.into());
                Err(refuse(path, &error, "statx(2) cannot identify the mount"))
            }
        }
    }

    /// Whether the path still leads to our mount.
    pub(super) fn is_ours(&self) -> bool {
        sys::mount_id(&self.target, sys::IdKind::Unique)
            .is_ok_and(|mount| mount.is_root && mount.id == self.id)
    }

    /// A way into the mount that keeps nothing open but itself.
    pub(super) fn way_in(&self) -> Result<fs::File> {
        let way = sys::open_path(&self.target);
        let ours = |way: &fs::File| sys::mount_id_of(way, sys::IdKind::Unique);
        match way.and_then(|way| Ok((ours(&way)?.id == self.id, way))) {
            Ok((true, way)) => Ok(way),
            Ok((false, _)) => {
                Err(Errno::EBUSY.because("something else was mounted there meanwhile"))
            }
            Err(error) => Err(errno(&error).because("no way into the mount, which inotify needs")),
        }
    }

    /// Unmounts if it is still ours. Whoever has a file of it open gets ENOTCONN from then on.
    pub(super) fn unmount(&self) -> Result<()> {
        if !self.is_ours() {
            return Ok(());
        }
        match sys::unmount(&self.target, Unmount::Plain) {
            Err(error) if error.raw_os_error() == Some(sys::EBUSY) => {
                sys::unmount(&self.target, Unmount::Abort)
            }
            other => other,
        }
        .map_err(|error| {
            let path = Path::new(std::ffi::OsStr::from_bytes(self.target.to_bytes()));
            errno(&error).because(format!(
                "cannot unmount {}; until it is unmounted by hand every access to it fails",
                path.display()
            ))
        })
    }
}

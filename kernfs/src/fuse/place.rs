//! A mount that we made: how it is made, whether it is still ours, how it is taken away.
//!
//! A mount is ours as long as our connection lives and the mount on top of the path has the id that it had
//! when we made it. Otherwise somebody unmounted it, and may have mounted something else: hands off.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::helper::{self, Failure};
use super::mountpoint::{TYPE, errno, refuse};
use crate::error::{Errno, Result};
use crate::sys::mounting::{self as sys, Unmount};

/// A mount that we made.
#[derive(Clone, Debug)]
pub(super) struct Place {
    target: CString,
    id: u64,
    /// It was mounted by fusermount3, which is what may unmount it.
    by_helper: bool,
}

/// Why the kernel does not take our user or group for the mount's, if that is it: in a user namespace that has no number
/// for them.
fn unmapped() -> Option<&'static str> {
    let (uid, gid) = crate::sys::effective_ids();
    let has = |map: &str, id: u32| {
        let lines = fs::read_to_string(map).unwrap_or_default();
        lines.lines().any(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u64>);
            match (numbers.next(), numbers.nth(1)) {
                (Some(Ok(first)), Some(Ok(count))) => (first..first + count).contains(&id.into()),
                _ => false,
            }
        })
    };
    match () {
        () if !has("/proc/self/uid_map", uid) => {
            Some("its user has no number in this user namespace; write /proc/self/uid_map")
        }
        () if !has("/proc/self/gid_map", gid) => {
            Some("its group has no number in this user namespace; write /proc/self/gid_map")
        }
        () => None,
    }
}

impl Place {
    /// Mounts a new connection, and returns that too. `device` was just opened; `mode` is the root's; `allow_other` is
    /// `None` for whoever may be let in.
    pub(super) fn mount(
        path: &Path,
        target: CString,
        device: sys::Device,
        mode: u32,
        allow_other: Option<bool>,
    ) -> Result<(Self, sys::Device)> {
        let text = |text: &str| {
            CString::new(text).map_err(|_| Errno::EINVAL.because("a mount option with a NUL byte"))
        };
        let (uid, gid) = crate::sys::effective_ids();
        let data = format!(
            "fd={},rootmode={:o},user_id={uid},group_id={gid},default_permissions{}",
            device.as_raw_fd(),
            sys::S_IFDIR | mode,
            allowing(allow_other.unwrap_or(true)),
        );
        let (device, by_helper) = match sys::mount(
            &text("kernfs")?,
            &target,
            &text(TYPE)?,
            &text(&data)?,
        ) {
            Ok(()) => (device, false),
            Err(error) if error.raw_os_error() == Some(sys::EPERM) => {
                drop(device);
                let device = mount_by_helper(&target, allow_other).map_err(|failure| {
                        let why = format!(
                            "mount(2) needs CAP_SYS_ADMIN: run as root, or in a user namespace (unshare -Urm); in \
                             Docker add --cap-add SYS_ADMIN --security-opt apparmor:unconfined; and for users: {}",
                            failure.why()
                        );
                        refuse(path, &error, &why)
                    })?;
                (device, true)
            }
            Err(error) => {
                let why = match error.raw_os_error() {
                    Some(sys::EBUSY) => "it is in use by another mount",
                    Some(sys::ENODEV) => "this kernel has no FUSE; try modprobe fuse",
                    Some(sys::EINVAL) => unmapped().unwrap_or("mount(2) failed"),
                    _ => "mount(2) failed",
                };
                return Err(refuse(path, &error, why));
            }
        };
        match sys::mount_id(&target, sys::IdKind::Unique) {
            Ok(mount) if mount.is_root => Ok((
                Self {
                    target,
                    id: mount.id,
                    by_helper,
                },
                device,
            )),
            // statx cannot say it (Linux before 5.8), or somebody was very quick. Not being able to tell
            // our mount from another later is worse than no mount.
            other => {
                let _ = match by_helper {
                    true => helper::unmount(&target).is_ok(),
                    false => sys::unmount(&target, Unmount::Detach).is_ok(),
                };
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
    pub(super) fn way_in(&self) -> Result<File> {
        let way = sys::open_path(&self.target);
        let ours = |way: &File| sys::mount_id_of(way, sys::IdKind::Unique);
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
        let refused = |error: io::Error, why: &str| {
            let path = Path::new(OsStr::from_bytes(self.target.to_bytes()));
            errno(&error).because(format!(
                "cannot unmount {}{why}; until it is unmounted by hand every access to it fails",
                path.display()
            ))
        };
        match sys::unmount(&self.target, Unmount::Plain) {
            Err(error) if error.raw_os_error() == Some(sys::EBUSY) => {
                sys::unmount(&self.target, Unmount::Abort)
            }
            Err(error) if self.by_helper && error.raw_os_error() == Some(sys::EPERM) => {
                let said = helper::unmount(&self.target);
                return said.map_err(|failure| refused(error, &format!(": {}", failure.why())));
            }
            other => other,
        }
        .map_err(|error| refused(error, ""))
    }
}

fn allowing(other: bool) -> &'static str {
    if other { ",allow_other" } else { "" }
}

/// Other users only as far as the machine lets a user let them in (`user_allow_other` in /etc/fuse.conf), unless they are
/// asked for in so many words.
fn mount_by_helper(target: &CString, allow_other: Option<bool>) -> Result<sys::Device, Failure> {
    let flags = "fsname=kernfs,subtype=kernfs,nosuid,nodev,noexec,default_permissions";
    let mount = |other| helper::mount(target, &format!("{flags}{}", allowing(other)));
    match allow_other {
        Some(other) => mount(other),
        None => match mount(true) {
            Err(Failure::Refused(_)) => mount(false),
            mounted => mounted,
        },
    }
}

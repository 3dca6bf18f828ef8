//! Where the tree is mounted, and what happens where that is impossible.
//!
//! A directory that the user named and that cannot be used is an error. A machine without FUSE, or
//! without the right to mount, is told in one line, and the daemon runs without.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use kernfs::fuse::{self, Mount};
use kernfs::{Errno, Error, Root};

use super::options::MountOn;
use super::{complain, say};

/// A mount, or none, and a directory to take away afterwards.
#[derive(Debug)]
pub(super) struct Mounted {
    mount: Option<Mount>,
    fresh: Option<Fresh>,
}

impl Mounted {
    /// # Errors
    /// The user named a directory that cannot be mounted on.
    pub(super) fn new(root: &Root, on: &MountOn) -> Result<Self, String> {
        let none = Self {
            mount: None,
            fresh: None,
        };
        let (path, fresh) = match on {
            MountOn::Nowhere => return Ok(none),
            MountOn::Dir(dir) => (dir.clone(), None),
            MountOn::Fresh => match Fresh::new() {
                Ok(fresh) => (fresh.0.clone(), Some(fresh)),
                Err(e) => {
                    let tmp = std::env::temp_dir();
                    say(format_args!(
                        "not mounted: no directory can be made in {}: {e}; all else runs",
                        tmp.display()
                    ));
                    return Ok(none);
                }
            },
        };
        match Mount::new(root, &path, &fuse::Options::new()) {
            Ok(mount) => {
                say(format_args!(
                    "mounted on {}; try: ls {0}/by-name; cat {0}/stats/*",
                    path.display()
                ));
                Ok(Self {
                    mount: Some(mount),
                    fresh,
                })
            }
            Err(e) if fresh.is_some() || no_fuse(&e, &path) => {
                say(format_args!("not mounted: {e}; all else runs"));
                Ok(none)
            }
            Err(e) => Err(format!("{e}; or use --no-mount")),
        }
    }

    /// Takes the mount away. The number of mounts that are left: 0, or the reason is told.
    pub(super) fn end(self) -> u64 {
        let result = self.mount.map(Mount::unmount);
        // Not before: it is the mount point.
        drop(self.fresh);
        match result {
            Some(Err(e)) => {
                complain(format_args!("{e}"));
                1
            }
            _ => 0,
        }
    }
}

/// Whether the machine is the reason, and not the directory.
fn no_fuse(error: &Error, dir: &Path) -> bool {
    let device = || File::options().read(true).write(true).open("/dev/fuse");
    match error.errno() {
        Errno::EPERM | Errno::ENODEV => true,
        Errno::EBUSY => false,
        // Not there, or no permission: the directory or the device?
        _ => fs::read_dir(dir).is_ok() && device().is_err(),
    }
}

/// A directory that was made for this run.
#[derive(Debug)]
struct Fresh(PathBuf);

/// Then the process that made it, and a number.
const FRESH: &str = "kernfsd.";

impl Fresh {
    fn new() -> io::Result<Self> {
        let tmp = std::env::temp_dir();
        let pid = std::process::id();
        tidy(&tmp);
        // A killed daemon with the same pid may have left its own.
        let mut names = (0..100).map(|n| tmp.join(format!("{FRESH}{pid}.{n}")));
        let make = |path: &Path| DirBuilder::new().mode(0o755).create(path);
        let mut last = io::ErrorKind::AlreadyExists.into();
        let made = names.find(|path| make(path).map_err(|e| last = e).is_ok());
        made.map(Self).ok_or(last)
    }
}

/// Takes away what killed daemons left mounted in the temporary directory. Whether there was anything, and
/// whether it went, is no matter of this run.
fn tidy(tmp: &Path) {
    let Ok(tmp) = tmp.canonicalize() else { return };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for path in mounts.lines().filter_map(|line| line.split(' ').nth(4)) {
        let path = Path::new(path);
        // Without a look at the mount itself: a daemon that is only stopped would not answer.
        if path.parent() == Some(&tmp) && maker(path).is_some_and(|pid| !is_running(pid)) {
            let _ = fuse::recover_stale(path).and_then(|_| Ok(fs::remove_dir(path)?));
        }
    }
}

/// The process that made this directory, if it is a [`Fresh`] one.
fn maker(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?.strip_prefix(FRESH)?;
    name.split('.').next()?.parse().ok()
}

fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Fails, and should, while something is still mounted there.
        let _ = fs::remove_dir(&self.0);
    }
}

//! Where it is mounted: a fresh directory, which others may get at, in a mount namespace of our own if there may be one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process;

use crate::progress::Progress;
use crate::sys;

/// The directory, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// Call it before there are threads.
    pub(crate) fn new() -> io::Result<Self> {
        // Without a namespace it works too; a run that is killed then leaves a dead mount behind.
        let _ = sys::private_mounts();
        let mut tries = 0;
        // Of a process of this number that was killed there may be one.
        let path = loop {
            let name = format!("kernfs_torture-{}-{tries}", process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < 100 => {
                    tries += 1
                }
                made => break made.map(|()| path)?,
            }
        };
        let place = Self(path.canonicalize()?);
        fs::set_permissions(&place.0, Permissions::from_mode(0o755))?;
        fs::create_dir(place.mount_point())?;
        Ok(place)
    }

    pub(crate) fn mount_point(&self) -> PathBuf {
        self.0.join("mount")
    }

    fn progress_file(&self) -> PathBuf {
        self.0.join("progress")
    }

    /// A file that all clients write, whoever they are.
    pub(crate) fn progress(&self) -> io::Result<Progress> {
        let path = self.progress_file();
        let progress = Progress::create(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        Ok(progress)
    }

    /// The same file in a client, which is told the directory.
    pub(crate) fn progress_in(place: &Path) -> io::Result<Progress> {
        Progress::open(&place.join("progress"))
    }

    /// The directory, as clients are told.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.progress_file());
        let _ = fs::remove_dir(self.mount_point());
        let _ = fs::remove_dir(&self.0);
    }
}

//! Where the tree is mounted. A directory that the user named and that cannot be used is an error; a machine without
//! FUSE, or without the right to mount, is told in one line, and the server runs without.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use kernfs::Root;
use kernfs::fuse::{self, Mount};

use super::complain;
use super::options::MountOn;

/// A mount, or none, and a directory to take away afterwards.
#[derive(Debug)]
pub(super) struct Mounted {
    mount: Option<Mount>,
    fresh: Option<PathBuf>,
}

impl Mounted {
    /// And a line for the user.
    ///
    /// # Errors
    /// The user named a directory that cannot be mounted on.
    pub(super) fn new(root: &Root, on: &MountOn) -> Result<(Self, String), String> {
        let mount = |path: &Path| Mount::new(root, path, &fuse::Options::new());
        let told = |path: &Path| format!("mounted on {0}; try: cat {0}/stats/*", path.display());
        let mut mounted = Self {
            mount: None,
            fresh: None,
        };
        let line = match on {
            MountOn::Nowhere => "not mounted: --no-mount".to_owned(),
            MountOn::Dir(path) => {
                let made = mount(path).map_err(|e| format!("{e}; or use --no-mount"))?;
                mounted.mount = Some(made);
                told(path)
            }
            MountOn::Fresh => {
                let path = std::env::temp_dir().join(format!("echod.{}", std::process::id()));
                let made = fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()));
                let made = made.and_then(|()| {
                    mounted.fresh = Some(path.clone());
                    mount(&path).map_err(|e| e.to_string())
                });
                match made {
                    Ok(made) => {
                        mounted.mount = Some(made);
                        told(&path)
                    }
                    Err(e) => format!("not mounted: {e}; all else runs"),
                }
            }
        };
        Ok((mounted, line))
    }

    /// Takes the mount away. The number of mounts that are left: 0, or the reason is told.
    pub(super) fn end(mut self) -> u64 {
        let result = self.mount.take().map(Mount::unmount);
        match result {
            Some(Err(e)) => {
                complain(format_args!("{e}"));
                1
            }
            _ => 0,
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Not before: it is the mount point.
        drop(self.mount.take());
        if let Some(fresh) = &self.fresh {
            let _ = fs::remove_dir(fresh);
        }
    }
}

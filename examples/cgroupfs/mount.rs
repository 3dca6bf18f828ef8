//! Where the tree is mounted: where the user said, else on a fresh directory; and what happens where that is impossible.

use std::fs;
use std::path::{Path, PathBuf};

use kernfs::Root;
use kernfs::fuse::{Mount, Options};

use super::say;

/// A mount, or none, and a directory to take away afterwards.
#[derive(Debug)]
pub(super) struct Mounted {
    mount: Option<Mount>,
    fresh: Option<PathBuf>,
}

impl Mounted {
    /// # Errors
    /// The user named a directory that cannot be mounted on.
    pub(super) fn new(root: &Root, dir: Option<&Path>) -> Result<Self, String> {
        // Programs wait for cgroup.events also by inotify.
        let options = Options::new().inotify(true);
        let (path, fresh) = match dir {
            Some(dir) => (dir.to_owned(), None),
            None => match fresh() {
                Ok(path) => (path.clone(), Some(path)),
                Err(error) => return Ok(Self::none(&error)),
            },
        };
        match Mount::new(root, &path, &options) {
            Ok(mount) => {
                say(format_args!(
                    "mounted on {0}; try: mkdir {0}/x; ls -l {0}/x; echo $$ > {0}/x/cgroup.procs; cat {0}/x/cgroup.events",
                    path.display()
                ));
                let mount = Some(mount);
                Ok(Self { mount, fresh })
            }
            Err(error) if fresh.is_some() => {
                remove(&path);
                Ok(Self::none(&error.to_string()))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn none(why: &str) -> Self {
        say(format_args!("not mounted: {why}; all else runs"));
        Self {
            mount: None,
            fresh: None,
        }
    }

    /// Takes the mount away.
    ///
    /// # Errors
    /// It is still there.
    pub(super) fn end(mut self) -> Result<(), String> {
        let result = self.mount.take().map_or(Ok(()), Mount::unmount);
        result.map_err(|error| error.to_string())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.mount.take());
        if let Some(path) = &self.fresh {
            remove(path);
        }
    }
}

fn fresh() -> Result<PathBuf, String> {
    let tmp = std::env::temp_dir();
    // A killed program with the same pid may have left its own.
    let mut paths = (0..100).map(|n| tmp.join(format!("cgroupfs.{}.{n}", std::process::id())));
    let mut why = None;
    paths
        .find(|path| fs::create_dir(path).map_err(|e| why = Some(e)).is_ok())
        .ok_or_else(|| {
            let why = why.map_or_else(String::new, |why| why.to_string());
            format!("no directory can be made in {}: {why}", tmp.display())
        })
}

/// Fails, and should, while something is mounted there.
fn remove(path: &Path) {
    let _ = fs::remove_dir(path);
}

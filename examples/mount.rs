//! Where a tree is mounted, and what happens where that is impossible.
//!
//! A directory that the user named and that cannot be used is an error. A machine without FUSE, or without the right to
//! mount, is told in one line, and the program runs without, also if the user named a directory.

#![forbid(unsafe_code)]

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use kernfs::fuse::{self, Mount};
use kernfs::{Errno, Error, Root};
use lexopt::Parser;

/// Where the user wants the tree: what `--mount DIR` and `--no-mount` say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MountOn {
    /// Neither: a fresh temporary directory.
    Fresh,
    /// Absolute: a daemon works in `/`.
    Dir(PathBuf),
    Nowhere,
}

impl MountOn {
    /// `--mount`, whose value comes next.
    ///
    /// # Errors
    /// A line that names the option and what would be right.
    pub(crate) fn dir(&mut self, parser: &mut Parser) -> Result<(), String> {
        if *self == Self::Nowhere {
            return Err(exclusive());
        }
        let dir = parser.value().map_err(|e| e.to_string())?;
        if dir.is_empty() {
            return Err("--mount wants the name of an empty directory".to_owned());
        }
        let dir = std::path::absolute(&dir).map_err(|e| format!("--mount {dir:?}: {e}"))?;
        *self = Self::Dir(dir);
        Ok(())
    }

    /// `--no-mount`.
    ///
    /// # Errors
    /// A line that names both options.
    pub(crate) fn nowhere(&mut self) -> Result<(), String> {
        if matches!(self, Self::Dir(_)) {
            return Err(exclusive());
        }
        *self = Self::Nowhere;
        Ok(())
    }
}

fn exclusive() -> String {
    "--mount and --no-mount exclude each other".to_owned()
}

/// A mount, or none, and a directory to take away afterwards.
#[derive(Debug)]
pub(crate) struct Mounted {
    // Dropped in this order, as in `end`.
    mount: Option<Mount>,
    fresh: Option<Fresh>,
    /// Or why it is mounted nowhere.
    place: Result<PathBuf, String>,
}

impl Mounted {
    /// A fresh directory gets the program's name, and what killed programs of that name left is taken away.
    ///
    /// # Errors
    /// The user named a directory that cannot be mounted on.
    pub(crate) fn new(
        root: &Root,
        on: &MountOn,
        options: &fuse::Options,
        name: &str,
    ) -> Result<Self, String> {
        let (path, fresh) = match on {
            MountOn::Nowhere => return Ok(Self::none("--no-mount".to_owned())),
            MountOn::Dir(dir) => (dir.clone(), None),
            MountOn::Fresh => match Fresh::new(&std::env::temp_dir(), name) {
                Ok(fresh) => (fresh.0.clone(), Some(fresh)),
                Err(why) => return Ok(Self::none(format!("{why}; all else runs"))),
            },
        };
        match Mount::new(root, &path, options) {
            Ok(mount) => Ok(Self {
                mount: Some(mount),
                fresh,
                place: Ok(path),
            }),
            Err(e) if fresh.is_some() || no_fuse(&e, &path) => {
                Ok(Self::none(format!("{e}; all else runs")))
            }
            Err(e) => Err(format!("{e}; or use --no-mount")),
        }
    }

    fn none(why: String) -> Self {
        Self {
            mount: None,
            fresh: None,
            place: Err(why),
        }
    }

    /// A line for the user, with a command to try: for `DIR` in it stands the mount point.
    pub(crate) fn line(&self, command: &str) -> String {
        match &self.place {
            Ok(path) => {
                let dir = path.display().to_string();
                format!("mounted on {dir}; try: {}", command.replace("DIR", &dir))
            }
            Err(why) => format!("not mounted: {why}"),
        }
    }

    /// Takes the mount away.
    ///
    /// # Errors
    /// It is still there, and why.
    pub(crate) fn end(self) -> Result<(), String> {
        let result = self.mount.map_or(Ok(()), Mount::unmount);
        // Not before: it is the mount point.
        drop(self.fresh);
        result.map_err(|e| e.to_string())
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

/// A directory that was made for this run. Its name is the program's, the process's number, and one more.
#[derive(Debug)]
struct Fresh(PathBuf);

impl Fresh {
    /// # Errors
    /// A line that names `tmp`.
    fn new(tmp: &Path, name: &str) -> Result<Self, String> {
        let pid = std::process::id();
        tidy(tmp, name);
        // A killed program with the same pid may have left its own.
        let mut paths = (0..100).map(|n| tmp.join(format!("{name}.{pid}.{n}")));
        let make = |path: &Path| DirBuilder::new().mode(0o755).create(path);
        let mut last = io::ErrorKind::AlreadyExists.into();
        let made = paths.find(|path| make(path).map_err(|e| last = e).is_ok());
        made.map(Self)
            .ok_or_else(|| format!("no directory can be made in {}: {last}", tmp.display()))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Fails, and should, while something is still mounted there.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Takes away what killed programs left mounted in the temporary directory. Whether there was anything, and
/// whether it went, is no matter of this run.
fn tidy(tmp: &Path, name: &str) {
    let Ok(tmp) = tmp.canonicalize() else { return };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for path in mounts.lines().filter_map(|line| line.split(' ').nth(4)) {
        let path = Path::new(path);
        // Without a look at the mount itself: a program that is only stopped would not answer.
        if path.parent() == Some(&tmp) && maker(path, name).is_some_and(|pid| !is_running(pid)) {
            let _ = fuse::recover_stale(path).and_then(|_| Ok(fs::remove_dir(path)?));
        }
    }
}

/// The process that made this directory, if it is a [`Fresh`] one of that name.
fn maker(path: &Path, name: &str) -> Option<u32> {
    let rest = path.file_name()?.to_str()?.strip_prefix(name)?;
    rest.strip_prefix('.')?.split('.').next()?.parse().ok()
}

fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the options say, one after the other.
    fn of(args: &[&str]) -> Result<MountOn, String> {
        let mut on = MountOn::Fresh;
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next().unwrap() {
            match arg {
                lexopt::Arg::Long("mount") => on.dir(&mut parser)?,
                _ => on.nowhere()?,
            }
        }
        Ok(on)
    }

    #[test]
    fn the_options_exclude_each_other_and_directories_are_absolute() {
        assert_eq!(of(&[]), Ok(MountOn::Fresh));
        assert_eq!(of(&["--no-mount", "--no-mount"]), Ok(MountOn::Nowhere));
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            of(&["--mount=/x", "--mount", "y"]),
            Ok(MountOn::Dir(here.join("y")))
        );
        for (args, names) in [
            (&["--no-mount", "--mount=/x"][..], "exclude each other"),
            (&["--mount=/x", "--no-mount"], "exclude each other"),
            (&["--mount="], "--mount wants"),
            (&["--mount"], "--mount"),
        ] {
            let message = of(args).expect_err(names);
            assert!(message.contains(names), "{args:?}: {message}");
        }
    }

    #[test]
    fn a_line_tells_where_it_is_and_why_it_is_nowhere() {
        let root = Root::new();
        let options = fuse::Options::new();
        let mut mounted = Mounted::new(&root, &MountOn::Nowhere, &options, "x").unwrap();
        assert_eq!(mounted.line("ls DIR"), "not mounted: --no-mount");
        mounted.place = Ok("/a b".into());
        assert_eq!(
            mounted.line("ls DIR/c; cat DIR/d"),
            "mounted on /a b; try: ls /a b/c; cat /a b/d"
        );
        assert_eq!(mounted.end(), Ok(()));
    }

    #[test]
    fn a_fresh_directory_takes_the_first_of_100_names_that_is_free_and_goes() {
        let pid = std::process::id();
        // One of the name may be left by a killed process that had our number.
        let tmps = (0..100).map(|n| format!("examples-fresh-test.{pid}.{n}"));
        let mut tmps = tmps.map(|name| std::env::temp_dir().join(name));
        let tmp = tmps.find(|tmp| fs::create_dir(tmp).is_ok()).unwrap();
        let name = |n: usize| tmp.join(format!("x.{pid}.{n}"));
        let mut all: Vec<_> = (0..3).map(|_| Fresh::new(&tmp, "x").unwrap()).collect();
        assert_eq!(all[2].0, name(2));
        drop(all.remove(1));
        assert!(name(0).exists() && !name(1).exists());
        all.extend((2..100).map(|_| Fresh::new(&tmp, "x").unwrap()));
        assert!(name(99).exists());
        let message = Fresh::new(&tmp, "x").unwrap_err();
        drop(all);
        // Empty, or it stays and is told.
        fs::remove_dir(&tmp).unwrap();
        assert!(
            message.contains(tmp.to_str().unwrap()) && message.contains("exists"),
            "{message}"
        );
        let message = Fresh::new(&tmp, "x").unwrap_err();
        assert!(message.contains("No such file"), "{message}");
    }

    #[test]
    fn who_made_a_directory_stands_in_its_name() {
        let maker = |path: &str| maker(Path::new(path), "echod");
        assert_eq!(maker("/tmp/echod.12.0"), Some(12));
        assert_eq!(maker("/tmp/echod.12"), Some(12));
        for other in ["echod", "echod.x.0", "echod12.0", "echod-test.12.0", "/"] {
            assert_eq!(maker(other), None, "{other}");
        }
    }
}

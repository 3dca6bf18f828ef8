//! A running kernfsd: started, watched, and taken away whatever happens.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No assertion: only how long a test that has failed already goes on.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// The example, which `cargo test` builds beside the tests.
pub(crate) fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/kernfsd");
    assert!(
        path.exists(),
        "{} is not built; run the tests of the whole package: cargo test -p examples",
        path.display()
    );
    path
}

/// Runs it to its end: exit code, stdout, stderr.
pub(crate) fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> (i32, String, String) {
    let output = Command::new(program()).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().expect("killed by a signal"),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Looks until `condition` gives something: in files of another process, which tell nobody.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < WATCHDOG, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// An empty directory that goes with the test, and a mount that was left on it too.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let tmp = fs::canonicalize(std::env::temp_dir()).unwrap();
        loop {
            let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let dir = tmp.join(format!("kernfsd-test.{pid}.{next}"));
            match fs::create_dir(&dir) {
                Ok(()) => return Self(dir),
                // Left by a killed process that had our number.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", dir.display()),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if is_mounted(&self.0) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether something is mounted on the directory.
pub(crate) fn is_mounted(dir: &Path) -> bool {
    let dir = dir.to_str().unwrap();
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(dir))
}

/// A kernfsd without an end, killed at the latest when the test drops it.
pub(crate) struct Daemon {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Where it is mounted; `None` where that is impossible.
    mounted: Option<PathBuf>,
}

impl Daemon {
    /// Starts it and waits until it has told where it is mounted, or that it is not.
    pub(crate) fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(program());
        command.args(args);
        Self::start_as(command)
    }

    /// The same, with more than arguments.
    pub(crate) fn start_as(mut command: Command) -> Self {
        let mut child = command
            .args(["--seconds=0", "--readers=1", "--interval-ms=20"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let mounted = line
            .strip_prefix("mounted on ")
            .and_then(|rest| rest.split(';').next())
            .map(PathBuf::from);
        assert!(
            mounted.is_some() || line.starts_with("not mounted: "),
            "{line:?}"
        );
        if mounted.is_none() {
            assert!(
                std::env::var_os("KERNFS_FUSE_TESTS").is_none_or(|v| v != "require"),
                "KERNFS_FUSE_TESTS=require, but {line}"
            );
            eprintln!("SKIP: {line}");
        }
        Self {
            child,
            output,
            mounted,
        }
    }

    /// The mount point; without one the test has nothing to do.
    pub(crate) fn mount_point(&self) -> Option<PathBuf> {
        self.mounted.clone()
    }

    /// Ends it by a signal; the exit status and what it printed.
    pub(crate) fn end(mut self, signal: Signal) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        if signal == Signal::KILL {
            // What it leaves behind is what the test is about.
            self.mounted = None;
        }
        (self.child.wait().unwrap(), text)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if let Some(dir) = self.mounted.as_ref().filter(|dir| is_mounted(dir)) {
            let _ = Command::new("umount").arg("-l").arg(dir).status();
            let _ = fs::remove_dir(dir);
        }
    }
}

/// All lines of the table that stands at the end of a run.
pub(crate) fn assert_closing_table(text: &str) {
    for line in [
        "integer hash: rcu ",
        "integer hash: rwlock ",
        "integer hash: ratio ",
        "std hash: rcu ",
        "std hash: rwlock ",
        "std hash: ratio ",
        "rcu: ",
        "left: 0 callbacks, 0 nodes, 0 records, 0 mounts: nothing",
    ] {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}\n{text}");
    }
}

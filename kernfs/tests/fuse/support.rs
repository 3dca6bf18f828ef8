//! Namespaces, mounts, a watchdog, and the files of the tests' trees.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use kernfs::fuse::{Mount, Options};
use kernfs::{Cx, Dir, Errno, File, Has, Ops, Result, Root, Seq};

/// A file that shows and stores one line; "bad" is refused.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) Mutex<String>);

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        Self(Mutex::new(text.to_owned()))
    }
}

impl Ops for Text {
    const HAS: Has = Has::SHOW.with(Has::WRITE);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        seq.put(self.0.lock().expect("no panic under it").as_bytes());
        seq.put(b"\n");
        Ok(())
    }

    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        if text.trim_end() == "bad" {
            return Err(Errno::EINVAL.into());
        }
        text.trim_end()
            .clone_into(&mut self.0.lock().expect("no panic under it"));
        cx.notify();
        Ok(data.len())
    }
}

/// Adds a [`Text`] to a directory.
pub(crate) fn text(dir: &Dir, name: &str, text: &str) -> File {
    dir.create_file(name, 0o644, 4096, Text::new(text))
        .expect("a new name")
}

/// What a test works with.
pub(crate) struct Setup {
    pub(crate) root: Root,
    pub(crate) mount: Mount,
    /// The mount point.
    pub(crate) path: PathBuf,
}

impl Setup {
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).expect("readable")
    }
}

/// Lets a test's clients end however the test does.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The errno of a failed operation.
#[track_caller]
pub(crate) fn errno<T>(result: io::Result<T>) -> i32 {
    match result {
        Ok(_) => panic!("it worked"),
        Err(error) => error.raw_os_error().expect("an errno"),
    }
}

/// Runs a shell command in a directory.
pub(crate) fn shell(dir: &Path, script: &str) -> Output {
    Command::new("sh")
        .arg("-c")
        .arg(script)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .output()
        .expect("sh")
}

/// What it printed; it must succeed and say nothing on stderr.
#[track_caller]
pub(crate) fn shell_ok(dir: &Path, script: &str) -> String {
    let output = shell(dir, script);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && error.is_empty(),
        "{script}: {error}"
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn check(ret: libc::c_int) -> io::Result<()> {
    if ret == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

pub(crate) fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL")
}

/// A mount namespace for the calling thread and those it starts.
fn enter_namespace() -> io::Result<()> {
    // SAFETY: concerns the calling thread only, touches no memory.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let none = std::ptr::null();
    // SAFETY: source, type and data may be null for a change of propagation.
    check(unsafe {
        libc::mount(
            none,
            c"/".as_ptr(),
            none,
            libc::MS_REC | libc::MS_PRIVATE,
            none.cast(),
        )
    })
}

pub(crate) fn mount_tmpfs(path: &Path) {
    let target = c_string(path);
    let kind = c"tmpfs".as_ptr();
    // SAFETY: NUL-terminated strings that live over the call, no data.
    check(unsafe { libc::mount(kind, target.as_ptr(), kind, 0, std::ptr::null()) }).expect("tmpfs");
}

pub(crate) fn unmount(path: &Path, flags: libc::c_int) -> io::Result<()> {
    let target = c_string(path);
    // SAFETY: a NUL-terminated string that lives over the call.
    check(unsafe { libc::umount2(target.as_ptr(), flags) })
}

/// The same, not by force, as soon as nobody uses it: a child of another test may have our files, until it becomes its
/// program.
#[track_caller]
pub(crate) fn unmount_unused(path: &Path) {
    while let Err(error) = unmount(path, 0) {
        assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
        thread::yield_now();
    }
}

/// Waits in poll(2) without an end (there is the watchdog), returns what is ready.
pub(crate) fn poll(file: &impl std::os::fd::AsRawFd, events: i16) -> i16 {
    poll_for(file, events, -1)
}

/// What is ready now.
pub(crate) fn poll_now(file: &impl std::os::fd::AsRawFd, events: i16) -> i16 {
    poll_for(file, events, 0)
}

fn poll_for(file: &impl std::os::fd::AsRawFd, events: i16, timeout: i32) -> i16 {
    let mut item = libc::pollfd {
        fd: file.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one pollfd to read and write.
    check(unsafe { libc::poll(&raw mut item, 1, timeout) }).expect("poll");
    item.revents
}

/// Says that something is not tested. Not by println, which is shown of tests that fail only.
pub(crate) fn skip(what: &str) {
    let _ = writeln!(io::stdout(), "SKIP {what}");
}

/// Whether there is a user 65534 who can get at the tests' directories. In a user namespace that maps one user there is
/// none, and TMPDIR may be somewhere in root's home.
pub(crate) fn have_nobody() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").expect("proc");
    let has = |line: &str| {
        let mut numbers = line
            .split_whitespace()
            .map(|n| n.parse::<u64>().expect("a map"));
        let (first, count) = (
            numbers.next().expect("first"),
            numbers.nth(1).expect("count"),
        );
        (first..first + count).contains(&65534)
    };
    if !map.lines().any(has) {
        skip("a test with a second user: the user namespace does not have him");
        return false;
    }
    let visit = thread::spawn(|| {
        become_nobody();
        fs::metadata(std::env::temp_dir().join("."))
    });
    match visit.join().expect("no panic") {
        Ok(_) => true,
        Err(error) => {
            let dir = std::env::temp_dir();
            skip(&format!(
                "a test with a second user: {} is closed to him: {error}",
                dir.display()
            ));
            false
        }
    }
}

/// Gives the calling thread, and it alone, another user.
pub(crate) fn become_nobody() {
    // SAFETY: the raw call changes the calling thread only, touches no memory.
    let ret = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
    assert_eq!(ret, 0);
    // That made the whole process one that may not be traced, which the other tests share.
    // SAFETY: sets a flag of the process, touches no memory.
    let ret = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(true)) };
    assert_eq!(ret, 0);
}

/// A directory that is removed at the end; a mount left on it fails the test.
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("kernfs-fuse-{}-{count}", process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Self(fs::canonicalize(path).expect("just made")),
                // Left by a killed process that had our number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let removed = fs::remove_dir(&self.0);
        if !thread::panicking() {
            removed.expect("nothing is left");
        }
    }
}

/// Whether something is mounted on the path, in the calling thread's namespace.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("proc");
    let path = path.to_str().expect("a temporary directory");
    table
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(path))
}

/// Runs `test` in a namespace of its own.
fn in_namespace<R: Send>(test: impl FnOnce() -> R + Send) -> io::Result<R> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| enter_namespace().map(|()| test()));
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Why there can be no mount here.
fn obstacle() -> &'static Option<String> {
    static OBSTACLE: OnceLock<Option<String>> = OnceLock::new();
    OBSTACLE.get_or_init(|| {
        let attempt = in_namespace(|| {
            let dir = TempDir::new();
            Mount::new(&Root::new(), &dir.0, &Options::new()).map(drop)
        });
        let why = match attempt {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(error) => format!("unshare(CLONE_NEWNS): {error}"),
        };
        skip(&format!(
            "kernfs fuse tests: {why}; needs /dev/fuse readable and (root | user namespace). In \
             Docker: --device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor:unconfined. Set \
             KERNFS_FUSE_TESTS=require to make this a failure."
        ));
        Some(why)
    })
}

/// Runs a test that needs to mount, in a namespace, with a fresh directory.
pub(crate) fn with_dir(test: impl FnOnce(&Path) + Send) {
    if let Some(why) = obstacle() {
        let required = std::env::var_os("KERNFS_FUSE_TESTS").is_some_and(|v| v == "require");
        assert!(!required, "{why}");
        return;
    }
    in_namespace(|| {
        let dir = TempDir::new();
        let (done, watched) = mpsc::channel::<()>();
        let path = dir.0.clone();
        // A child of this thread, so in its namespace.
        thread::spawn(move || watchdog(&path, &watched));
        test(&dir.0);
        assert!(!is_mount_point(&dir.0), "a mount was left");
        drop(done);
    })
    .expect("it worked before");
}

/// How long a test may take before it counts as one that hangs: much more than the longest needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for what comes by itself, if at all within half of that.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE / 2, "not yet: {what}");
        thread::yield_now();
    }
}

/// Aborts the connection of a test that hangs, so that it fails; ends the process if that does not help.
fn watchdog(path: &Path, watched: &mpsc::Receiver<()>) {
    for _ in 0..2 {
        match watched.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("{}: {PATIENCE:?} have passed, aborting", path.display());
                let _ = unmount(path, libc::MNT_FORCE | libc::MNT_DETACH);
            }
            _ => return,
        }
    }
    process::abort();
}

/// Runs a test with a mounted tree; unmounts at the end.
pub(crate) fn with_mount(build: impl FnOnce(&Root) + Send, test: impl FnOnce(&Setup) + Send) {
    with_root(Root::new(), build, test);
}

/// The same with another root than the usual one.
pub(crate) fn with_root(
    root: Root,
    build: impl FnOnce(&Root) + Send,
    test: impl FnOnce(&Setup) + Send,
) {
    with_options(root, &Options::new(), build, test);
}

/// The same with other options.
pub(crate) fn with_options(
    root: Root,
    options: &Options,
    build: impl FnOnce(&Root) + Send,
    test: impl FnOnce(&Setup) + Send,
) {
    with_dir(|path| {
        build(&root);
        let mount = Mount::new(&root, path, options).expect("it worked before");
        let setup = Setup {
            root,
            mount,
            path: path.to_owned(),
        };
        test(&setup);
        setup.mount.unmount().expect("still ours");
        assert_eq!(fs::read_dir(path).expect("bare").count(), 0);
    });
}

//! Where the cases run: in a mount namespace of their own, below a fresh group of the machine's cgroup2, and on a mount
//! of ours.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use examples::cgroupfs::Cgroups;
use kernfs::fuse::{Mount, Options};

/// Makes a directory of a new name.
fn fresh(parent: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("cgroupfs-test-{}-{count}", process::id()));
        match fs::create_dir(&dir) {
            // Of a process that has, or had, our number: one that was killed, or in another pid namespace.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| dir),
        }
    }
}

/// A group that is removed at the end, with all in it.
pub(crate) struct Base(PathBuf);

impl Base {
    fn new(mount: &Path) -> io::Result<Self> {
        fresh(mount).map(Self)
    }

    /// A new group.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        let dir = self.0.join(name.replace('.', "-"));
        fs::create_dir(&dir).expect("a new name");
        dir
    }

    /// Removes what cases left.
    pub(crate) fn clear(&self) {
        for entry in fs::read_dir(&self.0).expect("a directory").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a group and those in it.
fn remove(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    // Who has just ended may be in it for a moment.
    let busy = |result: &io::Result<()>| {
        let error = result.as_ref().err().and_then(io::Error::raw_os_error);
        error == Some(libc::EBUSY)
    };
    let mut result = fs::remove_dir(dir);
    for _ in 0..1000 {
        if !busy(&result) {
            break;
        }
        thread::yield_now();
        result = fs::remove_dir(dir);
    }
    if let Err(error) = result {
        eprintln!("{} is left: {error}", dir.display());
    }
}

/// A directory that is removed at the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> io::Result<Self> {
        fresh(&std::env::temp_dir()).map(Self)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn check(ret: libc::c_int) -> io::Result<()> {
    match ret {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A mount namespace for the calling thread and those it starts.
fn enter_namespace() -> io::Result<()> {
    // SAFETY: concerns the calling thread only, touches no memory.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let none = std::ptr::null();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: source, type and data may be null for a change of propagation.
    check(unsafe { libc::mount(none, c"/".as_ptr(), none, private, none.cast()) })
}

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL")
}

fn mount_cgroup2(path: &Path) -> io::Result<()> {
    let target = c_string(path);
    let kind = c"cgroup2".as_ptr();
    // SAFETY: NUL-terminated strings that live over the call, no data.
    check(unsafe { libc::mount(kind, target.as_ptr(), kind, 0, std::ptr::null()) })
}

fn unmount(path: &Path, flags: libc::c_int) -> io::Result<()> {
    let target = c_string(path);
    // SAFETY: a NUL-terminated string that lives over the call.
    check(unsafe { libc::umount2(target.as_ptr(), flags) })
}

/// cgroup2's mount points, from the table.
fn mounted_cgroup2() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let cgroup2 = table.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let is_cgroup2 = right.split(' ').next() == Some("cgroup2");
        left.split(' ').nth(4).filter(|_| is_cgroup2)
    });
    cgroup2.map(PathBuf::from).collect()
}

/// The machine's cgroup2 with a fresh group, and the directory that it was mounted on if it was for this.
fn real() -> io::Result<(Base, Option<TempDir>)> {
    for mount in mounted_cgroup2() {
        if let Ok(base) = Base::new(&mount) {
            return Ok((base, None));
        }
    }
    let dir = TempDir::new()?;
    mount_cgroup2(&dir.0)?;
    Ok((Base::new(&dir.0)?, Some(dir)))
}

/// A test that cannot run says why; where it must run that is a failure.
fn skip(why: &str, even_if_required: bool) {
    println!("SKIP cgroupfs beside cgroup2: {why}");
    let required = std::env::var_os("KERNFS_FUSE_TESTS").is_some_and(|value| value == "require");
    assert!(even_if_required || !required, "{why}");
}

/// Runs `test` with the machine's cgroup2 and ours.
pub(crate) fn with_both(test: impl FnOnce(&Base, &Base) + Send) {
    let result = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Err(error) = enter_namespace() {
                return skip(&format!("unshare(CLONE_NEWNS): {error}; needs root"), false);
            }
            let (real, temporary) = match real() {
                Ok(found) => found,
                Err(error) => {
                    return skip(&format!("no group can be made in cgroup2: {error}"), true);
                }
            };
            let cgroups = Cgroups::new().expect("threads");
            let dir = TempDir::new().expect("a fresh directory");
            match Mount::new(cgroups.root(), &dir.0, &Options::new().inotify(true)) {
                Err(error) => skip(&format!("{error}; needs root and /dev/fuse"), false),
                Ok(mount) => with_watchdog(&dir.0, &real, || {
                    let ours = Base::new(&dir.0).expect("an empty tree");
                    test(&real, &ours);
                    drop(ours);
                    mount.unmount().expect("still ours");
                }),
            }
            drop(real);
            if let Some(temporary) = temporary {
                unmount(&temporary.0, 0).expect("not in use any more");
            }
        });
        thread.join()
    });
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Ends the mount of a test that hangs, so that it fails; ends the process if that does not help.
fn with_watchdog(path: &Path, real: &Base, test: impl FnOnce()) {
    let (done, watched) = mpsc::channel::<()>();
    let (path, base) = (path.to_owned(), real.0.clone());
    // A child of this thread, so in its namespace.
    thread::spawn(move || {
        for _ in 0..2 {
            match watched.recv_timeout(Duration::from_secs(60)) {
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{}: a minute has passed, aborting", path.display());
                    let _ = unmount(&path, libc::MNT_FORCE | libc::MNT_DETACH);
                }
                _ => return,
            }
        }
        remove(&base);
        process::abort();
    });
    test();
    drop(done);
}

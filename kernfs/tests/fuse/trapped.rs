//! What a client can do to the others who has the kernel keep the lock of a directory: getdents64(2) copies the entries to
//! him under it, and where he has them copied to is a page that another file system does not give.

use std::ffi::c_void;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use kernfs::fuse::{Mount, Options};
use kernfs::{Cx, Dir, Has, Ops, Result, Root, Seq, SetAttr};

use crate::stuck::{Opens, Stuck};
use crate::support::{Setup, TempDir, errno, text, with_dir, with_mount};
use crate::users::{User, have_users, user};

const PAGE: usize = 4096;
const NOBODY: User = user(65534, 65534);

/// A page of a file whose `show` waits.
struct Page(*mut c_void);

// SAFETY: nobody but the kernel touches the page.
unsafe impl Send for Page {}

impl Page {
    fn of(path: &Path) -> Self {
        let file = File::open(path).expect("open");
        let none = std::ptr::null_mut();
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping where the kernel likes.
        let at = unsafe { libc::mmap(none, PAGE, rw, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
        assert_ne!(at, libc::MAP_FAILED);
        Self(at)
    }

    /// Has the entries of a directory copied there.
    fn take(self, dir: &File) {
        // SAFETY: a page of ours, which nothing else uses.
        unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), self.0, PAGE) };
        // SAFETY: ours, all of it.
        assert_eq!(unsafe { libc::munmap(self.0, PAGE) }, 0);
    }
}

/// Runs `test` while a client holds the lock of the directory `dir`, the root of a mount, and the news of the end of
/// `gone`, which is in it, wait for that.
fn while_trapped(dir: &Path, gone: &File, root: &Root, test: impl FnOnce()) {
    let stuck = Arc::new(Stuck::default());
    let trap = Root::new();
    let ops = Arc::clone(&stuck);
    trap.create_file("page", 0o666, PAGE as u64, ops)
        .expect("new");
    let place = TempDir::new();
    let mount = Mount::new(&trap, &place.0, &Options::new()).expect("bare");
    let listed = File::open(dir).expect("a directory");
    let _ = gone.metadata().expect("there");
    thread::scope(|scope| {
        let opens = Opens(&stuck);
        let page = Page::of(&place.0.join("page"));
        scope.spawn(move || page.take(&listed));
        stuck.wait(|state| state.0 > 0);
        root.remove_by_name("gone").expect("there");
        test();
        drop(opens);
    });
    mount.unmount().expect("ours");
}

/// How long something may take before it counts as what hangs: much more than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether something ends, in a thread of its own.
fn in_time(what: impl FnOnce() + Send + 'static) -> bool {
    let (done, end) = mpsc::channel();
    thread::spawn(move || {
        what();
        done.send(())
    });
    end.recv_timeout(PATIENCE).is_ok()
}

/// A write of it makes a directory.
struct Maker(Dir);

impl Ops for Maker {
    const HAS: Has = Has::WRITE.with(Has::SHOW);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        Ok(())
    }

    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        self.0.create_dir("made", 0o755)?;
        Ok(data.len())
    }
}

fn build(root: &Root) {
    text(root, "gone", "1");
    text(root, "secret", "42");
    let dir = root.create_dir("dir", 0o755).expect("new");
    dir.create_file("maker", 0o644, 0, Maker(dir.clone()))
        .expect("new");
}

#[test]
fn who_kept_a_directory_locked_read_on_what_was_closed_to_him() {
    if !have_users() {
        return;
    }
    with_mount(build, |setup| {
        let gone = File::open(setup.at("gone")).expect("open");
        let read = || NOBODY.does(|| fs::read(setup.at("secret")));
        assert_eq!(read().expect("for all"), b"42\n");
        while_trapped(&setup.path, &gone, &setup.root, || {
            let secret = setup.root.find("secret").expect("there");
            let closed = SetAttr {
                mode: Some(0o600),
                ..SetAttr::default()
            };
            secret.setattr(&closed).expect("any mode");
            assert_eq!(errno(read()), libc::EACCES);
        });
    });
}

#[test]
fn who_kept_a_directory_locked_kept_the_writes_of_others_waiting() {
    with_mount(build, |setup| {
        let gone = File::open(setup.at("gone")).expect("open");
        fs::metadata(setup.at("dir/maker")).expect("there");
        while_trapped(&setup.path, &gone, &setup.root, || {
            let maker = setup.at("dir/maker");
            let written = in_time(move || fs::write(maker, "x").expect("there"));
            assert!(written, "it waits");
        });
        assert!(fs::metadata(setup.at("dir/made")).is_ok());
    });
}

#[test]
fn who_kept_a_directory_locked_kept_the_daemon_from_unmounting() {
    with_dir(|path| {
        let root = Root::new();
        build(&root);
        let mount = Mount::new(&root, path, &Options::new()).expect("bare");
        let setup = Setup {
            root,
            mount,
            path: PathBuf::from(path),
        };
        let gone = File::open(setup.at("gone")).expect("open");
        let root = setup.root.clone();
        while_trapped(path, &gone, &root, || {
            let mount = setup.mount;
            let unmounted = in_time(move || mount.unmount().expect("ours"));
            assert!(unmounted, "it waits");
        });
    });
}

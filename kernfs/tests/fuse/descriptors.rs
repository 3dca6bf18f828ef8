//! A daemon that has no descriptor left: its mount needs none to serve.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{io, thread};

use kernfs::{Cx, Errno, Has, Ops, Result, Root, Seq, bin};

use crate::daemon::{Daemon, Mode};
use crate::stuck::Stuck;
use crate::support::{Text, errno, is_mount_point, poll, with_dir};

/// Takes all descriptors of the daemon ("take"), and gives them back ("give").
struct Room {
    root: Root,
    stuck: Arc<Stuck>,
    taken: Mutex<Vec<File>>,
}

impl Ops for Room {
    const HAS: Has = Has::SHOW.with(Has::WRITE);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    /// The errno of who wants one.
    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        let why = File::open("/dev/null").map_or_else(|error| error.raw_os_error(), |_| Some(0));
        seq.put(format!("{}\n", why.unwrap_or(-1)).as_bytes());
        Ok(())
    }

    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        let mut taken = self.taken.lock().map_err(|_| Errno::EIO)?;
        match data {
            b"take" => taken.extend(std::iter::from_fn(|| File::open("/dev/null").ok())),
            b"give" => taken.clear(),
            b"create" => drop(self.root.create_file("new", 0o644, 0, Text::new("new"))?),
            b"remove" => self.root.remove_by_name("new")?,
            b"let go" => self.stuck.change(|state| state.1 = true),
            b"hold" => self.stuck.change(|state| *state = (0, false)),
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(data.len())
    }
}

/// The daemon's tree. It has few descriptors, so that it takes little to have none.
pub(crate) fn build(root: &Root) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: one rlimit to write.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = 128;
    // SAFETY: one rlimit to read.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!((got, set), (0, 0));
    let stuck = Arc::new(Stuck::default());
    root.create_file("stuck", 0o444, 0, Arc::clone(&stuck))
        .expect("new");
    let room = Room {
        root: root.clone(),
        stuck: Arc::clone(&stuck),
        taken: Mutex::default(),
    };
    root.create_file("room", 0o644, 0, room).expect("new");
    root.create_file("speed", 0o644, 4096, Text::new("30"))
        .expect("new");
    let inside = move || stuck.inside();
    root.attr("inside", kernfs::ro(inside)).expect("new");
    let zeros = bin(8192).read(|data, _| {
        data.fill(0);
        Ok(data.len())
    });
    root.attr("zeros", zeros).expect("new");
}

/// The first byte of a private mapping.
fn mapped(file: &File) -> io::Result<u8> {
    let (len, fd) = (4096, file.as_raw_fd());
    let none = std::ptr::null_mut();
    // SAFETY: a new mapping, of which nobody else knows.
    let at = unsafe { libc::mmap(none, len, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: within the mapping. Where there is nothing to read we die of it.
    let first = unsafe { at.cast::<u8>().read_volatile() };
    // SAFETY: ours, and nothing refers to it any more.
    assert_eq!(unsafe { libc::munmap(at, len) }, 0);
    Ok(first)
}

/// A client, who has descriptors.
fn uses(dir: &Path) {
    let at = |name: &str| dir.join(name);
    let say = |what: &str| fs::write(at("room"), what).expect("it takes that");
    // Looked up, listed, opened, read, gone.
    assert_eq!(errno(fs::metadata(at("new"))), libc::ENOENT);
    say("create");
    assert_eq!(fs::read_to_string(at("new")).expect("there"), "new\n");
    assert_eq!(fs::read_dir(dir).expect("a listing").count(), 7);
    say("remove");
    assert_eq!(errno(File::open(at("new"))), libc::ENOENT);
    // Mapped.
    let text = File::open(at("speed")).expect("open");
    let first = b"3"[0];
    assert_eq!(mapped(&text).expect("a copy"), first);
    assert_eq!(
        mapped(&File::open(at("zeros")).expect("open")).expect("a copy"),
        0
    );
    // Polled, written.
    assert_eq!(text.read_at(&mut [0; 8], 0).expect("readable"), 3);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| poll(&text, libc::POLLPRI));
        fs::write(at("speed"), "30\n").expect("writable");
        let changed = libc::POLLPRI | libc::POLLERR;
        assert_eq!(sleeper.join().expect("no panic"), changed);
    });
    // Callbacks that block in all threads that the mount began with, and in some that it had to start.
    say("hold");
    thread::scope(|scope| {
        let clients = [(); 5].map(|()| scope.spawn(|| fs::read(at("stuck")).expect("let go")));
        while fs::read_to_string(at("inside")).expect("served") != "5\n" {
            thread::yield_now();
        }
        say("let go");
        for client in clients {
            assert_eq!(client.join().expect("no panic"), b"passed\n");
        }
    });
}

#[test]
fn a_daemon_without_descriptors_serves_its_mount() {
    with_dir(|dir| {
        let daemon = Daemon::start(Mode::RunsOut, dir);
        let room = dir.join("room");
        for _ in 0..2 {
            // Once more, where a poke for inotify had one and gave it back.
            let emfile = format!("{}\n", libc::EMFILE);
            while fs::read_to_string(&room).expect("served") != emfile {
                fs::write(&room, "take").expect("it takes that");
            }
            uses(dir);
            fs::write(&room, "give").expect("it takes that");
            assert_eq!(fs::read_to_string(&room).expect("served"), "0\n");
            uses(dir);
        }
        fs::write(&room, "take").expect("it takes that");
        daemon.signal(libc::SIGTERM);
        assert_eq!(daemon.wait().code(), Some(0));
        assert!(!is_mount_point(dir));
    });
}

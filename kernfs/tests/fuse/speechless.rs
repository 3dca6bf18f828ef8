//! A daemon whose stderr nobody reads.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use kernfs::fuse::Options;
use kernfs::{Cx, Errno, Has, Ops, Result, Root, Seq};

use crate::daemon::{Daemon, Mode};
use crate::support::{errno, is_mount_point, with_dir};

/// Its `show` takes longer than it may, and its `write` panics in silence.
struct Late;

impl Ops for Late {
    const HAS: Has = Has::SHOW.with(Has::MAY_BLOCK).with(Has::WRITE);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, cx: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        while !cx.interrupted() {
            std::thread::yield_now();
        }
        Err(Errno::EINTR.into())
    }

    fn write(&self, _: &mut Cx<'_>, (): &(), _: &[u8], _: u64) -> Result<usize> {
        std::panic::resume_unwind(Box::new("no hook is called"));
    }
}

/// The daemon's tree, and how it is mounted.
pub(crate) fn build(root: &Root) -> Options {
    root.create_file("late", 0o644, 0, Late).expect("new");
    Options::new().callback_limit(Duration::from_millis(20))
}

// Lines about callbacks were written to stderr whether anybody took them or not: no client was served by the thread that
// had to write, and the end of the mount waited for it.
#[test]
fn a_full_stderr_held_up_clients_and_the_end_of_the_mount() {
    with_dir(|path| {
        let (mut unread, full) = io::pipe().expect("pipe");
        let set = |flags: libc::c_int| {
            // SAFETY: an open descriptor; takes integers.
            let ret = unsafe { libc::fcntl(full.as_raw_fd(), libc::F_SETFL, flags) };
            assert_eq!(ret, 0);
        };
        set(libc::O_NONBLOCK);
        let mut filled = 0;
        while let Ok(len) = io::Write::write(&mut &full, &[b'.'; 4096]) {
            filled += len;
        }
        set(0); // as daemons have it
        let daemon = Daemon::with_stderr(Mode::Complains, path, Stdio::from(OwnedFd::from(full)));
        for _ in 0..3 {
            assert_eq!(errno(fs::read(path.join("late"))), libc::ETIMEDOUT);
            // More often than there may be threads at first. On a busy machine this too may be late.
            let write = || errno(fs::write(path.join("late"), "x"));
            let said = std::iter::repeat_with(write).find(|said| *said != libc::ETIMEDOUT);
            assert_eq!(said, Some(libc::EIO));
        }
        daemon.signal(libc::SIGTERM);
        assert!(daemon.wait().success());
        assert!(!is_mount_point(path));
        // Nothing has pushed its way in. (The daemon was the last to have the other end.)
        let mut rest = Vec::new();
        unread.read_to_end(&mut rest).expect("readable");
        assert_eq!(rest.len(), filled);
    });
}

//! Daemons as processes of their own: this test binary, run again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Child, Command, ExitStatus, Stdio};

use kernfs::Root;
use kernfs::fuse::{Mount, Options, Termination};

use crate::descriptors;
use crate::support::text;

const MODE: &str = "KERNFS_TEST_DAEMON";
const PATH: &str = "KERNFS_TEST_MOUNT";
const READY: &str = "mounted and ready";

/// How a daemon ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Waits for SIGTERM, then unmounts.
    Terminated,
    /// Waits for the end of its input, then exits with the mount still in its hands.
    Exits,
    /// The same, beside a child that it has forked, which waits for that too.
    Forks,
    /// Waits for SIGTERM, and has few descriptors: see [`crate::descriptors`].
    RunsOut,
    /// Waits for SIGTERM, with something to say on stderr: see [`crate::speechless`].
    Complains,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Terminated => "terminated",
            Self::Exits => "exits",
            Self::Forks => "forks",
            Self::RunsOut => "runs out",
            Self::Complains => "complains",
        }
    }
}

/// No test but the daemon, when one of the tests below starts this program anew; else it returns at once.
#[test]
fn process() {
    let (Some(mode), Some(path)) = (std::env::var_os(MODE), std::env::var_os(PATH)) else {
        return;
    };
    let termination = Termination::block();
    let root = Root::new();
    text(&root, "pid", &process::id().to_string());
    let mut options = Options::new();
    if mode == Mode::RunsOut.name() {
        descriptors::build(&root);
        options = options.threads(2).inotify(true);
    }
    if mode == Mode::Complains.name() {
        options = crate::speechless::build(&root);
    }
    let mount = Mount::new(&root, path, &options).expect("the parent could");
    if mode == Mode::Forks.name() {
        // SAFETY: the child reads one byte and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut byte = 0_u8;
            // SAFETY: room for one byte. When the other side of the pipe is closed it returns.
            unsafe { libc::read(0, (&raw mut byte).cast(), 1) };
            // SAFETY: ends the child without anything that belongs to the parent.
            unsafe { libc::_exit(0) };
        }
    }
    println!("{READY}");
    std::io::stdout().flush().expect("stdout");
    let told = [Mode::Terminated, Mode::RunsOut, Mode::Complains].map(Mode::name);
    if !told.iter().any(|told| mode == *told) {
        let _ = std::io::stdin().read_line(&mut String::new());
    } else {
        termination.wait().expect("a signal");
        mount.unmount().expect("ours");
    }
    process::exit(0);
}

/// A running daemon with a mount.
pub(crate) struct Daemon {
    pub(crate) child: Child,
}

impl Daemon {
    /// Returns when it is mounted. A file "pid" is in it.
    pub(crate) fn start(mode: Mode, path: &Path) -> Self {
        Self::with_stderr(mode, path, Stdio::inherit())
    }

    /// The same with another stderr.
    pub(crate) fn with_stderr(mode: Mode, path: &Path, stderr: Stdio) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("self"));
        command
            .args(["--exact", "daemon::process", "--nocapture"])
            .env(PATH, path)
            .env(MODE, mode.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr);
        // The test harness has threads before the daemon can block the signal in them.
        // SAFETY: sigset functions, pthread_sigmask and prctl are async-signal-safe.
        unsafe { command.pre_exec(prepare) };
        let mut child = command.spawn().expect("self");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let ready = output
            .lines()
            .map_while(Result::ok)
            .any(|line| line.ends_with(READY));
        assert!(ready, "the daemon could not mount");
        Self { child }
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a pid");
        // SAFETY: our own child, which was not waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().expect("our child")
    }
}

/// A test that fails leaves no daemon: that would keep the output of the tests open, and whoever reads it waiting.
impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill(); // does nothing to one that was waited for
        let _ = self.child.wait();
    }
}

fn prepare() -> std::io::Result<()> {
    // The daemon goes with the thread that runs its test, also when the process is aborted.
    // SAFETY: sets a property of the calling process, touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: writes one set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM) };
    // SAFETY: a valid set; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) };
    Ok(())
}

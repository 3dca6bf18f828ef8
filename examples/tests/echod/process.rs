//! A running echod: started, listened to, and taken away whatever happens.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, set_child_subreaper, waitpid,
};

/// No assertion: only how long a test that has failed already goes on.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// The example, which `cargo test` builds beside the tests. Without an end, without a mount.
pub(crate) fn command() -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/echod");
    assert!(
        path.exists(),
        "{} is not built; run the tests of the whole package: cargo test -p examples",
        path.display()
    );
    let mut command = Command::new(path);
    command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    command
}

/// Runs it to its end: exit code, stdout, stderr.
pub(crate) fn run(args: &[&str]) -> (i32, String, String) {
    let (mut running, [out, err]) = spawn(command().args(args));
    let code = running.wait().code().expect("killed by a signal");
    (code, rest(&out), rest(&err))
}

/// Starts it; its lines on stdout and on stderr.
fn spawn(command: &mut Command) -> (Running, [Receiver<String>; 2]) {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let out = forward(child.stdout.take().unwrap());
    let err = forward(child.stderr.take().unwrap());
    (Running(child), [out, err])
}

/// A process that is killed at the latest when the test drops it.
struct Running(Child);

impl Running {
    fn wait(&mut self) -> ExitStatus {
        wait_for_end(Pid::from_child(&self.0));
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors: it was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sleeps until the process has ended.
fn wait_for_end(pid: Pid) {
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return; // waited for already
    };
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let time = Timespec::try_from(WATCHDOG).unwrap();
    assert_eq!(poll(&mut fds, Some(&time)), Ok(1), "it does not end");
}

/// An echod that serves until a signal comes.
pub(crate) struct Echod {
    lines: Receiver<String>,
    errors: Receiver<String>,
    pub(crate) echo: SocketAddr,
    pub(crate) metrics: SocketAddr,
    /// `None` where that is impossible, or not wanted.
    pub(crate) mounted: Option<PathBuf>,
    running: Running,
}

impl Echod {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_command(command().arg("--no-mount").args(args))
    }

    pub(crate) fn start_command(command: &mut Command) -> Self {
        let (running, [lines, errors]) = spawn(command.arg("--seconds=0"));
        let echo = expect(&lines, "listening on ");
        let metrics = expect(&lines, "metrics on http://");
        let mounted = expect(&lines, "mounted"); // or "not mounted: "
        let mounted = mounted.split(';').next().unwrap();
        Self {
            echo: echo.parse().unwrap(),
            metrics: metrics.split('/').next().unwrap().parse().unwrap(),
            mounted: mounted.strip_prefix(" on ").map(PathBuf::from),
            lines,
            errors,
            running,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.running.0), signal).unwrap();
    }

    /// Waits for a line with this text on stdout; gives what follows it.
    pub(crate) fn expect(&self, text: &str) -> String {
        expect(&self.lines, text)
    }

    /// The same on stderr.
    pub(crate) fn expect_error(&self, text: &str) -> String {
        expect(&self.errors, text)
    }

    /// Ends it by SIGTERM; the exit code, and what it printed.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        let status = self.running.wait();
        (status.code(), rest(&self.lines))
    }
}

impl Drop for Echod {
    fn drop(&mut self) {
        // Only in a test that failed is it still there; the mount of who was killed stays.
        let _ = self.running.0.kill();
        let _ = self.running.0.wait();
        if let Some(dir) = self.mounted.as_ref().filter(|dir| is_mounted(dir)) {
            let _ = Command::new("umount").arg("-l").arg(dir).status();
        }
    }
}

fn is_mounted(dir: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.any(|point| Path::new(point) == dir)
}

fn forward(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        lines.for_each(|line| drop(sender.send(line + "\n")));
    });
    lines
}

/// All up to the end, when nobody can write any more.
fn rest(lines: &Receiver<String>) -> String {
    let mut text = String::new();
    loop {
        match lines.recv_timeout(WATCHDOG) {
            Ok(line) => text += &line,
            Err(RecvTimeoutError::Disconnected) => return text,
            Err(e) => panic!("{e}: somebody keeps its output open; so far {text:?}"),
        }
    }
}

fn expect(lines: &Receiver<String>, text: &str) -> String {
    let mut seen = String::new();
    loop {
        let line = lines.recv_timeout(WATCHDOG);
        let line = line.unwrap_or_else(|e| panic!("{e}, no {text:?} in {seen:?}"));
        if let Some((_, rest)) = line.split_once(text) {
            return rest.trim_end().to_owned();
        }
        seen += &line;
    }
}

/// A daemon that is known by its file only.
pub(crate) struct Daemon {
    pub(crate) pidfile: PathBuf,
}

impl Daemon {
    /// Whoever runs this becomes the parent of daemons that have lost theirs.
    pub(crate) fn new(pidfile: PathBuf) -> Self {
        set_child_subreaper(Pid::from_raw(1)).unwrap(); // any number: yes
        Self { pidfile }
    }

    pub(crate) fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(&self.pidfile).ok()?;
        Pid::from_raw(text.trim_end().parse().ok()?)
    }

    /// Ends it by SIGTERM; its exit code.
    pub(crate) fn end(&self) -> Option<i32> {
        let pid = self.pid().unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        wait_for_end(pid);
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap()?;
        status.exit_status()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // There is no such file when it has ended in peace.
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

/// Tries until it is so.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < WATCHDOG, "never: {what}");
        thread::yield_now();
    }
}

/// A client, and what it reads by lines.
pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.set_write_timeout(Some(WATCHDOG)).unwrap();
        Self(BufReader::new(stream))
    }

    /// With its greeting. Who connects after that is accepted later, too: of two that only connect, the second may be first.
    pub(crate) fn greeted(address: SocketAddr) -> (Self, String) {
        let mut client = Self::connect(address);
        let greeting = client.line();
        (client, greeting)
    }

    /// The next line; empty if the other side has closed.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Err(e) if e.kind() == ErrorKind::ConnectionReset => String::new(),
            result => result.map(|_| line).unwrap(),
        }
    }

    /// Sends a line, and gives what comes back.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(line.as_bytes()).unwrap();
        self.line()
    }
}

/// The head and the body that answer a request.
pub(crate) fn http(address: SocketAddr, request: &[u8]) -> (String, String) {
    let mut client = Client::connect(address);
    client.0.get_mut().write_all(request).unwrap();
    let mut text = String::new();
    client.0.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// A directory that goes with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let tmp = fs::canonicalize(std::env::temp_dir()).unwrap();
        loop {
            let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let dir = tmp.join(format!("echod-test.{pid}.{next}"));
            match fs::create_dir(&dir) {
                Ok(()) => return Self(dir),
                // Of a process that has, or had, our number: one that was killed, or in another pid namespace.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => panic!("{}: {e}", dir.display()),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it, as text.
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

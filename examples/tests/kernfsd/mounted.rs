//! The mount: shell tools, writes, poll(2), hot plug, and how it ends. Each test passes with a line of SKIP
//! where nothing can be mounted.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command};
use std::sync::{Arc, mpsc};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::daemon::{Daemon, Scratch, WATCHDOG, assert_closing_table, eventually, is_mounted, run};

/// What a command prints; it must succeed.
fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A process that comes and goes as the test wants.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }
    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.end();
    }
}

fn text_of(file: &File) -> Result<String, Option<Errno>> {
    let mut buffer = [0; 256];
    match file.read_at(&mut buffer, 0) {
        Ok(n) => Ok(String::from_utf8_lossy(&buffer[..n]).into_owned()),
        Err(e) => Err(Errno::from_io_error(&e)),
    }
}

#[test]
fn a_mount_point_that_cannot_be_used_is_named_and_exits_with_1() {
    let busy = Scratch::new();
    let daemon = Daemon::start(["--mount".as_ref(), busy.path()]);
    if daemon.mount_point().is_none() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    for (dir, why) in [
        (scratch.path().join("missing"), "does not exist"),
        (file.clone(), "not a directory"),
        (file.join("below"), "not a directory"),
        (scratch.path().to_owned(), "not empty"),
        (busy.path().to_owned(), "is mounted there"),
    ] {
        let (code, out, err) = run(["--seconds=1".as_ref(), "--mount".as_ref(), dir.as_os_str()]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.starts_with("kernfsd: ") && err.contains(why), "{err}");
        assert!(err.contains(dir.to_str().unwrap()), "{err}");
    }
    assert!(is_mounted(busy.path()));
}

#[test]
fn shell_tools_work_on_the_mount() {
    let daemon = Daemon::start::<&str>([]);
    let Some(dir) = daemon.mount_point() else {
        return;
    };
    let sleeper = Sleeper::new();
    let pid = sleeper.0.id();
    let process = dir.join(format!("procs/{pid}"));
    let named = dir.join(format!("by-name/sleep.{pid}"));
    // The child is called as the test is until it has executed sleep.
    eventually("the process is shown", || named.exists().then_some(()));

    let d = dir.display();
    assert_eq!(shell(&format!("cat {d}/procs/{pid}/comm")), "sleep\n");
    assert_eq!(shell(&format!("cat {d}/procs/{pid}/threads")), "1\n");
    assert_eq!(
        shell(&format!("readlink {d}/by-name/sleep.{pid}")),
        format!("../procs/{pid}\n")
    );
    assert_eq!(
        shell(&format!("cat {d}/by-name/sleep.{pid}/comm")),
        "sleep\n"
    );
    let found = shell(&format!("find {d}/procs/{pid} -type f | wc -l"));
    assert_eq!(found.trim(), "5");
    let listed = shell(&format!("ls -lR {d}/config {d}/stats"));
    assert!(
        listed.contains("backend") && listed.contains("lookups_per_s"),
        "{listed}"
    );
    // Processes end while it lists them, which ls reports by its exit code.
    let listed = shell(&format!("ls -lR {d} 2>/dev/null || true"));
    assert!(
        listed.contains(&format!("sleep.{pid} -> ../procs/{pid}")),
        "{listed}"
    );
    assert_eq!(process.read_dir().unwrap().count(), 5);
}

#[test]
fn configuration_is_written_by_echo_and_nonsense_changes_nothing() {
    let daemon = Daemon::start::<&str>([]);
    let Some(dir) = daemon.mount_point() else {
        return;
    };
    let read = |name: &str| fs::read_to_string(dir.join("config").join(name)).unwrap();
    for (name, good, bad) in [
        ("interval_ms", "10", &["9", "60001", "-1", "soon", ""][..]),
        ("backend", "rwlock", &["mutex", "RCU", ""]),
        ("filter", "sleep", &["tab\there", "caf\u{e9}"]),
    ] {
        shell(&format!("echo {good} > {}/config/{name}", dir.display()));
        assert_eq!(read(name), format!("{good}\n"));
        for bad in bad {
            let result = fs::write(dir.join("config").join(name), bad);
            // An empty write(2) does not reach a file at all: nothing to refuse.
            if !bad.is_empty() {
                let error = result.expect_err(bad);
                assert_eq!(
                    error.kind(),
                    ErrorKind::InvalidInput,
                    "{name} {bad}: {error}"
                );
            }
            assert_eq!(read(name), format!("{good}\n"));
        }
    }
    // The filter works: only what matches is shown.
    let sleeper = Sleeper::new();
    let own = format!("sleep.{}", sleeper.0.id());
    eventually("only sleepers are shown", || {
        let names: Vec<_> = fs::read_dir(dir.join("by-name"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        (names.contains(&own) && names.iter().all(|name| name.starts_with("sleep."))).then_some(())
    });
}

#[test]
fn pollers_are_told_and_the_holder_of_a_dead_process_gets_enodev() {
    let daemon = Daemon::start::<&str>([]);
    let Some(dir) = daemon.mount_point() else {
        return;
    };
    let wait = |file: &File| {
        let mut fds = [PollFd::new(file, PollFlags::PRI | PollFlags::ERR)];
        let timeout = Timespec::try_from(WATCHDOG).unwrap();
        poll(&mut fds, Some(&timeout)).unwrap();
        fds[0].revents()
    };
    let updates = File::open(dir.join("stats/updates")).unwrap();
    let first = text_of(&updates).unwrap();
    assert!(wait(&updates).contains(PollFlags::PRI), "told of a change");
    assert_ne!(text_of(&updates).unwrap(), first);

    for _ in 0..5 {
        let mut sleeper = Sleeper::new();
        let path = dir.join(format!("procs/{}/state", sleeper.0.id()));
        let file = eventually("the process is shown", || File::open(&path).ok());
        text_of(&file).unwrap();
        sleeper.end();
        let error = eventually("its file is dead", || text_of(&file).err());
        assert_eq!(error, Some(Errno::NODEV));
        assert!(wait(&file).contains(PollFlags::ERR));
        eventually("its directory is gone", || (!path.exists()).then_some(()));
    }
}

#[test]
fn who_sleeps_in_poll_when_the_process_ends_is_woken() {
    let daemon = Daemon::start::<&str>([]);
    let Some(dir) = daemon.mount_point() else {
        return;
    };
    for _ in 0..5 {
        let mut sleeper = Sleeper::new();
        let pid = sleeper.0.id();
        // From here on nothing of it changes but that it ends.
        let named = dir.join(format!("by-name/sleep.{pid}"));
        eventually("the process is shown", || named.exists().then_some(()));
        let file = Arc::new(File::open(dir.join(format!("procs/{pid}/comm"))).unwrap());
        text_of(&file).unwrap();
        let (tell, told) = mpsc::channel();
        let polled = Arc::clone(&file);
        // Without a timeout: when that ends, poll(2) looks again, and would see what nobody told.
        let asleep = thread::spawn(move || {
            let mut fds = [PollFd::new(&*polled, PollFlags::PRI)];
            poll(&mut fds, None).unwrap();
            let _ = tell.send(fds[0].revents()); // nobody listens where the test has failed
        });
        sleeper.end();
        let revents = told.recv_timeout(WATCHDOG).expect("nobody woke it");
        assert!(revents.contains(PollFlags::PRI | PollFlags::ERR));
        asleep.join().unwrap();
        assert_eq!(text_of(&file), Err(Some(Errno::NODEV)));
    }
}

#[test]
fn a_signal_ends_it_with_the_table_and_without_a_mount() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let daemon = Daemon::start::<&str>([]);
        let Some(dir) = daemon.mount_point() else {
            return;
        };
        // Somebody sits in it: the mount goes all the same.
        let _open = File::open(dir.join("stats/updates")).unwrap();
        let (status, text) = daemon.end(signal);
        assert_eq!(status.code(), Some(0), "{text}");
        assert_closing_table(&text);
        assert!(!is_mounted(&dir) && !dir.exists());
    }
}

#[test]
fn after_sigkill_the_next_one_takes_the_same_directory() {
    let scratch = Scratch::new();
    let args = ["--mount".as_ref(), scratch.path()];
    for _ in 0..2 {
        let daemon = Daemon::start(args);
        if daemon.mount_point().is_none() {
            return;
        }
        daemon.end(Signal::KILL);
        assert!(is_mounted(scratch.path()), "nobody could take it away");
    }
    let daemon = Daemon::start(args);
    shell(&format!("cat {}/stats/updates", scratch.path().display()));
    let (status, _) = daemon.end(Signal::TERM);
    assert!(status.success());
    assert!(!is_mounted(scratch.path()));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn what_sigkill_left_in_the_temporary_directory_is_taken_away() {
    let daemon = Daemon::start::<&str>([]);
    let Some(dir) = daemon.mount_point() else {
        return;
    };
    daemon.end(Signal::KILL);
    let (code, _, err) = run(["--seconds=1", "--readers=1"]);
    assert_eq!((code, err.as_str()), (0, ""));
    // Another test's may have been faster, and be at it. Not exists(): that is false for a dead mount too.
    eventually("it is taken away", || {
        let kind = fs::symlink_metadata(&dir).err()?.kind();
        (!is_mounted(&dir) && kind == ErrorKind::NotFound).then_some(())
    });
}

//! The tree without a mount, which needs no rights; and the program.

use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use examples::cgroupfs::Cgroups;
use kernfs::{Cred, Dir, Errno, File, OpenFile, OpenFlags, Result, Root};
use rustix::process::{Pid, Signal, kill_process};

use crate::script::COMMON;

fn dir(parent: &Dir, name: &str) -> Dir {
    parent
        .find(name)
        .and_then(|node| node.as_dir())
        .expect(name)
}

fn file(parent: &Dir, name: &str) -> File {
    parent
        .find(name)
        .and_then(|node| node.as_file())
        .expect(name)
}

fn write(parent: &Dir, name: &str, text: &str) -> Result<()> {
    let open = file(parent, name).open(OpenFlags::WRITE)?;
    open.write_at(text.as_bytes(), 0).map(drop)
}

fn text(open: &OpenFile) -> String {
    let mut bytes = [0; 100];
    let len = open.read_at(&mut bytes, 0).expect("there");
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

fn errno<T>(result: Result<T>) -> Option<Errno> {
    result.err().map(|error| error.errno())
}

/// Fails instead of hanging.
fn ends(run: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        run();
        drop(done);
    });
    let hangs = ended.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout);
    assert!(!hangs, "it hangs");
    thread.join().expect("no panic");
}

/// With protection kept over the wait for the lock, some of these that meet would never end.
#[test]
fn groups_are_removed_under_those_who_use_them() {
    ends(|| {
        let cgroups = Cgroups::new().expect("threads");
        let root = cgroups.root();
        let ended = AtomicBool::new(false);
        let use_them = |use_it: &dyn Fn(&Dir) -> Result<()>| {
            while !ended.load(Relaxed) {
                if let Some(group) = root.find("group").and_then(|node| node.as_dir()) {
                    let _ = use_it(&group);
                } else {
                    thread::yield_now();
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                use_them(&|group| {
                    let file = group.find("cgroup.freeze").and_then(|node| node.as_file());
                    let open = file.ok_or(Errno::ENOENT)?.open(OpenFlags::WRITE)?;
                    ["1", "0"]
                        .iter()
                        .try_for_each(|text| open.write_at(text.as_bytes(), 0).map(drop))
                })
            });
            scope.spawn(|| {
                use_them(&|group| {
                    group.user_mkdir("below", 0o755)?;
                    group
                        .find("below")
                        .and_then(|node| node.as_dir())
                        .ok_or(Errno::ENOENT)?
                        .user_rmdir()
                })
            });
            scope.spawn(|| {
                use_them(&|group| {
                    let file = group.find("cgroup.procs").and_then(|node| node.as_file());
                    let open = file.ok_or(Errno::ENOENT)?.open(OpenFlags::READ)?;
                    open.read_at(&mut [0; 10], 0).map(drop)
                })
            });
            let mut removed = 0;
            while removed < 300 {
                let _ = root.user_mkdir("group", 0o755); // perhaps not removed yet
                let result = dir(root, "group").user_rmdir();
                removed += u32::from(result.is_ok());
                assert!(matches!(errno(result), None | Some(Errno::EBUSY)));
            }
            ended.store(true, Relaxed);
        });
    });
}

#[test]
fn a_group_comes_with_all_its_files_at_once() {
    const ROUNDS: usize = 200;
    let cgroups = Cgroups::new().expect("threads");
    let root = cgroups.root();
    let (tell, told) = mpsc::channel();
    let mut files = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            for name in (0..ROUNDS).map(|n| n.to_string()) {
                let group = loop {
                    match root.find(&name).filter(|node| node.is_active()) {
                        Some(group) => break group,
                        None => thread::yield_now(),
                    }
                };
                let files = group.as_dir().expect("a directory").entries().count();
                tell.send(files).expect("somebody listens");
            }
        });
        for name in (0..ROUNDS).map(|n| n.to_string()) {
            root.user_mkdir(&name, 0o755).expect("a new name");
            files.push(told.recv().expect("somebody looks"));
            dir(root, &name).user_rmdir().expect("empty");
        }
    });
    assert_eq!(files, [COMMON.len(); ROUNDS]);
}

#[test]
fn the_last_of_many_changes_is_told() {
    ends(|| {
        let cgroups = Cgroups::new().expect("threads");
        let root = cgroups.root();
        root.user_mkdir("group", 0o755).expect("a new name");
        let group = dir(root, "group");
        let events = file(&group, "cgroup.events")
            .open(OpenFlags::READ)
            .expect("there");
        for _ in 0..100 {
            assert!(text(&events).contains("frozen 0"));
            for value in ["1", "0", "1"] {
                write(&group, "cgroup.freeze", value).expect("a switch");
            }
            let told = (0..).try_for_each(|_| {
                events.wait_event(None).expect("not removed");
                match text(&events).contains("frozen 1") {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            assert!(told.is_break());
            write(&group, "cgroup.freeze", "0").expect("a switch");
        }
    });
}

#[test]
fn groups_belong_to_who_makes_them_but_processes_come_from_where_he_may_take_them() {
    let cgroups = Cgroups::new().expect("threads");
    let root = cgroups.root();
    let user = Cred {
        uid: 1000,
        gid: 1000,
        pid: 1,
    };
    root.user_mkdir_with("group", 0o755, user)
        .expect("a new name");
    let group = dir(root, "group");
    assert_eq!((group.stat().uid, group.stat().gid), (1000, 1000));
    for name in COMMON {
        assert_eq!(file(&group, name).stat().uid, 1000, "{name}");
    }
    file(&group, "cgroup.freeze")
        .open_as(OpenFlags::RDWR, user)
        .expect("his own");
    let other = Cred {
        uid: 1001,
        gid: 1001,
        pid: 1,
    };
    let denied = file(&group, "cgroup.freeze").open_as(OpenFlags::WRITE, other);
    assert_eq!(errno(denied), Some(Errno::EACCES));

    let own = std::process::id().to_string();
    let procs = file(&group, "cgroup.procs");
    let opened = procs.open_as(OpenFlags::RDWR, user).expect("his own");
    // By whose hand ever.
    assert_eq!(
        errno(opened.write_at(own.as_bytes(), 0)),
        Some(Errno::EACCES)
    );
    assert_eq!(text(&opened), "");
    let allowed = procs.open(OpenFlags::WRITE).expect("there");
    if Cred::process().uid == 0 {
        allowed.write_at(own.as_bytes(), 0).expect("root may");
        assert_eq!(text(&opened), format!("{own}\n"));
        assert_eq!(errno(group.user_rmdir()), Some(Errno::EBUSY));
        // Within his own he may move it.
        group
            .user_mkdir_with("below", 0o755, user)
            .expect("a new name");
        let below = dir(&group, "below");
        let opened = file(&below, "cgroup.procs")
            .open_as(OpenFlags::RDWR, user)
            .expect("his own");
        opened.write_at(own.as_bytes(), 0).expect("his own");
        assert_eq!(text(&opened), format!("{own}\n"));
    }
}

#[test]
fn nothing_is_left_of_a_tree() {
    let cgroups = Cgroups::new().expect("threads");
    let root: Root = cgroups.root().clone();
    root.user_mkdir("a", 0o755).expect("a new name");
    let a = dir(&root, "a");
    a.user_mkdir("b", 0o755).expect("a new name");
    dir(&a, "b").user_rmdir().expect("empty");
    let open = file(&a, "cgroup.freeze")
        .open(OpenFlags::RDWR)
        .expect("there");
    drop(a);
    drop(cgroups);
    assert_eq!(errno(open.write_at(b"1", 0)), Some(Errno::ENODEV));
    assert_eq!(errno(root.user_mkdir("c", 0o755)), Some(Errno::ENODEV));
    drop(open);
    // Callbacks of a grace period may queue others.
    for _ in 0..4 {
        urcu::Memb::barrier();
    }
    assert_eq!(
        root.stats().nodes,
        1,
        "but the root, of which this has a handle"
    );
}

/// The program, beside this one.
fn program() -> Command {
    let mut path = std::env::current_exe().expect("proc");
    path.pop();
    path.pop();
    Command::new(path.join("examples/cgroupfs"))
}

/// Kills the program if it does not end, so that the test fails.
struct Watchdog {
    /// Its drop is what the other end hears.
    _done: Sender<()>,
}

impl Watchdog {
    fn new(child: &Child) -> Self {
        let (done, ended) = mpsc::channel();
        let pid = Pid::from_child(child);
        thread::spawn(move || {
            if ended.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Self { _done: done }
    }
}

fn output(args: &[&str]) -> (Option<i32>, String, String) {
    let mut program = program();
    program
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = program.spawn().expect("built with the tests");
    let _watchdog = Watchdog::new(&child);
    let output = child.wait_with_output().expect("text");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn the_program_ends_by_itself_and_has_shown_something() {
    let (code, out, err) = output(&["--seconds=1"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for part in [
        "frozen 1",
        "is told that it changed",
        "EAGAIN",
        "EBUSY",
        "ESRCH",
        "302 removed",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn without_a_mount_it_says_so_and_shows_the_same() {
    let (code, out, err) = output(&["--seconds=1", "--no-mount"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("not mounted: --no-mount\n"), "{out}");
    assert!(out.contains("302 removed"), "{out}");
}

#[test]
fn nonsense_is_named_in_one_line() {
    for (args, code, names) in [
        (&["--bogus"][..], 2, "unknown option --bogus"),
        (&["--seconds", "soon"], 2, "--seconds wants a number"),
        (&["--mount", "/nonexistent"], 1, "/nonexistent: "),
    ] {
        let (status, out, err) = output(args);
        assert_eq!((status, out.as_str()), (Some(code), ""), "{args:?}: {err}");
        assert!(
            err.starts_with("cgroupfs: ") && err.contains(names),
            "{err}"
        );
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let (code, out, _) = output(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("--mount DIR"), "{out}");
}

#[test]
fn sigterm_ends_it() {
    let mut child = program()
        .arg("--seconds=0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("built with the tests");
    let _watchdog = Watchdog::new(&child);
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("ends by SIGTERM") {
        line.clear();
        assert_ne!(out.read_line(&mut line).expect("text"), 0, "it ended");
    }
    kill_process(Pid::from_child(&child), Signal::TERM).expect("there");
    assert!(child.wait().expect("a child").success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("directories made"), "{rest}");
}

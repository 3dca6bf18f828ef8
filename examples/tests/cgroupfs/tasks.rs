//! Processes: children of the test go in and out of groups. Nobody else's process is touched.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::script::{Case, Script, ready};

const PROCS: &str = "cgroup.procs";
const THREADS: &str = "cgroup.threads";
const EVENTS: &str = "cgroup.events";

pub(crate) const CASES: &[Case] = &[
    ("c.procs.bad", |s| {
        for value in [
            "",
            "\n",
            "x",
            "-1",
            "1 2",
            "max",
            "2147483648",
            "999999999999",
            "é",
        ] {
            s.write(PROCS, value);
            s.write(THREADS, value);
        }
    }),
    ("c.procs.nobody", |s| {
        for value in ["4194305", "2147483647", " 0x7fffffff\n"] {
            s.write(PROCS, value);
            s.write(THREADS, value);
        }
        s.read(PROCS);
        s.read(THREADS);
    }),
    ("c.procs.child", |s| {
        s.mkdir("a");
        let child = Process::start();
        child.enter(s, "a/cgroup.procs");
        child.find(s, "a/cgroup.procs");
        child.find(s, "a/cgroup.threads");
        child.find(s, PROCS);
        s.read("a/cgroup.events");
        s.read(EVENTS);
        s.rmdir("a");
        child.enter(s, PROCS);
        child.find(s, "a/cgroup.procs");
        child.find(s, PROCS);
        s.read("a/cgroup.events");
        s.rmdir("a");
    }),
    ("c.procs.again", |s| {
        let child = Process::start();
        child.enter(s, PROCS);
        child.enter(s, PROCS);
        child.find(s, PROCS);
    }),
    ("c.procs.zero", |s| {
        // 0 is whoever writes: a shell, and with it what it starts.
        let script = "echo 0 > cgroup.procs; cat cgroup.events; wc -l < cgroup.procs";
        let output = Command::new("sh")
            .args(["-c", script])
            .current_dir(s.at(""))
            .output();
        let answer = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        s.told("sh", answer.map(|text| text.contains("populated 1")));
    }),
    ("c.procs.end", |s| {
        let file = s.file(EVENTS);
        let child = Process::start();
        child.enter(s, PROCS);
        wait_for(&file, "populated 1");
        drop(child);
        wait_for(&file, "populated 0");
        s.read(PROCS);
        s.read(EVENTS);
    }),
    ("c.procs.poll.above", |s| {
        s.mkdir("a");
        let (above, below) = (s.file(EVENTS), s.file("a/cgroup.events"));
        s.next("above", &above, 100);
        let child = Process::start();
        child.enter(s, "a/cgroup.procs");
        wait_for(&above, "populated 1");
        wait_for(&below, "populated 1");
        child.enter(s, PROCS);
        wait_for(&below, "populated 0");
        s.read(EVENTS);
    }),
    ("c.procs.type", |s| {
        let child = Process::start();
        s.mkdir("a");
        s.mkdir("a/b");
        s.write("a/cgroup.type", "threaded");
        child.enter(s, "a/b/cgroup.procs"); // domain invalid
        child.enter(s, "a/cgroup.procs");
        child.find(s, THREADS);
        child.find(s, "a/cgroup.threads");
        child.find(s, PROCS);
        s.read("a/cgroup.procs");
        s.write("a/b/cgroup.type", "threaded");
        child.enter(s, "a/b/cgroup.threads");
        child.find(s, "a/b/cgroup.threads");
        child.find(s, "a/cgroup.threads");
        s.read("a/cgroup.events");
    }),
    ("c.threads.domain", |s| {
        let child = Process::start();
        child.enter(s, THREADS);
        child.enter(s, PROCS);
        child.enter(s, THREADS);
        s.mkdir("a");
        child.enter(s, "a/cgroup.threads");
    }),
    ("c.type.populated", |s| {
        let child = Process::start();
        s.mkdir("a");
        child.enter(s, "a/cgroup.procs");
        s.write("a/cgroup.type", "threaded");
        s.read("a/cgroup.type");
    }),
    ("c.kill.child", |s| {
        let file = s.file(EVENTS);
        let child = Process::start();
        s.mkdir("a");
        child.enter(s, "a/cgroup.procs");
        wait_for(&file, "populated 1");
        s.write("cgroup.kill", "1");
        wait_for(&file, "populated 0");
        s.read("a/cgroup.procs");
    }),
    ("c.kill.dead", |s| {
        let mut child = Process::start();
        child.enter(s, PROCS);
        s.write("cgroup.kill", "1");
        let killed = child.0.stdin.take().is_some_and(|stdin| {
            // It ends by the signal, or because there is nothing more to read.
            drop(stdin);
            child.0.wait().is_ok_and(|status| status.code().is_none())
        });
        s.saw("killed", killed);
    }),
    ("c.freeze.child", |s| {
        let file = s.file(EVENTS);
        let child = Process::start();
        child.enter(s, PROCS);
        s.write("cgroup.freeze", "1");
        s.read("cgroup.freeze");
        drop(child);
        wait_for(&file, "frozen 1");
    }),
    ("c.procs.opener", |s| {
        // Nobody may open this group's list, but may not take a process from outside; not even by somebody else's hand.
        use std::os::unix::fs::PermissionsExt as _;
        s.mkdir("a");
        s.mkdir("b");
        let mode = fs::Permissions::from_mode(0o666);
        s.told("chmod", fs::set_permissions(s.at("a/cgroup.procs"), mode));
        let path = s.at("a/cgroup.procs");
        let mut opened = None;
        crate::attributes::as_nobody(|| {
            opened = fs::OpenOptions::new().write(true).open(path).ok();
        });
        let opened = opened.expect("the mode allows it");
        let child = Process::start();
        child.enter(s, "b/cgroup.procs");
        let id = child.0.id().to_string();
        s.told("write", rustix::io::write(&opened, id.as_bytes()).map(drop));
        child.find(s, "b/cgroup.procs");
    }),
];

/// A child that sleeps until it is told to end.
struct Process(Child);

impl Process {
    fn start() -> Self {
        let child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("cat"))
    }

    /// Writes its number.
    fn enter(&self, s: &mut Script, name: &str) {
        let file = fs::OpenOptions::new().write(true).open(s.at(name));
        let id = self.0.id().to_string();
        let answer = file.and_then(|file| Ok(rustix::io::write(file, id.as_bytes())?));
        s.told(&format!("child into {name}"), answer.map(drop));
    }

    /// Whether it is the one that is listed.
    fn find(&self, s: &mut Script, name: &str) {
        let text = fs::read_to_string(s.at(name));
        let answer = text.map(|text| match text.trim_end() {
            "" => "nobody",
            id if id == self.0.id().to_string() => "the child",
            _ => "others",
        });
        s.told(&format!("who is in {name}"), answer);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sleeps until the file says so.
fn wait_for(file: &fs::File, text: &str) {
    loop {
        let mut bytes = [0; 100];
        let len = rustix::io::pread(file, &mut bytes[..], 0).expect("there");
        if String::from_utf8_lossy(&bytes[..len]).contains(text) {
            return;
        }
        ready(file, 2, true);
    }
}

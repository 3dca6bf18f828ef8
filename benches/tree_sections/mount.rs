//! Through a mount, beside the kernel's sysfs: with the daemon's threads on the CPU of the client, where a request costs
//! what the protocol costs, and on another one, where it costs a wake-up of that CPU as well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;

use kernfs::fuse::{Mount, Options};
use kernfs::{Root, rw_atomic};

use super::kernel::{CGROUP2, SYSFS, of_lines};
use super::wake;
use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::repeat::Make;
use crate::sys;
use crate::sysfs::{self, ATTRIBUTE, Cgroup, LONG};
use crate::trees::{ENTRIES, VALUE, Zero, name};

/// The name of a mount whose threads run on the client's CPU.
pub const SAME: &str = "kernfs mount, same CPU";
/// The name of one whose threads run on another CPU.
pub const OTHER: &str = "kernfs mount, other CPU";

/// The hops that a wake-up through a mount takes, each one eventfd; see [`hops`].
const HOPS_SAME: &str = "its hops by eventfd, same CPU";
const HOPS_OTHER: &str = "its hops by eventfd, other CPU";

/// Entries of the long list.
const MANY: usize = 100_000;

/// A mounted tree of our own, taken away when this is dropped.
struct Mounted {
    root: Root,
    mount: Option<Mount>,
    path: PathBuf,
}

impl Mounted {
    /// With all its threads on a CPU.
    fn on(cpu: usize, entries: usize) -> Result<Self, String> {
        let path =
            std::env::temp_dir().join(format!("kernfs_bench-{}-{cpu}-{entries}", process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        // Threads begin on the CPU of who starts them.
        let start = || {
            sys::pin(cpu);
            let root = Root::new();
            root.attr("value", rw_atomic(&VALUE))?;
            let dir = root.create_dir("dir", 0o755)?;
            for n in 0..entries {
                dir.create_file(name(n), 0o444, 0, Zero)?;
            }
            let mount = Mount::new(&root, &path, &Options::new())?;
            Ok((root, mount))
        };
        let started = thread::scope(|scope| scope.spawn(start).join());
        match started {
            Ok(Ok((root, mount))) => Ok(Self {
                root,
                mount: Some(mount),
                path,
            }),
            other => {
                _ = fs::remove_dir(&path);
                let error: Option<kernfs::Error> = other.ok().and_then(Result::err);
                Err(error.map_or_else(|| "a panic".into(), |error| error.to_string()))
            }
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(mount) = self.mount.take() {
            _ = mount.unmount();
        }
        _ = fs::remove_dir(&self.path);
    }
}

/// Calls of a client, of which each contender is one path.
struct Calls {
    key: &'static str,
    title: &'static str,
    head: [&'static str; 2],
    of: fn(&Path) -> io::Result<Make>,
    /// Where, of a mount.
    ours: &'static str,
    /// Beside what of the kernel's.
    kernel: Option<&'static str>,
}

const CALLS: [Calls; 4] = [
    Calls {
        key: "mount_open",
        title: "Open, read, close",
        head: ["open, read,", "close"],
        of: open_read_close,
        ours: "value",
        kernel: Some(ATTRIBUTE),
    },
    Calls {
        key: "mount_pread",
        title: "pread(2) of a number",
        head: ["pread", ""],
        of: pread,
        ours: "value",
        kernel: Some(ATTRIBUTE),
    },
    Calls {
        key: "mount_pwrite",
        title: "pwrite(2) of a number",
        head: ["pwrite", ""],
        of: pwrite,
        ours: "value",
        kernel: None, // a cgroup's
    },
    Calls {
        key: "mount_stat",
        title: "stat(2)",
        head: ["stat", ""],
        of: stat,
        ours: "value",
        kernel: Some(ATTRIBUTE),
    },
];

fn open_read_close(path: &Path) -> io::Result<Make> {
    let path = path.to_owned();
    fs::read(&path)?;
    Ok(Make::new(move |_| {
        let path = path.clone();
        let mut buffer = [0; 4096];
        move || File::open(&path).and_then(|file| sysfs::pread(&file, &mut buffer))
    }))
}

fn pread(path: &Path) -> io::Result<Make> {
    let path = path.to_owned();
    File::open(&path)?;
    Ok(Make::new(move |_| {
        let file = File::open(&path).expect("as above");
        let mut buffer = [0; 4096];
        move || sysfs::pread(&file, &mut buffer)
    }))
}

fn pwrite(path: &Path) -> io::Result<Make> {
    let path = path.to_owned();
    let open = |path: &Path| OpenOptions::new().write(true).open(path);
    open(&path)?.write_at(b"1000\n", 0)?;
    Ok(Make::new(move |_| {
        let file = open(&path).expect("as above");
        move || file.write_at(b"1000\n", 0)
    }))
}

fn stat(path: &Path) -> io::Result<Make> {
    let path = sysfs::c_path(path)?;
    sysfs::stat(&path)?;
    Ok(Make::new(move |_| {
        let path = path.clone();
        move || sysfs::stat(&path)
    }))
}

fn list(path: &Path) -> io::Result<Make> {
    let path = path.to_owned();
    sysfs::list(&File::open(&path)?, &mut vec![0; 32 << 10])?;
    Ok(Make::new(move |_| {
        let dir = File::open(&path).expect("as above");
        let mut buffer = vec![0; 32 << 10];
        move || sysfs::list(&dir, &mut buffer)
    }))
}

pub(super) fn run(effort: Effort, report: &mut Report) {
    let effort = Effort {
        pinned: true,
        ..effort
    };
    let mounts = [(SAME, 0), (OTHER, 1)].map(|(name, cpu)| (name, Mounted::on(cpu, ENTRIES)));
    let mut there = Vec::new();
    for (name, mounted) in mounts {
        match mounted {
            Ok(mounted) => there.push((name, mounted)),
            Err(why) => report.skip(format!("{name}: {why}")),
        }
    }
    if there.is_empty() {
        return;
    }
    let cgroup = Cgroup::new("mount");
    let mut charts = Vec::new();
    for calls in &CALLS {
        let mut chart = Chart::new(calls.key, calls.title, Unit::Ns, Typical::Min)
            .headed(calls.head[0], calls.head[1]);
        let mut paths: Vec<(&'static str, PathBuf)> = there
            .iter()
            .map(|(name, mounted)| (*name, mounted.at(calls.ours)))
            .collect();
        match (calls.kernel, &cgroup) {
            (Some(kernel), _) => paths.push((SYSFS, kernel.into())),
            (None, Ok(cgroup)) => paths.push((CGROUP2, cgroup.file("cgroup.max.depth"))),
            (None, Err(why)) => report.skip(format!("{CGROUP2}: {why}")),
        }
        measured(calls.of, &paths, &mut chart, &[], effort, report);
        charts.push(chart);
    }
    report.groups.push(Group {
        title: "through a mount, by system call, 1 thread",
        charts,
    });
    readdir(&there, effort, report);
    wakes(&there, effort, report);
}

fn measured(
    of: fn(&Path) -> io::Result<Make>,
    paths: &[(&'static str, PathBuf)],
    chart: &mut Chart,
    parts: &[usize],
    effort: Effort,
    report: &mut Report,
) {
    let mut lines = Vec::new();
    for (name, path) in paths {
        match of(path) {
            Ok(make) => lines.push((*name, make)),
            Err(error) => report.skip(format!("{name}, {}: {error}", path.display())),
        }
    }
    of_lines(&lines, chart, parts, effort);
}

fn readdir(there: &[(&'static str, Mounted)], effort: Effort, report: &mut Report) {
    let mut chart = Chart::new(
        "mount_readdir",
        "Through a mount: readdir, an entry; getdents(2)",
        Unit::Ns,
        Typical::Min,
    );
    let mut paths: Vec<(&'static str, PathBuf)> = there
        .iter()
        .map(|(name, mounted)| (*name, mounted.at("dir")))
        .collect();
    let mut parts = vec![ENTRIES; paths.len()];
    if let Ok(entries) = Path::new(LONG).read_dir() {
        paths.push((SYSFS, LONG.into()));
        parts.push(entries.count());
    }
    measured(list, &paths, &mut chart, &parts, effort, report);
    report.groups.push(Group::single(chart));
    if effort.quick {
        return; // 100 000 nodes take a while
    }
    let mut chart = Chart::new(
        "mount_many",
        "Through a mount: a list of 100 000 entries",
        Unit::Ms,
        Typical::Min,
    );
    match Mounted::on(0, MANY) {
        Ok(mounted) => {
            let path = mounted.at("dir");
            for _ in 0..effort.rounds {
                let mut buffer = vec![0; 32 << 10];
                let before = sys::monotonic_ns();
                let listed = File::open(&path).and_then(|dir| sysfs::list(&dir, &mut buffer));
                let took = (sys::monotonic_ns() - before) as f64 / 1e6;
                chart.add(SAME, listed.is_ok_and(|n| n == MANY).then_some(took));
            }
        }
        Err(why) => report.skip(format!("a long list: {why}")),
    }
    report.groups.push(Group::single(chart));
}

/// From the daemon's notify to the return of the client's poll(2), each on its CPU.
fn wakes(there: &[(&'static str, Mounted)], effort: Effort, report: &mut Report) {
    let mut chart = Chart::new(
        "mount_wake",
        "Through a mount: from notify to the wake-up of a sleeping poll(2)",
        Unit::Us,
        Typical::Median,
    );
    let samples = if effort.quick { 2 } else { 10 };
    for _ in 0..effort.rounds {
        for (name, mounted) in there {
            let file = mounted.root.find("value").and_then(|node| node.as_file());
            let (Some(file), Ok(open)) = (file, File::open(mounted.at("value"))) else {
                continue;
            };
            let clear = || _ = sysfs::pread(&open, &mut [0; 64]);
            clear();
            let sleep = || _ = sysfs::poll(&open, -1);
            for us in wake::latencies(samples, sleep, clear, || file.notify()) {
                chart.add(name, Some(us));
            }
        }
        for (name, cpu) in [(HOPS_SAME, 0), (HOPS_OTHER, 1)] {
            match hops(samples, cpu) {
                Ok(all) => all.into_iter().for_each(|us| chart.add(name, Some(us))),
                Err(error) => report.skip(format!("{name}: {error}")),
            }
        }
    }
    report.groups.push(Group::single(chart));
}

/// What no daemon can do without, and nothing else: who notifies wakes a thread of the daemon, which wakes the client, which
/// asks another thread of the daemon for the state, and is woken by the answer. The daemon's threads are on a CPU.
fn hops(samples: u64, cpu: usize) -> io::Result<Vec<f64>> {
    let hop = sys::eventfd;
    let (notified, woken, asked, answered) = (&hop()?, &hop()?, &hop()?, &hop()?);
    let send = |hop: &File, n: u64| _ = (&*hop).write(&n.to_ne_bytes());
    let receive = |hop: &File| {
        let mut n = [0; 8];
        _ = (&*hop).read(&mut n);
        u64::from_ne_bytes(n)
    };
    // More than one is the end.
    let relay = |from: &File, to: &File| {
        sys::pin(cpu);
        while receive(from) == 1 {
            send(to, 1);
        }
    };
    Ok(thread::scope(|scope| {
        scope.spawn(|| relay(notified, woken));
        scope.spawn(|| relay(asked, answered));
        let sleep = || {
            receive(woken);
            send(asked, 1);
            receive(answered);
        };
        let all = wake::latencies(samples, sleep, || (), || send(notified, 1));
        send(notified, 2);
        send(asked, 2);
        all
    }))
}

//! Beside the kernel's own kernfs. It pays for a system call and for the VFS, we do not: that is the point of a
//! tree in the process, and the figures say how much it is.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use kernfs::{Dir, File as Attribute, OpenFlags, Root};

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::repeat::{Contender, Make, Who, interleaved};
use crate::sysfs::{self, ATTRIBUTE, Cgroup, LONG};
use crate::trees::names::KERNFS;
use crate::trees::{self, ENTRIES, Zero, name};

/// The name of sysfs in the table.
pub const SYSFS: &str = "sysfs, by system call";
/// The name of cgroup2 in the table.
pub const CGROUP2: &str = "cgroup2, by system call";
/// What a system call costs that does nothing.
const GETPPID: &str = "getppid(2)";

/// Who does an operation, and how.
type Line = (&'static str, Make);

pub(super) fn run(effort: Effort, report: &mut Report) {
    let cgroup = Cgroup::new("files").map(Arc::new);
    if let Err(why) = &cgroup {
        report.skip(format!("{CGROUP2}: {why}"));
    }
    let cgroup = cgroup.ok();
    let mut charts = Vec::new();
    let mut measure = |key, title, head: [&'static str; 2], lines: io::Result<Vec<Line>>| {
        let mut chart = Chart::new(key, title, Unit::Ns, Typical::Min).headed(head[0], head[1]);
        match lines {
            Ok(lines) => of_lines(&lines, &mut chart, &[], effort),
            Err(error) => report.skip(format!("{title}: {error}")),
        }
        charts.push(chart);
    };
    let cgroup = cgroup.as_ref();
    measure(
        "kernel_walk",
        "7 components to a node and its attributes; stat(2)",
        ["walk,", "stat"],
        walk(cgroup),
    );
    measure(
        "kernel_open",
        "Open by directory and name, read, close",
        ["openat, read,", "close"],
        open(cgroup),
    );
    measure(
        "kernel_read",
        "Read of a number from an open file; pread(2)",
        ["pread", ""],
        read(cgroup),
    );
    measure(
        "kernel_poll",
        "Poll that finds nothing; poll(2)",
        ["poll", ""],
        poll(cgroup),
    );
    report.groups.push(Group {
        title: "beside the kernel's kernfs, by system call, 1 thread",
        charts: core::mem::take(&mut charts),
    });
    let entries = Path::new(LONG).read_dir().map_or(0, Iterator::count);
    let mut chart = Chart::new(
        "kernel_readdir",
        "Readdir, an entry; getdents(2)",
        Unit::Ns,
        Typical::Min,
    );
    let mut lines = vec![own(|loops| &loops.readdir)];
    match getdents() {
        Ok(line) => lines.push(line),
        Err(error) => report.skip(format!("{SYSFS}, readdir: {error}")),
    }
    of_lines(&lines, &mut chart, &[ENTRIES, entries], effort);
    report.groups.push(Group::single(chart));
    let mut chart = Chart::new("notify", "Notify, nobody sleeps", Unit::Ns, Typical::Min);
    of_lines(&notify(), &mut chart, &[], effort);
    report.groups.push(Group::single(chart));
}

pub(super) fn of_lines(lines: &[Line], chart: &mut Chart, parts: &[usize], effort: Effort) {
    let of: Vec<Contender<'_>> = lines
        .iter()
        .zip(parts.iter().chain(core::iter::repeat(&1)))
        .map(|((name, operation), parts)| Contender {
            parts: *parts,
            ..Contender::new(name, operation)
        })
        .collect();
    interleaved(&of, &mut [(Who::ONE, chart)], effort);
}

/// One of the trees of [`trees`], of our own.
fn own(of: fn(&trees::Loops) -> &Make) -> Line {
    let loops: &'static trees::Loops = Box::leak(Box::new(trees::ours()));
    let make = of(loops);
    (KERNFS, Make::of_jobs(move |thread| make.job(thread)))
}

fn bare() -> Line {
    (
        GETPPID,
        Make::new(|_| || std::os::unix::process::parent_id()),
    )
}

fn walk(cgroup: Option<&Arc<Cgroup>>) -> io::Result<Vec<Line>> {
    let of = |path: &Path| {
        let path = sysfs::c_path(path)?;
        sysfs::stat(&path)?;
        Ok::<_, io::Error>(Make::new(move |_| {
            let path = path.clone();
            move || sysfs::stat(&path)
        }))
    };
    let mut lines = vec![own(|loops| &loops.walk), (SYSFS, of(Path::new(ATTRIBUTE))?)];
    if let Some(cgroup) = cgroup {
        lines.push((CGROUP2, of(&cgroup.file("cgroup.max.depth"))?));
    }
    lines.push(bare());
    Ok(lines)
}

fn open(cgroup: Option<&Arc<Cgroup>>) -> io::Result<Vec<Line>> {
    let of = |path: &Path| {
        let dir = path.parent().unwrap_or(path).to_owned();
        let name = sysfs::c_path(Path::new(path.file_name().unwrap_or_default()))?;
        sysfs::open_at(&File::open(&dir)?, &name)?;
        Ok::<_, io::Error>(Make::new(move |_| {
            let (dir, name) = (File::open(&dir).expect("as above"), name.clone());
            let mut buffer = [0; 4096];
            move || {
                let file = sysfs::open_at(&dir, &name)?;
                sysfs::read(&file, &mut buffer)
            }
        }))
    };
    let mut lines = vec![
        own(|loops| &loops.open_read_close),
        (SYSFS, of(Path::new(ATTRIBUTE))?),
    ];
    if let Some(cgroup) = cgroup {
        lines.push((CGROUP2, of(&cgroup.file("cgroup.max.depth"))?));
    }
    Ok(lines)
}

fn of_file<R: 'static>(
    path: &Path,
    call: impl Fn(&File, &mut [u8]) -> R + Copy + Send + Sync + 'static,
) -> io::Result<Make> {
    let path = path.to_owned();
    File::open(&path)?;
    Ok(Make::new(move |_| {
        let file = File::open(&path).expect("as above");
        let mut buffer = [0; 4096];
        // Read once: poll has nothing to tell.
        _ = sysfs::pread(&file, &mut buffer);
        move || call(&file, &mut buffer)
    }))
}

fn read(cgroup: Option<&Arc<Cgroup>>) -> io::Result<Vec<Line>> {
    let of = |path: &Path| of_file(path, sysfs::pread);
    let mut lines = vec![own(|loops| &loops.read), (SYSFS, of(Path::new(ATTRIBUTE))?)];
    if let Some(cgroup) = cgroup {
        lines.push((CGROUP2, of(&cgroup.file("cgroup.max.depth"))?));
    }
    Ok(lines)
}

/// A file of a small tree that is there for ever.
fn file() -> Attribute {
    let root: &'static Root = Box::leak(Box::new(Root::new()));
    let dir: Dir = root.create_dir("dir", 0o755).expect("a new name");
    dir.create_file(name(0), 0o444, 0, Zero)
        .expect("a new name")
}

fn poll(cgroup: Option<&Arc<Cgroup>>) -> io::Result<Vec<Line>> {
    let of = |path: &Path| of_file(path, |file, _| sysfs::poll(file, 0));
    let ours = Make::new(|_| {
        let open = file().open(OpenFlags::READ).expect("it is there");
        open.read_at(&mut [0; 64], 0).expect("it is there");
        move || open.poll()
    });
    let mut lines = vec![(KERNFS, ours), (SYSFS, of(Path::new(ATTRIBUTE))?)];
    if let Some(cgroup) = cgroup {
        lines.push((CGROUP2, of(&cgroup.file("cgroup.events"))?));
    }
    Ok(lines)
}

fn getdents() -> io::Result<Line> {
    let mut buffer = vec![0; 32 << 10];
    sysfs::list(&File::open(LONG)?, &mut buffer)?;
    Ok((
        SYSFS,
        Make::new(move |_| {
            let dir = File::open(LONG).expect("as above");
            let mut buffer = buffer.clone();
            move || sysfs::list(&dir, &mut buffer)
        }),
    ))
}

fn notify() -> Vec<Line> {
    let closed = Make::new(|_| {
        let file = file();
        move || file.notify()
    });
    let opened = Make::new(|_| {
        let file = file();
        let open = file.open(OpenFlags::READ).expect("it is there");
        move || {
            file.notify();
            core::hint::black_box(&open);
        }
    });
    vec![(KERNFS, closed), ("kernfs, the file is open", opened)]
}

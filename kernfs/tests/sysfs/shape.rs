//! Our tree of the shape that the machine's sysfs has: its directories, files and links, with modes and sizes, and
//! what the files said when it was copied. mtu is a number that can be set.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kernfs::fuse::{Mount, Options};
use kernfs::{
    Creation, Cx, Dir, Errno, Has, Node, Ns, OpenFlags, Ops, PollFlags, Result, Root, Seq, bin,
};

use crate::place::{Bins, CLASS, DEVICES, Owner, SPARE};

/// A part of the real tree.
enum Part {
    Dir(u32, BTreeMap<String, Part>),
    File {
        mode: u32,
        size: u64,
        shown: std::result::Result<Vec<u8>, Errno>,
    },
    /// To this path below the top.
    Link(PathBuf),
}

fn read_all(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let mut all = Vec::new();
    let mut page = [0; 4096];
    loop {
        match file.read_at(&mut page, all.len() as u64)? {
            0 => return Ok(all),
            len => all.extend_from_slice(&page[..len]),
        }
    }
}

impl Part {
    /// What is at `path`, below `top`.
    fn of(top: &Path, path: &Path) -> Self {
        let stat = fs::symlink_metadata(path).expect("there");
        let mode = stat.mode() & 0o7777;
        if stat.is_symlink() {
            let target = fs::canonicalize(path).expect("no dangling link");
            let below = target.strip_prefix(top).expect("sysfs has no other");
            Self::Link(below.to_owned())
        } else if stat.is_dir() {
            let entries = fs::read_dir(path).expect("a directory").map(|entry| {
                let name = entry.expect("an entry").file_name();
                let part = Self::of(top, &path.join(&name));
                (name.into_string().expect("ASCII"), part)
            });
            Self::Dir(mode, entries.collect())
        } else {
            let shown = match mode & 0o444 {
                0 => Ok(Vec::new()),
                _ => read_all(path).map_err(|error| {
                    let errno = error.raw_os_error().and_then(Errno::new);
                    errno.unwrap_or(Errno::EIO)
                }),
            };
            let size = stat.len();
            Self::File { mode, size, shown }
        }
    }
}

/// How often poll(2) was asked about.
static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// What a file shows; it stays so, or is a number that can be stored.
struct Text {
    shown: Mutex<std::result::Result<Vec<u8>, Errno>>,
    number: bool,
}

impl Ops for Text {
    // As in sysfs: whether an attribute can be stored is not its own affair, its mode says so.
    const HAS: Has = Has::SHOW.with(Has::WRITE).with(Has::POLL);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        let shown = self.shown.lock().expect("no panic under it");
        seq.put(shown.as_ref().map_err(|errno| *errno)?);
        Ok(())
    }

    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        if !self.number {
            return Err(Errno::EIO.into());
        }
        if !data.is_empty() {
            // What the kernel's `kstrtoul` takes.
            let text = data.split(|byte| *byte == 0).next().unwrap_or_default();
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
            let number: u32 = text.parse().map_err(|_| Errno::EINVAL)?;
            *self.shown.lock().expect("no panic under it") = Ok(format!("{number}\n").into());
        }
        Ok(data.len())
    }

    fn poll(&self, _: &mut Cx<'_>, (): &(), generic: PollFlags) -> PollFlags {
        LOOKS.fetch_add(1, Ordering::Relaxed);
        generic
    }
}

/// Adds a part below a directory; its links are left for later.
fn add(
    dir: &Dir,
    name: &str,
    part: &Part,
    ns: Option<Ns>,
    links: &mut Vec<(Dir, String, PathBuf)>,
) {
    let with = match ns {
        Some(ns) => Creation::new().ns(ns),
        None => Creation::new(),
    };
    match part {
        Part::Dir(mode, entries) => {
            let dir = dir.create_dir_with(name, *mode, with).expect("new");
            for (name, part) in entries {
                add(&dir, name, part, None, links);
            }
        }
        Part::Link(target) => links.push((dir.clone(), name.to_owned(), target.clone())),
        // Text is a page, whatever it says.
        Part::File {
            mode,
            size: 4096,
            shown,
        } => {
            let shown = Mutex::new(shown.clone());
            let number = name == "mtu";
            dir.create_file(name, *mode, 4096, Text { shown, number })
                .expect("new");
        }
        Part::File { mode, size, shown } => {
            let bytes: Arc<[u8]> = shown.clone().expect("readable").into();
            let read = move |buffer: &mut [u8], offset: u64| {
                let from = usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
                let len = buffer.len().min(bytes.len() - from);
                buffer[..len].copy_from_slice(&bytes[from..from + len]);
                Ok(len)
            };
            dir.attr(name, kernfs::Attr::from(bin(*size).read(read)).mode(*mode))
                .expect("new");
        }
    }
}

/// The tree, and what is needed to change it.
pub(crate) struct Shape {
    root: Root,
    spare: Part,
    mounts: Vec<Mount>,
}

const OWN: Ns = Ns::new(1).expect("not 0");
const OTHER: Ns = Ns::new(2).expect("not 0");

impl Shape {
    /// Copies what the cases look at: all devices, those of another name space, two binary attributes.
    pub(crate) fn copy(top: &Path, other: &Path, bins: &Bins) -> Self {
        let root = Root::new();
        let mut links = Vec::new();
        for path in [DEVICES, CLASS] {
            root.make_path(path).enable_ns().expect("empty");
        }
        for (top, ns) in [(top, OWN), (other, OTHER)] {
            let mut links = Vec::new();
            for path in [DEVICES, CLASS] {
                let dir = root.make_path(path);
                let Part::Dir(_, parts) = Part::of(top, &top.join(path)) else {
                    panic!("it is a directory");
                };
                for (name, part) in &parts {
                    add(&dir, name, part, Some(ns), &mut links);
                }
            }
            make_links(&root, ns, links);
        }
        for path in bins.small.iter().chain(&bins.large) {
            let dir = path.parent().and_then(Path::to_str).expect("ASCII");
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("ASCII");
            let part = Part::of(top, &top.join(path));
            add(&root.make_path(dir), name, &part, None, &mut links);
        }
        let spare = Part::of(top, &top.join(DEVICES).join(SPARE));
        Self {
            root,
            spare,
            mounts: Vec::new(),
        }
    }

    /// Mounts the tree: twice with one name space, once with the other.
    pub(crate) fn mount(&mut self, top: &Path, again: &Path, other: &Path) {
        for (path, ns) in [(top, OWN), (again, OWN), (other, OTHER)] {
            let options = Options::new().threads(2).ns(Some(ns));
            let mount = Mount::new(&self.root, path, &options).expect("it worked before");
            self.mounts.push(mount);
        }
    }

    pub(crate) fn unmount(self) {
        for mount in self.mounts {
            mount.unmount().expect("still ours");
        }
    }

    fn at(&self, path: &str) -> Node {
        self.root.walk_ns(path, Some(OWN)).expect("there")
    }

    fn dir(&self, path: &str) -> Dir {
        self.at(path).as_dir().expect("a directory")
    }
}

fn make_links(root: &Root, ns: Ns, links: Vec<(Dir, String, PathBuf)>) {
    for (dir, name, target) in links {
        let path = target.to_str().expect("ASCII");
        let target = root.walk_ns(path, Some(ns)).expect("what was copied");
        dir.create_link(name, &target).expect("new");
    }
}

trait MakePath {
    /// The directory at `path`, made if it is not there.
    fn make_path(&self, path: &str) -> Dir;
}

impl MakePath for Root {
    fn make_path(&self, path: &str) -> Dir {
        path.split('/')
            .fold(self.dir(), |dir, name| match dir.find(name) {
                Some(node) => node.as_dir().expect("a directory"),
                None => dir.create_dir(name, 0o755).expect("new"),
            })
    }
}

impl Owner for Shape {
    fn rename(&self, from: &str, to: &str) {
        for dir in [DEVICES, CLASS] {
            let node = self.at(&format!("{dir}/{from}"));
            node.rename(&self.dir(dir), to).expect("a free name");
        }
    }

    fn remove(&self, name: &str) {
        for dir in [CLASS, DEVICES] {
            self.at(&format!("{dir}/{name}")).remove().expect("there");
        }
    }

    fn make(&self, name: &str) {
        let mut links = Vec::new();
        add(&self.dir(DEVICES), name, &self.spare, Some(OWN), &mut links);
        make_links(&self.root, OWN, links);
        let target = self.at(&format!("{DEVICES}/{name}"));
        self.dir(CLASS).create_link(name, &target).expect("new");
    }

    fn set_mtu(&self, name: &str, mtu: u32) {
        let file = self.at(&format!("{DEVICES}/{name}/mtu")).as_file();
        let file = file.expect("a file").open(OpenFlags::WRITE);
        let text = mtu.to_string();
        let stored = file.and_then(|file| file.write_at(text.as_bytes(), 0));
        stored.expect("a number");
    }

    fn settle(&self) {
        self.mounts.iter().for_each(Mount::flush);
    }

    fn looks(&self) -> Option<usize> {
        Some(LOOKS.load(Ordering::Relaxed))
    }
}

//! What an author would write: nested `BTreeMap`s of `Arc`s under reader-writer locks, open files in a table
//! under a mutex.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::locks::{Exclusive, Locks, ParkingLot, Shared, Std};
use super::{Loops, Tree};

/// A lock in each directory, std's.
pub const STD: &str = "std RwLock, per directory";
/// A lock in each directory, parking_lot's.
pub const PARKING_LOT: &str = "parking_lot, per directory";
/// One lock, std's.
pub const STD_ONE: &str = "std RwLock, one";
/// One lock, parking_lot's.
pub const PARKING_LOT_ONE: &str = "parking_lot, one";

type Show = Box<dyn Fn(&mut String) + Send + Sync>;

/// What every node has, and what a file shows.
struct Node {
    id: u64,
    mode: u32,
    size: u64,
    event: AtomicU64,
    show: Option<Show>,
}

impl Node {
    fn dir(id: u64) -> Self {
        Self {
            id,
            mode: 0o040_755,
            size: 0,
            event: AtomicU64::new(1),
            show: None,
        }
    }

    fn file(id: u64) -> Self {
        Self {
            mode: 0o100_444,
            show: Some(Box::new(super::show)),
            ..Self::dir(id)
        }
    }

    fn attributes(&self) -> (u64, u32, u64) {
        (self.id, self.mode, self.size)
    }
}

/// What a listing gives.
struct Entry {
    name: String,
    id: u64,
    is_dir: bool,
}

struct Open {
    node: Arc<Node>,
    seen: AtomicU64,
}

/// Ids, and the open files by their handle.
struct Files<L: Locks> {
    next_id: AtomicU64,
    next: AtomicU64,
    open: L::Exclusive<HashMap<u64, Arc<Open>>>,
}

impl<L: Locks> Files<L> {
    fn new() -> Self {
        Self {
            next_id: AtomicU64::new(1),
            next: AtomicU64::new(1),
            open: L::Exclusive::new(HashMap::new()),
        }
    }

    fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self, node: &Arc<Node>) -> u64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        let open = Arc::new(Open {
            node: Arc::clone(node),
            seen: AtomicU64::new(0),
        });
        self.open.with(|files| files.insert(handle, open));
        handle
    }

    fn read(&self, handle: u64, buffer: &mut [u8]) -> usize {
        let open = self.open.with(|files| files.get(&handle).map(Arc::clone));
        let open = open.expect("it is open");
        let event = open.node.event.load(Ordering::Acquire);
        open.seen.store(event, Ordering::Relaxed);
        let mut text = String::new();
        if let Some(show) = &open.node.show {
            show(&mut text);
        }
        let n = text.len().min(buffer.len());
        buffer[..n].copy_from_slice(&text.as_bytes()[..n]);
        n
    }

    fn close(&self, handle: u64) {
        let closed = self.open.with(|files| files.remove(&handle));
        drop(closed);
    }
}

/// A lock in each directory.
struct PerDirectory<L: Locks> {
    root: Arc<Branch<L>>,
    files: Files<L>,
}

struct Branch<L: Locks> {
    node: Node,
    entries: L::Shared<BTreeMap<String, Child<L>>>,
}

enum Child<L: Locks> {
    Dir(Arc<Branch<L>>),
    File(Arc<Node>),
}

impl<L: Locks> Clone for Child<L> {
    fn clone(&self) -> Self {
        match self {
            Self::Dir(dir) => Self::Dir(Arc::clone(dir)),
            Self::File(file) => Self::File(Arc::clone(file)),
        }
    }
}

impl<L: Locks> Child<L> {
    fn node(&self) -> &Node {
        match self {
            Self::Dir(dir) => &dir.node,
            Self::File(file) => file,
        }
    }
}

impl<L: Locks> Branch<L> {
    fn new(id: u64) -> Self {
        Self {
            node: Node::dir(id),
            entries: L::Shared::new(BTreeMap::new()),
        }
    }
}

impl<L: Locks> Branch<L> {
    /// Each lock is held while the next one is taken, so no directory needs a count to be looked at.
    fn look_along(&self, path: &str) -> Option<(u64, u32, u64)> {
        let path = path.trim_start_matches('/');
        let (name, rest) = path.split_once('/').unwrap_or((path, ""));
        self.entries.read(|entries| match entries.get(name)? {
            child if rest.is_empty() => Some(child.node().attributes()),
            Child::Dir(next) => next.look_along(rest),
            Child::File(_) => None,
        })
    }
}

impl<L: Locks + Named> Tree for PerDirectory<L> {
    type Node = Child<L>;
    type Dir = Arc<Branch<L>>;
    type File = Arc<Node>;
    type Open = u64;

    const NAME: &'static str = L::PER_DIRECTORY;

    fn empty() -> Self {
        let files = Files::new();
        Self {
            root: Arc::new(Branch::new(files.id())),
            files,
        }
    }

    fn add_dir(&self, parent: &Self::Dir, name: &str) -> Self::Dir {
        let dir = Arc::new(Branch::new(self.files.id()));
        let child = Child::Dir(Arc::clone(&dir));
        parent
            .entries
            .write(|entries| entries.insert(name.to_owned(), child));
        dir
    }

    fn add_file(&self, parent: &Self::Dir, name: &str) {
        let child = Child::File(Arc::new(Node::file(self.files.id())));
        parent
            .entries
            .write(|entries| entries.insert(name.to_owned(), child));
    }

    fn remove(&self, parent: &Self::Dir, name: &str) {
        drop(parent.entries.write(|entries| entries.remove(name)));
    }

    fn root(&self) -> Self::Dir {
        Arc::clone(&self.root)
    }

    fn dir(node: Self::Node) -> Self::Dir {
        match node {
            Child::Dir(dir) => dir,
            Child::File(_) => panic!("a directory"),
        }
    }

    fn file(node: Self::Node) -> Self::File {
        match node {
            Child::File(file) => file,
            Child::Dir(_) => panic!("a file"),
        }
    }

    #[inline]
    fn find(&self, parent: &Self::Dir, name: &str) -> Option<Self::Node> {
        parent.entries.read(|entries| entries.get(name).cloned())
    }

    #[inline]
    fn walk(&self, path: &str) -> Option<Self::Node> {
        let mut dir: Option<Arc<Branch<L>>> = None;
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let at = dir.as_ref().unwrap_or(&self.root);
            let child = self.find(at, name)?;
            if names.peek().is_none() {
                return Some(child);
            }
            let Child::Dir(next) = child else { return None };
            dir = Some(next);
        }
        dir.map(Child::Dir)
    }

    #[inline]
    fn attributes(node: &Self::Node) -> (u64, u32, u64) {
        node.node().attributes()
    }

    #[inline]
    fn look(&self, parent: &Self::Dir, name: &str) -> Option<(u64, u32, u64)> {
        let look = |child: &Child<L>| child.node().attributes();
        parent.entries.read(|entries| entries.get(name).map(look))
    }

    #[inline]
    fn look_along(&self, path: &str) -> Option<(u64, u32, u64)> {
        self.root.look_along(path)
    }

    fn readdir(&self, dir: &Self::Dir) -> usize {
        let list: Vec<Entry> = dir.entries.read(|entries| {
            let entries = entries.iter();
            entries
                .map(|(name, child)| Entry {
                    name: name.clone(),
                    id: child.node().id,
                    is_dir: matches!(child, Child::Dir(_)),
                })
                .collect()
        });
        count(&list)
    }

    fn open(&self, file: &Self::File) -> u64 {
        self.files.open(file)
    }

    fn read(&self, open: &u64, buffer: &mut [u8]) -> usize {
        self.files.read(*open, buffer)
    }

    fn close(&self, open: u64) {
        self.files.close(open);
    }
}

/// All of what a listing gave is used.
fn count(list: &[Entry]) -> usize {
    core::hint::black_box(list)
        .iter()
        .filter(|entry| !entry.name.is_empty() && (entry.id > 0 || entry.is_dir))
        .count()
}

/// One lock over the whole tree. A handle of a directory is its path.
struct One<L: Locks> {
    root: L::Shared<Twig>,
    files: Files<L>,
}

struct Twig {
    node: Arc<Node>,
    entries: BTreeMap<String, Twig>,
}

impl Twig {
    fn new(node: Node) -> Self {
        Self {
            node: Arc::new(node),
            entries: BTreeMap::new(),
        }
    }

    #[inline]
    fn at(&self, path: &str) -> Option<&Self> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(self, |twig, name| twig.entries.get(name))
    }

    fn at_mut(&mut self, path: &str) -> Option<&mut Self> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(self, |twig, name| twig.entries.get_mut(name))
    }
}

/// A counted node and its path.
struct Found {
    node: Arc<Node>,
    name: Option<String>,
}

impl<L: Locks + Named> Tree for One<L> {
    type Node = Found;
    type Dir = String;
    type File = Arc<Node>;
    type Open = u64;

    const NAME: &'static str = L::ONE;

    fn empty() -> Self {
        let files = Files::new();
        Self {
            root: L::Shared::new(Twig::new(Node::dir(files.id()))),
            files,
        }
    }

    fn add_dir(&self, parent: &String, name: &str) -> String {
        let twig = Twig::new(Node::dir(self.files.id()));
        self.add(parent, name, twig);
        format!("{parent}/{name}")
    }

    fn add_file(&self, parent: &String, name: &str) {
        self.add(parent, name, Twig::new(Node::file(self.files.id())));
    }

    fn remove(&self, parent: &String, name: &str) {
        let gone = self
            .root
            .write(|root| root.at_mut(parent)?.entries.remove(name));
        drop(gone);
    }

    fn root(&self) -> String {
        String::new()
    }

    fn dir(node: Found) -> String {
        node.name.expect("a directory")
    }

    fn file(node: Found) -> Arc<Node> {
        node.node
    }

    #[inline]
    fn find(&self, parent: &String, name: &str) -> Option<Found> {
        self.root.read(|root| {
            let twig = root.at(parent)?.entries.get(name)?;
            // Only who wants a directory needs the path, and he has it.
            let is_dir = twig.node.show.is_none();
            Some(Found {
                node: Arc::clone(&twig.node),
                name: is_dir.then(|| format!("{parent}/{name}")),
            })
        })
    }

    #[inline]
    fn walk(&self, path: &str) -> Option<Found> {
        self.root.read(|root| {
            let twig = root.at(path)?;
            Some(Found {
                node: Arc::clone(&twig.node),
                name: None,
            })
        })
    }

    #[inline]
    fn attributes(node: &Found) -> (u64, u32, u64) {
        node.node.attributes()
    }

    #[inline]
    fn look(&self, parent: &String, name: &str) -> Option<(u64, u32, u64)> {
        self.root.read(|root| {
            let twig = root.at(parent)?.entries.get(name)?;
            Some(twig.node.attributes())
        })
    }

    #[inline]
    fn look_along(&self, path: &str) -> Option<(u64, u32, u64)> {
        self.root
            .read(|root| root.at(path).map(|twig| twig.node.attributes()))
    }

    fn readdir(&self, dir: &String) -> usize {
        let list: Vec<Entry> = self.root.read(|root| {
            let twig = root.at(dir);
            let entries = twig.into_iter().flat_map(|twig| twig.entries.iter());
            entries
                .map(|(name, twig)| Entry {
                    name: name.clone(),
                    id: twig.node.id,
                    is_dir: twig.node.show.is_none(),
                })
                .collect()
        });
        count(&list)
    }

    fn open(&self, file: &Arc<Node>) -> u64 {
        self.files.open(file)
    }

    fn read(&self, open: &u64, buffer: &mut [u8]) -> usize {
        self.files.read(*open, buffer)
    }

    fn close(&self, open: u64) {
        self.files.close(open);
    }
}

impl<L: Locks> One<L> {
    fn add(&self, parent: &str, name: &str, twig: Twig) {
        self.root.write(|root| {
            let parent = root.at_mut(parent).expect("a directory");
            parent.entries.insert(name.to_owned(), twig)
        });
    }
}

/// The names of both layouts with these locks.
trait Named {
    const PER_DIRECTORY: &'static str;
    const ONE: &'static str;
}

impl Named for Std {
    const PER_DIRECTORY: &'static str = STD;
    const ONE: &'static str = STD_ONE;
}

impl Named for ParkingLot {
    const PER_DIRECTORY: &'static str = PARKING_LOT;
    const ONE: &'static str = PARKING_LOT_ONE;
}

pub(super) fn all() -> [Loops; 4] {
    [
        super::loops::<PerDirectory<Std>>(),
        super::loops::<PerDirectory<ParkingLot>>(),
        super::loops::<One<Std>>(),
        super::loops::<One<ParkingLot>>(),
    ]
}

/// Calls something generic with each.
#[cfg(test)]
pub(super) trait Visit {
    fn visit<T: Tree>(&self);
}

#[cfg(test)]
pub(super) fn for_each(visit: &impl Visit) {
    visit.visit::<PerDirectory<Std>>();
    visit.visit::<PerDirectory<ParkingLot>>();
    visit.visit::<One<Std>>();
    visit.visit::<One<ParkingLot>>();
}

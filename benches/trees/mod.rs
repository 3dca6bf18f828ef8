//! Trees of attributes: kernfs, and what an author would write without it.
//!
//! By hand it is a map a directory, nodes in `Arc`s and a table of open files, with locks from std or from
//! parking_lot. Two layouts, because it is not clear beforehand which is better: a lock in each directory, so that
//! a handle of a directory can be asked, or one lock over the whole tree. They promise less than kernfs: removal
//! waits for nobody, no callback knows that it is inside one, nobody can sleep until an attribute changes.

mod by_hand;
mod global;
mod locks;
mod ours;

use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::repeat::Make;

pub use global::{Global, NAME as GLOBAL};
pub use ours::Zero;

/// The names in the tables.
pub mod names {
    pub use super::by_hand::{PARKING_LOT, PARKING_LOT_ONE, STD, STD_ONE};
    /// Ours.
    pub const KERNFS: &str = "kernfs";
    /// All that are written by hand.
    pub const BY_HAND: [&str; 4] = [STD, PARKING_LOT, STD_ONE, PARKING_LOT_ONE];
}

/// What the attributes of all trees show.
pub static VALUE: AtomicU64 = AtomicU64::new(1_234_567);

/// Writes it as text.
pub fn show(text: &mut impl Write) {
    // A `String` never fails.
    _ = writeln!(text, "{}", VALUE.load(Ordering::Relaxed));
}

/// Seven components, as many as of an attribute of a CPU in sysfs.
pub const PATH: &str = "/sys/devices/system/cpu/cpu0/topology/core_id";
/// The directory that is listed, as long as sysfs's longest.
pub const LONG: &str = "long";
/// Its entries.
pub const ENTRIES: usize = 429;
/// The directory in which names are looked up and files opened.
pub const SMALL: &str = "small";
/// Its entries, as many as in a cgroup.
pub const FILES: usize = 19;
/// The directory in which the writer makes and removes others.
pub const BUSY: &str = "busy";

/// The name of an entry of a directory, 12 bytes.
pub fn name(nth: usize) -> String {
    format!("attribute{nth:03}")
}

/// A tree with everything above in it.
pub trait Tree: Send + Sync + Sized + 'static {
    /// A counted node.
    type Node;
    /// A counted directory.
    type Dir: Send + Sync;
    /// A counted file.
    type File;
    /// An open file.
    type Open;

    /// The name in the table.
    const NAME: &'static str;

    /// A tree with nothing in it.
    fn empty() -> Self;

    /// Makes a directory in another.
    fn add_dir(&self, parent: &Self::Dir, name: &str) -> Self::Dir;
    /// Makes a file that shows [`VALUE`].
    fn add_file(&self, parent: &Self::Dir, name: &str);
    /// Removes an entry and all below it.
    fn remove(&self, parent: &Self::Dir, name: &str);
    /// The root directory.
    fn root(&self) -> Self::Dir;
    /// The node as what it is.
    fn dir(node: Self::Node) -> Self::Dir;
    /// The node as what it is.
    fn file(node: Self::Node) -> Self::File;

    /// The entry of that name.
    fn find(&self, parent: &Self::Dir, name: &str) -> Option<Self::Node>;
    /// The node at the end of a path.
    fn walk(&self, path: &str) -> Option<Self::Node>;
    /// Id, mode and size.
    fn attributes(node: &Self::Node) -> (u64, u32, u64);
    /// Those of the entry of that name, as cheaply as the tree can: nothing is kept.
    fn look(&self, parent: &Self::Dir, name: &str) -> Option<(u64, u32, u64)>;
    /// Those of the node at the end of a path, likewise.
    fn look_along(&self, path: &str) -> Option<(u64, u32, u64)>;
    /// Lists a directory with names, ids and kinds; tells how many.
    fn readdir(&self, dir: &Self::Dir) -> usize;
    /// Opens for reading.
    fn open(&self, file: &Self::File) -> Self::Open;
    /// Reads from the start.
    fn read(&self, open: &Self::Open, buffer: &mut [u8]) -> usize;
    /// Closes.
    fn close(&self, open: Self::Open);

    /// The tree that is measured.
    fn grown() -> Self {
        let tree = Self::empty();
        let root = tree.root();
        let mut dirs: Vec<Self::Dir> = Vec::new();
        let (path, file) = PATH.rsplit_once('/').unwrap_or_default();
        for component in path.split('/').filter(|name| !name.is_empty()) {
            let dir = tree.add_dir(dirs.last().unwrap_or(&root), component);
            // Not alone in its directory.
            for nth in 0..FILES {
                tree.add_file(&dir, &name(nth));
            }
            dirs.push(dir);
        }
        tree.add_file(dirs.last().unwrap_or(&root), file);
        for (name_of_dir, entries) in [(SMALL, FILES), (LONG, ENTRIES), (BUSY, 0)] {
            let dir = tree.add_dir(&root, name_of_dir);
            for nth in 0..entries {
                tree.add_file(&dir, &name(nth));
            }
        }
        tree
    }
}

/// The operations of one tree, as loops for the threads of a round.
#[derive(Debug)]
pub struct Loops {
    /// The name in the tables.
    pub name: &'static str,
    /// The entry of a name in a small directory.
    pub find: Make,
    /// [`PATH`] to a counted node and its attributes.
    pub walk: Make,
    /// The attributes of the entry of a name; nothing is kept.
    pub look: Make,
    /// The attributes of [`PATH`]; nothing is kept.
    pub look_along: Make,
    /// All of [`LONG`].
    pub readdir: Make,
    /// Opening and closing; each thread has a file of its own.
    pub open: Make,
    /// By directory and name: find, open, read, close.
    pub open_read_close: Make,
    /// From an open file; each thread has its own.
    pub read: Make,
    /// A directory with [`FILES`] files is made and removed.
    pub churn: Make,
}

/// The file of a thread.
fn own(thread: usize) -> String {
    name(3 + 7 * thread)
}

/// The path of a thread: what is counted at its end is not the other thread's.
fn own_path(thread: usize) -> String {
    let (dir, _) = PATH.rsplit_once('/').expect("a path");
    match thread {
        0 => PATH.to_owned(),
        _ => format!("{dir}/{}", own(thread)),
    }
}

fn loops<T: Tree>() -> Loops {
    // For ever: threads share it, and the process ends soon.
    let tree: &'static T = Box::leak(Box::new(T::grown()));
    let dir = move |name| T::dir(tree.find(&tree.root(), name).expect("grown"));
    let file = move |thread| {
        let node = tree.find(&dir(SMALL), &own(thread));
        T::file(node.expect("grown"))
    };
    Loops {
        name: T::NAME,
        find: Make::new(move |thread| {
            let (dir, name) = (dir(SMALL), own(thread));
            move || tree.find(&dir, &name)
        }),
        look: Make::new(move |thread| {
            let (dir, name) = (dir(SMALL), own(thread));
            move || tree.look(&dir, &name)
        }),
        look_along: Make::new(move |thread| {
            let path = own_path(thread);
            move || tree.look_along(&path)
        }),
        walk: Make::new(move |thread| {
            let path = own_path(thread);
            move || {
                let node = tree.walk(&path);
                let attributes = node.as_ref().map(T::attributes);
                (node, attributes)
            }
        }),
        readdir: Make::new(move |_| {
            let dir = dir(LONG);
            move || tree.readdir(&dir)
        }),
        open: Make::new(move |thread| {
            let file = file(thread);
            move || tree.close(tree.open(&file))
        }),
        open_read_close: Make::new(move |thread| {
            let (dir, name) = (dir(SMALL), own(thread));
            let mut buffer = [0; 4096];
            move || {
                let file = T::file(tree.find(&dir, &name).expect("grown"));
                let open = tree.open(&file);
                let n = tree.read(&open, &mut buffer);
                tree.close(open);
                n
            }
        }),
        read: Make::new(move |thread| {
            let open = tree.open(&file(thread));
            let mut buffer = [0; 4096];
            move || tree.read(&open, &mut buffer)
        }),
        churn: Make::new(move |thread| {
            let busy = dir(BUSY);
            let group = format!("group{thread}");
            let names: Vec<String> = (0..FILES).map(name).collect();
            move || {
                let dir = tree.add_dir(&busy, &group);
                for name in &names {
                    tree.add_file(&dir, name);
                }
                tree.remove(&busy, &group);
            }
        }),
    }
}

/// The operations of ours alone.
pub fn ours() -> Loops {
    loops::<ours::Ours>()
}

/// The operations of all trees, ours first.
pub fn all() -> Vec<Loops> {
    let mut all = vec![ours()];
    all.extend(by_hand::all());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repeat::Job;

    fn behaves<T: Tree>() {
        let tree = T::grown();
        let node = tree.walk(PATH).unwrap();
        let (id, mode, _) = T::attributes(&node);
        assert!(id > 0 && mode & 0o777 == 0o444, "{}", T::NAME);
        assert!(tree.walk("/sys/nothing").is_none());
        assert_eq!(tree.look_along(PATH), Some(T::attributes(&node)));
        assert_eq!(tree.look_along("/sys/nothing/more"), None);
        assert_eq!(tree.look_along("/sys/attribute000/more"), None);
        let root = tree.root();
        let dir = |name| T::dir(tree.find(&root, name).unwrap());
        let last = name(FILES - 1);
        let found = tree.find(&dir(SMALL), &last).unwrap();
        assert_eq!(tree.look(&dir(SMALL), &last), Some(T::attributes(&found)));
        assert_eq!(tree.look(&dir(SMALL), "none"), None);
        assert_eq!(tree.readdir(&dir(LONG)), ENTRIES);
        let mut buffer = [0; 64];
        let open = tree.open(&T::file(node));
        let n = tree.read(&open, &mut buffer);
        assert_eq!(&buffer[..n], b"1234567\n", "{}", T::NAME);
        tree.close(open);
        let busy = dir(BUSY);
        let group = tree.add_dir(&busy, "group");
        tree.add_file(&group, "file");
        assert!(tree.find(&group, "file").is_some());
        tree.remove(&busy, "group");
        assert!(tree.find(&busy, "group").is_none() && tree.readdir(&busy) == 0);
    }

    struct Behaves;

    impl by_hand::Visit for Behaves {
        fn visit<T: Tree>(&self) {
            behaves::<T>();
        }
    }

    #[test]
    fn all_trees_do_the_same() {
        behaves::<ours::Ours>();
        by_hand::for_each(&Behaves);
    }

    #[test]
    fn every_loop_runs() {
        for loops in all() {
            let Loops {
                name: _,
                find,
                walk,
                look,
                look_along,
                readdir,
                open,
                open_read_close,
                read,
                churn,
            } = loops;
            let all = [
                find,
                walk,
                look,
                look_along,
                readdir,
                open,
                open_read_close,
                read,
                churn,
            ];
            for make in all {
                for thread in 0..2 {
                    let mut job: Job = make.job(thread);
                    job(thread, 2);
                }
            }
        }
    }
}

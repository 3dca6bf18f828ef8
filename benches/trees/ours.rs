//! kernfs.

use kernfs::{
    Cx, Dir, EntryRef, File, Has, Kind, Listing, Node, OpenFile, OpenFlags, Ops, Result, Root, Seq,
};
use urcu::Memb;

use super::{Tree, names};

/// A kernfs tree.
pub(super) struct Ours(Root);

/// Callbacks without an object behind them, as the files of a cgroup have.
#[derive(Clone, Copy, Debug)]
pub struct Zero;

impl Ops for Zero {
    const HAS: Has = Has::SHOW;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        super::show(seq);
        Ok(())
    }
}

impl Tree for Ours {
    type Node = Node;
    type Dir = Dir;
    type File = File;
    type Open = OpenFile;

    const NAME: &'static str = names::KERNFS;

    fn empty() -> Self {
        Self(Root::new())
    }

    fn add_dir(&self, parent: &Dir, name: &str) -> Dir {
        parent.create_dir(name, 0o755).expect("a new name")
    }

    fn add_file(&self, parent: &Dir, name: &str) {
        let made = parent.create_file(name, 0o444, 0, Zero);
        made.expect("a new name");
    }

    fn remove(&self, parent: &Dir, name: &str) {
        parent.remove_by_name(name).expect("an entry");
    }

    fn root(&self) -> Dir {
        self.0.dir()
    }

    fn dir(node: Node) -> Dir {
        node.as_dir().expect("a directory")
    }

    fn file(node: Node) -> File {
        node.as_file().expect("a file")
    }

    #[inline]
    fn find(&self, parent: &Dir, name: &str) -> Option<Node> {
        parent.find(name)
    }

    #[inline]
    fn walk(&self, path: &str) -> Option<Node> {
        self.0.walk(path)
    }

    #[inline]
    fn attributes(node: &Node) -> (u64, u32, u64) {
        let stat = node.stat();
        (stat.id, stat.mode, stat.size)
    }

    #[inline]
    fn look(&self, parent: &Dir, name: &str) -> Option<(u64, u32, u64)> {
        let guard = Memb::read_lock();
        let node = parent.within(&guard).find(name)?;
        Some((node.id(), node.mode(), node.size()))
    }

    #[inline]
    fn look_along(&self, path: &str) -> Option<(u64, u32, u64)> {
        let guard = Memb::read_lock();
        let node = self.0.within(&guard).walk(path)?;
        Some((node.id(), node.mode(), node.size()))
    }

    fn readdir(&self, dir: &Dir) -> usize {
        let mut listing = Listing::new();
        dir.list(0, usize::MAX, None, &mut listing);
        // All of what a listing gave is used, as by hand.
        let entries = core::hint::black_box(&listing).iter();
        let is_there = |entry: &EntryRef<'_>| {
            !entry.name.is_empty() && (entry.id > 0 || entry.kind == Kind::Dir)
        };
        entries.filter(is_there).count()
    }

    #[inline]
    fn open(&self, file: &File) -> OpenFile {
        file.open(OpenFlags::READ).expect("it is active")
    }

    #[inline]
    fn read(&self, open: &OpenFile, buffer: &mut [u8]) -> usize {
        open.read_at(buffer, 0).expect("it is active")
    }

    #[inline]
    fn close(&self, open: OpenFile) {
        drop(open);
    }
}

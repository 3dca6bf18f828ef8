//! The meaning of every operation, as function calls without any mount.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::abi::{ROOT_ID, SetattrIn, fattr};
use super::adapter::Adapter;
use crate::create::Creation;
use crate::cred::{Caller, Cred};
use crate::cx::{Cx, SyscallCx};
use crate::error::{Errno, Result};
use crate::flags::{Has, PollFlags, RootFlags};
use crate::mode::{Kind, SetAttr, Stat};
use crate::node::{Dir, Node};
use crate::ns::Ns;
use crate::ops::Ops;
use crate::readdir::Listing;
use crate::root::Root;
use crate::seq::Seq;
use crate::step::at_steps;
use crate::sys::mounting as sys;
use crate::syscalls::SyscallOps;

/// A client thread.
const WHO: u32 = 77;

#[derive(Default)]
struct Word {
    text: Mutex<String>,
    released: AtomicUsize,
}

impl Ops for Word {
    const HAS: Has = Has::SHOW.with(Has::WRITE).with(Has::RELEASE);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        seq.put(self.text.lock().map_err(|_| Errno::EIO)?.as_bytes());
        Ok(())
    }

    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        let text = str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        text.clone_into(&mut *self.text.lock().map_err(|_| Errno::EIO)?);
        cx.notify();
        Ok(data.len())
    }

    fn release(&self, _: &mut Cx<'_>, (): &()) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }
}

fn word(dir: &Dir, name: &str) -> Arc<Word> {
    let word = Arc::new(Word::default());
    dir.create_file(name, 0o644, 4096, Arc::clone(&word))
        .unwrap();
    word
}

fn tree() -> (Root, Adapter) {
    let root = Root::new();
    let adapter = Adapter::new(root.dir(), None);
    (root, adapter)
}

const CRED: Cred = Cred {
    uid: 1000,
    gid: 1000,
    pid: WHO,
};
const SUPERUSER: Cred = Cred { uid: 0, ..CRED };
const RDWR: u32 = sys::O_RDWR.cast_unsigned();

fn read(adapter: &Adapter, fh: u64) -> Result<String, Errno> {
    let mut buffer = [0; 64];
    let len = adapter.read(fh, 0, &mut buffer, Caller::default())?;
    Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
}

fn write(adapter: &Adapter, fh: u64, text: &str) -> Result<usize, Errno> {
    adapter.write(fh, 0, text.as_bytes(), Caller::default())
}

#[test]
fn lookups_are_counted_and_given_back() {
    let (root, adapter) = tree();
    word(&root, "speed");
    let stat = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap();
    assert_eq!((stat.kind, stat.size), (Kind::File, 4096));
    adapter.lookup(WHO, ROOT_ID, b"speed").unwrap();
    adapter.forget(stat.id, 1);
    assert!(adapter.is_known(stat.id));
    adapter.forget(stat.id, 1);
    assert!(!adapter.is_known(stat.id));
    assert_eq!(adapter.getattr(stat.id).unwrap_err(), Errno::ESTALE);
    assert!(adapter.is_known(ROOT_ID));
    adapter.forget(ROOT_ID, 9);
    assert_eq!(adapter.getattr(ROOT_ID).unwrap().kind, Kind::Dir);
}

/// Who changed it meanwhile found it unknown, and the kernel got what it had been before.
#[test]
fn a_change_under_a_lookup_is_answered_or_told() {
    let (root, adapter) = tree();
    word(&root, "speed");
    let adapter = Arc::new(adapter);
    let (seen, node) = (Arc::clone(&adapter), root.find("speed").unwrap());
    let change = move |step: &str| {
        if step != "remembered" {
            return;
        }
        assert!(seen.is_known(node.id()));
        assert_eq!(seen.parent(node.id()), Some(ROOT_ID));
        let mode = Some(0o600);
        let new = SetAttr {
            mode,
            ..SetAttr::default()
        };
        node.setattr(&new).unwrap();
    };
    let stat = at_steps(change, || adapter.lookup(WHO, ROOT_ID, b"speed"));
    assert_eq!(stat.unwrap().mode, 0o600);
}

#[test]
fn a_removed_node_lives_until_it_is_forgotten() {
    let (root, adapter) = tree();
    word(&root, "speed");
    let stat = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap();
    root.remove_by_name("speed").unwrap();
    urcu::Memb::barrier();
    let with_it = root.stats().nodes;
    adapter.forget(stat.id, 1);
    urcu::Memb::barrier();
    assert_eq!(root.stats().nodes, with_it - 1);
}

#[test]
fn open_read_write_poll_release() {
    let (root, adapter) = tree();
    let ops = word(&root, "speed");
    let id = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap().id;
    let fh = adapter.open(CRED, id, RDWR).unwrap();
    assert_eq!(write(&adapter, fh, "30"), Ok(2));
    assert_eq!(read(&adapter, fh).unwrap(), "30");
    assert_eq!(adapter.poll(fh, None), Ok(PollFlags::QUIET));
    root.find("speed").unwrap().as_file().unwrap().notify();
    assert_eq!(adapter.poll(fh, None), Ok(PollFlags::CHANGED));
    adapter.release(fh);
    assert_eq!(ops.released.load(Ordering::Relaxed), 1);
    assert_eq!(read(&adapter, fh), Err(Errno::EBADF));
}

#[test]
fn one_poll_handle_is_woken_once() {
    let (root, adapter) = tree();
    word(&root, "speed");
    let id = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap().id;
    let fh = adapter.open(CRED, id, RDWR).unwrap();
    assert!(adapter.waiting(id).is_empty());
    adapter.poll(fh, Some(5)).unwrap();
    adapter.poll(fh, None).unwrap(); // a look does not take the handle away
    assert_eq!(adapter.waiting(id), [5]);
    assert!(adapter.waiting(id).is_empty());
    adapter.poll(fh, Some(5)).unwrap();
    adapter.release(fh);
    assert!(adapter.waiting(id).is_empty());
}

#[test]
fn an_open_file_of_a_removed_node() {
    let (root, adapter) = tree();
    let ops = word(&root, "speed");
    let id = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap().id;
    let fh = adapter.open(CRED, id, RDWR).unwrap();
    root.remove_by_name("speed").unwrap();
    assert_eq!(ops.released.load(Ordering::Relaxed), 1);
    assert_eq!(read(&adapter, fh), Err(Errno::ENODEV));
    assert_eq!(write(&adapter, fh, "1"), Err(Errno::ENODEV));
    assert_eq!(adapter.poll(fh, Some(1)), Ok(PollFlags::CHANGED));
    assert_eq!(adapter.getattr(id).unwrap().nlink, 0);
    adapter.release(fh);
    assert_eq!(ops.released.load(Ordering::Relaxed), 1);
    // Nobody has it open any more, but by O_PATH he may.
    assert_eq!(adapter.getattr(id).unwrap().nlink, 0);
}

#[test]
fn estale_once_where_the_name_means_something_else() {
    let (root, adapter) = tree();
    word(&root, "speed");
    let old = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap().id;
    root.remove_by_name("speed").unwrap();
    assert_eq!(adapter.open(CRED, old, RDWR), Err(Errno::ENOENT));
    word(&root, "speed");
    assert_eq!(adapter.open(CRED, old, RDWR), Err(Errno::ESTALE));
    // The kernel walks again; the new node is removed before it is opened.
    let new = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap().id;
    root.remove_by_name("speed").unwrap();
    word(&root, "speed");
    assert_eq!(adapter.open(CRED, new, RDWR), Err(Errno::ENOENT));
    // Another system call, from the cache of names.
    assert_eq!(adapter.open(CRED, new, RDWR), Err(Errno::ESTALE));
}

#[test]
fn a_removed_node_is_opened_by_a_descriptor() {
    let (root, adapter) = tree();
    word(&root, "speed");
    root.create_dir("engine", 0o755).unwrap();
    let file = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap().id;
    let dir = adapter.lookup(WHO, ROOT_ID, b"engine").unwrap().id;
    adapter.open(CRED, file, RDWR).unwrap();
    adapter.opendir(WHO, dir).unwrap();
    root.remove_by_name("speed").unwrap();
    root.remove_by_name("engine").unwrap();
    // By a name the kernel looks it up the second time,
    assert_eq!(adapter.open(CRED, file, RDWR), Err(Errno::ESTALE));
    let again = adapter.lookup(WHO, ROOT_ID, b"speed");
    assert_eq!(again.unwrap_err(), Errno::ENOENT);
    assert_eq!(adapter.opendir(WHO, dir), Err(Errno::ESTALE));
    let again = adapter.lookup(WHO, ROOT_ID, b"engine");
    assert_eq!(again.unwrap_err(), Errno::ENOENT);
    // by a descriptor there is nothing to look up.
    assert_eq!(adapter.open(CRED, file, RDWR), Err(Errno::ESTALE));
    assert_eq!(adapter.open(CRED, file, RDWR), Err(Errno::ENODEV));
    assert_eq!(adapter.opendir(WHO, dir), Err(Errno::ESTALE));
    let fh = adapter.opendir(WHO, dir).unwrap();
    assert_eq!(list(&adapter, fh), [".", ".."]);
}

#[test]
fn a_mapping_is_filled_to_the_end() {
    let (root, adapter) = tree();
    let bytes: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let read = bytes.clone();
    let attr = crate::bin(10_000).read(move |buffer, offset| {
        let from = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&read[from..from + buffer.len()]);
        Ok(buffer.len())
    });
    root.attr("table", attr).unwrap();
    let id = adapter.lookup(WHO, ROOT_ID, b"table").unwrap().id;
    let fh = adapter.open(CRED, id, 0).unwrap();
    let mut out = vec![0; 1 << 14];
    let caller = Caller::default();
    // Who reads gets a page, who maps gets all.
    assert_eq!(adapter.read(fh, 0, &mut out, caller), Ok(4096));
    assert_eq!(adapter.fill(fh, 4096, &mut out, caller), Ok(5904));
    assert_eq!(out[..5904], bytes[4096..]);
    assert_eq!(adapter.fill(fh, 10_000, &mut out, caller), Ok(0));
    root.remove_by_name("table").unwrap();
    let dead = adapter.fill(fh, 0, &mut out, caller);
    assert_eq!(dead, Err(Errno::ENODEV));
}

#[test]
fn below_a_removed_directory() {
    let (root, adapter) = tree();
    let dir = root.create_dir("engine", 0o755).unwrap();
    word(&dir, "rpm");
    let id = adapter.lookup(WHO, ROOT_ID, b"engine").unwrap().id;
    let fh = adapter.opendir(WHO, id).unwrap();
    root.remove_by_name("engine").unwrap();
    root.create_dir("engine", 0o755).unwrap();
    assert_eq!(adapter.lookup(WHO, id, b"rpm").unwrap_err(), Errno::ESTALE);
    // The second walk begins at the same node: it was a descriptor's.
    assert_eq!(adapter.lookup(WHO, id, b"rpm").unwrap_err(), Errno::ENOENT);
    assert_eq!(list(&adapter, fh), [".", ".."]);
    adapter.release(fh);
}

fn list(adapter: &Adapter, fh: u64) -> Vec<String> {
    let mut names = Vec::new();
    adapter
        .readdir(fh, 0, &mut Listing::new(), |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        })
        .unwrap();
    names
}

#[test]
fn listings_go_on_where_they_stopped() {
    let (root, adapter) = tree();
    for n in 0..300 {
        word(&root, &format!("f{n}"));
    }
    let fh = adapter.opendir(WHO, ROOT_ID).unwrap();
    let mut pieces = Vec::new();
    let mut from = 0;
    loop {
        let mut piece = Vec::new();
        adapter
            .readdir(fh, from, &mut Listing::new(), |entry| {
                if piece.len() == 7 {
                    return false;
                }
                piece.push((entry.name.to_vec(), entry.offset));
                true
            })
            .unwrap();
        let Some((_, offset)) = piece.last() else {
            break;
        };
        from = *offset;
        pieces.extend(piece.into_iter().map(|(name, _)| name));
    }
    assert_eq!(pieces.len(), 302);
    assert_eq!(pieces[..2], [b".".to_vec(), b"..".to_vec()]);
    pieces.sort();
    pieces.dedup();
    assert_eq!(pieces.len(), 302);
}

#[test]
fn what_is_no_file_is_not_opened_and_what_is_no_link_not_read() {
    let (root, adapter) = tree();
    let dir = root.create_dir("engine", 0o755).unwrap();
    word(&dir, "rpm");
    root.create_link("link", &dir).unwrap();
    let dir = adapter.lookup(WHO, ROOT_ID, b"engine").unwrap().id;
    let file = adapter.lookup(WHO, dir, b"rpm").unwrap().id;
    let link = adapter.lookup(WHO, ROOT_ID, b"link").unwrap().id;
    assert_eq!(adapter.readlink(WHO, link).unwrap(), b"engine");
    assert_eq!(adapter.readlink(WHO, file), Err(Errno::EINVAL));
    assert_eq!(adapter.open(CRED, dir, RDWR), Err(Errno::EINVAL));
    assert_eq!(adapter.opendir(WHO, file), Err(Errno::ENOTDIR));
    assert_eq!(adapter.lookup(WHO, file, b"x").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(adapter.lookup(WHO, dir, b"x").unwrap_err(), Errno::ENOENT);
    assert_eq!(adapter.lookup(WHO, 999, b"x").unwrap_err(), Errno::ESTALE);
}

#[test]
fn a_size_from_outside_changes_nothing_and_a_mode_does() {
    let (root, adapter) = tree();
    word(&root, "speed");
    let file = root.find("speed").unwrap();
    let id = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap().id;
    let before = file.stat();
    let mut new = SetattrIn {
        valid: 1 << 3,
        ..SetattrIn::default()
    };
    assert_eq!(adapter.setattr(SUPERUSER, id, &new).unwrap(), before);
    (new.valid, new.mode) = (fattr::MODE, 0o100_600);
    assert_eq!(adapter.setattr(SUPERUSER, id, &new).unwrap().mode, 0o600);
    assert_eq!(file.stat().mode, 0o600);
    // What is removed has attributes while it is open.
    let fh = adapter.open(CRED, id, RDWR).unwrap();
    file.remove().unwrap();
    new.mode = 0o100_640;
    assert_eq!(adapter.setattr(SUPERUSER, id, &new).unwrap().mode, 0o640);
    assert_eq!(adapter.getxattr(WHO, id, b"user.a"), Err(Errno::ENODATA));
    adapter.release(fh);
    assert!(adapter.setattr(SUPERUSER, id, &new).is_err());
    assert_ne!(adapter.getxattr(WHO, id, b"user.a"), Err(Errno::ENODATA));
}

#[test]
fn an_id_alone_finds_what_the_kernel_has_forgotten() {
    let (root, adapter) = tree();
    let dir = root.create_dir("dir", 0o755).unwrap();
    word(&dir, "file");
    let file = dir.find("file").unwrap();
    // Never looked up by name: out of a file handle.
    assert_eq!(adapter.lookup(WHO, file.id(), b".").unwrap().id, file.id());
    assert!(adapter.is_known(file.id()));
    assert_eq!(adapter.lookup(WHO, file.id(), b"..").unwrap().id, dir.id());
    assert_eq!(adapter.lookup(WHO, dir.id(), b"..").unwrap().id, ROOT_ID);
    assert_eq!(adapter.lookup(WHO, ROOT_ID, b"..").unwrap().id, ROOT_ID);
    file.remove().unwrap();
    assert_eq!(adapter.lookup(WHO, file.id(), b"."), Err(Errno::ESTALE));
}

/// A handle led anybody who has one to what his mount does not show.
#[test]
fn an_id_of_another_name_space_was_found() {
    let (root, net) = (Root::new(), Creation::new());
    let dir = root.create_dir("net", 0o755).unwrap();
    dir.enable_ns().unwrap();
    let [ours, theirs] = [1, 2].map(|id| Ns::new(id).unwrap());
    let [own, other] = [ours, theirs].map(|ns| {
        let eth = dir.create_dir_with("eth", 0o755, net.ns(ns)).unwrap();
        word(&eth, "speed");
        eth
    });
    let adapter = Adapter::new(root.dir(), Some(ours));
    let find = |id, name: &[u8]| adapter.lookup(WHO, id, name).map(|stat| stat.id);
    for (dir, seen) in [(&own, true), (&other, false)] {
        let speed = dir.find("speed").unwrap().id();
        let expected = |id| if seen { Ok(id) } else { Err(Errno::ESTALE) };
        assert_eq!(find(speed, b"."), expected(speed));
        assert_eq!(find(speed, b".."), expected(dir.id()));
        assert_eq!(find(dir.id(), b"."), expected(dir.id()));
    }
    assert_eq!(find(dir.id(), b"."), Ok(dir.id()));
}

/// The note of an ESTALE was left when that had come to its end, and told of in another system call.
#[test]
fn a_name_that_was_there_all_the_time_was_enoent() {
    let xattr = |adapter: &Adapter, id| adapter.getxattr(WHO, id, b"user.a").err();
    let names = |adapter: &Adapter, id| adapter.listxattr(WHO, 0, id).err();
    let mode = |adapter: &Adapter, id| {
        let new = SetattrIn {
            valid: fattr::MODE,
            mode: 0o600,
            ..SetattrIn::default()
        };
        let root = Cred {
            pid: WHO,
            ..SUPERUSER
        };
        adapter.setattr(root, id, &new).err()
    };
    type Asks = fn(&Adapter, u64) -> Option<Errno>;
    for asks in [xattr as Asks, names, mode] {
        let (root, adapter) = tree();
        word(&root, "a");
        let find = || adapter.lookup(WHO, ROOT_ID, b"a").unwrap().id;
        let replace = || {
            root.remove_by_name("a").unwrap();
            word(&root, "a");
        };
        let first = find();
        replace();
        assert_eq!(asks(&adapter, first), Some(Errno::ESTALE));
        let second = find();
        assert_ne!(asks(&adapter, second), Some(Errno::ESTALE));
        // Another system call.
        replace();
        assert_eq!(adapter.open(CRED, second, RDWR), Err(Errno::ESTALE));
    }
}

fn mkdir(adapter: &Adapter, parent: u64, name: &[u8]) -> Result<Stat, Errno> {
    adapter.mkdir(WHO, (parent, name), 0o700, Caller::from(CRED))
}

fn rmdir(adapter: &Adapter, parent: u64, name: &[u8]) -> Result<(), Errno> {
    adapter.rmdir(WHO, (parent, name), Caller::from(CRED))
}

fn rename(adapter: &Adapter, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<(), Errno> {
    adapter.rename(WHO, from, to, Caller::from(CRED))
}

/// Asserts who calls.
struct Groups;

impl SyscallOps for Groups {
    fn mkdir(&self, cx: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        assert_eq!((cx.caller(), cx.interrupted()), (CRED, false));
        if name == b"file" {
            return parent.attr(name, crate::attr::ro(|| 1)).map(drop);
        }
        let name = if name == b"other" { b"another" } else { name };
        parent.create_dir(name, mode).map(drop)
    }
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        assert_eq!(cx.caller(), CRED);
        let _unprotected = cx.break_protection();
        dir.remove()
    }
    fn rename(&self, cx: &mut SyscallCx<'_>, node: &Node, to: &Dir, name: &[u8]) -> Result<()> {
        assert_eq!(cx.caller(), CRED);
        node.rename(to, name)
    }
}

#[test]
fn the_owner_of_the_tree_makes_and_removes_directories() {
    let root = Root::with_ops(RootFlags::NONE, Groups);
    let adapter = Adapter::new(root.dir(), None);
    let a = mkdir(&adapter, ROOT_ID, b"a").unwrap();
    assert_eq!((a.mode, a.kind), (0o700, Kind::Dir));
    assert!(adapter.is_known(a.id));
    assert_eq!(mkdir(&adapter, ROOT_ID, b"a"), Err(Errno::EEXIST));
    assert_eq!(mkdir(&adapter, ROOT_ID, b"other"), Err(Errno::ENOENT));
    // The kernel takes nothing but a directory, and does not give back what it did not take.
    assert_eq!(mkdir(&adapter, ROOT_ID, b"file"), Err(Errno::ENOENT));
    assert!(!adapter.is_known(root.find("file").unwrap().id()));
    let b = mkdir(&adapter, a.id, b"b").unwrap();
    rename(&adapter, (a.id, b"b"), (ROOT_ID, b"c")).unwrap();
    assert_eq!(adapter.lookup(WHO, ROOT_ID, b"c").unwrap().id, b.id);
    assert_eq!(
        rename(&adapter, (a.id, b"b"), (a.id, b"c")),
        Err(Errno::ENOENT)
    );
    rmdir(&adapter, ROOT_ID, b"a").unwrap();
    assert_eq!(rmdir(&adapter, ROOT_ID, b"a"), Err(Errno::ENOENT));
    assert_eq!(mkdir(&adapter, a.id, b"x"), Err(Errno::ENOENT));

    let (root, adapter) = tree();
    word(&root, "speed");
    root.create_dir("engine", 0o755).unwrap();
    assert_eq!(mkdir(&adapter, ROOT_ID, b"x"), Err(Errno::EPERM));
    assert_eq!(rmdir(&adapter, ROOT_ID, b"engine"), Err(Errno::EPERM));
    assert_eq!(rmdir(&adapter, ROOT_ID, b"speed"), Err(Errno::ENOTDIR));
    let renamed = rename(&adapter, (ROOT_ID, b"speed"), (ROOT_ID, b"x"));
    assert_eq!(renamed, Err(Errno::EPERM));
}

#[test]
fn in_a_directory_that_was_made_anew_it_is_looked_for_again() {
    let root = Root::with_ops(RootFlags::NONE, Groups);
    let adapter = Adapter::new(root.dir(), None);
    let groups = || {
        let dir = root.create_dir("groups", 0o755).unwrap();
        dir.create_dir("a", 0o755).unwrap();
        adapter.lookup(WHO, ROOT_ID, b"groups").unwrap().id
    };
    let old = groups();
    root.remove_by_name("groups").unwrap();
    let gone = [
        rmdir(&adapter, old, b"a"),
        rename(&adapter, (old, b"a"), (ROOT_ID, b"b")),
    ];
    assert_eq!(gone, [Err(Errno::ENOENT); 2], "plainly");
    let new = groups();
    assert_eq!(rmdir(&adapter, old, b"a"), Err(Errno::ESTALE));
    assert_eq!(
        adapter.lookup(WHO, ROOT_ID, b"groups").map(|s| s.id),
        Ok(new)
    );
    assert_eq!(rmdir(&adapter, new, b"a"), Ok(()));
    assert_eq!(
        rename(&adapter, (old, b"a"), (ROOT_ID, b"b")),
        Err(Errno::ESTALE)
    );
    // The second walk ends, so the next system call may be told it again.
    assert_eq!(
        rename(&adapter, (new, b"a"), (ROOT_ID, b"b")),
        Err(Errno::ENOENT)
    );
    assert_eq!(rmdir(&adapter, old, b"a"), Err(Errno::ESTALE));
    assert_eq!(rmdir(&adapter, new, b"a"), Err(Errno::ENOENT));
}

/// Makes another node of the name while a call of the owner's object runs.
struct Replaces;

impl SyscallOps for Replaces {
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        let parent = dir.parent().ok_or(Errno::ENOENT)?;
        let _unprotected = cx.break_protection();
        dir.remove()?;
        parent.create_dir("a", 0o755)?;
        Err(Errno::ENOENT.into())
    }
    fn rename(&self, cx: &mut SyscallCx<'_>, node: &Node, to: &Dir, name: &[u8]) -> Result<()> {
        let parent = node.parent().ok_or(Errno::ENOENT)?;
        let _unprotected = cx.break_protection();
        node.remove()?;
        parent.create_dir("a", 0o755)?;
        node.rename(to, name)
    }
}

#[test]
fn what_was_replaced_under_a_callback_is_looked_for_again_once() {
    let root = Root::with_ops(RootFlags::NONE, Replaces);
    let adapter = Adapter::new(root.dir(), None);
    root.create_dir("a", 0o755).unwrap();
    for _ in 0..2 {
        let second = || {
            adapter.lookup(WHO, ROOT_ID, b"a").unwrap();
            rmdir(&adapter, ROOT_ID, b"a")
        };
        assert_eq!(rmdir(&adapter, ROOT_ID, b"a"), Err(Errno::ESTALE));
        assert_eq!(second(), Err(Errno::ENOENT));
        let renamed = || rename(&adapter, (ROOT_ID, b"a"), (ROOT_ID, b"b"));
        assert_eq!(renamed(), Err(Errno::ESTALE));
        adapter.lookup(WHO, ROOT_ID, b"a").unwrap();
        assert_eq!(renamed(), Err(Errno::ENOENT));
    }
}

#[test]
fn the_end_closes_everything() {
    let (root, adapter) = tree();
    let ops = word(&root, "speed");
    let id = adapter.lookup(WHO, ROOT_ID, b"speed").unwrap().id;
    let fh = adapter.open(CRED, id, RDWR).unwrap();
    adapter.shut();
    assert_eq!(ops.released.load(Ordering::Relaxed), 1);
    assert!(!adapter.is_known(id));
    assert_eq!(read(&adapter, fh), Err(Errno::EBADF));
}

// A listener of another mount that came to lie at the same address was not told of changes by O_TRUNC.
#[test]
fn a_listener_was_taken_for_one_that_had_ended() {
    let root = Root::new();
    let adapter = Adapter::new(root.dir(), None);
    assert_eq!(adapter.listener(), 0);
    let first = Arc::new([0_u64; 4]);
    adapter.told_by(&first);
    let at = adapter.listener();
    assert_eq!(at, Arc::as_ptr(&first).addr());
    drop(first);
    let later: Vec<_> = (0..100).map(|_| Arc::new([0_u64; 4])).collect();
    assert!(later.iter().all(|one| Arc::as_ptr(one).addr() != at));
}

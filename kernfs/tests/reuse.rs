//! Memory of removed nodes that becomes other nodes: nothing of the old ones is left, and nobody who has an old one
//! notices.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use common::{errno, rounds};
use kernfs::{
    Creation, Cx, Dir, Errno, Has, Kind, Ns, OpenFlags, Ops, Result, Root, RootFlags, SetAttr,
    XattrHow, ro,
};

fn settle() {
    for _ in 0..3 {
        urcu::Memb::barrier();
    }
}

struct Nothing;

impl Ops for Nothing {
    const HAS: Has = Has::NONE;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
}

/// One of each kind, with all that a node can have.
fn fill(dir: &Dir) {
    let with = Creation::new().owner(7, 8);
    for n in 0..5 {
        let name = format!("a name that does not fit into a node {n}");
        let sub = dir.create_dir_with(&name, 0o1711, with).unwrap();
        sub.enable_ns().unwrap();
        let tagged = Creation::new().ns(Ns::new(3).unwrap());
        sub.create_dir_with("tagged", 0o755, tagged).unwrap();
        let file = dir.attr(format!("f{n}"), ro(|| 1)).unwrap();
        let attrs = SetAttr {
            mode: Some(0o640),
            uid: Some(5),
            ..SetAttr::default()
        };
        file.setattr(&attrs).unwrap();
        file.set_xattr("trusted.x", "old", XattrHow::Set).unwrap();
        file.notify();
        dir.create_link(format!("l{n}"), &sub).unwrap();
        dir.create_empty_dir(format!("e{n}")).unwrap();
    }
}

#[test]
fn a_new_node_has_nothing_of_the_one_whose_memory_it_has() {
    let root = Root::new();
    let mut ids = std::collections::HashSet::new();
    for round in 0..6 {
        let old = root.create_dir("old", 0o755).unwrap();
        fill(&old);
        assert!(old.entries().all(|entry| ids.insert(entry.id)), "{round}");
        old.remove().unwrap();
        drop(old);
        settle();
        assert_eq!(root.stats().nodes, 1);
        // More than there were, so of each kind some are made of each other kind.
        let new = root.create_dir("new", 0o700).unwrap();
        let stat = new.stat();
        let mine = (stat.uid, stat.gid);
        assert_eq!((stat.mode, stat.nlink, new.revision()), (0o700, 2, 0));
        for n in 0..12 {
            let dir = new.create_dir(format!("d{n}"), 0o500).unwrap();
            assert_eq!((dir.stat().mode, dir.stat().nlink), (0o500, 2));
            assert!(!dir.is_namespaced() && !dir.stays_empty() && dir.revision() == 0);
            assert_eq!(dir.entries().count(), 0);
            dir.create_dir("below", 0o755).unwrap();
            let file = new.create_file(format!("f{n}"), 0o400, n, Nothing).unwrap();
            let stat = file.stat();
            assert_eq!((stat.mode, stat.size, stat.nlink), (0o400, n, 1));
            let link = new.create_link(format!("l{n}"), &file).unwrap();
            assert_eq!(link.target(), Some(file.clone().into()));
            for node in [dir.clone().into(), file.into(), link.into()] {
                let node: kernfs::Node = node;
                let stat = node.stat();
                assert!(node.is_active() && node.xattrs().is_empty());
                assert_eq!((stat.uid, stat.gid), mine);
                assert_eq!((stat.atime, stat.mtime), (stat.ctime, stat.ctime));
                assert_eq!(node.parent(), Some(new.clone()));
                assert!(ids.insert(node.id()), "an id came again");
                assert_eq!(root.find_by_id(node.id()), Some(node));
            }
        }
        assert_eq!(new.stat().nlink, 14);
        new.remove().unwrap();
        drop(new);
        settle();
        assert_eq!(root.stats().nodes, 1);
    }
}

#[test]
fn a_handle_keeps_its_node_from_becoming_another_one() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    let kept = dir.attr("kept", ro(|| 1)).unwrap();
    for n in 0..20 {
        dir.attr(format!("f{n}"), ro(|| 1)).unwrap();
    }
    let (id, path) = (kept.id(), kept.path());
    dir.remove().unwrap();
    drop(dir);
    settle();
    // The file and its directory.
    assert_eq!(root.stats().nodes, 3);
    for n in 0..50 {
        root.attr(format!("g{n}"), ro(|| 1)).unwrap();
    }
    assert_eq!((kept.id(), kept.path()), (id, path));
    assert!(!kept.is_active());
    drop(kept);
    assert_eq!(root.stats().nodes, 51);
}

#[test]
fn what_is_made_of_a_removed_node_is_not_active_before_its_tree_says_so() {
    let root = Root::with_flags(RootFlags::CREATE_DEACTIVATED);
    root.activate();
    let dir = root.create_dir("d", 0o755).unwrap();
    for n in 0..20 {
        dir.attr(format!("f{n}"), ro(|| 1)).unwrap();
    }
    dir.activate();
    dir.remove().unwrap();
    drop(dir);
    settle();
    let new = root.attr("g", ro(|| 1)).unwrap();
    assert!(!new.is_active());
    assert_eq!(errno(new.open(OpenFlags::READ)), Errno::ENODEV);
    new.activate();
    assert!(new.is_active() && new.open(OpenFlags::READ).is_ok());
}

/// Makes something in its tree when it is dropped.
struct Makes(Root, Arc<AtomicUsize>);

impl Ops for Makes {
    const HAS: Has = Has::NONE;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
}

impl Drop for Makes {
    fn drop(&mut self) {
        let n = self.1.fetch_add(1, SeqCst);
        self.0.create_dir(format!("made{n}"), 0o755).unwrap();
    }
}

#[test]
fn what_was_not_added_is_dropped_without_the_lock_and_takes_no_memory_along() {
    let (root, drops) = (Root::new(), Arc::new(AtomicUsize::new(0)));
    let dir = root.create_dir("d", 0o755).unwrap();
    for n in 0..20 {
        dir.attr(format!("f{n}"), ro(|| 1)).unwrap();
    }
    dir.remove().unwrap();
    drop(dir);
    settle();
    root.create_dir("taken", 0o755).unwrap();
    for n in 1..=5 {
        let ops = Makes(root.clone(), Arc::clone(&drops));
        let refused = root.create_file("taken", 0o644, 0, ops);
        assert_eq!(errno(refused), Errno::EEXIST);
        assert_eq!(drops.load(SeqCst), n);
        assert_eq!(root.stats().nodes, 2 + n as u64);
    }
    let names: Vec<_> = root.entries().map(|entry| entry.name).collect();
    assert_eq!(names.len(), 6);
}

/// Looking finds a node as it was made, or none, while nodes become others under it.
#[test]
fn whoever_looks_sees_no_half_of_a_node() {
    let root = Root::new();
    let stop = AtomicBool::new(false);
    let seen = AtomicUsize::new(0);
    let make = |top: &str, kind: Kind| {
        let dir = root.create_dir(top, 0o755).unwrap();
        for n in 0..12_u64 {
            let name = format!("{top}{n}");
            match kind {
                Kind::Dir => drop(dir.create_dir(name, 0o711).unwrap()),
                _ => drop(dir.create_file(name, 0o444, n, Nothing).unwrap()),
            }
        }
        dir
    };
    let check = |node: &kernfs::Node, top: &str, n: u64| {
        let stat = node.stat();
        assert_eq!(node.name(), format!("{top}{n}").as_bytes());
        match top {
            "dirs" => assert_eq!((stat.kind, stat.mode, stat.size), (Kind::Dir, 0o711, 0)),
            _ => assert_eq!((stat.kind, stat.mode, stat.size), (Kind::File, 0o444, n)),
        }
        assert_eq!(stat.id, node.id());
        assert_eq!(node.parent().unwrap().name(), top.as_bytes());
    };
    thread::scope(|scope| {
        let readers = ["dirs", "files"].map(|top| {
            let (root, stop, seen, check) = (&root, &stop, &seen, &check);
            scope.spawn(move || {
                let mut kept = None;
                for n in (0..12).cycle() {
                    if stop.load(SeqCst) {
                        break;
                    }
                    if let Some((node, n)) = &kept {
                        check(node, top, *n);
                    }
                    if let Some(node) = root.walk(format!("{top}/{top}{n}")) {
                        check(&node, top, n);
                        let again = root.find_by_id(node.id());
                        assert!(again.is_none_or(|again| again == node));
                        kept = Some((node, n));
                        seen.fetch_add(1, SeqCst);
                    }
                    let Some(dir) = root.find(top).and_then(|node| node.as_dir()) else {
                        continue;
                    };
                    for entry in dir.entries() {
                        assert!(entry.name.starts_with(top.as_bytes()), "{entry:?}");
                        assert_eq!(entry.kind == Kind::Dir, top == "dirs");
                    }
                }
            })
        });
        let mut round = 0;
        while round < rounds(300) || seen.load(SeqCst) < 50 {
            let (dirs, files) = (make("dirs", Kind::Dir), make("files", Kind::File));
            thread::yield_now();
            dirs.remove().unwrap();
            files.remove().unwrap();
            round += 1;
            if round % 4 == 0 {
                urcu::Memb::barrier();
            }
        }
        stop.store(true, SeqCst);
        let [(), ()] = readers.map(|reader| reader.join().unwrap());
    });
    settle();
    assert_eq!(root.stats().nodes, 1);
}

//! Renaming, one thread.

mod common;

use std::time::Duration;

use common::{Checked, errno, text};
use kernfs::{Dir, Errno, Node, Ns, OpenFlags, Root, RootFlags, SetAttr, ro};

fn names(dir: &Dir) -> Vec<String> {
    let mut names: Vec<String> = dir
        .entries()
        .map(|e| String::from_utf8(e.name).unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_renamed_node_has_one_name() {
    let root = Root::new();
    let a = root.create_dir("a", 0o755).unwrap();
    let b = root.create_dir("b", 0o755).unwrap();
    let d = a.create_dir("d", 0o755).unwrap();
    d.attr("leaf", ro(|| 1)).unwrap();
    let id = d.id();

    d.rename(&a, "e").unwrap();
    assert_eq!((a.find("d"), a.find("e")), (None, Some(d.clone().into())));
    assert_eq!(names(&a), ["e"]);
    assert_eq!(d.path(), b"/a/e");

    d.rename(&b, "a name that is longer than what fits")
        .unwrap();
    assert_eq!((names(&a).len(), names(&b).len()), (0, 1));
    assert_eq!(
        root.walk("b/a name that is longer than what fits/leaf")
            .unwrap()
            .path(),
        b"/b/a name that is longer than what fits/leaf"
    );
    assert_eq!(d.parent(), Some(b.clone()));
    assert_eq!((d.id(), root.find_by_id(id)), (id, Some(d.clone().into())));

    // To the root and back; its own name in another directory.
    d.rename_ns(&root, None, None).unwrap();
    d.rename(&b, "d").unwrap();
    assert_eq!(names(&root), ["a", "b"]);
    d.rename(&b, "d").unwrap();
    b.remove().unwrap();
    assert!(!d.is_active());
    assert_eq!(d.path(), b"/b/d");
}

#[test]
fn counts_and_revisions_move_and_times_do_not() {
    let root = Root::new();
    let a = root.create_dir("a", 0o755).unwrap();
    let b = root.create_dir("b", 0o755).unwrap();
    for dir in [&a, &b] {
        let time = Some(Duration::from_secs(7));
        dir.setattr(&SetAttr {
            mtime: time,
            ctime: time,
            ..SetAttr::default()
        })
        .unwrap();
    }
    let seen = || {
        let nlink = |dir: &Dir| dir.stat().nlink;
        (nlink(&a), nlink(&b), a.revision(), b.revision())
    };
    let d = root.create_dir("d", 0o755).unwrap();
    let f = root.attr("f", ro(|| 1)).unwrap();
    let start = seen();
    d.rename(&a, "d").unwrap();
    assert_eq!(seen(), (3, 2, start.2 + 1, start.3));
    f.rename(&a, "f").unwrap();
    assert_eq!(seen(), (3, 2, start.2 + 2, start.3));
    d.rename(&b, "d").unwrap();
    assert_eq!(seen(), (2, 3, start.2 + 3, start.3 + 1));
    d.rename(&b, "e").unwrap();
    assert_eq!(seen(), (2, 3, start.2 + 3, start.3 + 2));
    d.rename(&b, "e").unwrap();
    assert_eq!(seen(), (2, 3, start.2 + 3, start.3 + 2), "nothing to do");
    for dir in [&a, &b] {
        assert_eq!(dir.stat().mtime, Duration::from_secs(7));
    }
    assert_eq!(root.stat().nlink, 4);
}

#[test]
fn what_cannot_be_renamed_stays() {
    let root = Root::new();
    let a = root.create_dir("a", 0o755).unwrap();
    let b = a.create_dir("b", 0o755).unwrap();
    let c = b.create_dir("c", 0o755).unwrap();
    let f = root.attr("f", ro(|| 1)).unwrap();
    let empty = root.create_empty_dir("empty").unwrap();
    let other = Root::new();

    let refused = |node: &Node, dir: &Dir, name: &str| errno(node.rename(dir, name));
    assert_eq!(refused(&f, &root, "a"), Errno::EEXIST);
    assert_eq!(refused(&a, &root, "f"), Errno::EEXIST);
    assert_eq!(refused(&root, &a, "x"), Errno::EINVAL);
    for below in [&a, &b, &c] {
        assert_eq!(refused(&a, below, "x"), Errno::EINVAL);
    }
    assert_eq!(refused(&a, &other, "x"), Errno::EINVAL);
    for bad in ["", ".", "..", "x/y", "x\0"] {
        assert_eq!(refused(&a, &root, bad), Errno::EINVAL);
    }
    assert_eq!(refused(&a, &root, &"x".repeat(4096)), Errno::ENAMETOOLONG);
    assert_eq!(refused(&f, &empty, "x"), Errno::ENOENT);
    assert_eq!(errno(f.rename_ns(&a, None, Ns::new(1))), Errno::EINVAL);
    f.hide().unwrap();
    assert_eq!(refused(&f, &a, "x"), Errno::ENOENT);
    f.show().unwrap();
    c.remove().unwrap();
    assert_eq!(refused(&c, &a, "x"), Errno::ENOENT);
    assert_eq!(refused(&f, &c, "x"), Errno::ENOENT);
    assert_eq!(names(&root), ["a", "empty", "f"]);
    assert_eq!(names(&a), ["b"]);

    let root = Root::with_flags(RootFlags::INVARIANT_PARENT);
    let (a, b) = (
        root.create_dir("a", 0o755).unwrap(),
        root.create_dir("b", 0o755).unwrap(),
    );
    assert_eq!(errno(a.rename(&b, "a")), Errno::EINVAL);
    a.rename(&root, "c").unwrap();
}

#[test]
fn open_files_and_links_follow() {
    let root = Root::new();
    let a = root.create_dir("a", 0o755).unwrap();
    let b = root.create_dir("b", 0o755).unwrap();
    let (ops, log) = Checked::new();
    let f = a.create_file("f", 0o644, 0, ops).unwrap();
    let link = root.create_link("l", &f).unwrap();
    let open = f.open(OpenFlags::RDWR).unwrap();
    assert_eq!(link.readlink().unwrap(), b"a/f");
    f.rename(&b, "g").unwrap();
    assert_eq!(link.readlink().unwrap(), b"b/g");
    link.rename(&b, "m").unwrap();
    assert_eq!(link.readlink().unwrap(), b"g");
    b.rename(&a, "b").unwrap();
    assert_eq!(text(&open), "0\n");
    a.remove().unwrap();
    log.poison();
    assert_eq!(errno(open.read_at(&mut [0; 4], 0)), Errno::ENODEV);
    drop(open);
    assert_eq!(log.get(|l| &l.faults), 0);
}

#[test]
fn a_rename_from_inside_a_callback_waits_for_nobody() {
    use kernfs::{Cx, Has, Ops, Result};
    use std::sync::{Arc, OnceLock};
    struct Mover(Arc<OnceLock<(Node, Dir)>>);
    impl Ops for Mover {
        const HAS: Has = Has::WRITE;
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn write(&self, cx: &mut Cx<'_>, _: &(), name: &[u8], _: u64) -> Result<usize> {
            let (node, dir) = self.0.get().unwrap();
            node.rename(dir, name)?;
            assert_eq!(cx.name(), name);
            Ok(name.len())
        }
    }
    let root = Root::new();
    let a = root.create_dir("a", 0o755).unwrap();
    let own = Arc::new(OnceLock::new());
    let file = root
        .create_file("f", 0o200, 0, Mover(Arc::clone(&own)))
        .unwrap();
    own.set((file.clone().into(), a)).unwrap();
    let open = file.open(OpenFlags::WRITE).unwrap();
    open.write_at(b"g", 0).unwrap();
    assert_eq!(file.path(), b"/a/g");
    assert_eq!(errno(open.write_at(b"h/i", 0)), Errno::EINVAL);
}

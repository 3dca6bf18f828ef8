//! Making nodes, finding them, names and paths.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use common::{Checked, errno};
use kernfs::{Errno, Kind, Root, RootFlags, ro};

#[test]
fn what_is_made_is_found() {
    let root = Root::new();
    let a = root.create_dir("a", 0o755).unwrap();
    let b = a.create_dir("b", 0o700).unwrap();
    let f = b.attr("f", ro(|| 1)).unwrap();
    let l = a.create_link("l", &f).unwrap();

    assert_eq!(root.find("a"), Some(a.clone().into()));
    assert_eq!(root.find("b"), None);
    assert_eq!(f.find_in_parent(), Some(f.clone().into()));
    assert_eq!(root.walk("a/b/f"), Some(f.clone().into()));
    assert_eq!(root.walk("//a///b/"), Some(b.clone().into()));
    assert_eq!(root.walk(""), Some(root.dir().into()));
    for missing in ["a/x", "a/b/f/x", "./a", "a/../a", "a/l/x", "a\0"] {
        assert_eq!(root.walk(missing), None, "{missing}");
    }
    assert_eq!(
        (a.kind(), f.kind(), l.kind()),
        (Kind::Dir, Kind::File, Kind::Link)
    );
    assert!(a.as_dir().is_some() && a.as_file().is_none() && a.as_link().is_none());
    assert_eq!(b.parent(), Some(a));
    assert_eq!(root.parent(), None);
    assert_eq!(l.target(), Some(f.into()));
}

trait FindInParent {
    fn find_in_parent(&self) -> Option<kernfs::Node>;
}

impl FindInParent for kernfs::File {
    fn find_in_parent(&self) -> Option<kernfs::Node> {
        self.parent()?.find(self.name())
    }
}

#[test]
fn ids_start_at_one_and_are_never_used_again() {
    let root = Root::new();
    assert_eq!(root.id(), 1);
    let first = root.create_dir("d", 0o755).unwrap();
    first.remove().unwrap();
    let second = root.create_dir("d", 0o755).unwrap();
    assert!(second.id() > first.id());
    assert_ne!(first, second);
}

#[test]
fn bad_arguments_change_nothing() {
    let root = Root::new();
    let long = [b'x'; 4096];
    for (name, expected) in [
        (&b""[..], Errno::EINVAL),
        (b".", Errno::EINVAL),
        (b"..", Errno::EINVAL),
        (b"/", Errno::EINVAL),
        (b"a/b", Errno::EINVAL),
        (b"a\0", Errno::EINVAL),
        (&long, Errno::ENAMETOOLONG),
    ] {
        assert_eq!(errno(root.create_dir(name, 0o755)), expected);
        assert_eq!(errno(root.attr(name, ro(|| 1))), expected);
        assert_eq!(errno(root.remove_by_name(name)), Errno::ENOENT);
        assert_eq!(root.find(name), None);
    }
    assert_eq!(errno(root.create_dir("d", 0o10_000)), Errno::EINVAL);
    let (ops, log) = Checked::new();
    let too_large = root.create_file("f", 0o644, 1 << 63, ops);
    assert_eq!(errno(too_large), Errno::EINVAL);
    assert_eq!(
        log.get(|l| &l.alive),
        0,
        "the callbacks of a failed creation are dropped"
    );
    assert_eq!(root.entries().count(), 0);
    assert_eq!(root.stat().nlink, 2);
    assert_eq!(root.stats().nodes, 1);
}

#[test]
fn any_other_bytes_are_a_name() {
    let root = Root::new();
    for name in [&b"..."[..], b"\xff\n", b" ", &[b'y'; 4095]] {
        let dir = root.create_dir(name, 0o755).unwrap();
        assert_eq!(dir.name(), name);
        assert_eq!(root.find(name), Some(dir.into()));
    }
}

#[test]
fn a_name_is_taken_once() {
    let root = Root::new();
    let (ops, log) = Checked::new();
    root.create_file("x", 0o644, 0, ops).unwrap();
    let (ops, second) = Checked::new();
    assert_eq!(errno(root.create_file("x", 0o644, 0, ops)), Errno::EEXIST);
    assert_eq!(errno(root.create_dir("x", 0o755)), Errno::EEXIST);
    assert_eq!(second.alive.load(SeqCst), 0);
    assert_eq!(log.alive.load(SeqCst), 1);
}

#[test]
fn paths() {
    let root = Root::new();
    let dir = |path: &str| {
        let mut at = root.dir();
        for name in path.split('/') {
            at = match at.find(name) {
                Some(node) => node.as_dir().unwrap(),
                None => at.create_dir(name, 0o755).unwrap(),
            };
        }
        at
    };
    let from = dir("a/b/c/d/e");
    let to = dir("a/b/e");
    assert_eq!(root.path(), b"/");
    assert_eq!(from.path(), b"/a/b/c/d/e");
    assert_eq!(to.path_from(&dir("a/b/c/d")).unwrap(), b"/../../e");
    assert_eq!(dir("a/b/c").path_from(&from).unwrap(), b"/../..");
    assert_eq!(from.path_from(&root).unwrap(), b"/a/b/c/d/e");
    assert_eq!(root.path_from(&dir("a")).unwrap(), b"/..");
    assert_eq!(from.path_from(&from).unwrap(), b"/");
    assert_eq!(errno(from.path_from(&Root::new())), Errno::EINVAL);
    // Longer than PATH_MAX, and not cut.
    let long = from.create_dir([b'n'; 4095], 0o755).unwrap();
    let longer = long.create_dir([b'm'; 4095], 0o755).unwrap();
    assert_eq!(longer.path().len(), b"/a/b/c/d/e".len() + 2 * 4096);
    assert_eq!(from.to_string(), "/a/b/c/d/e");
    // A removed node still says where it was.
    dir("a").remove().unwrap();
    assert_eq!(from.path(), b"/a/b/c/d/e");
}

#[test]
fn the_text_of_a_link_leads_to_its_target() {
    let root = Root::new();
    let a = root.create_dir("a", 0o755).unwrap();
    let b = a.create_dir("b", 0o755).unwrap();
    let t = root.create_dir("t", 0o755).unwrap();
    let text = |dir: &kernfs::Dir, name: &str, target: &kernfs::Node| {
        let link = dir.create_link(name, target).unwrap();
        String::from_utf8(link.readlink().unwrap()).unwrap()
    };
    assert_eq!(text(&root, "l", &t), "t");
    assert_eq!(text(&root, "m", &b), "a/b");
    assert_eq!(text(&a, "l", &t), "../t");
    assert_eq!(text(&b, "l", &t), "../../t");
    assert_eq!(text(&a, "m", &b), "b");
    assert_eq!(text(&a, "up", &a), "../a");
    assert_eq!(text(&b, "own", &b), "../b");

    assert_eq!(errno(a.create_link("x", &root)), Errno::EINVAL);
    assert_eq!(errno(Root::new().create_link("x", &a)), Errno::EINVAL);
    // A link does not keep its target in the tree; the text stays what it was.
    t.remove().unwrap();
    let link = a.find("l").and_then(|n| n.as_link()).unwrap();
    assert_eq!(link.readlink().unwrap(), b"../t");
    assert_eq!(errno(a.create_link("x", &t)), Errno::ENOENT);

    let deep = (0..2).fold(root.dir(), |d, _| {
        d.create_dir([b'x'; 3000], 0o755).unwrap()
    });
    let link = root.create_link("deep", &deep).unwrap();
    assert_eq!(errno(link.readlink()), Errno::ENAMETOOLONG);
}

#[test]
fn stat() {
    let root = Root::with_flags(RootFlags::NONE);
    let dir = root.create_dir("d", 0o750).unwrap();
    let attr = dir.attr("a", ro(|| 1)).unwrap();
    let link = dir.create_link("l", &attr).unwrap();
    dir.create_dir("e", 0o755).unwrap();
    let sub = dir.create_dir("f", 0o755).unwrap();
    let brief = |node: &kernfs::Node| {
        let stat = node.stat();
        assert_eq!(
            (stat.id, stat.kind, stat.mode),
            (node.id(), node.kind(), node.mode())
        );
        assert!(!stat.ctime.is_zero());
        (stat.mode, stat.nlink, stat.size)
    };
    assert_eq!(brief(&root), (0o555, 3, 0));
    assert_eq!(brief(&dir), (0o750, 4, 0));
    assert_eq!(brief(&attr), (0o444, 1, 4096));
    assert_eq!(brief(&link), (0o777, 1, 0));
    sub.remove().unwrap();
    assert_eq!(brief(&dir), (0o750, 3, 0));
    assert_eq!(brief(&sub), (0o755, 0, 0));
}

#[test]
fn nothing_is_added_to_a_removed_directory() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    let sub = dir.create_dir("s", 0o755).unwrap();
    dir.remove().unwrap();
    for dead in [dir, sub] {
        assert_eq!(errno(dead.create_dir("x", 0o755)), Errno::ENOENT);
        assert_eq!(errno(dead.remove_by_name("x")), Errno::ENOENT);
        assert_eq!(dead.find("s"), None);
        assert!(!dead.is_active());
    }
    root.create_dir("d", 0o755).unwrap();
}

#[test]
fn lookups_run_beside_changes() {
    let root = Root::new();
    let stays = root.create_dir("stays", 0o755).unwrap();
    let leaf = stays.create_dir("leaf", 0o755).unwrap();
    std::thread::scope(|s| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                s.spawn(|| {
                    for _ in 0..20_000 {
                        assert_eq!(root.walk("stays/leaf"), Some(leaf.clone().into()));
                        assert_eq!(leaf.path(), b"/stays/leaf");
                        if let Some(node) = root.walk("comes/and/goes") {
                            assert_eq!(node.path(), b"/comes/and/goes");
                        }
                    }
                })
            })
            .collect();
        while readers.iter().any(|r| !r.is_finished()) {
            let comes = root.create_dir("comes", 0o755).unwrap();
            let and = comes.create_dir("and", 0o755).unwrap();
            and.create_dir("goes", 0o755).unwrap();
            comes.remove().unwrap();
        }
    });
    assert!(root.find("comes").is_none());
}

#[test]
fn one_object_may_serve_many_files() {
    let root = Root::new();
    let (ops, log) = Checked::new();
    let ops = Arc::new(ops);
    for name in ["a", "b"] {
        let file = root.create_file(name, 0o644, 0, Arc::clone(&ops)).unwrap();
        drop(file.open(kernfs::OpenFlags::READ).unwrap());
    }
    drop(ops);
    assert_eq!(log.get(|l| &l.releases), 2);
    root.destroy().unwrap();
    assert_eq!(log.get(|l| &l.alive), 0);
}

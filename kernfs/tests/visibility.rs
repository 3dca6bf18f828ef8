//! Activation, hiding and showing, name spaces, finding by id.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Checked, Sets, errno, file, rounds, text};
use kernfs::{Creation, Dir, Errno, Ns, OpenFlags, PollFlags, Root, RootFlags, Watch, ro};

fn names(dir: &Dir, ns: Option<Ns>) -> Vec<String> {
    let entries = dir.entries_ns(ns);
    let mut names: Vec<String> = entries
        .map(|e| String::from_utf8(e.name).unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_is_usable_before_it_is_activated() {
    let root = Root::with_flags(RootFlags::CREATE_DEACTIVATED);
    assert!(!root.is_active());
    let a = root.create_dir("a", 0o755).unwrap();
    let f = a.attr("f", ro(|| 1)).unwrap();
    let g = a.attr("g", ro(|| 1)).unwrap();
    g.hide().unwrap();
    let l = a.create_link("l", &f).unwrap();
    assert_eq!(names(&root, None), [""; 0]);
    assert_eq!(root.find("a"), Some(a.clone().into()), "owners find it");
    assert_eq!(root.find_by_id(a.id()), None);
    assert_eq!(errno(f.open(OpenFlags::READ)), Errno::ENODEV);
    assert_eq!(errno(root.create_dir("a", 0o755)), Errno::EEXIST);
    assert_eq!(errno(a.rename(&root, "b")), Errno::ENOENT);
    f.show().unwrap();
    assert!(!f.is_active(), "showing does not activate");

    root.activate();
    assert!([&*root, &*a, &*f, &*l].iter().all(|node| node.is_active()));
    assert!(!g.is_active() && g.is_hidden(), "what was hidden stays so");
    assert_eq!(names(&a, None), ["f", "l"]);
    assert_eq!(text(&f.open(OpenFlags::READ).unwrap()), "1\n");
    g.show().unwrap();
    assert!(g.is_active());
    root.activate();

    // A failed build goes without anybody having seen it.
    let b = root.create_dir("b", 0o755).unwrap();
    b.attr("f", ro(|| 1)).unwrap();
    b.remove().unwrap();
    b.activate();
    assert!(!b.is_active() && root.find("b").is_none());
}

/// S14: a sub-tree is built while others scan: a listing that finds its top finds all of it.
#[test]
fn a_half_activated_tree_was_listed() {
    let root = Root::with_flags(RootFlags::CREATE_DEACTIVATED);
    root.activate();
    let (removing, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|s| {
        let _done = Sets(&done);
        s.spawn(|| {
            while !done.load(SeqCst) {
                for entry in root.entries() {
                    // By now another one may have the name, which was not listed.
                    let found = root.find(&entry.name).filter(|n| n.id() == entry.id);
                    let Some(dir) = found.and_then(|n| n.as_dir()) else {
                        continue;
                    };
                    let listed = dir.entries().count();
                    // Whole, or its removal has begun.
                    let gone = removing.load(SeqCst) == dir.id() || !dir.is_active();
                    assert!(listed == 5 || gone, "{listed} of 5");
                }
            }
        });
        let mut turn = 0;
        while turn < rounds(300) {
            let top = root.create_dir("top", 0o755).unwrap();
            for n in 0..5 {
                top.attr(format!("{n}"), ro(|| 1)).unwrap();
            }
            if turn % 3 != 0 {
                top.activate();
                thread::yield_now();
            }
            removing.store(top.id(), SeqCst);
            top.remove().unwrap();
            turn += 1;
        }
    });
}

/// R3: after hide and show an old open file used what its release had freed (CVE-2025-39881).
#[test]
fn an_open_file_came_back_to_life_after_its_release() {
    let root = Root::new();
    let (ops, log) = Checked::new();
    let f = root.create_file("f", 0o644, 0, ops).unwrap();
    let id = f.id();
    let revision = root.revision();
    let old = f.open(OpenFlags::RDWR).unwrap();
    assert_eq!(text(&old), "0\n");
    f.hide().unwrap();
    assert_eq!(log.get(|l| &l.releases), 1);
    assert!(f.is_hidden() && !f.is_active());
    assert_eq!(names(&root, None), [""; 0]);
    assert_eq!(root.find_by_id(id), None);
    assert_eq!(errno(f.open(OpenFlags::READ)), Errno::ENODEV);
    assert_eq!(errno(root.create_dir("f", 0o755)), Errno::EEXIST);
    f.hide().unwrap();
    f.show().unwrap();
    f.show().unwrap();
    assert_eq!((f.id(), root.revision()), (id, revision));
    assert_eq!(errno(old.read_at(&mut [0; 4], 0)), Errno::ENODEV);
    assert_eq!(errno(old.write_at(b"x", 0)), Errno::ENODEV);
    assert_eq!(errno(old.wait_event(None)), Errno::ENODEV);
    assert_eq!(old.poll(), PollFlags::DEAD);
    let new = f.open(OpenFlags::RDWR).unwrap();
    assert_eq!(text(&new), "0\n");
    drop((old, new));
    assert_eq!((log.get(|l| &l.opens), log.get(|l| &l.releases)), (2, 2));
    assert_eq!(log.get(|l| &l.faults), 0);

    // A directory has nothing to hide.
    assert_eq!(errno(root.hide()), Errno::EINVAL);
    assert_eq!(errno(root.show()), Errno::EINVAL);
    f.remove().unwrap();
    f.show().unwrap();
    assert!(!f.is_active(), "it never comes back");
}

#[test]
fn a_file_without_release_lives_on_for_old_openers() {
    let root = Root::new();
    let f = root.attr("f", ro(|| 1)).unwrap();
    let open = f.open(OpenFlags::READ).unwrap();
    f.hide().unwrap();
    assert_eq!(errno(open.read_at(&mut [0; 4], 0)), Errno::ENODEV);
    f.show().unwrap();
    assert_eq!(text(&open), "1\n");
}

/// S5: hide and show against open, poll, read: nothing runs while it is hidden, released files stay dead.
#[test]
fn a_callback_ran_in_a_hidden_file() {
    let root = Root::new();
    let (ops, log) = Checked::new();
    let f = root.create_file("f", 0o644, 0, ops).unwrap();
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    thread::scope(|s| {
        let _done = Sets(&done);
        let user = || {
            while !done.load(SeqCst) {
                let Ok(open) = f.open(OpenFlags::RDWR) else {
                    thread::yield_now();
                    continue;
                };
                let mut dead = false;
                for _ in 0..5 {
                    let read = open.read_at(&mut [0; 8], 0);
                    assert!(!dead || read.is_err(), "a dead file came back");
                    dead = read.is_err();
                    assert!(!dead || open.poll() == PollFlags::DEAD);
                    reads.fetch_add(1, SeqCst);
                }
            }
        };
        let users = [s.spawn(user), s.spawn(user)];
        for _ in 0..rounds(200) {
            f.hide().unwrap();
            log.poison();
            thread::yield_now();
            log.poisoned.store(false, SeqCst);
            f.show().unwrap();
            thread::yield_now();
        }
        while reads.load(SeqCst) < 10 && !users.iter().any(|user| user.is_finished()) {
            thread::yield_now();
        }
    });
    assert_eq!(log.get(|l| &l.faults), 0);
    assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases));
    assert!(f.is_active());
}

/// Several threads hide, show and remove one file: all return, and the last word counts.
#[test]
fn hiding_waited_for_a_node_that_was_shown_again() {
    for _ in 0..rounds(30) {
        let root = Root::new();
        let (ops, log) = Checked::new();
        let f = root.create_file("f", 0o644, 0, ops).unwrap();
        thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| (0..20).for_each(|_| f.hide().unwrap()));
                s.spawn(|| (0..20).for_each(|_| f.show().unwrap()));
                s.spawn(|| {
                    for _ in 0..20 {
                        let _ = f
                            .open(OpenFlags::READ)
                            .map(|open| open.read_at(&mut [0; 8], 0));
                    }
                });
            }
        });
        f.show().unwrap();
        assert!(f.is_active());
        f.hide().unwrap();
        assert!(!f.is_active());
        thread::scope(|s| {
            s.spawn(|| f.show().unwrap());
            s.spawn(|| f.hide().unwrap());
            f.remove().unwrap();
        });
        assert!(!f.is_active());
        assert_eq!(log.get(|l| &l.faults), 0);
        assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases));
    }
}

/// A node that is shown while it is being hidden is opened when that has drained it, by whoever hides it.
#[test]
fn a_node_was_opened_under_the_drain() {
    let root = Root::new();
    let (inside, go) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (entered, leave) = (Arc::clone(&inside), Arc::clone(&go));
    let show = move || {
        entered.store(true, SeqCst);
        while !leave.load(SeqCst) {
            thread::yield_now();
        }
        1
    };
    let f = root.attr("f", ro(show)).unwrap();
    thread::scope(|s| {
        let _go = Sets(&go);
        s.spawn(|| text(&f.open(OpenFlags::READ).unwrap()));
        while !inside.load(SeqCst) {
            thread::yield_now();
        }
        s.spawn(|| {
            f.hide().unwrap();
            assert!(go.load(SeqCst), "it did not wait");
        });
        while f.is_active() {
            thread::yield_now();
        }
        f.show().unwrap();
        f.activate();
        assert!(!f.is_active() && !f.is_hidden());
        assert_eq!(errno(f.open(OpenFlags::READ)), Errno::ENODEV);
    });
    assert!(f.is_active());
}

struct Order(Mutex<Vec<String>>);

impl Watch for Order {
    fn added(&self, _: u64, name: &[u8]) {
        let mut told = self.0.lock().unwrap();
        told.push(format!("+{}", name.escape_ascii()));
    }
    fn removed(&self, _: u64, name: &[u8], _: u64) {
        let mut told = self.0.lock().unwrap();
        told.push(format!("-{}", name.escape_ascii()));
    }
    fn notified(&self, _: u64) {}
}

/// S14: a directory is opened when all that is in it is. And whoever listens hears of it, in that order, as of what is
/// hidden, shown and renamed.
#[test]
fn a_directory_was_opened_before_what_is_in_it() {
    let root = Root::with_flags(RootFlags::CREATE_DEACTIVATED);
    let order = Arc::new(Order(Mutex::default()));
    let told = || order.0.lock().unwrap().drain(..).collect::<Vec<_>>();
    let _watching = root.watch(Arc::clone(&order) as Arc<dyn Watch>).unwrap();
    let a = root.create_dir("a", 0o755).unwrap();
    let b = a.create_dir("b", 0o755).unwrap();
    let f = b.attr("f", ro(|| 1)).unwrap();
    told();
    root.activate();
    assert_eq!(told(), ["+f", "+b", "+a"]);
    root.activate();
    f.show().unwrap();
    assert_eq!(told(), [""; 0]);
    f.hide().unwrap();
    f.hide().unwrap();
    f.show().unwrap();
    f.rename(&a, "g").unwrap();
    f.rename(&a, "g").unwrap();
    assert_eq!(told(), ["-f", "+f", "-f", "+g"]);
    a.remove().unwrap();
    assert_eq!(told().last().map(String::as_str), Some("-a"));
}

/// R12, R17: nobody is told with a lock held. A listener that looks and changes the tree itself would wait for itself.
#[test]
fn a_listener_was_called_with_a_lock_held() {
    struct Busy(Mutex<Option<Root>>);
    impl Busy {
        fn work(&self) {
            // Not inside of itself.
            let Some(root) = self.0.try_lock().ok().and_then(|mut r| r.take()) else {
                return;
            };
            let dir = root.create_dir("from the listener", 0o755).unwrap();
            let f = dir.attr("f", ro(|| 1)).unwrap();
            f.hide().unwrap();
            f.show().unwrap();
            f.rename(&root, "g").unwrap();
            f.remove().unwrap();
            dir.remove().unwrap();
            *self.0.lock().unwrap() = Some(root);
        }
    }
    impl Watch for Busy {
        fn added(&self, _: u64, _: &[u8]) {
            self.work();
        }
        fn removed(&self, _: u64, _: &[u8], _: u64) {
            self.work();
        }
        fn notified(&self, _: u64) {
            self.work();
        }
    }
    let root = Root::new();
    let busy = Arc::new(Busy(Mutex::new(Some(root.clone()))));
    let watching = root.watch(Arc::clone(&busy) as Arc<dyn Watch>).unwrap();
    let d = root.create_dir("d", 0o755).unwrap();
    let f = d.attr("f", ro(|| 1)).unwrap();
    f.notify();
    f.rename(&root, "x").unwrap();
    f.hide().unwrap();
    f.show().unwrap();
    f.remove().unwrap();
    d.remove().unwrap();
    watching.flush();
    assert_eq!(names(&root, None), [""; 0]);
    assert!(busy.0.lock().unwrap().is_some());
    busy.0.lock().unwrap().take();
}

/// S15: the same names with different tags.
#[test]
fn a_name_space_saw_what_belongs_to_another() {
    let root = Root::new();
    let net = root.create_dir("net", 0o755).unwrap();
    net.enable_ns().unwrap();
    let (one, two) = (Ns::new(1).unwrap(), Ns::new(2).unwrap());
    let make = |name: &str, ns| net.create_dir_with(name, 0o755, Creation::new().ns(ns));
    let a = make("eth0", one).unwrap();
    let b = make("eth0", two).unwrap();
    let only = make("lo", two).unwrap();
    assert_eq!(errno(make("eth0", one)), Errno::EEXIST);
    assert_eq!(errno(net.create_dir("eth0", 0o755)), Errno::EINVAL);
    assert_eq!(
        errno(root.create_dir_with("x", 0o755, Creation::new().ns(one))),
        Errno::EINVAL
    );
    assert_eq!(errno(net.enable_ns()), Errno::EINVAL, "it has entries");

    assert_eq!((a.ns(), b.ns(), net.ns()), (Some(one), Some(two), None));
    assert_eq!(net.find_ns("eth0", Some(one)), Some(a.clone().into()));
    assert_eq!(net.find_ns("eth0", Some(two)), Some(b.clone().into()));
    assert_eq!(net.find_ns("lo", Some(one)), None);
    assert_eq!(net.find("lo"), None);
    assert_eq!(
        root.find_ns("net", Some(one)),
        None,
        "a tag where there are none"
    );
    assert_eq!(
        (names(&net, Some(one)), names(&net, Some(two))),
        (vec!["eth0".into()], vec!["eth0".into(), "lo".into()])
    );
    assert_eq!(names(&net, None), [""; 0]);
    assert_eq!(names(&root, Some(one)), ["net"]);

    // Below, there are no tags.
    b.attr("mtu", ro(|| 1500)).unwrap();
    assert_eq!(
        root.walk_ns("net/eth0/mtu", Some(two)).unwrap().path(),
        b"/net/eth0/mtu"
    );
    assert_eq!(root.walk_ns("net/eth0/mtu", Some(one)), None);
    assert_eq!(root.walk("net/eth0"), None);

    // A link is in the name space of its target, where there are some.
    assert_eq!(net.create_link("l", &only).unwrap().ns(), Some(two));
    assert_eq!(errno(net.create_link("m", &net)), Errno::EINVAL);
    assert_eq!(root.create_link("l", &only).unwrap().ns(), None);

    // Moved to the other one.
    assert_eq!(errno(b.rename_ns(&net, None, Some(one))), Errno::EEXIST);
    assert_eq!(errno(b.rename_ns(&net, None, None)), Errno::EINVAL);
    a.rename_ns(&net, Some(b"eth1"), Some(two)).unwrap();
    assert_eq!(names(&net, Some(two)), ["eth0", "eth1", "l", "lo"]);
    b.rename(&net, "eth2").unwrap();
    assert_eq!(net.find_ns("eth2", Some(two)), Some(b.clone().into()));
    assert_eq!(
        errno(net.remove_by_name_ns("eth2", Some(one))),
        Errno::ENOENT
    );
    net.remove_by_name_ns("eth2", Some(two)).unwrap();
    assert!(!b.is_active());
    net.remove().unwrap();
    assert!(!a.is_active() && !only.is_active());
}

#[test]
fn handles_of_a_root_that_exports() {
    let root = Root::with_flags(RootFlags::SUPPORT_EXPORTOP);
    let dir = root.create_dir("d", 0o755).unwrap();
    let handle = dir.handle().unwrap();
    assert_eq!(handle, dir.id().to_ne_bytes());
    assert_eq!(root.by_handle(handle).unwrap(), dir.clone().into());
    assert_eq!(
        root.by_handle(root.handle().unwrap()).unwrap(),
        root.dir().into()
    );
    dir.remove().unwrap();
    for stale in [handle, [0; 8], [0xff; 8], 77_u64.to_ne_bytes()] {
        assert_eq!(errno(root.by_handle(stale)), Errno::ESTALE);
    }
    let root = Root::new();
    assert_eq!(errno(root.handle()), Errno::EOPNOTSUPP);
    assert_eq!(errno(root.by_handle(handle)), Errno::EOPNOTSUPP);
}

/// R11, S11, R21: lookups by id against creation and removal found dead or other nodes. The low half of an id comes
/// again here after 1024 others.
#[test]
fn a_lookup_by_id_found_another_node() {
    let root = Root::new();
    let (last, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let found = AtomicU64::new(0);
    thread::scope(|s| {
        let _done = Sets(&done);
        let looks = || {
            while !done.load(SeqCst) {
                let id = last.load(SeqCst);
                if let Some(node) = root.find_by_id(id) {
                    assert_eq!(node.id(), id);
                    found.fetch_add(1, SeqCst);
                }
                // Another generation of the same number.
                for other in [id.wrapping_add(1 << 32), id.wrapping_sub(1 << 32)] {
                    if let Some(node) = root.find_by_id(other) {
                        assert_eq!(node.id(), other);
                    }
                }
            }
        };
        let readers = [s.spawn(looks), s.spawn(looks)];
        let mut seen = std::collections::HashSet::new();
        for n in 0..rounds(6000) {
            let dir = root.create_dir("d", 0o755).unwrap();
            assert!(seen.insert(dir.id()), "an id came again");
            last.store(dir.id(), SeqCst);
            let before = found.load(SeqCst);
            while n.is_multiple_of(500)
                && found.load(SeqCst) == before
                && !readers.iter().any(|reader| reader.is_finished())
            {
                thread::yield_now();
            }
            dir.remove().unwrap();
            assert_eq!(root.find_by_id(dir.id()), None);
        }
        let low = seen.iter().map(|id| id & 0xffff_ffff).max().unwrap();
        assert!(low < 3000, "numbers come again: {low}");
    });
}

#[test]
fn a_hidden_link_is_not_found_and_its_target_is() {
    let root = Root::new();
    let f = root.attr("f", ro(|| 1)).unwrap();
    let l = root.create_link("l", &f).unwrap();
    l.hide().unwrap();
    assert_eq!(names(&root, None), ["f"]);
    assert_eq!(file(root.find("f")), f);
    l.show().unwrap();
    assert_eq!(names(&root, None), ["f", "l"]);
}

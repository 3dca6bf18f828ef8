//! Removal: recursive, draining, from several threads, and from inside a callback.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use common::{Checked, Sets, errno};
use kernfs::{Cx, Errno, Has, Node, OpenFlags, Ops, Result, Root, Seq, ro, wo};

#[test]
fn removal_takes_the_subtree_and_what_it_captured() {
    let root = Root::new();
    let a = root.create_dir("a", 0o755).unwrap();
    let b = a.create_dir("b", 0o755).unwrap();
    let logs: Vec<_> = [&a, &b, &b]
        .iter()
        .enumerate()
        .map(|(n, dir)| {
            let (ops, log) = Checked::new();
            dir.create_file(format!("f{n}"), 0o644, 0, ops).unwrap();
            log
        })
        .collect();
    let keep = root.create_dir("keep", 0o755).unwrap();
    a.remove().unwrap();
    a.remove().unwrap(); // again is fine
    b.remove().unwrap();
    assert!(!a.is_active() && !b.is_active() && keep.is_active());
    assert_eq!(
        root.entries().map(|e| e.name).collect::<Vec<_>>(),
        [b"keep"]
    );
    assert_eq!((a.entries().count(), b.entries().count()), (0, 0));
    assert!(logs.iter().all(|log| log.get(|l| &l.alive) == 0));
}

#[test]
fn removed_nodes_are_freed() {
    let root = Root::new();
    for _ in 0..50 {
        let dir = root.create_dir("d", 0o755).unwrap();
        for n in 0..100 {
            let file = dir.attr(n.to_string(), ro(|| 1)).unwrap();
            root.create_link(format!("l{n}"), &file).unwrap();
        }
        dir.remove().unwrap();
        for n in 0..100 {
            root.remove_by_name(format!("l{n}")).unwrap();
        }
    }
    // What one callback frees may retire more.
    for _ in 0..3 {
        urcu::Memb::barrier();
    }
    assert_eq!(root.stats().nodes, 1);
}

#[test]
fn the_last_handle_of_the_root_removes_everything() {
    let root = Root::new();
    let other = root.clone();
    let (ops, log) = Checked::new();
    let file = root.create_file("f", 0o644, 0, ops).unwrap();
    let open = file.open(OpenFlags::RDWR).unwrap();
    drop(root);
    assert!(file.is_active());
    drop(other);
    assert!(!file.is_active());
    assert_eq!(log.get(|l| &l.releases), 1);
    assert_eq!(errno(open.write_at(b"x", 0)), Errno::ENODEV);
    // The open file keeps what its callbacks captured.
    assert_eq!(log.get(|l| &l.alive), 1);
    drop(open);
    assert_eq!(log.get(|l| &l.alive), 0);
    assert_eq!(log.get(|l| &l.faults), 0);
}

/// A show that waits until it is let go.
struct Slow {
    entered: mpsc::Sender<()>,
    go: Mutex<mpsc::Receiver<()>>,
    ended: Arc<AtomicUsize>,
}

impl Ops for Slow {
    const HAS: Has = Has::SHOW;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn show(&self, _: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        self.entered.send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        self.ended.fetch_add(1, SeqCst);
        Ok(())
    }
}

#[test]
fn every_remover_waits_for_the_callback_that_runs() {
    let root = Root::new();
    let a = root.create_dir("a", 0o755).unwrap();
    let b = a.create_dir("b", 0o755).unwrap();
    let (entered, is_entered) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let ended = Arc::new(AtomicUsize::new(0));
    let ops = Slow {
        entered,
        go: Mutex::new(go),
        ended: Arc::clone(&ended),
    };
    let file = b.create_file("slow", 0o444, 0, ops).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    thread::scope(|s| {
        let let_go = let_go; // dropped if this fails: then the callback ends
        let reader = s.spawn(|| open.read_at(&mut [0; 8], 0));
        is_entered.recv().unwrap();
        // The node itself, and both directories above.
        let nodes: [&Node; 3] = [&a, &b, &file];
        let removers: Vec<_> = nodes
            .into_iter()
            .map(|node| {
                let ended = &ended;
                s.spawn(move || {
                    node.remove().unwrap();
                    ended.load(SeqCst)
                })
            })
            .collect();
        // Removal has begun when the files are closed for new operations.
        while a.is_active() || b.is_active() || file.is_active() {
            thread::yield_now();
        }
        assert_eq!(errno(file.open(OpenFlags::READ)), Errno::ENODEV);
        assert_eq!(errno(b.create_dir("late", 0o755)), Errno::ENOENT);
        assert_eq!(errno(a.create_dir("late", 0o755)), Errno::ENOENT);
        // The name is taken until it is over, but not listed.
        assert_eq!((root.entries().count(), b.entries().count()), (0, 0));
        assert_eq!(errno(root.create_dir("a", 0o755)), Errno::EEXIST);
        assert!(removers.iter().all(|r| !r.is_finished()));
        let_go.send(()).unwrap();
        for remover in removers {
            assert_eq!(remover.join().unwrap(), 1, "returned before the callback");
        }
        reader.join().unwrap().unwrap();
    });
    root.create_dir("a", 0o755).unwrap();
}

#[test]
fn removal_waits_for_an_open_that_runs() {
    struct SlowOpen(
        mpsc::Sender<()>,
        Mutex<mpsc::Receiver<()>>,
        Arc<AtomicUsize>,
    );
    impl Ops for SlowOpen {
        const HAS: Has = Has::SHOW.with(Has::RELEASE);
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            self.0.send(()).unwrap();
            self.1.lock().unwrap().recv().unwrap();
            Ok(())
        }
        fn release(&self, _: &mut Cx<'_>, (): &()) {
            self.2.fetch_add(1, SeqCst);
        }
    }
    let root = Root::new();
    let (entered, is_entered) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let released = Arc::new(AtomicUsize::new(0));
    let ops = SlowOpen(entered, Mutex::new(go), Arc::clone(&released));
    let file = root.create_file("f", 0o444, 0, ops).unwrap();
    thread::scope(|s| {
        let let_go = let_go; // dropped if this fails: then the callback ends
        let opener = s.spawn(|| file.open(OpenFlags::READ));
        is_entered.recv().unwrap();
        let remover = s.spawn(|| {
            file.remove().unwrap();
            released.load(SeqCst)
        });
        while file.is_active() {
            thread::yield_now();
        }
        let_go.send(()).unwrap();
        assert_eq!(remover.join().unwrap(), 1, "released by the drain");
        let open = opener.join().unwrap().unwrap();
        assert_eq!(errno(open.read_at(&mut [0; 8], 0)), Errno::ENODEV);
        drop(open);
        assert_eq!(released.load(SeqCst), 1);
    });
}

#[test]
fn of_many_removers_by_name_one_wins() {
    let root = Root::new();
    for _ in 0..100 {
        let go = Arc::new(AtomicBool::new(false));
        let (entered, is_entered) = mpsc::channel();
        let may_end = Arc::clone(&go);
        let show = ro(move || {
            entered.send(()).unwrap();
            while !may_end.load(SeqCst) {
                thread::yield_now();
            }
            1
        });
        let file = root.attr("x", show).unwrap();
        let open = file.open(OpenFlags::READ).unwrap();
        thread::scope(|s| {
            let go = Sets(&go);
            // While a callback runs the name is there, so that all find it.
            s.spawn(|| open.read_at(&mut [0; 8], 0));
            is_entered.recv().unwrap();
            let removers: Vec<_> = (0..4)
                .map(|_| s.spawn(|| root.remove_by_name("x")))
                .collect();
            while file.is_active() {
                thread::yield_now();
            }
            // Only to let the others come in: the test holds without it.
            (0..5).for_each(|_| thread::yield_now());
            drop(go);
            let results = removers.into_iter().map(|r| r.join().unwrap());
            let wins = results
                .filter(|result| match result {
                    Ok(()) => true,
                    Err(error) => {
                        assert_eq!(error.errno(), Errno::ENOENT);
                        false
                    }
                })
                .count();
            assert_eq!(wins, 1);
        });
        assert!(root.find("x").is_none());
    }
}

#[test]
fn a_callback_that_removes_its_own_node_is_told() {
    let root = Root::new();
    let dir = root.create_dir("dir", 0o755).unwrap();
    let target: Arc<Mutex<Option<Node>>> = Arc::default();
    let wanted = Arc::clone(&target);
    let trigger = dir
        .attr(
            "trigger",
            wo(move |_: u32| wanted.lock().unwrap().clone().unwrap().remove()),
        )
        .unwrap();
    let sibling = dir.attr("sibling", ro(|| 1)).unwrap();
    let open = trigger.open(OpenFlags::WRITE).unwrap();

    for own in [&trigger as &Node, &dir, &root] {
        *target.lock().unwrap() = Some(own.clone());
        let error = open.write_at(b"1", 0).unwrap_err();
        assert_eq!(error.errno(), Errno::EDEADLK);
        let text = error.to_string();
        assert!(text.contains("inside write of /dir/trigger"), "{text}");
        assert!(
            text.matches("remove.rs").count() == 2,
            "both places: {text}"
        );
        assert!(own.is_active() && trigger.is_active() && sibling.is_active());
    }
    // Somebody else's node is fine.
    *target.lock().unwrap() = Some(sibling.clone().into());
    open.write_at(b"1", 0).unwrap();
    assert!(!sibling.is_active() && trigger.is_active());
    // And outside of the callback it works.
    dir.remove().unwrap();
    *target.lock().unwrap() = None;
}

#[test]
fn a_release_that_removes_its_own_node_is_told() {
    struct Selfish(Arc<Mutex<Option<Node>>>, Arc<Mutex<Vec<Errno>>>);
    impl Ops for Selfish {
        const HAS: Has = Has::SHOW.with(Has::RELEASE);
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn release(&self, _: &mut Cx<'_>, (): &()) {
            let node = self.0.lock().unwrap().clone();
            self.1.lock().unwrap().push(errno(node.unwrap().remove()));
        }
    }
    let root = Root::new();
    let (node, errors) = (Arc::default(), Arc::default());
    let ops = Selfish(Arc::clone(&node), Arc::clone(&errors));
    let file = root.create_file("f", 0o444, 0, ops).unwrap();
    *node.lock().unwrap() = Some(file.clone().into());
    drop(file.open(OpenFlags::READ).unwrap());
    let open = file.open(OpenFlags::READ).unwrap();
    file.remove().unwrap();
    drop(open);
    assert_eq!(*errors.lock().unwrap(), [Errno::EDEADLK; 2]);
    *node.lock().unwrap() = None;
}

#[test]
fn overlapping_removers_of_a_busy_tree_all_return() {
    let root = Root::new();
    for _ in 0..200 {
        let a = root.create_dir("a", 0o755).unwrap();
        let b = a.create_dir("b", 0o755).unwrap();
        let c = b.create_dir("c", 0o755).unwrap();
        let (ops, log) = Checked::new();
        let f = c.create_file("f", 0o644, 0, ops).unwrap();
        let open = f.open(OpenFlags::RDWR).unwrap();
        let nodes: [&Node; 4] = [&a, &b, &c, &f];
        thread::scope(|s| {
            s.spawn(|| while open.write_at(b"x", 0).is_ok() {});
            for node in nodes {
                let log = &log;
                s.spawn(move || {
                    node.remove().unwrap();
                    assert_eq!(log.get(|l| &l.releases), 1);
                    log.poison();
                });
            }
        });
        drop(open);
        assert_eq!(log.get(|l| &l.faults), 0);
        assert_eq!(log.get(|l| &l.alive), 0);
    }
    assert_eq!(root.stat().nlink, 2);
}

#[test]
fn the_drop_of_callbacks_may_use_the_tree() {
    struct Nested(Root);
    impl Ops for Nested {
        const HAS: Has = Has::NONE;
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
    }
    impl Drop for Nested {
        fn drop(&mut self) {
            self.0.create_dir("made by a drop", 0o755).unwrap();
            self.0.remove_by_name("other").unwrap();
        }
    }
    let root = Root::new();
    root.create_dir("other", 0o755).unwrap();
    root.create_file("other", 0o444, 0, Nested(root.clone()))
        .unwrap_err();
    assert!(
        root.find("other").is_none(),
        "dropped when the creation failed"
    );
    root.remove_by_name("made by a drop").unwrap();
    root.create_dir("other", 0o755).unwrap();
    let file = root
        .create_file("f", 0o444, 0, Nested(root.clone()))
        .unwrap();
    file.remove().unwrap();
    assert!(root.find("made by a drop").is_some() && root.find("other").is_none());
}

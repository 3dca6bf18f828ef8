//! The invariants of active references, one test each (I1 to I10 of the specification), giving protection up, and
//! removing oneself.

mod common;

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Checked, Random, Sets, errno, rounds, text};
use kernfs::{Cx, Dir, Errno, File, Has, OpenFlags, Ops, Result, Root, ro};

/// A file whose `write` is a closure. Each open file knows whether it was released.
struct Script<F>(F);

#[derive(Default)]
struct Opened {
    released: AtomicBool,
}

impl<F: Fn(&mut Cx<'_>, &Opened) -> Result<()> + Send + Sync + 'static> Ops for Script<F> {
    const HAS: Has = Has::WRITE.with(Has::RELEASE);
    type Open = Opened;
    fn open(&self, _: &mut Cx<'_>) -> Result<Opened> {
        Ok(Opened::default())
    }
    fn write(&self, cx: &mut Cx<'_>, open: &Opened, data: &[u8], _: u64) -> Result<usize> {
        (self.0)(cx, open)?;
        Ok(data.len())
    }
    fn release(&self, _: &mut Cx<'_>, open: &Opened) {
        assert!(!open.released.swap(true, SeqCst), "released twice");
    }
}

fn script(
    dir: &Dir,
    f: impl Fn(&mut Cx<'_>, &Opened) -> Result<()> + Send + Sync + 'static,
) -> File {
    dir.create_file("script", 0o200, 0, Script(f)).unwrap()
}

fn write(file: &File) -> Result<()> {
    file.open(OpenFlags::WRITE)?.write_at(b"x", 0).map(drop)
}

/// A callback that is inside until it is let go.
#[derive(Clone, Default)]
struct Gate(Arc<[AtomicBool; 3]>);

impl Gate {
    fn is(&self, n: usize) -> bool {
        self.0[n].load(SeqCst)
    }
    fn until(&self, n: usize) {
        while !self.is(n) {
            thread::yield_now();
        }
    }
    /// In the callback.
    fn pass(&self) {
        self.0[0].store(true, SeqCst);
        self.until(1);
        self.0[2].store(true, SeqCst);
    }
    /// When the result is dropped the callback is let go: also if the test fails, which then ends.
    #[must_use]
    fn wait_inside(&self) -> Sets<'_> {
        self.until(0);
        Sets(&self.0[1])
    }
    fn is_over(&self) -> bool {
        self.is(2)
    }
    fn file(&self, dir: &Dir) -> File {
        let gate = self.clone();
        script(dir, move |_, _| {
            gate.pass();
            Ok(())
        })
    }
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn i1_nothing_runs_when_removal_or_hiding_has_returned() {
    for hide in [false, true] {
        let (root, gate) = (Root::new(), Gate::default());
        let file = gate.file(&root);
        thread::scope(|s| {
            s.spawn(|| write(&file).unwrap());
            let inside = gate.wait_inside();
            s.spawn(|| {
                if hide { file.hide() } else { file.remove() }.unwrap();
                assert!(gate.is_over());
            });
            until(|| !file.is_active());
            drop(inside);
        });
        assert_eq!(errno(write(&file)), Errno::ENODEV);
    }
}

#[test]
fn i2_what_is_being_removed_never_comes_back() {
    let (root, gate) = (Root::new(), Gate::default());
    let file = gate.file(&root);
    thread::scope(|s| {
        s.spawn(|| write(&file).unwrap());
        let inside = gate.wait_inside();
        s.spawn(|| file.remove().unwrap());
        until(|| !file.is_active());
        for again in [
            |f: &File| f.show(),
            |f: &File| f.hide_later(),
            |f: &File| {
                f.activate();
                Ok(())
            },
        ] {
            again(&file).unwrap();
            assert!(!file.is_active());
            assert_eq!(errno(file.open(OpenFlags::WRITE)), Errno::ENODEV);
        }
        drop(inside);
    });
    file.show().unwrap();
    file.activate();
    assert!(!file.is_active());
}

trait HideLater {
    fn hide_later(&self) -> Result<()>;
}

impl HideLater for File {
    /// Hiding waits for the drain: not on this thread.
    fn hide_later(&self) -> Result<()> {
        let file = self.clone();
        thread::spawn(move || file.hide().and_then(|()| file.show()));
        Ok(())
    }
}

#[test]
fn i3_every_way_out_of_an_operation_gives_its_reference_back() {
    struct Fails;
    impl Ops for Fails {
        const HAS: Has = Has::WRITE.with(Has::READ).with(Has::POLL);
        type Open = ();
        fn open(&self, cx: &mut Cx<'_>) -> Result<()> {
            match cx.flags() {
                OpenFlags::READ => Err(Errno::EBUSY.into()),
                _ => Ok(()),
            }
        }
        fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
            match data {
                b"error" => Err(Errno::EINVAL.into()),
                b"forget" => {
                    mem::forget(cx.break_protection());
                    Ok(1)
                }
                b"twice" => {
                    mem::forget(cx.break_protection());
                    drop(cx.break_protection());
                    Ok(1)
                }
                b"lie" => Ok(1000),
                b"break" => {
                    let _unprotected = cx.break_protection();
                    panic!("as wanted by the test")
                }
                _ => panic!("as wanted by the test"),
            }
        }
    }
    let root = Root::new();
    let file = root.create_file("f", 0o644, 0, Fails).unwrap();
    let ro = root.attr("ro", ro(|| 1)).unwrap();
    assert_eq!(errno(file.open(OpenFlags::READ)), Errno::EBUSY);
    assert_eq!(errno(ro.open(OpenFlags::WRITE)), Errno::EACCES);
    let open = file.open(OpenFlags::RDWR).unwrap();
    for what in ["error", "forget", "twice", "lie", "break", "panic"] {
        let _ = open.write_at(what.as_bytes(), 0);
        assert!(
            format!("{file:?}").contains("Active(0)"),
            "{what}: {file:?}"
        );
    }
    let _ = (open.read_at(&mut [0; 4], 0), open.poll());
    root.remove().unwrap();
}

#[test]
fn i4_of_many_removers_one_puts_the_base_reference() {
    for _ in 0..rounds(100) {
        let root = Root::new();
        let a = root.create_dir("a", 0o755).unwrap();
        let b = a.create_dir("b", 0o755).unwrap();
        let (ops, log) = Checked::new();
        let f = b.create_file("f", 0o644, 0, ops).unwrap();
        let open = f.open(OpenFlags::READ).unwrap();
        let barrier = Barrier::new(4);
        let winners = AtomicUsize::new(0);
        // S2: the same node, its ancestors, by handle and by name.
        let run = |remove: &(dyn Fn() -> Result<()> + Sync)| {
            barrier.wait();
            winners.fetch_add(usize::from(remove().is_ok()), SeqCst);
            assert_eq!(log.get(|l| &l.releases), 1, "returned before the drain");
        };
        thread::scope(|s| {
            s.spawn(|| run(&|| a.remove()));
            s.spawn(|| run(&|| b.remove()));
            s.spawn(|| run(&|| f.remove()));
            run(&|| match b.remove_by_name("f") {
                // It was not found, so this call waited for nobody.
                Err(_) => f.remove(),
                ok => ok,
            });
        });
        assert_eq!(winners.into_inner(), 4);
        log.poison();
        drop((open, a, b, f));
        for _ in 0..3 {
            urcu::Memb::barrier();
        }
        assert_eq!(root.stats().nodes, 1);
        assert_eq!(log.get(|l| &l.faults), 0);
    }
}

/// I5: a node that is freed was drained; an assertion in its drop says so. Here nodes are dropped by whoever is last.
#[test]
fn i5_no_node_is_freed_in_use() {
    for n in 0..rounds(200) {
        let root = Root::new();
        let file = root.attr("f", ro(|| 1)).unwrap();
        let open = file.open(OpenFlags::READ).unwrap();
        thread::scope(|s| {
            s.spawn(move || while open.read_at(&mut [0; 4], 0).is_ok() {});
            if n % 2 == 0 {
                drop(file);
                drop(root);
            } else {
                file.remove().unwrap();
            }
        });
    }
}

#[test]
fn i6_the_whole_subtree_is_closed_before_the_first_drain() {
    let (root, gate) = (Root::new(), Gate::default());
    let top = root.create_dir("top", 0o755).unwrap();
    let dirs: Vec<Dir> = (0..4)
        .map(|n| top.create_dir(n.to_string(), 0o755).unwrap())
        .collect();
    let leaves: Vec<File> = dirs
        .iter()
        .map(|d| d.attr("f", ro(|| 1)).unwrap())
        .collect();
    let busy = gate.file(&dirs[2]);
    thread::scope(|s| {
        s.spawn(|| write(&busy).unwrap());
        let inside = gate.wait_inside();
        s.spawn(|| top.remove().unwrap());
        until(|| !top.is_active());
        for (dir, leaf) in dirs.iter().zip(&leaves) {
            // This takes the lock under which all are closed.
            assert_eq!(errno(dir.create_dir("x", 0o755)), Errno::ENOENT);
            assert!(!dir.is_active() && !leaf.is_active());
            assert_eq!(errno(leaf.open(OpenFlags::READ)), Errno::ENODEV);
            assert_eq!(errno(leaf.rename(&root, "x")), Errno::ENOENT);
            assert_eq!(errno(root.create_link("x", leaf)), Errno::ENOENT);
        }
        // It has not gone yet.
        assert_eq!(errno(root.create_dir("top", 0o755)), Errno::EEXIST);
        drop(inside);
    });
    root.create_dir("top", 0o755).unwrap();
}

#[test]
fn i7_nobody_waits_for_a_callback_with_a_lock_held() {
    let root = Root::new();
    let top = root.create_dir("top", 0o755).unwrap();
    let other = root.create_dir("other", 0o755).unwrap();
    let moved = other.create_dir("moved", 0o755).unwrap();
    let (gate, own) = (Gate::default(), other.clone());
    let inside = gate.clone();
    let file = script(&top, move |cx, _| {
        inside.pass();
        // While the removal waits for this callback the tree can be changed, from here too.
        own.attr("new", ro(|| 1))?;
        moved.rename(&own, "renamed")?;
        own.remove_by_name("renamed")?;
        let node = own.find("new").ok_or(Errno::ENOENT)?;
        node.hide()?;
        node.show()?;
        assert_eq!(cx.name(), b"script");
        Ok(())
    });
    thread::scope(|s| {
        s.spawn(|| write(&file).unwrap());
        let inside = gate.wait_inside();
        s.spawn(|| top.remove().unwrap());
        until(|| !top.is_active());
        let f = other.attr("g", ro(|| 1)).unwrap();
        assert_eq!(text(&f.open(OpenFlags::READ).unwrap()), "1\n");
        f.remove().unwrap();
        drop(inside);
    });
    assert!(other.find("new").is_some());
}

#[test]
fn i8_release_runs_once_and_alone() {
    for _ in 0..rounds(50) {
        let root = Root::new();
        let (ops, log) = Checked::new();
        let f = root.create_file("f", 0o644, 0, ops).unwrap();
        thread::scope(|s| {
            for _ in 0..3 {
                let open = f.open(OpenFlags::RDWR).unwrap();
                let f = &f;
                s.spawn(move || {
                    while open.write_at(b"x", 0).is_ok() {}
                    drop(open);
                    let _ = f.open(OpenFlags::READ);
                });
            }
            thread::yield_now();
            f.remove().unwrap();
            log.poison();
        });
        assert_eq!(log.get(|l| &l.faults), 0);
        assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases));
    }
}

/// I9: the wake-up of the last operation touches the node after the remover may have gone on. The operation keeps it.
#[test]
fn i9_the_remover_may_free_everything_under_the_wake_up() {
    for _ in 0..rounds(300) {
        let root = Root::new();
        let gate = Gate::default();
        let file = gate.file(&root);
        let open = file.open(OpenFlags::WRITE).unwrap();
        let writer = thread::spawn(move || {
            let _ = open.write_at(b"x", 0);
        });
        let inside = gate.wait_inside();
        let remover = thread::spawn(move || {
            file.remove().unwrap();
            drop((file, root));
        });
        drop(inside);
        remover.join().unwrap();
        writer.join().unwrap();
    }
}

/// I10, R8: a reference that is taken back after the drain made an assertion fail.
#[test]
fn i10_a_reference_was_taken_back_after_the_drain() {
    let (root, gate) = (Root::new(), Gate::default());
    let inside = gate.clone();
    let file = script(&root, move |cx, _| {
        let unprotected = cx.break_protection();
        inside.pass();
        drop(unprotected);
        Ok(())
    });
    thread::scope(|s| {
        s.spawn(|| write(&file).unwrap());
        let inside = gate.wait_inside();
        // It does not wait for the callback, which is inside.
        file.remove().unwrap();
        file.remove().unwrap();
        assert!(!gate.is_over());
        drop(inside);
    });
    assert!(format!("{file:?}").contains("Deactivated(0)"));
}

/// R5, R20: what `release` frees under the feet of a callback that gave its protection up must be looked for again.
#[test]
fn a_callback_used_what_its_release_had_freed() {
    let (root, gate) = (Root::new(), Gate::default());
    let inside = gate.clone();
    let file = script(&root, move |cx, open| {
        let _unprotected = cx.break_protection();
        assert!(!open.released.load(SeqCst));
        inside.pass();
        // Released, and still there: what `open` returned lives as long as the call.
        assert!(open.released.load(SeqCst));
        Err(Errno::ENODEV.into())
    });
    thread::scope(|s| {
        s.spawn(|| assert_eq!(errno(write(&file)), Errno::ENODEV));
        let inside = gate.wait_inside();
        file.remove().unwrap();
        drop(inside);
    });
}

/// S18: refused with node, callback and places; all changes undone.
#[test]
fn a_callback_waited_for_itself() {
    let root = Root::new();
    let top = root.create_dir("top", 0o755).unwrap();
    let above = top.clone();
    let file = script(&top, move |_, _| {
        let own = above.find("script").ok_or(Errno::ENOENT)?;
        for error in [
            own.remove().unwrap_err(),
            above.remove().unwrap_err(),
            above.remove_by_name("script").unwrap_err(),
            own.hide().unwrap_err(),
        ] {
            assert_eq!(error.errno(), Errno::EDEADLK);
            let text = error.to_string();
            for part in [
                "/top/script",
                "inside write",
                "tests/invariants.rs:",
                "called at",
            ] {
                assert!(text.contains(part), "{text}");
            }
        }
        assert!(own.is_active() && above.is_active());
        Ok(())
    });
    write(&file).unwrap();

    // With its protection given up it may.
    let dir = root.create_dir("other", 0o755).unwrap();
    let above = dir.clone();
    let file = script(&dir, move |cx, open| {
        let _unprotected = cx.break_protection();
        above.remove()?;
        assert!(open.released.load(SeqCst));
        Ok(())
    });
    write(&file).unwrap();
    assert!(!dir.is_active());
}

#[test]
fn a_callback_removes_its_own_file() {
    let root = Root::new();
    let file = script(&root, |cx, open| {
        assert!(cx.remove_self()?);
        assert!(open.released.load(SeqCst));
        Ok(())
    });
    write(&file).unwrap();
    assert!(!file.is_active() && root.find("script").is_none());
    file.remove().unwrap();
    root.create_dir("script", 0o755).unwrap();

    struct Elsewhere;
    impl Ops for Elsewhere {
        const HAS: Has = Has::RELEASE;
        type Open = ();
        fn open(&self, cx: &mut Cx<'_>) -> Result<()> {
            drop(cx.break_protection()); // nothing
            assert_eq!(errno(cx.remove_self()), Errno::EDEADLK);
            Ok(())
        }
        fn release(&self, cx: &mut Cx<'_>, (): &()) {
            assert_eq!(errno(cx.remove_self()), Errno::EDEADLK);
        }
    }
    let file = root.create_file("f", 0o644, 0, Elsewhere).unwrap();
    drop(file.open(OpenFlags::NONE).unwrap());
    assert!(file.is_active());
}

#[test]
fn removing_oneself_inside_another_callback_of_the_file_is_told() {
    let root = Root::new();
    let outer = Arc::new(AtomicBool::new(true));
    let (first, dir) = (Arc::clone(&outer), root.dir());
    let file = script(&root, move |cx, _| {
        if first.swap(false, SeqCst) {
            let own = dir.find("script").and_then(|n| n.as_file()).unwrap();
            assert_eq!(errno(write(&own)), Errno::EDEADLK);
            assert!(own.is_active());
            return Ok(());
        }
        cx.remove_self().map(drop)
    });
    write(&file).unwrap();
    assert!(file.is_active());
    write(&file).unwrap();
    assert!(!file.is_active());
}

/// S3: several callbacks remove their own file while others remove what it is in.
#[test]
fn a_loser_returned_before_the_winners_callback_had_ended() {
    for n in 0..rounds(150) {
        let root = Root::new();
        let top = root.create_dir("top", 0o755).unwrap();
        let barrier = Arc::new(Barrier::new(3));
        let won = Arc::new(AtomicUsize::new(0));
        // The winner's callback is over when its guard was dropped.
        let over = Arc::new(AtomicBool::new(false));
        let (start, winners, end) = (Arc::clone(&barrier), Arc::clone(&won), Arc::clone(&over));
        let file = script(&top, move |cx, _| {
            start.wait();
            if cx.remove_self()? {
                winners.fetch_add(1, SeqCst);
                thread::yield_now();
                end.store(true, SeqCst);
            } else {
                assert!(end.load(SeqCst), "the winner is still inside");
            }
            Ok(())
        });
        let opens: Vec<_> = (0..3)
            .map(|_| file.open(OpenFlags::WRITE).unwrap())
            .collect();
        thread::scope(|s| {
            for open in &opens {
                s.spawn(move || open.write_at(b"x", 0).unwrap());
            }
            if n % 2 == 0 {
                until(|| won.load(SeqCst) > 0 || !file.is_active());
                top.remove().unwrap();
                assert!(!file.is_active());
            }
        });
        assert_eq!(won.load(SeqCst), 1);
        assert_eq!(errno(file.open(OpenFlags::WRITE)), Errno::ENODEV);
    }
}

/// S4, R8: giving protection up and taking it back, against removal, hiding, showing and removing oneself.
#[test]
fn a_storm_of_broken_protection() {
    for n in 0..rounds(40) {
        let root = Root::new();
        let file = script(&root, move |cx, _| {
            for _ in 0..3 {
                drop(cx.break_protection());
            }
            let unprotected = cx.break_protection();
            thread::yield_now();
            mem::forget(unprotected);
            if n % 2 == 0 && format!("{cx:?}").len() > 10_000 {
                return Err(Errno::EIO.into());
            }
            Ok(())
        });
        let done = AtomicBool::new(false);
        thread::scope(|s| {
            let _done = Sets(&done);
            for seed in 1..3 {
                let (file, done) = (&file, &done);
                s.spawn(move || {
                    let mut random = Random(seed);
                    while !done.load(SeqCst) {
                        match write(file) {
                            Ok(()) => {}
                            Err(error) => assert_eq!(error.errno(), Errno::ENODEV),
                        }
                        if random.below(3) == 0 {
                            thread::yield_now();
                        }
                    }
                });
            }
            for _ in 0..20 {
                file.hide().unwrap();
                file.show().unwrap();
            }
            file.remove().unwrap();
        });
        assert!(format!("{file:?}").contains("Deactivated(0)"), "{file:?}");
    }
}

//! How far others may go, and the counts of what there is.

mod common;

use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use common::errno;
use kernfs::{
    Cx, Dir, Errno, Has, Limits, Node, OpenFlags, Ops, Result, Root, RootFlags, Seq, SyscallCx,
    SyscallOps, ro,
};

/// Users may do all.
struct Users;

impl SyscallOps for Users {
    fn mkdir(&self, _: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        parent.create_dir(name, mode).map(drop)
    }
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        let _unprotected = cx.break_protection();
        dir.remove()
    }
    fn rename(&self, _: &mut SyscallCx<'_>, node: &Node, parent: &Dir, name: &[u8]) -> Result<()> {
        node.rename(parent, name)
    }
}

fn dir(root: &Root, path: &str) -> Dir {
    root.walk(path).and_then(|node| node.as_dir()).unwrap()
}

#[test]
fn users_make_no_more_nodes_than_the_limit() {
    let root = Root::with_ops(RootFlags::NONE, Users);
    root.set_limits(Limits::NONE.nodes(3));
    root.user_mkdir("a", 0o755).unwrap();
    root.user_mkdir("b", 0o755).unwrap();
    assert_eq!(errno(root.user_mkdir("c", 0o755)), Errno::EAGAIN);
    assert_eq!(root.stats().nodes, 3);
    // The process itself is not limited.
    root.create_dir("c", 0o755).unwrap();
    root.set_limits(Limits::NONE);
    root.user_mkdir("d", 0o755).unwrap();
}

#[test]
fn a_loop_of_mkdir_and_rmdir_is_bounded_too() {
    let root = Root::with_ops(RootFlags::NONE, Users);
    root.set_limits(Limits::NONE.nodes(10));
    // Who reads holds back what was removed.
    let guard = urcu::Memb::read_lock();
    let mut refused = 0;
    for _ in 0..100 {
        match root.user_mkdir("a", 0o755) {
            Ok(()) => root
                .walk("a")
                .unwrap()
                .as_dir()
                .unwrap()
                .user_rmdir()
                .unwrap(),
            Err(error) => {
                assert_eq!(error.errno(), Errno::EAGAIN);
                refused += 1;
            }
        }
        assert!(root.stats().nodes <= 10);
    }
    assert!(refused > 0);
    drop(guard);
    urcu::Memb::barrier();
    root.user_mkdir("a", 0o755).unwrap();
}

#[test]
fn users_go_no_deeper_than_the_limit() {
    let root = Root::with_ops(RootFlags::NONE, Users);
    root.set_limits(Limits::NONE.depth(3));
    for path in ["", "a", "a/b"] {
        dir(&root, path)
            .user_mkdir(["a", "b", "c"][path.len().div_ceil(2)], 0o755)
            .unwrap();
    }
    let deepest = dir(&root, "a/b/c");
    assert_eq!(errno(deepest.user_mkdir("d", 0o755)), Errno::EAGAIN);
    // By a rename either: "x/y" has two levels.
    root.create_dir("x", 0o755)
        .unwrap()
        .create_dir("y", 0o755)
        .unwrap();
    let x = root.find("x").unwrap();
    assert_eq!(errno(x.user_rename(&dir(&root, "a/b"), "x")), Errno::EAGAIN);
    x.user_rename(&dir(&root, "a"), "x").unwrap();
    assert!(root.walk("a/x/y").is_some());
    // Files are no levels.
    let file = root.attr("file", ro(|| 1)).unwrap();
    file.user_rename(&deepest, "file").unwrap();
    root.set_limits(Limits::NONE);
    deepest.user_mkdir("d", 0o755).unwrap();
}

/// `open` fails when it is told to.
struct Fails;

impl Ops for Fails {
    const HAS: Has = Has::SHOW;
    type Open = ();
    fn open(&self, cx: &mut Cx<'_>) -> Result<()> {
        match cx.flags().contains(OpenFlags::WRITE) {
            true => Err(Errno::EBUSY.into()),
            false => Ok(()),
        }
    }
    fn show(&self, _: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        Ok(())
    }
}

#[test]
fn each_open_file_is_counted_until_it_is_closed() {
    let root = Root::with_flags(RootFlags::NONE);
    root.set_limits(Limits::NONE.open_files(2));
    let file = root.create_file("fails", 0o644, 0, Fails).unwrap();
    let open = || file.open(OpenFlags::READ);
    for _ in 0..3 {
        assert_eq!(errno(file.open(OpenFlags::WRITE)), Errno::EBUSY);
    }
    assert_eq!(root.stats().open_files, 0);
    let (first, second) = (open().unwrap(), open().unwrap());
    assert_eq!(root.stats().open_files, 2);
    assert_eq!(errno(open()), Errno::ENFILE);
    drop(second);
    let second = open().unwrap();
    // A removed file's is open until it is closed.
    file.remove().unwrap();
    assert_eq!(root.stats().open_files, 2);
    drop((first, second));
    assert_eq!(root.stats().open_files, 0);
}

#[test]
fn who_waits_for_a_callback_is_counted() {
    let root = Root::new();
    let (inside, go) = (mpsc::channel(), mpsc::channel::<()>());
    let (entered, wait) = (inside.0, Mutex::new(go.1));
    let get = move || {
        let _ = entered.send(());
        let _ = wait.lock().map(|wait| wait.recv());
        7
    };
    let file = root.attr("slow", ro(get)).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| open.read_at(&mut [0; 8], 0).unwrap());
        inside.1.recv().unwrap();
        assert_eq!(root.stats().waiting_drains, 0);
        let remover = scope.spawn(|| file.remove().unwrap());
        while root.stats().waiting_drains == 0 {
            thread::yield_now();
        }
        assert!(!file.is_active());
        go.0.send(()).unwrap();
        remover.join().unwrap();
    });
    assert_eq!(root.stats().waiting_drains, 0);
}

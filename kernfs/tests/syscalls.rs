//! mkdir, rmdir and rename of users.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use common::errno;
use kernfs::{Dir, Errno, Node, Result, Root, RootFlags, SyscallCx, SyscallOps};

/// As cgroup does it: a big lock, which whoever removes holds.
#[derive(Clone, Default)]
struct Groups {
    lock: Arc<Mutex<()>>,
    inside: Arc<AtomicBool>,
}

impl SyscallOps for Groups {
    fn mkdir(&self, cx: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        match name {
            b"panic" => panic!("as wanted by the test"),
            b"newline\n" => return Err(Errno::EINVAL.into()),
            b"own" => {
                // With the protection still there it would wait for itself.
                assert_eq!(errno(parent.remove()), Errno::EDEADLK);
                return Err(Errno::EBUSY.into());
            }
            _ => {}
        }
        self.inside.store(true, SeqCst);
        let _unprotected = cx.break_protection();
        let _lock = self.lock.lock().unwrap();
        parent.create_dir(name, mode).map(drop)
    }

    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        if dir.entries().next().is_some() {
            return Err(Errno::EBUSY.into());
        }
        let _unprotected = cx.break_protection();
        let _lock = self.lock.lock().unwrap();
        dir.remove()
    }

    fn rename(&self, cx: &mut SyscallCx<'_>, node: &Node, parent: &Dir, name: &[u8]) -> Result<()> {
        if name == b"both go" {
            let _unprotected = cx.break_protection();
            node.remove()?;
            return parent.remove();
        }
        if name == b"own" {
            assert_eq!(errno(node.remove()), Errno::EDEADLK);
            assert_eq!(errno(parent.remove()), Errno::EDEADLK);
        }
        node.rename(parent, name)
    }
}

#[test]
fn the_owner_decides() {
    let root = Root::with_ops(RootFlags::NONE, Groups::default());
    root.user_mkdir("a", 0o755).unwrap();
    let a = root.find("a").and_then(|n| n.as_dir()).unwrap();
    a.user_mkdir("b", 0o700).unwrap();
    let b = a.find("b").and_then(|n| n.as_dir()).unwrap();
    assert_eq!(b.mode(), 0o700);
    assert_eq!(errno(a.user_mkdir("b", 0o755)), Errno::EEXIST);
    assert_eq!(errno(a.user_mkdir("newline\n", 0o755)), Errno::EINVAL);
    assert_eq!(errno(a.user_mkdir("panic", 0o755)), Errno::EIO);
    assert_eq!(errno(a.user_mkdir("own", 0o755)), Errno::EBUSY);
    assert_eq!(errno(a.user_rmdir()), Errno::EBUSY);
    b.user_rename(&root, "own").unwrap();
    assert_eq!(b.path(), b"/own");
    b.user_rename(&root, "c").unwrap();
    a.user_rmdir().unwrap();
    assert!(!a.is_active());
    assert_eq!(errno(a.user_mkdir("x", 0o755)), Errno::ENODEV);
    assert_eq!(errno(a.user_rmdir()), Errno::ENODEV);
    assert_eq!(errno(b.user_rename(&a, "x")), Errno::ENODEV);
    assert_eq!(errno(a.user_rename(&b, "x")), Errno::ENODEV);

    let d = root.create_dir("d", 0o755).unwrap();
    b.user_rename(&d, "both go").unwrap();
    assert!(!b.is_active() && !d.is_active());
    for node in [&a, &b, &d] {
        assert!(format!("{node:?}").contains("Deactivated(0)"), "{node:?}");
    }
    assert!(format!("{root:?}").contains("Root"));

    let plain = Root::new();
    assert_eq!(errno(plain.user_mkdir("a", 0o755)), Errno::EPERM);
    assert_eq!(errno(plain.user_rmdir()), Errno::EPERM);
    assert_eq!(errno(plain.user_rename(&plain, "a")), Errno::EPERM);
    struct Nothing;
    impl SyscallOps for Nothing {}
    let plain = Root::with_ops(RootFlags::NONE, Nothing);
    assert_eq!(errno(plain.user_mkdir("a", 0o755)), Errno::EPERM);
}

/// R6: somebody who holds the owner's lock removes a directory in which a user makes one and waits for that lock.
#[test]
fn a_removal_under_the_owners_lock_waited_for_who_waited_for_it() {
    let groups = Groups::default();
    let root = Root::with_ops(RootFlags::NONE, groups.clone());
    let a = root.create_dir("a", 0o755).unwrap();
    thread::scope(|s| {
        let lock = groups.lock.lock().unwrap();
        let user = s.spawn(|| a.user_mkdir("b", 0o755));
        while !groups.inside.load(SeqCst) {
            thread::yield_now();
        }
        a.remove().unwrap();
        drop(lock);
        assert_eq!(errno(user.join().unwrap()), Errno::ENOENT);
    });
}

/// Holds its own tree. Its drop waits for itself if a lock is held, and tells of a read section or a reference; then it
/// panics.
#[derive(Default)]
struct Own {
    dir: OnceLock<Dir>,
    drops: Arc<AtomicU32>,
    faults: Arc<AtomicU32>,
}

impl Own {
    fn tree() -> (Root, Dir, Arc<AtomicU32>, Arc<AtomicU32>) {
        // The owner's object gets the directory after the tree is made of it.
        let own = Arc::new(Self::default());
        let (drops, faults) = (Arc::clone(&own.drops), Arc::clone(&own.faults));
        let root = Root::with_ops(RootFlags::NONE, Shared(Arc::clone(&own)));
        let dir = root.create_dir("d", 0o755).unwrap();
        own.dir.set(dir.clone()).unwrap();
        (root, dir, drops, faults)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
        let dir = self.dir.get().unwrap();
        let removed = dir.create_dir("x", 0o755).is_err() && dir.remove().is_ok();
        let set = dir.setattr(&kernfs::SetAttr::default()).is_ok();
        let again = errno(dir.user_mkdir("x", 0o755)) == Errno::ENODEV;
        let unused = format!("{:?}", dir.parent().unwrap()).contains("Deactivated(0)");
        if urcu::Memb::read_lock_held() || !removed || !set || !again || !unused {
            self.faults.fetch_add(1, SeqCst);
        }
        panic!("as wanted by the test");
    }
}

struct Shared(Arc<Own>);

impl SyscallOps for Shared {
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        let _unprotected = cx.break_protection();
        dir.remove()?;
        // Still used.
        assert_eq!(self.0.drops.load(SeqCst), 0);
        Ok(())
    }
}

/// A node holds its tree, the tree held the owner's object, which may hold nodes: nothing of it was ever freed.
#[test]
fn what_the_owner_captured_outlived_the_tree() {
    for last in [true, false] {
        let (root, dir, drops, faults) = Own::tree();
        assert_eq!(drops.load(SeqCst), 0);
        if last {
            drop(root);
        } else {
            root.destroy().unwrap();
        }
        assert_eq!((drops.load(SeqCst), faults.load(SeqCst)), (1, 0));
        assert_eq!(errno(dir.user_mkdir("x", 0o755)), Errno::ENODEV);
        assert_eq!(errno(dir.user_rmdir()), Errno::ENODEV);
    }
    // Another directory's removal leaves it.
    let (root, dir, drops, _) = Own::tree();
    dir.user_rmdir().unwrap();
    assert_eq!(drops.load(SeqCst), 0);
    assert_eq!(errno(root.user_mkdir("x", 0o755)), Errno::EPERM);
    root.remove().unwrap();
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn a_call_that_removes_the_root_keeps_what_the_owner_captured_until_it_ends() {
    let (root, _, drops, faults) = Own::tree();
    root.user_rmdir().unwrap();
    assert_eq!((drops.load(SeqCst), faults.load(SeqCst)), (1, 0));
    assert_eq!(errno(root.user_rmdir()), Errno::ENODEV);
}

/// Agrees to everything.
struct Agrees;

impl SyscallOps for Agrees {
    fn mkdir(&self, _: &mut SyscallCx<'_>, _: &Dir, _: &[u8], _: u32) -> Result<()> {
        Ok(())
    }
    fn rename(&self, _: &mut SyscallCx<'_>, _: &Node, _: &Dir, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn the_owner_was_asked_for_what_cannot_be() {
    let root = Root::with_ops(RootFlags::NONE, Agrees);
    let dir = root.create_dir("dir", 0o755).unwrap();
    root.user_mkdir("a", 0o755).unwrap();
    dir.user_rename(&root, "a").unwrap();
    for name in ["", ".", "..", "a/b", "a\0b"] {
        assert_eq!(errno(root.user_mkdir(name, 0o755)), Errno::EINVAL);
        assert_eq!(errno(dir.user_rename(&root, name)), Errno::EINVAL);
    }
    assert_eq!(errno(root.user_mkdir("a", 0o10_000)), Errno::EINVAL);
    assert_eq!(errno(dir.user_rename(&Root::new(), "a")), Errno::EINVAL);
}

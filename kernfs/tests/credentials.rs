//! Who opened a file and who uses it.

mod common;

use std::sync::{Arc, Mutex};

use common::errno;
use kernfs::{
    Caller, Cancel, Cred, Cx, Dir, Errno, Has, Node, OpenFlags, Ops, Result, Root, RootFlags, Seq,
    SyscallCx, SyscallOps, rw,
};

const ALICE: Cred = Cred {
    uid: 1000,
    gid: 1000,
    pid: 11,
};
const BOB: Cred = Cred {
    uid: 1001,
    gid: 1001,
    pid: 12,
};
const ROOT: Cred = Cred {
    uid: 0,
    gid: 0,
    pid: 13,
};

type Seen = Arc<Mutex<Vec<(&'static str, Cred, Cred)>>>;

/// Only whom Alice let in may write: as cgroup.procs decides by the opener.
struct Asks(Seen);

impl Asks {
    fn note(&self, op: &'static str, cx: &Cx<'_>) {
        self.0.lock().unwrap().push((op, cx.opener(), cx.caller()));
    }
}

impl Ops for Asks {
    const HAS: Has = Has::SHOW.with(Has::WRITE).with(Has::RELEASE);
    type Open = ();
    fn open(&self, cx: &mut Cx<'_>) -> Result<()> {
        self.note("open", cx);
        Ok(())
    }
    fn show(&self, cx: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        self.note("show", cx);
        Ok(())
    }
    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        self.note("write", cx);
        match cx.opener().uid {
            1000 => Ok(data.len()),
            _ => Err(Errno::EACCES.into()),
        }
    }
    fn release(&self, cx: &mut Cx<'_>, (): &()) {
        self.note("release", cx);
    }
}

/// R10 (CVE-2021-4197): a descriptor opened by somebody unprivileged was written by a set-user-id program,
/// and the writer's rights counted.
#[test]
fn the_opener_counts_and_not_whom_he_made_write() {
    let root = Root::new();
    let seen = Seen::default();
    let file = root
        .create_file("f", 0o666, 0, Asks(Arc::clone(&seen)))
        .unwrap();
    let alices = file.open_as(OpenFlags::RDWR, ALICE).unwrap();
    let bobs = file.open_as(OpenFlags::RDWR, BOB).unwrap();
    assert_eq!(alices.write_at_with(b"x", 0, BOB).unwrap(), 1);
    assert_eq!(errno(bobs.write_at_with(b"x", 0, ALICE)), Errno::EACCES);
    assert_eq!(errno(bobs.write_at_with(b"x", 0, ROOT)), Errno::EACCES);
    alices.read_at_with(&mut [0; 8], 0, ROOT).unwrap();
    let own = file.open(OpenFlags::READ).unwrap();
    own.read_at(&mut [0; 8], 0).unwrap();
    drop(alices);
    let me = Cred::process();
    let expected = [
        ("open", ALICE, ALICE),
        ("open", BOB, BOB),
        ("write", ALICE, BOB),
        ("write", BOB, ALICE),
        ("write", BOB, ROOT),
        ("show", ALICE, ROOT),
        ("open", me, me),
        ("show", me, me),
        ("release", ALICE, me),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_caller_has_credentials_and_may_give_up() {
    let cancel = Cancel::new();
    let caller = Caller::from(ALICE).cancelled_by(&cancel);
    let root = Root::new();
    let seen = Seen::default();
    let file = root
        .create_file("f", 0o666, 0, Asks(Arc::clone(&seen)))
        .unwrap();
    let open = file.open(OpenFlags::RDWR).unwrap();
    open.read_at_with(&mut [0; 8], 0, caller).unwrap();
    open.read_at_with(&mut [0; 8], 0, &cancel).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen[1], ("show", Cred::process(), ALICE));
    assert_eq!(seen[2], ("show", Cred::process(), Cred::process()));
}

#[test]
fn permission_bits_are_checked_for_others_and_the_extra_check_for_all() {
    let own = Cred::process();
    let others = Cred {
        uid: own.uid + 1,
        gid: own.gid + 1,
        pid: 1,
    };
    let group = Cred {
        gid: own.gid,
        ..others
    };
    for (flags, root_may_all) in [
        (RootFlags::NONE, true),
        (RootFlags::EXTRA_OPEN_PERM_CHECK, false),
    ] {
        let root = Root::with_flags(flags);
        let may = |file: &kernfs::File, cred, flags| match file.open_as(flags, cred) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.errno(), Errno::EACCES);
                false
            }
        };
        let f = root.attr("f", rw(|| 1, |_: u8| ()).mode(0o640)).unwrap();
        for (cred, read, write) in [
            (own, true, true),
            (group, true, false),
            (others, false, false),
            (ROOT, true, true),
        ] {
            assert_eq!(may(&f, cred, OpenFlags::READ), read, "{cred:?}");
            assert_eq!(may(&f, cred, OpenFlags::WRITE), write, "{cred:?}");
            assert_eq!(may(&f, cred, OpenFlags::RDWR), read && write, "{cred:?}");
            assert!(may(&f, cred, OpenFlags::NONE));
        }
        let ro = root.attr("ro", rw(|| 1, |_: u8| ()).mode(0o444)).unwrap();
        assert_eq!(may(&ro, ROOT, OpenFlags::WRITE), root_may_all);
        assert!(may(&ro, others, OpenFlags::READ));
        // This process may open what it likes, but for the extra check.
        assert_eq!(ro.open(OpenFlags::WRITE).is_ok(), root_may_all);
    }
}

/// Lets Alice do what she likes, as long as she wants it.
struct Alices;

impl Alices {
    fn check(cx: &SyscallCx<'_>) -> Result<()> {
        match (cx.caller(), cx.interrupted()) {
            (_, true) => Err(Errno::EINTR.into()),
            (ALICE, false) => Ok(()),
            (cred, false) if cred == Cred::process() => Err(Errno::EBUSY.into()),
            _ => Err(Errno::EACCES.into()),
        }
    }
}

impl SyscallOps for Alices {
    fn mkdir(&self, cx: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        Self::check(cx)?;
        parent.create_dir(name, mode).map(drop)
    }
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        Self::check(cx)?;
        let _unprotected = cx.break_protection();
        dir.remove()
    }
    fn rename(&self, cx: &mut SyscallCx<'_>, node: &Node, to: &Dir, name: &[u8]) -> Result<()> {
        Self::check(cx)?;
        node.rename(to, name)
    }
}

#[test]
fn who_makes_renames_and_removes_directories_is_known() {
    let root = Root::with_ops(RootFlags::NONE, Alices);
    let cancel = Cancel::new();
    let alice = Caller::from(ALICE).cancelled_by(&cancel);
    let all = |caller: Caller<'_>| -> Result<()> {
        root.user_mkdir_with("a", 0o755, caller)?;
        let a = root.find("a").and_then(|node| node.as_dir()).unwrap();
        a.user_rename_with(&root, "b", caller)?;
        a.user_rmdir_with(caller)
    };
    all(alice).unwrap();
    assert_eq!(errno(all(BOB.into())), Errno::EACCES);
    assert_eq!(errno(all(Caller::default())), Errno::EBUSY);
    assert_eq!(errno(root.user_mkdir("a", 0o755)), Errno::EBUSY);
    cancel.set();
    assert_eq!(errno(all(alice)), Errno::EINTR);
    let a = root.create_dir("a", 0o755).unwrap();
    assert_eq!(errno(a.user_rename_with(&root, "b", alice)), Errno::EINTR);
    assert_eq!(errno(a.user_rmdir_with(alice)), Errno::EINTR);
}

//! Mode, owner, times, extended attributes.

mod common;

use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use common::errno;
use kernfs::{
    Creation, Dir, Errno, OpenFlags, Root, RootFlags, SetAttr, Stat, Watch, XattrHow, ro, rw,
};

const OLD: Duration = Duration::from_secs(1_000_000);

fn set(dir: &Dir, mode: Option<u32>, gid: Option<u32>, time: Option<Duration>) {
    let (mtime, ctime) = (time, time);
    dir.setattr(&SetAttr {
        mode,
        gid,
        mtime,
        ctime,
        ..SetAttr::default()
    })
    .unwrap();
}

#[test]
fn the_first_record_has_the_time_of_now_and_the_trees_owner() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o750).unwrap();
    let before = dir.stat();
    assert_eq!((before.atime, before.mtime), (before.ctime, before.ctime));
    // Some clocks tick slowly.
    while SystemTime::UNIX_EPOCH
        .elapsed()
        .is_ok_and(|now| now <= before.mtime)
    {
        thread::yield_now();
    }
    dir.setattr(&SetAttr {
        atime: Some(OLD),
        ..SetAttr::default()
    })
    .unwrap();
    let after = dir.stat();
    assert_eq!(after.atime, OLD);
    assert!(after.mtime > before.mtime && after.ctime == after.mtime);
    assert_eq!(
        Stat {
            atime: before.atime,
            mtime: before.mtime,
            ctime: before.ctime,
            ..after
        },
        before
    );

    let all = SetAttr {
        mode: Some(0o7777),
        uid: Some(1),
        gid: Some(2),
        atime: Some(OLD),
        mtime: Some(OLD * 2),
        ctime: Some(OLD * 3),
    };
    dir.setattr(&all).unwrap();
    let stat = dir.stat();
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o7777, 1, 2));
    assert_eq!(
        (stat.atime, stat.mtime, stat.ctime),
        (OLD, OLD * 2, OLD * 3)
    );
    let too_much = SetAttr {
        mode: Some(0o10_000),
        ..all
    };
    assert_eq!(errno(dir.setattr(&too_much)), Errno::EINVAL);

    // Through a handle it works on a removed node as well.
    dir.remove().unwrap();
    set(&dir, Some(0o700), None, None);
    assert_eq!((dir.mode(), dir.stat().nlink), (0o700, 0));
}

#[test]
fn only_a_directory_with_a_record_has_times_that_move() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    let start = dir.stat();
    let file = dir.attr("f", ro(|| 1)).unwrap();
    assert_eq!(
        (dir.stat().mtime, dir.stat().ctime),
        (start.mtime, start.ctime)
    );
    set(&dir, None, None, Some(OLD));
    dir.attr("g", ro(|| 1)).unwrap();
    assert!(dir.stat().mtime > OLD && dir.stat().ctime == dir.stat().mtime);
    set(&dir, None, None, Some(OLD));
    file.hide().unwrap();
    file.show().unwrap();
    assert_eq!(dir.stat().mtime, OLD, "hiding moves no time");
    file.remove().unwrap();
    assert!(dir.stat().mtime > OLD);
    // Reading and writing move none.
    let value = dir.attr("v", rw(|| 1, |_: u32| ())).unwrap();
    let file = value.stat();
    let open = value.open(OpenFlags::RDWR).unwrap();
    open.write_at(b"2", 0).unwrap();
    open.read_at(&mut [0; 4], 0).unwrap();
    assert_eq!(value.stat(), file);
}

/// R15: the set-group-ID bit of a directory was ignored.
#[test]
fn the_set_group_id_bit_was_ignored() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o2775).unwrap();
    let plain = root.stat();
    // Without a record the directory has no group to give, as in the kernel.
    let child = dir.create_dir("a", 0o755).unwrap().stat();
    assert_eq!((child.mode, child.gid), (0o2755, plain.gid));
    set(&dir, None, Some(77), None);
    let child = dir.create_dir("b", 0o755).unwrap().stat();
    assert_eq!((child.mode, child.gid, child.uid), (0o2755, 77, plain.uid));
    let grandchild = dir
        .find("b")
        .unwrap()
        .as_dir()
        .unwrap()
        .create_dir("c", 0o700)
        .unwrap();
    assert_eq!(
        (grandchild.stat().mode, grandchild.stat().gid),
        (0o2700, 77)
    );
    let file = dir.attr("f", ro(|| 1)).unwrap().stat();
    assert_eq!((file.mode, file.gid), (0o444, 77));
    let own = dir
        .create_dir_with("o", 0o755, Creation::new().owner(5, 6))
        .unwrap()
        .stat();
    assert_eq!((own.uid, own.gid), (5, 77));
    // Its own group, and no bit: nothing is inherited.
    let other = root
        .create_dir_with("e", 0o755, Creation::new().owner(5, 6))
        .unwrap();
    let child = other.create_dir("a", 0o755).unwrap().stat();
    assert_eq!((other.stat().uid, other.stat().gid), (5, 6));
    assert_eq!((child.mode, child.gid), (0o755, plain.gid));
}

#[test]
fn a_link_belongs_to_whom_its_target_belongs() {
    let root = Root::new();
    let target = root
        .create_dir_with("t", 0o755, Creation::new().owner(5, 6))
        .unwrap();
    let link = root.create_link("l", &target).unwrap().stat();
    assert_eq!((link.uid, link.gid, link.mode), (5, 6, 0o777));
}

#[test]
fn the_open_check_goes_by_the_mode_of_now() {
    let root = Root::new();
    let file = root.attr("f", rw(|| 1, |_: u32| ())).unwrap();
    let mode = |mode| {
        file.setattr(&SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        })
        .unwrap()
    };
    mode(0o444);
    assert_eq!(errno(file.open(OpenFlags::WRITE)), Errno::EACCES);
    assert!(file.open(OpenFlags::READ).is_ok());
    mode(0o200);
    assert_eq!(errno(file.open(OpenFlags::READ)), Errno::EACCES);
    assert!(file.open(OpenFlags::WRITE).is_ok());
}

/// Changes the tree from the listener, which waits for itself if a lock is held, then panics.
struct Changes(Root, Mutex<Vec<(u64, u32)>>);

impl Watch for Changes {
    fn added(&self, _: u64, _: &[u8]) {}
    fn removed(&self, _: u64, _: &[u8], _: u64) {}
    fn notified(&self, _: u64) {}
    fn attributes_changed(&self, id: u64) {
        assert!(!urcu::Memb::read_lock_held());
        let node = self.0.find_by_id(id).unwrap();
        let mode = node.mode();
        self.1.lock().unwrap().push((id, mode));
        if mode == 0o700 {
            let mode = Some(0o711);
            let new = SetAttr {
                mode,
                ..SetAttr::default()
            };
            node.setattr(&new).unwrap();
            self.0.create_dir("from the listener", 0o755).unwrap();
        }
        panic!("as wanted by the test");
    }
}

#[test]
fn listeners_hear_of_changed_attributes_and_may_panic() {
    let root = Root::with_flags(RootFlags::SUPPORT_USER_XATTR);
    let dir = root.create_dir("d", 0o755).unwrap();
    let listeners = [(); 2].map(|()| Arc::new(Changes(root.clone(), Mutex::default())));
    let watching = listeners
        .clone()
        .map(|listener| root.watch(listener).unwrap());
    set(&dir, Some(0o750), None, None);
    let refused = SetAttr {
        mode: Some(0o10000),
        ..SetAttr::default()
    };
    assert_eq!(errno(dir.setattr(&refused)), Errno::EINVAL);
    dir.set_xattr("user.a", "b", XattrHow::Set).unwrap();
    for listener in &listeners {
        assert_eq!(*listener.1.lock().unwrap(), [(dir.id(), 0o750)]);
    }
    // The first one changes it again, and both hear that first.
    set(&dir, Some(0o700), None, None);
    assert_eq!(dir.mode(), 0o711);
    let heard = |n: usize| {
        let told = listeners[n].1.lock().unwrap();
        told.iter().map(|(_, mode)| *mode).collect::<Vec<_>>()
    };
    assert_eq!(heard(0), [0o750, 0o700, 0o711]);
    assert_eq!(heard(1), [0o750, 0o711, 0o711]);
    assert!(root.find("from the listener").is_some());
    drop(watching);
}

#[test]
fn a_directory_that_stays_empty() {
    let root = Root::new();
    let dir = root.create_empty_dir("e").unwrap();
    assert!(dir.stays_empty() && !root.stays_empty());
    assert_eq!((dir.mode(), dir.stat().nlink), (0o555, 2));
    assert_eq!(errno(dir.create_dir("x", 0o755)), Errno::ENOENT);
    assert_eq!(errno(dir.attr("x", ro(|| 1))), Errno::ENOENT);
    assert_eq!(errno(dir.create_link("x", &dir)), Errno::ENOENT);
    assert_eq!(errno(dir.setattr(&SetAttr::default())), Errno::EPERM);
    assert_eq!(errno(dir.enable_ns()), Errno::EINVAL);
    assert_eq!(errno(dir.xattr("trusted.x")), Errno::EOPNOTSUPP);
    assert_eq!(
        errno(dir.set_xattr("trusted.x", "", XattrHow::Set)),
        Errno::EOPNOTSUPP
    );
    assert_eq!(dir.entries().count(), 0);
    dir.remove().unwrap();
}

#[test]
fn extended_attributes() {
    let root = Root::with_flags(RootFlags::SUPPORT_USER_XATTR);
    let file = root.attr("f", ro(|| 1)).unwrap();
    let link = root.create_link("l", &file).unwrap();
    // Nothing is made by looking.
    let untouched = file.stat();
    assert_eq!(errno(file.xattr("user.x")), Errno::ENODATA);
    assert!(file.xattrs().is_empty());
    assert_eq!(file.stat(), untouched);

    file.set_xattr("user.x", "1", XattrHow::Create).unwrap();
    assert_eq!(
        errno(file.set_xattr("user.x", "2", XattrHow::Create)),
        Errno::EEXIST
    );
    file.set_xattr("user.x", "2", XattrHow::Replace).unwrap();
    assert_eq!(
        errno(file.set_xattr("user.y", "", XattrHow::Replace)),
        Errno::ENODATA
    );
    file.set_xattr("trusted.a", b"", XattrHow::Set).unwrap();
    file.set_xattr("security.a", vec![7; 65536], XattrHow::Set)
        .unwrap();
    assert_eq!(
        errno(file.set_xattr("security.a", vec![7; 65537], XattrHow::Set)),
        Errno::E2BIG
    );
    assert_eq!(file.xattr("user.x").unwrap(), b"2");
    assert_eq!(file.xattr("security.a").unwrap().len(), 65536);
    assert_eq!(file.xattrs(), [&b"security.a"[..], b"trusted.a", b"user.x"]);
    file.remove_xattr("user.x").unwrap();
    assert_eq!(errno(file.remove_xattr("user.x")), Errno::ENODATA);

    for (name, expected) in [
        ("system.x".to_owned(), Errno::EOPNOTSUPP),
        ("x".to_owned(), Errno::EOPNOTSUPP),
        ("user.".to_owned(), Errno::EINVAL),
        (String::new(), Errno::ERANGE),
        (format!("user.{}", "x".repeat(251)), Errno::ERANGE),
    ] {
        assert_eq!(
            errno(file.set_xattr(&name, "", XattrHow::Set)),
            expected,
            "{name}"
        );
        assert_eq!(errno(file.xattr(&name)), expected, "{name}");
        assert_eq!(errno(file.remove_xattr(&name)), expected, "{name}");
    }
    // The VFS has no user attributes on links.
    assert_eq!(
        errno(link.set_xattr("user.x", "", XattrHow::Set)),
        Errno::EPERM
    );
    assert_eq!(errno(link.xattr("user.x")), Errno::ENODATA);
    link.set_xattr("trusted.x", "", XattrHow::Set).unwrap();

    // Limits of a node; the others have their own.
    for n in 0..128 {
        file.set_xattr(format!("user.{n}"), "", XattrHow::Create)
            .unwrap();
    }
    assert_eq!(
        errno(file.set_xattr("user.more", "", XattrHow::Set)),
        Errno::ENOSPC
    );
    assert_eq!(
        errno(file.set_xattr("user.1", "", XattrHow::Replace)),
        Errno::ENOSPC
    );
    file.set_xattr("trusted.more", "", XattrHow::Set).unwrap();
    root.set_xattr("user.a", vec![0; 65536], XattrHow::Set)
        .unwrap();
    root.set_xattr("user.b", vec![0; 65535], XattrHow::Set)
        .unwrap();
    assert_eq!(
        errno(root.set_xattr("user.c", "xx", XattrHow::Set)),
        Errno::ENOSPC
    );
    root.set_xattr("user.c", "x", XattrHow::Set).unwrap();

    let root = Root::new();
    assert_eq!(
        errno(root.set_xattr("user.x", "", XattrHow::Set)),
        Errno::EOPNOTSUPP
    );
    assert_eq!(errno(root.xattr("user.x")), Errno::ENODATA);
    root.set_xattr("trusted.x", "", XattrHow::Set).unwrap();
}

/// S13: the attribute record is made by the first touch, of many at once.
#[test]
fn a_first_touch_of_many_threads_makes_one_record() {
    for _ in 0..common::rounds(200) {
        let root = Root::with_flags(RootFlags::SUPPORT_USER_XATTR);
        let barrier = Barrier::new(4);
        thread::scope(|s| {
            for n in 0..3_u32 {
                let (root, barrier) = (&root, &barrier);
                s.spawn(move || {
                    barrier.wait();
                    match n {
                        0 => root.setattr(&SetAttr {
                            uid: Some(9),
                            ..SetAttr::default()
                        }),
                        1 => root.setattr(&SetAttr {
                            gid: Some(9),
                            ..SetAttr::default()
                        }),
                        _ => root.set_xattr("user.x", "1", XattrHow::Create),
                    }
                    .unwrap();
                });
            }
            barrier.wait();
            let stat = root.stat();
            assert!([0o555].contains(&stat.mode));
        });
        // No touch is lost with the record of another thread.
        let stat = root.stat();
        assert_eq!((stat.uid, stat.gid), (9, 9));
        assert_eq!(root.xattrs(), [b"user.x"]);
    }
}

/// S12: set, replace and remove from two mounts; R22, R13: what is read is one state, and counters are right.
#[test]
fn readers_of_attributes_saw_half_a_change() {
    let root = Root::with_flags(RootFlags::SUPPORT_USER_XATTR);
    let dir = root.create_dir("d", 0o755).unwrap();
    dir.set_xattr("trusted.n", "0", XattrHow::Set).unwrap();
    thread::scope(|s| {
        let writers: Vec<_> = (0..2_u32)
            .map(|id| {
                let dir = &dir;
                s.spawn(move || {
                    for n in 0..u32::try_from(common::rounds(2000)).unwrap() {
                        // Owner, group and times of one setattr belong together.
                        let (owner, time) = (Some(n), Some(Duration::from_secs(n.into())));
                        let all = SetAttr {
                            uid: owner,
                            gid: owner,
                            atime: time,
                            mtime: time,
                            ctime: time,
                            mode: None,
                        };
                        dir.setattr(&all).unwrap();
                        let value = [u8::try_from(n % 100).unwrap(); 50];
                        dir.set_xattr("trusted.n", value, XattrHow::Replace)
                            .unwrap();
                        let name = format!("user.{id}.{}", n % 70);
                        match dir.set_xattr(&name, value, XattrHow::Create) {
                            Ok(()) => {}
                            Err(e) if e.errno() == Errno::ENOSPC => dir
                                .remove_xattr(format!("user.{id}.{}", n % 60))
                                .unwrap_or(()),
                            Err(e) => assert_eq!(e.errno(), Errno::EEXIST),
                        }
                    }
                })
            })
            .collect();
        while writers.iter().any(|w| !w.is_finished()) {
            let stat = dir.stat();
            if stat.uid == stat.gid && stat.atime == stat.mtime {
                assert_eq!(stat.mtime, stat.ctime);
            } else {
                // The state before the first change.
                assert_eq!((stat.uid, stat.gid), (root.stat().uid, root.stat().gid));
            }
            let value = dir.xattr("trusted.n").unwrap();
            assert!(value.iter().all(|byte| *byte == value[0]));
            assert!(dir.xattrs().len() <= 129);
        }
    });
    let names = dir.xattrs();
    let user = names.iter().filter(|n| n.starts_with(b"user.")).count();
    assert!(user <= 128);
    for n in user..128 {
        dir.set_xattr(format!("user.fill{n}"), "", XattrHow::Create)
            .unwrap();
    }
    assert_eq!(
        errno(dir.set_xattr("user.last", "", XattrHow::Set)),
        Errno::ENOSPC
    );
}

/// R13: link counts beside additions and removals.
#[test]
fn link_counts_raced_with_additions() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    thread::scope(|s| {
        let writers: Vec<_> = (0..2)
            .map(|id| {
                let dir = &dir;
                s.spawn(move || {
                    for _ in 0..common::rounds(300) {
                        let sub = dir.create_dir(format!("{id}"), 0o755).unwrap();
                        sub.remove().unwrap();
                        assert_eq!(sub.stat().nlink, 0, "R19: of a removed directory");
                    }
                })
            })
            .collect();
        while writers.iter().any(|w| !w.is_finished()) {
            assert!((2..=4).contains(&dir.stat().nlink));
        }
    });
    assert_eq!(dir.stat().nlink, 2);
}

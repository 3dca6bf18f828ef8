//! Nodes that are renamed, hidden and shown while the kernel has them cached; directories that users make.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use kernfs::{Dir, Node, Result, Root, RootFlags, SetAttr, SyscallCx, SyscallOps};

use crate::support::{
    StopOnDrop, errno, mount_tmpfs, shell_ok, text, unmount_unused, with_mount, with_root,
};

#[test]
fn a_renamed_directory_keeps_its_inode_and_its_open_files() {
    with_mount(
        |root| {
            let engine = root.create_dir("engine", 0o755).expect("new");
            text(&engine, "rpm", "900");
            root.create_dir("bay", 0o755).expect("new");
            root.create_link("link", &engine).expect("new");
        },
        |setup| {
            let engine = setup.root.find("engine").expect("there");
            let bay = setup
                .root
                .find("bay")
                .and_then(|n| n.as_dir())
                .expect("there");
            let rpm = File::open(setup.at("engine/rpm")).expect("open");
            let before = fs::metadata(setup.at("engine")).expect("stat").ino();
            assert_eq!(setup.read("link/rpm"), "900\n");

            engine.rename(&bay, "motor").expect("free");
            setup.mount.flush();
            assert_eq!(errno(fs::metadata(setup.at("engine"))), libc::ENOENT);
            assert_eq!(errno(File::open(setup.at("engine/rpm"))), libc::ENOENT);
            assert_eq!(
                fs::metadata(setup.at("bay/motor")).expect("stat").ino(),
                before
            );
            assert_eq!(setup.read("bay/motor/rpm"), "900\n");
            assert_eq!(setup.read("link/rpm"), "900\n");
            let mut text = [0; 8];
            assert_eq!(rpm.read_at(&mut text, 0).expect("it lives on"), 4);
            assert_eq!(
                shell_ok(&setup.at("bay"), "ls; cd motor; pwd -P; cat ../motor/rpm")
                    .lines()
                    .next(),
                Some("motor")
            );
            assert_eq!(fs::metadata(setup.at("bay")).expect("stat").nlink(), 3);

            // Back and forth: whatever the kernel remembers, the names of now lead to it and the others nowhere.
            for n in 0..100 {
                let name = format!("m{}", n % 3);
                engine
                    .rename(if n % 2 == 0 { &setup.root } else { &bay }, &name)
                    .expect("free");
                let (here, there) = if n % 2 == 0 {
                    ("", "bay/")
                } else {
                    ("bay/", "")
                };
                setup.mount.flush();
                assert_eq!(setup.read(&format!("{here}{name}/rpm")), "900\n");
                assert_eq!(
                    errno(fs::metadata(setup.at(&format!("{there}{name}")))),
                    libc::ENOENT
                );
            }
        },
    );
}

/// A LOOKUP that found the old name just before may be answered after the news of the rename.
#[test]
fn a_name_that_moves_under_lookups_is_where_it_is_and_nowhere_else() {
    const NAMES: [&str; 4] = ["a", "b", "bay/a", "bay/b"];
    with_mount(
        |root| {
            text(root, "a", "30");
            root.create_dir("bay", 0o755).expect("new");
        },
        |setup| {
            let file = setup.root.find("a").expect("there");
            let bay = setup.root.find("bay").and_then(|node| node.as_dir());
            let bay = bay.expect("there");
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                let _stop = StopOnDrop(&stop);
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !stop.load(Relaxed) {
                            for name in NAMES {
                                let seen = fs::metadata(setup.at(name)).map(|stat| stat.ino());
                                if let Err(error) = &seen {
                                    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
                                }
                            }
                        }
                    });
                }
                for n in 1..=1000 {
                    let name = NAMES[n * 7 % 4];
                    let (dir, last) = match name.strip_prefix("bay/") {
                        Some(last) => (&bay, last),
                        None => (&*setup.root, name),
                    };
                    file.rename(dir, last).expect("it was elsewhere");
                    setup.mount.flush();
                    for other in NAMES {
                        let seen = fs::metadata(setup.at(other)).map(|stat| stat.ino());
                        if other == name {
                            assert_eq!(seen.expect("moved there"), file.id());
                        } else {
                            assert_eq!(errno(seen), libc::ENOENT, "{other}");
                        }
                    }
                }
            });
        },
    );
}

#[test]
fn a_hidden_file_is_gone_and_comes_back_as_the_same_inode() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let speed = setup.root.find("speed").expect("there");
            let before = fs::metadata(setup.at("speed")).expect("stat").ino();
            for _ in 0..50 {
                let open = File::open(setup.at("speed")).expect("open");
                speed.hide().expect("a file");
                assert_eq!(errno(open.read_at(&mut [0; 8], 0)), libc::ENODEV);
                setup.mount.flush();
                assert_eq!(errno(fs::metadata(setup.at("speed"))), libc::ENOENT);
                assert_eq!(errno(File::open(setup.at("speed"))), libc::ENOENT);
                assert_eq!(shell_ok(&setup.at(""), "ls"), "");
                speed.show().expect("a file");
                setup.mount.flush();
                assert_eq!(setup.read("speed"), "30\n");
                assert_eq!(fs::metadata(setup.at("speed")).expect("stat").ino(), before);
            }
        },
    );
}

struct Groups;

impl SyscallOps for Groups {
    fn mkdir(&self, _: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        let dir = parent.create_dir(name, mode)?;
        text(&dir, "members", "none");
        Ok(())
    }
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        let _unprotected = cx.break_protection();
        dir.remove()
    }
    fn rename(&self, _: &mut SyscallCx<'_>, node: &Node, to: &Dir, name: &[u8]) -> Result<()> {
        match name {
            b"nothing" => Ok(()), // says so, and does nothing
            _ => node.rename(to, name),
        }
    }
}

#[test]
fn users_make_rename_and_remove_directories() {
    with_root(
        Root::with_ops(RootFlags::NONE, Groups),
        |root| root.setattr(&mode(0o755)).expect("any mode"),
        |setup| {
            for round in 0..50 {
                fs::create_dir(setup.at("a")).expect("mkdir");
                assert_eq!(setup.read("a/members"), "none\n");
                fs::create_dir(setup.at("a/b")).expect("mkdir");
                assert_eq!(errno(fs::create_dir(setup.at("a/b"))), libc::EEXIST);
                let open = File::open(setup.at("a/b/members")).expect("open");
                fs::rename(setup.at("a/b"), setup.at("c")).expect("rename");
                assert!(setup.root.walk("c/members").is_some());
                assert_eq!(errno(fs::metadata(setup.at("a/b"))), libc::ENOENT);
                assert_eq!(setup.read("c/members"), "none\n");
                assert_eq!(open.read_at(&mut [0; 8], 0).expect("it lives on"), 5);
                // The kernel believed it for an hour.
                fs::rename(setup.at("c"), setup.at("nothing")).expect("rename");
                setup.mount.flush();
                assert_eq!(errno(fs::metadata(setup.at("nothing"))), libc::ENOENT);
                assert_eq!(setup.read("c/members"), "none\n");
                // With files in it: they go along, as in cgroup.
                fs::remove_dir(setup.at("c")).expect("rmdir");
                assert_eq!(errno(open.read_at(&mut [0; 8], 0)), libc::ENODEV);
                assert_eq!(errno(fs::metadata(setup.at("c"))), libc::ENOENT);
                if round % 2 == 0 {
                    setup.mount.flush();
                }
                assert_eq!(
                    shell_ok(&setup.at(""), "mkdir a/x a/y && rmdir a/x a && ls"),
                    ""
                );
            }
            assert_eq!(setup.root.stat().nlink, 2);
        },
    );
}

/// What is told of a name that the kernel has moved by itself took along what was mounted there.
#[test]
fn a_rename_by_a_user_unmounted_what_was_below() {
    with_root(
        Root::with_ops(RootFlags::NONE, Groups),
        |root| {
            let a = root.create_dir("a", 0o755).expect("new");
            a.create_empty_dir("mnt").expect("new");
        },
        |setup| {
            mount_tmpfs(&setup.at("a/mnt"));
            fs::write(setup.at("a/mnt/file"), "kept").expect("a tmpfs");
            fs::rename(setup.at("a"), setup.at("b")).expect("rename");
            setup.mount.flush();
            for _ in 0..2 {
                assert_eq!(fs::read(setup.at("b/mnt/file")).expect("there"), b"kept");
            }
            unmount_unused(&setup.at("b/mnt"));
        },
    );
}

fn mode(mode: u32) -> SetAttr {
    let mode = Some(mode);
    SetAttr {
        mode,
        ..SetAttr::default()
    }
}

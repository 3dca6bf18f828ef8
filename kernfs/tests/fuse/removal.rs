//! Removal: old descriptors, old names, names used again.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use kernfs::{Cx, Has, Node, Ops, Result};

use crate::support::{errno, shell_ok, text, until, with_mount};

#[test]
fn a_descriptor_of_a_removed_file_answers_enodev() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(setup.at("speed"))
                .expect("open");
            setup.root.remove_by_name("speed").expect("there");
            assert_eq!(errno(file.read_at(&mut [0; 16], 0)), libc::ENODEV);
            assert_eq!(errno(file.write_at(b"1", 0)), libc::ENODEV);
            setup.mount.flush();
            assert_eq!(file.metadata().expect("fstat works").nlink(), 0);
            assert_eq!(errno(fs::metadata(setup.at("speed"))), libc::ENOENT);
            assert_eq!(errno(File::open(setup.at("speed"))), libc::ENOENT);
            let again = Path::new("/proc/self/fd").join(file.as_raw_fd().to_string());
            // A link in /proc does not lead through the name: it is the dead file that is opened.
            assert_eq!(errno(File::open(again)), libc::ENODEV);
        },
    );
}

#[test]
fn fstat_of_an_idle_descriptor_sees_the_removal() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let file = File::open(setup.at("speed")).expect("open");
            // Cached for an hour now, and no I/O makes the kernel ask again.
            assert_eq!(file.metadata().expect("fstat").nlink(), 1);
            setup.root.remove_by_name("speed").expect("there");
            setup.mount.flush();
            assert_eq!(file.metadata().expect("fstat").nlink(), 0);
        },
    );
}

#[test]
fn a_name_used_again_is_the_new_node() {
    with_mount(
        |root| drop(text(root, "speed", "0")),
        |setup| {
            for round in 1..200 {
                let old = File::open(setup.at("speed")).expect("open");
                let before = fs::metadata(setup.at("speed")).expect("stat").ino();
                setup.root.remove_by_name("speed").expect("there");
                text(&setup.root, "speed", &round.to_string());
                // Opened at once, with or without the invalidation: the right one.
                assert_eq!(setup.read("speed"), format!("{round}\n"));
                assert_eq!(errno(old.read_at(&mut [0; 16], 0)), libc::ENODEV);
                setup.mount.flush();
                assert!(fs::metadata(setup.at("speed")).expect("stat").ino() > before);
            }
        },
    );
}

#[test]
fn a_directory_used_again_is_the_new_node() {
    with_mount(
        |root| {
            let dir = root.create_dir("engine", 0o755).expect("new");
            text(&dir, "rpm", "0");
        },
        |setup| {
            for round in 1..200 {
                assert_eq!(setup.read("engine/rpm"), format!("{}\n", round - 1));
                setup.root.remove_by_name("engine").expect("there");
                let dir = setup.root.create_dir("engine", 0o755).expect("free");
                text(&dir, "rpm", &round.to_string());
            }
        },
    );
}

#[test]
fn a_removed_directory_is_empty() {
    with_mount(
        |root| {
            let dir = root.create_dir("engine", 0o755).expect("new");
            text(&dir, "rpm", "900");
        },
        |setup| {
            let dir = File::open(setup.at("engine")).expect("open");
            let inside = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
            assert_eq!(fs::read_dir(&inside).expect("opendir").count(), 1);
            setup.root.remove_by_name("engine").expect("there");
            setup.mount.flush();
            assert_eq!(errno(File::open(inside.join("rpm"))), libc::ENOENT);
            assert_eq!(errno(fs::read_dir(setup.at("engine"))), libc::ENOENT);
            // By the descriptor it is still there, and has nothing in it.
            assert_eq!(fs::read_dir(&inside).expect("opendir").count(), 0);
            assert_eq!(shell_ok(&setup.path, "ls -a"), ".\n..\n");
        },
    );
}

/// Removes the node that was given to it when it is written to.
struct Removes(Node);

impl Ops for Removes {
    const HAS: Has = Has::WRITE;
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        self.0.remove()?;
        Ok(data.len())
    }
}

/// How long answers wait for news.
const LONG: Duration = Duration::from_millis(250);

#[test]
fn who_wrote_the_removal_sees_it_done() {
    with_mount(
        |root| {
            for n in 0..100 {
                let victim = text(root, &format!("victim-{n}"), "x");
                let ops = Removes(Node::clone(&victim));
                root.create_file(format!("remove-{n}"), 0o200, 0, ops)
                    .expect("new");
            }
        },
        |setup| {
            for n in 0..100 {
                let victim = setup.at(&format!("victim-{n}"));
                fs::metadata(&victim).expect("there, and cached now");
                let began = Instant::now();
                fs::write(setup.at(&format!("remove-{n}")), "1").expect("writable");
                // stat(2) of a cached name asks nobody: the answer to the write came after the
                // invalidation. Or without it, where that took long.
                if began.elapsed() >= LONG {
                    setup.mount.flush();
                }
                assert_eq!(errno(fs::metadata(&victim)), libc::ENOENT);
            }
        },
    );
}

#[test]
fn nothing_of_removed_nodes_is_kept_once_the_kernel_forgot_them() {
    with_mount(
        |_| {},
        |setup| {
            for n in 0..100 {
                let name = format!("n{n}");
                text(&setup.root, &name, "x");
                assert_eq!(setup.read(&name), "x\n");
                setup.root.remove_by_name(&name).expect("there");
            }
            assert_eq!(setup.root.entries().count(), 0);
            assert_eq!(fs::read_dir(&setup.path).expect("opendir").count(), 0);
        },
    );
}

/// By a descriptor the kernel asks about the node itself, and does not ask again at ESTALE.
#[test]
fn who_looked_at_a_removed_file_by_o_path_was_told_estale() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let speed = setup.root.find("speed").expect("there");
            let path = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_PATH)
                .open(setup.at("speed"))
                .expect("there");
            speed.remove().expect("there");
            for gone in [true, false] {
                if !gone {
                    text(&setup.root, "speed", "30"); // the name is taken again
                }
                setup.mount.flush();
                let seen = path.metadata().expect("a descriptor is enough");
                assert_eq!((seen.ino(), seen.nlink()), (speed.id(), 0));
            }
            // By the name it is another one.
            let other = fs::metadata(setup.at("speed")).expect("there");
            assert_ne!(other.ino(), speed.id());
        },
    );
}

/// What is missing the kernel remembers too, as long as it has memory for that, and with it the directory.
#[test]
fn a_removed_directory_was_kept_by_names_that_were_looked_for_in_it() {
    const ROUNDS: u64 = 50;
    with_mount(
        |_| {},
        |setup| {
            let round = || {
                let dir = setup.root.create_dir("dir", 0o755).expect("free");
                let open = File::open(setup.at("dir")).expect("there");
                dir.remove().expect("there");
                setup.mount.flush();
                let inside = format!("/proc/thread-self/fd/{}/missing", open.as_raw_fd());
                assert_eq!(errno(fs::metadata(inside)), libc::ENOENT);
                drop(open);
            };
            (0..ROUNDS).for_each(|_| round());
            // The last ones may be on their way still.
            let nodes = || {
                setup.mount.flush();
                urcu::Memb::barrier();
                setup.root.stats().nodes
            };
            until("the kernel forgets", || nodes() <= ROUNDS / 2);
        },
    );
}

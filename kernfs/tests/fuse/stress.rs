//! Clients against a tree that changes under them: they may only see errors that kernfs gives.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use kernfs::Root;
use kernfs::fuse::{Mount, Options};

use crate::support::{Setup, StopOnDrop, is_mount_point, text, with_dir, with_mount};

const DIRS: usize = 4;
const FILES: usize = 10;
/// How many files are opened before the test ends.
const OPENS: u64 = 5_000;

#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    missing: AtomicU64,
    gone: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The result of something that looks up a name: done, or ENOENT.
#[track_caller]
fn named<T>(what: &str, result: io::Result<T>, counts: &Counts) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{what}");
            count(&counts.missing);
            None
        }
    }
}

/// The result of something on a descriptor: done, or ENODEV.
#[track_caller]
fn on_descriptor<T>(what: &str, result: io::Result<T>, counts: &Counts) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{what}");
            count(&counts.gone);
            None
        }
    }
}

fn client(setup: &Setup, seed: usize, counts: &Counts, stop: &AtomicBool) {
    let mut n = seed;
    while !stop.load(Ordering::Relaxed) {
        n = n
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let dir = format!("d{}", (n >> 33) % DIRS);
        let path = setup.at(&format!("{dir}/f{}", (n >> 40) % FILES));
        match (n >> 50) % 8 {
            0 => drop(named("stat", fs::metadata(&path), counts)),
            1 => {
                if let Some(list) = named("opendir", fs::read_dir(setup.at(&dir)), counts) {
                    for entry in list.filter_map(Result::ok) {
                        let name = entry.file_name().into_string().unwrap_or_default();
                        let number = name.strip_prefix('f').and_then(|n| n.parse().ok());
                        assert!(number.is_some_and(|n: usize| n < FILES), "{name}");
                    }
                }
            }
            _ => {
                let file = OpenOptions::new().read(true).write(true).open(&path);
                let Some(file) = named("open", file, counts) else {
                    continue;
                };
                count(&counts.opened);
                for _ in 0..3 {
                    let mut text = [0; 64];
                    if let Some(len) = on_descriptor("read", file.read_at(&mut text, 0), counts) {
                        assert!(len > 1, "a text that never was");
                    }
                    on_descriptor("write", file.write_at(b"37\n", 0), counts);
                }
            }
        }
    }
}

fn fill(root: &Root, dir: usize) {
    let dir = root.create_dir(format!("d{dir}"), 0o755).expect("free");
    for file in 0..FILES {
        text(&dir, &format!("f{file}"), "30");
    }
}

#[test]
fn clients_of_a_changing_tree_see_only_enoent_and_enodev() {
    let counts = Counts::default();
    let stop = AtomicBool::new(false);
    with_mount(
        |root| (0..DIRS).for_each(|dir| fill(root, dir)),
        |setup| {
            let full = setup.root.stats().nodes;
            thread::scope(|scope| {
                let _stop = StopOnDrop(&stop);
                let clients: Vec<_> = (1..4)
                    .map(|seed| {
                        let (counts, stop) = (&counts, &stop);
                        scope.spawn(move || client(setup, seed, counts, stop))
                    })
                    .collect();
                let mut round = 0;
                while counts.opened.load(Ordering::Relaxed) < OPENS {
                    round += 1;
                    // Files one by one, and now and then a whole directory.
                    let name = format!("d{}", round % DIRS);
                    if round % 16 == 0 {
                        setup.root.remove_by_name(&name).expect("there");
                        fill(&setup.root, round % DIRS);
                    } else {
                        let dir = setup.root.find(&name).and_then(|node| node.as_dir());
                        let dir = dir.expect("only we remove it");
                        let file = format!("f{}", round % FILES);
                        dir.remove_by_name(&file).expect("there");
                        text(&dir, &file, &round.to_string());
                    }
                    if clients.iter().any(thread::ScopedJoinHandle::is_finished) {
                        break; // it failed
                    }
                }
            });
            setup.mount.flush();
            // What the kernel sees is what is there.
            for dir in 0..DIRS {
                for file in 0..FILES {
                    let path = format!("d{dir}/f{file}");
                    let node = setup.root.walk(&path).expect("all were made again");
                    let seen = fs::metadata(setup.at(&path)).expect("there");
                    assert_eq!(std::os::unix::fs::MetadataExt::ino(&seen), node.id());
                }
            }
            println!("{counts:?}, {} nodes of {full}", setup.root.stats().nodes);
        },
    );
}

#[test]
fn a_mount_that_ends_under_its_clients_leaves_nothing() {
    const MOUNTS: usize = 30;
    with_dir(|path| {
        let root = Root::new();
        fill(&root, 0);
        let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let _stop = StopOnDrop(&stop);
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        // Any error is right while there is no mount; only a hang would be wrong.
                        if fs::read(path.join("d0/f0")).is_ok_and(|text| text == b"30\n") {
                            count(&reads);
                        }
                    }
                });
            }
            for _ in 0..MOUNTS {
                let mount = Mount::new(&root, path, &Options::new()).expect("free again");
                let before = reads.load(Ordering::Relaxed);
                while reads.load(Ordering::Relaxed) < before + 5 {
                    thread::yield_now();
                }
                mount.unmount().expect("ours");
                assert!(!is_mount_point(path));
            }
        });
        assert_eq!(fs::read_dir(path).expect("bare").count(), 0);
    });
}

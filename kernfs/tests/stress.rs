//! Everything against removal, on a small tree, with callbacks that know when they must not run.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Checked, Log, Random};
use kernfs::{Dir, Errno, Error, Node, OpenFlags, PollFlags, Root, Watch};

const ROUNDS: usize = 4000;

#[derive(Default)]
struct World {
    logs: Mutex<HashMap<u64, Arc<Log>>>,
    poisoned: AtomicUsize,
    used: AtomicUsize,
}

/// A random directory: the root, one of three in it, or one of two in those.
fn some_dir(root: &Dir, random: &mut Random) -> Dir {
    let mut dir = root.clone();
    for names in [3, 2] {
        let name = format!("d{}", random.below(names + 1));
        match dir.find(name).and_then(|n| n.as_dir()) {
            Some(sub) => dir = sub,
            None => break,
        }
    }
    dir
}

fn some_node(root: &Dir, random: &mut Random) -> Option<Node> {
    let dir = some_dir(root, random);
    let entries = dir.readdir(0, 16);
    let most = u64::try_from(entries.len()).ok().filter(|n| *n > 0)?;
    let at = usize::try_from(random.below(most)).ok()?;
    dir.find(&entries[at].name)
}

fn gone(error: &Error) -> bool {
    error.errno() == Errno::ENODEV
}

impl World {
    fn create(&self, root: &Dir, random: &mut Random) {
        let dir = some_dir(root, random);
        let result = if random.below(2) == 0 {
            dir.create_dir(format!("d{}", random.below(3)), 0o755)
                .map(drop)
        } else {
            let (ops, log) = Checked::new();
            dir.create_file(format!("f{}", random.below(4)), 0o644, 0, ops)
                .map(|file| {
                    self.logs.lock().unwrap().insert(file.id(), log);
                })
        };
        if let Err(error) = result {
            assert!(
                matches!(error.errno(), Errno::EEXIST | Errno::ENOENT),
                "{error}"
            );
        }
    }

    fn remove(&self, root: &Dir, random: &mut Random) {
        let Some(node) = some_node(root, random) else {
            return;
        };
        let mut ids = vec![node.id()];
        let mut dirs: Vec<Dir> = node.as_dir().into_iter().collect();
        while let Some(dir) = dirs.pop() {
            for entry in dir.entries() {
                ids.push(entry.id);
                dirs.extend(dir.find(&entry.name).and_then(|n| n.as_dir()));
            }
        }
        node.remove().unwrap();
        // What was there before is silent now. (A name found again may be a new node: then its id is not
        // in the list, or it was removed with the rest.)
        let logs = self.logs.lock().unwrap();
        for log in ids.iter().filter_map(|id| logs.get(id)) {
            log.poison();
            self.poisoned.fetch_add(1, SeqCst);
        }
    }

    fn use_file(&self, root: &Dir, random: &mut Random) {
        let Some(file) = some_node(root, random).and_then(|n| n.as_file()) else {
            return;
        };
        let open = match file.open(OpenFlags::RDWR) {
            Ok(open) => open,
            Err(error) => return assert!(gone(&error), "{error}"),
        };
        for _ in 0..random.below(8) {
            let result = match random.below(4) {
                0 => open.write_at(b"x", 0),
                1 => open.read_at(&mut [0; 2], 0),
                2 => open.read_at(&mut [0; 64], 1),
                _ => {
                    let poll = open.poll();
                    assert!(poll.contains(PollFlags::IN | PollFlags::OUT));
                    Ok(0)
                }
            };
            if let Err(error) = result {
                assert!(gone(&error), "{error}");
                assert_eq!(open.poll(), PollFlags::DEAD);
            }
        }
        self.used.fetch_add(1, SeqCst);
    }

    fn look(&self, root: &Dir, random: &mut Random) {
        if let Some(node) = some_node(root, random) {
            assert_eq!(node.path().first(), Some(&b'/'));
            assert!(node.parent().is_some());
            if let Some(file) = node.as_file() {
                file.notify();
            }
        }
        let mut last = 0;
        for entry in some_dir(root, random).entries() {
            assert!(entry.offset > last);
            last = entry.offset;
        }
    }
}

struct Quiet;

impl Watch for Quiet {
    fn added(&self, _: u64, _: &[u8]) {}
    fn removed(&self, _: u64, _: &[u8], _: u64) {}
    fn notified(&self, _: u64) {}
}

#[test]
fn no_callback_runs_after_remove_has_returned() {
    let root = Root::new();
    let top = root.create_dir("top", 0o755).unwrap();
    let world = World::default();
    let watching = root.watch(Arc::new(Quiet)).unwrap();
    let jobs: [fn(&World, &Dir, &mut Random); 4] =
        [World::create, World::remove, World::use_file, World::look];
    thread::scope(|s| {
        // Two of each.
        for (seed, job) in (1..).zip(jobs.iter().cycle().take(8)) {
            let (world, top) = (&world, &top);
            s.spawn(move || {
                let mut random = Random(seed * 0x9e37_79b9);
                for _ in 0..ROUNDS {
                    job(world, top, &mut random);
                    // Everybody makes work for the others.
                    World::create(world, top, &mut random);
                }
            });
        }
    });
    top.remove().unwrap();
    watching.flush();
    drop((watching, top));

    let logs = world.logs.into_inner().unwrap();
    let calls: usize = logs.values().map(|log| log.get(|l| &l.calls)).sum();
    let (poisoned, used) = (world.poisoned.into_inner(), world.used.into_inner());
    println!(
        "{} files, {poisoned} poisoned, {used} used, {calls} calls",
        logs.len()
    );
    assert!(
        poisoned > 100 && used > 100 && calls > 1000,
        "too little happened"
    );
    for log in logs.values() {
        assert_eq!(log.get(|l| &l.faults), 0, "{log:?}");
        assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases), "{log:?}");
        assert_eq!(log.get(|l| &l.alive), 0, "{log:?}");
    }
    for _ in 0..3 {
        urcu::Memb::barrier();
    }
    assert_eq!(root.stats().nodes, 1, "nodes leaked");
}

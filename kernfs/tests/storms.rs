//! Renames against all that looks: every answer must be a state that was.
//!
//! One thread renames and counts: `started` before a step, `done` behind it. Whoever looks reads `done` first and
//! `started` last, so the state that it saw must lie between the two.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Checked, Log, Random, Sets, rounds};
use kernfs::{Dir, Errno, File, Node, OpenFlags, Root, ro};

#[derive(Default)]
struct Clock {
    started: AtomicU64,
    done: AtomicU64,
    over: AtomicBool,
}

impl Clock {
    fn step(&self, state: u64, step: impl FnOnce()) {
        self.started.store(state, SeqCst);
        step();
        self.done.store(state, SeqCst);
    }

    /// Looks, and tells between which states.
    fn during<R>(&self, look: impl FnOnce() -> R) -> (u64, R, u64) {
        let from = self.done.load(SeqCst);
        let result = look();
        (from, result, self.started.load(SeqCst))
    }

    /// Lets `readers` look, each again and again, while `steps` runs.
    fn run(&self, readers: &[&(dyn Fn() + Sync)], steps: impl FnOnce()) {
        let ready = Barrier::new(readers.len() + 1);
        thread::scope(|s| {
            for reader in readers {
                s.spawn(|| {
                    ready.wait();
                    while !self.over.load(SeqCst) {
                        reader();
                    }
                });
            }
            let _over = Sets(&self.over);
            ready.wait();
            steps();
        });
    }
}

fn number(bytes: &[u8]) -> u64 {
    str::from_utf8(bytes).unwrap().parse().unwrap()
}

/// S9: the name, lookup by name, the listing and the path of a node that gets one name after the other. Names of two
/// lengths, and torn ones would be no numbers (R16, R23).
#[test]
fn a_name_that_never_was() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    let node = dir.create_dir("0", 0o755).unwrap();
    // The listing has more entries than one, on both sides.
    for n in 0..20 {
        dir.create_dir(format!("other{n}"), 0o755).unwrap();
    }
    // What is long is kept elsewhere: the same number, with more zeros.
    let name = |n: u64| {
        if n.is_multiple_of(2) {
            n.to_string()
        } else {
            format!("{n:040}")
        }
    };
    let clock = Clock::default();
    let between = |from: u64, seen: u64, to: u64| {
        assert!(from <= seen && seen <= to, "{seen} is not in {from}..={to}");
    };
    clock.run(
        &[
            &|| {
                let (from, seen, to) = clock.during(|| node.name());
                between(from, number(&seen), to);
                let (from, seen, to) = clock.during(|| node.path());
                between(from, number(seen.strip_prefix(b"/d/").unwrap()), to);
            },
            &|| {
                let now = clock.done.load(SeqCst);
                for wanted in now..now + 2 {
                    for look in [
                        |d: &Dir, n: &str| d.find(n),
                        |d: &Dir, n: &str| d.parent().unwrap().walk(format!("d/{n}")),
                    ] {
                        let (from, found, to) = clock.during(|| look(&dir, &name(wanted)));
                        match found {
                            Some(found) => {
                                assert_eq!(found, node.clone().into());
                                between(from, wanted, to);
                            }
                            None => assert!(from != wanted || to != wanted, "{wanted} was there"),
                        }
                    }
                }
            },
            &|| {
                let (from, seen, to) = clock.during(|| dir.readdir(0, 100));
                let numbers: Vec<u64> = seen
                    .iter()
                    .filter(|e| !e.name.starts_with(b"other"))
                    .map(|e| number(&e.name))
                    .collect();
                assert_eq!(seen.len() - numbers.len(), 20);
                for seen in &numbers {
                    between(from, *seen, to);
                }
                // A listing is not one moment: a node that is renamed meanwhile may come under several names, or none.
                assert!(from != to || numbers.len() == 1, "{numbers:?}");
            },
        ],
        || {
            for n in 1..=rounds(4000) as u64 {
                clock.step(n, || node.rename(&dir, name(n)).unwrap());
            }
        },
    );
}

/// S9, R23: two levels, renamed in turns. A path is of one moment: never the new name of one with the old one of the
/// other.
#[test]
fn a_path_of_two_moments() {
    let root = Root::new();
    let upper = root.create_dir("u0", 0o755).unwrap();
    let lower = upper.create_dir("l0", 0o755).unwrap();
    let leaf = lower.create_dir("leaf", 0o755).unwrap();
    let link = root.create_link("link", &leaf).unwrap();
    let other = root.create_dir("other", 0o755).unwrap();
    let clock = Clock::default();
    // In state 2n both have name n, in state 2n + 1 the upper one is ahead.
    let state = |text: &[u8]| {
        let text = str::from_utf8(text).unwrap();
        let mut parts = text.trim_matches('/').split('/');
        let (u, l) = (parts.next().unwrap(), parts.next().unwrap());
        let (u, l) = (number(&u.as_bytes()[1..]), number(&l.as_bytes()[1..]));
        assert!(u == l || u == l + 1, "{text} never was");
        u + l
    };
    let check = |look: &dyn Fn() -> Vec<u8>| {
        let (from, text, to) = clock.during(look);
        let seen = state(&text);
        assert!(from <= seen && seen <= to, "{seen} is not in {from}..={to}");
    };
    clock.run(
        &[
            &|| check(&|| leaf.path()),
            &|| check(&|| link.readlink().unwrap()),
            &|| check(&|| leaf.path_from(&other).unwrap()[3..].to_vec()),
            &|| {
                let n = clock.done.load(SeqCst) / 2;
                for (u, l) in [(n, n), (n + 1, n), (n + 1, n + 1)] {
                    let path = format!("u{u}/l{l}/leaf");
                    let (from, found, to) = clock.during(|| root.walk(&path));
                    let wanted = u + l;
                    match found {
                        Some(_) => assert!(from <= wanted && wanted <= to, "{path}"),
                        None => assert!(from != wanted || to != wanted, "{path} was there"),
                    }
                    // This one never is.
                    assert!(root.walk(format!("u{n}/l{}/leaf", n + 1)).is_none());
                }
            },
        ],
        || {
            for n in 1..=rounds(2000) as u64 {
                clock.step(2 * n - 1, || upper.rename(&root, format!("u{n}")).unwrap());
                clock.step(2 * n, || lower.rename(&upper, format!("l{n}")).unwrap());
            }
        },
    );
}

/// S9: a node that moves between directories is in exactly one; its parent and its path are of one moment.
#[test]
fn a_node_was_in_two_directories_or_in_none() {
    let root = Root::new();
    let homes: Vec<Dir> = (0..3)
        .map(|n| root.create_dir(n.to_string(), 0o755).unwrap())
        .collect();
    let node = homes[0].create_dir("n", 0o755).unwrap();
    let leaf = node.create_dir("leaf", 0o755).unwrap();
    let clock = Clock::default();
    let home = |n: u64| (n % 3) as usize;
    clock.run(
        &[
            &|| {
                let (from, path, to) = clock.during(|| leaf.path());
                let seen = number(&path[1..2]);
                assert_eq!(&path[2..], b"/n/leaf");
                assert!(
                    (from..=to).any(|n| n % 3 == seen),
                    "{seen} in {from}..={to}"
                );
                let (from, parent, to) = clock.during(|| node.parent());
                let seen = homes
                    .iter()
                    .position(|h| parent.as_ref() == Some(h))
                    .unwrap();
                assert!((from..=to).any(|n| home(n) == seen));
            },
            &|| {
                for (at, dir) in homes.iter().enumerate() {
                    let (from, found, to) = clock.during(|| {
                        (
                            dir.find("n"),
                            root.walk(format!("{at}/n/leaf")),
                            dir.readdir(0, 3).len(),
                        )
                    });
                    let ever = (from..=to).any(|n| home(n) == at);
                    let always = (from..=to).all(|n| home(n) == at);
                    for there in [found.0.is_some(), found.1.is_some(), found.2 == 1] {
                        assert!(if there { ever } else { !always });
                    }
                }
            },
            &|| {
                // Link counts move with it, one by one.
                let sum: u32 = homes.iter().map(|h| h.stat().nlink - 2).sum();
                assert!(sum <= 3);
            },
        ],
        || {
            for n in 1..=rounds(3000) as u64 {
                clock.step(n, || node.rename(&homes[home(n)], "n").unwrap());
            }
        },
    );
    assert_eq!(homes.iter().map(|h| h.stat().nlink).sum::<u32>(), 7);
}

/// S10: what stays is listed exactly once, whatever comes, goes and is renamed beside it; with all sizes of batches.
#[test]
fn an_entry_that_stayed_was_listed_twice_or_not_at_all() {
    const STAY: usize = 300;
    let root = Root::new();
    let (a, b) = (
        root.create_dir("a", 0o755).unwrap(),
        root.create_dir("b", 0o755).unwrap(),
    );
    for n in 0..STAY {
        a.create_dir(format!("stay{n}"), 0o755).unwrap();
    }
    let movers: Vec<Dir> = (0..50)
        .map(|n| a.create_dir(format!("mover{n}"), 0o755).unwrap())
        .collect();
    let clock = Clock::default();
    let list = |batch: usize| {
        let (mut offset, mut stayed) = (0, HashSet::new());
        loop {
            let entries = a.readdir(offset, batch);
            for entry in &entries {
                assert!(entry.offset > offset, "backwards");
                offset = entry.offset;
                if entry.name.starts_with(b"stay") {
                    assert!(stayed.insert(entry.id), "twice");
                }
            }
            if entries.len() < batch {
                break;
            }
        }
        assert_eq!(stayed.len(), STAY);
    };
    clock.run(&[&|| list(1), &|| list(7), &|| list(1000)], || {
        let mut random = Random(3);
        for n in 0..rounds(2000) {
            let mover = &movers[random.below(50) as usize];
            let dir = if random.below(3) == 0 { &b } else { &a };
            mover.rename(dir, format!("m{n}")).unwrap();
            if let Some(node) = a.find("passing") {
                node.remove().unwrap();
            } else {
                a.create_dir("passing", 0o755).unwrap();
            }
        }
    });
}

/// Directories are moved into each other at random by several threads: no cycle, nothing lost, every path leads to its
/// node when all is quiet.
#[test]
fn directories_moved_into_each_other_were_lost() {
    const DIRS: usize = 24;
    let root = Root::new();
    let dirs: Vec<Dir> = (0..DIRS)
        .map(|n| root.create_dir(format!("d{n}"), 0o755).unwrap())
        .collect();
    let moved = AtomicU64::new(0);
    thread::scope(|s| {
        for seed in 1..4 {
            let (dirs, root, moved) = (&dirs, &root, &moved);
            s.spawn(move || {
                let mut random = Random(seed * 77);
                for _ in 0..rounds(1500) {
                    let one = random.below(DIRS as u64) as usize;
                    let two = random.below(DIRS as u64 + 2) as usize;
                    let to = dirs.get(two).cloned().unwrap_or(root.dir());
                    match dirs[one].rename(&to, format!("d{one}")) {
                        Ok(()) => _ = moved.fetch_add(1, SeqCst),
                        Err(error) => assert_eq!(error.errno(), Errno::EINVAL, "below itself"),
                    }
                    let path = dirs[two % DIRS].path();
                    assert!(
                        path.len() <= 4 * (DIRS + 1),
                        "a cycle: {}",
                        path.escape_ascii()
                    );
                    if let Some(node) = root.walk(&path) {
                        assert_eq!(node, dirs[two % DIRS].clone().into());
                    }
                    let _ = dirs[one].path_from(&dirs[two % DIRS]).unwrap();
                }
            });
        }
    });
    assert!(moved.into_inner() > 100);
    let mut found = 0;
    let mut todo = vec![root.dir()];
    while let Some(dir) = todo.pop() {
        let entries: Vec<_> = dir.entries().collect();
        assert_eq!(dir.stat().nlink as usize, 2 + entries.len());
        for entry in entries {
            found += 1;
            todo.push(dir.find(&entry.name).unwrap().as_dir().unwrap());
        }
    }
    assert_eq!(found, DIRS);
    for dir in &dirs {
        assert_eq!(root.walk(dir.path()), Some(dir.clone().into()));
    }
}

/// S1 with moves: files are renamed, hidden, opened and used while they and what they are in are removed.
#[test]
fn a_callback_ran_after_removal_while_files_moved() {
    struct Item {
        file: File,
        log: Arc<Log>,
    }
    let root = Root::new();
    let dirs: Vec<Dir> = (0..4)
        .map(|n| root.create_dir(n.to_string(), 0o755).unwrap())
        .collect();
    let make = |n: usize| {
        let (ops, log) = Checked::new();
        let file = dirs[n % 4]
            .create_file(format!("f{n}"), 0o644, 0, ops)
            .unwrap();
        Item { file, log }
    };
    let items: Vec<Item> = (0..rounds(120)).map(make).collect();
    let gone = |error: &kernfs::Error| {
        assert!(
            matches!(error.errno(), Errno::ENODEV | Errno::ENOENT | Errno::EEXIST),
            "{error}"
        );
    };
    let next = AtomicU64::new(0);
    thread::scope(|s| {
        for seed in 1..3 {
            let (items, dirs, next) = (&items, &dirs, &next);
            s.spawn(move || {
                let mut random = Random(seed);
                // Each item is removed by one of the two; near it, things happen.
                loop {
                    let now = next.load(SeqCst) as usize;
                    if now >= items.len() {
                        return;
                    }
                    let item = &items[(now + random.below(6) as usize) % items.len()];
                    match random.below(6) {
                        0 => {
                            let at = next.fetch_add(1, SeqCst) as usize;
                            if let Some(item) = items.get(at) {
                                item.file.remove().unwrap();
                                item.log.poison();
                            }
                        }
                        1 => {
                            let to = &dirs[random.below(4) as usize];
                            let name = format!("m{}", random.below(1000));
                            let _ = item.file.rename(to, name).map_err(|e| gone(&e));
                        }
                        2 => {
                            item.file.hide().unwrap();
                            item.file.show().unwrap();
                        }
                        _ => {
                            let open = match item.file.open(OpenFlags::RDWR) {
                                Ok(open) => open,
                                Err(error) => {
                                    gone(&error);
                                    continue;
                                }
                            };
                            for _ in 0..3 {
                                let _ = open.write_at(b"x", 0).map_err(|e| gone(&e));
                                let _ = open.read_at(&mut [0; 16], 0).map_err(|e| gone(&e));
                                let _ = open.poll();
                            }
                            item.file.notify();
                            let path = item.file.path();
                            if let Some(node) = dirs[0].parent().unwrap().walk(&path) {
                                assert_eq!(node.kind(), kernfs::Kind::File);
                            }
                        }
                    }
                }
            });
        }
    });
    for item in &items {
        item.file.remove().unwrap();
        assert_eq!(item.log.get(|l| &l.faults), 0, "{:?}", item.log);
        assert_eq!(item.log.get(|l| &l.opens), item.log.get(|l| &l.releases));
        assert_eq!(item.log.get(|l| &l.alive), 0);
    }
    let used: usize = items.iter().map(|i| i.log.get(|l| &l.calls)).sum();
    assert!(used > 100, "{used} calls");
    assert!(dirs.iter().all(|d| d.entries().count() == 0));
    drop((items, dirs));
    for _ in 0..4 {
        urcu::Memb::barrier();
    }
    assert_eq!(root.stats().nodes, 5);
}

/// R1: two threads removed one name, and one used what the other had freed.
#[test]
fn two_removers_of_one_name_used_what_was_freed() {
    let root = Root::new();
    let (won, made) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    thread::scope(|s| {
        let _over = Sets(&over);
        for _ in 0..2 {
            s.spawn(|| {
                while !over.load(SeqCst) {
                    match root.remove_by_name("f") {
                        Ok(()) => _ = won.fetch_add(1, SeqCst),
                        Err(error) => assert_eq!(error.errno(), Errno::ENOENT),
                    }
                }
            });
        }
        for _ in 0..rounds(2000) {
            match root.attr("f", ro(|| 1)) {
                Ok(_) => _ = made.fetch_add(1, SeqCst),
                Err(error) => assert_eq!(error.errno(), Errno::EEXIST),
            }
        }
    });
    let left = u64::from(root.remove_by_name("f").is_ok());
    assert_eq!(won.into_inner() + left, made.into_inner());
    for _ in 0..4 {
        urcu::Memb::barrier();
    }
    assert_eq!(root.stats().nodes, 1);
    let _: Option<Node> = root.find("f");
}

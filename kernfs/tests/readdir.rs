//! Listing a directory, also while it changes.

mod common;

use std::collections::BTreeSet;
use std::thread;

use common::Random;
use kernfs::{Kind, Root, ro};

#[test]
fn a_listing_has_every_entry_once() {
    let root = Root::new();
    for n in 0..1000 {
        root.create_dir(format!("node{n}"), 0o755).unwrap();
    }
    for batch in [1, 7, 64, 5000] {
        let mut names = BTreeSet::new();
        let mut offset = 0;
        loop {
            let entries = root.readdir(offset, batch);
            for entry in &entries {
                assert!(entry.offset > offset && entry.offset >= 1 << 33);
                assert!(i64::try_from(entry.offset).is_ok());
                offset = entry.offset;
                assert_eq!(root.find(&entry.name).map(|n| n.id()), Some(entry.id));
                assert!(names.insert(entry.name.clone()), "twice");
            }
            if entries.len() < batch {
                break;
            }
        }
        assert_eq!(names.len(), 1000);
    }
    assert_eq!(root.entries().count(), 1000);
    assert_eq!(root.readdir(0, 0), []);
    assert_eq!(root.readdir(u64::MAX, 10), []);
}

#[test]
fn entries_say_what_they_are() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    root.attr("f", ro(|| 1)).unwrap();
    root.create_link("l", &dir).unwrap();
    let mut kinds: Vec<_> = root.entries().map(|e| (e.name, e.kind)).collect();
    kinds.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        kinds,
        [
            (b"d".to_vec(), Kind::Dir),
            (b"f".to_vec(), Kind::File),
            (b"l".to_vec(), Kind::Link)
        ]
    );
}

#[test]
fn a_listing_goes_on_behind_a_removed_entry() {
    let root = Root::new();
    for n in 0..100 {
        root.create_dir(n.to_string(), 0o755).unwrap();
    }
    let all = root.readdir(0, 100);
    // The entry where the listing stopped, and the two behind it, go.
    for entry in &all[10..13] {
        root.remove_by_name(&entry.name).unwrap();
    }
    assert_eq!(root.readdir(all[10].offset, 100), all[13..]);
    assert_eq!(root.readdir(all[9].offset, 100), all[13..]);
}

#[test]
fn what_stays_is_listed_exactly_once_under_churn() {
    const STAY: u64 = 500;
    let root = Root::new();
    for n in 0..STAY {
        root.create_dir(format!("stay{n}"), 0o755).unwrap();
    }
    thread::scope(|s| {
        let readers: Vec<_> = [1_usize, 5, 64]
            .map(|batch| {
                let root = &root;
                s.spawn(move || {
                    for _ in 0..20 {
                        let (mut offset, mut stayed) = (0, 0);
                        loop {
                            let entries = root.readdir(offset, batch);
                            for entry in &entries {
                                assert!(entry.offset > offset, "listed twice");
                                offset = entry.offset;
                                stayed += u64::from(entry.name.starts_with(b"stay"));
                                assert!(!entry.name.starts_with(b"never"));
                            }
                            if entries.len() < batch {
                                break;
                            }
                        }
                        assert_eq!(stayed, STAY);
                    }
                })
            })
            .into_iter()
            .collect();
        let mut random = Random(11);
        while readers.iter().any(|r| !r.is_finished()) {
            let name = format!("goes{}", random.below(300));
            if root.create_dir(&name, 0o755).is_err() {
                root.remove_by_name(&name).unwrap();
            }
        }
    });
}

#[test]
fn a_removed_directory_lists_nothing() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    for n in 0..100 {
        dir.create_dir(n.to_string(), 0o755).unwrap();
    }
    let mut entries = dir.entries();
    assert!(entries.next().is_some());
    dir.remove().unwrap();
    assert_eq!(dir.readdir(0, 10), []);
    assert_eq!(entries.count(), 63, "the rest of the batch that was copied");
}

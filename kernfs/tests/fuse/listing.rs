//! Large directories.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use kernfs::{Dir, ro};

use crate::support::{StopOnDrop, with_mount};

const ENTRIES: usize = 100_000;
/// So many more come and go.
const PASSING: usize = 50;

fn add(dir: &Dir, name: &str) {
    dir.attr(name, ro(|| 1)).expect("a new name");
}

/// What a listing shows, each once.
fn list(dir: &Path) -> HashSet<String> {
    let mut seen = HashSet::new();
    for entry in fs::read_dir(dir).expect("opendir") {
        let name = entry.expect("an entry").file_name();
        let name = name.into_string().expect("ASCII");
        assert!(!seen.contains(&name), "{name} twice");
        seen.insert(name);
    }
    seen
}

#[test]
fn a_hundred_thousand_entries_are_listed_once_each_while_others_come_and_go() {
    let stays = |n: usize| format!("stays-{n}");
    with_mount(
        |root| (0..ENTRIES).for_each(|n| add(root, &stays(n))),
        |setup| {
            let wanted: HashSet<String> = (0..ENTRIES).map(stays).collect();
            assert!(list(&setup.path) == wanted, "nothing else is there");
            let (stop, passed) = (AtomicBool::new(false), AtomicUsize::new(0));
            thread::scope(|scope| {
                let _stop = StopOnDrop(&stop);
                // A name is not used again: it might be listed as often as it was there.
                scope.spawn(|| {
                    for n in 0.. {
                        add(&setup.root, &format!("passes-{n}"));
                        if let Some(old) = usize::checked_sub(n, PASSING) {
                            let old = format!("passes-{old}");
                            setup.root.remove_by_name(old).expect("there");
                        }
                        passed.store(n, Relaxed);
                        if stop.load(Relaxed) {
                            return;
                        }
                    }
                });
                let mut between = 0;
                while between < 2 {
                    let before = passed.load(Relaxed);
                    let seen = list(&setup.path);
                    let missing = wanted.difference(&seen).next();
                    assert_eq!(missing, None, "it was there all the time");
                    // Of those that came and went only what was there at some moment of it.
                    let after = passed.load(Relaxed) + 1;
                    for name in seen.difference(&wanted) {
                        let n = name.strip_prefix("passes-").expect("what is made");
                        let n: usize = n.parse().expect("a number");
                        assert!(n + PASSING + 1 >= before && n <= after, "{n}");
                    }
                    between += usize::from(after - before > PASSING);
                }
            });
        },
    );
}

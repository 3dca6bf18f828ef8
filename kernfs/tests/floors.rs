//! The files of the crate stand on floors: each uses only those below it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// From the ground up.
const FLOORS: &[&[&str]] = &[
    &["sys", "atomic", "docs"],
    &["caught"],
    &["slow", "order"],
    &[
        "error", "flags", "held", "active", "bell", "life", "pending", "locks", "watch", "ns",
        "state", "cred", "pollers", "step",
    ],
    &["name", "mode", "cx", "seq", "notify", "xattr", "limits"],
    &["records", "reader", "guarded", "memory", "uevent", "spare"],
    &["opened"],
    &["ops", "tree", "record"],
    &["open_node"],
    &["inner"],
    &["path", "lookup"],
    &["open"],
    &["file_ops", "remove"],
    &["node", "self_removal", "poll", "mapping", "changes"],
    &[
        "file", "dir", "create", "attrs", "readdir", "root", "show", "host", "within",
    ],
    &["attr", "rename", "syscalls", "metrics"],
    &["values", "bin", "group"],
    &["object"],
    &["fuse", "kernel", "open_tests", "pass_tests"],
];

/// The modules of the crate that a source line names.
fn uses(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or("");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `pub(crate)::` does not exist; `$crate::` and `urcu_crate::` are not ours.
        let rest = &code[at + "crate::".len()..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        found.push(&rest[..end]);
    }
    found
}

#[test]
fn every_file_uses_only_lower_floors() {
    let floor: HashMap<&str, usize> = (0..)
        .zip(FLOORS)
        .flat_map(|(n, names)| names.iter().map(move |name| (*name, n)))
        .collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    for entry in fs::read_dir(src).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .file_stem()
            .and_then(|n| n.to_str())
            .unwrap()
            .to_owned();
        if name == "lib" || path.is_dir() {
            continue;
        }
        let own = floor
            .get(&*name)
            .unwrap_or_else(|| panic!("{name}.rs has no floor"));
        let text = fs::read_to_string(&path).unwrap();
        // Tests may use the whole crate.
        let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        for (n, line) in (1..).zip(code.lines()) {
            for used in uses(line) {
                let other = floor.get(used);
                let other = other.unwrap_or_else(|| panic!("{name}.rs:{n}: crate::{used}?"));
                assert!(
                    other < own,
                    "{name}.rs:{n} (floor {own}) uses {used} (floor {other})"
                );
            }
        }
        checked += 1;
    }
    let files = FLOORS.iter().map(|names| names.len()).sum::<usize>() - 1; // fuse is a directory
    assert_eq!(checked, files, "a floor names a file that is not there");
}

#[test]
fn the_check_sees_uses() {
    assert_eq!(uses("use crate::open::{self, OpenFile};"), ["open"]);
    assert_eq!(
        uses("    crate::path::full(crate::node::x())"),
        ["path", "node"]
    );
    assert_eq!(uses("/// see [`crate::node`]"), Vec::<&str>::new());
    assert_eq!(uses("pub(crate) fn x() {}"), Vec::<&str>::new());
}

#[test]
fn all_system_calls_are_in_one_file() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut dirs = vec![src];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if !path.ends_with("src/sys.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().filter_map(|l| l.split("//").next());
                assert!(
                    !code
                        .into_iter()
                        .any(|l| l.contains("libc::") || l.contains("unsafe {")),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

//! The files of the mount stand on floors too: each uses only those below it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// From the ground up. `mod` and the files of tests are left out: they see everything.
const FLOORS: &[&[&str]] = &[
    &[
        "abi", "poker", "signals", "helper", "retry", "handles", "load",
    ],
    &["channel", "request", "listing", "table", "mountpoint"],
    &["init", "adapter", "slot", "place"],
    &["attributes", "exit", "limit"],
    &["options"],
    &["notifier"],
    &["listener", "session"],
    &["threads"],
    &["mount"],
];

#[test]
fn every_file_of_the_mount_uses_only_lower_floors() {
    let floor: HashMap<&str, usize> = (0..)
        .zip(FLOORS)
        .flat_map(|(n, names)| names.iter().map(move |name| (*name, n)))
        .collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fuse");
    let mut checked = 0;
    for entry in fs::read_dir(src).expect("the sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|n| n.to_str()).expect("ASCII");
        if name == "mod" || name.ends_with("_tests") {
            continue;
        }
        let own = floor
            .get(name)
            .unwrap_or_else(|| panic!("{name}.rs has no floor"));
        for line in fs::read_to_string(&path).expect("UTF-8").lines() {
            let code = line.split("//").next().unwrap_or("");
            for used in code.split("super::").skip(1) {
                let end = used.find(|c: char| !c.is_alphanumeric() && c != '_');
                let used = &used[..end.unwrap_or(used.len())];
                if let Some(other) = floor.get(used) {
                    assert!(other < own, "{name}.rs uses {used}, which is not below it");
                }
            }
        }
        checked += 1;
    }
    let files: usize = FLOORS.iter().map(|names| names.len()).sum();
    assert_eq!(checked, files, "a floor names a file that is not there");
}

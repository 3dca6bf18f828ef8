//! A file imports only from lower floors: the table is the order, the test holds it.

use std::fs;
use std::path::Path;

/// From the ground up. A folder is one floor.
const FLOORS: [&str; 31] = [
    "sys",
    "sysfs",
    "dice",
    "settings",
    "verdict",
    "heap",
    "atfork",
    "samples",
    "placement",
    "effort",
    "chart",
    "peer",
    "grace",
    "peers",
    "work",
    "rounds",
    "repeat",
    "trees",
    "inline",
    "probe",
    "sections",
    "tree_sections",
    "aims",
    "tree_aims",
    "table",
    "json",
    "svg",
    "story",
    "tree_story",
    "options",
    "driver",
];

/// The same for `rcutorture`.
const TORTURE: [&str; 25] = [
    "weather",
    "options",
    "hooks",
    "faults",
    "stutter",
    "mail",
    "pool",
    "state",
    "ops",
    "controls",
    "flavors",
    "sleepers",
    "parcels",
    "read",
    "signals",
    "update",
    "callbacks",
    "churn",
    "forks",
    "stalls",
    "progress",
    "report",
    "watchdog",
    "run",
    "suite",
];

/// The same for `kernfs_torture`.
const KERNFS_TORTURE: [&str; 28] = [
    "errno",
    "calls",
    "allowed",
    "tally",
    "text",
    "contents",
    "names",
    "paths",
    "sys",
    "held",
    "progress",
    "place",
    "client",
    "io",
    "attributes",
    "process",
    "controls",
    "options",
    "faults",
    "gate",
    "daemon",
    "tree",
    "owner",
    "victims",
    "samples",
    "watchdog",
    "report",
    "run",
];

#[test]
fn imports_go_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    go_down(root, "lib.rs", "\npub mod ", &FLOORS);
}

#[test]
fn imports_of_rcutorture_go_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rcutorture");
    go_down(&root, "main.rs", "\nmod ", &TORTURE);
}

#[test]
fn imports_of_kernfs_torture_go_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernfs_torture");
    go_down(&root, "main.rs", "\nmod ", &KERNFS_TORTURE);
}

fn go_down(root: &Path, front_page: &str, module: &str, floors: &[&str]) {
    let front_page = fs::read_to_string(root.join(front_page)).expect("a front page");
    let modules = front_page.matches(module).count();
    assert_eq!(modules, floors.len(), "a module is on no floor");
    for (floor, name) in floors.iter().enumerate() {
        for (file, source) in sources(root, name) {
            for import in imports(&source) {
                let below = floors.iter().position(|name| *name == import);
                assert!(
                    below.is_some_and(|below| below < floor || import == *name),
                    "{file}, on the floor of {name}, imports {import}"
                );
            }
        }
    }
}

fn sources(root: &Path, name: &str) -> Vec<(String, String)> {
    let single = root.join(name).with_extension("rs");
    let paths = if single.exists() {
        vec![single]
    } else {
        fs::read_dir(root.join(name))
            .expect("a file or a folder for each floor")
            .map(|entry| entry.expect("a readable folder").path())
            .collect()
    };
    paths
        .iter()
        .map(|path| {
            let source = fs::read_to_string(path).expect("a source file");
            (path.display().to_string(), source)
        })
        .collect()
}

/// The module after each `crate::`, outside comments.
fn imports(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        })
}

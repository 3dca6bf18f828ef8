//! A file imports only from lower floors: the table is the order, the test holds it.

use std::fs;
use std::path::Path;

/// From the ground up. A folder is one floor.
const FLOORS: [&str; 13] = [
    "sys",
    "samples",
    "placement",
    "effort",
    "peer",
    "grace",
    "peers",
    "rounds",
    "survey",
    "measures",
    "table",
    "json",
    "options",
];

#[test]
fn imports_go_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let front_page = fs::read_to_string(root.join("lib.rs")).expect("lib.rs");
    let modules = front_page.matches("\npub mod ").count();
    assert_eq!(modules, FLOORS.len(), "a module is on no floor");
    for (floor, name) in FLOORS.iter().enumerate() {
        for (file, source) in sources(root, name) {
            for import in imports(&source) {
                let below = FLOORS.iter().position(|name| *name == import);
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

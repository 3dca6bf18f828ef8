//! The README's tables of kernel names: each name in them exists, and each name that exists is in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names in the first column of the README's table with this header.
fn table(readme: &str, header: &str) -> BTreeSet<String> {
    let (_, table) = readme.split_once(header).expect(header);
    table
        .lines()
        .skip(2) // the rest of the header, and the line below
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

fn readme() -> String {
    fs::read_to_string(workspace().join("README.md")).unwrap()
}

/// The text of all sources of a crate.
fn sources(dir: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    text
}

/// The functions of `urcu::kernel`.
fn functions() -> BTreeSet<String> {
    let functions: BTreeSet<String> = sources(&workspace().join("urcu/src/kernel"))
        .lines()
        .filter_map(|line| line.strip_prefix("pub "))
        .filter_map(|line| line.split_once("fn "))
        .filter_map(|(_, rest)| rest.split(['(', '<']).next())
        .map(str::to_owned)
        .collect();
    assert!(functions.contains("rcu_read_lock"), "{functions:?}");
    functions
}

#[test]
fn the_readme_and_urcu_kernel_have_the_same_names() {
    assert_eq!(table(&readme(), "| kernel | urcu |"), functions());
}

#[test]
fn the_names_that_urcu_kernel_says_it_has_not_are_not_there() {
    let page = sources(&workspace().join("urcu/src/kernel")).replace("//! ", "");
    let missing = table(&page, "| kernel | why |");
    assert!(missing.contains("rcu_read_lock_bh"), "{missing:?}");
    let there: Vec<_> = missing.intersection(&functions()).cloned().collect();
    assert!(there.is_empty(), "{there:?}");
}

#[test]
fn the_other_names_of_the_readme_are_found_by_searching_the_documentation() {
    let readme = readme();
    for (header, sources) in [
        ("| liburcu | urcu |", sources(&workspace().join("urcu/src"))),
        (
            "| kernel | kernfs |",
            sources(&workspace().join("kernfs/src")),
        ),
    ] {
        let names = table(&readme, header);
        assert!(names.len() > 4, "{header}: {names:?}");
        for name in names {
            let alias = format!("#[doc(alias = \"{name}\")]");
            assert!(sources.contains(&alias), "{header}: no {alias}");
        }
    }
}

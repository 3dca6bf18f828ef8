//! The table in `src/tests/litmus/mod.rs` names tests that exist, for every guarantee.

use std::fs;
use std::path::Path;

/// All sources and tests of the crate but the table's own file up to its code.
fn everything(table: &str) -> String {
    fn read(dir: &Path, into: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                *into += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for dir in ["src", "tests"] {
        read(&root.join(dir), &mut text);
    }
    text.replace(table, "")
}

/// `fn name`, `every_flavor!(name`, or a litmus test's name in quotes.
fn is_there(name: &str, everything: &str) -> bool {
    let ways = [
        format!("fn {name}"),
        format!("every_flavor!({name},"),
        format!("every_flavor!(\n    {name},"),
        format!("\"{name}\""),
    ];
    ways.iter().any(|way| everything.contains(way))
}

#[test]
fn the_table_of_guarantees_names_tests_that_exist() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/litmus/mod.rs");
    let file = fs::read_to_string(path).unwrap();
    let table = file.split("\nmod ").next().unwrap();
    let everything = everything(table);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("//! | 2."))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let ids: Vec<_> = rows.iter().map(|row| row[1]).collect();
    for n in 1..=20 {
        assert!(ids.contains(&format!("2.{n}").as_str()), "2.{n} has no row");
    }
    for row in rows {
        let names: Vec<_> = row[3].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{} has no test", row[1]);
        for name in names.iter().filter(|name| **name != "Result") {
            assert!(is_there(name, &everything), "{}: no test {name}", row[1]);
        }
    }
    // Put together here, or this file would have it.
    assert!(!is_there(&["a_test", "that_is_not"].join("_"), &everything));
}

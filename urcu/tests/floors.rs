//! The floors of `src`: a file imports only from lower floors, so the modules have no cycles and can be
//! read from the ground up.
//!
//! Also: libc is called in `sys.rs` only, `lib.rs` has no code, each file opens with what it is.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up; the modules of one floor do not know each other. A directory counts as one module.
const FLOORS: &[&[&str]] = &[
    // every system call; cache padding; the reader word; from a field to the whole; what
    // /proc says of a thread; pointers on lists; hints to the caches
    &[
        "sys",
        "pad",
        "word",
        "container",
        "activity",
        "provenance",
        "prefetch",
    ],
    // the atomics; what a reader has found and may count
    &["atomic", "borrowed"],
    // counters; the lock-free list of the kernel; thread-local words; the pin; a callback and its head; how
    // many CPUs there are; a task and what wakes it
    &["stats", "llist", "tls", "pin", "head", "cpus", "task"],
    // who the calling thread is; waiting for who is between two instructions
    &["identity", "backoff"],
    // the asymmetric barrier; futex and event count; reader slots; the queue of one consumer
    &["barrier", "park", "arena", "owned", "wfcq"],
    // callbacks that wait; who holds a grace period back
    &["queue", "stall"],
    // one worker's share of them
    &["shard"],
    // all of a domain's, and how many may wait
    &["backlog"],
    // events for a hook
    &["trace"],
    // the one grace-period engine
    &["gp"],
    // who keeps an engine; what a worker does before it leaves
    &["home", "leave"],
    // what differs between memb, mb and qsbr; the thread that runs callbacks
    &["flavor", "worker"],
    // how a thread gets a slot, and whether it may wait
    &["register"],
    // read sections
    &["guard", "ring"],
    // registration as a value
    &["thread"],
    // what a domain does; call_rcu
    &["domain", "call"],
    // the bound on what waits
    &["bound"],
    // unpublished objects, and counts of such; cookies
    &["retire", "retired_arc", "poll"],
    // unpublished objects that know when they may be taken; ids; the stack
    &["started", "idr", "lfs"],
    // the pointer, and the pointer to a shared object; domains as values
    &["ptr", "arc", "srcu"],
    // fork; the maps
    &["fork", "hash", "ord"],
    &["locked"],
    // lists with a writer
    &["list"],
    // the C names, and the longer texts; nothing in the house imports them
    &["kernel", "docs"],
    &["lib"],
];

/// Only compiled for tests.
const TESTS: &[&str] = &[
    "tests/",
    "flavor/sabotaged.rs",
    "ord/tests/",
    "arena/tests.rs",
    "worker/tests.rs",
    "hash/tests/",
    "hash/fault.rs",
];

struct Source {
    /// Relative to `src`.
    path: String,
    /// Without comments and without the test module.
    code: String,
    text: String,
}

fn sources() -> Vec<Source> {
    fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let relative = |path: &PathBuf| {
        path.strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let sources = paths.iter().map(|path| {
        let text = fs::read_to_string(path).unwrap();
        Source {
            path: relative(path),
            code: without_tests_and_comments(&text),
            text,
        }
    });
    sources
        .filter(|source| !TESTS.iter().any(|test| source.path.starts_with(test)))
        .collect()
}

fn without_tests_and_comments(text: &str) -> String {
    let end = text
        .find("\n#[cfg(test)]\nmod tests {")
        .unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| {
        let code = line.find("//").map_or(line, |at| &line[..at]);
        code.to_owned() + "\n"
    });
    lines.collect()
}

/// `flavor/memb.rs` and `flavor/mod.rs` are `flavor`.
fn module_of(path: &str) -> &str {
    let first = path.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The modules that follow `crate::`; for a `{` or a re-exported name what stands there.
fn imports(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("crate::").map(|(at, prefix)| {
        let rest = &code[at + prefix.len()..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        if end == 0 { &rest[..1] } else { &rest[..end] }
    })
}

/// What is wrong with the imports of a file.
fn faults(path: &str, code: &str) -> Vec<String> {
    let module = module_of(path);
    let Some(floor) = floor_of(module) else {
        return vec![format!("{path} has no floor")];
    };
    let bad = imports(code)
        .filter(|&import| import != module && floor_of(import).is_none_or(|f| f >= floor));
    bad.map(|import| format!("{path} (floor {floor}) imports crate::{import}"))
        .collect()
}

#[test]
fn imports_run_down_the_floors() {
    let sources = sources();
    assert!(sources.len() > 20, "the sources were not found");
    let faults: Vec<_> = sources
        .iter()
        .flat_map(|s| faults(&s.path, &s.code))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for module in FLOORS.iter().copied().flatten() {
        let exists = sources
            .iter()
            .any(|source| module_of(&source.path) == *module);
        assert!(exists, "{module} has a floor and no file");
    }
}

#[test]
fn a_fault_is_found() {
    assert_eq!(
        faults("gp.rs", "use crate::arena::{Arena, Slot};\n"),
        [""; 0]
    );
    assert_eq!(
        faults("flavor/memb.rs", "use crate::flavor::PUBLISH;\n"),
        [""; 0]
    );
    for (path, code) in [
        ("arena/mod.rs", "use crate::gp::Engine;\n"), // upward
        ("arena/mod.rs", "    crate::barrier::light();\n"), // the same floor, without `use`
        ("ptr.rs", "use crate::{Guard, retire::Retired};"), // through the front page
        ("guard.rs", "$crate::thread::Thread"),       // in a macro
        ("new.rs", ""),                               // unknown
    ] {
        assert_eq!(faults(path, code).len(), 1, "{path}: {code}");
    }
}

#[test]
fn libc_is_called_in_sys_only() {
    for source in sources() {
        assert!(
            source.path == "sys.rs" || !source.code.contains("libc::"),
            "{}",
            source.path
        );
    }
}

#[test]
fn the_front_page_has_no_code() {
    let sources = sources();
    let front = sources
        .iter()
        .find(|source| source.path == "lib.rs")
        .unwrap();
    for line in front.code.lines().filter(|line| !line.trim().is_empty()) {
        let allowed = ["mod ", "pub mod ", "pub use ", "#[cfg(", "#![", "}", "    "];
        assert!(
            allowed.iter().any(|start| line.starts_with(start)),
            "{line}"
        );
        assert!(!line.contains("fn "), "{line}");
    }
}

#[test]
fn each_file_says_what_it_is_and_is_short() {
    for source in sources() {
        assert!(
            source.text.starts_with("//! "),
            "{} has no header",
            source.path
        );
        assert!(source.text.is_ascii(), "{} is not ASCII", source.path);
        assert!(
            source.text.lines().count() <= 600,
            "{} is long",
            source.path
        );
    }
}

//! Very deep trees: nothing recurses. (Test threads have a stack of 2 MiB.)

use kernfs::{Dir, Node, Root};

const LEVELS: usize = 100_000;

fn deep(root: &Root) -> Dir {
    (0..LEVELS).fold(root.dir(), |dir, _| dir.create_dir("d", 0o755).unwrap())
}

fn settle() {
    for _ in 0..3 {
        urcu::Memb::barrier();
    }
}

#[test]
fn a_deep_tree_is_removed_and_its_last_handle_frees_it() {
    let root = Root::new();
    let deepest = deep(&root);
    assert_eq!(deepest.path().len(), 2 * LEVELS);
    assert_eq!(root.path_from(&deepest).unwrap().len(), 3 * LEVELS);
    root.remove_by_name("d").unwrap();
    settle();
    assert!(!deepest.is_active());
    // The handle keeps all its parents.
    assert_eq!(root.stats().nodes, 1 + LEVELS as u64);
    drop(deepest);
    assert_eq!(root.stats().nodes, 1);
}

#[test]
fn a_deep_tree_goes_with_its_root() {
    let root = Root::new();
    drop(deep(&root));
    drop(root);
    settle();
}

#[test]
fn a_long_chain_of_links_to_links_is_freed() {
    let root = Root::new();
    let mut last: Node = root.create_dir("d", 0o755).unwrap().into();
    let dir = root.create_dir("links", 0o755).unwrap();
    for n in 0..20_000 {
        last = dir.create_link(n.to_string(), &last).unwrap().into();
    }
    dir.remove().unwrap();
    root.remove_by_name("d").unwrap();
    drop(dir);
    settle();
    assert!(root.stats().nodes > 20_000);
    drop(last);
    assert_eq!(root.stats().nodes, 1);
}

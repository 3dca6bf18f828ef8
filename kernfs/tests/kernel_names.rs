//! The kernel's names do what the methods do.

mod common;

use common::{Checked, errno};
use kernfs::kernel::*;
use kernfs::{Errno, Kind, Ns, OpenFlags, PollFlags, RootFlags, SetAttr, XattrHow};

#[test]
fn the_kernels_names_work() {
    let root = kernfs_create_root(RootFlags::EXTRA_OPEN_PERM_CHECK);
    let top = kernfs_root_to_node(&root);
    let a = kernfs_create_dir(&root, "a", 0o755).unwrap();
    let (ops, log) = Checked::new();
    let f = kernfs_create_file(&a, "f", 0o644, 0, ops).unwrap();
    let l = kernfs_create_link(&root, "l", &f).unwrap();
    assert_eq!(kernfs_find_and_get(&top, "l"), Some(l.into()));
    assert_eq!(kernfs_walk_and_get(&root, "a/f"), Some(f.clone().into()));
    assert_eq!(kernfs_get_parent(&f), Some(a.clone()));
    assert_eq!(kernfs_name(&f), b"f");
    assert_eq!(kernfs_path(&f), b"/a/f");
    assert_eq!(kernfs_path_from_node(&top, Some(&f)).unwrap(), b"/../..");

    let open = f.open(OpenFlags::READ).unwrap();
    open.read_at(&mut [0; 8], 0).unwrap();
    kernfs_notify(&f);
    assert_eq!(kernfs_generic_poll(&open), PollFlags::CHANGED);
    kernfs_remove(Some(&f)).unwrap();
    assert_eq!(open.poll(), PollFlags::DEAD);
    kernfs_remove_by_name(&root, "a").unwrap();
    assert_eq!(errno(kernfs_remove_by_name(&root, "a")), Errno::ENOENT);
    assert!(!a.is_active() && top.is_active());
    kernfs_destroy_root(root).unwrap();
    assert!(!top.is_active());
    log.poison();
    drop(open);
    assert_eq!(log.get(|l| &l.faults), 0);
}

#[test]
fn the_rest_of_the_names_work() {
    let root = kernfs_create_root(RootFlags::CREATE_DEACTIVATED);
    let top = kernfs_root_to_node(&root);
    let a = kernfs_create_dir_ns(&top, "a", 0o755, 7, 8, None).unwrap();
    kernfs_enable_ns(&a).unwrap();
    assert!(kernfs_ns_enabled(&a) && !kernfs_ns_enabled(&top));
    let ns = Ns::new(5);
    let (ops, _log) = Checked::new();
    let f = __kernfs_create_file(&a, "f", 0o644, 1, 2, 3, ops, ns).unwrap();
    assert!(kernfs_find_and_get_node_by_id(&root, f.id()).is_none());
    kernfs_activate(&top);
    assert_eq!(
        kernfs_find_and_get_node_by_id(&root, f.id()),
        Some(kernfs_get(&f))
    );
    assert_eq!(kernfs_root_flags(&f), RootFlags::CREATE_DEACTIVATED);
    assert_eq!(kernfs_find_and_get_ns(&a, "f", ns), Some(f.clone().into()));
    assert_eq!(
        kernfs_walk_and_get_ns(&top, "a/f", ns),
        Some(f.clone().into())
    );
    assert_eq!(kernfs_type(&f), Kind::File);
    assert_eq!(kernfs_path_from_node(&f, None).unwrap(), b"/a/f");
    kernfs_show(&f, false).unwrap();
    assert!(!f.is_active());
    kernfs_show(&f, true).unwrap();
    kernfs_rename_ns(&f, &a, Some(b"g"), ns).unwrap();
    kernfs_rename(&f, &a, "h").unwrap();
    let mode = Some(0o600);
    kernfs_setattr(
        &f,
        &SetAttr {
            mode,
            ..SetAttr::default()
        },
    )
    .unwrap();
    assert_eq!((f.mode(), f.stat().uid, f.stat().gid), (0o600, 1, 2));
    kernfs_xattr_set(&f, "trusted.x", Some(b"1"), XattrHow::Set).unwrap();
    assert_eq!(kernfs_xattr_get(&f, "trusted.x").unwrap(), b"1");
    kernfs_xattr_set(&f, "trusted.x", None, XattrHow::Set).unwrap();
    kernfs_remove_by_name_ns(&a, "h", ns).unwrap();
    let e = kernfs_create_empty_dir(&top, "e").unwrap();
    assert_eq!(errno(kernfs_create_dir(&e, "x", 0o755)), Errno::ENOENT);
    kernfs_put(f.into());
}

/// R2: `kernfs_remove(NULL)` was an oops (CVE-2022-50148).
#[test]
fn removing_null_was_an_oops() {
    kernfs_remove(None).unwrap();
}

/// All the functions of the kernel's interface.
const NAMES: &str = "create_root destroy_root root_to_node root_flags create_dir create_dir_ns create_empty_dir
    __kernfs_create_file create_file create_file_ns create_link activate show remove remove_by_name
    remove_by_name_ns remove_self break_active_protection unbreak_active_protection rename rename_ns find_and_get
    find_and_get_ns walk_and_get walk_and_get_ns find_and_get_node_by_id get put get_parent name type
    path_from_node path enable_ns ns_enabled setattr xattr_get xattr_set notify generic_poll get_tree
    free_fs_context kill_sb super_ns root_from_sb node_from_dentry get_inode node_dentry";

#[test]
fn every_name_is_there_or_its_absence_is_explained() {
    let source = include_str!("../src/kernel.rs");
    let (mut here, mut absent) = (0, 0);
    for name in NAMES.split_whitespace() {
        let name = match name.starts_with("__") {
            true => name.to_owned(),
            false => format!("kernfs_{name}"),
        };
        let is_fn = |end: &str| source.contains(&format!("pub fn {name}{end}"));
        let explained = source.contains(&format!("`{name}`"));
        match is_fn("(") || is_fn("<") {
            true => here += 1,
            false if explained => absent += 1,
            false => panic!("{name}?"),
        }
    }
    assert_eq!((here, absent), (40, 8));
    assert_eq!(source.matches("pub fn ").count(), here);
}

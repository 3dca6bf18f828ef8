//! The kernel's names do what the methods do.

mod common;

use common::{Checked, errno};
use kernfs::kernel::*;
use kernfs::{Errno, OpenFlags, PollFlags};

#[test]
fn the_kernels_names_work() {
    let root = kernfs_create_root();
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
    assert_eq!(kernfs_path_from_node(&top, &f).unwrap(), b"/../..");

    let open = f.open(OpenFlags::READ).unwrap();
    open.read_at(&mut [0; 8], 0).unwrap();
    kernfs_notify(&f);
    assert_eq!(open.poll(), PollFlags::CHANGED);
    kernfs_remove(&f).unwrap();
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

//! S17: no memory for what a caller chose the size of is ENOMEM, and changes nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

use kernfs::{Errno, Result, Root, XattrHow, ro};

thread_local! {
    /// Allocations of this size and more fail on this thread.
    static LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
}

struct Failing;

// SAFETY: hands on to the system's allocator, or fails.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LIMIT.with(Cell::get) {
            return null_mut();
        }
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

fn fails<T>(f: impl FnOnce() -> Result<T>) {
    LIMIT.with(|limit| limit.set(4000));
    let result = f();
    LIMIT.with(|limit| limit.set(usize::MAX));
    assert_eq!(result.err().map(|e| e.errno()), Some(Errno::ENOMEM));
}

#[test]
fn without_memory_nothing_is_changed() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    let long = [b'x'; 4095];
    fails(|| dir.create_dir(long, 0o755));
    fails(|| dir.attr(long, ro(|| 1)));
    fails(|| dir.create_link(long, &dir));
    fails(|| dir.rename(&root, long));
    assert_eq!((dir.path(), dir.entries().count()), (b"/d".to_vec(), 0));
    assert_eq!((root.stats().nodes, dir.revision()), (2, 0));

    let before = dir.stat();
    fails(|| dir.set_xattr("trusted.x", [0; 65536], XattrHow::Set));
    assert_eq!((dir.stat(), dir.xattrs().len()), (before, 0));
    dir.set_xattr("trusted.x", "old", XattrHow::Set).unwrap();
    fails(|| dir.set_xattr("trusted.x", [0; 5000], XattrHow::Replace));
    assert_eq!(dir.xattr("trusted.x").unwrap(), b"old");

    // Afterwards there is some.
    dir.rename(&root, long).unwrap();
    root.create_dir("d", 0o755).unwrap();
}

//! No memory, where a caller chose the size: ENOMEM, and nothing half done. An allocator that refuses what
//! is too large, on the threads that ask for it.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::IoSlice;
use std::ptr;

use common::{Checked, errno};
use kernfs::{Cx, Errno, Has, OpenFlags, Ops, Result, Root, Seq};

struct Limited;

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn refused(layout: Layout) -> bool {
    LIMIT
        .try_with(Cell::get)
        .is_ok_and(|limit| layout.size() >= limit)
}

// SAFETY: every call goes to `System`, or answers null, which is allowed.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refused(layout) {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// Runs `f` while nothing of `limit` bytes or more can be had.
fn with_limit<R>(limit: usize, f: impl FnOnce() -> R) -> R {
    LIMIT.set(limit);
    let result = f();
    LIMIT.set(usize::MAX);
    result
}

/// A text of so many bytes.
struct Long(usize);

impl Ops for Long {
    const HAS: Has = Has::SHOW.with(Has::WRITE);
    type Open = ();
    fn atomic_write_len(&self) -> usize {
        1 << 20
    }
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        (0..self.0).for_each(|_| seq.put(b"x"));
        Ok(())
    }
    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        Ok(data.len())
    }
}

/// S17.
#[test]
fn a_text_that_finds_no_room_is_enomem_and_readable_later() {
    let root = Root::new();
    let file = root.create_file("f", 0o444, 0, Long(20_000)).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    let mut buffer = vec![0; 30_000];
    // The first page, then each doubling.
    for limit in [4096, 8192, 16_384, 32_768] {
        for offset in [0, 7] {
            let result = with_limit(limit, || open.read_at(&mut buffer, offset));
            assert_eq!(errno(result), Errno::ENOMEM, "{limit}");
        }
    }
    assert_eq!(open.read_at(&mut buffer, 0).unwrap(), 20_000);
    assert_eq!(open.read_at(&mut buffer, 20_000).unwrap(), 0);
}

/// S17.
#[test]
fn an_open_without_memory_for_its_buffer_is_enomem_and_calls_nothing() {
    struct Big(Checked);
    impl Ops for Big {
        const HAS: Has = Has::READ.with(Has::RELEASE).with(Has::PREALLOC);
        type Open = common::PerOpen;
        fn atomic_write_len(&self) -> usize {
            1 << 20
        }
        fn open(&self, cx: &mut Cx<'_>) -> Result<common::PerOpen> {
            self.0.open(cx)
        }
        fn release(&self, cx: &mut Cx<'_>, open: &common::PerOpen) {
            self.0.release(cx, open);
        }
    }
    let root = Root::new();
    let (ops, log) = Checked::new();
    let file = root.create_file("f", 0o444, 0, Big(ops)).unwrap();
    for _ in 0..2 {
        let result = with_limit(1 << 20, || file.open(OpenFlags::READ));
        assert_eq!(errno(result), Errno::ENOMEM);
    }
    assert_eq!((log.get(|l| &l.opens), log.get(|l| &l.releases)), (0, 0));
    drop(file.open(OpenFlags::READ).unwrap());
    assert_eq!((log.get(|l| &l.opens), log.get(|l| &l.releases)), (1, 1));
    file.remove().unwrap();
    assert_eq!((log.get(|l| &l.releases), log.get(|l| &l.alive)), (1, 0));
}

/// S17.
#[test]
fn a_vectored_write_that_cannot_be_joined_is_enomem() {
    let root = Root::new();
    let file = root.create_file("f", 0o644, 0, Long(1)).unwrap();
    let open = file.open(OpenFlags::WRITE).unwrap();
    let part = vec![0; 100_000];
    let parts = [&part[..], &part[..]].map(IoSlice::new);
    let result = with_limit(200_000, || open.write_vectored_at(&parts, 0));
    assert_eq!(errno(result), Errno::ENOMEM);
    assert_eq!(open.write_vectored_at(&parts, 0).unwrap(), 200_000);
}

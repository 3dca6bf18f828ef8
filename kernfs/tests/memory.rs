//! What a node costs. Alone in its process: it counts what the whole process allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kernfs::{Cx, Has, Ops, Result, Root};

static BYTES: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Relaxed);
        BLOCKS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Relaxed);
        BLOCKS.fetch_sub(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Nothing;

impl Ops for Nothing {
    const HAS: Has = Has::NONE;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
}

fn live() -> (usize, usize) {
    for _ in 0..4 {
        urcu::Memb::barrier();
    }
    (BYTES.load(Relaxed), BLOCKS.load(Relaxed))
}

#[test]
fn a_node_costs_at_most_256_bytes_in_3_blocks() {
    // 32600 nodes: the table of ids, which doubles, is nearly full. Just behind that a node costs 24 bytes more.
    const DIRS: usize = 1630;
    const FILES: usize = 19;
    let ops = Arc::new(Nothing);
    let root = Root::new();
    let build = |name: &str| {
        let dir = root.create_dir(name, 0o755).unwrap();
        for n in 0..FILES {
            let name = format!("attribute_{n:02}");
            dir.create_file(name, 0o444, 4096, Arc::clone(&ops))
                .unwrap();
        }
    };
    build("warm up"); // threads, tables
    let before = live();
    // A thread keeps up to 1 MiB of what it has replaced, and gives it up when it ends.
    std::thread::scope(|s| {
        let thread = s.spawn(|| (0..DIRS).for_each(|n| build(&format!("directory_{n:04}"))));
        thread.join().unwrap(); // the scope itself waits for less
    });
    let after = live();
    let nodes = (DIRS * (FILES + 1)) as f64;
    let bytes = (after.0 - before.0) as f64 / nodes;
    let blocks = (after.1 - before.1) as f64 / nodes;
    println!("{bytes:.1} bytes, {blocks:.2} blocks a node");
    assert!(bytes <= 256.0, "{bytes:.1} bytes a node");
    assert!(blocks <= 3.1, "{blocks:.2} blocks a node");

    // As above: the nodes of the indices wait in the ring of who removes.
    std::thread::scope(|s| s.spawn(move || drop(root)).join().unwrap());
    let gone = live();
    // What stays are the workers' own tables, and memory that waits in rings.
    assert!(
        gone.0 < before.0 + (64 << 10),
        "{} bytes leaked",
        gone.0 - before.0
    );
}

//! The one word of the ordered map: its pointer, its lock, and those who sleep for that. Not what an update stores into a
//! node below the root: that is one store of a pointer under the lock, which readers acquire.

#[path = "../../../urcu/src/ord/root.rs"]
mod root;

use std::ptr::NonNull;
use std::sync::Arc;

use loom::thread;

use crate::lists::Watched;
use root::Root;

/// What `root.rs` needs of it: an address with room for the bits.
mod node {
    use core::marker::PhantomData;

    pub(super) const ALIGN: usize = 16;

    #[repr(align(16))]
    pub(super) struct Node<K, T> {
        pub(super) value: crate::lists::Watched,
        pub(super) holds: PhantomData<(K, *const T)>,
    }
}

type Tree = NonNull<node::Node<u64, u64>>;

struct Map {
    root: Root<u64, u64>,
    /// Written under the lock.
    updates: Watched,
}

/// A tree that its writer has filled.
fn tree(value: u32) -> Tree {
    let node = node::Node {
        value: Watched::new(),
        holds: std::marker::PhantomData,
    };
    node.value.set(value);
    NonNull::from(Box::leak(Box::new(node)))
}

fn update(map: &Map, value: u32) {
    let new = tree(value);
    let locked = map.root.lock();
    map.updates.set(map.updates.get() + 1);
    if let Some(old) = locked.tree() {
        // SAFETY: nothing is freed.
        let old = unsafe { old.as_ref() };
        assert_ne!(old.value.get(), value);
    }
    // SAFETY: clause 1: a tree of our own.
    unsafe { locked.publish(Some(new)) };
}

/// Writers publish trees one after another, and sleep for each other; a reader beside them sees what is in the tree that
/// it finds, whatever was done to the word meanwhile.
pub(crate) fn writers(writers: u32, read: bool) {
    let map = Arc::new(Map {
        root: Root::null(),
        updates: Watched::new(),
    });
    // The first value of the word belongs to nobody.
    drop(map.root.lock());
    let mut threads: Vec<_> = (1..=writers)
        .map(|value| {
            let map = Arc::clone(&map);
            thread::spawn(move || update(&map, value))
        })
        .collect();
    if read {
        let map = Arc::clone(&map);
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                if let Some(tree) = map.root.load() {
                    // SAFETY: nothing is freed.
                    let tree = unsafe { tree.as_ref() };
                    assert!((1..=writers).contains(&tree.value.get()));
                }
            }
        }));
    }
    for thread in threads {
        thread.join().expect("a writer");
    }
    assert_eq!(map.updates.get(), writers);
}

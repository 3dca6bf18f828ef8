//! Opening as it was before the thread of April 2022: one mutex and one spinlock for the open files of all files.
//!
//! A model of the kernel's 5.10, no more than its locks: the spinlock protects the pointers to the open nodes and
//! their counts, the mutex the lists of open files; an opener who finds no open node drops both, allocates, and
//! tries again. What is allocated is about as large as what kernfs allocates, so that the locks are what
//! differs.

use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The name in the table.
pub const NAME: &str = "one mutex and one spinlock";

/// Open files of many files.
#[derive(Debug)]
pub struct Global {
    lists: Mutex<Vec<Vec<Arc<Opened>>>>,
    nodes: Spinlock<Vec<Option<Arc<OpenNode>>>>,
    active: Vec<Apart>,
}

/// As the words of different nodes are.
#[derive(Debug)]
#[repr(align(128))]
struct Apart(AtomicI32);

#[derive(Debug)]
struct OpenNode {
    count: AtomicU32,
    event: AtomicU32,
}

/// One open file.
#[derive(Debug)]
pub struct Opened {
    file: usize,
    seen: AtomicU32,
    buffer: Mutex<Vec<u8>>,
    private: Private,
    rest: [u64; 8],
}

impl Global {
    /// So many files, none of them open.
    pub fn new(files: usize) -> Self {
        Self {
            lists: Mutex::new(vec![Vec::new(); files]),
            nodes: Spinlock::new(vec![None; files]),
            active: (0..files).map(|_| Apart(AtomicI32::new(0))).collect(),
        }
    }

    /// Opens a file.
    pub fn open(&self, file: usize) -> Arc<Opened> {
        self.active[file].0.fetch_add(1, Ordering::Acquire);
        let opened = Arc::new(Opened {
            file,
            seen: AtomicU32::new(0),
            buffer: Mutex::default(),
            private: Private(Box::new(move || _ = file)),
            rest: [file as u64; 8],
        });
        let mut made = None;
        loop {
            let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
            let attached = self.nodes.with(|nodes| {
                if nodes[file].is_none() {
                    nodes[file] = made.take();
                }
                let node = nodes[file].as_ref()?;
                node.count.fetch_add(1, Ordering::Relaxed);
                Some(node.event.load(Ordering::Relaxed))
            });
            if let Some(event) = attached {
                opened.seen.store(event - 1, Ordering::Relaxed);
                lists[file].push(Arc::clone(&opened));
                break;
            }
            drop(lists);
            made = Some(Arc::new(OpenNode {
                count: AtomicU32::new(0),
                event: AtomicU32::new(1),
            }));
        }
        (opened.private.0)();
        self.active[file].0.fetch_sub(1, Ordering::Release);
        opened
    }

    /// Closes it.
    pub fn close(&self, opened: &Arc<Opened>) {
        let file = opened.file;
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.nodes.with(|nodes| {
            lists[file].retain(|other| !Arc::ptr_eq(other, opened));
            let node = nodes[file].as_ref()?;
            let left = node.count.fetch_sub(1, Ordering::Relaxed) - 1;
            if left == 0 { nodes[file].take() } else { None }
        });
        drop(lists);
        drop(last);
    }
}

/// What the owner keeps for an open file.
struct Private(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Private")
    }
}

impl Opened {
    /// Something that uses all of it.
    pub fn sum(&self) -> u64 {
        let buffered = self.buffer.lock().map_or(0, |buffer| buffer.len() as u64);
        self.rest.iter().sum::<u64>() + buffered + u64::from(self.seen.load(Ordering::Relaxed))
    }
}

/// A test-and-set lock.
#[derive(Debug)]
struct Spinlock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` gives the value to one thread at a time.
unsafe impl<T: Send> Sync for Spinlock<T> {}

impl<T> Spinlock<T> {
    fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// `f` does not panic, or nobody gets in any more.
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // Acquire pairs with the Release below.
        while self.held.swap(true, Ordering::Acquire) {
            while self.held.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
        }
        // SAFETY: the flag was ours to set, so nobody else is here until it is cleared; `f` cannot come here
        // again, because it has no way to this lock.
        let result = f(unsafe { &mut *self.value.get() });
        self.held.store(false, Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_node_goes_with_the_last_file() {
        let global = Global::new(2);
        let a = global.open(1);
        let b = global.open(1);
        let node = global.nodes.with(|nodes| nodes[1].clone()).unwrap();
        assert_eq!(node.count.load(Ordering::Relaxed), 2);
        assert_eq!(node.event.load(Ordering::Relaxed), 1);
        global.close(&a);
        assert!(global.nodes.with(|nodes| nodes[1].is_some()));
        global.close(&b);
        assert!(global.nodes.with(|nodes| nodes[1].is_none()));
        assert_eq!(a.sum(), 8);
    }
}

//! The ordered map beside `BTreeMap`, beside itself in other threads, and with keys that misbehave.
//!
//! Nodes are small here (8 entries, 8 children), so all shapes come with few entries; as they are shipped they are
//! tested in `tests/ordered.rs`.

mod model;
mod order;
mod values;

use super::node::{INNER, LEAF};
use super::*;
use crate::Memb;
use core::sync::atomic::{AtomicUsize, Ordering};

type Map<K, T> = OrdMap<K, T, Memb>;

/// Keys of random operations are below this.
const KEYS: u16 = 300;

impl<K, T, F> OrdMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + fmt::Debug + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    /// What holds of the tree between updates; gives its height.
    fn check(&self, guard: &Guard<'_, F>) -> usize {
        fn below<K: Copy + Ord + fmt::Debug, T>(
            node: View<'_, K, T>,
            low: Option<K>,
            high: Option<K>,
            is_root: bool,
        ) {
            let keys = node.keys();
            let full = if node.level() == 0 { LEAF } else { INNER };
            assert!((1..=full).contains(&keys.len()));
            // The first key of an inner node is no bound.
            let bounds = if node.level() == 0 { keys } else { &keys[1..] };
            assert!(bounds.is_sorted_by(|a, b| a < b), "{keys:?}");
            let inside = |key: &K| low.is_none_or(|l| l <= *key) && high.is_none_or(|h| *key < h);
            assert!(bounds.iter().all(inside), "{low:?} {keys:?} {high:?}");
            if node.level() == 0 {
                return;
            }
            assert!(!is_root || keys.len() > 1, "a root with one child");
            for i in 0..keys.len() {
                let child = node.child(i);
                assert_eq!(child.level() + 1, node.level());
                let low = if i == 0 { low } else { Some(keys[i]) };
                below(child, low, keys.get(i + 1).copied().or(high), false);
            }
        }
        let _ = guard;
        // SAFETY: clause 1: there is the guard.
        let Some(root) = (unsafe { self.view() }) else {
            return 0;
        };
        below(root, None, None, true);
        usize::from(root.level()) + 1
    }

    fn to_vec(&self, guard: &Guard<'_, F>) -> Vec<(K, T)>
    where
        T: Copy,
    {
        self.iter(guard).map(|(key, value)| (key, *value)).collect()
    }
}

/// A value that is counted.
#[derive(Debug)]
struct Counted(u32, &'static AtomicUsize);

impl Counted {
    fn new(n: u32, alive: &'static AtomicUsize) -> Arc<Self> {
        alive.fetch_add(1, Ordering::SeqCst);
        Arc::new(Self(n, alive))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let before = self.1.fetch_sub(1, Ordering::SeqCst);
        assert_ne!(before, 0, "dropped twice");
    }
}

//! Which nodes the kernel knows: nodeid to node, with the number of lookups it will give back.
//!
//! An entry is made by a LOOKUP reply and goes with the FORGET that brings its count to 0, so a removed
//! node lives exactly as long as somebody can still name its nodeid. The root is always known.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::node::Node;

#[derive(Debug)]
struct Known {
    node: Node,
    nlookup: u64,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct NodeTable {
    known: Mutex<HashMap<u64, Known>>,
}

impl NodeTable {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        // No user code runs under the lock, so a panic cannot leave it half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One lookup of `node` will be answered under `id`. Call it before the answer is sent: the FORGET
    /// may come at once.
    pub(super) fn remember(&self, id: u64, node: &Node) {
        match self.lock().entry(id) {
            Entry::Occupied(mut known) => known.get_mut().nlookup += 1,
            Entry::Vacant(free) => {
                free.insert(Known {
                    node: node.clone(),
                    nlookup: 1,
                });
            }
        }
    }

    /// The kernel, or a reply that did not reach it, gives back `count` lookups.
    pub(super) fn forget(&self, id: u64, count: u64) {
        let mut table = self.lock();
        let gone = match table.entry(id) {
            Entry::Occupied(mut known) if known.get().nlookup > count => {
                known.get_mut().nlookup -= count;
                None
            }
            Entry::Occupied(known) => Some(known.remove()),
            Entry::Vacant(_) => None,
        };
        drop(table);
        drop(gone); // may free a whole branch of removed nodes: not under the lock
    }

    pub(super) fn get(&self, id: u64) -> Option<Node> {
        self.lock().get(&id).map(|known| known.node.clone())
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.lock().contains_key(&id)
    }

    /// Forgets everything: the connection has ended.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }
}

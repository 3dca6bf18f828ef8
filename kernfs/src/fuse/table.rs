//! What the kernel knows: nodeid to node, with the number of lookups it will give back, the names that it was told, and
//! which news of the node are queued.
//!
//! An entry is made by a LOOKUP reply and goes with the FORGET that brings its count to 0, so a removed
//! node lives exactly as long as somebody can still name its nodeid. The root is always known.
//!
//! What the kernel does not know it need not be told, and nothing twice. Whoever changes the tree asks here after the
//! change; a LOOKUP enters what it found and then looks whether it is still so. One of the two sees the other.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::abi::ROOT_ID;
use crate::node::Node;

/// More names are not looked for in removed directories than the notifier tells the kernel of: a client could have it
/// wait, and a client asks for as many as it likes.
const MISSING_MAX: usize = 1024;

/// Something that the kernel may have to be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum News {
    /// The name in the directory does not mean the node any more.
    Entry {
        parent: u64,
        name: Box<[u8]>,
        node: u64,
    },
    /// The kernel has given the name to something by itself.
    Moved { parent: u64, name: Box<[u8]> },
    /// The kernel has given it to nothing, in a directory that is gone. Of no use but for memory, so there is a limit.
    Missing { parent: u64, name: Box<[u8]> },
    /// What stat(2) shows has changed.
    Attributes { id: u64 },
}

#[derive(Debug)]
struct Name {
    parent: u64,
    name: Box<[u8]>,
    queued: bool,
}

#[derive(Debug)]
struct Known {
    node: Node,
    nlookup: u64,
    /// By which the kernel may find it: one, but for the time in which a rename is told.
    names: Vec<Name>,
    /// Whether its attributes are to be told.
    queued: bool,
}

#[derive(Debug, Default)]
struct Table {
    known: HashMap<u64, Known>,
    /// The same of the root.
    root: bool,
    /// The `Moved` and `Missing` that are queued.
    moved: HashSet<News>,
}

impl Table {
    fn queued(&mut self, id: u64) -> Option<&mut bool> {
        if id == ROOT_ID {
            return Some(&mut self.root);
        }
        self.known.get_mut(&id).map(|known| &mut known.queued)
    }

    fn looked_up(&mut self, node: &Node) -> &mut Known {
        let known = self.known.entry(node.id()).or_insert_with(|| Known {
            node: node.clone(),
            nlookup: 0,
            names: Vec::with_capacity(1),
            queued: false,
        });
        known.nlookup += 1;
        known
    }

    fn names(&mut self, id: u64) -> Option<&mut Vec<Name>> {
        self.known.get_mut(&id).map(|known| &mut known.names)
    }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct NodeTable {
    table: Mutex<Table>,
}

impl NodeTable {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // No user code runs under the lock, so a panic cannot leave it half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One lookup of `node`, which `name` in `parent` means, will be answered. Call it before the answer is sent: the
    /// FORGET may come at once. And look afterwards whether the name still means it, and what it is like.
    pub(super) fn remember(&self, node: &Node, parent: u64, name: &[u8]) {
        let mut table = self.lock();
        let known = table.looked_up(node);
        // One that is queued stays so: the kernel forgets it when this LOOKUP has ended.
        if !known.names.iter().any(|known| known.is(parent, name)) {
            known.names.push(Name {
                parent,
                name: name.into(),
                queued: false,
            });
        }
    }

    /// The same for a LOOKUP by the id alone, out of a file handle: the kernel hears no name.
    pub(super) fn remember_nameless(&self, node: &Node) {
        self.lock().looked_up(node);
    }

    /// The kernel, or a reply that did not reach it, gives back `count` lookups.
    pub(super) fn forget(&self, id: u64, count: u64) {
        let mut table = self.lock();
        let gone = match table.known.entry(id) {
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
        self.lock().known.get(&id).map(|known| known.node.clone())
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.lock().known.contains_key(&id)
    }

    /// Whether the news must be queued: the kernel may know what they are about, and they are not queued yet.
    pub(super) fn queue(&self, news: &News) -> bool {
        let mut table = self.lock();
        let queued = match news {
            News::Entry { parent, name, node } => {
                let names = table.names(*node).into_iter().flatten();
                let mut named = names.filter(|known| known.is(*parent, name));
                named.next().map(|name| &mut name.queued)
            }
            News::Moved { .. } => return table.moved.insert(news.clone()),
            News::Missing { .. } => {
                return table.moved.len() < MISSING_MAX && table.moved.insert(news.clone());
            }
            News::Attributes { id } => table.queued(*id),
        };
        queued.is_some_and(|queued| !std::mem::replace(queued, true))
    }

    /// The news are about to be told: they may be queued again. Whether the kernel still has to hear them.
    pub(super) fn take(&self, news: &News) -> bool {
        let mut table = self.lock();
        let queued = match news {
            News::Entry { parent, name, node } => {
                let Some(names) = table.names(*node) else {
                    return false;
                };
                let before = names.len();
                names.retain(|known| !(known.queued && known.is(*parent, name)));
                return names.len() < before;
            }
            News::Moved { .. } | News::Missing { .. } => return table.moved.remove(news),
            News::Attributes { id } => table.queued(*id),
        };
        queued.is_some_and(std::mem::take)
    }

    /// Whether queued news are still of use.
    pub(super) fn wants(&self, news: &News) -> bool {
        let mut table = self.lock();
        match news {
            News::Entry { parent, name, node } => {
                let mut names = table.names(*node).into_iter().flatten();
                names.any(|known| known.queued && known.is(*parent, name))
            }
            News::Moved { .. } | News::Missing { .. } => table.moved.contains(news),
            News::Attributes { id } => table.queued(*id).is_some_and(|queued| *queued),
        }
    }

    /// Forgets everything: the connection has ended.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }
}

impl Name {
    fn is(&self, parent: u64, name: &[u8]) -> bool {
        self.parent == parent && *self.name == *name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A client that looks for names in a removed directory while it keeps the notifier waiting filled the memory.
    #[test]
    fn names_that_are_missing_were_noted_without_a_limit() {
        let table = NodeTable::default();
        let missing = |n: usize| News::Missing {
            parent: 7,
            name: n.to_string().into_bytes().into(),
        };
        let noted = (0..2 * MISSING_MAX).filter(|n| table.queue(&missing(*n)));
        assert_eq!(noted.count(), MISSING_MAX);
        // What has another use is noted all the same.
        let moved = News::Moved {
            parent: 7,
            name: [b'x'].into(),
        };
        assert!(table.queue(&moved) && !table.queue(&moved));
        assert!(table.take(&moved) && table.take(&missing(0)));
        assert!(table.queue(&missing(MISSING_MAX)));
    }
}

//! From the tree's news to the notifier's queue. Queues only: the thread that changes the tree waits.

use std::sync::Arc;

use super::notifier::{Job, Notifier};
use super::poker::Poker;
use crate::watch::Watch;

/// What a mount registers at its root.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) notifier: Arc<Notifier>,
    pub(super) poker: Option<Arc<Poker>>,
}

impl Watch for Listener {
    fn added(&self, parent: u64, _: &[u8]) {
        // Missing names are never cached. The directory's link count may be another now.
        self.notifier.push([Job::Attributes { id: parent }]);
    }

    fn removed(&self, parent: u64, name: &[u8], node: u64) {
        let name = name.to_vec();
        self.notifier.push([
            Job::Entry { parent, name },
            Job::Attributes { id: node },
            Job::Attributes { id: parent },
        ]);
    }

    fn notified(&self, file: u64) {
        self.notifier.push([Job::Ready { id: file }]);
        if let Some(poker) = &self.poker {
            poker.push(file);
        }
    }

    fn attributes_changed(&self, id: u64) {
        // Left out: a LOOKUP whose reply has the old attributes and is not taken yet, of a node that the kernel does not
        // know. This finds nothing to forget then. A removal waits for such a LOOKUP in its `Entry`.
        self.notifier.push([Job::Attributes { id }]);
    }
}

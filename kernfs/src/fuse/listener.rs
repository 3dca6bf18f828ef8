//! From the tree's news to the notifier's queue, without waiting: whoever changes the tree goes on. Changed attributes he
//! tells the kernel himself. Notifications come from a worker, which wakes who polls itself.

use std::sync::Arc;

use super::abi::{NotifyPollOut, notify};
use super::adapter::Adapter;
use super::channel::Channel;
use super::notifier::{Notifier, forget_attributes};
use super::poker::Poker;
use super::table::News;
use crate::watch::Watch;

/// What a mount registers at its root.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) notifier: Arc<Notifier>,
    pub(super) adapter: Arc<Adapter>,
    pub(super) channel: Arc<Channel>,
    pub(super) poker: Option<Arc<Poker>>,
}

impl Watch for Listener {
    fn added(&self, parent: u64, _: &[u8]) {
        // Missing names are never cached. The directory's link count may be another now.
        self.notifier.push([News::Attributes { id: parent }]);
    }

    fn removed(&self, parent: u64, name: &[u8], node: u64) {
        let name = name.into();
        self.notifier.push([
            News::Entry { parent, name, node },
            News::Attributes { id: node },
            News::Attributes { id: parent },
        ]);
    }

    fn notified(&self, file: u64) {
        // At once: to wake somebody the kernel takes no lock that a client may have. It asks for the state then.
        for kh in self.adapter.waiting(file) {
            // An error: the file was closed, or the connection has ended.
            let _ = self
                .channel
                .notify(notify::POLL, &NotifyPollOut { kh }, b"");
        }
        if let Some(poker) = &self.poker {
            poker.push(file);
        }
    }

    fn attributes_changed(&self, id: u64) {
        // At once, for it may be that somebody may not read it any more, and the notifier may be kept from saying so.
        if self.adapter.is_known(id) && !forget_attributes(id, &self.channel) {
            self.notifier.push([News::Attributes { id }]);
        }
    }
}

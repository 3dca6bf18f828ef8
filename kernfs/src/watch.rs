//! What a mount listens to: entries that come and go, files that were notified, attributes that change.

/// A listener of a tree; see [`Root::watch`](crate::Root::watch).
///
/// Nodes are told by their ids (inode numbers), which are never used again. Calls come from the thread
/// that changes the tree, or (`notified`) from one worker of the tree; no lock of the tree is held, but
/// that thread waits: queue the news and return. Changes of several threads may be told in another order
/// than they happened; take them as hints to look again.
pub trait Watch: Send + Sync + 'static {
    /// Directory `parent` has a new entry `name`.
    fn added(&self, parent: u64, name: &[u8]);
    /// `parent`'s entry `name`, the node `node`, is gone. Told for every node of a removed subtree,
    /// children before their parents, after its callbacks are finished.
    fn removed(&self, parent: u64, name: &[u8], node: u64);
    /// A file was notified, once or more often since the last call.
    fn notified(&self, file: u64);
    /// Mode, owner or times of node `id` are others: [`Node::setattr`](crate::Node::setattr), or O_TRUNC through a mount. By
    /// default nothing.
    /// Times that move with a directory's entries are not told; the entries are.
    fn attributes_changed(&self, id: u64) {
        let _ = id;
    }
}

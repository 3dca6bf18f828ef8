//! [`RetiredEntry`]: key and value that were taken out of a map and that old readers may still see.

use core::fmt;
use core::ptr::NonNull;

use super::node::Node;
use crate::flavor::{Flavor, Memb};
use crate::retire::Retired;
use crate::thread::Thread;

/// An entry that an update took out of a [`RcuHashMap`](super::RcuHashMap), before its grace period has passed.
///
/// [`Retired`] for a pair: to be looked at ([`key`](Self::key), [`value`](Self::value)), and to be had after a
/// grace period: by waiting ([`synchronize`](Self::synchronize)), in a callback ([`call`](Self::call)), or not at
/// all ([`free`](Self::free), which is what dropping does, and never waits). It does not borrow the map, and may
/// outlive it. Forgetting leaks.
///
/// ```
/// use urcu::{Memb, RcuHashMap};
/// let map: RcuHashMap<u32, String> = RcuHashMap::new();
/// let old = {
///     let guard = Memb::read_lock();
///     map.insert(1, "one".to_owned(), &guard);
///     map.remove(&1, &guard).expect("just inserted")
/// };
/// assert_eq!(old.value(), "one");
/// assert_eq!(old.synchronize(), (1, "one".to_owned()));
/// ```
#[must_use = "dropping it frees the entry after a grace period; say `.free()` if you mean that"]
pub struct RetiredEntry<K, V, F = Memb>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    F: Flavor,
{
    node: Retired<Node<K, V>, F>,
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, F: Flavor> RetiredEntry<K, V, F> {
    /// # Safety
    /// 1. As [`Retired::new`].
    pub(super) unsafe fn new(node: NonNull<Node<K, V>>) -> Self {
        // SAFETY: clause 1.
        let node = unsafe { Retired::new(node) };
        Self { node }
    }

    /// The key. Readers may see it at the same time.
    pub fn key(&self) -> &K {
        &self.node.object().key
    }

    /// The value. Readers may see it at the same time.
    pub fn value(&self) -> &V {
        &self.node.object().value
    }

    /// Waits for a grace period and gives the entry. Blocks; see [`Retired::synchronize`].
    ///
    /// # Panics
    /// As [`Retired::synchronize`]: inside a section above all, so drop the guard of the update first.
    #[doc(alias = "synchronize_rcu")]
    #[track_caller]
    pub fn synchronize(self) -> (K, V) {
        self.node.synchronize().into_pair()
    }

    /// The same for many entries, with one grace period for all.
    ///
    /// # Panics
    /// As [`synchronize`](Self::synchronize).
    #[track_caller]
    pub fn synchronize_all(all: Vec<Self>) -> Vec<(K, V)> {
        let nodes = Retired::synchronize_all(all.into_iter().map(|entry| entry.node).collect());
        nodes.into_iter().map(|node| node.into_pair()).collect()
    }

    /// The same through a registration; the form for `Qsbr` threads.
    ///
    /// # Panics
    /// As [`Retired::synchronize_with`].
    #[track_caller]
    pub fn synchronize_with(self, thread: &mut Thread<F>) -> (K, V) {
        self.node.synchronize_with(thread).into_pair()
    }

    /// Frees the entry after a grace period; see [`Retired::free`]. Never blocks.
    #[doc(alias = "kfree_rcu")]
    pub fn free(self) {
        self.node.free();
    }

    /// As [`free`](Self::free), unless the entry would exceed the domain's hard limit.
    ///
    /// # Errors
    /// Gives it back, see [`Retired::try_free`].
    pub fn try_free(self) -> Result<(), Self> {
        self.node.try_free().map_err(|node| Self { node })
    }

    /// Gives the entry to `f` on a worker of the domain after a grace period. Never blocks.
    #[doc(alias = "call_rcu")]
    pub fn call(self, f: impl FnOnce(K, V) + Send + 'static) {
        self.node.call(|node| {
            let (key, value) = node.into_pair();
            f(key, value);
        });
    }
}

impl<K, V> Node<K, V> {
    /// Key and value.
    pub(super) fn into_pair(self) -> (K, V) {
        (self.key, self.value)
    }
}

impl<K, V, F> fmt::Debug for RetiredEntry<K, V, F>
where
    K: fmt::Debug + Send + Sync + 'static,
    V: fmt::Debug + Send + Sync + 'static,
    F: Flavor,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetiredEntry")
            .field("key", self.key())
            .field("value", self.value())
            .finish()
    }
}

//! The traits of `std` that a [`RcuHashMap`] has. Those that need a section of their own are there for the flavors
//! whose threads register by themselves.

use core::fmt;
use core::hash::{BuildHasher, Hash};

use super::RcuHashMap;
use crate::flavor::{Automatic, Domain, Flavor, Qsbr};

impl<K, V, S, F> Default for RcuHashMap<K, V, S, F>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: Default,
    F: Flavor,
{
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K, V, S, B> FromIterator<(K, V)> for RcuHashMap<K, V, S, Domain<B>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Default,
    B: Automatic,
{
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl<K, V, S, B, const N: usize> From<[(K, V); N]> for RcuHashMap<K, V, S, Domain<B>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Default,
    B: Automatic,
{
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V, S, B> Extend<(K, V)> for RcuHashMap<K, V, S, Domain<B>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
    B: Automatic,
{
    /// Inserts each; the iterator runs outside of all sections.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            drop(self.insert(key, value, &Domain::<B>::read_lock()));
        }
    }
}

impl<K, V, S, B> fmt::Debug for RcuHashMap<K, V, S, Domain<B>>
where
    K: fmt::Debug + Send + Sync + 'static,
    V: fmt::Debug + Send + Sync + 'static,
    B: Automatic,
{
    /// The entries, in a section of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.iter(&Domain::<B>::read_lock()), f)
    }
}

impl<K, V, S> fmt::Debug for RcuHashMap<K, V, S, Qsbr>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// How many entries there are: there is no section to look at them in. `iter` has a `Debug`, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RcuHashMap")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

//! [`OrdMap<K, T>`]: an ordered map that readers search and scan without a lock: directories, timers, routes.
//!
//! A B+-tree whose nodes are copied and not changed, as in the kernel's maple tree (Howlett, Wilcox): an update copies
//! the one leaf that it concerns, at most 64 entries, and swaps the one pointer to it, *in place*, in the parent. So
//! it costs the same in a map of 10^3 entries and of 10^6, but for a level more to search. When a leaf splits, is
//! merged with a neighbour or becomes empty, its parent (at most 256 children) is copied too, and so on upwards;
//! whatever the update replaces, it publishes by one store. Values are in `Arc`s, which move as pointers: nothing is
//! cloned. A map with at most 64 entries is one leaf, and an empty one is a null word.
//!
//! # Why a reader finds what is there
//! A node is *current* while the tree reaches it. The keys and values of a node never change. The pointers to children
//! do, but only while the node is current: a writer stores into a slot under the lock, after it has seen that the
//! path from the root to that slot is what it was. So when a node is replaced it is frozen, with all that it says at
//! that moment, and the copy that takes its place says the same but for the update.
//!
//! *Each node that a reader comes to was current at some moment since it began.* The root was, when it was loaded.
//! For a child: the reader loads the slot of a node that was current at a moment *s*. If the node still is, so is the
//! child; otherwise the node was frozen at a moment *f* after *s*, and the slot says which child was current just
//! before *f*. (A child of a frozen node may go on to be current, and to change, under the node's copy. That does not
//! matter: the claim is about each node for itself.) A node's share of the keys is fixed by the keys above it. It may
//! become larger while the node stays what it is, when a neighbour became empty and the copy of the node above goes
//! without; never smaller. So the reader's idea of the share, from the path that it came by, is at most the node's,
//! and the leaf that it comes to is, for that share, what the map was at a moment of the call:
//! [`get`](OrdMap::get) is linearizable, and so is an update that refuses. With acquire and release instead of
//! moments: the updates are ordered by the lock; whoever comes after an update, or after a reader that saw it, loads a
//! root at least as new, and from there on each slot.
//!
//! A [`Range`] is not one moment, but each leaf of it is. It takes from a leaf what is in the path's share, and no key
//! behind it that has come to the leaf with a larger one; then it searches the map anew for the key where that share
//! ended: *by key*, not by the place in some parent, which may have lost or doubled a leaf to a split. So the
//! shares lie side by side: an entry that is present throughout is in the leaf that was current for its share, is
//! seen once, and no key is seen twice.
//!
//! # Why a writer finds what is there
//! An update searches and copies *before* it takes the lock, in the caller's section; then it verifies by address that
//! the path is what it was, stores, and gives the lock back. If another writer was faster on the same path it starts
//! anew. So nothing of the user's ever runs under the lock, no `Ord`, no `Drop`, no allocator; a panic there leaves
//! the map as it was; and the lock is held for some tens of nanoseconds. Addresses do not deceive: a node that
//! the section has found is not freed in it, so its address is not used again. Where one leaf takes the place of one
//! ([`exchange`]) that is all there is to do; splits, merges and first leaves are planned first ([`plan`]).
//!
//! What an update replaces is retired after the lock was given back: nodes, leaves and inner ones, through the ring
//! of [`crate::ring`] (memory without drop glue), a value as a [`RetiredArc`].

mod exchange;
mod node;
mod path;
mod plan;
mod range;
mod retire;
mod root;
mod search;
#[cfg(test)]
mod tests;

pub use range::Range;
pub use retire::DetachedMap;

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Bound, RangeBounds};
use core::ptr::NonNull;
use std::sync::Arc;

use crate::borrowed::Borrowed;
use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use crate::retired_arc::RetiredArc;

use exchange::{Exchange, exchange};
use node::View;
use path::{Path, Searching};
use plan::{Edit, Plan, Replaced};
use range::Way;
use retire::Tree;
use root::Root;

/// An ordered map from keys to `Arc`s: readers search and scan it under a [`Guard`], anybody may change it.
///
/// ```
/// use std::sync::Arc;
/// use urcu::{Memb, OrdMap};
///
/// static TIMERS: OrdMap<u64, String> = OrdMap::new();
///
/// let guard = Memb::read_lock();
/// TIMERS.insert(20, Arc::new("later".to_owned()), &guard);
/// TIMERS.insert(10, Arc::new("soon".to_owned()), &guard);
/// let (due, name) = TIMERS.lower_bound(0, &guard).unwrap();
/// assert_eq!((due, name.as_str()), (10, "soon"));
/// let kept: Arc<String> = name.get(); // outlives the section, and the entry
/// TIMERS.remove(10, &guard);
/// let left: Vec<u64> = TIMERS.range(.., &guard).map(|(due, _)| due).collect();
/// assert_eq!((left, kept.as_str()), (vec![20], "soon"));
/// # TIMERS.clear();
/// ```
///
/// # Readers
/// [`get`](Self::get), [`lower_bound`](Self::lower_bound) and [`range`](Self::range) write nothing shared and take no
/// lock; [`get`](Self::get) is wait-free. What they give lives as long as the section, and [`Borrowed::get`] keeps it longer.
/// A lookup sees every update that happened before it, and is one point in time. A scan is not, and a
/// [`lower_bound`](Self::lower_bound) that leaves the place of its key is one: it sees each entry that is present
/// throughout exactly once, in order, and of those that come or go meanwhile some.
///
/// # Writers
/// Updates take a guard too: they search as readers do. They are linearizable, and those of different leaves get
/// into each other's way for some tens of nanoseconds only. Two that change the same 64 entries at the same time:
/// one of them starts anew, so an update is lock-free among writers but for the few instructions in which one holds
/// the map's lock bit; a waiter spins, and sleeps if the holder lost its processor. They never wait for readers or
/// a grace period, run nothing of yours under the lock, and may be called in callbacks and with locks held; not in
/// signal handlers: they allocate. In the child of a fork the map is whole, and its lock is nobody's.
///
/// An update copies one leaf, at most 64 keys and pointers, allocates the copy, and retires the old one.
///
/// # Keys
/// `Ord` may panic: the map then is as before, and the value of an insertion is dropped. It may call the map's lookups
/// also; an update of the same map from inside of an update's `Ord` panics. An `Ord` that is no order gives wrong
/// results, never undefined behaviour, and scans that end once the map is left alone.
///
/// # Memory
/// 8 bytes when empty. With `u64` keys 17 bytes an entry, in full leaves and in half full ones: leaves are as
/// large as what is in them. What becomes sparse is merged.
///
/// No update is refused because too much waits for grace periods: what it retires beyond the domain's hard
/// [limit](crate::Limits) is counted and told. Who updates without end and wants the bound kept calls
/// [`throttle`](crate::Domain::throttle) between updates, outside of all sections.
///
/// # Invariants
/// 1. What is taken out of a shared map waits for a grace period of `F`.
pub struct OrdMap<K, T, F = Memb>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    root: Root<K, T>,
    owns: PhantomData<(K, Arc<T>, F)>,
}

static_assertions::const_assert_eq!(size_of::<OrdMap<u64, u64>>(), 8);

impl<K, T, F> OrdMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    /// An empty map. `const`, for statics.
    pub const fn new() -> Self {
        Self {
            root: Root::null(),
            owns: PhantomData,
        }
    }

    /// # Safety
    /// 1. A section of the caller began before this call, and lasts for `'a`.
    #[inline]
    unsafe fn view<'a>(&'a self) -> Option<View<'a, K, T>> {
        let root = self.root.load()?;
        // SAFETY: by clause 1 and invariant 1 what is reached from here is not freed during 'a, and the borrow keeps
        // the map from being dropped.
        Some(unsafe { View::new(root) })
    }

    /// # Safety
    /// 1. `value` was found in the map in a section that lasts for `'g`.
    unsafe fn borrow<'g>(value: NonNull<T>) -> Borrowed<'g, T> {
        // SAFETY: 1: values came from `Arc::into_raw`; 2: the map's count outlasts the section, by invariant 1.
        unsafe { Borrowed::new(value) }
    }

    /// The value of a key. Wait-free: a search in each level, of which 10^6 entries have three.
    ///
    /// # Panics
    /// As `Ord` does; so do all that search.
    #[doc(alias = "mtree_load")]
    #[inline]
    pub fn get<'g>(&'g self, key: K, guard: &'g Guard<'_, F>) -> Option<Borrowed<'g, T>> {
        let _ = guard;
        // SAFETY: clause 1: the section lasts for 'g.
        let leaf = path::leaf_of(unsafe { self.view() }?, &key);
        let keys = leaf.keys();
        let index = search::partition_point(keys, |k| k.cmp(&key).is_lt());
        if !keys.get(index)?.cmp(&key).is_eq() {
            return None;
        }
        let value = *leaf.values()?.get(index)?;
        // SAFETY: clause 1: just found.
        Some(unsafe { Self::borrow(value) })
    }

    /// Whether there is an entry with this key. As [`get`](Self::get).
    pub fn contains_key(&self, key: K, guard: &Guard<'_, F>) -> bool {
        self.get(key, guard).is_some()
    }

    /// The first entry whose key is not less than `key`. As [`get`](Self::get) if that is where `key` would be;
    /// otherwise lock-free: a [`range`](Self::range)'s first step.
    #[doc(alias = "mt_find")]
    #[inline]
    pub fn lower_bound<'g>(
        &'g self,
        key: K,
        guard: &'g Guard<'_, F>,
    ) -> Option<(K, Borrowed<'g, T>)> {
        // SAFETY: clause 1: the section lasts for 'g.
        let root = unsafe { self.view() }?;
        let leaf = path::leaf_of(root, &key);
        let keys = leaf.keys();
        let index = search::partition_point(keys, |k| k.cmp(&key).is_lt());
        // What is in the leaf when it is current, and not before `key`, has no other leaf's entry before it.
        if let (Some(found), Some(value)) = (keys.get(index), leaf.values()?.get(index)) {
            // SAFETY: clause 1: just found.
            return Some((*found, unsafe { Self::borrow(*value) }));
        }
        match root.level() {
            0 => None,
            _ => self.first_from(key, guard),
        }
    }

    /// [`lower_bound`](Self::lower_bound) where the leaf of `key` ends before it.
    #[cold]
    fn first_from<'g>(&'g self, key: K, guard: &'g Guard<'_, F>) -> Option<(K, Borrowed<'g, T>)> {
        self.range(key.., guard).next()
    }

    /// The entries in a range of keys, in order. A range that is the wrong way round is empty.
    ///
    /// Lock-free: costs a search for each leaf, and a step for each entry. While it lasts, the section does; a
    /// long scan can leave it and go on later, behind the last key that it saw.
    ///
    /// ```
    /// use std::ops::Bound::{Excluded, Unbounded};
    /// use std::sync::Arc;
    /// use urcu::{Memb, OrdMap};
    ///
    /// let map: OrdMap<u32, u32> = OrdMap::new();
    /// for n in 0..1000 {
    ///     map.insert(n, Arc::new(n), &Memb::read_lock());
    /// }
    /// let (mut from, mut sum) = (Unbounded, 0);
    /// loop {
    ///     let guard = Memb::read_lock();
    ///     let page: Vec<_> = map.range((from, Unbounded), &guard).take(100).collect();
    ///     let Some((last, _)) = page.last() else { break };
    ///     sum += page.iter().map(|(_, value)| **value).sum::<u32>();
    ///     from = Excluded(*last);
    /// }
    /// assert_eq!(sum, 999 * 500);
    /// ```
    #[doc(alias = "mas_for_each")]
    pub fn range<'g>(
        &'g self,
        range: impl RangeBounds<K>,
        guard: &'g Guard<'_, F>,
    ) -> Range<'g, K, T, F> {
        let (start, end) = (range.start_bound().cloned(), range.end_bound().cloned());
        Range::new(self, start, end, guard)
    }

    /// All entries, in order: [`range`](Self::range) of all keys.
    pub fn iter<'g>(&'g self, guard: &'g Guard<'_, F>) -> Range<'g, K, T, F> {
        Range::new(self, Bound::Unbounded, Bound::Unbounded, guard)
    }

    /// Whether there is no entry at the moment. One load; needs no guard.
    #[doc(alias = "mtree_empty")]
    pub fn is_empty(&self) -> bool {
        self.root.load().is_none()
    }

    /// How many entries a scan finds: each one that is present throughout, and of the others some. Looks at the
    /// leaves and not at the entries, but at all of them.
    pub fn len(&self, guard: &Guard<'_, F>) -> usize {
        let (mut len, mut from) = (0, Some(Bound::Unbounded));
        let mut way = Way::new();
        while let Some(start) = from {
            // SAFETY: clause 1: the section lasts as long as `guard` is borrowed.
            let root = unsafe { self.view() };
            let Some(place) = root.and_then(|root| range::seek(root, &start, &mut way)) else {
                break;
            };
            let share = range::share(place.leaf.keys(), place.behind.as_ref());
            len += share.saturating_sub(place.index);
            from = place.behind.map(Bound::Included);
        }
        let _ = guard;
        len
    }

    /// Adds an entry, or gives the present one another value, and gives the old value out.
    ///
    /// # Panics
    /// As `Ord` does; inside of an `Ord` that an update of this map has called. `value` is dropped then, and
    /// the map is as before. So do all updates.
    #[doc(alias = "mtree_store")]
    #[track_caller]
    pub fn insert(&self, key: K, value: Arc<T>, guard: &Guard<'_, F>) -> Option<RetiredArc<T, F>> {
        match self.put(key, value, guard, |_| true) {
            Ok(old) => old,
            Err(_) => unreachable!("it is not refused"),
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// There is one with this key: its value, and the one that was not added.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use urcu::{Memb, OrdMap};
    ///
    /// let map: OrdMap<u32, &str> = OrdMap::new();
    /// let guard = Memb::read_lock();
    /// assert!(map.insert_unique(1, Arc::new("one"), &guard).is_ok());
    /// let (present, back) = map.insert_unique(1, Arc::new("uno"), &guard).unwrap_err();
    /// assert_eq!((*present, *back), ("one", "uno"));
    /// ```
    #[doc(alias = "mtree_insert")]
    #[track_caller]
    pub fn insert_unique<'g>(
        &'g self,
        key: K,
        value: Arc<T>,
        guard: &'g Guard<'_, F>,
    ) -> Result<(), (Borrowed<'g, T>, Arc<T>)> {
        match self.put(key, value, guard, |present| present.is_none()) {
            Ok(_) => Ok(()),
            Err((Some(present), value)) => {
                // SAFETY: clause 1: found in this call.
                Err((unsafe { Self::borrow(present) }, value))
            }
            Err((None, _)) => unreachable!("it is refused for what is there"),
        }
    }

    /// Gives an entry that is there another value, and gives the old value out.
    ///
    /// # Errors
    /// There is none with this key: the value that was not stored.
    #[track_caller]
    pub fn replace(
        &self,
        key: K,
        value: Arc<T>,
        guard: &Guard<'_, F>,
    ) -> Result<RetiredArc<T, F>, Arc<T>> {
        match self.put(key, value, guard, |present| present.is_some()) {
            Ok(Some(old)) => Ok(old),
            Ok(None) => unreachable!("it is refused where there is none"),
            Err((_, value)) => Err(value),
        }
    }

    /// Removes the entry of a key, and gives its value out. `None`: there is none.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use urcu::{Memb, OrdMap};
    ///
    /// let map: OrdMap<u32, String> = OrdMap::new();
    /// map.insert(1, Arc::new("one".to_owned()), &Memb::read_lock());
    /// let guard = Memb::read_lock();
    /// let old = map.remove(1, &guard).unwrap(); // still read by others, and here
    /// assert_eq!(old.len(), 3);
    /// drop(guard);
    /// assert_eq!(Arc::into_inner(old.synchronize()).unwrap(), "one"); // by nobody else
    /// ```
    #[doc(alias = "mtree_erase")]
    #[track_caller]
    pub fn remove(&self, key: K, guard: &Guard<'_, F>) -> Option<RetiredArc<T, F>> {
        let remove = |present: Option<NonNull<T>>| present.map(|_| Edit::Remove);
        let (removed, replaced) = self.change(key, guard, remove).ok()?;
        replaced.retire::<F>();
        // SAFETY: clause 1: values came from `Arc::into_raw`, this one was unpublished just now, by us.
        removed.map(|value| unsafe { RetiredArc::new(value) })
    }

    /// Removes all entries that are there at one moment. Their values and the nodes are given up after a grace
    /// period, in one callback. Never waits; looks at each leaf, to know how many bytes wait. Needs no guard.
    #[doc(alias = "mtree_destroy")]
    pub fn clear(&self) {
        drop(self.detach());
    }

    /// Removes all entries that are there at one moment, and gives them out, in a time that does not depend on their
    /// number. `None`: there are none. Needs no guard.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use urcu::{Memb, OrdMap, RetiredArc};
    ///
    /// let map: OrdMap<u32, u32> = OrdMap::new();
    /// for n in 0..100 {
    ///     map.insert(n, Arc::new(n), &Memb::read_lock());
    /// }
    /// let mut old = Vec::new();
    /// map.detach().unwrap().take_values(&mut old);
    /// assert!(map.is_empty());
    /// assert_eq!(old.iter().map(|value| **value).sum::<u32>(), 99 * 50);
    /// RetiredArc::free_all(old);
    /// ```
    pub fn detach(&self) -> Option<DetachedMap<K, T, F>> {
        let locked = self.root.lock();
        let root = locked.tree()?;
        // SAFETY: clause 1: an empty tree.
        unsafe { locked.publish(None) };
        // SAFETY: clause 1: writers verify that the root is what it was, and no other call has taken this one; no
        // reader comes to it any more.
        Some(unsafe { DetachedMap::new(root) })
    }

    /// Stores a value if `may` of the present one says so.
    #[track_caller]
    #[expect(clippy::type_complexity, reason = "taken apart by each caller")]
    fn put(
        &self,
        key: K,
        value: Arc<T>,
        guard: &Guard<'_, F>,
        may: impl Fn(Option<NonNull<T>>) -> bool,
    ) -> Result<Option<RetiredArc<T, F>>, (Option<NonNull<T>>, Arc<T>)> {
        // The value stays ours until the entry is there.
        let at = NonNull::new(Arc::as_ptr(&value).cast_mut()).expect("an Arc is somewhere");
        match self.change(key, guard, |present| may(present).then_some(Edit::Put(at))) {
            Ok((old, replaced)) => {
                let _ = Arc::into_raw(value); // the same address; the count is the map's
                replaced.retire::<F>();
                // SAFETY: clause 1: values came from `Arc::into_raw`, this one was unpublished just now, by us.
                Ok(old.map(|old| unsafe { RetiredArc::new(old) }))
            }
            Err(present) => Err((present, value)),
        }
    }

    /// Does what `edit` makes of the present value, or nothing; gives that value, and the old nodes. A value that was
    /// put is the map's when this returns, and the caller's if it unwinds.
    ///
    /// # Errors
    /// The present value, of which `edit` made nothing.
    #[track_caller]
    #[expect(clippy::type_complexity, reason = "taken apart by each caller")]
    fn change<'g>(
        &'g self,
        key: K,
        guard: &'g Guard<'_, F>,
        edit: impl Fn(Option<NonNull<T>>) -> Option<Edit<T>>,
    ) -> Result<(Option<NonNull<T>>, Replaced<'g, K, T>), Option<NonNull<T>>> {
        let _ = guard;
        loop {
            // SAFETY: clause 1: the section lasts as long as `guard` is borrowed, for this call.
            let root = unsafe { self.view() };
            let map = core::ptr::from_ref(self).cast();
            let path = Searching::within(map, || Path::find(root, &key));
            let present = path.present();
            let edit = edit(present).ok_or(present)?;
            let replaced = match exchange(&path, key, &edit, &self.root) {
                Exchange::Done(old) => Some(Replaced::Leaf(old)),
                Exchange::Late => None,
                Exchange::Unfit => Plan::new(&path, key, edit).commit(&self.root),
            };
            if let Some(replaced) = replaced {
                return Ok((present, replaced));
            }
        }
    }
}

impl<K, T, F> Drop for OrdMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    /// Frees everything at once: what readers have found borrows the map, so none is left.
    fn drop(&mut self) {
        if let Some(root) = self.root.take() {
            // SAFETY: clause 1: `&mut self`, and the word is null now.
            drop(unsafe { Tree::new(root) });
        }
    }
}

impl<K, T, F> Default for OrdMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<K, T, F> fmt::Debug for OrdMap<K, T, F>
where
    K: Copy + Ord + Send + Sync + 'static,
    T: Send + Sync + 'static,
    F: Flavor,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrdMap")
            .field("is_empty", &self.is_empty())
            .finish_non_exhaustive()
    }
}

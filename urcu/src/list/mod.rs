//! Linked lists that readers walk without a lock while their owner changes them: the kernel's `rculist.h`.
//!
//! [`List`] has a first and a last element, [`HList`] a first one only, for the chains of a hash table. Readers walk
//! forward, in a section. Changes need `&mut` of the [`Writer`] that the list was made with (rule A1 of the design),
//! which a mutex protects; a [`Cursor`] goes both ways, inserts, removes and replaces. [`IntrusiveList`] is for objects that have
//! their links in themselves, and the one unsafe door.
//!
//! # What readers see
//! An element that is on the list during the whole walk is met once, in its place; one that is inserted or removed
//! meanwhile is met once or not at all; of a replaced one, the old or the new is met. Nothing is met twice, and no walk is
//! led into another list or runs in a circle:
//! * A removed element keeps its `next`: who stands there goes on, and finds the list as it was or is. It stays
//!   readable until after a grace period.
//! * So an element cannot be *moved* while readers may stand on it: a walk would go on from the new place, skip
//!   what is between, see elements twice, or another list. There is no `list_move`, `list_rotate_left`, `list_swap`,
//!   `list_cut_position`, `list_bulk_move_tail`, `hlist_move_list`, `hlists_swap_heads_rcu`. Remove, wait for the grace period,
//!   insert; or insert a copy (an `Arc`) and remove the old one, which readers may then meet both.
//! * A splice (`list_splice_init_rcu`) is two steps: [`take_all`](RcuList::take_all), whose result becomes a list of its own
//!   after a grace period, and [`append`](RcuList::append), which takes a list *by value*: no reader borrows it, so none is led
//!   from the one into the other. (The kernel's waits inside, with the lock held.)
//! * Readers do not walk backward (`list_bidir_del_rcu`): `prev` is the writer's, and of a removed element stale.
//! * `list_empty` means nothing to a reader: [`front`](RcuList::front) is `list_first_or_null_rcu`.
//!
//! # Orderings
//! Whatever makes an element reachable, also a removal, which leads past the removed to the next, is a Release store of one
//! pointer, and readers load with Acquire: who meets an element sees its value and its links. `prev`, the last element and the
//! length are Relaxed: the writer's lock orders them.
//!
//! ```
//! use std::sync::Mutex;
//! use urcu::list::List;
//! use urcu::{Memb, Writer};
//!
//! let lock = Mutex::new(Writer::new());
//! let list: List<&str> = List::new(&lock.lock().unwrap());
//! list.push_back(&mut lock.lock().unwrap(), "a"); // list_add_tail_rcu
//! list.push_back(&mut lock.lock().unwrap(), "c");
//!
//! let mut writer = lock.lock().unwrap();
//! let mut cursor = list.cursor_front(&mut writer);
//! cursor.insert_after("b"); // list_add_rcu
//! cursor.move_next();
//! assert_eq!(cursor.current(), Some(&"b"));
//! let old = cursor.replace("B").unwrap(); // list_replace_rcu
//! cursor.move_next();
//! cursor.remove().unwrap().free(); // list_del_rcu, kfree_rcu
//! drop(writer);
//!
//! let guard = Memb::read_lock();
//! assert!(list.iter(&guard).eq(&["a", "B"])); // list_for_each_entry_rcu
//! drop(guard);
//! assert_eq!(old.synchronize(), "b");
//! ```

mod cursor;
mod detached;
mod intrusive;
mod iter;
mod links;
mod node;

pub use cursor::Cursor;
pub use detached::Detached;
pub use intrusive::{Heads, IntrusiveList, ListHead, NotInserted, Place};
pub use iter::{Iter, WriterIter};
pub use node::Removed;

use core::fmt;
use core::marker::PhantomData;
use core::ptr;

use crate::atomic::{AtomicPtr, Ordering};
use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use crate::locked::{Owner, Writer};

use self::links::Links;

/// A list with a first and a last element. Four words. See [`RcuList`].
#[doc(alias = "list_head")]
#[doc(alias = "rculist")]
pub type List<T, F = Memb> = RcuList<T, F, BothEnds>;

/// A list that knows its first element only: three words. To come to its end it walks. See [`RcuList`].
#[doc(alias = "hlist_head")]
#[doc(alias = "hlist")]
pub type HList<T, F = Memb> = RcuList<T, F, FrontOnly>;

/// Which ends a list knows: [`BothEnds`] or [`FrontOnly`]. Sealed.
pub trait Ends: sealed::Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    const NEW: Self;
    /// The last node, if it is known.
    #[doc(hidden)]
    fn last(&self) -> Option<*mut ()>;
    #[doc(hidden)]
    fn set_last(&self, last: *mut ());
}

/// The list knows its first and its last element.
#[derive(Debug)]
pub struct BothEnds(AtomicPtr<()>);

/// The list knows its first element.
#[derive(Debug)]
pub struct FrontOnly(());

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::BothEnds {}
    impl Sealed for super::FrontOnly {}
}

impl Ends for BothEnds {
    const NEW: Self = Self(AtomicPtr::new(ptr::null_mut()));
    fn last(&self) -> Option<*mut ()> {
        Some(self.0.load(Ordering::Relaxed))
    }
    fn set_last(&self, last: *mut ()) {
        self.0.store(last, Ordering::Relaxed);
    }
}

impl Ends for FrontOnly {
    const NEW: Self = Self(());
    fn last(&self) -> Option<*mut ()> {
        None
    }
    fn set_last(&self, _: *mut ()) {}
}

/// What [`List`] and [`HList`] are: a list that owns its values, read in sections, changed with `&mut` of its [`Writer`].
///
/// `T: Send + Sync + 'static`, on the type, as for [`Rcu`](crate::Rcu) (rule A3).
///
/// # Progress and cost
/// * Readers: wait-free for each step, one load; they write nothing.
/// * The writer: a few stores for each change, and an allocation for an insertion. Never waits and never runs user's code
///   (but in [`retain`](Self::retain), and `Extend`-like loops of your own), so it may be done in sections. Going to the end of an
///   [`HList`] is linear.
/// * A change that panics does not exist; a closure of yours that does leaves the list as the last change left it.
/// * In a forked child readers go on, and changes if the mutex around the writer was free; a list that another thread
///   was changing may be read, but is not whole for the next change.
///
/// # Panics
/// All methods that take a writer panic if it is not the one that the list was made with.
///
/// # Invariants
/// 1. What is on `links` came from `Node::boxed` for `T`, and is this list's.
/// 2. Only who has `&mut` of the writer `owner`, or of the list, changes it.
/// 3. What was taken off, so that no reader who comes later finds it, is freed by way of [`Retired`](crate::Retired), after a
///    grace period of `F`.
pub struct RcuList<T: Send + Sync + 'static, F: Flavor, E: Ends> {
    links: Links<E>,
    owner: Owner,
    /// In `T`: links do not name `T`, and a reference to a list of one type must not become one to a list of
    /// another.
    invariant: PhantomData<fn(T) -> T>,
    owns: PhantomData<(Box<T>, F)>,
}

impl<T: Send + Sync + 'static, F: Flavor, E: Ends> RcuList<T, F, E> {
    /// An empty list that `writer` may change. Allocates nothing.
    #[doc(alias = "INIT_LIST_HEAD_RCU")]
    #[doc(alias = "INIT_HLIST_HEAD")]
    pub const fn new(writer: &Writer) -> Self {
        Self {
            links: Links::new(),
            owner: Owner::of(writer),
            invariant: PhantomData,
            owns: PhantomData,
        }
    }

    /// The values, first to last, as the section sees them.
    #[doc(alias = "list_for_each_entry_rcu")]
    #[doc(alias = "hlist_for_each_entry_rcu")]
    #[doc(alias = "cds_list_for_each_entry_rcu")]
    #[inline]
    pub fn iter<'g>(&'g self, guard: &'g Guard<'_, F>) -> Iter<'g, T> {
        let _ = guard;
        // SAFETY: 1: invariant 1; the section lasts for 'g, as does the borrow of the list; invariant 3.
        unsafe { Iter::new(self.links.first()) }
    }

    /// The first value, as the section sees it.
    #[doc(alias = "list_first_or_null_rcu")]
    #[inline]
    pub fn front<'g>(&'g self, guard: &'g Guard<'_, F>) -> Option<&'g T> {
        self.iter(guard).next()
    }

    /// The values, for as long as the writer is borrowed: no section, and it goes both ways. (Backward an [`HList`] walks to
    /// its end first.)
    ///
    /// # Panics
    /// With another list's writer.
    #[doc(alias = "list_for_each_entry")]
    #[doc(alias = "list_for_each_entry_reverse")]
    #[track_caller]
    pub fn iter_locked<'w>(&'w self, writer: &'w Writer) -> WriterIter<'w, T> {
        self.check(writer);
        // SAFETY: 1: changes need `&mut` of this writer, which is borrowed for 'w, as is the list; invariant 1.
        unsafe { WriterIter::new(&self.links) }
    }

    /// How many values there are.
    ///
    /// # Panics
    /// With another list's writer.
    #[track_caller]
    pub fn len(&self, writer: &Writer) -> usize {
        self.check(writer);
        self.links.len()
    }

    /// Whether there is no value at the moment; another moment, another answer, unless you have the writer.
    #[doc(alias = "list_empty")]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Inserts a value before all others. Allocates.
    ///
    /// # Panics
    /// With another list's writer.
    #[doc(alias = "list_add_rcu")]
    #[doc(alias = "cds_list_add_rcu")]
    #[doc(alias = "hlist_add_head_rcu")]
    #[doc(alias = "cds_hlist_add_head_rcu")]
    #[track_caller]
    pub fn push_front(&self, writer: &mut Writer, value: T) {
        self.cursor(writer).insert_after(value);
    }

    /// Inserts a value behind all others. Allocates. An [`HList`] walks.
    ///
    /// # Panics
    /// With another list's writer.
    #[doc(alias = "list_add_tail_rcu")]
    #[doc(alias = "cds_list_add_tail_rcu")]
    #[doc(alias = "hlist_add_tail_rcu")]
    #[track_caller]
    pub fn push_back(&self, writer: &mut Writer, value: T) {
        self.cursor(writer).insert_before(value);
    }

    /// A cursor that stands between the end and the beginning.
    ///
    /// # Panics
    /// With another list's writer.
    #[track_caller]
    pub fn cursor<'w>(&'w self, writer: &'w mut Writer) -> Cursor<'w, T, F, E> {
        self.check(writer);
        // SAFETY: 1: the writer was checked, and is borrowed for 'w.
        unsafe { Cursor::new(self) }
    }

    /// A cursor at the first value.
    ///
    /// # Panics
    /// With another list's writer.
    #[track_caller]
    pub fn cursor_front<'w>(&'w self, writer: &'w mut Writer) -> Cursor<'w, T, F, E> {
        let mut cursor = self.cursor(writer);
        cursor.move_next();
        cursor
    }

    /// A cursor at the last value.
    ///
    /// # Panics
    /// With another list's writer.
    #[track_caller]
    pub fn cursor_back<'w>(&'w self, writer: &'w mut Writer) -> Cursor<'w, T, F, E> {
        let mut cursor = self.cursor(writer);
        cursor.move_prev();
        cursor
    }

    /// Removes, and frees after a grace period, the values that `keep` does not want. Tells how many.
    ///
    /// # Panics
    /// With another list's writer; with `keep`, and then the rest stays.
    #[track_caller]
    pub fn retain(&self, writer: &mut Writer, mut keep: impl FnMut(&T) -> bool) -> usize {
        let mut removed = 0;
        let mut cursor = self.cursor_front(writer);
        while let Some(value) = cursor.current() {
            if keep(value) {
                cursor.move_next();
            } else {
                drop(cursor.remove());
                removed += 1;
            }
        }
        removed
    }

    /// Takes everything off, with one store. Readers that are on their way go on to the end of what was there.
    ///
    /// # Panics
    /// With another list's writer.
    #[doc(alias = "list_splice_init_rcu")]
    #[track_caller]
    pub fn take_all(&self, writer: &mut Writer) -> Detached<T, F, E> {
        self.check(writer);
        // SAFETY: 1: checked.
        let chain = unsafe { self.links.take_all() };
        // SAFETY: 1: off, and by invariants 1 and 2 the caller's.
        unsafe { Detached::new(chain) }
    }

    /// Puts the values of another list behind those of this one, without an allocation.
    ///
    /// The other one is given by value, so no reader is in it. With [`take_all`](Self::take_all) this is the kernel's splice:
    ///
    /// ```
    /// use urcu::list::List;
    /// use urcu::{Memb, Writer};
    /// let mut writer = Writer::new();
    /// let (new, all): (List<u32>, List<u32>) = (List::new(&writer), List::new(&writer));
    /// all.push_back(&mut writer, 1);
    /// new.push_back(&mut writer, 2);
    /// let taken = new.take_all(&mut writer); // readers of `new` may be on it
    /// let taken = taken.synchronize(&writer); // no more
    /// all.append(&mut writer, taken);
    /// assert!(all.iter(&Memb::read_lock()).eq(&[1, 2]));
    /// ```
    ///
    /// # Panics
    /// With another list's writer; the other list's values are then dropped.
    #[doc(alias = "list_splice_tail_init_rcu")]
    #[track_caller]
    pub fn append(&self, writer: &mut Writer, other: Self) {
        self.check(writer);
        // SAFETY: 1: it is ours.
        let chain = unsafe { other.links.take_all() };
        // SAFETY: 1: checked; 2: no reader borrows `other`.
        unsafe { self.links.append(&chain) };
    }

    #[track_caller]
    fn check(&self, writer: &Writer) {
        self.owner.check(writer, "a list");
    }
}

impl<T: Send + Sync + 'static, F: Flavor, E: Ends> Drop for RcuList<T, F, E> {
    /// Frees the values at once: who reads borrows the list.
    fn drop(&mut self) {
        // SAFETY: 1: `&mut self`.
        let chain = unsafe { self.links.take_all() };
        // SAFETY: 1: invariant 1, and nobody is here.
        drop(unsafe { detached::Alone::<T>::new(chain.first) });
    }
}

impl<T: Send + Sync + 'static, F: Flavor, E: Ends> fmt::Debug for RcuList<T, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RcuList")
            .field("len", &self.links.len())
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

//! [`IntrusiveList`]: a list of objects that have their links in themselves, for who may not allocate.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::flavor::{Flavor, Memb};
use crate::guard::Guard;
use crate::locked::{Owner, Writer};

use super::BothEnds;
use super::links::{Link, Links};

/// The place in an object by which it is on an [`IntrusiveList`]. 24 bytes.
///
/// It knows on which list it is, in every build: to insert it twice is refused, and so is to remove it from a list that it is
/// not on.
#[repr(C)]
#[doc(alias = "list_head")]
pub struct ListHead {
    link: Link,
    /// The number of the list, or 0.
    on: AtomicU64,
}

impl ListHead {
    /// A head on no list.
    #[doc(alias = "INIT_LIST_HEAD")]
    pub const fn new() -> Self {
        Self {
            link: Link::new(),
            on: AtomicU64::new(0),
        }
    }

    /// Whether it is on a list.
    pub fn is_linked(&self) -> bool {
        self.on.load(Ordering::Acquire) != 0
    }
}

impl Default for ListHead {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ListHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListHead")
            .field("linked", &self.is_linked())
            .finish_non_exhaustive()
    }
}

/// Where to insert.
#[derive(Clone, Copy, Debug)]
pub enum Place<'l> {
    /// Before all others.
    Front,
    /// Behind all others.
    Back,
    /// Before this one.
    Before(&'l ListHead),
    /// Behind this one.
    After(&'l ListHead),
}

/// Why nothing was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInserted {
    /// The head is on a list.
    AlreadyLinked,
    /// What the place names is not on this list.
    NoSuchPlace,
}

impl fmt::Display for NotInserted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyLinked => "the head is on a list already",
            Self::NoSuchPlace => "the place is not on this list",
        })
    }
}

impl core::error::Error for NotInserted {}

/// A list of objects of somebody else, by the [`ListHead`]s in them: the kernel's `list_head` with one unsafe door,
/// [`insert`](Self::insert).
///
/// Allocates nothing, owns nothing, frees nothing. What is true of readers and of the [`Writer`] is said of
/// [`List`](super::List), which owns what is in it and is what you want unless an object must not pay for memory.
///
/// ```
/// use std::ptr::NonNull;
/// use urcu::list::{IntrusiveList, ListHead, Place};
/// use urcu::{Memb, Writer, container_of};
///
/// struct Node {
///     value: u64,
///     on: ListHead,
/// }
///
/// let mut writer = Writer::new();
/// let list: IntrusiveList = IntrusiveList::new(&writer);
/// let node = Box::into_raw(Box::new(Node { value: 7, on: ListHead::new() }));
/// // SAFETY: `node` is not null.
/// let head = unsafe { NonNull::new_unchecked(&raw mut (*node).on) };
/// // SAFETY: 1: freed below; 2: made from `node`; 3: a `Node` is `Sync`; 4: it was never on a list.
/// unsafe { list.insert(&mut writer, Place::Back, head) }?;
///
/// for head in list.iter(&Memb::read_lock()) {
///     let node: *mut Node = container_of!(head.as_ptr(), Node, on);
///     // SAFETY: there are only `Node`s on this list, and the guard is there.
///     assert_eq!(unsafe { (*node).value }, 7);
/// }
/// // SAFETY: not freed yet.
/// let head = list.remove(&mut writer, unsafe { head.as_ref() }).expect("it is on the list");
/// Memb::synchronize();
/// // SAFETY: off, no reader is left, and the pointer is the one that was inserted.
/// drop(unsafe { Box::from_raw(container_of!(head.as_ptr(), Node, on)) });
/// # Ok::<(), urcu::list::NotInserted>(())
/// ```
///
/// # Panics
/// All methods that take a writer panic if it is not the one that the list was made with.
///
/// # Invariants
/// 1. What is on `links` is the first field of a [`ListHead`] whose `on` is `number`, and the reverse.
/// 2. Only who has `&mut` of the writer `owner`, or of the list, changes it.
pub struct IntrusiveList<F: Flavor = Memb> {
    links: Links<BothEnds>,
    owner: Owner,
    number: u64,
    flavor: PhantomData<F>,
}

impl<F: Flavor> IntrusiveList<F> {
    /// An empty list that `writer` may change.
    pub fn new(writer: &Writer) -> Self {
        /// Never given twice, and 0 never.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            links: Links::new(),
            owner: Owner::of(writer),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            flavor: PhantomData,
        }
    }

    /// Inserts an object. A few stores and one CAS; never waits, allocates nothing.
    ///
    /// # Errors
    /// The head is on a list, or the place is not on this one: nothing happens.
    ///
    /// # Panics
    /// With another list's writer.
    ///
    /// # Safety
    /// 1. `head` points to an initialised [`ListHead`], and goes on doing so, at this address, until it was removed from this
    ///    list, or the list was dropped, *and* a grace period of `F` that began after that is over.
    /// 2. `head` was made from a pointer to everything that is accessed through what [`iter`](Self::iter) and
    ///    [`remove`](Self::remove) give, not from a `&ListHead`.
    /// 3. What is accessed through it may be shared with all threads that have the list.
    /// 4. If it was on a list before, a grace period of that list's flavor that began after it was removed is over: a reader
    ///    that stands on it would be led into this list.
    #[doc(alias = "list_add_rcu")]
    #[doc(alias = "list_add_tail_rcu")]
    #[track_caller]
    pub unsafe fn insert(
        &self,
        writer: &mut Writer,
        place: Place<'_>,
        head: NonNull<ListHead>,
    ) -> Result<(), NotInserted> {
        self.owner.check(writer, "an IntrusiveList");
        if let Place::Before(there) | Place::After(there) = place
            && !self.has(there)
        {
            return Err(NotInserted::NoSuchPlace);
        }
        // SAFETY: clause 1.
        let on = unsafe { &head.as_ref().on };
        // INVARIANT: 1. Acquire pairs with the Release of `remove`: what the last writer did to the links is done.
        if on
            .compare_exchange(0, self.number, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return Err(NotInserted::AlreadyLinked);
        }
        let prev = match place {
            Place::Front => core::ptr::null_mut(),
            // SAFETY: 1: checked.
            Place::Back => unsafe { self.links.last() },
            Place::Before(there) => there.link.before(),
            Place::After(there) => self.pointer_to(there),
        };
        // SAFETY: 1: checked, and `prev` is null or on the list; 2: by clauses 1 and 4.
        unsafe { self.links.insert(prev, head.cast().as_ptr()) };
        Ok(())
    }

    /// Takes an object off, and gives the pointer with which it was inserted. `None`: it is not on this list. A few stores.
    ///
    /// Readers may stand on it until a grace period is over: before that it must neither be freed nor inserted again.
    /// [`Domain::call_head`](crate::Domain::call_head) waits without an allocation.
    ///
    /// # Panics
    /// With another list's writer.
    #[doc(alias = "list_del_rcu")]
    #[track_caller]
    pub fn remove(&self, writer: &mut Writer, head: &ListHead) -> Option<NonNull<ListHead>> {
        self.owner.check(writer, "an IntrusiveList");
        if !self.has(head) {
            return None;
        }
        let pointer = self.pointer_to(head);
        // SAFETY: 1: checked; on this list.
        unsafe { self.links.remove(&head.link) };
        // INVARIANT: 1. Release: see `insert`.
        head.on.store(0, Ordering::Release);
        NonNull::new(pointer.cast())
    }

    /// Whether the object is on this list. Exact for who has the writer.
    pub fn has(&self, head: &ListHead) -> bool {
        head.on.load(Ordering::Relaxed) == self.number
    }

    /// The pointer with which an object was inserted: that of whoever leads to it. For one on this list, for who has the
    /// writer.
    fn pointer_to(&self, head: &ListHead) -> *mut Link {
        // SAFETY: 1: what is before a link of the list is null or on it.
        unsafe { self.links.behind(head.link.before()) }.load(Ordering::Relaxed)
    }

    /// The objects, first to last, as the section sees them: the pointers with which they were inserted.
    #[doc(alias = "list_for_each_rcu")]
    #[inline]
    pub fn iter<'g>(&'g self, guard: &'g Guard<'_, F>) -> Heads<'g> {
        let _ = guard;
        // INVARIANT: 1: clauses 1 and 4 of `insert`: what is removed stays for the section, and leads where it led.
        Heads {
            to_next: self.links.first(),
        }
    }

    /// How many objects there are.
    ///
    /// # Panics
    /// With another list's writer.
    #[track_caller]
    pub fn len(&self, writer: &Writer) -> usize {
        self.owner.check(writer, "an IntrusiveList");
        self.links.len()
    }

    /// Whether there is no object at the moment.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}

impl<F: Flavor> Drop for IntrusiveList<F> {
    /// Takes all objects off.
    fn drop(&mut self) {
        // SAFETY: 1: `&mut self`.
        let mut at = unsafe { self.links.take_all() }.first;
        // SAFETY: invariant 1, clause 1 of `insert`: the heads are there; repr(C): the link is the first field.
        while let Some(head) = unsafe { at.cast::<ListHead>().as_ref() } {
            at = head.link.after();
            // INVARIANT: 1. The last access: from here on it may be on another list.
            head.on.store(0, Ordering::Release);
        }
    }
}

impl<F: Flavor> fmt::Debug for IntrusiveList<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrusiveList")
            .field("len", &self.links.len())
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// A reader's walk along an [`IntrusiveList`].
///
/// # Invariants
/// 1. What can be reached by `to_next` lives during `'g`.
#[derive(Clone, Debug)]
pub struct Heads<'g> {
    to_next: &'g AtomicPtr<Link>,
}

impl Iterator for Heads<'_> {
    type Item = NonNull<ListHead>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // Acquire pairs with the store that published it.
        let at = NonNull::new(self.to_next.load(Ordering::Acquire))?;
        // SAFETY: invariant 1.
        self.to_next = unsafe { at.as_ref() }.next();
        Some(at.cast())
    }
}

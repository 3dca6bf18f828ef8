//! The links of a list without what they link: the one place where lists are changed.
//!
//! Whoever changes a list has its writer, or the list for itself; so only `next` and `first`, which readers follow, need an
//! ordering: Release, see [`crate::list`].

use core::ptr;

use crate::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::Ends;

/// The first field of whatever is on a list.
///
/// # Invariants
/// 1. `next` is what readers follow; it stays as it is when the object is taken off.
/// 2. `prev` is only for who has the writer.
#[derive(Debug)]
pub(super) struct Link {
    next: AtomicPtr<Self>,
    prev: AtomicPtr<Self>,
}

impl Link {
    /// On no list.
    pub(super) const fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            prev: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// What readers follow.
    pub(super) fn next(&self) -> &AtomicPtr<Self> {
        &self.next
    }

    /// For who has the writer: its lock orders this after the last change.
    pub(super) fn after(&self) -> *mut Self {
        self.next.load(Ordering::Relaxed)
    }

    /// As `after`.
    pub(super) fn before(&self) -> *mut Self {
        self.prev.load(Ordering::Relaxed)
    }

    fn set(&self, prev: *mut Self, next: *mut Self) {
        self.next.store(next, Ordering::Relaxed);
        self.prev.store(prev, Ordering::Relaxed);
    }
}

/// A list of links.
///
/// # Invariants
/// 1. From `first` along `next`, and back along `prev`, go the links of this list, each once; `ends` is right, and so is
///    `len`; both ends are null. The links live, at least until they are taken off.
#[derive(Debug)]
pub(super) struct Links<E> {
    first: AtomicPtr<Link>,
    ends: E,
    len: AtomicUsize,
}

/// A list that was taken apart: its first link, its last one if it knew it, and how many there are.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) first: *mut Link,
    pub(super) last: *mut Link,
    pub(super) len: usize,
}

impl<E: Ends> Links<E> {
    pub(super) const fn new() -> Self {
        Self {
            first: AtomicPtr::new(ptr::null_mut()),
            ends: E::NEW,
            len: AtomicUsize::new(0),
        }
    }

    /// What readers begin with.
    pub(super) fn first(&self) -> &AtomicPtr<Link> {
        &self.first
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.load(Ordering::Relaxed).is_null()
    }

    /// The last link; null also where the list does not know it.
    pub(super) fn known_last(&self) -> *mut Link {
        self.ends.last().unwrap_or(ptr::null_mut()).cast()
    }

    /// The last link, or null.
    ///
    /// # Safety
    /// 1. The caller has the writer.
    pub(super) unsafe fn last(&self) -> *mut Link {
        if let Some(last) = self.ends.last() {
            return last.cast();
        }
        let (mut at, mut last) = (self.first.load(Ordering::Relaxed), ptr::null_mut());
        // SAFETY: invariant 1; by clause 1 nobody changes it meanwhile.
        while let Some(link) = unsafe { at.as_ref() } {
            (last, at) = (at, link.after());
        }
        last
    }

    /// The pointer by which readers come to what is behind a link, or, for null, to the first.
    ///
    /// # Safety
    /// 1. The link is null, or on this list, and stays there during the borrow.
    pub(super) unsafe fn behind(&self, link: *mut Link) -> &AtomicPtr<Link> {
        // SAFETY: clause 1, and invariant 1: it lives.
        unsafe { link.as_ref() }.map_or(&self.first, |link| &link.next)
    }

    /// Tells a link, or, for null, the list, what is before it.
    ///
    /// # Safety
    /// 1. The caller has the writer, by `&mut`; the link is null or on this list.
    unsafe fn set_before(&self, link: *mut Link, prev: *mut Link) {
        // SAFETY: clause 1, and invariant 1: it lives.
        match unsafe { link.as_ref() } {
            Some(link) => link.prev.store(prev, Ordering::Relaxed),
            None => self.ends.set_last(prev.cast()),
        }
    }

    fn add_to_len(&self, added: usize) {
        self.len
            .store(self.len().wrapping_add(added), Ordering::Relaxed);
    }

    /// Puts a link behind another one, or, for null, at the beginning.
    ///
    /// # Safety
    /// 1. The caller has the writer, by `&mut`; `prev` is null or on this list.
    /// 2. `new` points to a link that is on no list, and lives until it is taken off; no reader stands on it.
    pub(super) unsafe fn insert(&self, prev: *mut Link, new: *mut Link) {
        // SAFETY: 1: clause 1.
        let to_new = unsafe { self.behind(prev) };
        let next = to_new.load(Ordering::Relaxed);
        // SAFETY: clause 2.
        unsafe { &*new }.set(prev, next);
        // INVARIANT: 1. Release pairs with readers' Acquire: they see the object and its link.
        to_new.store(new, Ordering::Release);
        // SAFETY: 1: clause 1; `next` was on the list.
        unsafe { self.set_before(next, new) };
        self.add_to_len(1);
    }

    /// Takes a link off and gives what was behind it. Readers who stand on it go on from there.
    ///
    /// # Safety
    /// 1. The caller has the writer, by `&mut`; the link is on this list.
    pub(super) unsafe fn remove(&self, link: &Link) -> *mut Link {
        let (prev, next) = (link.before(), link.after());
        // SAFETY: 1: clause 1: what is before a link of the list is on the list, or null.
        let to_next = unsafe { self.behind(prev) };
        // INVARIANT: 1. Release: who comes to `next` by this, and by nothing older, sees it as it was published.
        to_next.store(next, Ordering::Release);
        // SAFETY: 1: clause 1: as above.
        unsafe { self.set_before(next, prev) };
        self.add_to_len(usize::MAX); // less one
        next
    }

    /// Puts a link in the place of another one, which is then off the list.
    ///
    /// # Safety
    /// 1. The caller has the writer, by `&mut`; `old` is on this list.
    /// 2. As of [`insert`](Self::insert).
    pub(super) unsafe fn replace(&self, old: &Link, new: *mut Link) {
        let (prev, next) = (old.before(), old.after());
        // SAFETY: clause 2.
        unsafe { &*new }.set(prev, next);
        // SAFETY: 1: clause 1: what is before a link of the list is on the list, or null.
        let to_new = unsafe { self.behind(prev) };
        // INVARIANT: 1. As in `insert`.
        to_new.store(new, Ordering::Release);
        // SAFETY: 1: clause 1: as above.
        unsafe { self.set_before(next, new) };
    }

    /// Takes everything off.
    ///
    /// # Safety
    /// 1. The caller has the writer, by `&mut`, or the list for itself.
    pub(super) unsafe fn take_all(&self) -> Chain {
        let chain = Chain {
            first: self.first.load(Ordering::Relaxed),
            last: self.known_last(),
            len: self.len(),
        };
        // INVARIANT: 1. Nothing is published by it.
        self.first.store(ptr::null_mut(), Ordering::Relaxed);
        self.ends.set_last(ptr::null_mut());
        self.len.store(0, Ordering::Relaxed);
        chain
    }

    /// Puts what was taken off such a list at the end.
    ///
    /// # Safety
    /// 1. The caller has the writer, by `&mut`, or the list for itself.
    /// 2. The chain came from `take_all` of a list with these ends, is put on a list once, and no reader stands on it.
    pub(super) unsafe fn append(&self, chain: &Chain) {
        // SAFETY: invariant 1 of the list that it came from, and clause 2.
        let Some(first) = (unsafe { chain.first.as_ref() }) else {
            return;
        };
        // SAFETY: 1: clause 1.
        let end = unsafe { self.last() };
        first.prev.store(end, Ordering::Relaxed);
        // SAFETY: 1: null, or on the list.
        let to_first = unsafe { self.behind(end) };
        // INVARIANT: 1. Release: who comes here sees all that was done to the links.
        to_first.store(chain.first, Ordering::Release);
        self.ends.set_last(chain.last.cast());
        self.add_to_len(chain.len);
    }
}

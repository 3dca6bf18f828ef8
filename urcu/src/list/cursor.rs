//! [`Cursor`]: a place on a list, for who may change it.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use crate::atomic::Ordering;
use crate::flavor::Flavor;
use crate::locked::Writer;
use crate::retire::Retired;

use super::links::Link;
use super::node::Node;
use super::{Ends, RcuList, Removed};

/// A place on a list: at a value, or between the end and the beginning. The list can be changed there.
///
/// It holds `&mut` of the list's [`Writer`], so it is the only one; readers may be on the list meanwhile.
///
/// # Invariants
/// 1. `at` is null or on the list; nobody else changes the list while this is there.
pub struct Cursor<'w, T: Send + Sync + 'static, F: Flavor, E: Ends> {
    list: &'w RcuList<T, F, E>,
    at: *mut Link,
    writer: PhantomData<&'w mut Writer>,
}

impl<'w, T: Send + Sync + 'static, F: Flavor, E: Ends> Cursor<'w, T, F, E> {
    /// # Safety
    /// 1. The caller has `&mut` of the list's writer for `'w`.
    pub(super) unsafe fn new(list: &'w RcuList<T, F, E>) -> Self {
        // INVARIANT: 1 by clause 1.
        Self {
            list,
            at: ptr::null_mut(),
            writer: PhantomData,
        }
    }

    /// The value that it stands at.
    pub fn current(&self) -> Option<&T> {
        self.node().map(|node| &node.value)
    }

    fn node(&self) -> Option<&Node<T>> {
        // SAFETY: 1: null or on the list, by invariant 1; invariant 1 of RcuList.
        unsafe { Node::of(self.at) }
    }

    /// What is before; from between the ends the last.
    fn prev(&self) -> *mut Link {
        match self.node() {
            Some(node) => node.link().before(),
            // SAFETY: 1: invariant 1.
            None => unsafe { self.list.links.last() },
        }
    }

    /// Goes to the next value; from the last one to between the ends, from there to the first.
    pub fn move_next(&mut self) {
        // SAFETY: 1: null, or on the list, by invariant 1.
        self.at = unsafe { self.list.links.behind(self.at) }.load(Ordering::Relaxed);
    }

    /// Goes to the value before; from the first one to between the ends, from there to the last.
    pub fn move_prev(&mut self) {
        self.at = self.prev();
    }

    /// Inserts a value behind the current one; between the ends, as the first. The cursor stays. Allocates.
    #[doc(alias = "list_add_rcu")]
    #[doc(alias = "hlist_add_behind_rcu")]
    pub fn insert_after(&mut self, value: T) {
        self.insert(self.at, value);
    }

    /// Inserts a value before the current one; between the ends, as the last. The cursor stays. Allocates.
    #[doc(alias = "list_add_tail_rcu")]
    #[doc(alias = "hlist_add_before_rcu")]
    pub fn insert_before(&mut self, value: T) {
        self.insert(self.prev(), value);
    }

    /// Behind a link of the list, or at its beginning.
    fn insert(&mut self, prev: *mut Link, value: T) {
        // SAFETY: 1: invariant 1; 2: just made.
        unsafe { self.list.links.insert(prev, Node::boxed(value)) };
    }

    /// Takes the current value off and goes to the next one. `None` between the ends. Readers that stand on it go on.
    #[doc(alias = "list_del_rcu")]
    #[doc(alias = "cds_list_del_rcu")]
    #[doc(alias = "hlist_del_rcu")]
    #[doc(alias = "hlist_del_init_rcu")]
    pub fn remove(&mut self) -> Option<Removed<T, F>> {
        let (old, node) = (self.at, self.node()?);
        // SAFETY: 1: invariant 1.
        self.at = unsafe { self.list.links.remove(node.link()) };
        // SAFETY: 1: it is off.
        Some(unsafe { self.give_out(old) })
    }

    /// Puts a value in place of the current one: a reader meets the old one or the new one. The cursor is then at the new one.
    /// Allocates.
    ///
    /// # Errors
    /// Gives the value back between the ends.
    #[doc(alias = "list_replace_rcu")]
    #[doc(alias = "cds_list_replace_rcu")]
    #[doc(alias = "hlist_replace_rcu")]
    pub fn replace(&mut self, value: T) -> Result<Removed<T, F>, T> {
        let Some(node) = self.node() else {
            return Err(value);
        };
        let (old, new) = (self.at, Node::boxed(value));
        // SAFETY: 1: invariant 1; 2: just made.
        unsafe { self.list.links.replace(node.link(), new) };
        self.at = new;
        // SAFETY: 1: it is off.
        Ok(unsafe { self.give_out(old) })
    }

    /// # Safety
    /// 1. The node was just taken off this list.
    unsafe fn give_out(&self, old: *mut Link) -> Removed<T, F> {
        // SAFETY: clause 1: not null.
        let old = unsafe { NonNull::new_unchecked(old) }.cast::<Node<T>>();
        // SAFETY: 1: from a box by invariant 1 of RcuList, unpublished by clause 1, and ours by invariant 2.
        Removed::new(unsafe { Retired::new(old) })
    }
}

impl<T: Send + Sync + fmt::Debug + 'static, F: Flavor, E: Ends> fmt::Debug for Cursor<'_, T, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

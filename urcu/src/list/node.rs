//! A node of a list, and what a list gives back: [`Removed`].

use core::fmt;
use core::ops::Deref;

use crate::flavor::{Flavor, Memb};
use crate::retire::Retired;
use crate::thread::Thread;

use super::links::Link;

/// A value and its link, which comes first: a pointer to the one is a pointer to the other.
#[repr(C)]
pub(super) struct Node<T> {
    link: Link,
    pub(super) value: T,
}

impl<T> Node<T> {
    /// The link of a node that is on no list: a pointer to the whole node, which came from a box.
    pub(super) fn boxed(value: T) -> *mut Link {
        let link = Link::new();
        Box::into_raw(Box::new(Self { link, value })).cast()
    }

    /// The node of a link, for as long as the caller says.
    ///
    /// # Safety
    /// 1. Null, or from `boxed` for this type, and the node lives and is not changed but by its atomics for so long.
    pub(super) unsafe fn of<'n>(link: *mut Link) -> Option<&'n Self> {
        // SAFETY: clause 1; repr(C).
        unsafe { link.cast::<Self>().as_ref() }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }
}

/// What a list removed, before its grace period has passed: readers may still be at it, and go on from it.
///
/// As a [`Retired`]: it is freed after a grace period when it is dropped, and given out after one by
/// [`synchronize`](Self::synchronize) or [`call`](Self::call). Until then it can be read. Dropping never waits, never frees
/// at once and never panics. Forgetting leaks.
#[must_use = "dropping it frees the value after a grace period; say `.free()` if you mean that"]
pub struct Removed<T: Send + Sync + 'static, F: Flavor = Memb>(Retired<Node<T>, F>);

impl<T: Send + Sync + 'static, F: Flavor> Removed<T, F> {
    pub(super) fn new(node: Retired<Node<T>, F>) -> Self {
        Self(node)
    }

    /// Waits for a grace period and gives the value back. Blocks; see [`Retired::synchronize`].
    ///
    /// # Panics
    /// As [`Retired::synchronize`], before it waits; the value is then freed after a grace period.
    #[doc(alias = "synchronize_rcu")]
    #[track_caller]
    pub fn synchronize(self) -> T {
        self.0.synchronize().value
    }

    /// The same through a registration; the form for `Qsbr` threads.
    ///
    /// # Panics
    /// As [`Retired::synchronize_with`].
    #[track_caller]
    pub fn synchronize_with(self, thread: &mut Thread<F>) -> T {
        self.0.synchronize_with(thread).value
    }

    /// Frees the value after a grace period. Never blocks; see [`Retired::free`]. Dropping is the same.
    #[doc(alias = "kfree_rcu")]
    pub fn free(self) {
        self.0.free();
    }

    /// As [`free`](Self::free), unless it would exceed the domain's hard limit.
    ///
    /// # Errors
    /// Gives it back, see [`Retired::try_free`].
    pub fn try_free(self) -> Result<(), Self> {
        self.0.try_free().map_err(Self)
    }

    /// Gives the value to `f` on a worker of the domain after a grace period. Never blocks; see [`Retired::call`].
    #[doc(alias = "call_rcu")]
    pub fn call(self, f: impl FnOnce(T) + Send + 'static) {
        self.0.call(move |node| f(node.value));
    }
}

impl<T: Send + Sync + 'static, F: Flavor> Deref for Removed<T, F> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.object().value
    }
}

impl<T: Send + Sync + fmt::Debug + 'static, F: Flavor> fmt::Debug for Removed<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Removed").field(&**self).finish()
    }
}

//! What was taken off a list as a whole.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use crate::flavor::{Domain, Flavor};
use crate::locked::Writer;
use crate::retire::Retired;
use crate::thread::Thread;

use super::links::{Chain, Link};
use super::node::Node;
use super::{Ends, RcuList};

/// A chain that readers may still be on. See [`RcuList::take_all`].
///
/// Dropping it frees the values after a grace period, without waiting. Forgetting leaks.
///
/// # Invariants
/// 1. The chain's links came from `Node::boxed` for `T`, are on no list, and this one's.
#[must_use = "dropping it frees the values after a grace period"]
pub struct Detached<T: Send + Sync + 'static, F: Flavor, E: Ends> {
    chain: Chain,
    owns: PhantomData<(Box<T>, F, E)>,
}

// SAFETY: owns its values; readers may share them meanwhile.
unsafe impl<T: Send + Sync + 'static, F: Flavor, E: Ends> Send for Detached<T, F, E> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync + 'static, F: Flavor, E: Ends> Sync for Detached<T, F, E> {}

impl<T: Send + Sync + 'static, F: Flavor, E: Ends> Detached<T, F, E> {
    /// # Safety
    /// 1. The chain is one of nodes of `T` that the caller took off a list with these ends, and gives up.
    pub(super) unsafe fn new(chain: Chain) -> Self {
        // INVARIANT: 1 by clause 1.
        Self {
            chain,
            owns: PhantomData,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.chain.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chain.len == 0
    }

    /// Waits for a grace period and makes a list of it, which `writer` may change. Blocks; see [`Domain::synchronize`].
    ///
    /// # Panics
    /// As [`Domain::synchronize`], before it waits; the values are then freed after a grace period.
    #[track_caller]
    pub fn synchronize(self, writer: &Writer) -> RcuList<T, F, E> {
        Domain::<F::Barriers>::synchronize();
        self.into_list(writer)
    }

    /// The same through a registration; the form for `Qsbr` threads.
    ///
    /// # Panics
    /// As [`Thread::synchronize`].
    #[track_caller]
    pub fn synchronize_with(self, thread: &mut Thread<F>, writer: &Writer) -> RcuList<T, F, E> {
        thread.synchronize();
        self.into_list(writer)
    }

    /// After a grace period: nobody is on the chain.
    fn into_list(mut self, writer: &Writer) -> RcuList<T, F, E> {
        let list: RcuList<T, F, E> = RcuList::new(writer);
        // SAFETY: 1: it is ours; 2: invariant 1, and the chain is used up by the next line.
        unsafe { list.links.append(&self.chain) };
        self.chain.first = ptr::null_mut();
        list
    }
}

impl<T: Send + Sync + 'static, F: Flavor, E: Ends> Drop for Detached<T, F, E> {
    fn drop(&mut self) {
        while let Some(link) = NonNull::new(self.chain.first) {
            // SAFETY: invariant 1.
            self.chain.first = unsafe { link.as_ref() }.after();
            // SAFETY: 1: invariant 1; from here on it lives until no reader is on it.
            drop(unsafe { Retired::<Node<T>, F>::new(link.cast()) });
        }
    }
}

impl<T: Send + Sync + 'static, F: Flavor, E: Ends> fmt::Debug for Detached<T, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached")
            .field("len", &self.chain.len)
            .finish_non_exhaustive()
    }
}

/// A chain that no reader is on, dropped node by node: without recursion, and if a drop panics the others are dropped too.
///
/// # Invariants
/// 1. From `first` on there are links from `Node::boxed` for `T`, this one's alone.
pub(super) struct Alone<T> {
    first: *mut Link,
    owns: PhantomData<Box<T>>,
}

impl<T> Alone<T> {
    /// # Safety
    /// 1. From `first` on there are links from `Node::boxed` for `T` that the caller gives up, and that nobody reaches.
    pub(super) unsafe fn new(first: *mut Link) -> Self {
        // INVARIANT: 1 by clause 1.
        Self {
            first,
            owns: PhantomData,
        }
    }

    fn drop_rest(&mut self) {
        while !self.first.is_null() {
            // SAFETY: invariant 1: from a box, and ours alone.
            let node = unsafe { Box::from_raw(self.first.cast::<Node<T>>()) };
            self.first = node.link().after();
        }
    }
}

impl<T> Drop for Alone<T> {
    fn drop(&mut self) {
        struct Rest<'a, T>(&'a mut Alone<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                self.0.drop_rest();
            }
        }
        Rest(self).0.drop_rest();
    }
}

//! The stack without read sections: Treiber's ("Systems Programming: Coping with Parallelism", IBM RJ 5118,
//! 1986), which [`super::Stack`] makes safe.
//!
//! # Orderings
//! * A push's CAS is Release and a pop's load Acquire: the popper sees link and value. Both are SeqCst, so that who pushes and
//!   then looks whether somebody sleeps meets who does the reverse; on x86 that is the same instruction.

use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use crate::atomic::{AtomicPtr, Ordering};
use crate::provenance::{exposed, reloaded};

/// A value and the link by which it stands on a stack. Has no drop glue: its memory may be freed without the value.
pub(super) struct Inner<T> {
    next: AtomicPtr<Self>,
    value: ManuallyDrop<T>,
}

// SAFETY: the value is accessed only by who took the node off; what others share is the atomic link.
unsafe impl<T: Send> Sync for Inner<T> {}

impl<T> Inner<T> {
    /// A node of its own.
    pub(super) fn boxed(value: T) -> NonNull<Self> {
        let node = exposed(Box::into_raw(Box::new(Self {
            next: AtomicPtr::new(ptr::null_mut()),
            value: ManuallyDrop::new(value),
        })));
        // SAFETY: `Box::into_raw` never gives null.
        unsafe { NonNull::new_unchecked(node) }
    }

    /// The link, without a reference to the value.
    ///
    /// # Safety
    /// 1. The memory of the node is not freed during `'n`.
    pub(super) unsafe fn next<'n>(node: NonNull<Self>) -> &'n AtomicPtr<Self> {
        // SAFETY: clause 1: the field is in bounds.
        let next = unsafe { &raw const (*node.as_ptr()).next };
        // SAFETY: clause 1.
        unsafe { &*next }
    }

    /// Moves the value out.
    ///
    /// # Safety
    /// 1. The caller took the node off, and does this once.
    pub(super) unsafe fn take(node: NonNull<Self>) -> T {
        // SAFETY: clause 1: in bounds; a raw pointer, because others may still hold a reference to the link.
        let value = unsafe { &raw const (*node.as_ptr()).value };
        // SAFETY: clause 1.
        ManuallyDrop::into_inner(unsafe { value.read() })
    }
}

/// A stack of nodes, newest first.
///
/// # Invariants
/// 1. The nodes from `top` on are the stack's; a node's link is written only before it is published.
pub(super) struct RawStack<T> {
    top: AtomicPtr<Inner<T>>,
}

impl<T> RawStack<T> {
    pub(super) const fn new() -> Self {
        Self {
            top: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Puts a chain on top; tells whether the stack was empty. Lock-free.
    ///
    /// # Safety
    /// 1. The chain from `first` to `last` is the caller's, who gives it up; nobody has had one of its nodes on a stack
    ///    since before the sections that are open now.
    pub(super) unsafe fn push(&self, first: NonNull<Inner<T>>, last: NonNull<Inner<T>>) -> bool {
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            // SAFETY: 1: clause 1.
            unsafe { Inner::next(last) }.store(top, Ordering::Relaxed);
            // INVARIANT: 1.
            match self.top.compare_exchange_weak(
                top,
                first.as_ptr(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return top.is_null(),
                Err(now) => top = now,
            }
        }
    }

    /// Takes the newest node off. Lock-free.
    ///
    /// # Safety
    /// 1. From before the call to its end, the memory of no node that is taken off this stack is freed or pushed again: the
    ///    caller is in a read section, and who takes a node off waits for a grace period before that.
    pub(super) unsafe fn pop(&self) -> Option<NonNull<Inner<T>>> {
        let mut top = self.top.load(Ordering::SeqCst);
        loop {
            let node = NonNull::new(reloaded(top))?;
            // SAFETY: 1: clause 1: it was on the stack during the call.
            let next = unsafe { Inner::next(node) }.load(Ordering::Relaxed);
            // If `top` is the same, so is its link: by clause 1 it did not leave and come back.
            match self
                .top
                .compare_exchange_weak(top, next, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => return Some(node),
                Err(now) => top = now,
            }
        }
    }

    /// Takes all nodes off; gives the newest. Wait-free.
    pub(super) fn take_all(&self) -> *mut Inner<T> {
        self.top.swap(ptr::null_mut(), Ordering::SeqCst)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.top.load(Ordering::SeqCst).is_null()
    }

    /// The address of the newest node, to print.
    pub(super) fn top(&self) -> *const Inner<T> {
        self.top.load(Ordering::Relaxed)
    }
}

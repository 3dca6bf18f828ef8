//! The locks of std and parking_lot around a boxed value. The old box is freed after the unlock.

use core::mem;
use std::sync::PoisonError;

use crate::peer::{Object, Peer, Reader, Settled};
use crate::peers::Visitor;

/// The name of std's reader-writer lock in the table.
pub const STD_RWLOCK: &str = "std RwLock";

pub(super) fn visit(visitor: &mut impl Visitor) {
    visitor.visit(Locked::<std::sync::RwLock<Box<Object>>>::default());
    visitor.visit(Locked::<parking_lot::RwLock<Box<Object>>>::default());
    visitor.visit(Locked::<std::sync::Mutex<Box<Object>>>::default());
    visitor.visit(Locked::<parking_lot::Mutex<Box<Object>>>::default());
}

/// What the loops need of a lock. A lock is never poisoned here: nothing panics under it.
trait Lock: From<Box<Object>> + Sync {
    const NAME: &'static str;
    fn read<R>(&self, inside: impl FnOnce(&Object) -> R) -> R;
    fn replace(&self, new: Box<Object>) -> Box<Object>;
}

impl Lock for std::sync::RwLock<Box<Object>> {
    const NAME: &'static str = STD_RWLOCK;
    #[inline]
    fn read<R>(&self, inside: impl FnOnce(&Object) -> R) -> R {
        inside(&Self::read(self).unwrap_or_else(PoisonError::into_inner))
    }
    #[inline]
    fn replace(&self, new: Box<Object>) -> Box<Object> {
        mem::replace(
            &mut *self.write().unwrap_or_else(PoisonError::into_inner),
            new,
        )
    }
}

impl Lock for parking_lot::RwLock<Box<Object>> {
    const NAME: &'static str = "parking_lot RwLock";
    #[inline]
    fn read<R>(&self, inside: impl FnOnce(&Object) -> R) -> R {
        inside(&Self::read(self))
    }
    #[inline]
    fn replace(&self, new: Box<Object>) -> Box<Object> {
        mem::replace(&mut *self.write(), new)
    }
}

impl Lock for std::sync::Mutex<Box<Object>> {
    const NAME: &'static str = "std Mutex";
    #[inline]
    fn read<R>(&self, inside: impl FnOnce(&Object) -> R) -> R {
        inside(&self.lock().unwrap_or_else(PoisonError::into_inner))
    }
    #[inline]
    fn replace(&self, new: Box<Object>) -> Box<Object> {
        mem::replace(
            &mut *self.lock().unwrap_or_else(PoisonError::into_inner),
            new,
        )
    }
}

impl Lock for parking_lot::Mutex<Box<Object>> {
    const NAME: &'static str = "parking_lot Mutex";
    #[inline]
    fn read<R>(&self, inside: impl FnOnce(&Object) -> R) -> R {
        inside(&self.lock())
    }
    #[inline]
    fn replace(&self, new: Box<Object>) -> Box<Object> {
        mem::replace(&mut *self.lock(), new)
    }
}

struct Locked<L>(L);

impl<L: From<Box<Object>>> Default for Locked<L> {
    fn default() -> Self {
        Self(L::from(Box::new(Object::new(1))))
    }
}

impl<L: Lock> Peer for Locked<L> {
    type Reader<'a>
        = &'a Self
    where
        L: 'a;

    fn name(&self) -> &'static str {
        L::NAME
    }

    fn another(&self) -> Self {
        Self::default()
    }

    fn reader(&self) -> &Self {
        self
    }

    fn settle(&self) -> Settled {
        Settled::AllFreed
    }
}

impl<L: Lock> Reader for &Locked<L> {
    #[inline]
    fn read(&mut self) -> u64 {
        self.0.read(Object::value)
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        self.0.read(|_| inside());
    }

    #[inline]
    fn update(&mut self, new: u64) {
        drop(self.0.replace(Box::new(Object::new(new))));
    }
}

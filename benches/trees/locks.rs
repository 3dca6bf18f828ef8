//! std's locks and parking_lot's behind one trait.

use std::sync::PoisonError;

/// A kind of locks.
pub(super) trait Locks: 'static {
    type Shared<T: Send + Sync>: Shared<T>;
    type Exclusive<T: Send>: Exclusive<T>;
}

/// A reader-writer lock.
pub(super) trait Shared<T>: Send + Sync {
    fn new(value: T) -> Self;
    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R;
    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R;
}

/// A mutex.
pub(super) trait Exclusive<T>: Send + Sync {
    fn new(value: T) -> Self;
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R;
}

#[derive(Debug)]
pub(super) struct Std;

impl Locks for Std {
    type Shared<T: Send + Sync> = std::sync::RwLock<T>;
    type Exclusive<T: Send> = std::sync::Mutex<T>;
}

impl<T: Send + Sync> Shared<T> for std::sync::RwLock<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }
    #[inline]
    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.read().unwrap_or_else(PoisonError::into_inner))
    }
    #[inline]
    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Send> Exclusive<T> for std::sync::Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
pub(super) struct ParkingLot;

impl Locks for ParkingLot {
    type Shared<T: Send + Sync> = parking_lot::RwLock<T>;
    type Exclusive<T: Send> = parking_lot::Mutex<T>;
}

impl<T: Send + Sync> Shared<T> for parking_lot::RwLock<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }
    #[inline]
    fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.read())
    }
    #[inline]
    fn write<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.write())
    }
}

impl<T: Send> Exclusive<T> for parking_lot::Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock())
    }
}

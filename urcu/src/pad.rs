//! Padding that keeps what one side writes off the cache lines that the other side reads.

use core::ops::Deref;

/// Aligned to 128 bytes: two lines, because x86 prefetches lines in pairs and some ARM lines are 128.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Padded<T>(T);

impl<T> Padded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Padded<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

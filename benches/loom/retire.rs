//! Unpublished objects, in the models of the maps: they stay, as in a section that does not end.

use core::marker::PhantomData;
use core::ptr::NonNull;

/// As the real one, but that it frees nothing.
pub(crate) struct Retired<T, F>(PhantomData<(T, F)>);

impl<T, F> Retired<T, F> {
    /// # Safety
    /// 1. None: the object is leaked.
    pub(crate) unsafe fn new(_object: NonNull<T>) -> Self {
        Self(PhantomData)
    }
}

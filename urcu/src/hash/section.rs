//! [`Section`]: the evidence that what is found in the table stays.

use core::marker::PhantomData;

use crate::flavor::Flavor;
use crate::guard::Guard;

/// For as long as `'g` nothing that was reachable in the map since its beginning is freed.
///
/// It stays on its thread, as the guard does.
///
/// # Invariants
/// 1. The map is borrowed for `'g`, and a section of its flavor, or `&mut` of the map, lasts for `'g`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'g>(PhantomData<(&'g (), *mut ())>);

impl<'g> Section<'g> {
    /// The section of a guard of the map's flavor. The caller's methods borrow the map for `'g`.
    #[inline]
    pub(super) fn of<F: Flavor>(_guard: &'g Guard<'_, F>) -> Self {
        // INVARIANT: 1, by the caller's signature.
        Self(PhantomData)
    }

    /// # Safety
    /// 1. The map is borrowed exclusively for `'g`. What the caller retires it does not look at again.
    pub(super) unsafe fn exclusive() -> Self {
        // INVARIANT: 1 by clause 1.
        Self(PhantomData)
    }
}

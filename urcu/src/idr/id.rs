//! [`Id`]: a slot's index and its generation, in 64 bits.

use core::cmp::Ordering;
use core::fmt;
use core::num::NonZeroU64;

/// What finds an object in an [`Idr`](crate::Idr): an index in the low 32 bits, a generation in the high ones.
///
/// The index is that of a slot, which is used again; the generation counts how often. Both together are never
/// given twice, so an old id finds nothing. The first ids of an `Idr` are 1, 2, 3; 0 is none.
///
/// Ids are ordered as an `Idr` walks through its objects: by index first.
///
/// ```
/// use urcu::Id;
/// let id = Id::from_raw(5 << 32 | 7).unwrap();
/// assert_eq!((id.index(), id.generation(), id.raw()), (7, 5, 5 << 32 | 7));
/// assert!(id < Id::from_raw(8).unwrap());
/// assert_eq!(Id::from_raw(0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(NonZeroU64);

impl Id {
    /// From its 64 bits; `None` if the low half is 0, which no id has. For ids that have been outside, in
    /// a file handle or an inode number: any number may be looked up, and finds what it names or nothing.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match NonZeroU64::new(raw) {
            Some(bits) if raw & INDEX != 0 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The 64 bits.
    pub const fn raw(self) -> u64 {
        self.0.get()
    }

    /// The low half: no two ids that are reserved or published at the same time have the same.
    pub const fn index(self) -> u32 {
        (self.raw() & INDEX) as u32 // CAST: masked
    }

    /// The high half: how often the index was given before.
    pub const fn generation(self) -> u32 {
        (self.raw() >> 32) as u32 // CAST: 32 bits are left
    }

    pub(super) fn new(index: u32, generation: u32) -> Option<Self> {
        Self::from_raw(u64::from(generation) << 32 | u64::from(index))
    }
}

/// The bits of the index.
const INDEX: u64 = u32::MAX as u64;

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |id: &Self| id.raw().rotate_left(32);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<Id> for u64 {
    fn from(id: Id) -> Self {
        id.raw()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({}, generation {})", self.index(), self.generation())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw().fmt(f)
    }
}

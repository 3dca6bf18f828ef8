//! [`Node`]: an entry as it lies in memory, and what a hash says of it.

/// Key and value with the hash, so that a resize calls nothing of the user's.
///
/// The hash is the last: allocators do not align to cache lines, and a lookup needs key and value only.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Node<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    pub(super) hash: Hash,
}

/// What is made of a user's hash: the top bits choose the bucket, eight others are the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hash(pub(super) u64);

impl Hash {
    /// Spreads the bits of hashers that leave the top ones alone: a multiplication by 2^64 over the golden
    /// ratio (Knuth 6.4), so that each bit moves those above it. Equal hashes stay equal.
    #[inline]
    pub(super) fn of(hash: u64) -> Self {
        let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(spread ^ spread >> 32)
    }

    /// Never 0, which is the tag of a free slot.
    #[inline]
    pub(super) fn tag(self) -> u8 {
        ((self.0 & 0xff) as u8).max(1) // CAST: masked
    }
}

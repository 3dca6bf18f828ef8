//! Names of nodes: which bytes are allowed, the hash that orders the entries of a directory, and how names
//! are kept.
//!
//! The kernel's kernfs checks no name and leaves that to its callers; here a bad one is refused.

use core::fmt;

use crate::error::{Errno, Error, Result};
use crate::ns::Ns;

/// Longest name, in bytes: a path component must fit PATH_MAX with its NUL.
pub(crate) const NAME_MAX: usize = 4095;

/// Checks a name for a new node. A name is bytes, it need not be UTF-8.
pub(crate) fn check(name: &[u8]) -> Result<()> {
    let fault = match name {
        b"" => "is empty",
        b"." | b".." => "is reserved",
        _ if name.len() > NAME_MAX => {
            return Err(Errno::ENAMETOOLONG.because(format!(
                "name of {} bytes ({} is the most)",
                name.len(),
                NAME_MAX
            )));
        }
        _ if name.contains(&b'/') => "has a slash in it",
        _ if name.contains(&0) => "has a NUL byte in it",
        _ => return Ok(()),
    };
    Err(Errno::EINVAL.because(format!("name \"{}\" {fault}", name.escape_ascii())))
}

/// 31 bits, so that a key `hash << 32 | id` is a non-negative directory offset. 0, 1 and the largest value
/// stay free, as in the kernel, for ".", ".." and the end.
pub(crate) fn hash(name: &[u8], ns: Option<Ns>) -> u32 {
    let mix = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(MIX);
        product ^ (product >> 32)
    };
    let (words, rest) = name.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let tag = ns.map_or(0, Ns::id);
    // No name has a NUL, so what fills the last word up is like no name's end.
    let ends = [u64::from_le_bytes(last), tag].into_iter();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let mixed = words.chain(ends).fold(MIX, mix).wrapping_mul(MIX) >> 33;
    u32::try_from(mixed)
        .unwrap_or(u32::MAX)
        .clamp(2, 0x7fff_fffe)
}

/// Odd, and of no pattern.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Names up to this long stand in the record itself.
const SHORT: usize = 18;

/// A name, the name space it is in, and the hash of both. Immutable, 24 bytes.
pub(crate) enum Label {
    /// No name space.
    Short {
        hash: u32,
        len: u8,
        bytes: [u8; SHORT],
    },
    Long(Box<Long>),
}

static_assertions::const_assert_eq!(size_of::<Label>(), 24);

/// What does not fit.
#[derive(Debug)]
pub(crate) struct Long {
    hash: u32,
    ns: Option<Ns>,
    name: Box<[u8]>,
}

impl Label {
    /// The name of the root.
    pub(crate) const ROOT: Self = Self::Short {
        hash: 0,
        len: 0,
        bytes: [0; SHORT],
    };

    /// A name that was checked. ENOMEM if there is no memory for a long one.
    pub(crate) fn new(name: &[u8], ns: Option<Ns>) -> Result<Self> {
        let hash = hash(name, ns);
        let mut bytes = [0; SHORT];
        if let (Some(place), None, Ok(len)) =
            (bytes.get_mut(..name.len()), ns, name.len().try_into())
        {
            place.copy_from_slice(name);
            return Ok(Self::Short { hash, len, bytes });
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(name.len())
            .map_err(|_| Error::from(Errno::ENOMEM))?;
        copy.extend_from_slice(name);
        let name = copy.into();
        Ok(Self::Long(Box::new(Long { hash, ns, name })))
    }

    pub(crate) fn name(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes, .. } => &bytes[..usize::from(*len)],
            Self::Long(long) => &long.name,
        }
    }

    pub(crate) fn ns(&self) -> Option<Ns> {
        match self {
            Self::Short { .. } => None,
            Self::Long(long) => long.ns,
        }
    }

    pub(crate) fn hash(&self) -> u32 {
        match self {
            Self::Short { hash, .. } => *hash,
            Self::Long(long) => long.hash,
        }
    }

    pub(crate) fn is(&self, name: &[u8], ns: Option<Ns>) -> bool {
        self.name() == name && self.ns() == ns
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.name().escape_ascii())?;
        self.ns().map_or(Ok(()), |ns| write!(f, " in {ns:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_are_told_apart() {
        for (name, errno) in [
            (&b""[..], Errno::EINVAL),
            (b".", Errno::EINVAL),
            (b"..", Errno::EINVAL),
            (b"a/b", Errno::EINVAL),
            (b"a\0b", Errno::EINVAL),
            (&[b'x'; 4096], Errno::ENAMETOOLONG),
        ] {
            assert_eq!(check(name).map_err(|e| e.errno()), Err(errno), "{name:?}");
        }
        for name in [&b"..."[..], b".a", b"a b", b"\xff\xfe", &[b'x'; 4095]] {
            assert!(check(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn hashes_spread_and_leave_the_special_offsets_free() {
        let mut hashes: Vec<u32> = (0..10_000)
            .map(|n| hash(format!("node{n}").as_bytes(), None))
            .collect();
        assert!(hashes.iter().all(|h| (2..=0x7fff_fffe).contains(h)));
        hashes.sort_unstable();
        hashes.dedup();
        assert!(hashes.len() > 9_990, "{} of 10000", hashes.len());
    }

    #[test]
    fn a_label_says_what_it_was_made_of() {
        let long = [b'x'; 4095];
        let ns = Ns::new(7);
        for name in [
            &b"a"[..],
            b"123456789012345678",
            b"1234567890123456789",
            &long,
        ] {
            for ns in [None, ns] {
                let label = Label::new(name, ns).unwrap();
                assert_eq!((label.name(), label.ns()), (name, ns));
                assert_eq!(label.hash(), hash(name, ns));
                assert!(label.is(name, ns) && !label.is(b"b", ns));
            }
            assert_ne!(hash(name, None), hash(name, ns));
        }
        assert_eq!(Label::ROOT.name(), b"");
        assert_eq!(
            format!("{:?}", Label::new(b"a", ns).unwrap()),
            "\"a\" in Ns(7)"
        );
    }
}

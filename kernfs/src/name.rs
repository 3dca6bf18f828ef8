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
///
/// As the kernel's it has no key: who may choose names can choose such as have one hash, and makes lookups of these a
/// scan of them. A short name, which most are, costs one multiplication.
#[inline]
pub(crate) fn hash(name: &[u8], ns: Option<Ns>) -> u32 {
    let mut state = (name.len() as u64).wrapping_mul(ODD); // CAST: 64 bits
    if let Some(ns) = ns {
        state ^= fold(ns.id() ^ MIX, ODD);
    }
    let mut rest = name;
    while rest.len() > WHOLE {
        let (two, behind) = rest.split_at(WHOLE);
        let (first, last) = ends(two);
        state = fold(state ^ first ^ MIX, last ^ ODD);
        rest = behind;
    }
    let (first, last) = ends(rest);
    let mixed = fold(state ^ first ^ MIX, last ^ ODD) >> 33;
    u32::try_from(mixed)
        .unwrap_or(u32::MAX)
        .clamp(2, 0x7fff_fffe)
}

/// Odd, and of no pattern.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
const ODD: u64 = 0xc5bf_891b_4ef6_aa79;

/// Each half of the product depends on all bits of both (Wang Yi's wyhash).
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product ^ (product >> 64)) as u64 // CAST: the low half, as meant
}

/// Bytes that [`ends`] has whole.
const WHOLE: usize = 16;

/// All bytes of at most [`WHOLE`], in two words that overlap: of equally long names these are equal only if the names
/// are.
#[inline]
fn ends(name: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return (first.into(), last.into());
    }
    match *name {
        [] => (0, 0),
        [one] => (one.into(), 0),
        [one, two] => (one.into(), two.into()),
        [one, two, three, ..] => (u64::from(one) | u64::from(two) << 8, three.into()),
    }
}

/// Whether two names are equal. Mostly they are, when their hashes are.
#[inline]
fn same(one: &[u8], two: &[u8]) -> bool {
    match one.len() {
        len if len != two.len() => false,
        ..=WHOLE => ends(one) == ends(two),
        _ => one == two,
    }
}

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

    /// Appends the name to a buffer.
    #[inline]
    pub(crate) fn append_to(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Short { len, bytes, .. } => {
                // All of the place and back: a copy of known length is two moves, another one a call.
                let end = buffer.len() + usize::from(*len);
                buffer.extend_from_slice(bytes);
                buffer.truncate(end);
            }
            Self::Long(long) => buffer.extend_from_slice(&long.name),
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

    #[inline]
    pub(crate) fn is(&self, name: &[u8], ns: Option<Ns>) -> bool {
        same(self.name(), name) && self.ns() == ns
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

    // All lengths, whose words overlap differently: each byte counts, in the hash and when names are compared.
    #[test]
    fn each_byte_of_a_name_tells_it_from_another() {
        for len in 1..70 {
            let name: Vec<u8> = (0..len).map(|n| b'a' + n % 23).collect();
            assert!(same(&name, &name.clone()));
            assert!(!same(&name, &name[1..]) && !same(&name[1..], &name));
            for at in 0..name.len() {
                let mut other = name.clone();
                other[at] ^= 1;
                assert!(!same(&name, &other), "{len} {at}");
                assert_ne!(hash(&name, None), hash(&other, None), "{len} {at}");
            }
            let longer: Vec<u8> = [&name[..], b"a"].concat();
            assert_ne!(hash(&name, None), hash(&longer, None));
        }
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

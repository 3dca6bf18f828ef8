//! Names of nodes: which bytes are allowed, and the hash that orders the entries of a directory.
//!
//! The kernel's kernfs checks no name and leaves that to its callers; here a bad one is refused.

use crate::error::{Errno, Result};

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
pub(crate) fn hash(name: &[u8]) -> u32 {
    // FNV-1a, then a multiplication to bring the mixed high bits down.
    let fnv = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    u32::try_from(mixed)
        .unwrap_or(u32::MAX)
        .clamp(2, 0x7fff_fffe)
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
            .map(|n| hash(format!("node{n}").as_bytes()))
            .collect();
        assert!(hashes.iter().all(|h| (2..=0x7fff_fffe).contains(h)));
        hashes.sort_unstable();
        hashes.dedup();
        assert!(hashes.len() > 9_990, "{} of 10000", hashes.len());
    }
}

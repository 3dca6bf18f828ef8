//! The extended attributes of one node: the list, and what is refused.
//!
//! The kernel's `simple_xattrs` and the handlers of fs/kernfs/inode.c. A list never changes: a change makes another
//! one, whose names and values are shared, and RCU frees the old one. So readers take no lock, and the sums of a
//! list are those of what is in it, whoever changes it from wherever.

use std::sync::Arc;

use crate::error::{Errno, Error, Result};

/// Most `user.*` names of a node.
const USER_NAMES: usize = 128;
/// Most bytes of their values together.
const USER_BYTES: usize = 128 << 10;
/// Longest name; the limit of the VFS.
const NAME_MAX: usize = 255;
/// Longest value; the limit of the VFS.
const VALUE_MAX: usize = 65536;

/// Whether a new value may make an attribute, or replace one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "XATTR_CREATE")]
#[doc(alias = "XATTR_REPLACE")]
pub enum XattrHow {
    /// Both.
    #[default]
    Set,
    /// There must be none of that name: EEXIST.
    Create,
    /// There must be one: ENODATA.
    Replace,
}

/// The name spaces that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    User,
    Trusted,
    Security,
}

impl Space {
    /// The space of a name.
    ///
    /// # Errors
    /// ERANGE: empty or longer than 255 bytes. EOPNOTSUPP: another space. EINVAL: nothing behind the dot, or a NUL.
    pub(crate) fn of(name: &[u8]) -> Result<Self> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Errno::ERANGE.because(format!("attribute name of {} bytes", name.len())));
        }
        let known = [
            (&b"user."[..], Self::User),
            (b"trusted.", Self::Trusted),
            (b"security.", Self::Security),
        ];
        let refuse = |errno: Errno| errno.because(format!("attribute \"{}\"", name.escape_ascii()));
        let found = known.iter().find(|(prefix, _)| name.starts_with(prefix));
        let (prefix, space) = found.ok_or_else(|| refuse(Errno::EOPNOTSUPP))?;
        if name.len() == prefix.len() || name.contains(&0) {
            return Err(refuse(Errno::EINVAL));
        }
        Ok(*space)
    }
}

#[derive(Clone, Debug)]
struct Xattr {
    name: Arc<[u8]>,
    value: Arc<[u8]>,
}

impl Xattr {
    fn is_user(&self) -> bool {
        self.name.starts_with(b"user.")
    }
}

/// The attributes, sorted by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Xattrs(Vec<Xattr>);

fn no_memory<E>(_: E) -> Error {
    Errno::ENOMEM.into()
}

fn copy(bytes: &[u8]) -> Result<Arc<[u8]>> {
    // The `Arc` cannot fail, so ask first whether there is so much.
    Vec::<u8>::new()
        .try_reserve_exact(bytes.len())
        .map_err(no_memory)?;
    Ok(bytes.into())
}

impl Xattrs {
    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|x| (*x.name).cmp(name))
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.find(name).ok()?;
        Some(&self.0[at].value)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|x| &*x.name)
    }

    /// How many `user.*` there are, and the bytes of their values.
    fn user(&self) -> (usize, usize) {
        let user = self.0.iter().filter(|x| x.is_user());
        user.fold((0, 0), |(n, bytes), x| (n + 1, bytes + x.value.len()))
    }

    /// The list with a value set. Its name was checked.
    ///
    /// # Errors
    /// E2BIG: longer than 65536 bytes. ENOSPC: beyond what `user.*` may be; as in the kernel the old value of the
    /// name counts until the new one stands. EEXIST, ENODATA: as `how` says.
    pub(crate) fn with(
        &self,
        space: Space,
        name: &[u8],
        value: &[u8],
        how: XattrHow,
    ) -> Result<Self> {
        let refuse = |errno: Errno| errno.because(format!("attribute \"{}\"", name.escape_ascii()));
        if value.len() > VALUE_MAX {
            return Err(refuse(Errno::E2BIG));
        }
        if space == Space::User {
            let (names, bytes) = self.user();
            if names + 1 > USER_NAMES || bytes + value.len() > USER_BYTES {
                return Err(refuse(Errno::ENOSPC));
            }
        }
        let place = self.find(name);
        match (how, place) {
            (XattrHow::Create, Ok(_)) => return Err(refuse(Errno::EEXIST)),
            (XattrHow::Replace, Err(_)) => return Err(refuse(Errno::ENODATA)),
            _ => {}
        }
        let new = Xattr {
            name: match place {
                Ok(at) => Arc::clone(&self.0[at].name),
                Err(_) => copy(name)?,
            },
            value: copy(value)?,
        };
        let mut list = Vec::new();
        list.try_reserve_exact(self.0.len() + 1)
            .map_err(no_memory)?;
        let (Ok(at) | Err(at)) = place;
        list.extend_from_slice(&self.0[..at]);
        list.push(new);
        list.extend_from_slice(&self.0[at + usize::from(place.is_ok())..]);
        Ok(Self(list))
    }

    /// The list without a name.
    ///
    /// # Errors
    /// ENODATA: there is none.
    pub(crate) fn without(&self, name: &[u8]) -> Result<Self> {
        let at = self.find(name).map_err(|_| {
            Errno::ENODATA.because(format!("no attribute \"{}\"", name.escape_ascii()))
        })?;
        let mut list = Vec::new();
        list.try_reserve_exact(self.0.len() - 1)
            .map_err(no_memory)?;
        list.extend_from_slice(&self.0[..at]);
        list.extend_from_slice(&self.0[at + 1..]);
        Ok(Self(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno<T>(result: Result<T>) -> Option<Errno> {
        result.err().map(|e| e.errno())
    }

    #[test]
    fn spaces() {
        assert_eq!(Space::of(b"user.a").ok(), Some(Space::User));
        assert_eq!(Space::of(b"trusted.a").ok(), Some(Space::Trusted));
        assert_eq!(Space::of(b"security.a").ok(), Some(Space::Security));
        for other in [&b"system.a"[..], b"user", b"a", b"USER.a"] {
            assert_eq!(errno(Space::of(other)), Some(Errno::EOPNOTSUPP));
        }
        for half in [&b"user."[..], b"trusted.", b"user.a\0b"] {
            assert_eq!(errno(Space::of(half)), Some(Errno::EINVAL));
        }
        let long = [&b"user."[..], &[b'x'; 250]].concat();
        assert!(Space::of(&long).is_ok());
        for bad in [&b""[..], &[&long[..], b"x"].concat()] {
            assert_eq!(errno(Space::of(bad)), Some(Errno::ERANGE));
        }
    }

    // R22: the counters of user attributes were unbalanced on replace. Here the sums of a list are its own; a
    // random walk compares it with a map.
    #[test]
    fn the_counters_went_wrong_on_replace() {
        let mut list = Xattrs::default();
        let mut model = std::collections::BTreeMap::<Vec<u8>, Vec<u8>>::new();
        let mut state = 7_u64;
        for _ in 0..1000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let name = format!("user.{}", state % 140).into_bytes();
            let size = usize::try_from((state >> 8) % 3000).unwrap();
            let how =
                [XattrHow::Set, XattrHow::Create, XattrHow::Replace][(state >> 32) as usize % 3];
            if state >> 62 == 0 {
                let result = list.without(&name);
                match model.remove(&name) {
                    Some(_) => list = result.unwrap(),
                    None => assert_eq!(errno(result), Some(Errno::ENODATA)),
                }
            } else {
                let sum: usize = model.values().map(Vec::len).sum();
                let expected = match model.contains_key(&name) {
                    _ if model.len() == 128 || sum + size > 128 << 10 => Some(Errno::ENOSPC),
                    true if how == XattrHow::Create => Some(Errno::EEXIST),
                    false if how == XattrHow::Replace => Some(Errno::ENODATA),
                    _ => None,
                };
                let result = list.with(Space::User, &name, &vec![1; size], how);
                assert_eq!(errno(result.clone()), expected);
                if let Ok(new) = result {
                    list = new;
                    model.insert(name, vec![1; size]);
                }
            }
            let sum = model.values().map(Vec::len).sum();
            assert_eq!(list.user(), (model.len(), sum));
            assert!(list.names().eq(model.keys().map(|k| &k[..])));
            assert!(model.iter().all(|(k, v)| list.get(k) == Some(v)));
        }
    }
}

//! What a client does to attributes: mode, owner, times, extended ones. Whether he may, the kernel has checked.

use std::time::Duration;

use super::abi::{SetattrIn, fattr};
use super::adapter::Adapter;
use crate::error::Errno;
use crate::mode::{self, SetAttr, Stat};
use crate::node::Node;
use crate::sys::mounting as sys;
use crate::xattr::XattrHow;

/// The changes that a SETATTR asks for, at the time `now`. Nothing if it is a size, which stays as it is.
fn changes(new: &SetattrIn, now: Duration) -> Option<SetAttr> {
    let asks = |bit| new.valid & bit != 0;
    // Before 1970: the tree has no such time.
    let since_epoch = |secs: i64, nanos: u32| {
        let secs = u64::try_from(secs).ok();
        secs.map_or(Duration::ZERO, |secs| {
            Duration::new(secs, nanos.min(999_999_999))
        })
    };
    let time = |bit, bit_now, secs, nanos| match asks(bit_now) {
        true => Some(now),
        false => asks(bit).then(|| since_epoch(secs, nanos)),
    };
    let changes = SetAttr {
        mode: asks(fattr::MODE).then_some(new.mode & 0o7777),
        uid: asks(fattr::UID).then_some(new.uid),
        gid: asks(fattr::GID).then_some(new.gid),
        atime: time(fattr::ATIME, fattr::ATIME_NOW, new.atime, new.atimensec),
        mtime: time(fattr::MTIME, fattr::MTIME_NOW, new.mtime, new.mtimensec),
        ctime: None,
    };
    (changes != SetAttr::default()).then_some(SetAttr {
        ctime: Some(now),
        ..changes
    })
}

impl Adapter {
    fn attributed(&self, who: u32, id: u64) -> Result<Node, Errno> {
        let node = self.node(id)?;
        match self.is_usable(id, &node) {
            true => Ok(node),
            false => Err(self.removed(who, &node)),
        }
    }

    /// SETATTR. A size is accepted and changes nothing, as in sysfs.
    pub(super) fn setattr(
        &self,
        who: u32,
        id: u64,
        fh: Option<u64>,
        new: &SetattrIn,
    ) -> Result<Stat, Errno> {
        if let Some(changes) = changes(new, mode::now()) {
            let node = self.attributed(who, id)?;
            node.setattr(&changes).map_err(|error| error.errno())?;
        }
        self.getattr(who, id, fh)
    }

    /// GETXATTR.
    pub(super) fn getxattr(&self, who: u32, id: u64, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let node = self.attributed(who, id)?;
        node.xattr(name).map_err(|error| error.errno())
    }

    /// LISTXATTR: the names, each with a NUL. `trusted` ones are the superuser's, for which user 0 has to stand: the
    /// protocol does not tell who has which capability.
    pub(super) fn listxattr(&self, who: u32, uid: u32, id: u64) -> Result<Vec<u8>, Errno> {
        let names = self.attributed(who, id)?.xattrs();
        let names = names
            .into_iter()
            .filter(|name| uid == 0 || !name.starts_with(b"trusted."));
        Ok(names.flat_map(|name| name.into_iter().chain([0])).collect())
    }

    /// SETXATTR.
    pub(super) fn setxattr(
        &self,
        who: u32,
        id: u64,
        name: &[u8],
        value: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        const BOTH: i32 = sys::XATTR_CREATE | sys::XATTR_REPLACE;
        let node = self.attributed(who, id)?;
        let how = match flags.cast_signed() {
            0 => XattrHow::Set,
            sys::XATTR_CREATE => XattrHow::Create,
            sys::XATTR_REPLACE => XattrHow::Replace,
            BOTH => return Err(node.refuse_xattr(name).errno()),
            _ => return Err(Errno::EINVAL),
        };
        let result = node.set_xattr(name, value, how);
        result.map_err(|error| error.errno())
    }

    /// REMOVEXATTR.
    pub(super) fn removexattr(&self, who: u32, id: u64, name: &[u8]) -> Result<(), Errno> {
        let node = self.attributed(who, id)?;
        node.remove_xattr(name).map_err(|error| error.errno())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_stays_and_the_change_has_a_time() {
        let now = Duration::from_secs(1000);
        let new = SetattrIn {
            valid: fattr::MODE | fattr::ATIME | fattr::MTIME | fattr::MTIME_NOW,
            mode: 0o100_640,
            uid: 7,
            atime: 5,
            atimensec: u32::MAX,
            ..SetattrIn::default()
        };
        let expected = SetAttr {
            mode: Some(0o640),
            atime: Some(Duration::new(5, 999_999_999)),
            mtime: Some(now),
            ctime: Some(now),
            ..SetAttr::default()
        };
        assert_eq!(changes(&new, now), Some(expected));
        let size = SetattrIn {
            valid: 1 << 3 | fattr::FH,
            ..SetattrIn::default()
        };
        assert_eq!(changes(&size, now), None);
        let early = SetattrIn {
            valid: fattr::ATIME,
            atime: -5,
            ..SetattrIn::default()
        };
        let atime = changes(&early, now).and_then(|new| new.atime);
        assert_eq!(atime, Some(Duration::ZERO));
    }
}

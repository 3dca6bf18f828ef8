//! What a client does to attributes: mode, owner, times, extended ones. Whether he may, the kernel has checked: for a mode,
//! an owner or times by the owner that it remembers, which need not be the owner any more. So that is looked at again.

use std::time::Duration;

use super::abi::{SetattrIn, fattr};
use super::adapter::Adapter;
use crate::cred::Cred;
use crate::error::Errno;
use crate::mode::{self, SetAttr, Stat};
use crate::node::Node;
use crate::record::Record;
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

/// Whether it is for the owner alone to make these changes. Now is for who may write, and what is written loses the set-ID
/// bits whoever writes.
fn is_the_owners(new: &SetattrIn, mode: u32) -> bool {
    const SET_ID: u32 = 0o6000;
    let asks = |bit| new.valid & bit != 0;
    let time = |bit, bit_now| asks(bit) && !asks(bit_now);
    let only_loses = new.mode & 0o7777 & !mode == 0 && mode & !new.mode & !SET_ID == 0;
    asks(fattr::MODE) && !only_loses
        || asks(fattr::UID)
        || asks(fattr::GID)
        || time(fattr::ATIME, fattr::ATIME_NOW)
        || time(fattr::MTIME, fattr::MTIME_NOW)
}

impl Adapter {
    fn attributed(&self, who: u32, id: u64) -> Result<Node, Errno> {
        let node = self.node(id)?;
        match self.is_usable(id, &node) {
            true => Ok(node),
            false => Err(self.removed(who, &node)),
        }
    }

    /// SETATTR. A size is accepted and changes nothing, as in sysfs. User 0 has to stand for all who may do what others own.
    pub(super) fn setattr(&self, cred: Cred, id: u64, new: &SetattrIn) -> Result<Stat, Errno> {
        let result = self.changed(cred, id, new);
        self.ended(cred.pid, result)
    }

    fn changed(&self, cred: Cred, id: u64, new: &SetattrIn) -> Result<Stat, Errno> {
        let node = self.attributed(cred.pid, id)?;
        if let Some(changes) = changes(new, mode::now()) {
            let may = |is: &Record| match is_the_owners(new, is.mode) {
                true if cred.uid != 0 && cred.uid != is.uid => Err(Errno::EPERM.into()),
                _ => Ok(()),
            };
            let result = node.setattr_if(&changes, may);
            result.map_err(|error| error.errno())?;
        }
        Ok(node.stat())
    }

    /// GETXATTR.
    pub(super) fn getxattr(&self, who: u32, id: u64, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let node = self.attributed(who, id);
        let result = node.and_then(|node| node.xattr(name).map_err(|error| error.errno()));
        match name.starts_with(b"security.") {
            true => result, // perhaps the kernel's own question, on the way of a walk
            false => self.ended(who, result),
        }
    }

    /// LISTXATTR: the names, each with a NUL. `trusted` ones are the superuser's, for which user 0 has to stand: the
    /// protocol does not tell who has which capability.
    pub(super) fn listxattr(&self, who: u32, uid: u32, id: u64) -> Result<Vec<u8>, Errno> {
        let names = self.ended(who, self.attributed(who, id))?.xattrs();
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
        let node = self.ended(who, self.attributed(who, id))?;
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
        let node = self.ended(who, self.attributed(who, id))?;
        node.remove_xattr(name).map_err(|error| error.errno())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_may_say_now_and_take_set_id_bits_away() {
        let asks = |valid, mode| {
            let new = SetattrIn {
                valid,
                mode,
                ..SetattrIn::default()
            };
            is_the_owners(&new, 0o6755)
        };
        let now = fattr::MTIME | fattr::MTIME_NOW;
        assert!(!asks(now, 0) && asks(now | fattr::ATIME, 0));
        assert!(asks(fattr::UID, 0) && asks(fattr::GID, 0));
        assert!(!asks(fattr::MODE, 0o100_755) && !asks(fattr::MODE, 0o100_2755));
        assert!(asks(fattr::MODE, 0o100_777) && asks(fattr::MODE, 0o100_744));
    }

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
            valid: 1 << 3 | 1 << 6, // a size, of an open file
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

//! Who opened a file, who calls now, and whether the caller gave up.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::sys;

/// Credentials, as far as a mount is told them. The part of the kernel's `struct cred` that files look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cred {
    /// User.
    pub uid: u32,
    /// Group. Supplementary groups are not known here.
    pub gid: u32,
    /// Process; 0 if it is not visible from here.
    pub pid: u32,
}

impl Cred {
    /// Of this process: its effective ids.
    pub fn process() -> Self {
        let (uid, gid) = sys::effective_ids();
        Self {
            uid,
            gid,
            pid: std::process::id(),
        }
    }

    /// Whether `mode` of a file that belongs to `uid` and `gid` lets these credentials do what `bits` (4:
    /// read, 2: write) says. The first class that fits decides, as in the kernel; user 0 may do all.
    #[doc(alias = "generic_permission")]
    pub(crate) fn allows(&self, mode: u32, uid: u32, gid: u32, bits: u32) -> bool {
        let class = match () {
            () if self.uid == 0 => return true,
            () if self.uid == uid => mode >> 6,
            () if self.gid == gid => mode >> 3,
            () => mode,
        };
        class & bits == bits
    }
}

/// On whose behalf an operation is done; callbacks see it in their [`Cx`](crate::Cx) or [`SyscallCx`](crate::SyscallCx).
///
/// ```
/// use kernfs::{Caller, Cancel, Cred};
///
/// let cancel = Cancel::new();
/// let nobody = Cred { uid: 65534, gid: 65534, pid: 0 };
/// let caller = Caller::from(nobody).cancelled_by(&cancel);
/// # let _ = caller;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// `None`: this process.
    cred: Option<Cred>,
    cancel: Option<&'a Cancel>,
}

impl<'a> Caller<'a> {
    /// Lets callbacks see that the caller gave up.
    #[must_use]
    pub fn cancelled_by(self, cancel: &'a Cancel) -> Self {
        Self {
            cancel: Some(cancel),
            ..self
        }
    }

    /// Whose credentials; for this process, its effective ids as they are now.
    pub(crate) fn cred(&self) -> Cred {
        self.cred.unwrap_or_else(Cred::process)
    }

    /// Whether the caller gave up.
    pub(crate) fn gave_up(&self) -> bool {
        self.cancel.is_some_and(Cancel::is_set)
    }
}

impl From<Cred> for Caller<'_> {
    fn from(cred: Cred) -> Self {
        Self {
            cred: Some(cred),
            cancel: None,
        }
    }
}

impl<'a> From<&'a Cancel> for Caller<'a> {
    /// This process, which may give up.
    fn from(cancel: &'a Cancel) -> Self {
        Self::default().cancelled_by(cancel)
    }
}

/// Tells a running callback that its caller gave up. See [`Cx::interrupted`](crate::Cx::interrupted).
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Not set.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Says so. Async-signal-safe.
    pub fn set(&self) {
        // Relaxed: a hint; nothing else is read on the strength of it.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_decides() {
        let cred = |uid, gid| Cred { uid, gid, pid: 1 };
        let mode = 0o426;
        let may = |c: Cred, bits| c.allows(mode, 10, 20, bits);
        assert!(may(cred(10, 20), 4) && !may(cred(10, 20), 2), "owner");
        assert!(may(cred(11, 20), 2) && !may(cred(11, 20), 4), "group");
        assert!(may(cred(11, 21), 6), "others");
        assert!(may(cred(0, 0), 6), "root");
    }
}

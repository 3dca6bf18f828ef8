//! Threads that act as another user, with groups, or as root without his capabilities.

use std::thread;

use crate::support::{become_nobody, have_nobody};

/// Somebody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Another group that he is in.
    pub(crate) also: Option<u32>,
}

pub(crate) const fn user(uid: u32, gid: u32) -> User {
    User {
        uid,
        gid,
        also: None,
    }
}

impl User {
    pub(crate) const fn also(self, group: u32) -> Self {
        Self {
            also: Some(group),
            ..self
        }
    }

    /// What he does, in a thread of its own.
    pub(crate) fn does<R: Send>(self, what: impl FnOnce() -> R + Send) -> R {
        in_thread(|| {
            let groups: Vec<u32> = self.also.into_iter().collect();
            // The raw calls change the calling thread only.
            // SAFETY: as many groups as it says.
            let ret = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
            assert_eq!(ret, 0, "setgroups");
            // SAFETY: integers only.
            let ret = unsafe { libc::syscall(libc::SYS_setresgid, self.gid, self.gid, self.gid) };
            assert_eq!(ret, 0, "setresgid");
            if self.uid == 65534 {
                become_nobody();
            } else {
                // SAFETY: integers only.
                let ret =
                    unsafe { libc::syscall(libc::SYS_setresuid, self.uid, self.uid, self.uid) };
                assert_eq!(ret, 0, "setresuid");
                traceable();
            }
            what()
        })
    }
}

/// As [`become_nobody`] has it: the other tests share the process.
fn traceable() {
    // SAFETY: sets a flag of the process, touches no memory.
    let ret = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(true)) };
    assert_eq!(ret, 0);
}

fn in_thread<R: Send>(what: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| match scope.spawn(what).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Capabilities {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// What root does whom modes stop: without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
pub(crate) fn bound_root<R: Send>(what: impl FnOnce() -> R + Send) -> R {
    const VERSION_3: u32 = 0x2008_0522;
    const OVERRIDE: u32 = 1 << 1 | 1 << 2;
    in_thread(|| {
        let mut header = Header {
            version: VERSION_3,
            pid: 0,
        };
        let mut sets = [Capabilities::default(); 2];
        // SAFETY: a header, and two structs that the kernel writes.
        let ret = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
        assert_eq!(ret, 0, "capget");
        sets[0].effective &= !OVERRIDE;
        // SAFETY: a header for the calling thread, and two structs that the kernel reads.
        let ret = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
        assert_eq!(ret, 0, "capset");
        traceable();
        what()
    })
}

/// Whether there are other users here.
pub(crate) fn have_users() -> bool {
    have_nobody()
}

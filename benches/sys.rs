//! All calls into libc: the dynamic linker, membarrier(2), CPU affinity.

use core::ffi::{CStr, c_void};
use core::ptr::NonNull;
use std::sync::OnceLock;

/// A shared library that is never closed: its threads and thread-locals outlive any scope we could prove.
#[derive(Clone, Copy, Debug)]
pub struct Library(NonNull<c_void>);

impl Library {
    /// Loads a library by its soname. `None`: it is not installed.
    pub fn open(soname: &CStr) -> Option<Self> {
        // SAFETY: a NUL-terminated name. The library's constructors run: liburcu's only set up its own
        // state, the reason to load it is to run its code.
        let handle = unsafe { libc::dlopen(soname.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        NonNull::new(handle).map(Self)
    }

    /// The address of an exported symbol.
    pub fn symbol(self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: a handle that `open` made and nobody closes, and a NUL-terminated name.
        NonNull::new(unsafe { libc::dlsym(self.0.as_ptr(), name.as_ptr()) })
    }
}

/// membarrier(2), private expedited, after its registration. `false`: the kernel refuses.
pub fn membarrier() -> bool {
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    let command = |command: libc::c_int| {
        // SAFETY: membarrier takes three integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
    };
    command(PRIVATE_EXPEDITED) == 0
        || (command(REGISTER_PRIVATE_EXPEDITED) == 0 && command(PRIVATE_EXPEDITED) == 0)
}

/// Pins the calling thread to the `nth` CPU that the process may use, modulo their number; stays where it
/// is if the kernel refuses.
pub fn pin(nth: usize) {
    // Read once, by a thread that is not pinned yet: pinned ones pass their mask on.
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    let allowed = ALLOWED.get_or_init(allowed_cpus);
    let Some(cpu) = nth.checked_rem(allowed.len()).map(|i| allowed[i]) else {
        return;
    };
    let mut one = empty_set();
    // SAFETY: `cpu` is below the number of bits of the set.
    unsafe { libc::CPU_SET(cpu, &mut one) };
    // SAFETY: 0 is the calling thread; the kernel reads `size` bytes of `one`.
    unsafe { libc::sched_setaffinity(0, size_of_val(&one), &raw const one) };
}

fn allowed_cpus() -> Vec<usize> {
    let mut allowed = empty_set();
    let size = size_of_val(&allowed);
    // SAFETY: 0 is the calling thread; the kernel writes at most `size` bytes into `allowed`.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) } != 0 {
        return Vec::new();
    }
    (0..8 * size)
        // SAFETY: `cpu` is below the number of bits of the set.
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &allowed) })
        .collect()
}

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: an array of integers; all zero is the empty set.
    unsafe { core::mem::zeroed() }
}

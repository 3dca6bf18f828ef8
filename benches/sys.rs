//! All calls into libc but those of `sysfs`: the dynamic linker, membarrier(2), CPU affinity, signals, fork(2), memory in use.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::NonNull;
use std::fs::{self, File};
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
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
    const PRIVATE_EXPEDITED: c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;
    let command = |command: c_int| {
        // SAFETY: membarrier takes three integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
    };
    command(PRIVATE_EXPEDITED) == 0
        || (command(REGISTER_PRIVATE_EXPEDITED) == 0 && command(PRIVATE_EXPEDITED) == 0)
}

/// A new eventfd(2), read by who sleeps for it.
///
/// # Errors
/// What the kernel says.
pub fn eventfd() -> io::Result<File> {
    // SAFETY: takes no memory of ours.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made by the kernel for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
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

/// The kernel's id of the calling thread.
pub fn gettid() -> i32 {
    // SAFETY: takes nothing, always succeeds.
    unsafe { libc::gettid() }
}

/// Sets what SIGALRM does in this process; system calls that it interrupts go on.
///
/// # Safety
/// 1. `handler` does only what a signal handler may do.
pub unsafe fn on_alarm(handler: extern "C" fn(c_int)) {
    // SAFETY: all-zero bytes are a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is whole; by clause 1 its handler may run at any time. SIGALRM can be caught, so this
    // cannot fail.
    unsafe { libc::sigaction(libc::SIGALRM, &raw const action, core::ptr::null_mut()) };
}

/// Sends SIGALRM to a thread of this process. Nothing happens if it has ended.
pub fn alarm_thread(tid: i32) {
    // SAFETY: takes integers only; the kernel checks that the thread is one of this process.
    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), tid, libc::SIGALRM) };
}

/// A forked child that has not been waited for.
#[derive(Debug)]
pub struct Child(libc::pid_t);

/// fork(2). `None`: this is the child.
///
/// # Safety
/// 1. The child takes no lock that another thread of the parent may have held, and returns to no code that
///    relies on other threads.
///
/// # Panics
/// If the kernel refuses.
pub unsafe fn fork() -> Option<Child> {
    // SAFETY: by clause 1 the child does only what it may.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
    (pid != 0).then_some(Child(pid))
}

/// Ends the process at once: no exit hook runs, nothing is flushed.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(status) }
}

impl Child {
    /// How the child ended, if it has: its exit status, or 128 and the signal that killed it.
    pub fn status(&self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: `status` is valid for writes; the child is ours, and nobody else waits for it.
        let pid = unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG) };
        if pid != self.0 {
            None
        } else if libc::WIFSIGNALED(status) {
            Some(128 + libc::WTERMSIG(status))
        } else {
            Some(libc::WEXITSTATUS(status))
        }
    }

    /// Ends a child that hangs, and waits for its end.
    pub fn kill(&self) {
        // SAFETY: the child is ours and was not waited for, so its number is still its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: a null pointer means that the status is not wanted.
        unsafe { libc::waitpid(self.0, core::ptr::null_mut(), 0) };
    }
}

/// Forks; the child exits with what `child` returns, the parent gets its process id. `bare`: without the
/// handlers that libraries registered.
pub fn fork_to_run(bare: bool, child: impl FnOnce() -> i32) -> Option<i32> {
    let pid = if bare {
        let signal = libc::c_long::from(libc::SIGCHLD);
        // SAFETY: flags without CLONE_VM and no pointers: the child has a copy of all memory, as after
        // fork. It runs nothing of libc that knows threads: `child` of a bare fork only returns.
        unsafe { libc::syscall(libc::SYS_clone, signal, 0, 0, 0, 0) }
    } else {
        // SAFETY: no arguments. What the child may rely on is the callers' business: they ask for that.
        libc::c_long::from(unsafe { libc::fork() })
    };
    if pid == 0 {
        let status = child();
        // SAFETY: ends the process, without exit handlers that are the parent's.
        unsafe { libc::_exit(status) };
    }
    i32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// Waits for a child to end; its exit status, or 128 and the signal that ended it.
pub fn wait(child: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: the kernel writes one int into `status`.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    if waited != child {
        None
    } else if libc::WIFEXITED(status) {
        Some(libc::WEXITSTATUS(status))
    } else {
        Some(128 + libc::WTERMSIG(status))
    }
}

/// Ends the process by SIGALRM after so many seconds.
pub fn alarm(seconds: u32) {
    // SAFETY: an integer; nobody here handles the signal.
    unsafe { libc::alarm(seconds) };
}

/// What malloc has given out and not got back; `None` where libc does not tell.
pub fn allocated_bytes() -> Option<u64> {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: no arguments, a struct of integers by value.
        let info = unsafe { libc::mallinfo2() };
        Some((info.uordblks + info.hblkhd) as u64)
    }
    #[cfg(not(target_env = "gnu"))]
    None
}

/// The memory that the process has pages for.
pub fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: an integer in, an integer out.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}

/// Registers fork handlers; `false`: no memory for them.
pub fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    // SAFETY: functions that live for ever; what they do at a fork is their business.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// The monotonic clock.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// CPU time of all threads of the process, in nanoseconds.
pub fn cpu_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

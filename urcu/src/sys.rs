//! Every system and libc call of this crate. Nothing else says `libc::`.
//!
//! The wrappers add no policy: they turn errno into a value, keep the caller's errno where a signal
//! handler may run them, and say what cannot happen.

use core::ffi::c_void;
use core::ptr::NonNull;
use std::alloc::{Layout, dealloc};
use std::time::Duration;

#[cfg(not(target_os = "linux"))]
compile_error!("urcu needs Linux: membarrier(2), futex(2)");
#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "urcu needs a 64-bit target: a 32-bit grace-period sequence could wrap under a late reader"
);

/// Why a futex wait returned. The caller looks at its condition again in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke the word, or the wait ended for no reason (both look alike).
    Woken,
    /// The word did not hold the expected value, so nothing was waited for.
    Changed,
    /// The time is over.
    TimedOut,
}

fn errno() -> i32 {
    // SAFETY: returns the address of the calling thread's errno, always valid.
    let at = unsafe { libc::__errno_location() };
    // SAFETY: see above; only this thread reads or writes it.
    unsafe { *at }
}

fn set_errno(value: i32) {
    // SAFETY: returns the address of the calling thread's errno, always valid.
    let at = unsafe { libc::__errno_location() };
    // SAFETY: see above; only this thread reads or writes it.
    unsafe { *at = value }
}

/// `FUTEX_WAIT_PRIVATE`: sleeps while `*word == expected`. Keeps errno.
///
/// The kernel checks the address; a wrong one is an error that looks like a wake-up.
pub(crate) fn futex_wait(word: *const u32, expected: u32, timeout: Option<Duration>) -> Wake {
    let spec = timeout.map(|t| libc::timespec {
        tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    let spec_at = spec.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    let saved = errno();
    // SAFETY: the kernel only reads `*word`, and checks that it can; `spec_at` is null or points at
    // `spec` above.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            spec_at,
        )
    };
    let wake = match ret {
        0 => Wake::Woken,
        _ => match errno() {
            libc::EAGAIN => Wake::Changed,
            libc::ETIMEDOUT => Wake::TimedOut,
            _ => Wake::Woken,
        },
    };
    set_errno(saved);
    wake
}

/// `FUTEX_WAKE_PRIVATE`: wakes up to `count` sleepers of `word`. Async-signal-safe, keeps errno.
pub(crate) fn futex_wake(word: *const u32, count: i32) {
    let saved = errno();
    // SAFETY: the kernel uses the address of `word` as a key only; FUTEX_WAKE writes nothing.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            count,
        )
    };
    set_errno(saved);
}

fn membarrier(command: libc::c_int) -> Result<(), i32> {
    let saved = errno();
    // SAFETY: membarrier(2) takes three integers and touches no memory of ours.
    let ret = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    let result = if ret == 0 { Ok(()) } else { Err(errno()) };
    set_errno(saved);
    result
}

/// Announces that this process will use private expedited membarriers. Idempotent, inherited by fork.
pub(crate) fn membarrier_register() -> Result<(), i32> {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

/// A full barrier on every CPU that runs a thread of this process.
pub(crate) fn membarrier_private_expedited() -> Result<(), i32> {
    membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

/// A full barrier on every CPU, by waiting until each has been through the scheduler: interrupts nobody, takes
/// some ms, needs no registration. Refused on kernels with `nohz_full` processors.
pub(crate) fn membarrier_global() -> Result<(), i32> {
    membarrier(libc::MEMBARRIER_CMD_GLOBAL)
}

/// Whether an error of [`membarrier_private_expedited`] says "not now" and not "not allowed".
pub(crate) fn is_transient(errno: i32) -> bool {
    matches!(errno, libc::ENOMEM | libc::EINTR | libc::EAGAIN)
}

/// Lets other threads run.
pub(crate) fn yield_now() {
    std::thread::yield_now();
}

/// Gives memory back to the global allocator. Here only because it is a way out: models have another.
///
/// # Safety
/// 1. `at` was allocated by the global allocator with this layout, and nobody uses or frees it.
#[inline]
pub(crate) unsafe fn free(at: NonNull<u8>, layout: Layout) {
    // SAFETY: clause 1.
    unsafe { dealloc(at.as_ptr(), layout) };
}

/// The time since some moment, the same for all threads, which is never set back. No system call.
pub(crate) fn monotonic() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is valid for writes; CLOCK_MONOTONIC exists on every Linux, so this cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32) // CAST: below 10^9
}

/// The kernel's id of the calling thread, as `ps -T` shows it.
pub(crate) fn gettid() -> i32 {
    // SAFETY: takes nothing, always succeeds.
    unsafe { libc::gettid() }
}

/// The process, which is also the tid of its first thread.
fn pid() -> i32 {
    // SAFETY: takes nothing, always succeeds.
    unsafe { libc::getpid() }
}

/// Whether this process has a thread with that tid. True where that cannot be told. Async-signal-safe, keeps
/// errno.
pub(crate) fn thread_exists(tid: i32) -> bool {
    let saved = errno();
    let pid = pid();
    // SAFETY: takes integers; signal 0 is sent to nobody.
    let ret = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, 0) };
    let gone = ret == -1 && errno() == libc::ESRCH;
    set_errno(saved);
    !gone
}

/// The calling thread's name, NUL padded.
pub(crate) fn thread_name() -> [u8; 16] {
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, which `name` has.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}

/// On how many CPUs the calling thread or the process's first one may run; at least 1.
pub(crate) fn cpus() -> usize {
    affinity_of(0).max(affinity_of(pid()))
}

fn affinity_of(tid: i32) -> usize {
    // SAFETY: all-zero bytes are a valid (empty) cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
    // SAFETY: `set` is valid for writes of its own size.
    let ret = unsafe { libc::sched_getaffinity(tid, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if ret != 0 {
        // EINVAL: the kernel's mask is longer, so there may be more than this. Else forbidden, or no such
        // thread any more: whoever takes one CPU for many loses some microseconds, the reverse much more.
        return libc::CPU_SETSIZE as usize; // CAST: 1024
    }
    // SAFETY: reads the set that was just filled.
    let count = unsafe { libc::CPU_COUNT(&set) };
    usize::try_from(count).unwrap_or(1).max(1)
}

/// Fresh zeroed pages that are never given back; `None` when the kernel has none.
///
/// Not malloc: a signal handler may be the first reader of its thread.
pub(crate) fn map_pages(bytes: usize) -> Option<NonNull<c_void>> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice aliases nothing.
    let at = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        None
    } else {
        NonNull::new(at)
    }
}

/// Gives pages from [`map_pages`] back.
///
/// # Safety
/// 1. `at` and `bytes` are those of one earlier [`map_pages`], and nothing points into the pages.
pub(crate) unsafe fn unmap_pages(at: NonNull<c_void>, bytes: usize) {
    // SAFETY: by clause 1 the whole mapping is ours and unused.
    unsafe { libc::munmap(at.as_ptr(), bytes) };
}

/// A thread-exit hook: `exit` runs at the end of each thread that set a value other than null.
pub(crate) type ExitHook = unsafe extern "C" fn(*mut c_void);

/// Makes a pthread key; `None` when the process has used up its keys.
pub(crate) fn key_create(exit: ExitHook) -> Option<u32> {
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: `key` is valid for writes; `exit` is a function for the life of the process.
    let ret = unsafe { libc::pthread_key_create(&raw mut key, Some(exit)) };
    (ret == 0).then_some(key)
}

/// Deletes a key. The caller has seen to it that no thread set it; a value set would never be handed to the
/// hook.
pub(crate) fn key_delete(key: u32) {
    // SAFETY: the key came from `key_create`; deleting runs no hook.
    unsafe { libc::pthread_key_delete(key) };
}

/// Sets the calling thread's value of `key`. glibc allocates here for keys past the first 32.
pub(crate) fn key_set(key: u32, value: *const c_void) {
    // SAFETY: the key came from `key_create`; the value is opaque to the library.
    unsafe { libc::pthread_setspecific(key, value) };
}

/// The calling thread's value of `key`; null if it has set none. Allocates nothing.
#[inline]
pub(crate) fn key_get(key: u32) -> *const c_void {
    // SAFETY: the key came from `key_create`; the value is opaque to the library.
    unsafe { libc::pthread_getspecific(key) }
}

/// Runs `f` with all signals blocked but those that a thread raises itself by a fault, so that a thread
/// which `f` starts inherits that mask, and crash handlers still work there.
pub(crate) fn with_signals_blocked<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: gives the mask back that `pthread_sigmask` stored below.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, core::ptr::null_mut())
            };
        }
    }
    // SAFETY: all-zero bytes are a valid sigset_t on Linux.
    let mut all: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: `all` is valid for writes.
    unsafe { libc::sigfillset(&raw mut all) };
    let faults = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
    ];
    for fault in faults {
        // SAFETY: `all` is a filled set, `fault` a valid signal number.
        unsafe { libc::sigdelset(&raw mut all, fault) };
    }
    let mut old = all;
    // SAFETY: both sets are valid; only the calling thread's mask changes.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut old) };
    let _restore = Restore(old);
    f()
}

/// A thread that [`spawn`] started. Dropping it detaches it.
///
/// # Invariants
/// 1. The thread is joinable, and nobody else joins or detaches it.
#[derive(Debug)]
pub(crate) struct Thread(libc::pthread_t);

impl Thread {
    /// Waits for its end.
    pub(crate) fn join(self) {
        // SAFETY: invariant 1; who asks is another thread (`shutdown` is refused in callbacks), and needs no
        // result.
        unsafe { libc::pthread_join(self.0, core::ptr::null_mut()) };
        core::mem::forget(self);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: invariant 1: the id is valid, even if the thread has ended.
        unsafe { libc::pthread_detach(self.0) };
    }
}

/// Starts a thread that runs `body` and inherits the caller's signal mask; an errno if that fails.
///
/// Not `std::thread`: its threads take a lock of std's own as they begin and as they end (the table of stack
/// guards). A child forked while another thread was just there finds that lock held for ever, and its first
/// thread would never get to `body`. Nothing here takes a lock that glibc does not repair at fork. The price:
/// std calls the thread unnamed when it panics, and does not explain an overflow of its stack.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<Thread, i32> {
    struct Start<F> {
        name: [u8; 16],
        body: F,
    }
    extern "C" fn run<F: FnOnce()>(start: *mut c_void) -> *mut c_void {
        // SAFETY: the box that `spawn` gave to this thread alone.
        let start = unsafe { Box::from_raw(start.cast::<Start<F>>()) };
        // SAFETY: PR_SET_NAME reads a NUL-terminated string; the last of the 16 bytes is always 0.
        unsafe { libc::prctl(libc::PR_SET_NAME, start.name.as_ptr()) };
        (start.body)();
        core::ptr::null_mut()
    }
    fn entry<F: FnOnce()>(_: &Start<F>) -> extern "C" fn(*mut c_void) -> *mut c_void {
        run::<F>
    }
    let mut padded = [0; 16];
    let kept = name.len().min(15);
    padded[..kept].copy_from_slice(&name.as_bytes()[..kept]);
    let start = Start { name: padded, body };
    let run = entry(&start);
    let start = Box::into_raw(Box::new(start));
    let mut thread = core::mem::MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: `thread` is valid for writes; null attributes are the defaults; `run` takes what `start` points
    // at, which nobody else uses from here on.
    let ret =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), core::ptr::null(), run, start.cast()) };
    if ret != 0 {
        // SAFETY: no thread was made, so the box is still ours.
        drop(unsafe { Box::from_raw(start) });
        return Err(ret);
    }
    // SAFETY: pthread_create succeeded and so has stored the id.
    // INVARIANT: 1: the attributes say joinable, and the id has not left this function.
    Ok(Thread(unsafe { thread.assume_init() }))
}

/// A fork hook.
pub(crate) type ForkHook = unsafe extern "C" fn();

/// Registers fork hooks; they cannot be taken back. `false` when there is no memory for them.
pub(crate) fn at_fork(prepare: ForkHook, parent: ForkHook, child: ForkHook) -> bool {
    // SAFETY: the hooks are functions for the life of the process.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// Writes one line to standard error and aborts. Async-signal-safe.
pub(crate) fn die(line: &str) -> ! {
    warn(line);
    std::process::abort()
}

/// Keeps the shared object that contains `code` mapped for the life of the process; `false` if the dynamic
/// linker refuses. May be called by a constructor: the linker's lock is recursive.
#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
pub(crate) fn pin_object_of(code: *const c_void) -> bool {
    let object_of = |address: *const c_void| {
        // SAFETY: all-zero bytes are a valid `Dl_info`.
        let mut info: libc::Dl_info = unsafe { core::mem::zeroed() };
        // SAFETY: `info` is valid for writes; any address may be asked for.
        let found = unsafe { libc::dladdr(address, &raw mut info) };
        (found != 0).then_some(info)
    };
    // SAFETY: takes an integer. The address of the program headers of the main program.
    let headers = unsafe { libc::getauxval(libc::AT_PHDR) };
    let program = object_of(core::ptr::without_provenance(headers as usize));
    match (object_of(code), program) {
        // The main program is never unloaded, and cannot be opened by its name.
        (Some(object), Some(program)) if object.dli_fbase == program.dli_fbase => true,
        (Some(object), _) => {
            let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
            // SAFETY: `dli_fname` is the name under which the object is loaded, so nothing is loaded here,
            // no constructor runs, and the linker finds the object by that very string.
            !unsafe { libc::dlopen(object.dli_fname, flags) }.is_null()
        }
        (None, _) => false,
    }
}

/// A static program has one object, and musl's dlclose(3) unmaps nothing.
#[cfg(not(all(target_env = "gnu", not(target_feature = "crt-static"))))]
pub(crate) fn pin_object_of(_: *const c_void) -> bool {
    true
}

/// Writes one line to standard error. Async-signal-safe.
pub(crate) fn warn(line: &str) {
    // SAFETY: write(2) reads `line.len()` bytes of `line`.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}

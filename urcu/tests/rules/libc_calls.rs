//! The system calls that the tests make, each in a safe wrapper.

use std::ffi::c_void;
use std::io::{Error, Result};
use std::mem::{offset_of, zeroed};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

/// SIGALRM ends this process in so many seconds.
pub(crate) fn kill_me_after(seconds: u32) {
    // SAFETY: takes an integer.
    unsafe { libc::alarm(seconds) };
}

/// Forks, runs `child` in the new process, and gives its exit status: 0 if `child` returned, 101 if it
/// panicked, 128 + n if signal n ended it.
pub(crate) fn fork_and_wait(child: impl FnOnce()) -> i32 {
    let pid = fork();
    if pid == 0 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        exit_at_once(if result.is_ok() { 0 } else { 101 });
    }
    wait_for(pid)
}

/// 0 in the child, which an alarm ends if it hangs: the parent's is not inherited.
pub(crate) fn fork() -> i32 {
    // SAFETY: the child of these tests uses urcu, std's threads and malloc, which glibc repairs at fork.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", Error::last_os_error());
    if pid == 0 {
        kill_me_after(120);
    }
    pid
}

pub(crate) fn wait_for(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid, "{}", Error::last_os_error());
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    }
}

/// _exit(2): no destructors, no atexit hooks, which belong to the parent.
pub(crate) fn exit_at_once(status: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(status) }
}

/// What is written to standard error goes there from now on.
pub(crate) fn redirect_stderr(to: &impl std::os::fd::AsRawFd) {
    // SAFETY: takes two descriptors, of which the first is open.
    let ret = unsafe { libc::dup2(to.as_raw_fd(), libc::STDERR_FILENO) };
    assert_ne!(ret, -1);
}

pub(crate) type Handler = extern "C" fn(i32);

/// Runs `handler` at each SIGUSR1.
pub(crate) fn on_sigusr1(handler: Handler) {
    // SAFETY: all-zero bytes are a valid sigaction.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is valid; the handlers of these tests only do what is safe in handlers.
    let ret = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(ret, 0);
}

/// Sends SIGUSR1 to the calling thread: its handler has run when this returns.
pub(crate) fn raise_sigusr1() {
    // SAFETY: takes an integer.
    unsafe { libc::raise(libc::SIGUSR1) };
}

/// The calling thread, for [`send_sigusr1`].
pub(crate) fn this_thread() -> libc::pthread_t {
    // SAFETY: takes nothing.
    unsafe { libc::pthread_self() }
}

/// Sends SIGUSR1 to a thread that has not been joined.
pub(crate) fn send_sigusr1(thread: libc::pthread_t) {
    // SAFETY: the callers keep the thread alive until they are done.
    unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
}

/// From now on these system calls fail with `errno` in this thread, its children and what it executes.
pub(crate) fn refuse(calls: &[libc::c_long], errno: i32) -> Result<()> {
    let load =
        |offset: usize| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32, 0);
    let answer = |value: u32| statement(libc::BPF_RET | libc::BPF_K, value, 0);
    // No allocation: this runs between fork and exec. One comparison and one answer for each call.
    let mut filter = [answer(libc::SECCOMP_RET_ALLOW); 16];
    filter[0] = load(offset_of!(libc::seccomp_data, nr));
    let mut length = 1;
    for &call in calls {
        filter[length] = statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32, 1);
        filter[length + 1] = answer(libc::SECCOMP_RET_ERRNO | errno as u32);
        length += 2;
    }
    install(&mut filter[..=length])
}

fn install(filter: &mut [libc::sock_filter]) -> Result<()> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: takes integers.
    let ret = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if ret != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: `program` describes `filter`, whose first `len` statements are valid; the kernel copies it.
    let ret = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if ret == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}

/// The same for one command of membarrier(2); the others go on working.
pub(crate) fn refuse_membarrier_command(command: libc::c_int, errno: i32) -> Result<()> {
    let load =
        |offset: usize| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32, 0);
    let unless =
        |value: u32, skip| statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, skip);
    let answer = |value: u32| statement(libc::BPF_RET | libc::BPF_K, value, 0);
    // The lower half of an argument comes first on little-endian machines.
    let half = if cfg!(target_endian = "little") { 0 } else { 4 };
    install(&mut [
        load(offset_of!(libc::seccomp_data, nr)),
        unless(libc::SYS_membarrier as u32, 3),
        load(offset_of!(libc::seccomp_data, args) + half),
        unless(command as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | errno as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

/// One statement of a filter; a comparison that fails skips `otherwise` statements.
fn statement(code: u32, k: u32, otherwise: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: otherwise,
        k,
    }
}

/// Whether this kernel has the membarrier that interrupts nobody.
pub(crate) fn has_global_membarrier() -> bool {
    // SAFETY: takes three integers.
    let known = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_QUERY, 0, 0) };
    known >= 0 && known & i64::from(libc::MEMBARRIER_CMD_GLOBAL) != 0
}

/// Lets the process map so many bytes more; gives back the limit that it had.
pub(crate) fn limit_address_space(more: u64) -> libc::rlimit {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    // SAFETY: takes an integer.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `before` is valid for writes.
    let ret = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut before) };
    assert_eq!(ret, 0);
    restore_address_space(libc::rlimit {
        rlim_cur: pages * u64::try_from(page).unwrap() + more,
        ..before
    });
    before
}

pub(crate) fn restore_address_space(limit: libc::rlimit) {
    // SAFETY: `limit` is valid for reads.
    let ret = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(ret, 0);
}

/// This process may run on the first of its processors only. Allocates nothing: for between fork and exec.
pub(crate) fn run_on_one_processor() -> Result<()> {
    // SAFETY: all-zero bytes are a valid, empty set.
    let mut allowed: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `allowed` is valid for writes of its size.
    let ret = unsafe { libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed) };
    if ret != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the set has CPU_SETSIZE bits.
    let first = (0..libc::CPU_SETSIZE as usize).find(|&n| unsafe { libc::CPU_ISSET(n, &allowed) });
    // SAFETY: all-zero bytes are a valid, empty set.
    let mut one: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `first` is a bit of such a set.
    unsafe { libc::CPU_SET(first.unwrap_or(0), &mut one) };
    // SAFETY: `one` is valid for reads of its size.
    let ret = unsafe { libc::sched_setaffinity(0, size_of_val(&one), &raw const one) };
    if ret == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}

/// Processor time of the calling thread, in nanoseconds.
pub(crate) fn thread_time() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writes.
    let ret = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(ret, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A pthread key of the test's own.
pub(crate) struct Key(AtomicU32);

pub(crate) type KeyHook = extern "C" fn(*mut c_void);

impl Key {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Makes the key; `hook` gets the address of this `Key` at the end of each thread that [`set`](Self::set) it.
    pub(crate) fn make(&'static self, hook: KeyHook) {
        let mut key = 0;
        // SAFETY: `key` is valid for writes; a safe function is also an unsafe one.
        let ret = unsafe { libc::pthread_key_create(&raw mut key, Some(hook)) };
        assert_eq!(ret, 0);
        self.0.store(key, SeqCst);
    }

    /// The hook will run at the end of the calling thread.
    pub(crate) fn set(&'static self) {
        // SAFETY: the key was made; the value is opaque to the library.
        unsafe { libc::pthread_setspecific(self.0.load(SeqCst), std::ptr::from_ref(self).cast()) };
    }

    /// The `Key` that a hook was called for.
    pub(crate) fn of(value: *mut c_void) -> &'static Self {
        // SAFETY: hooks get what `set` stored: the address of a static.
        unsafe { &*value.cast_const().cast() }
    }
}

/// Who gets a timer's signals.
#[derive(Clone, Copy)]
pub(crate) enum To {
    /// Whichever thread takes them. The harness has one that does.
    Process,
    ThisThread,
}

/// Sends SIGUSR1 every so many nanoseconds from now on.
pub(crate) fn send_sigusr1_every(nanoseconds: i64, to: To) {
    // SAFETY: all-zero bytes are a valid sigevent.
    let mut event: libc::sigevent = unsafe { zeroed() };
    event.sigev_notify = match to {
        To::Process => libc::SIGEV_SIGNAL,
        To::ThisThread => libc::SIGEV_THREAD_ID,
    };
    // SAFETY: takes nothing.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    event.sigev_signo = libc::SIGUSR1;
    let mut timer = std::ptr::null_mut();
    // SAFETY: both pointers are valid.
    let ret = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
    assert_eq!(ret, 0);
    let period = libc::timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    let times = libc::itimerspec {
        it_interval: period,
        it_value: period,
    };
    // SAFETY: the timer was just made; `times` is valid.
    let ret = unsafe { libc::timer_settime(timer, 0, &raw const times, std::ptr::null_mut()) };
    assert_eq!(ret, 0);
}

/// Keeps SIGUSR1 from the calling thread, and from those that it starts, unless they ask for it again.
pub(crate) fn take_sigusr1(wanted: bool) {
    // SAFETY: all-zero bytes are a valid set.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: `set` is valid.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGUSR1) };
    let how = if wanted {
        libc::SIG_UNBLOCK
    } else {
        libc::SIG_BLOCK
    };
    // SAFETY: `set` is valid; only the calling thread's mask changes.
    unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) };
}

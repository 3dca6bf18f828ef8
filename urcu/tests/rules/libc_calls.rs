//! The system calls that the tests make, each in a safe wrapper.

use std::io::{Error, Result};
use std::mem::{offset_of, zeroed};

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
        kill_me_after(60);
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
    let program = libc::sock_fprog {
        len: length as u16 + 1,
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

/// One statement of a filter; a comparison that fails skips `otherwise` statements.
fn statement(code: u32, k: u32, otherwise: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: otherwise,
        k,
    }
}

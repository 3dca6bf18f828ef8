//! SIGUSR1: sigaction(2), raise(3), tgkill(2), kill(2).

#![expect(
    unsafe_code,
    reason = "calls of libc, which are what this example is about"
)]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

static HANDLER: OnceLock<fn()> = OnceLock::new();

extern "C" fn handle(_: libc::c_int) {
    // OnceLock::get is one load.
    if let Some(handler) = HANDLER.get() {
        handler();
    }
}

/// Has `handler` run at each SIGUSR1. It must be async-signal-safe.
pub(crate) fn install(handler: fn()) -> io::Result<()> {
    let _ = HANDLER.set(handler);
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zero bytes are a sigaction: no flags, an empty mask, no handler.
    let action_mut = unsafe { action.assume_init_mut() };
    action_mut.sa_sigaction = (handle as extern "C" fn(libc::c_int)) as usize;
    action_mut.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is initialised, `handle` does nothing but a load and what it was promised.
    match unsafe { libc::sigaction(libc::SIGUSR1, action.as_ptr(), ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A number for the calling thread, for [`send`].
pub(crate) fn own_thread() -> i32 {
    // SAFETY: takes no memory of ours.
    unsafe { libc::gettid() }
}

fn process() -> i32 {
    std::process::id().cast_signed()
}

/// To this thread.
pub(crate) fn raise() {
    // SAFETY: SIGUSR1 has a handler.
    unsafe { libc::raise(libc::SIGUSR1) };
}

/// To a thread of this process, if there is one of that number.
pub(crate) fn send(thread: i32) {
    // SAFETY: takes no memory of ours; a thread that has ended is an error only.
    unsafe { libc::syscall(libc::SYS_tgkill, process(), thread, libc::SIGUSR1) };
}

/// To whichever thread of this process.
pub(crate) fn send_process() {
    // SAFETY: takes no memory of ours.
    unsafe { libc::kill(process(), libc::SIGUSR1) };
}

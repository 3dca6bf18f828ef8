//! The asymmetric barrier: readers pay a compiler barrier, updaters pay for everybody.
//!
//! | light side (reader)                   | heavy side (grace period)                | together |
//! |---------------------------------------|------------------------------------------|----------|
//! | publish word; `light()`; read pointers | remove; `heavy()`; step sequence; scan  | the scan sees the word, or the reader sees the removal |
//! | store idle word; `light()`; load request | arm request; `heavy()`; scan again    | the second scan sees the idle word, or the reader sees the request |
//!
//! `heavy()` is membarrier(2), private expedited: for each running thread of the process there is a
//! point in its program order at which it executed a full fence; a thread that does not run passed one
//! in the scheduler. Everything the thread did before that point is visible to the caller afterwards,
//! everything the caller did before is visible to the thread after the point.
//!
//! Whether membarrier works is decided once, before the first thread leaves the sentinel slot, and
//! never taken back (rule A19): with it readers run without fences, so a later failure is fatal.

use crate::atomic::{AtomicBool, AtomicU8, Ordering, fence};

use crate::sys;

const UNKNOWN: u8 = 0;
const WORKS: u8 = 1;
const ABSENT: u8 = 2;

static MEMBARRIER: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Keeps the compiler from moving memory accesses across; no instruction.
///
/// Not `compiler_fence`: LLVM emits a real `sync` for that on powerpc64.
#[inline(always)]
pub(crate) fn light() {
    // SAFETY: an empty template; without `nomem` it is a compiler barrier for all memory.
    unsafe { core::arch::asm!("", options(nostack, preserves_flags)) };
}

/// Registers with membarrier(2) if nobody has, and tells whether it works. Idempotent, takes no lock:
/// a signal handler may interrupt it and call it again.
#[inline]
pub(crate) fn membarrier_works() -> bool {
    match MEMBARRIER.load(Ordering::Acquire) {
        UNKNOWN => decide(),
        state => state == WORKS,
    }
}

#[cold]
fn decide() -> bool {
    // A seccomp filter may allow the registration and refuse the command, so both are tried.
    let found = match sys::membarrier_register().and_then(|()| sys::membarrier_private_expedited())
    {
        Ok(()) => WORKS,
        Err(_) => ABSENT,
    };
    // The first answer holds for the process: AcqRel, so that who reads it also sees the registration.
    match MEMBARRIER.compare_exchange(UNKNOWN, found, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => found == WORKS,
        Err(earlier) => earlier == WORKS,
    }
}

/// The heavy side of the table above where membarrier works, else a full fence (readers then execute
/// one too). Tells which it was.
///
/// # Panics
/// Never; aborts with a message when membarrier is refused after it had worked (a seccomp filter
/// installed later): readers have no fences, so nothing safe is left.
pub(crate) fn heavy() -> bool {
    if !membarrier_works() {
        fence(Ordering::SeqCst);
        return false;
    }
    while let Err(errno) = sys::membarrier_private_expedited() {
        if sys::is_transient(errno) {
            std::thread::yield_now(); // kernels for very many CPUs allocate a mask here
            continue;
        }
        sys::die(
            "urcu: membarrier(2) worked when this process started and is refused now (a seccomp \
             filter installed later?). Readers run without fences, so no grace period can be \
             proven. Install the filter before the first use of urcu, or use the `Mb` flavor.\n",
        );
    }
    true
}

/// As [`heavy`], by a barrier that interrupts no processor and takes some ms, where there is one; whether it
/// was that. The same guarantee: each thread of the process passes through a full barrier between the call
/// and the return.
///
/// # Panics
/// As [`heavy`].
pub(crate) fn heavy_and_patient() -> bool {
    /// Refused once, on this kernel or by a filter: not asked again.
    static REFUSED: AtomicBool = AtomicBool::new(false);
    if membarrier_works() && !REFUSED.load(Ordering::Relaxed) {
        match sys::membarrier_global() {
            Ok(()) => return true,
            Err(errno) => REFUSED.store(!sys::is_transient(errno), Ordering::Relaxed),
        }
    }
    heavy();
    false
}

/// Registration at load time costs 3 us; with threads running it costs milliseconds. Only an
/// optimisation: the slow path of the first reader decides too, whichever comes first (rule A19).
extern "C" fn register_at_load() {
    membarrier_works();
}

#[used]
#[unsafe(link_section = ".init_array")]
static REGISTER_AT_LOAD: extern "C" fn() = register_at_load;

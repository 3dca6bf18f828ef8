//! A plugin with urcu in it, for the tests beside it: `cargo test` builds it as an example.

use std::ffi::c_void;
use std::mem::transmute;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use urcu::{Guard, Mb, Memb, Qsbr, Rcu};

static VALUE: Rcu<u64> = Rcu::null();
static RAN: AtomicU64 = AtomicU64::new(0);
static READ_BY_CONSTRUCTOR: AtomicU64 = AtomicU64::new(0);

type Section = Guard<'static, Memb>;

/// Enters a section of the calling thread; [`plugin_unlock`] ends it.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_lock() -> *const c_void {
    // SAFETY: a guard is one pointer (or this would not compile), and only `plugin_unlock` makes use of it.
    unsafe { transmute::<Section, *const c_void>(Memb::read_lock()) }
}

/// # Safety
/// 1. `section` came from [`plugin_lock`] of this copy of the plugin, on this thread, and is given up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugin_unlock(section: *const c_void) {
    // SAFETY: clause 1.
    drop(unsafe { transmute::<*const c_void, Section>(section) });
}

/// What this copy's pointer holds; 0 for null.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_read() -> u64 {
    VALUE.dereference(&Memb::read_lock()).copied().unwrap_or(0)
}

/// Replaces the value; the old one is freed by the worker.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_assign(value: u64) {
    VALUE.assign(value);
}

/// A section and a grace period of each flavor.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_synchronize() {
    drop((Memb::read_lock(), Mb::read_lock()));
    Memb::synchronize();
    Mb::synchronize();
    Qsbr::register().synchronize();
}

/// Queues a callback.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_call() {
    Memb::call(|| {
        RAN.fetch_add(1, SeqCst);
    });
}

/// Waits for all callbacks, and tells how many have run.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_barrier() -> u64 {
    Memb::barrier();
    RAN.load(SeqCst)
}

/// How many threads are registered.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_registered() -> u64 {
    Memb::stats().registered
}

/// Uses thread-locals of the ordinary kind: std's.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_ordinary_thread_local() -> bool {
    std::thread::current().id() == std::thread::current().id()
}

/// What the thread read that a constructor waited for.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_read_by_constructor() -> u64 {
    READ_BY_CONSTRUCTOR.load(SeqCst)
}

extern "C" fn read_and_end(_: *mut c_void) -> *mut c_void {
    READ_BY_CONSTRUCTOR.store(plugin_read(), SeqCst);
    std::ptr::null_mut()
}

/// The dynamic linker's lock is held here: a thread that needs it for its first read never comes back.
/// liburcu took its initial-exec thread-locals back for a deadlock with a constructor that waits.
extern "C" fn constructor() {
    plugin_assign(7);
    let mut thread: libc::pthread_t = 0;
    // SAFETY: all pointers are valid, and `read_and_end` takes and returns what a thread does.
    let made = unsafe {
        libc::pthread_create(
            &raw mut thread,
            std::ptr::null(),
            read_and_end,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(made, 0);
    // SAFETY: made above and joined once.
    let joined = unsafe { libc::pthread_join(thread, std::ptr::null_mut()) };
    assert_eq!(joined, 0);
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

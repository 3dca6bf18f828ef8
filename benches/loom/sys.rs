//! What the models have instead of system calls: a futex on loom's mutex and condition variable.
//!
//! A short time-out passes at once; a long one never does, so a wake-up that is lost is a deadlock, which loom
//! reports.

use core::ffi::c_void;
use core::ptr::NonNull;
use std::alloc::{Layout, dealloc};
use std::collections::HashMap;
use std::sync::Mutex as StdMutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool as StdBool;
use std::sync::atomic::AtomicUsize as StdUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use loom::sync::{Condvar, Mutex};

use crate::atomic::PerExecution;

/// As in the real `sys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Woken,
    Changed,
    TimedOut,
}

/// What is shorter passes at once.
const LONG: Duration = Duration::from_secs(1);

/// A sleep that may be repeated until the reader leaves: between two of them somebody else has to run.
const REPEATED: Duration = Duration::from_millis(1);
/// How many of these an execution has seen.
static REPETITIONS: StdUsize = StdUsize::new(0);

/// What reads the bits of an atomic.
type Read = fn(*const ()) -> u64;

/// The size of the atomic at an address that was given to a futex, and what reads it.
static WORDS: StdMutex<Option<HashMap<usize, (usize, Read)>>> = StdMutex::new(None);

pub(crate) fn know_word(at: usize, size: usize, read: Read) {
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    words.get_or_insert_default().insert(at, (size, read));
}

/// The 32 bits that futex(2) would compare.
fn value_at(word: *const u32) -> u32 {
    let known = |at: usize| {
        let words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
        words.as_ref().and_then(|words| words.get(&at).copied())
    };
    let (at, upper) = match known(word.addr()) {
        Some(_) => (word, false),
        None => (word.wrapping_sub(1), true),
    };
    let Some((size, read)) = known(at.addr()) else {
        panic!("a futex on an unknown word");
    };
    assert!(size == 8 || !upper);
    let whole = read(at.cast());
    (if upper { whole >> 32 } else { whole }) as u32
}

struct Sleepers {
    /// Wake-ups of each address.
    woken: Mutex<HashMap<usize, u32>>,
    bell: Condvar,
}

static SLEEPERS: PerExecution<Sleepers> = PerExecution::new();

/// At the start of an execution: the first values of statics belong to nobody.
pub(crate) fn begin_execution() {
    let _ = sleepers();
    REPETITIONS.store(0, Relaxed);
}

fn sleepers() -> &'static Sleepers {
    SLEEPERS.get(|| Sleepers {
        woken: Mutex::new(HashMap::new()),
        bell: Condvar::new(),
    })
}

pub(crate) fn futex_wait(word: *const u32, expected: u32, timeout: Option<Duration>) -> Wake {
    let sleepers = sleepers();
    let mut woken = sleepers.woken.lock().expect("models do not poison");
    if value_at(word) != expected {
        return Wake::Changed;
    }
    if timeout.is_some_and(|timeout| timeout < LONG) {
        drop(woken);
        // After a yield loom shows the sleeper the newest values, which would hide a wake-up that is lost. So
        // only who sleeps again and again yields.
        if timeout >= Some(REPEATED) && REPETITIONS.fetch_add(1, Relaxed) > 0 {
            loom::thread::yield_now();
        }
        return Wake::TimedOut;
    }
    let before = woken.get(&word.addr()).copied();
    while woken.get(&word.addr()).copied() == before {
        woken = sleepers.bell.wait(woken).expect("models do not poison");
    }
    Wake::Woken
}

pub(crate) fn futex_wake(word: *const u32, _count: i32) {
    let sleepers = sleepers();
    let mut woken = sleepers.woken.lock().expect("models do not poison");
    *woken.entry(word.addr()).or_default() += 1;
    sleepers.bell.notify_all();
}

static CPUS: StdUsize = StdUsize::new(1);

/// One CPU: nobody spins. Two: cooperative rounds are attempted.
pub(crate) fn set_cpus(cpus: usize) {
    CPUS.store(cpus, Relaxed);
}

pub(crate) fn cpus() -> usize {
    CPUS.load(Relaxed)
}

pub(crate) fn gettid() -> i32 {
    0
}

pub(crate) fn thread_exists(_tid: i32) -> bool {
    true
}

pub(crate) fn thread_name() -> [u8; 16] {
    [0; 16]
}

pub(crate) fn map_pages(_bytes: usize) -> Option<NonNull<c_void>> {
    None // a model that needs a second chunk is too large
}

/// # Safety
/// 1. As in the real `sys`.
pub(crate) unsafe fn unmap_pages(_at: NonNull<c_void>, _bytes: usize) {}

pub(crate) type ExitHook = unsafe extern "C" fn(*mut c_void);

/// The hook of the one key, and its value for the one thread that sets it.
static KEY: StdMutex<(Option<ExitHook>, usize)> = StdMutex::new((None, 0));

fn key() -> MutexGuard<'static, (Option<ExitHook>, usize)> {
    KEY.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn key_create(exit: ExitHook) -> Option<u32> {
    *key() = (Some(exit), 0);
    Some(0)
}

pub(crate) fn key_delete(_key: u32) {}

pub(crate) fn key_set(_key: u32, value: *const c_void) {
    key().1 = value.expose_provenance();
}

/// What the end of the thread does that has set the key.
pub(crate) fn end_thread() {
    let (hook, value) = std::mem::replace(&mut *key(), (None, 0));
    if let Some(hook) = hook.filter(|_| value != 0) {
        // SAFETY: the value was set for this hook.
        unsafe { hook(std::ptr::with_exposed_provenance_mut(value)) };
    }
}

pub(crate) fn with_signals_blocked<R>(f: impl FnOnce() -> R) -> R {
    f()
}

static THREADS: StdBool = StdBool::new(false);

/// Whether workers can be started.
pub(crate) fn allow_threads(allow: bool) {
    THREADS.store(allow, Relaxed);
}

#[derive(Debug)]
pub(crate) struct Thread(loom::thread::JoinHandle<()>);

impl Thread {
    pub(crate) fn join(self) {
        self.0.join().expect("a worker");
    }
}

/// Starts a worker, where the model has any. No model waits long enough for a report of a stall, so who wants
/// to report has found something.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<Thread, i32> {
    if !THREADS.load(Relaxed) {
        return Err(0);
    }
    assert_ne!(name, "urcu-report", "something is to be reported");
    Ok(Thread(loom::thread::spawn(body)))
}

pub(crate) fn yield_now() {
    loom::thread::yield_now();
}

/// Time stands still.
pub(crate) fn monotonic() -> Duration {
    Duration::ZERO
}

type Last = Box<dyn FnOnce() + Send>;

/// What is to be done before the memory at an address is freed.
static WATCHED: StdMutex<Option<HashMap<usize, Last>>> = StdMutex::new(None);

/// Runs `last` when the memory at this address is freed.
pub(crate) fn watch(at: NonNull<u8>, last: impl FnOnce() + Send + 'static) {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched
        .get_or_insert_default()
        .insert(at.addr().get(), Box::new(last));
}

/// # Safety
/// 1. As in the real `sys`.
pub(crate) unsafe fn free(at: NonNull<u8>, layout: Layout) {
    let last = {
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.get_or_insert_default().remove(&at.addr().get())
    };
    if let Some(last) = last {
        last();
    }
    // SAFETY: clause 1.
    unsafe { dealloc(at.as_ptr(), layout) };
}

/// Nobody reads it.
pub(crate) fn warn(_line: &str) {}

pub(crate) fn die(line: &str) -> ! {
    panic!("{line}");
}

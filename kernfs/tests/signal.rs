//! notify from a signal handler, while the interrupted thread is anywhere in this crate.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use kernfs::{File, OpenFlags, Root, Watch, ro};

static TARGET: OnceLock<File> = OnceLock::new();
static SIGNALS: AtomicU32 = AtomicU32::new(0);
static BUSY: AtomicBool = AtomicBool::new(true);

extern "C" fn handler(_: libc::c_int) {
    // OnceLock::get is one load.
    if let Some(file) = TARGET.get() {
        SIGNALS.fetch_add(1, SeqCst);
        file.notify();
    }
}

/// SIGALRM every 100 us, until it is dropped, for the calling thread: one for the process would mostly be taken by the
/// thread of the harness, which does nothing.
struct Timer(libc::timer_t);

impl Timer {
    fn start() -> Self {
        // SAFETY: zeroed is a valid sigaction: no flags, empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = (handler as extern "C" fn(libc::c_int)) as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` is initialised; the handler does nothing but atomics and `notify`.
        let ret =
            unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
        assert_eq!(ret, 0);

        // SAFETY: zeroed is a valid sigevent.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGALRM;
        // SAFETY: takes nothing.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer = std::ptr::null_mut();
        // SAFETY: `event` is initialised, and the call writes one timer.
        let ret =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
        assert_eq!(ret, 0);
        let timer = Self(timer);
        let every = libc::timespec {
            tv_sec: 0,
            tv_nsec: 100_000,
        };
        let times = libc::itimerspec {
            it_interval: every,
            it_value: every,
        };
        // SAFETY: the timer was just made; `times` outlives the call.
        let ret =
            unsafe { libc::timer_settime(timer.0, 0, &raw const times, std::ptr::null_mut()) };
        assert_eq!(ret, 0);
        timer
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: made by `start`, and not used any more.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// Ends the waiting when dropped: also if the test fails.
struct End<'a>(&'a File);

impl Drop for End<'_> {
    fn drop(&mut self) {
        BUSY.store(false, SeqCst);
        self.0.notify();
    }
}

struct Counter(AtomicUsize);

impl Watch for Counter {
    fn added(&self, _: u64, _: &[u8]) {}
    fn removed(&self, _: u64, _: &[u8], _: u64) {}
    fn notified(&self, _: u64) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn notify_in_a_signal_handler() {
    let root = Root::new();
    let file = root.attr("target", ro(|| 1)).unwrap();
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    let watching = root.watch(counter.clone()).unwrap();
    TARGET.set(file.clone()).unwrap();
    std::thread::scope(|s| {
        // Waits for what the handler tells, so the handler has somebody to wake.
        s.spawn(|| {
            let open = file.open(OpenFlags::READ).unwrap();
            while BUSY.load(SeqCst) {
                assert!(open.wait_event(None).unwrap());
                open.read_at(&mut [0; 8], 0).unwrap();
            }
        });
        // The signal hits this thread with the tree lock, a hashed mutex or malloc's lock taken.
        s.spawn(|| {
            let _end = End(&file);
            let _timer = Timer::start();
            while SIGNALS.load(SeqCst) < 3000 {
                let dir = root.create_dir("d", 0o755).unwrap();
                let attr = dir.attr("a", ro(|| 1)).unwrap();
                drop(attr.open(OpenFlags::READ).unwrap());
                drop(file.open(OpenFlags::READ).unwrap());
                file.notify();
                dir.remove().unwrap();
            }
        });
    });
    watching.flush();
    let heard = counter.0.load(SeqCst);
    assert!(heard > 0, "the listener heard nothing");
}

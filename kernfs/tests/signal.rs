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

/// Raises SIGALRM every 50 us, on whichever thread runs.
fn start_timer() {
    // SAFETY: zeroed is a valid sigaction: no flags, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = (handler as extern "C" fn(libc::c_int)) as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is initialised; the handler does nothing but atomics and `notify`.
    let ret = unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
    assert_eq!(ret, 0);
    set_timer(50);
}

fn set_timer(micros: libc::suseconds_t) {
    let every = libc::timeval {
        tv_sec: 0,
        tv_usec: micros,
    };
    let timer = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: `timer` is initialised and outlives the call.
    let ret = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(ret, 0);
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
    start_timer();
    std::thread::scope(|s| {
        // Waits for what the handler tells, so the handler has somebody to wake.
        s.spawn(|| {
            let open = file.open(OpenFlags::READ).unwrap();
            while BUSY.load(SeqCst) {
                assert!(open.wait_event(None).unwrap());
                open.read_at(&mut [0; 8], 0).unwrap();
            }
        });
        // The signal hits these threads with the tree lock, a hashed mutex or malloc's lock taken.
        s.spawn(|| {
            while SIGNALS.load(SeqCst) < 3000 {
                let dir = root.create_dir("d", 0o755).unwrap();
                let attr = dir.attr("a", ro(|| 1)).unwrap();
                drop(attr.open(OpenFlags::READ).unwrap());
                drop(file.open(OpenFlags::READ).unwrap());
                file.notify();
                dir.remove().unwrap();
            }
            BUSY.store(false, SeqCst);
            file.notify();
        });
    });
    set_timer(0);
    watching.flush();
    let heard = counter.0.load(SeqCst);
    assert!(heard > 0, "the listener heard nothing");
}

//! One processor, very many threads: urcu works there too.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::thread::{Builder, JoinHandle};

use crate::child::{DONE, outcome_of_child};
use crate::flavors::{Reader, Stage, every_flavor, test_name, wait_until};
use crate::libc_calls::{self, fork_and_wait};
use urcu::{Event, Mb, Memb, Qsbr, Rcu};

fn on_one_processor() -> std::io::Result<()> {
    libc_calls::run_on_one_processor()
}

/// A reader that never gives the processor away by itself, against a grace period: the waiting side must
/// sleep, or it takes the time that the reader needs.
fn one_processor<R: Reader>() {
    const WORK: u64 = 200_000_000; // nanoseconds of processor time inside the section
    static INSIDE: Stage = Stage::new();
    assert_eq!(std::thread::available_parallelism().unwrap().get(), 1);
    let reader = std::thread::spawn(|| {
        let reader = R::join();
        let guard = reader.lock();
        INSIDE.next();
        let start = libc_calls::thread_time();
        // And until somebody waits for it, who may be late.
        while libc_calls::thread_time() - start < WORK || R::stats().sleeps == 0 {
            std::hint::spin_loop();
        }
        drop(guard);
    });
    INSIDE.wait_for(1);
    let before = libc_calls::thread_time();
    R::join().synchronize();
    let waited = libc_calls::thread_time() - before;
    reader.join().unwrap();
    assert!(
        waited < WORK / 4,
        "the waiting thread used {waited} ns of processor time while the reader used {WORK}"
    );
    assert!(R::stats().sleeps > 0);
}

macro_rules! one_processor {
    ($name:ident, $reader:ty) => {
        #[test]
        fn $name() {
            let name = test_name(module_path!(), stringify!($name));
            let output = outcome_of_child(&name, Some(on_one_processor), one_processor::<$reader>);
            assert_eq!(output.status.code(), Some(DONE), "{output:?}");
        }
    };
}
one_processor!(
    memb_waits_asleep_on_one_processor,
    crate::flavors::Auto<Memb>
);
one_processor!(mb_waits_asleep_on_one_processor, crate::flavors::Auto<Mb>);
one_processor!(qsbr_waits_asleep_on_one_processor, urcu::Thread<Qsbr>);

/// Threads that have each read once and wait for [`Crowd::leave`].
struct Crowd(Vec<JoinHandle<()>>);

static REGISTERED: AtomicUsize = AtomicUsize::new(0);
static LEAVE: Event = Event::new();

impl Crowd {
    /// As many of `wanted` threads as the machine starts.
    fn gather<R: Reader>(wanted: usize) -> Self {
        let mut threads = Vec::new();
        while threads.len() < wanted {
            let thread = Builder::new().stack_size(64 << 10).spawn(|| {
                let mut reader = R::join();
                drop(reader.lock());
                REGISTERED.fetch_add(1, SeqCst);
                reader.away(|| assert!(LEAVE.wait_while(0, None)));
            });
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    println!("SKIP: {} of {wanted} threads, then: {error}", threads.len());
                    break;
                }
            }
        }
        wait_until(|| REGISTERED.load(SeqCst) == threads.len());
        Self(threads)
    }

    fn leave(self) {
        LEAVE.signal();
        for thread in self.0 {
            thread.join().unwrap();
        }
    }
}

/// 10 000 registered threads: grace periods, callbacks, and slots for whoever comes after.
fn ten_thousand<R: Reader>() {
    static RAN: AtomicU64 = AtomicU64::new(0);
    let crowd = Crowd::gather::<R>(10_000);
    let count = crowd.0.len();
    assert!(R::stats().registered >= count as u64, "{:?}", R::stats());
    let mut reader = R::join();
    let p: Rcu<u32, R::F> = Rcu::new(1);
    for n in 0..100 {
        let old = p.replace(n).unwrap();
        reader.give_back(old);
    }
    R::call(|| {
        RAN.fetch_add(1, SeqCst);
    });
    reader.barrier();
    assert_eq!(RAN.load(SeqCst), 1);
    crowd.leave();
    drop(reader);
    assert!(R::stats().registered <= 2, "{:?}", R::stats());
    // Their slots are used again.
    for _ in 0..10 {
        let thread = std::thread::spawn(|| drop(R::join().lock()));
        thread.join().unwrap();
    }
    R::join().synchronize();
}
every_flavor!(ten_thousand_registered_threads, ten_thousand in child);

/// fork(2) with 1000 registered threads: the child sheds them all.
fn fork_among_many<R: Reader>() {
    let crowd = Crowd::gather::<R>(1_000);
    let status = fork_and_wait(|| {
        assert!(R::stats().registered <= 2, "{:?}", R::stats());
        let mut reader = R::join();
        reader.synchronize();
        R::call(|| {});
        reader.barrier();
    });
    assert_eq!(status, 0);
    assert!(
        R::stats().registered >= crowd.0.len() as u64,
        "{:?}",
        R::stats()
    );
    R::join().synchronize();
    crowd.leave();
}
every_flavor!(fork_among_a_thousand_registered_threads, fork_among_many in child);

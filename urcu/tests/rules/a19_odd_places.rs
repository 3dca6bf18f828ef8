//! A19: before `main`, in signal handlers, in destructors of thread-locals.

use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use crate::child::in_child;
use crate::flavors::{Dropping, Stage, wait_until};
use crate::libc_calls::{self, To};
use urcu::{Mb, Memb, Qsbr, Rcu};

static READ_BEFORE_MAIN: AtomicUsize = AtomicUsize::new(0);

/// Whether this runs before or after the crate's own constructors is the linker's choice.
extern "C" fn before_main() {
    let p: Rcu<usize> = Rcu::new(1);
    let q: Rcu<usize, Mb> = Rcu::new(2);
    let (memb, mb) = (Memb::read_lock(), Mb::read_lock());
    let both = p.dereference(&memb).unwrap() + q.dereference(&mb).unwrap();
    drop((memb, mb));
    Memb::synchronize();
    Mb::synchronize();
    READ_BEFORE_MAIN.store(both, SeqCst);
}

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

#[test]
fn a19_use_before_main() {
    assert_eq!(READ_BEFORE_MAIN.load(SeqCst), 3);
}

static SHARED: Rcu<[u64; 2]> = Rcu::null();
static SHARED_MB: Rcu<[u64; 2], Mb> = Rcu::null();
static HANDLED: AtomicU64 = AtomicU64::new(0);
static TORN: AtomicBool = AtomicBool::new(false);

/// Reads twice, nested; both words of an object are always equal.
extern "C" fn read_in_handler(_: i32) {
    let guard = Memb::read_lock();
    let inner = Memb::read_lock();
    let mb = Mb::read_lock();
    for object in [SHARED.dereference(&guard), SHARED_MB.dereference(&mb)] {
        if object.is_some_and(|o| o[0] != o[1]) {
            TORN.store(true, SeqCst);
        }
    }
    drop((guard, inner, mb));
    HANDLED.fetch_add(1, SeqCst);
}

#[test]
fn a19_the_first_use_of_a_thread_may_be_in_a_signal_handler() {
    in_child(
        "a19_odd_places::a19_the_first_use_of_a_thread_may_be_in_a_signal_handler",
        || {
            libc_calls::on_sigusr1(read_in_handler);
            SHARED.assign([7, 7]);
            let before = Memb::stats().registered;
            for _ in 0..100 {
                std::thread::spawn(|| {
                    libc_calls::raise_sigusr1();
                    assert!(!Memb::read_lock_held());
                    drop(Memb::read_lock());
                })
                .join()
                .unwrap();
            }
            assert_eq!(HANDLED.load(SeqCst), 100);
            assert!(!TORN.load(SeqCst));
            Memb::synchronize();
            Mb::synchronize();
            assert!(
                Memb::stats().registered <= before + 1,
                "slots of ended threads stay claimed"
            );
        },
    );
}

/// Handlers interrupt every step of entry, exit and registration, while objects are replaced.
#[test]
fn a19_signal_storm() {
    in_child("a19_odd_places::a19_signal_storm", || {
        static OVER: AtomicBool = AtomicBool::new(false);
        static READY: Stage = Stage::new();
        libc_calls::on_sigusr1(read_in_handler);
        SHARED.assign([0, 0]);
        SHARED_MB.assign([0, 0]);
        let target = std::sync::OnceLock::new();
        std::thread::scope(|s| {
            s.spawn(|| {
                target.set(libc_calls::this_thread()).unwrap();
                READY.next();
                while !OVER.load(SeqCst) {
                    for _ in 0..100 {
                        read_in_handler(0);
                        drop(Memb::register().read_lock());
                    }
                    assert!(!Memb::read_lock_held() && !Mb::read_lock_held());
                }
            });
            READY.wait_for(1);
            for n in 0..20_000 {
                libc_calls::send_sigusr1(*target.get().unwrap());
                SHARED.assign([n, n]);
                if n % 8 == 0 {
                    drop(SHARED_MB.replace([n, n]).unwrap().synchronize());
                    Memb::synchronize();
                }
            }
            OVER.store(true, SeqCst);
        });
        assert!(!TORN.load(SeqCst));
        assert!(HANDLED.load(SeqCst) > 0);
        Memb::barrier();
        Memb::synchronize();
        Mb::synchronize();
    });
}

/// A timer's handler reads every 50 us while the thread it interrupts reads too, and registers: the first
/// section of a thread may be in the handler, or around it, or half made when the handler makes it.
#[test]
fn a19_a_timer_reads_while_threads_register() {
    in_child(
        "a19_odd_places::a19_a_timer_reads_while_threads_register",
        || {
            libc_calls::on_sigusr1(read_in_handler);
            SHARED.assign([0, 0]);
            SHARED_MB.assign([0, 0]);
            libc_calls::take_sigusr1(false); // this thread and the workers stay out of it
            Memb::barrier();
            libc_calls::send_sigusr1_every(50_000, To::Process);
            for n in 1..=500 {
                let reader = std::thread::spawn(|| {
                    libc_calls::take_sigusr1(true);
                    for _ in 0..200 {
                        let (outer, mb) = (Memb::read_lock(), Mb::read_lock());
                        let (a, b) = (SHARED.dereference(&outer), SHARED_MB.dereference(&mb));
                        let first = [a, b].map(|object| object.unwrap()[0]);
                        drop(Memb::read_lock());
                        assert_eq!([a, b].map(|object| object.unwrap()[1]), first);
                        drop((outer, mb));
                        assert!(!Memb::read_lock_held() && !Mb::read_lock_held());
                        drop(Memb::register().read_lock());
                    }
                    // A handler that reads after the thread's hooks have run registers it for good.
                    libc_calls::take_sigusr1(false);
                });
                SHARED.assign([n, n]);
                drop(SHARED_MB.replace([n, n]).unwrap().synchronize());
                reader.join().unwrap();
            }
            wait_until(|| HANDLED.load(SeqCst) > 0); // the harness's thread takes it now
            assert!(!TORN.load(SeqCst));
            for stats in [Memb::stats(), Mb::stats()] {
                assert!(stats.registered <= 2, "a slot was claimed twice: {stats:?}");
                assert_eq!(stats.abandoned, 0);
            }
        },
    );
}

/// Runs at the thread's end: reads, retires, and waits.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        static P: Rcu<Dropping> = Rcu::null();
        P.assign(Dropping(&DROPS));
        assert!(P.dereference(&Memb::read_lock()).is_some());
        P.take().unwrap().free();
        Memb::synchronize();
        let mut qsbr = Qsbr::register();
        qsbr.synchronize();
        ENDED.fetch_add(1, SeqCst);
    }
}
static DROPS: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static LAST: Cell<Option<Last>> = const { Cell::new(None) };
}

#[test]
fn a19_use_in_destructors_of_thread_locals() {
    for reads_before in [true, false] {
        std::thread::spawn(move || {
            if reads_before {
                drop(Memb::read_lock());
            }
            LAST.set(Some(Last));
        })
        .join()
        .unwrap();
    }
    Memb::barrier();
    assert_eq!((ENDED.load(SeqCst), DROPS.load(SeqCst)), (2, 2));
}

/// A guard kept in a thread-local is dropped at the thread's end, in whatever order: no death in a section.
#[test]
fn a19_a_guard_in_a_thread_local_ends_with_the_thread() {
    in_child(
        "a19_odd_places::a19_a_guard_in_a_thread_local_ends_with_the_thread",
        || {
            thread_local! {
                static GUARD: Cell<Option<urcu::Guard<'static>>> = const { Cell::new(None) };
            }
            for _ in 0..10 {
                std::thread::spawn(|| GUARD.set(Some(Memb::read_lock())))
                    .join()
                    .unwrap();
                Memb::synchronize();
            }
            assert_eq!(Memb::stats().abandoned, 0);
        },
    );
}

/// Slots of ended threads are used again.
#[test]
fn a19_ended_threads_give_their_slots_back() {
    in_child(
        "a19_odd_places::a19_ended_threads_give_their_slots_back",
        || {
            for _ in 0..300 {
                std::thread::spawn(|| {
                    drop(Memb::read_lock());
                    drop(Mb::read_lock());
                    drop(Qsbr::register());
                })
                .join()
                .unwrap();
            }
            for stats in [Memb::stats(), Mb::stats(), Qsbr::stats()] {
                assert!(stats.registered <= 2, "{stats:?}");
            }
        },
    );
}

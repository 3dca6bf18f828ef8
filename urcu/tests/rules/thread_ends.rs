//! A thread may end, fork or execute another program in every state.

use std::cell::Cell;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use crate::child::{DONE, in_child};
use crate::flavors::{Reader, every_flavor, test_name};
use crate::libc_calls::{Key, exit_at_once, fork, wait_for};
use urcu::{Mb, Memb, Qsbr};

/// A registration in a thread-local is dropped with it, and its slot is used again.
macro_rules! handle_in_a_thread_local {
    ($name:ident, $flavor:ty) => {
        #[test]
        fn $name() {
            in_child(&test_name(module_path!(), stringify!($name)), || {
                thread_local! {
                    static KEPT: Cell<Option<urcu::Thread<$flavor>>> = const { Cell::new(None) };
                }
                let before = <$flavor>::stats().registered;
                for _ in 0..100 {
                    let thread = std::thread::spawn(|| KEPT.set(Some(<$flavor>::register())));
                    thread.join().unwrap();
                    <$flavor>::synchronize(); // nobody online is left behind
                }
                let stats = <$flavor>::stats();
                assert_eq!((stats.registered, stats.abandoned), (before, 0));
            });
        }
    };
}
handle_in_a_thread_local!(a_memb_handle_in_a_thread_local_ends_with_the_thread, Memb);
handle_in_a_thread_local!(a_mb_handle_in_a_thread_local_ends_with_the_thread, Mb);
handle_in_a_thread_local!(a_qsbr_handle_in_a_thread_local_ends_with_the_thread, Qsbr);

/// Who queued callbacks need not live until they run.
fn queued_callbacks<R: Reader>() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let mut reader = R::join();
    {
        let guard = reader.lock(); // nothing runs yet
        for _ in 0..50 {
            let thread = std::thread::spawn(|| {
                for _ in 0..20 {
                    R::call(|| {
                        RAN.fetch_add(1, SeqCst);
                    });
                }
            });
            thread.join().unwrap();
        }
        assert_eq!(RAN.load(SeqCst), 0);
        drop(guard);
    }
    reader.barrier();
    assert_eq!(RAN.load(SeqCst), 1000);
}
every_flavor!(callbacks_outlive_the_thread_that_queued_them, queued_callbacks in child);

thread_local! {
    static ROUNDS: Cell<u32> = const { Cell::new(0) };
}
static OLDER: Key = Key::new();
static YOUNGER: Key = Key::new();
static HOOKS: AtomicUsize = AtomicUsize::new(0);
/// Slots of threads other than the one that ends.
static OTHERS: AtomicU64 = AtomicU64::new(0);

/// A hook of the process's own that reads, so that the thread registers anew, and asks to be run again.
extern "C" fn read_and_run_again(key: *mut std::ffi::c_void) {
    let inside = (Memb::read_lock(), Mb::read_lock());
    for stats in [Memb::stats(), Mb::stats()] {
        assert!(
            stats.registered > OTHERS.load(SeqCst),
            "a section on a slot that was given back"
        );
    }
    drop(inside);
    assert!(!Memb::read_lock_held());
    HOOKS.fetch_add(1, SeqCst);
    let rounds = ROUNDS.get();
    ROUNDS.set(rounds + 1);
    if rounds < 3 {
        Key::of(key).set();
    }
}

/// One key is made before urcu's, one after: their hooks run before and after urcu's in each round.
#[test]
fn a_key_hook_that_reads_registers_anew_and_is_cleaned_up_after() {
    in_child(
        "thread_ends::a_key_hook_that_reads_registers_anew_and_is_cleaned_up_after",
        || {
            OLDER.make(read_and_run_again);
            std::thread::spawn(|| drop((Memb::read_lock(), Mb::read_lock())))
                .join()
                .unwrap();
            YOUNGER.make(read_and_run_again);
            OTHERS.store(Memb::stats().registered, SeqCst);
            assert_eq!(OTHERS.load(SeqCst), Mb::stats().registered);
            for _ in 0..100 {
                std::thread::spawn(|| {
                    OLDER.set();
                    YOUNGER.set();
                })
                .join()
                .unwrap();
                Memb::synchronize();
                Mb::synchronize();
            }
            assert!(HOOKS.load(SeqCst) >= 200);
            // Two hooks share four rounds of re-arming, so the last rounds belong to urcu.
            for stats in [Memb::stats(), Mb::stats()] {
                assert!(
                    stats.registered <= 1,
                    "slots of ended threads stay claimed: {stats:?}"
                );
                assert_eq!(stats.abandoned, 0);
            }
        },
    );
}

/// As [`read_and_run_again`], to the last round: urcu's hook has run when this one reads.
extern "C" fn read_in_the_last_round(key: *mut std::ffi::c_void) {
    drop((Memb::read_lock(), Mb::read_lock()));
    let rounds = ROUNDS.get();
    ROUNDS.set(rounds + 1);
    if rounds < 4 {
        Key::of(key).set();
    }
}

/// Slots of threads whose last read came after urcu's last hook stayed claimed for ever, one for each thread.
#[test]
fn threads_that_read_after_their_last_hook_filled_the_arena() {
    in_child(
        "thread_ends::threads_that_read_after_their_last_hook_filled_the_arena",
        || {
            std::thread::spawn(|| drop((Memb::read_lock(), Mb::read_lock())))
                .join()
                .unwrap();
            YOUNGER.make(read_in_the_last_round);
            for _ in 0..1000 {
                std::thread::spawn(|| YOUNGER.set()).join().unwrap();
            }
            // One page of slots, or two: what they hold is swept before there are more.
            for stats in [Memb::stats(), Mb::stats()] {
                assert!(stats.registered <= 128, "{stats:?}");
                assert!(stats.registered > 1, "no thread read late: {stats:?}");
            }
            // Who lives keeps its slot, and what is protected stays so.
            let guards: Vec<_> = (0..300)
                .map(|_| Box::leak(Box::new(Memb::register())).read_lock())
                .collect();
            assert_eq!(guards.len(), 300);
            assert!(Memb::stats().registered >= 300);
        },
    );
}

/// exec(2) inside a section of every flavor: the new program knows nothing of it.
fn exec_in_a_section<R: Reader>() {
    const AGAIN: &str = "URCU_TEST_EXECUTED";
    let mut reader = R::join();
    if std::env::var_os(AGAIN).is_some() {
        reader.synchronize();
        R::call(|| {});
        reader.barrier();
        return;
    }
    let guard = reader.lock();
    R::call(|| {}); // a worker runs
    let pid = fork();
    if pid == 0 {
        let _error = Command::new(std::env::current_exe().unwrap())
            .args(std::env::args().skip(1))
            .env(AGAIN, "1")
            .exec();
        exit_at_once(101);
    }
    assert_eq!(wait_for(pid), DONE);
    drop(guard);
    reader.barrier();
}
every_flavor!(exec_inside_a_section_starts_afresh, exec_in_a_section in child);

//! A process that has used up its pthread keys before urcu's first use: nobody sees the end of its threads.
//!
//! A program of its own, because the keys must be gone before any thread has read.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;

use urcu::{Mb, Memb, Qsbr, Rcu, Stats};

/// Takes all keys that are left, and tells how many.
fn take_all_keys() -> usize {
    let mut key = 0;
    // SAFETY: `key` is valid for writes; there is no hook.
    std::iter::repeat_with(|| unsafe { libc::pthread_key_create(&raw mut key, None) })
        .take_while(|&ret| ret == 0)
        .count()
}

/// 20 threads that use all of a flavor and end.
macro_rules! use_and_end {
    ($flavor:ty, $join:expr) => {{
        static RAN: AtomicU64 = AtomicU64::new(0);
        let p: Rcu<u32, $flavor> = Rcu::new(1);
        for n in 0..20 {
            std::thread::scope(|s| {
                s.spawn(|| {
                    let mut thread = <$flavor>::register();
                    assert!(p.dereference(&thread.read_lock()).is_some());
                    let join: fn() = $join;
                    join();
                    let old = p.replace(n).unwrap();
                    assert!(*old.synchronize_with(&mut thread) <= 20);
                    <$flavor>::call(|| {
                        RAN.fetch_add(1, SeqCst);
                    });
                    thread.barrier();
                });
            });
        }
        <$flavor>::synchronize();
        assert_eq!(RAN.load(SeqCst), 20);
        <$flavor>::stats()
    }};
}

fn nothing_but_slots_is_lost(stats: Stats, lost: u64) {
    assert_eq!(stats.abandoned, 0, "{stats:?}");
    assert_eq!(
        (stats.unwatched, stats.registered),
        (lost, lost),
        "{stats:?}"
    );
}

#[test]
fn without_a_pthread_key_only_the_slots_of_ended_threads_are_lost() {
    assert!(take_all_keys() > 0);
    let memb = use_and_end!(Memb, || drop(Memb::read_lock()));
    nothing_but_slots_is_lost(memb, 20);
    let mb = use_and_end!(Mb, || drop(Mb::read_lock()));
    nothing_but_slots_is_lost(mb, 20);
    // Registrations by hand give their slots back themselves.
    let qsbr = use_and_end!(Qsbr, || {});
    nothing_but_slots_is_lost(qsbr, 0);
    fork_beside_an_open_section();
}

// The child kept the slot of a thread that it has not, with its section open: its grace periods never ended.
fn fork_beside_an_open_section() {
    // What a thread leaked that has ended stays, in the child too.
    let leaker = std::thread::spawn(|| {
        std::mem::forget(Mb::read_lock());
        // SAFETY: no arguments.
        unsafe { libc::gettid() }
    });
    let tid = leaker.join().unwrap();
    while std::fs::exists(format!("/proc/self/task/{tid}")).unwrap() {
        std::thread::yield_now();
    }
    let (inside, is_inside) = channel();
    let (over, is_over) = channel::<()>();
    let reader = std::thread::spawn(move || {
        let guard = Memb::read_lock();
        inside.send(()).unwrap();
        assert!(is_over.recv().is_err());
        drop(guard);
    });
    is_inside.recv().unwrap();
    // SAFETY: the child uses urcu and malloc, which glibc repairs at fork, and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: no pointer; the default action of SIGALRM ends a child that hangs.
        unsafe { libc::alarm(60) };
        Memb::synchronize();
        let (memb, mb) = (Memb::stats(), Mb::stats());
        let slots = [memb.registered, mb.registered, mb.abandoned];
        // SAFETY: does not return.
        unsafe { libc::_exit(i32::from(slots != [0, 0, 1])) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(
        !libc::WIFSIGNALED(status),
        "the child's grace period hung: {status}"
    );
    assert_eq!(status, 0, "another slot is claimed in the child, or none");
    drop(over);
    reader.join().unwrap();
}

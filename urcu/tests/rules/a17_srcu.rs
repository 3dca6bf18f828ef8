//! A17: a domain that is a value. Its guards leave their thread, its pointers know it, its end is told.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::flavors::{Dropping, wait_until};
use urcu::{Memb, Srcu, SrcuGuard, SrcuOwnedGuard};

/// The message of a panic of `f`, which must be one.
pub(crate) fn panic_of(f: impl FnOnce()) -> String {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
    caught
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| caught.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap()
}

/// A grace period of `srcu` begins, and waits until `end` has run.
pub(crate) fn holds_back_until(srcu: &Srcu, end: impl FnOnce()) {
    let slept = srcu.stats().sleeps;
    let cookie = srcu.start_poll();
    wait_until(|| srcu.stats().sleeps > slept);
    assert!(!cookie.is_done(), "the section was not waited for");
    end();
    cookie.wait();
    assert!(cookie.is_done());
}

#[test]
fn a17_a_section_ends_where_its_guard_went() {
    let srcu = Srcu::new();
    let value = srcu.new_ptr(7);
    let guard = srcu.read_lock();
    thread::scope(|s| {
        let (go, wait) = mpsc::channel();
        let value = &value;
        let thread = s.spawn(move || {
            wait.recv().unwrap();
            assert_eq!(value.dereference(&guard), Some(&7));
            drop(guard);
        });
        holds_back_until(&srcu, || {
            go.send(()).unwrap();
            thread.join().unwrap();
        });
    });
}

#[test]
fn a17_many_threads_share_one_guard() {
    let srcu = Srcu::new();
    let value = srcu.new_ptr(7);
    let guard = srcu.read_lock();
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| assert_eq!(value.dereference(&guard), Some(&7)));
        }
    });
    holds_back_until(&srcu, || guard.unlock());
}

#[test]
fn a17_an_owned_guard_outlives_every_other_handle() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let srcu = Srcu::new();
    let pointer = srcu.new_ptr(Dropping(&DROPS));
    let guard = srcu.down_read();
    drop(srcu);
    let old = pointer.take().unwrap();
    drop(pointer);
    assert!(old.try_into_box().is_err(), "it freed itself next");
    let srcu = guard.domain().clone();
    holds_back_until(&srcu, || {
        thread::spawn(move || guard.up_read()).join().unwrap();
    });
    srcu.barrier();
    assert_eq!(DROPS.load(SeqCst), 1);
}

#[test]
fn a17_domains_do_not_wait_for_each_other() {
    let (one, other) = (Srcu::new(), Srcu::new());
    let guard = one.read_lock();
    let cookie = one.get_state();
    other.synchronize(); // legal inside a section of another domain
    Memb::synchronize();
    other.call(|| {});
    other.barrier();
    assert!(!cookie.is_done());
    {
        let _memb = Memb::read_lock();
        other.synchronize();
    }
    holds_back_until(&one, || drop(guard));
}

#[test]
fn a17_a_guard_of_another_domain_panics_and_changes_nothing() {
    let (one, other) = (Srcu::new(), Srcu::new());
    let pointer = one.new_ptr(1);
    let foreign = other.read_lock();
    let told = panic_of(|| {
        pointer.dereference(&foreign);
    });
    assert!(told.contains("another domain"), "{told}");
    let told = panic_of(|| {
        let _ = pointer.compare_exchange(None, Box::new(2), &foreign);
    });
    assert!(told.contains("another domain"), "{told}");
    drop(foreign);
    assert_eq!(pointer.dereference(&one.clone().read_lock()), Some(&1));
}

// Identity is not the address of a domain that may be gone: the pointer holds its domain.
#[test]
fn a17_no_later_domain_is_taken_for_the_one_of_a_pointer() {
    let pointer = Srcu::new().new_ptr(1);
    for _ in 0..100 {
        let later = Srcu::new();
        let guard = later.read_lock();
        panic_of(|| {
            pointer.dereference(&guard);
        });
    }
    assert_eq!(pointer.dereference(&pointer.domain().read_lock()), Some(&1));
}

#[test]
fn a17_sections_overlap_without_nesting() {
    let srcu = Srcu::new();
    let first = srcu.read_lock();
    let second = srcu.read_lock();
    let cookie = srcu.get_state();
    drop(first);
    assert!(srcu.read_lock_held());
    let third = srcu.read_lock();
    drop(second);
    drop(third);
    assert!(!srcu.read_lock_held() && !cookie.is_done());
    assert!(srcu.is_same(&srcu.clone()) && !srcu.is_same(&Srcu::new()));
    srcu.synchronize();
    assert!(cookie.is_done());
}

/// More guards than many chunks of slots hold, ended by several threads in another order.
#[test]
fn a17_ten_thousand_guards_at_once() {
    const GUARDS: usize = 10_000;
    let srcu = Srcu::new();
    for _ in 0..2 {
        let mut piles: [Vec<SrcuGuard<'_>>; 3] = Default::default();
        (0..GUARDS).for_each(|n| piles[n % 3].push(srcu.read_lock()));
        assert_eq!(srcu.stats().registered, GUARDS as u64);
        holds_back_until(&srcu, || {
            thread::scope(|s| {
                for pile in piles {
                    s.spawn(move || pile.into_iter().rev().for_each(drop));
                }
            });
        });
        assert_eq!(srcu.stats().registered, 0);
    }
}

#[test]
fn a17_what_was_retired_comes_back_after_a_grace_period() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let srcu = Srcu::new();
    let pointer = srcu.null();
    assert!(pointer.is_null() && pointer.take().is_none());
    pointer.assign(Dropping(&DROPS));
    let guard = srcu.read_lock();
    let seen = pointer.dereference(&guard).unwrap();
    let old = pointer.replace(Dropping(&DROPS)).unwrap();
    let Err(old) = old.try_into_box() else {
        panic!("a reader holds it");
    };
    assert_eq!(seen.0.load(SeqCst), 0);
    drop(guard);
    assert!(!old.cookie().is_done());
    srcu.synchronize();
    let object = old.try_into_box().unwrap();
    assert_eq!(DROPS.load(SeqCst), 0);
    drop(object);
    assert_eq!(DROPS.load(SeqCst), 1);
    let (told, object) = mpsc::channel();
    let old = pointer.replace(Dropping(&DROPS)).unwrap();
    old.call(move |object| told.send(object).unwrap());
    drop(object.recv().unwrap());
    pointer.take().unwrap().free();
    srcu.barrier();
    assert_eq!(DROPS.load(SeqCst), 3);
    std::mem::forget(pointer.replace(Dropping(&DROPS)));
    let old = pointer.into_inner();
    assert_eq!(DROPS.load(SeqCst), 3);
    drop(old);
    assert_eq!(DROPS.load(SeqCst), 4);
}

#[test]
fn a17_compare_exchange_under_one_guard() {
    let srcu = Srcu::new();
    let pointer = srcu.new_ptr(1);
    let guard = srcu.read_lock();
    let current = pointer.dereference(&guard);
    assert!(pointer.compare_exchange(None, Box::new(5), &guard).is_err());
    let old = pointer.compare_exchange(current, Box::new(2), &guard);
    old.unwrap().unwrap().free();
    let (now, back) = pointer
        .compare_exchange(current, Box::new(3), &guard)
        .unwrap_err();
    assert_eq!((now, *back), (Some(&2), 3));
}

#[test]
fn a17_a_barrier_is_no_grace_period_and_covers_every_callback() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let srcu = Srcu::new();
    let guard = srcu.read_lock();
    srcu.barrier(); // nothing queued: it does not wait for the section
    for _ in 0..100 {
        srcu.call(|| {
            RAN.fetch_add(1, SeqCst);
        });
    }
    assert_eq!(RAN.load(SeqCst), 0);
    drop(guard);
    srcu.barrier();
    assert_eq!(RAN.load(SeqCst), 100);
}

#[test]
fn a17_barrier_in_a_callback_panics_and_synchronize_does_not() {
    let srcu = Srcu::new();
    let (told, outcome) = mpsc::channel();
    let inner = srcu.clone();
    srcu.call(move || {
        inner.synchronize();
        told.send(panic_of(|| inner.barrier())).unwrap();
    });
    assert!(
        outcome
            .recv()
            .unwrap()
            .contains("barrier inside a callback")
    );
}

/// Both are still there when a thread's own thread-locals are destroyed.
#[test]
fn a17_sections_in_thread_local_destructors() {
    struct AtExit(Srcu, Option<SrcuOwnedGuard>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            drop(self.0.read_lock());
            drop(self.1.take());
            drop((self.0.read_lock(), self.0.read_lock()));
        }
    }
    thread_local! {
        static AT_EXIT: std::cell::RefCell<Option<AtExit>> = const { std::cell::RefCell::new(None) };
    }
    let srcu = Srcu::new();
    let inside = srcu.clone();
    thread::spawn(move || {
        let guard = inside.down_read();
        AT_EXIT.with_borrow_mut(|at_exit| *at_exit = Some(AtExit(inside, Some(guard))));
    })
    .join()
    .unwrap();
    assert_eq!(srcu.stats().registered, 0);
    srcu.synchronize();
}

/// Threads that open and threads that end, with updaters: whoever reads freed memory is caught by ASan, or
/// by the value.
#[test]
fn a17_guards_travel_through_a_channel_under_updates() {
    let srcu = Srcu::new();
    let pointer = srcu.new_ptr([0_u64; 4]);
    let rounds = 3000;
    let (send, receive) = mpsc::sync_channel::<SrcuGuard<'_>>(8);
    let receive = Mutex::new(receive);
    thread::scope(|s| {
        let (pointer, receive, srcu) = (&pointer, &receive, &srcu);
        s.spawn(move || {
            for _ in 0..rounds * 2 {
                let guard = srcu.read_lock();
                assert!(pointer.dereference(&guard).is_some());
                send.send(guard).unwrap();
            }
        });
        for _ in 0..2 {
            s.spawn(move || {
                loop {
                    let Ok(guard) = receive.lock().unwrap().recv() else {
                        break;
                    };
                    let value = pointer.dereference(&guard).unwrap();
                    thread::yield_now();
                    assert!(value.iter().all(|word| *word == value[0]));
                }
            });
        }
        s.spawn(move || {
            for n in 1..rounds {
                let old = pointer.replace([n; 4]).unwrap();
                let mut old = old.synchronize();
                old.iter_mut()
                    .enumerate()
                    .for_each(|(i, word)| *word = i as u64 + n);
            }
        });
    });
}

//! A7: nothing dangles, whatever the user forgets; what is forgotten holds back grace periods for ever,
//! and is reported.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::Builder;

use crate::child::in_child;
use crate::flavors::{Dropping, Reader, Stage, every_flavor};
use crate::reports;
use urcu::{Mb, Memb, Qsbr, Rcu, Report};

/// The program of the rule: a thread leaks its guard, hands the reference out, and ends.
macro_rules! leaks_and_ends {
    ($name:ident, $flavor:ty, $text:literal) => {
        #[test]
        fn $name() {
            in_child(concat!("a07_leaks::", stringify!($name)), || {
                static P: Rcu<String, $flavor> = Rcu::null();
                static RETURNED: AtomicBool = AtomicBool::new(false);
                static RAN: AtomicBool = AtomicBool::new(false);
                reports::collect();
                P.assign("old".to_owned());
                let thread = Builder::new().name("leaks".to_owned()).spawn(|| {
                    let guard = Box::leak(Box::new(<$flavor>::read_lock()));
                    P.dereference(guard).unwrap()
                });
                let value: &'static String = thread.unwrap().join().unwrap();

                // The report comes at the thread's end, once, with its name.
                let died = |report: &Report| match report {
                    Report::DiedInSection { flavor, culprit } => {
                        *flavor == $text && culprit.name.starts_with(b"leaks\0")
                    }
                    _ => false,
                };
                reports::wait_for(1, died);
                assert_eq!(<$flavor>::stats().abandoned, 1);

                // Later waits never return, callbacks never run, the object stays. Three reports have
                // come for one wait: that is how "never" is told from "not yet".
                P.replace("new".to_owned()).unwrap().free();
                <$flavor>::call(|| RAN.store(true, SeqCst));
                std::thread::spawn(|| {
                    <$flavor>::synchronize();
                    RETURNED.store(true, SeqCst);
                });
                reports::wait_for(
                    3,
                    |r| matches!(r, Report::Stall { dead: true, flavor, .. } if *flavor == $text),
                );
                assert!(!RETURNED.load(SeqCst), "a later synchronize returned");
                assert!(!RAN.load(SeqCst), "a later callback ran");
                assert_eq!(value, "old");
                // Readers go on as before.
                assert_eq!(P.dereference(&<$flavor>::read_lock()).unwrap(), "new");
            });
        }
    };
}
leaks_and_ends!(a07_memb_a_leaked_guard_outlives_its_thread, Memb, "memb");
leaks_and_ends!(a07_mb_a_leaked_guard_outlives_its_thread, Mb, "mb");

/// A leaked registration hands out `&'static` guards: only `Drop` may give its slot back.
fn leaked_registration<R: Reader>() {
    static RETURNED: AtomicBool = AtomicBool::new(false);
    reports::collect();
    let p: &'static Rcu<String, R::F> = Box::leak(Box::new(Rcu::new("old".to_owned())));
    let thread = std::thread::spawn(|| {
        let reader: &'static R = Box::leak(Box::new(R::join()));
        let guard = Box::leak(Box::new(reader.lock()));
        p.dereference(guard).unwrap()
    });
    let value = thread.join().unwrap();
    p.replace("new".to_owned()).unwrap().free();
    std::thread::spawn(|| {
        R::join().synchronize();
        RETURNED.store(true, SeqCst);
    });
    reports::wait_for(3, reports::is_stall);
    assert!(!RETURNED.load(SeqCst), "a later synchronize returned");
    assert_eq!(value, "old");
}
every_flavor!(a07_a_leaked_registration, leaked_registration in child);

/// A thread that is only late is reported, not dead, and its wait ends.
#[test]
fn a07_a_late_reader_is_reported_with_its_place_and_then_forgotten() {
    in_child(
        "a07_leaks::a07_a_late_reader_is_reported_with_its_place_and_then_forgotten",
        || {
            static STAGE: Stage = Stage::new();
            reports::collect();
            let reader = std::thread::spawn(|| {
                let guard = Memb::read_lock();
                STAGE.next();
                reports::wait_for(2, reports::is_stall);
                drop(guard);
            });
            STAGE.wait_for(1);
            Memb::synchronize();
            reader.join().unwrap();
            // A report is told on another thread, and the reader did not wait for the last one.
            let stalls = usize::try_from(Memb::stats().stalls).unwrap();
            reports::wait_for(stalls, reports::is_stall);
            let right = |report: &Report| match report {
                Report::Stall { culprit, dead, .. } => {
                    let here = culprit
                        .place
                        .is_some_and(|place| place.file().ends_with("a07_leaks.rs"));
                    !dead && (here || !cfg!(debug_assertions))
                }
                _ => false,
            };
            assert_eq!(reports::count(right), stalls);
            assert_eq!(Memb::stats().abandoned, 0);
            Memb::synchronize();
            assert_eq!(reports::count(|_| true), stalls);
            assert_eq!(Memb::stats().stalls, stalls as u64);
        },
    );
}

#[test]
fn a07_forgetting_a_retired_leaks_and_nothing_else() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let p: Rcu<Dropping> = Rcu::new(Dropping(&DROPS));
    std::mem::forget(p.take().unwrap());
    Memb::synchronize();
    Memb::barrier();
    assert_eq!(DROPS.load(SeqCst), 0);
}

/// Guards forgotten on a registration that is dropped go with it: no reference of it can live.
fn forgotten_with_the_registration<R: Reader>() {
    let reader = R::join();
    std::mem::forget(reader.lock());
    drop(reader);
    let mut reader = R::join();
    reader.synchronize();
    drop(reader.lock());
    reader.synchronize();
}

#[test]
fn a07_forgotten_guards_end_with_their_registration() {
    forgotten_with_the_registration::<urcu::Thread<Qsbr>>();
    let memb = Memb::register();
    std::mem::forget(memb.read_lock());
    std::mem::forget(memb.read_lock());
    drop(memb);
    Memb::synchronize();
}

/// Guards end in any order, and the section with the last.
#[test]
fn a07_guards_dropped_out_of_order() {
    let first = Mb::read_lock();
    let second = Mb::read_lock();
    let third = Mb::read_lock();
    drop(first);
    assert!(Mb::read_lock_held());
    drop(third);
    assert!(Mb::read_lock_held());
    second.unlock();
    assert!(!Mb::read_lock_held());
    Mb::synchronize();
}

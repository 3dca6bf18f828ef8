//! A17, A6, A7: how srcu domains end, what is told of forgotten guards, and fork.

use std::panic::Location;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use crate::a17_srcu::panic_of;
use crate::child::in_child;
use crate::flavors::{Dropping, Stage, wait_until};
use crate::libc_calls::{exit_at_once, fork, fork_and_wait, wait_for};
use crate::reports;
use urcu::{Culprit, Report, Srcu, SrcuOwnedGuard};

#[track_caller]
fn here() -> u32 {
    Location::caller().line()
}

/// The culprit opened its section at that line of this file.
fn is_of(culprit: &Culprit, line: u32) -> bool {
    culprit
        .place
        .is_some_and(|place| place.file().ends_with("a17_srcu_end.rs") && place.line() == line)
}

/// How many threads of this process have a name that begins so.
fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|comm| comm.starts_with(name))
        .count()
}

/// The pages that this process has mapped.
fn mapped_pages() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().unwrap().parse().unwrap()
}

/// Dropping the last handle does not wait; what was queued runs all the same, and then the worker goes.
#[test]
fn a17_what_was_queued_runs_after_the_last_handle_is_gone() {
    in_child(
        "a17_srcu_end::a17_what_was_queued_runs_after_the_last_handle_is_gone",
        || {
            static DROPS: AtomicUsize = AtomicUsize::new(0);
            let srcu = Srcu::new();
            srcu.call(|| {});
            srcu.barrier();
            assert_eq!(threads_named("urcu-srcu/"), 1);
            drop(srcu);
            for round in 1..=20 {
                let srcu = Srcu::new();
                let pointer = srcu.new_ptr(Dropping(&DROPS));
                pointer.take().unwrap().free();
                for _ in 0..8 {
                    let counted = Dropping(&DROPS);
                    srcu.call(move || drop(counted));
                }
                drop((srcu, pointer));
                wait_until(|| DROPS.load(SeqCst) == round * 9);
            }
            wait_until(|| threads_named("urcu-srcu/") == 0);
        },
    );
}

#[test]
fn a17_a_domain_gives_its_memory_back() {
    in_child("a17_srcu_end::a17_a_domain_gives_its_memory_back", || {
        let use_and_drop = || {
            let srcu = Srcu::new();
            let guards: Vec<_> = (0..1000).map(|_| srcu.read_lock()).collect();
            assert_eq!(guards.len(), 1000);
        };
        use_and_drop();
        let before = mapped_pages();
        (0..200).for_each(|_| use_and_drop());
        let after = mapped_pages();
        // 15 chunks each: leaked, that would be 6000 pages.
        assert!(after < before + 600, "{before} pages, then {after}");
    });
}

#[test]
fn a17_a_domain_dropped_in_a_forgotten_section_is_leaked_and_told() {
    in_child(
        "a17_srcu_end::a17_a_domain_dropped_in_a_forgotten_section_is_leaked_and_told",
        || {
            reports::collect();
            let srcu = Srcu::new();
            let (guard, line) = (srcu.read_lock(), here());
            std::mem::forget(guard);
            let pointer = srcu.new_ptr(1);
            drop(srcu);
            assert_eq!(reports::count(|_| true), 0, "the pointer holds the domain");
            drop(pointer);
            let told = |report: &Report| matches!(report, Report::DroppedInSection { culprit, .. } if is_of(culprit, line));
            reports::wait_for(1, told);
            assert_eq!(reports::count(|_| true), 1);
        },
    );
}

/// The same with something queued: it waits behind the section for ever, and that is told, too.
#[test]
fn a17_callbacks_behind_a_forgotten_section_never_run_and_are_told() {
    in_child(
        "a17_srcu_end::a17_callbacks_behind_a_forgotten_section_never_run_and_are_told",
        || {
            static DROPS: AtomicUsize = AtomicUsize::new(0);
            reports::collect();
            let srcu = Srcu::new();
            let (guard, line) = (srcu.down_read(), here());
            let pointer = srcu.new_ptr(Dropping(&DROPS));
            let guard: &'static SrcuOwnedGuard = Box::leak(Box::new(guard));
            let seen = Box::leak(Box::new(pointer)).dereference(guard).unwrap();
            srcu.null().assign(Dropping(&DROPS));
            thread::spawn(move || {
                let _retired = srcu.new_ptr(1).take().unwrap();
                srcu.synchronize();
                unreachable!("a leaked guard lives for ever");
            });
            reports::wait_for(
                3,
                |report| matches!(report, Report::Stall { culprit, dead: false, .. } if is_of(culprit, line)),
            );
            assert_eq!(
                seen.0.load(SeqCst),
                1,
                "what was never published is freed at once"
            );
        },
    );
}

#[test]
fn a07_a_wait_inside_the_waiters_own_section_is_told_before_it() {
    in_child(
        "a17_srcu_end::a07_a_wait_inside_the_waiters_own_section_is_told_before_it",
        || {
            reports::collect();
            urcu::set_stall_timeout(std::time::Duration::from_secs(3600));
            let srcu = Srcu::new();
            thread::scope(|s| {
                let waits = s.spawn(|| {
                    let (guard, line) = (srcu.read_lock(), here());
                    let own = move |report: &Report| {
                        matches!(report, Report::WaitsForItself { culprit, .. } if is_of(culprit, line))
                    };
                    // The guard is with another thread, which ends the section when it has seen the report.
                    let other = s.spawn(move || {
                        reports::wait_for(1, own);
                        drop(guard);
                    });
                    srcu.synchronize();
                    other.join().unwrap();
                    // Told once for each domain; and not at all of a guard that was made to be handed over.
                    let guard = srcu.down_read();
                    let other = s.spawn(move || guard.up_read());
                    srcu.synchronize();
                    other.join().unwrap();
                });
                waits.join().unwrap();
            });
            assert_eq!(reports::count(|_| true), 1);
        },
    );
}

/// Forked in a section of its own, while another thread is inside, too, and has left a guard where the child
/// finds it.
#[test]
fn a06_fork_with_srcu_sections_open() {
    in_child("a17_srcu_end::a06_fork_with_srcu_sections_open", || {
        static LEFT: Mutex<Option<SrcuOwnedGuard>> = Mutex::new(None);
        static OTHER: Stage = Stage::new();
        static RAN: AtomicUsize = AtomicUsize::new(0);
        let srcu = Srcu::new();
        let pointer = srcu.new_ptr("old".to_owned());
        srcu.call(|| {});
        srcu.barrier(); // the worker runs
        let inside = srcu.clone();
        let other = thread::spawn(move || {
            *LEFT.lock().unwrap() = Some(inside.down_read());
            let _guard = inside.read_lock();
            OTHER.next();
            OTHER.wait_for(2);
        });
        OTHER.wait_for(1);
        let mut guard = Some(srcu.read_lock());
        srcu.call(|| {
            RAN.fetch_add(1, SeqCst);
        });
        let pid = fork();
        if pid == 0 {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                // The forking thread's own section still counts, and only that.
                assert_eq!(srcu.stats().registered, 1);
                let slept = srcu.stats().sleeps;
                let cookie = srcu.start_poll();
                wait_until(|| srcu.stats().sleeps > slept);
                assert!(!cookie.is_done());
                assert_eq!(RAN.load(SeqCst), 0);
                let value = pointer.dereference(guard.as_ref().unwrap());
                assert_eq!(value.unwrap(), "old");
                // Another thread's is over: its guard is refused, and harmless.
                let left = LEFT.lock().unwrap().take().unwrap();
                let told = panic_of(|| {
                    pointer.dereference(&left);
                });
                assert!(told.contains("ended at a fork"), "{told}");
                let fresh: Vec<_> = (0..100).map(|_| srcu.read_lock()).collect();
                drop(left);
                assert!(
                    fresh
                        .iter()
                        .all(|guard| pointer.dereference(guard).is_some())
                );
                assert_eq!(srcu.stats().registered, 101);
                drop(fresh);
                drop(guard.take());
                srcu.barrier();
                assert_eq!(RAN.load(SeqCst), 1);
                assert!(cookie.is_done());
                let old = pointer.replace("new".to_owned()).unwrap();
                assert_eq!(*old.synchronize(), "old");
                // And a child of the child.
                let status = fork_and_wait(|| {
                    let guard = srcu.read_lock();
                    assert_eq!(pointer.dereference(&guard).unwrap(), "new");
                    drop(guard);
                    srcu.call(|| {});
                    srcu.barrier();
                    Srcu::new().synchronize();
                });
                assert_eq!(status, 0);
            }));
            exit_at_once(if outcome.is_ok() { 0 } else { 101 });
        }
        assert_eq!(wait_for(pid), 0);
        // In the parent nothing has changed.
        assert_eq!((srcu.stats().registered, RAN.load(SeqCst)), (3, 0));
        drop(guard);
        OTHER.next();
        other.join().unwrap();
        drop(LEFT.lock().unwrap().take());
        srcu.barrier();
        assert_eq!(RAN.load(SeqCst), 1);
    });
}

/// Forks while other threads make and drop domains, guards and callbacks.
#[test]
fn a06_fork_storm_over_srcu_domains() {
    in_child("a17_srcu_end::a06_fork_storm_over_srcu_domains", || {
        static OVER: Stage = Stage::new();
        let shared = Srcu::new();
        let pointer = shared.new_ptr(0_u64);
        thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    for n in 0.. {
                        if OVER.get() > 0 {
                            break;
                        }
                        pointer.assign(n);
                        let guards = (shared.read_lock(), shared.read_lock());
                        assert!(pointer.dereference(&guards.1).is_some());
                        let own = Srcu::new();
                        drop(own.read_lock());
                        if n % 16 == 0 {
                            own.call(|| {});
                            drop(guards);
                            shared.barrier();
                        }
                    }
                });
            }
            for _ in 0..40 {
                let status = fork_and_wait(|| {
                    shared.synchronize();
                    shared.barrier();
                    assert!(pointer.dereference(&shared.read_lock()).is_some());
                    let own = Srcu::new();
                    own.call(|| {});
                    own.barrier();
                });
                assert_eq!(status, 0);
            }
            OVER.next();
        });
    });
}

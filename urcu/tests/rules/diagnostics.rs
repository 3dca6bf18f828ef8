//! What a daemon's author is told: stalls with all who hold a grace period back, misuse with both places,
//! events for the trace hook.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::child::in_child;
use crate::flavors::{Reader, Stage, every_flavor, wait_until};
use crate::reports;
use urcu::{Activity, Level, Mb, Memb, Qsbr, Report, Trace, set_trace_hook};

/// A thread that sleeps in a section until the sender is dropped. It is inside when this returns.
fn sleeper<R: Reader>(name: &str) -> (JoinHandle<()>, Sender<()>) {
    static INSIDE: Stage = Stage::new();
    let (leave, told): (Sender<()>, Receiver<()>) = channel();
    let before = INSIDE.get();
    let sleep = move || {
        let reader = R::join();
        let guard = reader.lock();
        INSIDE.next();
        let _ = told.recv();
        drop(guard);
    };
    let thread = Builder::new().name(name.to_owned()).spawn(sleep).unwrap();
    INSIDE.wait_for(before + 1);
    (thread, leave)
}

fn stall_names_all<R: Reader>() {
    reports::collect();
    let (first, leave_first) = sleeper::<R>("first");
    let (second, leave_second) = sleeper::<R>("second");
    R::call(|| {});
    let waiter = std::thread::spawn(|| R::join().synchronize());
    // Both threads are in `recv`; the reporter may have looked a moment before they were.
    let right = |report: &Report| match report {
        Report::Stall {
            flavor,
            round,
            callbacks,
            stragglers,
            more: 0,
            ..
        } => {
            let named = |name: &[u8]| {
                stragglers.iter().any(|straggler| {
                    straggler.culprit.name.starts_with(name)
                        && straggler.culprit.place.is_some() == cfg!(debug_assertions)
                        && straggler.depth == 1
                        && straggler.behind > 0
                        && !straggler.dead
                        && straggler.activity == Some(Activity::Sleeps)
                })
            };
            let both = named(b"first\0") && named(b"second\0") && stragglers.len() == 2;
            both && *flavor == R::NAME && *round > Some(0) && *callbacks == 1
        }
        _ => false,
    };
    reports::wait_for(1, right);
    assert!(R::stats().stalls > 0);
    assert!(R::stats().longest_wait >= Duration::from_millis(5));
    drop((leave_first, leave_second));
    for thread in [first, second, waiter] {
        thread.join().unwrap();
    }
}
every_flavor!(a_stall_report_names_all_readers, stall_names_all in child);

static EVENTS: Mutex<Vec<Trace>> = Mutex::new(Vec::new());

fn seen(wanted: impl Fn(&Trace) -> bool) -> bool {
    EVENTS.lock().unwrap().iter().any(wanted)
}

fn events_of_a_grace_period<R: Reader>() {
    set_trace_hook(Some(|event| EVENTS.lock().unwrap().push(*event)));
    let (thread, leave) = sleeper::<R>("slow");
    let waiter = std::thread::spawn(|| {
        R::join().synchronize();
    });
    wait_until(|| R::stats().sleeps > 0);
    drop(leave);
    waiter.join().unwrap();
    thread.join().unwrap();
    R::call(|| {});
    R::join().barrier();
    // Told after the callback counts as run.
    wait_until(|| seen(|event| matches!(event, Trace::BatchEnd { callbacks: 1, .. })));

    let events = EVENTS.lock().unwrap();
    assert!(events.iter().all(|event| event.flavor() == R::NAME));
    let position = |name, round| {
        let is = |event: &Trace| event.name() == name && event.round() == round;
        let at = events.iter().position(is);
        at.unwrap_or_else(|| panic!("no {name} {round:?} in {events:#?}"))
    };
    let waits = |event: &&Trace| event.name() == "reader_waited_for";
    let wait = *events.iter().find(waits).expect("it slept");
    let (began, waited, ended) = (
        position("grace_period_begin", wait.round()),
        position("reader_waited_for", wait.round()),
        position("grace_period_end", wait.round()),
    );
    assert!(began < waited && waited < ended, "{events:?}");
    let Trace::ReaderWaitedFor { culprit, took, .. } = wait else {
        panic!("{wait}");
    };
    let whole = events[ended].took().unwrap();
    assert!(culprit.name.starts_with(b"slow\0"), "{culprit}");
    assert!(took <= whole);
    let worker = position("worker_start", None);
    let batch = position("batch_begin", None);
    assert!(worker < batch && batch < position("batch_end", None));
    assert_eq!(events[worker].level(), Level::Info);
}
every_flavor!(a_traced_grace_period, events_of_a_grace_period in child);

/// A hook that does what it must not: it waits, it causes events, it panics.
#[test]
fn the_trace_hook_is_refused_to_wait_and_its_panic_is_caught() {
    in_child(
        "diagnostics::the_trace_hook_is_refused_to_wait_and_its_panic_is_caught",
        || {
            static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
            std::panic::set_hook(Box::new(|info| TOLD.lock().unwrap().push(info.to_string())));
            set_trace_hook(Some(|event| {
                EVENTS.lock().unwrap().push(*event);
                Mb::call(|| {}); // starts a worker, whose events are its own thread's
                drop(Memb::read_lock());
                let _ = catch_unwind(Memb::synchronize);
                let _ = catch_unwind(Mb::barrier);
                panic!("by intent");
            }));
            Memb::synchronize();
            set_trace_hook(None);
            let count = |text| {
                let told = TOLD.lock().unwrap();
                told.iter().filter(|line| line.contains(text)).count()
            };
            let name = |name| {
                let events = EVENTS.lock().unwrap();
                let is = |event: &&Trace| event.flavor() == "memb" && event.name() == name;
                events.iter().filter(is).count()
            };
            assert_eq!(
                (name("grace_period_begin"), name("grace_period_end")),
                (1, 1)
            );
            assert!(count("synchronize inside the trace hook") >= 2);
            assert!(count("barrier inside the trace hook") >= 2);
            assert!(count("by intent") >= 2);
        },
    );
}

/// What the panic message of `misuse` says, place included.
fn message_of(misuse: impl FnOnce()) -> String {
    static MESSAGE: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|info| *MESSAGE.lock().unwrap() = info.to_string()));
    assert!(catch_unwind(AssertUnwindSafe(misuse)).is_err());
    MESSAGE.lock().unwrap().clone()
}

#[test]
fn a_misuse_names_both_places() {
    in_child("diagnostics::a_misuse_names_both_places", || {
        let names = |message: &str, opened: u32, waited: u32| {
            let place = |line| format!("{}:{line}:", file!());
            let opened = !cfg!(debug_assertions) || message.contains(&place(opened));
            assert!(opened && message.contains(&place(waited)), "{message}");
        };
        let (guard, opened) = (Memb::read_lock(), line!());
        let (message, waited) = (message_of(|| Memb::synchronize()), line!());
        names(&message, opened, waited);
        let (message, waited) = (message_of(|| Memb::get_state().wait()), line!());
        names(&message, opened, waited);
        drop(guard);
        let (guard, opened) = (Mb::read_lock(), line!());
        let (message, waited) = (message_of(|| Mb::barrier()), line!());
        names(&message, opened, waited);
        drop(guard);
        // A registration is one long section, from the last announcement on.
        let (mut thread, opened) = (Qsbr::register(), line!());
        let (message, waited) = (message_of(|| Qsbr::synchronize()), line!());
        names(&message, opened, waited);
        thread.synchronize(); // or there is nothing to announce
        let ((), opened) = (thread.offline(|| ()), line!());
        let (message, waited) = (message_of(|| Qsbr::barrier()), line!());
        names(&message, opened, waited);
        std::thread::spawn(|| Qsbr::register().synchronize());
        wait_until(|| Qsbr::stats().sleeps > 0);
        let ((), opened) = (thread.quiescent_state(), line!());
        let (message, waited) = (message_of(|| Qsbr::synchronize()), line!());
        names(&message, opened, waited);
    });
}

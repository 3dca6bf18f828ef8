//! What urcu tells when something goes wrong, and how to listen: each thing is made to happen once.

#![forbid(unsafe_code)]

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, Builder};
use std::time::Duration;

use examples::cli;
use urcu::{Event, Mb, Memb, Report, Trace};

const ABOUT: &str = "diagnose: what urcu tells when something goes wrong";

static IS_HOPELESS: AtomicBool = AtomicBool::new(false);
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
/// Batches of callbacks that have begun and not ended.
static BATCHES: AtomicUsize = AtomicUsize::new(0);
/// Signalled after each of these has changed.
static TOLD: Event = Event::new();

fn wait_until(is_so: impl Fn() -> bool) {
    loop {
        let seen = TOLD.value();
        if is_so() {
            return;
        }
        TOLD.wait_while(seen, None);
    }
}

fn title(text: &str) {
    println!("\n== {text}");
}

fn on_report(report: &Report) {
    println!("   report: {report}");
    match report {
        Report::Stall { dead: true, .. } => IS_HOPELESS.store(true, Relaxed),
        Report::CallbackPanicked { .. } => HAS_PANICKED.store(true, Relaxed),
        _ => {}
    }
    TOLD.signal();
}

fn on_event(event: &Trace) {
    println!("   {:?}: {event}", event.level());
    match event {
        Trace::BatchBegin { .. } => _ = BATCHES.fetch_add(1, Relaxed),
        Trace::BatchEnd { .. } => _ = BATCHES.fetch_sub(1, Relaxed),
        _ => {}
    }
    TOLD.signal();
}

/// Runs `f` in a thread with this name; returns when that has told that it is where it should be, or has ended.
fn start(name: &str, f: impl FnOnce(Sender<()>) + Send + 'static) -> thread::JoinHandle<()> {
    let (ready, is_ready) = mpsc::channel();
    let thread = Builder::new().name(name.to_owned()).spawn(move || f(ready));
    let thread = thread.expect("the system has a thread left");
    let _ = is_ready.recv();
    thread
}

/// Two readers that stay too long: one sleeps, one computes.
fn stall(time: Duration) {
    urcu::set_stall_timeout(time * 2 / 5);
    let sleepy = start("sleepy", move |ready| {
        let _guard = Memb::read_lock();
        drop(ready);
        thread::sleep(time);
    });
    let busy = start("busy", move |ready| {
        let _outer = Memb::read_lock();
        let _inner = Memb::read_lock();
        drop(ready);
        let begun = std::time::Instant::now();
        while begun.elapsed() < time {
            std::hint::spin_loop();
        }
    });
    Memb::synchronize();
    for thread in [sleepy, busy] {
        thread.join().expect("it only sleeps");
    }
}

fn misuse() {
    let _guard = Memb::read_lock();
    let refused = catch_unwind(AssertUnwindSafe(|| Memb::synchronize()));
    println!("   refused: {}", refused.is_err());
    let refused = catch_unwind(AssertUnwindSafe(|| Memb::get_state().wait()));
    println!("   refused: {}", refused.is_err());
}

fn trace() {
    urcu::set_trace_hook(Some(on_event));
    let reader = start("reader", |ready| {
        let _guard = Memb::read_lock();
        drop(ready);
        thread::sleep(Duration::from_millis(10));
    });
    Memb::synchronize();
    reader.join().expect("it only sleeps");
    for _ in 0..3 {
        Memb::call(|| {});
    }
    Memb::barrier();
    wait_until(|| BATCHES.load(Relaxed) == 0); // the end of its batch is told after the barrier
    urcu::set_trace_hook(None);
}

/// In a domain that nobody else here uses, because it is never the same again.
fn forgotten() {
    let reader = start("forgetful", |_| std::mem::forget(Mb::read_lock()));
    reader.join().expect("it only forgets");
    start("hopeless", |ready| {
        drop(ready);
        Mb::synchronize(); // for ever
    });
    wait_until(|| IS_HOPELESS.load(Relaxed));
    println!(
        "   stats: {} thread ended inside a section",
        Mb::stats().abandoned
    );
}

fn main() {
    let time = cli::seconds(ABOUT, 1);
    urcu::set_report_hook(on_report);
    panic::set_hook(Box::new(|info| println!("   panic: {info}")));

    title("readers that stay too long are named, and what they do");
    stall(time / 2);
    title("waiting inside a section is refused; a debug build tells where the section began, too");
    misuse();
    title("trace events");
    trace();
    title("a callback that panics is caught and told, the next one runs");
    Memb::call(|| panic!("out of cheese"));
    Memb::call(|| println!("   the next one"));
    Memb::barrier();
    wait_until(|| HAS_PANICKED.load(Relaxed)); // the reporter is another thread
    title("statistics");
    println!("   {:#?}", Memb::stats());
    title("a guard that a thread forgot before it ended holds the domain back for ever");
    urcu::set_stall_timeout(time / 5);
    forgotten();
}

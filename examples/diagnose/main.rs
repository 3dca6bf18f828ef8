//! What urcu tells when something goes wrong, and how to listen: each thing is made to happen once.

#![forbid(unsafe_code)]

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Builder};
use std::time::Duration;

use examples::cli;
use urcu::{Mb, Memb, Report, Trace};

const ABOUT: &str = "diagnose: what urcu tells when something goes wrong";

static IS_HOPELESS: AtomicBool = AtomicBool::new(false);

fn title(text: &str) {
    println!("\n== {text}");
}

fn on_report(report: &Report) {
    println!("   report: {report}");
    if let Report::Stall { dead: true, .. } = report {
        IS_HOPELESS.store(true, Relaxed);
    }
}

fn on_event(event: &Trace) {
    println!("   {:?}: {event}", event.level());
}

/// Runs `f` in a thread with this name, and gives it a moment to get somewhere.
fn start(name: &str, f: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    let thread = Builder::new().name(name.to_owned()).spawn(f);
    thread::sleep(Duration::from_millis(5));
    thread.expect("the system has a thread left")
}

/// Two readers that stay too long: one sleeps, one computes.
fn stall(time: Duration) {
    urcu::set_stall_timeout(time * 2 / 5);
    let sleepy = start("sleepy", move || {
        let _guard = Memb::read_lock();
        thread::sleep(time);
    });
    let busy = start("busy", move || {
        let _outer = Memb::read_lock();
        let _inner = Memb::read_lock();
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
    let reader = start("reader", || {
        let _guard = Memb::read_lock();
        thread::sleep(Duration::from_millis(10));
    });
    Memb::synchronize();
    reader.join().expect("it only sleeps");
    for _ in 0..3 {
        Memb::call(|| {});
    }
    Memb::barrier();
    thread::sleep(Duration::from_millis(5)); // the batch's end is told after the barrier's
    urcu::set_trace_hook(None);
}

/// In a domain that nobody else here uses, because it is never the same again.
fn forgotten() {
    let reader = start("forgetful", || std::mem::forget(Mb::read_lock()));
    reader.join().expect("it only forgets");
    start("hopeless", Mb::synchronize);
    while !IS_HOPELESS.load(Relaxed) {
        thread::sleep(Duration::from_millis(1));
    }
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
    thread::sleep(Duration::from_millis(5)); // the reporter is another thread
    title("statistics");
    println!("   {:#?}", Memb::stats());
    title("a guard that a thread forgot before it ended holds the domain back for ever");
    urcu::set_stall_timeout(time / 5);
    forgotten();
}

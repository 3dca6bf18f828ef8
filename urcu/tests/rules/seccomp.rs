//! membarrier(2) refused: before the start readers get fences, after it the process must not go on.

use std::io::Result;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::child::{DONE, outcome_of_child};
use crate::flavors::test_name;
use crate::libc_calls;
use urcu::{Memb, Rcu, Retired};

fn refuse_enosys() -> Result<()> {
    libc_calls::refuse(&[libc::SYS_membarrier], libc::ENOSYS)
}

fn refuse_eperm() -> Result<()> {
    libc_calls::refuse(&[libc::SYS_membarrier], libc::EPERM)
}

/// Readers with fences against grace periods without membarrier: store buffering in the shape of a
/// removal. Retired objects are kept, so that a reader that was missed reads poison.
fn fallback() {
    const LIVE: u64 = 0x11fe;
    static P: Rcu<AtomicU64> = Rcu::null();
    static OVER: AtomicBool = AtomicBool::new(false);
    static MISSED: AtomicU64 = AtomicU64::new(0);
    // No membarrier: the flavor must know it.
    let heavy = Memb::stats().heavy_barriers;
    P.assign(AtomicU64::new(LIVE));
    let mut graveyard = Vec::new();
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while !OVER.load(Relaxed) {
                    let guard = Memb::read_lock();
                    let value = P.dereference(&guard).unwrap();
                    let nested = Memb::read_lock();
                    drop(nested);
                    if value.load(Relaxed) != LIVE {
                        MISSED.fetch_add(1, Relaxed);
                    }
                    drop(guard);
                }
            });
        }
        for _ in 0..5_000 {
            let old = P
                .replace(AtomicU64::new(LIVE))
                .map(Retired::synchronize)
                .unwrap();
            old.store(0xdead, Relaxed);
            graveyard.push(old);
        }
        OVER.store(true, SeqCst);
    });
    assert_eq!(
        MISSED.load(SeqCst),
        0,
        "a reader was missed in the fallback"
    );
    assert!(Memb::stats().heavy_barriers > heavy);
    Memb::barrier();
    assert!(
        !Memb::read_lock_held(),
        "the fallback's idle word looks nested"
    );
    // A thread's end in the fallback is no death in a section.
    assert_eq!(Memb::stats().abandoned, 0);
}

#[test]
fn a10_membarrier_absent_from_the_start_enosys() {
    let name = test_name(
        module_path!(),
        "a10_membarrier_absent_from_the_start_enosys",
    );
    let output = outcome_of_child(&name, Some(refuse_enosys), fallback);
    assert_eq!(output.status.code(), Some(DONE), "{output:?}");
}

#[test]
fn a10_membarrier_absent_from_the_start_eperm() {
    let name = test_name(module_path!(), "a10_membarrier_absent_from_the_start_eperm");
    let output = outcome_of_child(&name, Some(refuse_eperm), fallback);
    assert_eq!(output.status.code(), Some(DONE), "{output:?}");
}

/// A filter may know the registration and not the command: then membarrier is absent, from the start.
#[test]
fn a19_membarrier_registered_and_its_command_refused() {
    let name = test_name(
        module_path!(),
        "a19_membarrier_registered_and_its_command_refused",
    );
    let refuse = || {
        let command = libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED;
        libc_calls::refuse_membarrier_command(command, libc::EPERM)
    };
    let output = outcome_of_child(&name, Some(refuse), fallback);
    assert_eq!(output.status.code(), Some(DONE), "{output:?}");
}

/// The barrier that interrupts nobody may be refused alone: lazy callbacks then have the other one.
#[test]
fn the_global_membarrier_refused_alone() {
    let name = test_name(module_path!(), "the_global_membarrier_refused_alone");
    let refuse = || libc_calls::refuse_membarrier_command(libc::MEMBARRIER_CMD_GLOBAL, libc::EPERM);
    let output = outcome_of_child(&name, Some(refuse), || {
        static RAN: AtomicU64 = AtomicU64::new(0);
        drop(Memb::read_lock()); // or there is nobody to be ordered
        Memb::set_lazy_delay(std::time::Duration::from_millis(1));
        let before = Memb::stats();
        for n in 1..=3 {
            Memb::call_lazy(|| _ = RAN.fetch_add(1, SeqCst));
            crate::flavors::wait_until(|| RAN.load(SeqCst) == n);
        }
        let after = Memb::stats();
        assert_eq!(after.patient_barriers, before.patient_barriers);
        assert_eq!(after.grace_periods, before.grace_periods + 3);
        assert_eq!(after.heavy_barriers, before.heavy_barriers + 3);
    });
    assert_eq!(output.status.code(), Some(DONE), "{output:?}");
}

/// The decision is never taken back: readers run without fences, so a later refusal is fatal, and says so.
#[test]
fn a19_membarrier_refused_later_aborts_with_a_message() {
    let name = test_name(
        module_path!(),
        "a19_membarrier_refused_later_aborts_with_a_message",
    );
    let output = outcome_of_child(&name, None, || {
        let other = std::thread::spawn(|| {
            let thread = Memb::register();
            std::thread::park();
            drop(thread);
        });
        crate::flavors::wait_until(|| Memb::stats().registered > 0);
        Memb::synchronize();
        refuse_enosys().unwrap();
        Memb::synchronize();
        drop(other);
    });
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("membarrier(2) worked when this process started"),
        "{told}"
    );
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
}

//! An idle process makes no system call: its threads are not scheduled.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::child::in_child;
use crate::flavors::{Stage, wait_until};
use urcu::{Mb, Memb, Qsbr, Rcu};

/// Name, state, and how often it was switched out, for each other thread of this process.
fn other_threads() -> BTreeMap<String, (String, u64)> {
    let me = fs::read_link("/proc/thread-self").unwrap();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task").unwrap() {
        let entry = entry.unwrap();
        if me.file_name() == Some(&entry.file_name()) {
            continue;
        }
        // A thread that was joined is listed for a moment longer.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        let switches = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
            .map(|name| field(name).parse::<u64>().unwrap());
        let key = format!("{} {}", field("Name:"), field("Pid:"));
        found.insert(key, (field("State:"), switches.iter().sum()));
    }
    found
}

#[test]
fn an_idle_process_makes_no_system_call() {
    in_child("idle::an_idle_process_makes_no_system_call", || {
        static P: Rcu<u64> = Rcu::null();
        static Q: Rcu<u64, Mb> = Rcu::null();
        static R: Rcu<u64, Qsbr> = Rcu::null();
        static RAN: AtomicU64 = AtomicU64::new(0);
        static USED: Stage = Stage::new();
        // Everything has been used, also by a reader thread that now waits for something else, and by
        // one that has ended.
        let (keep, kept) = std::sync::mpsc::channel::<()>();
        let use_all = || {
            for n in 0..100 {
                P.assign(n);
                Q.assign(n);
                R.assign(n);
                drop((Memb::read_lock(), Mb::read_lock()));
                Memb::call(|| {
                    RAN.fetch_add(1, SeqCst);
                });
            }
            let mut qsbr = Qsbr::register();
            qsbr.synchronize();
            qsbr.barrier();
        };
        std::thread::spawn(use_all).join().unwrap();
        std::thread::spawn(move || {
            use_all();
            USED.next();
            kept.recv().unwrap_err();
        });
        use_all();
        USED.wait_for(1);
        Memb::synchronize();
        Mb::synchronize();
        Memb::barrier();
        Mb::barrier();
        Qsbr::barrier();
        assert_eq!(RAN.load(SeqCst), 300);
        let asleep = || {
            other_threads()
                .values()
                .all(|(state, _)| state.starts_with('S'))
        };
        wait_until(asleep);

        let mut before = other_threads();
        for worker in ["urcu-memb", "urcu-mb", "urcu-qsbr"] {
            assert!(
                before.keys().any(|name| name.starts_with(worker)),
                "{before:?}"
            );
        }
        // The first may still see a thread on its way to sleep. Whatever wakes up now and then is seen each time.
        for attempt in 1.. {
            std::thread::sleep(Duration::from_secs(2)); // the measurement itself
            let after = other_threads();
            if before == after {
                break;
            }
            assert!(attempt < 5, "{before:#?} {after:#?}");
            before = after;
        }
        drop(keep);
    });
}

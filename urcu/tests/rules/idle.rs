//! An idle process makes no system call: its threads are not scheduled.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::child::in_child;
use crate::flavors::wait_until;
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
        let status = fs::read_to_string(entry.path().join("status")).unwrap();
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
            kept.recv().unwrap_err();
        });
        use_all();
        Memb::synchronize();
        Mb::synchronize();
        wait_until(|| RAN.load(SeqCst) == 300);
        Memb::barrier();
        Mb::barrier();
        let asleep = || {
            other_threads()
                .values()
                .all(|(state, _)| state.starts_with('S'))
        };
        wait_until(asleep);

        let before = other_threads();
        for worker in ["urcu-memb", "urcu-mb", "urcu-qsbr"] {
            assert!(
                before.keys().any(|name| name.starts_with(worker)),
                "{before:?}"
            );
        }
        std::thread::sleep(Duration::from_secs(2)); // the measurement itself
        let after = other_threads();
        assert_eq!(before, after);
        drop(keep);
    });
}

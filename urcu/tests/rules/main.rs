//! The rules that a hostile review of the design left (A1 to A21), one test or more for each that applies.
//!
//! Not here: what must not compile (A3, A18: `src/tests/compile_fail/`), A9 (`src/tests/registration.rs`),
//! A10 (`word.rs`), A13 (`src/tests/litmus/store_buffering.rs`; its fence shows on no machine we have, herd is its
//! test), A12 (`tests/cooperation.rs`).

mod child;
mod flavors;
mod libc_calls;
mod reports;

mod a01_writer;
mod a02_qsbr_waits;
mod a04_misuse;
mod a05_offline;
mod a06_fork;
mod a07_leaks;
mod a11_bound;
mod a11_callbacks;
mod a14_wakeup;
mod a15_compare_exchange;
mod a16_cookies;
mod a16_started;
mod a17_srcu;
mod a17_srcu_async;
mod a17_srcu_end;
mod a18_heads;
mod a19_odd_places;
mod a21_smaller;
mod diagnostics;
mod idle;
mod llist_in_handlers;
mod odd_machines;
mod overlap;
mod regressions;
mod seccomp;
mod thread_ends;
mod workers;

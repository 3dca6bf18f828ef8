//! The rules that a hostile review of the design left (A1 to A21), one test or more for each that applies.
//!
//! Not here: what must not compile (A3, A18: `src/tests/compile_fail.rs`), A9 (`src/tests/registration.rs`),
//! A10 (`word.rs`), A13 (`src/tests/store_buffering.rs`; its fence shows on no machine we have, herd is its
//! test). Not built, so nothing to test: A12 (cooperative barrier), A16 (cookies), A17 (srcu).

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
mod a11_callbacks;
mod a14_wakeup;
mod a15_compare_exchange;
mod a19_odd_places;
mod a21_smaller;
mod idle;
mod regressions;
mod seccomp;

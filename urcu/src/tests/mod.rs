//! Tests that need the crate's inside: litmus tests, torture, and the flavors that are broken on purpose.
//!
//! What a user can reach is tested from outside, in the `tests` directory.

#[cfg(doctest)]
mod compile_fail;
#[cfg(test)]
mod fallback;
#[cfg(test)]
#[expect(dead_code, reason = "shared with tests/rules, which uses all of it")]
#[path = "../../tests/rules/libc_calls.rs"]
pub(crate) mod libc_calls;
#[cfg(test)]
mod litmus;
#[cfg(test)]
mod payload;
#[cfg(test)]
mod progress;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod shared_writes;
#[cfg(test)]
mod subject;
#[cfg(test)]
mod torture;

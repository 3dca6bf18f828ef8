//! Tests that need the crate's inside: litmus tests, torture, and the flavors that are broken on purpose.
//!
//! What a user can reach is tested from outside, in the `tests` directory.

#[cfg(doctest)]
mod compile_fail;
#[cfg(test)]
mod fallback;
#[cfg(test)]
mod litmus;
#[cfg(test)]
mod litmus_controls;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod store_buffering;
#[cfg(test)]
mod subject;
#[cfg(test)]
mod torture;

//! What must not compile, each case next to its twin that does.
//!
//! Stable rustdoc does not check the error code, so the twin is what shows that a case fails for its reason:
//! the two differ in one line.

mod flavors;
mod lifetimes;
mod owners;
mod payload;
mod srcu;

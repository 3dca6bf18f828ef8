//! Longer texts, as modules: rustdoc shows them and checks their links.

#[doc = include_str!("../docs/memory-model.md")]
pub mod memory_model {}

/// The package's README, so that its example runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub mod readme {}

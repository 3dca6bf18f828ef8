//! Longer texts, as modules: rustdoc shows them and checks their links.

#[doc = include_str!("../docs/memory-model.md")]
pub mod memory_model {}

//! Guides, as text.

/// For who builds a daemon on kernfs.
#[cfg(feature = "fuse")]
#[doc = include_str!("../docs/embedding.md")]
pub mod embedding {}

//! Guides, as text.

/// For who builds a daemon on kernfs.
#[cfg(feature = "fuse")]
#[doc = include_str!("../docs/embedding.md")]
pub mod embedding {}

/// The package's README, so that its example runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub mod readme {}

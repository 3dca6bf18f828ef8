//! The library behind the examples: what they would have to repeat, and what the tests want to reach.
//!
//! Under `cargo test` this is also the workspace's README, so that its examples run.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![deny(unsafe_code)]

mod callbacks;
pub mod cgroupfs;
pub mod cli;
pub mod echod;
pub mod kernfsd;
pub mod latencies;
mod mount;

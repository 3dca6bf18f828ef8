//! kernfsd as its user sees it: a process, a mount, a shell.

#![forbid(unsafe_code)]

mod cli;
mod daemon;
mod mounted;

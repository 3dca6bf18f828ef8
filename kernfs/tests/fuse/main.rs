//! The mount as its users see it: through std, ordinary tools and poll(2).
//!
//! Every test runs in a mount namespace of its own thread, so nothing is seen outside and nothing is left
//! when it dies. Without root and /dev/fuse one SKIP line is printed and the tests pass;
//! `KERNFS_FUSE_TESTS=require` makes that a failure.

mod support;

mod attributes;
mod basic;
mod bound;
mod daemon;
mod descriptors;
mod floors;
mod inotify;
mod interrupt;
mod io;
mod limit;
mod listing;
mod mountpoint;
mod mounts;
mod moved;
mod panics;
mod permissions;
mod poll;
mod refused;
mod removal;
mod speechless;
mod stress;
mod stuck;
mod trapped;
mod unprivileged;
mod users;
mod views;
mod xattr;

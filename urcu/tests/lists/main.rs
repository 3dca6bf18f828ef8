//! Lists, queues and ids, from outside: against models, under threads, and what is dropped when.

mod counted;
mod idr;
mod intrusive;
mod lfs;
mod linear;
mod list;
mod wfcq;

//! What the protocols stand on that are modelled (`active`, `bell`, `life`, `pending`, `state`): their files take it
//! from here, so that loom can put its own in its place (`benches/loom`).

pub(crate) use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
pub(crate) use urcu::futex::{Wake, Word};
pub(crate) use urcu::llist::{Linked, Llist, Pushed};
pub(crate) use urcu::{Event, Guard, Memb, RcuArc};

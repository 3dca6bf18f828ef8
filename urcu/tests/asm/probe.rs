//! What `tests/asm.rs` has compiled, and reads the assembly of.

use urcu::{Mb, Memb, Qsbr, Rcu, Thread};

/// A section of `memb` around one dereference.
#[unsafe(no_mangle)]
pub fn probe_memb(shared: &Rcu<u64>) -> u64 {
    let guard = Memb::read_lock();
    shared.dereference(&guard).map_or(0, |value| *value)
}

/// A section of `mb` around one dereference.
#[unsafe(no_mangle)]
pub fn probe_mb(shared: &Rcu<u64, Mb>) -> u64 {
    let guard = Mb::read_lock();
    shared.dereference(&guard).map_or(0, |value| *value)
}

/// A section of `qsbr` around one dereference.
#[unsafe(no_mangle)]
pub fn probe_qsbr(thread: &Thread<Qsbr>, shared: &Rcu<u64, Qsbr>) -> u64 {
    let guard = thread.read_lock();
    shared.dereference(&guard).map_or(0, |value| *value)
}

//! Auto traits and sizes of the public types (rule A3): what the compiler promises for us, in one table.

use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::sync::Arc;

use urcu::llist::{Linked, Llist, TakeAll};
use urcu::{
    Culprit, Event, Flavor, Guard, Mb, Memb, Qsbr, Rcu, RcuLocked, Report, Retired, Stats, Thread,
    Writer, futex,
};

// A section and a registration belong to their thread.
assert_not_impl_any!(Guard<'static, Memb>: Send, Sync, Clone);
assert_not_impl_any!(Guard<'static, Mb>: Send, Sync, Clone);
assert_not_impl_any!(Guard<'static, Qsbr>: Send, Sync, Clone);
assert_not_impl_any!(Thread<Memb>: Send, Sync, Clone);
assert_not_impl_any!(Thread<Mb>: Send, Sync, Clone);
assert_not_impl_any!(Thread<Qsbr>: Send, Sync, Clone);

// Pointers are shared, what they retire travels.
assert_impl_all!(Rcu<Vec<u8>, Memb>: Send, Sync);
assert_impl_all!(Rcu<Vec<u8>, Mb>: Send, Sync);
assert_impl_all!(Rcu<Vec<u8>, Qsbr>: Send, Sync);
assert_impl_all!(RcuLocked<Vec<u8>, Memb>: Send, Sync);
assert_impl_all!(RcuLocked<Vec<u8>, Qsbr>: Send, Sync);
assert_impl_all!(Retired<Vec<u8>, Memb>: Send, Sync);
assert_impl_all!(Retired<Vec<u8>, Qsbr>: Send, Sync);
assert_not_impl_any!(Rcu<u8>: Clone);
assert_not_impl_any!(Retired<u8>: Clone);

// The right to change: not to be doubled.
assert_impl_all!(Writer: Send, Sync);
assert_not_impl_any!(Writer: Clone, Default);

assert_impl_all!(Event: Send, Sync);
assert_impl_all!(futex::Word: Send, Sync);
assert_impl_all!(Llist<u8>: Send, Sync);
assert_impl_all!(Linked<u8>: Send, Sync);
assert_not_impl_any!(Linked<Cell<u8>>: Sync);
assert_not_impl_any!(Llist<Cell<u8>>: Send, Sync);
assert_impl_all!(TakeAll<u8>: Send);
assert_not_impl_any!(TakeAll<Cell<u8>>: Send);
assert_impl_all!(Stats: Send, Sync, Copy);
assert_impl_all!(Report: Send, Sync, Copy);
assert_impl_all!(Culprit: Send, Sync, Copy);

// One pointer each; null is the niche.
assert_eq_size!(Rcu<[u64; 8]>, *const u64);
assert_eq_size!(Retired<[u64; 8]>, *const u64);
assert_eq_size!(Option<Retired<[u64; 8]>>, *const u64);
assert_eq_size!(Guard<'static>, *const u64);
assert_eq_size!(Option<Guard<'static>>, *const u64);
assert_eq_size!(Thread<Qsbr>, *const u64);
assert_eq_size!(RcuLocked<[u64; 8]>, [*const u64; 2]);
assert_eq_size!(Event, u64);
assert_eq_size!(futex::Word, u32);

fn is_flavor<F: Flavor>() {}

#[test]
fn the_three_flavors_are_flavors() {
    is_flavor::<Memb>();
    is_flavor::<Mb>();
    is_flavor::<Qsbr>();
}

/// A pointer needs a `Drop` only for what it holds; an `Arc` payload is cloned out of a section.
#[test]
fn an_arc_payload_outlives_the_section() {
    let p: Rcu<Arc<u32>> = Rcu::new(Arc::new(7));
    let kept = Arc::clone(p.dereference(&Memb::read_lock()).unwrap());
    p.take().unwrap().free();
    Memb::barrier();
    assert_eq!((*kept, Arc::strong_count(&kept)), (7, 1));
}

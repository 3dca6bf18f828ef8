//! Auto traits and sizes of the public types (rule A3): what the compiler promises for us, in one table.

use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::sync::Arc;

use urcu::lfs::{self, Stack};
use urcu::list::{
    Cursor, Detached, FrontOnly, HList, IntrusiveList, Iter, List, ListHead, Removed,
};
use urcu::llist::{Linked, Llist, TakeAll};
use urcu::wfcq::{self, Consumer, Node, Queue};
use urcu::{
    Borrowed, Culprit, Event, Flavor, GracePeriod, Guard, HashMapIter, Id, Idr, Limits, Mb, Memb,
    OrdMap, Qsbr, Range, Rcu, RcuArc, RcuHashMap, RcuHead, RcuLocked, Report, Reservation, Retired,
    RetiredArc, RetiredEntry, Srcu, SrcuCookie, SrcuGracePeriod, SrcuGuard, SrcuOwnedGuard,
    SrcuPtr, SrcuRetired, Started, Stats, Straggler, Thread, Trace, Writer, futex,
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

assert_impl_all!(RcuArc<Vec<u8>, Memb>: Send, Sync);
assert_impl_all!(RetiredArc<Vec<u8>, Qsbr>: Send, Sync);
assert_not_impl_any!(RcuArc<u8>: Clone);
assert_not_impl_any!(RetiredArc<u8>: Clone);
assert_impl_all!(Borrowed<'static, Vec<u8>>: Send, Sync, Copy);
assert_not_impl_any!(Borrowed<'static, Cell<u8>>: Send, Sync);
assert_not_impl_any!(Borrowed<'static, std::sync::MutexGuard<'static, u8>>: Send, Sync);

// An ordered map is shared; a scan belongs to its section.
assert_impl_all!(OrdMap<u64, Vec<u8>, Memb>: Send, Sync);
assert_impl_all!(OrdMap<u64, Vec<u8>, Qsbr>: Send, Sync);
assert_not_impl_any!(OrdMap<u64, u8>: Clone);
assert_not_impl_any!(Range<'static, u64, u8>: Send, Sync);

assert_impl_all!(Started<Vec<u8>, Memb>: Send, Sync);
assert_impl_all!(Started<Vec<u8>, Qsbr>: Send, Sync);
assert_not_impl_any!(Started<u8>: Clone);
assert_impl_all!(RcuHead: Send, Sync);
assert_not_impl_any!(RcuHead: Clone, Copy);
assert_impl_all!(Limits: Send, Sync, Copy);

// A section of srcu belongs to its guard, and that to whoever has it.
assert_impl_all!(Srcu: Send, Sync, Clone, Unpin);
assert_impl_all!(SrcuGuard<'static>: Send, Sync, Unpin);
assert_impl_all!(SrcuOwnedGuard: Send, Sync, Unpin);
assert_impl_all!(SrcuPtr<Vec<u8>>: Send, Sync);
assert_impl_all!(SrcuRetired<Vec<u8>>: Send, Sync);
assert_impl_all!(SrcuCookie: Send, Sync, Clone);
assert_impl_all!(SrcuGracePeriod: Send, Sync, Unpin);
assert_impl_all!(GracePeriod: Send, Sync, Unpin);
assert_not_impl_any!(SrcuGuard<'static>: Clone);
assert_not_impl_any!(SrcuOwnedGuard: Clone);
assert_not_impl_any!(SrcuPtr<u8>: Clone);
assert_not_impl_any!(SrcuRetired<u8>: Clone);

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

// Queues hand values over, so `Send` is enough; there is one consumer.
assert_impl_all!(Queue<Cell<u8>>: Send, Sync);
assert_impl_all!(Consumer<'static, Cell<u8>>: Send);
assert_impl_all!(wfcq::TakeAll<Cell<u8>>: Send);
assert_impl_all!(Node<Cell<u8>>: Send);
assert_not_impl_any!(Queue<std::rc::Rc<u8>>: Send, Sync);
assert_not_impl_any!(Node<std::rc::Rc<u8>>: Send);
assert_not_impl_any!(Consumer<'static, u8>: Clone);
assert_impl_all!(Stack<Cell<u8>>: Send, Sync);
assert_impl_all!(lfs::TakeAll<Cell<u8>>: Send);

// Lists and ids are shared with readers.
assert_impl_all!(List<Vec<u8>>: Send, Sync);
assert_impl_all!(HList<Vec<u8>, Qsbr>: Send, Sync);
assert_impl_all!(Removed<Vec<u8>>: Send, Sync);
assert_impl_all!(Detached<Vec<u8>, Memb, FrontOnly>: Send, Sync);
assert_impl_all!(Iter<'static, u8>: Send, Sync, Clone);
assert_not_impl_any!(Iter<'static, Cell<u8>>: Send, Sync);
assert_not_impl_any!(Cursor<'static, u8, Memb, FrontOnly>: Clone);
assert_not_impl_any!(Removed<u8>: Clone);
assert_impl_all!(IntrusiveList: Send, Sync);
assert_impl_all!(ListHead: Send, Sync);
assert_not_impl_any!(ListHead: Clone);
assert_impl_all!(Idr<Vec<u8>>: Send, Sync);
assert_impl_all!(Reservation<'static, Vec<u8>>: Send, Sync);
assert_not_impl_any!(Reservation<'static, u8>: Clone);
assert_impl_all!(Id: Send, Sync, Copy);
assert_impl_all!(Stats: Send, Sync, Copy);
assert_impl_all!(Report: Send, Sync, Clone);
assert_impl_all!(Straggler: Send, Sync, Copy);
assert_impl_all!(Trace: Send, Sync, Copy);
assert_impl_all!(Culprit: Send, Sync, Copy);

// A map is shared, and what it gave up travels; an iteration belongs to its section.
assert_impl_all!(RcuHashMap<u64, Vec<u8>>: Send, Sync, Default, std::fmt::Debug);
assert_impl_all!(RcuHashMap<u64, Vec<u8>, std::hash::RandomState, Qsbr>: Send, Sync, Default, std::fmt::Debug);
assert_impl_all!(RetiredEntry<u64, Vec<u8>>: Send, Sync);
assert_impl_all!(HashMapIter<'static, u64, u64>: Clone);
assert_not_impl_any!(HashMapIter<'static, u64, u64>: Send, Sync);
assert_not_impl_any!(RetiredEntry<u64, u64>: Clone);
assert_eq_size!(RetiredEntry<u64, u64>, *const u64);
assert_eq_size!(RcuHashMap<u64, u64>, [u64; 6]);

// One pointer each; null is the niche.
assert_eq_size!(Rcu<[u64; 8]>, *const u64);
assert_eq_size!(Retired<[u64; 8]>, *const u64);
assert_eq_size!(Option<Retired<[u64; 8]>>, *const u64);
assert_eq_size!(RcuArc<[u64; 8]>, *const u64);
assert_eq_size!(Option<RetiredArc<[u64; 8]>>, *const u64);
assert_eq_size!(Option<Borrowed<'static, [u64; 8]>>, *const u64);
assert_eq_size!(OrdMap<[u64; 8], [u64; 8]>, *const u64);
assert_eq_size!(Started<[u64; 8]>, [*const u64; 2]);
assert_eq_size!(RcuHead, [*const u64; 3]);
assert_eq_size!(Guard<'static>, *const u64);
assert_eq_size!(Option<Guard<'static>>, *const u64);
assert_eq_size!(Thread<Qsbr>, *const u64);
assert_eq_size!(RcuLocked<[u64; 8]>, [*const u64; 2]);
assert_eq_size!(Srcu, *const u64);
assert_eq_size!(Option<SrcuGuard<'static>>, [*const u64; 2]);
assert_eq_size!(SrcuPtr<[u64; 8]>, [*const u64; 2]);
assert_eq_size!(Option<SrcuRetired<[u64; 8]>>, [*const u64; 3]);
assert_eq_size!(List<u8>, [u64; 4]);
assert_eq_size!(HList<u8>, [u64; 3]);
assert_eq_size!(ListHead, [u64; 3]);
assert_eq_size!(Option<Removed<[u64; 8]>>, *const u64);
assert_eq_size!(Option<Id>, u64);
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

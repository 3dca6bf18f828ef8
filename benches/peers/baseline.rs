//! Two floors. The plain load: Acquire and a dereference, protected by nothing; it is what the loop itself
//! costs. And the same with one uncontended locked instruction: readers with a fence pay that at least,
//! locks pay it twice. Their updates free nothing.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::peer::{Peer, Reader, Settled};
use crate::peers::Visitor;

/// The name in the table.
pub const NAME: &str = "plain load";

pub(super) fn visit(visitor: &mut impl Visitor) {
    visitor.visit(PlainLoad::new());
    visitor.visit(LockedLoad(PlainLoad::new()));
}

static VALUES: [u64; 2] = [1, 2];

/// A pointer to one of two statics.
struct PlainLoad(AtomicPtr<u64>);

impl PlainLoad {
    fn new() -> Self {
        Self(AtomicPtr::new((&raw const VALUES[0]).cast_mut()))
    }
}

impl Peer for PlainLoad {
    type Reader<'a> = &'a Self;

    fn name(&self) -> &'static str {
        NAME
    }

    fn reader(&self) -> &Self {
        self
    }

    fn settle(&self) -> Settled {
        Settled::Unknown
    }
}

impl Reader for &PlainLoad {
    #[inline]
    fn read(&mut self) -> u64 {
        let at = self.0.load(Ordering::Acquire);
        // SAFETY: only addresses of the statics above are ever stored.
        unsafe { *at }
    }

    #[inline]
    fn update(&mut self, new: u64) {
        let next = &raw const VALUES[usize::from(new % 2 == 1)];
        self.0.store(next.cast_mut(), Ordering::Release);
    }
}

/// The plain load behind an atomic increment of a counter that no other thread touches.
struct LockedLoad(PlainLoad);

struct LockedLoader<'a> {
    plain: &'a PlainLoad,
    counter: Box<Counter>,
}

/// A counter on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Counter(AtomicU64);

impl Peer for LockedLoad {
    type Reader<'a> = LockedLoader<'a>;

    fn name(&self) -> &'static str {
        "plain load, locked add"
    }

    fn reader(&self) -> LockedLoader<'_> {
        LockedLoader {
            plain: &self.0,
            counter: Box::default(),
        }
    }

    fn settle(&self) -> Settled {
        Settled::Unknown
    }
}

impl Reader for LockedLoader<'_> {
    #[inline]
    fn read(&mut self) -> u64 {
        self.counter.0.fetch_add(1, Ordering::SeqCst);
        self.plain.read()
    }

    #[inline]
    fn update(&mut self, new: u64) {
        self.counter.0.fetch_add(1, Ordering::SeqCst);
        self.plain.update(new);
    }
}

//! Three floors. The plain load: Acquire and a dereference, protected by nothing; it is what the loop itself
//! costs. The same with one uncontended locked instruction: readers with a fence pay that at least, locks
//! pay it twice. Their updates free nothing; so the third updates a pointer that nobody reads, and frees the
//! old object at once: it is what malloc and free cost.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::peer::{Object, Peer, Reader, Settled};
use crate::peers::Visitor;

/// The name in the table.
pub const NAME: &str = "plain load";
/// The name of the floor with a locked instruction.
pub const LOCKED: &str = "plain load, locked add";
/// The name of the floor of updates.
pub const MALLOC: &str = "malloc + free, unprotected";
/// The name of the heap that only grows.
pub const KEPT: &str = "malloc, nothing freed";

pub(super) fn visit(visitor: &mut impl Visitor) {
    visitor.visit(PlainLoad::new());
    visitor.visit(LockedLoad(PlainLoad::new()));
    visitor.visit(FreedAtOnce(PlainLoad::new()));
}

static VALUES: [Object; 2] = [Object::new(1), Object::new(2)];

/// A pointer to one of two statics.
struct PlainLoad(AtomicPtr<Object>);

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

    fn another(&self) -> Self {
        Self::new()
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
        unsafe { &*at }.value()
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        inside();
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
        LOCKED
    }

    fn another(&self) -> Self {
        Self(self.0.another())
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

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        self.counter.0.fetch_add(1, Ordering::SeqCst);
        inside();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        self.counter.0.fetch_add(1, Ordering::SeqCst);
        self.plain.update(new);
    }
}

/// Readers read the plain load; the updater's objects are its own.
struct FreedAtOnce(PlainLoad);

struct Freeing<'a> {
    plain: &'a PlainLoad,
    /// Swapped as a shared pointer would be.
    own: AtomicPtr<Object>,
}

fn boxed(value: u64) -> *mut Object {
    Box::into_raw(Box::new(Object::new(value)))
}

impl Peer for FreedAtOnce {
    type Reader<'a> = Freeing<'a>;

    fn name(&self) -> &'static str {
        MALLOC
    }

    fn another(&self) -> Self {
        Self(self.0.another())
    }

    fn reader(&self) -> Freeing<'_> {
        Freeing {
            plain: &self.0,
            own: AtomicPtr::new(boxed(1)),
        }
    }

    fn settle(&self) -> Settled {
        Settled::AllFreed
    }
}

impl Reader for Freeing<'_> {
    #[inline]
    fn read(&mut self) -> u64 {
        self.plain.read()
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        inside();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        let old = self.own.swap(boxed(new), Ordering::AcqRel);
        // SAFETY: `own` holds what `boxed` made, and the swap gave it to us alone.
        drop(unsafe { Box::from_raw(old) });
    }
}

impl Drop for Freeing<'_> {
    fn drop(&mut self) {
        // SAFETY: as above; `&mut self`.
        drop(unsafe { Box::from_raw(*self.own.get_mut()) });
    }
}

/// Updates allocate, and free nothing. Compared by its longest update, not by speed.
pub(super) struct NeverFreed(PlainLoad);

pub(super) struct Keeping<'a>(&'a PlainLoad);

impl NeverFreed {
    pub(super) fn new() -> Self {
        Self(PlainLoad::new())
    }
}

impl Peer for NeverFreed {
    type Reader<'a> = Keeping<'a>;

    fn name(&self) -> &'static str {
        KEPT
    }

    fn another(&self) -> Self {
        Self::new()
    }

    fn reader(&self) -> Keeping<'_> {
        Keeping(&self.0)
    }

    fn settle(&self) -> Settled {
        Settled::Unknown
    }
}

impl Reader for Keeping<'_> {
    #[inline]
    fn read(&mut self) -> u64 {
        self.0.read()
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        inside();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        core::hint::black_box(boxed(new));
    }
}

//! Our own flavors: `Memb` and `Mb` by automatic sections and by a registered handle, `Qsbr` by a handle.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use urcu::{Flavor, Guard, Mb, Memb, Qsbr, Rcu, Thread};

use crate::grace::{self, GracePeriods};
use crate::peer::{Object, Peer, Reader, Settled};
use crate::peers::Visitor;

/// The name of the default flavor in the table.
pub const MEMB: &str = "urcu Memb";
/// The name of the fence flavor in the table.
pub const MB: &str = "urcu Mb";
/// The name of the quiescent-state flavor in the table.
pub const QSBR: &str = "urcu Qsbr";

pub(super) fn visit(visitor: &mut impl Visitor) {
    visitor.visit(Sections::<Memb>::new());
    visitor.visit(Handles::<Memb>::new("urcu Memb, by handle"));
    visitor.visit(Handles::<Qsbr>::new(QSBR));
    visitor.visit(Announcing(Handles::new("urcu Qsbr, announcing each")));
    visitor.visit(Sections::<Mb>::new());
}

pub(super) fn grace_periods() -> Vec<Box<dyn GracePeriods>> {
    vec![
        Box::new(Sections::<Memb>::new()),
        Box::new(Sections::<Mb>::new()),
        Box::new(Handles::<Qsbr>::new(QSBR)),
    ]
}

/// The pointers here are never null, and the compiler is told so much that it moves that case away.
#[inline]
fn value_of(at: Option<&Object>) -> u64 {
    #[cold]
    fn null() -> u64 {
        0
    }
    at.map_or_else(null, Object::value)
}

/// The associated functions of a flavor, for generic code.
trait Verbs: Flavor + Send + Sync + Sized {
    fn register() -> Thread<Self>;
    fn synchronize();
    fn call(callback: impl FnOnce() + Send + 'static);
    fn barrier();
    fn start_poll() -> impl Fn() -> bool + 'static;
    /// A quiescent state, where the flavor has such.
    fn pause(_thread: &mut Thread<Self>) {}
}

macro_rules! verbs {
    ($flavor:ty, $($extra:item)*) => {
        impl Verbs for $flavor {
            fn register() -> Thread<Self> {
                <$flavor>::register()
            }
            fn synchronize() {
                <$flavor>::synchronize();
            }
            fn call(callback: impl FnOnce() + Send + 'static) {
                <$flavor>::call(callback);
            }
            fn barrier() {
                <$flavor>::barrier();
            }
            fn start_poll() -> impl Fn() -> bool + 'static {
                let cookie = <$flavor>::start_poll();
                move || cookie.is_done()
            }
            $($extra)*
        }
    };
}

verbs!(Memb,);
verbs!(Mb,);
verbs!(
    Qsbr,
    #[inline]
    fn pause(thread: &mut Thread<Self>) {
        thread.quiescent_state();
    }
);

/// The flavors whose threads register by themselves.
trait Automatic: Verbs {
    const NAME: &'static str;
    fn read_lock() -> Guard<'static, Self>;
    fn park(blocking: &mut dyn FnMut());
}

impl Automatic for Memb {
    const NAME: &'static str = MEMB;
    #[inline]
    fn read_lock() -> Guard<'static, Self> {
        Memb::read_lock()
    }
    fn park(blocking: &mut dyn FnMut()) {
        Self::park(blocking);
    }
}

impl Automatic for Mb {
    const NAME: &'static str = MB;
    #[inline]
    fn read_lock() -> Guard<'static, Self> {
        Mb::read_lock()
    }
    fn park(blocking: &mut dyn FnMut()) {
        Self::park(blocking);
    }
}

/// `F::read_lock()`, the thread's slot found through its thread-local pointer.
struct Sections<F: Flavor>(Rcu<Object, F>);

impl<F: Automatic> Sections<F> {
    fn new() -> Self {
        Self(Rcu::new(Object::new(1)))
    }
}

impl<F: Automatic> Peer for Sections<F> {
    type Reader<'a> = &'a Self;

    fn name(&self) -> &'static str {
        F::NAME
    }

    fn another(&self) -> Self {
        Self::new()
    }

    fn reader(&self) -> &Self {
        self
    }

    fn settle(&self) -> Settled {
        F::barrier();
        Settled::AllFreed
    }
}

impl<F: Automatic> Reader for &Sections<F> {
    #[inline]
    fn read(&mut self) -> u64 {
        let guard = F::read_lock();
        value_of(self.0.dereference(&guard))
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        let _guard = F::read_lock();
        inside();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        self.0.assign(Object::new(new));
    }
}

impl<F: Automatic> GracePeriods for Sections<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn synchronize(&self) {
        F::synchronize();
    }

    fn call(&self, callback: Box<dyn FnOnce() + Send>) {
        F::call(callback);
    }

    fn flood(&self, until: Instant, ran: &'static AtomicU64) -> u64 {
        grace::flood(until, || {
            F::call(|| _ = ran.fetch_add(1, Ordering::Relaxed));
        })
    }

    fn barrier(&self) {
        F::barrier();
    }

    fn read_until(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            core::hint::black_box(self.reader().read());
        }
    }

    fn sections(&self, inside: &mut dyn FnMut(), more: &mut dyn FnMut() -> bool) {
        grace::sections(self.reader(), inside, more);
    }

    fn start_poll(&self) -> Option<Box<dyn Fn() -> bool>> {
        Some(Box::new(F::start_poll()))
    }

    fn idle(&self, block: &mut dyn FnMut()) {
        self.reader().read(); // registers
        block();
    }

    fn parked(&self, block: &mut dyn FnMut()) -> bool {
        self.reader().read(); // registers
        F::park(block);
        true
    }
}

/// `thread.read_lock()` on a registration that the thread holds.
struct Handles<F: Flavor> {
    name: &'static str,
    value: Rcu<Object, F>,
}

impl<F: Verbs> Handles<F> {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            value: Rcu::new(Object::new(1)),
        }
    }
}

struct Handle<'a, F: Verbs> {
    thread: Thread<F>,
    value: &'a Rcu<Object, F>,
}

impl<F: Verbs> Peer for Handles<F> {
    type Reader<'a> = Handle<'a, F>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn another(&self) -> Self {
        Self::new(self.name)
    }

    fn reader(&self) -> Handle<'_, F> {
        Handle {
            thread: F::register(),
            value: &self.value,
        }
    }

    fn settle(&self) -> Settled {
        F::barrier();
        Settled::AllFreed
    }
}

impl<F: Verbs> Reader for Handle<'_, F> {
    #[inline]
    fn read(&mut self) -> u64 {
        let guard = self.thread.read_lock();
        value_of(self.value.dereference(&guard))
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        let _guard = self.thread.read_lock();
        inside();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        self.value.assign(Object::new(new));
    }

    #[inline]
    fn pause(&mut self) {
        F::pause(&mut self.thread);
    }
}

impl GracePeriods for Handles<Qsbr> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn synchronize(&self) {
        Qsbr::synchronize();
    }

    fn call(&self, callback: Box<dyn FnOnce() + Send>) {
        Qsbr::call(callback);
    }

    fn flood(&self, until: Instant, ran: &'static AtomicU64) -> u64 {
        grace::flood(until, || {
            Qsbr::call(|| _ = ran.fetch_add(1, Ordering::Relaxed));
        })
    }

    fn barrier(&self) {
        Qsbr::barrier();
    }

    fn read_until(&self, stop: &AtomicBool) {
        let mut reader = self.reader();
        while !stop.load(Ordering::Relaxed) {
            core::hint::black_box(reader.read());
            reader.pause();
        }
    }

    fn sections(&self, inside: &mut dyn FnMut(), more: &mut dyn FnMut() -> bool) {
        grace::sections(self.reader(), inside, more);
    }

    fn start_poll(&self) -> Option<Box<dyn Fn() -> bool>> {
        Some(Box::new(<Qsbr as Verbs>::start_poll()))
    }

    fn idle(&self, block: &mut dyn FnMut()) {
        Qsbr::register().offline(block);
    }
}

/// `Qsbr` with a quiescent state after every read instead of after every block of reads.
struct Announcing(Handles<Qsbr>);

struct AnnouncingHandle<'a>(Handle<'a, Qsbr>);

impl Peer for Announcing {
    type Reader<'a> = AnnouncingHandle<'a>;

    fn name(&self) -> &'static str {
        self.0.name
    }

    fn another(&self) -> Self {
        Self(self.0.another())
    }

    fn reader(&self) -> AnnouncingHandle<'_> {
        AnnouncingHandle(self.0.reader())
    }

    fn settle(&self) -> Settled {
        self.0.settle()
    }
}

impl Reader for AnnouncingHandle<'_> {
    #[inline]
    fn read(&mut self) -> u64 {
        let value = self.0.read();
        self.0.pause();
        value
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        self.0.hold(inside);
        self.0.pause();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        self.0.update(new);
        self.0.pause();
    }
}

//! What a flavor must do to be tortured.

use crate::pool::Element;
use crate::state::Torture;
use crate::stutter::Member;

/// How an updater gets past a grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `synchronize_rcu`.
    Synchronize,
    /// `call_rcu`: the callback queues itself again until the element is through the pipe.
    Call,
    /// The same with lazy callbacks.
    CallLazy,
    /// The flavor's own pointer: `replace`, and `free` what was there.
    Free,
    /// The same, with a callback that gets the object.
    CallOwned,
    /// The same, waiting for the object.
    SynchronizeOwned,
}

/// One thread's access to a flavor.
pub(crate) trait Ops: Sized + 'static {
    /// The name on the command line.
    const NAME: &'static str;
    /// What updaters may do. `Synchronize` is always among them.
    const WAYS: &'static [Way];
    /// Whether `call` leaves the callback to another thread, as an engine does.
    const HAS_WORKER: bool;
    /// Whether a signal handler may open a section.
    const IN_HANDLERS: bool;
    /// Whether the flavor goes on in a forked child.
    const FORKS: bool;
    /// Whether overlapping sections of a thread are one, from the first to the last.
    const NESTS: bool = true;
    /// Whether sections may sleep as a matter of course.
    const SLEEPS: bool = false;
    /// Whether a section may end on another thread: [`parcel`](Self::parcel) gives one.
    const SENDS: bool = false;
    /// Whether a thread may end and leak its registration, outside all sections, and grace periods go on.
    const LEAKS: bool = false;
    /// Whether what waits can be limited.
    const LIMITS: bool = false;

    /// An open read section. They nest, and end in any order.
    type Section<'a>;
    /// A moment whose grace period can be asked about; the controls have none.
    type Cookie: Send;

    fn join() -> Self;
    fn lock(&self) -> Self::Section<'_>;
    /// Outside all sections: what a thread of a quiescent-state flavor does in its loop.
    fn quiescent(&mut self) {}
    /// Runs something that blocks, outside all sections.
    fn away<T>(&mut self, blocking: impl FnOnce() -> T) -> T {
        blocking()
    }
    fn synchronize(&mut self);
    fn call(callback: impl FnOnce() + Send + 'static);
    /// The same for a callback that has time.
    fn call_lazy(callback: impl FnOnce() + Send + 'static) {
        Self::call(callback);
    }
    /// The same unless too much waits: then the callback comes back.
    fn try_call<C: FnOnce() + Send + 'static>(callback: C) -> Result<(), C> {
        Self::call(callback);
        Ok(())
    }
    /// Limits what waits, in bytes; `None`: not at all.
    fn limit(_bytes: Option<u64>) {}
    /// A section that ends where it is dropped.
    fn parcel() -> Option<Box<dyn Send>> {
        None
    }
    /// Waits for all callbacks.
    fn barrier(&mut self);
    /// A cookie of now; whether somebody sees to its grace period is open.
    fn get_state() -> Option<Self::Cookie>;
    /// A cookie of now, whose grace period will come.
    fn start_poll() -> Option<Self::Cookie>;
    fn is_done(cookie: &Self::Cookie) -> bool;
    fn wait_for(&mut self, cookie: Self::Cookie);
    /// How many grace periods there were so far.
    fn grace_periods() -> u64;
    /// Opens and closes a section in a signal handler.
    fn read_in_handler(read: impl FnOnce());

    /// The element behind the flavor's own pointer.
    fn owned(section: &Self::Section<'_>) -> Option<&'static Element>;
    /// Publishes an element there, and retires the old one in one of the three ways.
    fn replace_owned(&mut self, new: Owned, way: Way);
}

/// Stops this thread if a pause is wanted, after `finish` has brought home what is its own.
pub(crate) fn pause_if_asked<O: Ops>(
    member: &Member<'_>,
    ops: &mut O,
    finish: impl FnOnce(&mut O),
) {
    if member.is_asked() {
        finish(ops);
        ops.away(|| member.park());
    }
}

/// What the flavor's own pointer owns. Its drop says that the first grace period is over.
#[derive(Debug)]
pub(crate) struct Owned {
    torture: &'static Torture,
    element: &'static Element,
    over: fn(&'static Torture, &'static Element),
}

impl Owned {
    pub(crate) fn new<O: Ops>(torture: &'static Torture, element: &'static Element) -> Self {
        Self {
            torture,
            element,
            over: |torture, element| {
                torture.removed(element);
                if !torture.advance(element) {
                    retire_by_callback::<O>(torture, element);
                }
            },
        }
    }

    pub(crate) fn element(&self) -> &'static Element {
        self.element
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        (self.over)(self.torture, self.element);
    }
}

/// The same with lazy callbacks, which share a grace period with whatever comes next.
pub(crate) fn retire_lazily<O: Ops>(torture: &'static Torture, element: &'static Element) {
    O::call_lazy(move || {
        if !torture.advance(element) {
            retire_lazily::<O>(torture, element);
        }
    });
}

/// One callback for each stage of the pipe that is left.
pub(crate) fn retire_by_callback<O: Ops>(torture: &'static Torture, element: &'static Element) {
    O::call(move || {
        if !torture.advance(element) {
            retire_by_callback::<O>(torture, element);
        }
    });
}

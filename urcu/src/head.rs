//! [`RcuHead`], the head of a callback that waits for its grace period, and [`Callback`], the right to run it.
//!
//! One layout for both kinds: a head inside an object of the user's ([`Domain::call_head`], no allocation),
//! and a head in front of a closure in a box of ours (`call`, `free`).
//!
//! [`Domain::call_head`]: crate::Domain::call_head

use crate::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::cell::Cell;
use core::fmt;
use core::ptr::{self, NonNull};

/// What a callback runs.
pub(crate) type Run = unsafe fn(NonNull<RcuHead>);

/// The place in an object by which [`Domain::call_head`](crate::Domain::call_head) queues it. 24 bytes.
///
/// For objects that may not pay an allocation to be retired; everybody else has [`Retired`](crate::Retired)
/// and `call`. A head knows whether it is queued, in every build: to queue it twice is refused, counted and
/// told, and corrupts nothing.
///
/// # Invariants
/// 1. Fields other than `queued` are accessed only by who changed `queued` from `false` to `true`, or made
///    the head, and by those to whom it passed the right on, through a queue.
/// 2. While the head is queued, `run` may be called once with it.
#[repr(C)]
#[doc(alias = "rcu_head")]
pub struct RcuHead {
    next: AtomicPtr<RcuHead>,
    run: Cell<Run>,
    queued: AtomicBool,
    bytes: Cell<Bytes>,
}

#[cfg(not(loom))]
static_assertions::const_assert_eq!(size_of::<RcuHead>(), 24);

// SAFETY: by invariant 1 the cells are accessed by one thread at a time, and the right to them passes from
// thread to thread through Release and Acquire (the flag, the queue).
unsafe impl Sync for RcuHead {}
// SAFETY: a head is plain data; `run` is a function, good on every thread.
unsafe impl Send for RcuHead {}

impl RcuHead {
    /// A head that is not queued. Counts its own size against the limits of the domain.
    pub const fn new() -> Self {
        Self::of_object(size_of::<Self>())
    }

    /// The same for an object of so many bytes, which count against the limits of the domain while it is
    /// queued.
    pub const fn of_object(bytes: usize) -> Self {
        Self::with(never, Bytes::claimed(bytes))
    }

    const fn with(run: Run, bytes: Bytes) -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            run: Cell::new(run),
            queued: AtomicBool::new(false),
            bytes: Cell::new(bytes),
        }
    }

    /// Whether it is queued: from `call_head` until just before its function is called.
    #[doc(alias = "rcu_head_after_call_rcu")]
    pub fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Acquire)
    }

    /// The link, for the queue.
    pub(crate) fn next(&self) -> &AtomicPtr<RcuHead> {
        &self.next
    }

    /// What the callback weighs.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.get()
    }
}

/// # Safety
/// 1. None: does nothing.
unsafe fn never(_: NonNull<RcuHead>) {}

impl Default for RcuHead {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RcuHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RcuHead")
            .field("queued", &self.is_queued())
            .finish_non_exhaustive()
    }
}

/// How many bytes a callback holds, in units of 16, and whether that is known or only said.
///
/// What is known to be memory (a box of ours and the object in it) goes into [`Weight`], whose sums cannot
/// overflow before the machine's memory does. What a caller says, and single objects of 64 KiB and more,
/// are summed apart: a wrong claim must not reach the numbers that `barrier` waits by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(u32);

/// What an allocation of so many bytes takes, where an allocator puts a word before it and aligns it to 16, as
/// that of glibc does. Others take about as much.
pub(crate) const fn footprint(bytes: usize) -> usize {
    const LEAST: usize = 2 * UNIT;
    let units = bytes.saturating_add(size_of::<usize>()).div_ceil(UNIT);
    match units.saturating_mul(UNIT) {
        _ if bytes == 0 => 0,
        whole if whole < LEAST => LEAST,
        whole => whole,
    }
}

/// Bit 31: said, not known.
const CLAIMED: u32 = 1 << 31;
const UNIT: usize = 16;
/// Known bytes from here on are summed apart, too.
const MANY: usize = 1 << 16;

impl Bytes {
    /// Bytes of memory that exists.
    pub(crate) const fn owned(bytes: usize) -> Self {
        if bytes < MANY {
            Self(Self::units(bytes))
        } else {
            Self::claimed(bytes)
        }
    }

    /// Bytes that somebody says. At most 32 GiB are counted for one callback.
    pub(crate) const fn claimed(bytes: usize) -> Self {
        Self(Self::units(bytes) | CLAIMED)
    }

    const fn units(bytes: usize) -> u32 {
        let units = bytes.div_ceil(UNIT);
        if units < CLAIMED as usize {
            units as u32 // CAST: just compared
        } else {
            CLAIMED - 1
        }
    }

    /// What goes into the sums that count callbacks.
    pub(crate) fn weight(self) -> Weight {
        let known = if self.0 & CLAIMED == 0 { self.0 } else { 0 };
        Weight((u64::from(known) << Weight::COUNT_BITS) + 1)
    }

    /// What is summed apart.
    pub(crate) fn apart(self) -> u64 {
        let said = if self.0 & CLAIMED == 0 {
            0
        } else {
            self.0 & !CLAIMED
        };
        u64::from(said) * UNIT as u64
    }
}

/// A number of callbacks and their bytes in one word, so that both cost one atomic addition.
///
/// A sum of weights is an integer sum: `units << 28` and a count below. It rises with every callback, and
/// the difference of two sums is the weight of what came between, exact in the units; the count is exact
/// up to 2^28 - 1, beyond it carries into the units (16 bytes for 268 million callbacks, nobody minds).
/// Sums may wrap: differences stay right while less than 512 GiB are pending in one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weight(u64);

impl Weight {
    const COUNT_BITS: u32 = 28;

    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(crate) const fn raw(self) -> u64 {
        self.0
    }

    /// How many callbacks.
    pub(crate) const fn count(self) -> u64 {
        self.0 & ((1 << Self::COUNT_BITS) - 1)
    }

    /// How many bytes they hold.
    pub(crate) const fn bytes(self) -> u64 {
        (self.0 >> Self::COUNT_BITS) * UNIT as u64
    }

    /// From the sum of what was queued, and that of what is done, to what is pending. The second is read
    /// first or under no lock at all, so it may be ahead: then nothing is pending.
    pub(crate) fn pending(queued: u64, done: u64) -> Self {
        let difference = queued.wrapping_sub(done);
        Self(if difference >> 63 == 0 { difference } else { 0 })
    }

    /// Whether everything counted in the sum `queued` is done.
    pub(crate) fn covers(done: u64, queued: u64) -> bool {
        Self::pending(queued, done).0 == 0
    }
}

#[repr(C)]
struct Record<C> {
    head: RcuHead,
    callback: C,
}

/// A callback that is on no queue: run it or push it.
///
/// # Invariants
/// 1. It owns the head's right to be run (invariant 2 of [`RcuHead`]), and the head stays where it is
///    until that has happened.
#[derive(Debug)]
#[must_use]
pub(crate) struct Callback(NonNull<RcuHead>);

// SAFETY: the record was made from a `Send` closure (`Callback::new`), or its maker promised that it may run
// on any thread (clause 2 of `Callback::of_head`), and a `Callback` owns it.
unsafe impl Send for Callback {}

impl Callback {
    /// What a closure that owns an object of so many bytes will weigh, in bytes.
    pub(crate) fn size_of<C>(object: usize) -> u64 {
        footprint(object).saturating_add(footprint(size_of::<Record<C>>())) as u64 // CAST: 64 bits
    }

    /// Boxes a closure with its head. The only allocation of call_rcu.
    pub(crate) fn new<C: FnOnce() + Send + 'static>(callback: C) -> Self {
        Self::holding(callback, 0)
    }

    /// The same for a closure that owns a box with an object of so many bytes.
    pub(crate) fn owning<C: FnOnce() + Send + 'static>(callback: C, object: usize) -> Self {
        Self::holding(callback, footprint(object))
    }

    /// The same for a closure that owns memory which takes so many bytes in all.
    pub(crate) fn holding<C: FnOnce() + Send + 'static>(callback: C, bytes: usize) -> Self {
        let own = footprint(size_of::<Record<C>>());
        Self::boxed(callback, Bytes::owned(bytes.saturating_add(own)))
    }

    /// The same for a closure of which the caller says that it holds so many bytes.
    pub(crate) fn claiming<C: FnOnce() + Send + 'static>(callback: C, said: usize) -> Self {
        Self::boxed(
            callback,
            Bytes::claimed(said.saturating_add(footprint(size_of::<Record<C>>()))),
        )
    }

    fn boxed<C: FnOnce() + Send + 'static>(callback: C, bytes: Bytes) -> Self {
        /// # Safety
        /// 1. `head` begins a `Record<C>` that came from `Box::into_raw`, and nobody uses it again.
        unsafe fn run<C: FnOnce()>(head: NonNull<RcuHead>) {
            // SAFETY: clause 1; `head` is the first field of a repr(C) record.
            let record = unsafe { Box::from_raw(head.cast::<Record<C>>().as_ptr()) };
            (record.callback)();
        }
        let record = Box::into_raw(Box::new(Record {
            head: RcuHead::with(run::<C>, bytes),
            callback,
        }));
        // INVARIANT 1: `run::<C>` frees a `Record<C>`, and this is one, which nobody else knows.
        // SAFETY: Box::into_raw never gives null.
        Self(unsafe { NonNull::new_unchecked(record.cast()) })
    }

    /// Claims a head in an object of somebody's; `None` if it is queued already.
    ///
    /// # Safety
    /// 1. `head` is valid and stays where it is until `run` is called with it.
    /// 2. Once, later and on any thread, `run` may be called with it.
    pub(crate) unsafe fn of_head(head: NonNull<RcuHead>, run: Run) -> Option<Self> {
        // SAFETY: clause 1.
        let at = unsafe { head.as_ref() };
        // AcqRel: pairs with `run`, which clears the flag: whoever queues the head again comes after.
        if at.queued.swap(true, Ordering::AcqRel) {
            return None;
        }
        // INVARIANT: 1 and 2 of RcuHead: we changed the flag; clause 2.
        at.run.set(run);
        Some(Self(head))
    }

    /// What it weighs.
    pub(crate) fn bytes(&self) -> Bytes {
        // SAFETY: invariant 1.
        unsafe { self.0.as_ref() }.bytes()
    }

    /// Gives the head up to a queue, from which [`Callback::from_queue`] takes it back.
    pub(crate) fn into_queue(self) -> NonNull<RcuHead> {
        self.0
    }

    /// # Safety
    /// 1. `head` came from [`Callback::into_queue`] and was taken off its queue by the caller alone.
    pub(crate) unsafe fn from_queue(head: NonNull<RcuHead>) -> Self {
        Self(head)
    }

    /// Runs it, which frees it or gives it back to whoever embedded the head.
    pub(crate) fn run(self) {
        // SAFETY: invariant 1.
        let head = unsafe { self.0.as_ref() };
        let run = head.run.get();
        // Release pairs with the claim: from here on the head may be queued again, also by `run`.
        head.queued.store(false, Ordering::Release);
        // SAFETY: invariant 2 of RcuHead; `self` is used up, so this is the only call.
        unsafe { run(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_counts_and_bytes() {
        let mut sum = 0_u64.wrapping_sub(1000); // it may wrap
        let done = sum;
        let mut bytes = 0;
        for n in 0..5000_usize {
            let one = Bytes::owned(n * 7);
            bytes += (n * 7).div_ceil(16) as u64 * 16;
            sum = sum.wrapping_add(one.weight().raw());
            assert_eq!(one.apart(), 0);
        }
        let pending = Weight::pending(sum, done);
        assert_eq!((pending.count(), pending.bytes()), (5000, bytes));
        assert!(!Weight::covers(done, sum) && Weight::covers(sum, sum));
        assert!(Weight::covers(sum.wrapping_add(1), sum));
        assert_eq!(Weight::pending(done, sum).count(), 0);
    }

    // Bounds were kept in bytes that the program asked for, and the process had half as many again.
    #[test]
    fn what_the_allocator_adds_was_not_counted() {
        let taken = [0, 1, 24, 25, 64, 72, 73, 4096].map(footprint);
        assert_eq!(taken, [0, 32, 32, 48, 80, 80, 96, 4112]);
        let object = Callback::size_of::<fn()>(64);
        assert_eq!(object, Callback::size_of::<fn()>(0) + 80);
        let callback = Callback::owning(|| {}, 64);
        let counted = callback.bytes().weight().bytes();
        assert_eq!(counted, 80 + footprint(size_of::<RcuHead>()) as u64);
        callback.run();
        assert!(footprint(usize::MAX) > usize::MAX / 2);
    }

    // What a caller says reaches no number that `barrier` waits by.
    #[test]
    fn claims_and_giants_are_summed_apart() {
        for (bytes, apart) in [
            (Bytes::claimed(100), 112),
            (Bytes::owned(1 << 20), 1 << 20),
            (Bytes::claimed(usize::MAX), (1 << 35) - 16),
        ] {
            assert_eq!(bytes.apart(), apart);
            assert_eq!((bytes.weight().count(), bytes.weight().bytes()), (1, 0));
        }
    }

    #[test]
    fn a_head_is_claimed_once_and_again_after_it_ran() {
        static RAN: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
        unsafe fn count(_: NonNull<RcuHead>) {
            RAN.fetch_add(1, Ordering::Relaxed);
        }
        let head = RcuHead::new();
        let at = NonNull::from(&head);
        for round in 1..=3 {
            // SAFETY: clauses 1, 2: `head` outlives the loop, `count` touches nothing of it.
            let first = unsafe { Callback::of_head(at, count) }.unwrap();
            // SAFETY: as above.
            assert!(unsafe { Callback::of_head(at, count) }.is_none());
            assert!(head.is_queued());
            first.run();
            assert!(!head.is_queued());
            assert_eq!(RAN.load(Ordering::Relaxed), round);
        }
    }
}

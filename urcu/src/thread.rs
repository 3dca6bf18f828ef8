//! Registration as a value: a [`Thread`] owns a reader slot.
//!
//! Nothing that waits exists without `&mut Thread` (rule A2), so the borrow checker proves that no
//! reference lives across a quiescent state. Each registration owns a slot of its own, which its `Drop`
//! alone gives back: a leaked `Thread` hands out `&'static` guards.

use crate::atomic::Ordering;
use core::fmt;
use core::marker::PhantomData;

use crate::arena::Slot;
use crate::flavor::{Flavor, Memb, Qsbr, engine};
use crate::gp::{Barriers as _, Caller};
use crate::guard::{Guard, note_place};
use crate::register;
use crate::word::Word;

/// The calling thread's registration with the domain `F`, made by `F::register()`.
///
/// For [`Qsbr`] this is the only way in: the thread is a reader from registration to drop, except in
/// [`offline`](Thread::offline), and must announce a quiescent state now and then, or grace periods stall.
/// For [`Memb`] and [`Mb`](crate::Mb) it is the checked form of what `read_lock` does by itself:
/// `synchronize` borrows the handle mutably, so it cannot be called inside a section of the same handle.
///
/// ```
/// use urcu::{Qsbr, Rcu};
///
/// static CONFIG: Rcu<u32, Qsbr> = Rcu::null();
///
/// let mut thread = Qsbr::register();
/// CONFIG.assign(7);
/// for _ in 0..3 {
///     let guard = thread.read_lock(); // no instruction
///     assert_eq!(CONFIG.dereference(&guard), Some(&7));
///     drop(guard);
///     thread.quiescent_state();
/// }
/// ```
///
/// `!Send`: a registration stays on its thread.
#[must_use = "dropping the registration ends it"]
pub struct Thread<F: Flavor = Memb> {
    slot: &'static Slot,
    not_send: PhantomData<*mut ()>,
    flavor: PhantomData<F>,
}

impl<F: Flavor> Thread<F> {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let slot = register::claim::<F::Barriers>();
        register::handle_made::<F::Barriers>(slot);
        if !F::Barriers::COUNTS_SECTIONS {
            note_place(slot);
            F::Barriers::publish(&slot.word, engine::<F>().sequence().raw());
        }
        Self {
            slot,
            not_send: PhantomData,
            flavor: PhantomData,
        }
    }

    /// Enters a read section of this registration. Wait-free; nothing at all for [`Qsbr`].
    #[doc(alias = "rcu_read_lock")]
    #[inline]
    #[track_caller]
    pub fn read_lock(&self) -> Guard<'_, F> {
        Guard::enter(self.slot)
    }

    /// Waits until every section that began before the call has ended. The same as `F::synchronize()`,
    /// with the proof that this registration has no section open; a [`Qsbr`] thread is offline meanwhile.
    ///
    /// # Panics
    /// If this thread is inside a section of the same domain through *another* registration, or forgot a
    /// guard of this one.
    #[doc(alias = "synchronize_rcu")]
    #[track_caller]
    pub fn synchronize(&mut self) {
        self.wait("synchronize", |caller| {
            engine::<F>().synchronize::<F::Barriers>(caller);
        });
    }

    /// Runs a wait of this domain, offline where an online registration would hold it back.
    #[track_caller]
    pub(crate) fn wait<R>(&mut self, what: &str, wait: impl FnOnce(Caller<'_>) -> R) -> R {
        let caller = Caller::here::<F::Barriers>(Some(self.slot));
        if F::Barriers::COUNTS_SECTIONS {
            register::assert_may_wait::<F::Barriers>(what, None);
            return wait(caller);
        }
        register::assert_may_wait::<F::Barriers>(what, Some(self.slot));
        let _online = go_offline::<F>(self.slot);
        wait(caller)
    }
}

impl Thread<Qsbr> {
    /// Announces that this thread holds no reference into the domain; `&mut` is the proof. Two loads while
    /// no grace period has begun since the last call, else one exchange (once for each grace period).
    ///
    /// ```compile_fail,E0502
    /// # use urcu::{Qsbr, Rcu};
    /// # static P: Rcu<u32, Qsbr> = Rcu::null();
    /// let mut thread = Qsbr::register();
    /// let guard = thread.read_lock();
    /// let value = P.dereference(&guard);
    /// thread.quiescent_state(); // the guard still borrows the registration
    /// println!("{value:?}");
    /// ```
    #[doc(alias = "rcu_quiescent_state")]
    #[inline]
    #[track_caller]
    pub fn quiescent_state(&mut self) {
        let now = engine::<Qsbr>().sequence_to_announce();
        if self.slot.word().raw() != now.raw() {
            announce(self.slot, now.raw());
        }
    }

    /// Runs `blocking` while the thread is no reader: grace periods do not wait for it. For calls that
    /// block: `poll`, a lock, a join.
    ///
    /// The thread is online again when this returns, also by unwinding (rule A5). Costs one exchange and
    /// one fence.
    #[doc(alias = "rcu_thread_offline")]
    #[doc(alias = "rcu_thread_online")]
    #[track_caller]
    pub fn offline<R>(&mut self, blocking: impl FnOnce() -> R) -> R {
        let _online = go_offline::<Qsbr>(self.slot);
        note_place(self.slot); // of the section that begins at the end
        blocking()
    }
}

/// Not a method: the handle's address would escape into it, and the caller's loop would have to read the
/// handle again after every announcement.
#[cold]
#[track_caller]
fn announce(slot: &Slot, word: u64) {
    note_place(slot);
    // Release pairs with the scan: reads before it happen before what follows the grace period. An
    // exchange, so that the test of the request comes after the store (rule A14): no lost wake-up.
    let left = Word::from_raw(slot.word.swap(word, Ordering::SeqCst));
    engine::<Qsbr>().answer_after_exchange(left);
}

/// Goes online when dropped; private, so that nobody can forget it.
struct Online<F: Flavor>(&'static Slot, PhantomData<F>);

fn go_offline<F: Flavor>(slot: &'static Slot) -> Online<F> {
    let left = Word::from_raw(slot.word.swap(Word::IDLE.raw(), Ordering::SeqCst));
    engine::<F>().answer_after_exchange(left);
    Online(slot, PhantomData)
}

impl<F: Flavor> Drop for Online<F> {
    fn drop(&mut self) {
        F::Barriers::publish(&self.0.word, engine::<F>().sequence().raw());
    }
}

impl<F: Flavor> Drop for Thread<F> {
    fn drop(&mut self) {
        // Guards borrow the registration: whatever was forgotten, no reference of it lives now. So a
        // depth that a forgotten guard left is dropped with the slot.
        core::mem::forget(go_offline::<F>(self.slot));
        self.slot.deeper.store(0, Ordering::Relaxed);
        engine::<F>().arena.release(self.slot, F::Barriers::idle());
        register::handle_dropped();
    }
}

impl<F: Flavor> fmt::Debug for Thread<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("flavor", &F::Barriers::NAME)
            .field("depth", &self.slot.word().depth())
            .finish()
    }
}

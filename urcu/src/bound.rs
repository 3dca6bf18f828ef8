//! The bound on what waits for grace periods (rule A11): who sets it, who is refused, who waits.
//!
//! `call`, `free` and dropping a `Retired` never wait and cannot be refused, whoever holds whatever lock. So
//! the bound is kept by those who can: `try_call` and `try_free` give the value back, `throttle` waits.

use crate::flavor::{Domain, Flavor, Mb, Memb, Qsbr};
use crate::gp::Global;
use crate::head::Callback;
use crate::home::Process;
use crate::register;
use crate::thread::Thread;
use crate::worker;

pub use crate::backlog::Limits;

impl<B: Global> Domain<B> {
    /// Sets how many bytes may wait for a grace period in this domain; see [`Limits`]. While there are
    /// limits, each `call` adds the bytes of all shards up (two loads for each queue of each processor).
    pub fn set_limits(limits: Limits) {
        let backlog = &B::engine().backlog;
        backlog.set_limits(limits);
        backlog.relief().signal(); // who waits for the old ones looks again
    }

    /// As [`call`](Self::call), unless that would exceed the hard limit.
    ///
    /// # Errors
    /// Gives the callback back. It was not queued; [`throttle`](Self::throttle), outside of all sections,
    /// waits until there is room. A callback larger than the limit is always refused. Callers that ask at the
    /// same time may exceed the limit by one callback each.
    ///
    /// ```
    /// use urcu::Memb;
    /// let mut free = || println!("freed");
    /// while let Err(refused) = Memb::try_call(free) {
    ///     free = refused;
    ///     Memb::throttle();
    /// }
    /// # Memb::barrier();
    /// ```
    pub fn try_call<C: FnOnce() + Send + 'static>(callback: C) -> Result<(), C> {
        if !B::engine().backlog.admits(Callback::size_of::<C>(0)) {
            return Err(callback);
        }
        let home = &Process::<B>::HOME;
        worker::post(home, Callback::new(callback));
        Ok(())
    }

    /// Waits until what is queued is below the soft limit and half the hard one, and makes the workers hurry
    /// meanwhile. Returns at once where it is, and where there is no limit. Where no worker can be started it
    /// runs callbacks itself.
    ///
    /// # Panics
    /// Inside a section of any flavor, in a callback, in the report hook, on a thread that owns an online
    /// `Qsbr` registration (use [`Thread::throttle`]).
    #[track_caller]
    pub fn throttle() {
        assert_may_throttle::<B>();
        worker::throttle(&Process::<B>::HOME);
    }
}

impl<F: Flavor> Thread<F> {
    /// As [`Domain::throttle`], with the proof that this registration has no section open.
    ///
    /// # Panics
    /// As [`Domain::throttle`], for sections of other registrations.
    #[track_caller]
    pub fn throttle(&mut self) {
        self.wait("throttle", |_| {
            assert_may_throttle::<F::Barriers>();
            worker::throttle(&Process::<F::Barriers>::HOME);
        });
    }
}

/// Throttling may run callbacks, and they may wait for any domain: so inside no section of any.
#[track_caller]
fn assert_may_throttle<B: Global>() {
    register::assert_may_wait::<B>("throttle", None);
    assert!(
        !worker::is_in_callback(),
        "urcu {}: throttle inside a callback",
        B::NAME
    );
    assert!(
        !(Memb::read_lock_held() || Mb::read_lock_held() || Qsbr::read_lock_held()),
        "urcu {}: throttle inside a read section, or an online registration, of another domain",
        B::NAME
    );
}

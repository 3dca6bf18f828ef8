//! Litmus tests of call_rcu and rcu_barrier: what a callback and a barrier order (2.6, 2.14, 2.15).
//!
//! The rings have callbacks too, as grace periods; here the callback itself makes the accesses. No process
//! returns before its callbacks have run: the round would go on without them.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use super::world::Verdict::{Never, Sometimes};
use super::world::{Test, X, Y, Z, section};
use crate::tests::subject::{Reader, every_flavor};

/// All of them are slow: a round trip to the worker each.
pub(super) fn tests<R: Reader>() -> Vec<Test<R>> {
    vec![
        through_a_callback(),
        grace_period_of_a_callback(),
        barrier_is_mb(),
        of_another_thread(),
        order_of_callbacks(),
    ]
}

/// Message passing through a callback: what its `call` came after is visible before what it does.
fn through_a_callback<R: Reader>() -> Test<R> {
    Test::<R>::new("C-message-by-callback", Never)
        .slow(40)
        .process(|r, w, _| {
            w.write(X, 1);
            let world = Arc::clone(w);
            R::call(move || world.write(Y, 1));
            r.barrier();
        })
        .process(|_, w, d| {
            w.keep(1, 0, w.read_patiently(Y, d));
            w.keep(1, 1, w.read(X));
        })
        .exists(|w| w.kept(1, 0) == 1 && w.kept(1, 1) == 0)
}

/// The same with a section that reads the other way round: the callback comes a grace period later.
pub(super) fn grace_period_of_a_callback<R: Reader>() -> Test<R> {
    Test::<R>::new("C-section-against-callback", Never)
        .slow(40)
        .process(|r, w, d| {
            section(r, |_| {
                w.keep(0, 0, w.read(X));
                d.dawdle();
                w.keep(0, 1, w.read_patiently(Y, d));
            });
        })
        .process(|r, w, d| {
            d.dawdle();
            w.write(X, 1);
            let world = Arc::clone(w);
            R::call(move || world.write(Y, 1));
            r.barrier();
        })
        .exists(|w| w.kept(0, 0) == 0 && w.kept(0, 1) == 1)
}

/// Everything the callbacks did is visible after the barrier, to its caller and to whom that tells.
pub(super) fn barrier_is_mb<R: Reader>() -> Test<R> {
    Test::<R>::new("C-barrier-is-mb", Never)
        .slow(40)
        .process(|r, w, _| {
            let world = Arc::clone(w);
            R::call(move || world.write(X, 1));
            r.barrier();
            w.keep(0, 0, w.read(X));
            w.write(Y, 1);
            r.barrier_for_real();
        })
        .process(|_, w, d| {
            w.keep(1, 0, w.read_patiently(Y, d));
            w.keep(1, 1, w.read(X));
        })
        .exists(|w| w.kept(0, 0) == 0 || (w.kept(1, 0) == 1 && w.kept(1, 1) == 0))
}

/// A barrier covers a callback of another thread, whose `call` happened before it.
pub(super) fn of_another_thread<R: Reader>() -> Test<R> {
    Test::<R>::new("C-barrier-covers-others", Never)
        .slow(40)
        .process(|r, w, _| {
            let world = Arc::clone(w);
            R::call(move || world.write(X, 1));
            w.point_to(Z); // Release: the message that the call has been made
            r.barrier_for_real();
        })
        .process(|r, w, _| {
            w.keep(1, 0, u32::from(w.pointee() == Z));
            r.barrier();
            w.keep(1, 1, w.read(X));
            r.barrier_for_real();
        })
        .exists(|w| w.kept(1, 0) == 1 && w.kept(1, 1) == 0)
}

/// Not promised: that callbacks run in the order of their calls.
fn order_of_callbacks<R: Reader>() -> Test<R> {
    Test::<R>::new("C-callbacks-in-order", Sometimes)
        .slow(40)
        .process(|r, w, _| {
            for variable in [X, Y] {
                let world = Arc::clone(w);
                R::call(move || world.write(variable, 1));
            }
            r.barrier();
        })
        .process(|_, w, d| {
            w.keep(1, 0, w.read_patiently(Y, d));
            w.keep(1, 1, w.read(X));
        })
        .exists(|w| w.kept(1, 0) == 1 && w.kept(1, 1) == 0)
}

/// What a callback that calls itself again has seen.
struct Reposting {
    over: AtomicUsize,
    runs: AtomicUsize,
    /// Runs without a grace period since the run before.
    early: AtomicUsize,
}

fn grace_periods<R: Reader>() -> usize {
    let count = R::stats().grace_periods;
    usize::try_from(count).unwrap()
}

fn repost<R: Reader>(state: &'static Reposting, before: usize) {
    R::call(move || {
        let now = grace_periods::<R>();
        state.early.fetch_add(usize::from(now == before), SeqCst);
        if state.over.load(SeqCst) == 0 {
            repost::<R>(state, now);
        } else {
            state.over.fetch_add(1, SeqCst);
        }
        // Last: whoever reads the count finds a callback that waits or runs and is not in it yet.
        state.runs.fetch_add(1, SeqCst);
    });
}

/// A test that fails must not leave a callback that goes on for ever beside those that come after it.
struct Stop(&'static Reposting);

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = self.0.over.compare_exchange(0, 1, SeqCst, SeqCst);
    }
}

/// 2.15. The stop is the kernel's, with a second barrier: no more reposts, a grace period, barriers.
fn self_propagating<R: Reader>() {
    let state: &'static Reposting = Box::leak(Box::new(Reposting {
        over: AtomicUsize::new(0),
        runs: AtomicUsize::new(0),
        early: AtomicUsize::new(0),
    }));
    let _stop = Stop(state);
    let mut reader = R::join();
    repost::<R>(state, grace_periods::<R>());
    for _ in 0..20 {
        // Each returns though there is always one more callback, and covers the one of its moment.
        let before = state.runs.load(SeqCst);
        reader.barrier();
        assert!(state.runs.load(SeqCst) > before);
    }
    state.over.store(1, SeqCst);
    reader.synchronize();
    // The kernel's callbacks hold back a grace period while they run; ours may have looked before the stop
    // and queue once more now. That one barrier waits for; the one that it queues looks after the stop.
    reader.barrier();
    reader.barrier();
    assert_eq!(state.over.load(SeqCst), 2, "reposted after the stop");
    assert_eq!(state.early.load(SeqCst), 0, "ran without a grace period");
}
every_flavor!(callbacks_that_repost_themselves, self_propagating);

//! A11 and A20: `call`, `free` and dropping a `Retired` never wait, never run a callback, never recurse.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use crate::flavors::{Dropping, Reader, every_flavor};
use urcu::{Memb, Rcu, Retired};

const MANY: usize = 20_000;

fn never_waits<R: Reader>() {
    let ran: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    let lock = Arc::new(Mutex::new(()));
    let mut reader = R::join();
    let p: Rcu<Dropping, R::F> = Rcu::new(Dropping(ran));
    {
        let guard = reader.lock();
        let held = lock.lock().unwrap();
        // Inside a section no grace period can end, and the lock is one that every callback takes: if
        // any of these waited or ran a callback, this thread would hang.
        for n in 0..MANY {
            if n % 2 == 0 {
                let lock = Arc::clone(&lock);
                R::call(move || {
                    drop(lock.lock().unwrap());
                    ran.fetch_add(1, SeqCst);
                });
            } else {
                drop(p.replace(Dropping(ran)));
            }
        }
        assert_eq!(ran.load(SeqCst), 0, "something ran inside the section");
        drop(held);
        drop(guard);
    }
    reader.barrier();
    assert_eq!(ran.load(SeqCst), MANY);
}
every_flavor!(
    a11_call_and_free_never_wait_and_never_run_callbacks,
    never_waits
);

/// A chain of objects whose Drop retires the next: as deep as the stack would not bear.
struct Chain {
    next: Rcu<Chain>,
    _drops: Dropping,
}

impl Drop for Chain {
    fn drop(&mut self) {
        if let Some(next) = self.next.take() {
            next.free();
        }
    }
}

#[test]
fn a20_a_drop_that_retires_does_not_recurse() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let length = 10_000;
    let mut first: Rcu<Chain> = Rcu::null();
    for _ in 0..length {
        let next = first.into_inner().map_or(Rcu::null(), Rcu::from_box);
        first = Rcu::new(Chain {
            next,
            _drops: Dropping(&DROPS),
        });
    }
    first.take().unwrap().free();
    // Each link is queued by the callback before it, so each needs a barrier of its own at worst.
    while DROPS.load(SeqCst) < length {
        Memb::barrier();
    }
}

fn handed_to_a_callback<R: Reader>() {
    let sum: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    let mut reader = R::join();
    let p: Rcu<usize, R::F> = Rcu::new(0);
    for n in 1..=100 {
        let old: Retired<usize, R::F> = p.replace(n).unwrap();
        old.call(move |value| {
            sum.fetch_add(*value, SeqCst);
        });
    }
    reader.barrier();
    assert_eq!(sum.load(SeqCst), (0..100).sum::<usize>());
}
every_flavor!(
    a11_retired_call_gives_the_box_to_the_callback,
    handed_to_a_callback
);

/// `Rcu` frees what it still owns at once: references borrow it, so there is none.
#[test]
fn a11_what_an_rcu_owns_is_dropped_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    drop(Rcu::<Dropping>::new(Dropping(&DROPS)));
    assert_eq!(DROPS.load(SeqCst), 1);
    let p: Rcu<Dropping> = Rcu::new(Dropping(&DROPS));
    drop(p.into_inner());
    assert_eq!(DROPS.load(SeqCst), 2);
    let p: Rcu<Rcu<Dropping>> = Rcu::new(Rcu::new(Dropping(&DROPS)));
    p.take().unwrap().free();
    Memb::barrier();
    assert_eq!(DROPS.load(SeqCst), 3);
}

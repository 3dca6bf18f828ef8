//! A15: compare_exchange compares with what the guard protects, and gives back what it did not store.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use crate::flavors::{Dropping, Reader, every_flavor};
use urcu::{Memb, Rcu};

fn counts<R: Reader>() {
    const EACH: u64 = 3_000;
    let counter: Rcu<u64, R::F> = Rcu::new(0);
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                let mut reader = R::join();
                for _ in 0..EACH {
                    let guard = reader.lock();
                    let mut current = counter.dereference(&guard);
                    let mut new = Box::new(0);
                    loop {
                        *new = current.unwrap() + 1;
                        match counter.compare_exchange(current, new, &guard) {
                            Ok(_) => break,
                            Err((now, back)) => (current, new) = (now, back),
                        }
                    }
                    drop(guard);
                    reader.away(|| {});
                }
            });
        }
    });
    assert_eq!(counter.into_inner().as_deref(), Some(&(3 * EACH)));
}
every_flavor!(a15_no_increment_is_lost, counts);

#[test]
fn a15_failure_gives_back_the_box_and_the_present_object() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let p: Rcu<(u32, Dropping)> = Rcu::null();
    let new = |n| Box::new((n, Dropping(&DROPS)));
    let guard = Memb::read_lock();
    let Ok(None) = p.compare_exchange(None, new(1), &guard) else {
        panic!("null was expected and there")
    };
    let Err((Some(now), back)) = p.compare_exchange(None, new(2), &guard) else {
        panic!("null was expected and not there")
    };
    assert_eq!((now.0, back.0, DROPS.load(SeqCst)), (1, 2, 0));
    let Ok(Some(old)) = p.compare_exchange(Some(now), back, &guard) else {
        panic!("the present object was expected")
    };
    assert_eq!((now.0, p.dereference(&guard).unwrap().0), (1, 2));
    drop(guard);
    assert_eq!(old.synchronize().0, 1);
    assert_eq!(DROPS.load(SeqCst), 1);
}

#[test]
fn a15_zero_sized_objects_differ_only_from_null() {
    let p: Rcu<()> = Rcu::null();
    let guard = Memb::read_lock();
    assert!(p.compare_exchange(None, Box::new(()), &guard).is_ok());
    assert!(p.compare_exchange(None, Box::new(()), &guard).is_err());
    let current = p.dereference(&guard);
    assert!(p.compare_exchange(current, Box::new(()), &guard).is_ok());
    drop(guard);
    assert!(p.take().is_some());
    assert!(p.is_null());
    Memb::barrier();
}

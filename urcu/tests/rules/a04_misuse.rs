//! A4: before the grace period the object is nobody's `Box`; a panic on the way frees nothing early.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use crate::flavors::{Dropping, Reader, every_flavor};
use urcu::Rcu;

fn panic_in_misuse<R: Reader>() {
    let drops: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    let mut reader = R::join();
    let p: Rcu<(Dropping, String), R::F> = Rcu::new((Dropping(drops), "old".to_owned()));
    {
        let guard = reader.lock();
        let value = p.dereference(&guard).unwrap();
        let retired = p.take().unwrap();
        assert!(
            catch_unwind(AssertUnwindSafe(|| retired.synchronize())).is_err(),
            "a wait in a section must panic"
        );
        assert_eq!(value.1, "old", "the caller's own section still reads it");
        assert_eq!(drops.load(SeqCst), 0, "dropped inside the section");
    }
    reader.barrier();
    assert_eq!(drops.load(SeqCst), 1, "not dropped exactly once");
}
every_flavor!(a04_misuse_drops_nothing_early, panic_in_misuse);

// What readers did to the object last is seen by who gets the box: it is no `noalias` box before.
fn readers_last_writes_are_seen<R: Reader>() {
    let mut updater = R::join();
    let p: Rcu<AtomicUsize, R::F> = Rcu::new(AtomicUsize::new(0));
    let mut expected = 0;
    let mut found = 0;
    let over = AtomicUsize::new(0);
    std::thread::scope(|s| {
        let added = s.spawn(|| {
            let mut reader = R::join();
            let mut added = 0;
            while over.load(SeqCst) == 0 {
                let guard = reader.lock();
                let counter = p.dereference(&guard).unwrap();
                std::thread::yield_now();
                counter.fetch_add(1, SeqCst);
                added += 1;
                drop(guard);
                reader.away(|| {});
            }
            added
        });
        for _ in 0..2000 {
            let old = p.replace(AtomicUsize::new(0)).unwrap();
            found += updater.give_back(old).load(SeqCst);
        }
        over.store(1, SeqCst);
        updater.away(|| expected = added.join().unwrap());
    });
    drop(updater);
    found += p.into_inner().unwrap().into_inner();
    assert_eq!(found, expected);
}
every_flavor!(
    a04_the_box_sees_the_last_writes,
    readers_last_writes_are_seen
);

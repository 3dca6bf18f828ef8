//! A1: nothing but the writer that an `RcuLocked` was made with changes it or looks at it unprotected.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use urcu::{Memb, Qsbr, RcuLocked, Writer};

#[test]
fn a01_a_wrong_writer_panics_and_changes_nothing() {
    let (right, mut wrong) = (Writer::new(), Writer::new());
    let p: RcuLocked<u32> = RcuLocked::new(&right, 1);
    let uses: [&mut dyn FnMut(&mut Writer); 4] = [
        &mut |w| assert!(p.get(w).is_none()),
        &mut |w| p.assign(w, 2),
        &mut |w| drop(p.replace(w, 3)),
        &mut |w| drop(p.take(w)),
    ];
    for misuse in uses {
        let panic = catch_unwind(AssertUnwindSafe(|| misuse(&mut wrong))).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("writer"), "{text}");
        assert_eq!(p.get(&right), Some(&1));
        assert_eq!(p.dereference(&Memb::read_lock()), Some(&1));
    }
}

#[test]
fn a01_a_null_pointer_knows_its_writer_too() {
    let right = Writer::new();
    let p: RcuLocked<u32, Qsbr> = RcuLocked::null(&right);
    assert!(p.get(&right).is_none());
    let wrong = catch_unwind(AssertUnwindSafe(|| p.get(&Writer::new()).copied()));
    assert!(wrong.is_err());
}

// The pattern that a hashed lock needs: many pointers, one mutex, no lost update.
#[test]
fn a01_updates_under_the_mutex_are_not_lost() {
    const EACH: u64 = 2_000;
    let lock = Mutex::new(Writer::new());
    let counters: Vec<RcuLocked<u64>> = (0..3)
        .map(|_| RcuLocked::new(&lock.lock().unwrap(), 0))
        .collect();
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                for n in 0..EACH {
                    let counter = &counters[usize::try_from(n % 3).unwrap()];
                    let mut writer = lock.lock().unwrap();
                    let next = counter.get(&writer).unwrap() + 1;
                    counter.assign(&mut writer, next);
                }
            });
        }
    });
    let writer = lock.into_inner().unwrap();
    let total: u64 = counters.iter().map(|c| c.get(&writer).unwrap()).sum();
    assert_eq!(total, 3 * EACH);
}

//! Grace periods overlap: who comes while a long one is under way does not wait for its end, only to wait for
//! another one.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI32, AtomicUsize};

use crate::flavors::{Reader, Stage, every_flavor, wait_until};
use crate::regressions::{my_tid, wait_until_asleep};

/// The second caller's grace period begins while the first one's reader is still inside. So a reader that
/// enters after that, and stays, holds neither back.
fn overlapping<R: Reader>() {
    let (old_inside, old_leave) = (&Stage::new(), &Stage::new());
    let (new_inside, new_leave) = (&Stage::new(), &Stage::new());
    let returned = &AtomicUsize::new(0);
    let second = &AtomicI32::new(0);
    let reader = |inside: &Stage, leave: &Stage| {
        let reader = R::join();
        let guard = reader.lock();
        inside.next();
        leave.wait_for(1);
        drop(guard);
    };
    let updater = || {
        R::join().synchronize();
        returned.fetch_add(1, SeqCst);
    };
    std::thread::scope(|s| {
        s.spawn(move || reader(old_inside, old_leave));
        old_inside.wait_for(1);
        s.spawn(updater);
        wait_until(|| R::stats().in_flight == 1);
        s.spawn(move || {
            second.store(my_tid(), SeqCst);
            updater();
        });
        wait_until(|| R::stats().in_flight == 2); // never, if the second waits for the first
        wait_until_asleep(second); // it has begun, but who enters before it looks for readers holds it back
        s.spawn(move || reader(new_inside, new_leave));
        new_inside.wait_for(1);
        assert_eq!(returned.load(SeqCst), 0);
        old_leave.next();
        wait_until(|| returned.load(SeqCst) == 2);
        new_leave.next();
    });
    assert_eq!(R::stats().in_flight, 0);
}
every_flavor!(a_second_grace_period_begins_during_a_long_one, overlapping in child);

/// Many callers beside readers that are inside for long: each call is a grace period of its own callers, and
/// all return.
///
/// A reader stays until somebody sleeps for it: whoever waits for it has to, after it went in, so this ends.
/// It then stays for a second sleep, the one after the lead was handed over, if one comes: a leader that has
/// no lead to hand over any more sleeps only once.
fn crowd<R: Reader>() {
    const CALLERS: usize = 8;
    const CALLS: usize = 30;
    let returned = &AtomicUsize::new(0);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(move || {
                let mut reader = R::join();
                loop {
                    // One look: if all have returned by now, nobody will ever sleep for us.
                    let end = returned.load(SeqCst);
                    if end == CALLERS * CALLS {
                        break;
                    }
                    let asleep = R::stats().sleeps;
                    let guard = reader.lock();
                    let sleeps =
                        |n| R::stats().sleeps >= asleep + n || returned.load(SeqCst) != end;
                    wait_until(|| sleeps(1));
                    let mut looks = 0..1000;
                    wait_until(move || sleeps(2) || looks.next().is_none());
                    drop(guard);
                    reader.away(|| ());
                }
            });
        }
        for _ in 0..CALLERS {
            s.spawn(move || {
                let mut updater = R::join();
                for _ in 0..CALLS {
                    updater.synchronize();
                    returned.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(R::stats().in_flight, 0);
}
every_flavor!(a_crowd_of_callers_beside_slow_readers_all_return, crowd in child);

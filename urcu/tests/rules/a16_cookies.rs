//! A16 and the polled grace periods: a cookie is never done early, and done with the first whole grace period.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Wake, Waker};

use crate::flavors::{Reader, Stage, every_flavor, wait_until};
use urcu::{Cookie, Flavor};

fn never_early<R: Reader>() {
    let (inside, leave) = (Stage::new(), Stage::new());
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut reader = R::join();
            let guard = reader.lock();
            inside.next();
            leave.wait_for(1);
            drop(guard);
            reader.away(|| ());
        });
        inside.wait_for(1);
        let cookies = [R::get_state(), R::start_poll()];
        // The grace period that `start_poll` asked for is under way and cannot end.
        wait_until(|| R::stats().in_flight > 0 || cookies.iter().any(|c| c.is_done()));
        for cookie in cookies {
            assert!(!cookie.is_done(), "done with a reader inside");
        }
        leave.next();
        cookies[1].wait_done();
        assert!(cookies[1].is_done());
    });
}
every_flavor!(a16_a_cookie_is_not_done_before_its_readers_have_left, never_early in child);

/// Waits for a cookie without asking for a grace period.
trait WaitDone {
    fn wait_done(self);
}

impl<F: Flavor> WaitDone for Cookie<F> {
    fn wait_done(self) {
        wait_until(|| self.is_done());
    }
}

fn done_after_one<R: Reader>() {
    let mut updater = R::join();
    assert!(Cookie::<R::F>::COMPLETED.is_done());
    for _ in 0..100 {
        let cookie = R::get_state();
        assert!(!cookie.is_done(), "nobody has waited");
        assert_eq!(cookie, R::get_state());
        updater.synchronize();
        assert!(cookie.is_done(), "one grace period is enough");
        updater.wait_for(cookie); // returns at once
        let next = R::get_state();
        assert_ne!(cookie, next);
        updater.wait_for(next);
        assert!(next.is_done());
    }
}
every_flavor!(a16_one_grace_period_is_enough, done_after_one in child);

/// A waker that counts nothing and tells one thread.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

fn awaited<R: Reader>() {
    for _ in 0..50 {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let cookie = R::get_state();
        let mut future = pin!(cookie.done());
        let mut polls = 0;
        while future.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
            polls += 1;
            wait_until(|| flag.0.swap(false, SeqCst)); // lost wake-up: the child's watchdog
        }
        assert!(cookie.is_done() && polls <= 1);
    }
    // Dropping the future loses nothing and wakes nobody.
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut future = Box::pin(R::get_state().done());
    assert!(
        future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(future);
    R::join().barrier();
}
every_flavor!(a_task_is_woken_by_the_end_of_its_grace_period, awaited in child);

/// Cookies asked for from many threads at once all become done.
fn storm<R: Reader>() {
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..500 {
                    R::start_poll().wait_done();
                }
            });
        }
    });
}
every_flavor!(every_started_cookie_becomes_done, storm in child);

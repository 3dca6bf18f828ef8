//! A11: the bound on what waits for grace periods. What cannot be refused is counted; what can is given back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use crate::child::{DONE, in_child, outcome_of_child};
use crate::flavors::{Dropping, Reader, Stage, every_flavor, wait_until};
use crate::libc_calls;
use crate::reports;
use urcu::{Limits, Mb, Memb, OrdMap, Qsbr, Rcu, RcuArc, Report};

const HARD: u64 = 1 << 20;

/// 4 KiB that count their drops.
struct Page(
    #[expect(dead_code)] [u8; 4096],
    #[expect(dead_code)] Dropping,
);

fn page(drops: &'static AtomicUsize) -> Page {
    Page([0; 4096], Dropping(drops))
}

/// Runs `f` while another thread is inside a section: no grace period ends, nothing is freed.
fn while_stalled<R: Reader>(reader: &mut R, f: impl FnOnce()) {
    let inside: &'static Stage = Box::leak(Box::new(Stage::new()));
    let over: &'static Stage = Box::leak(Box::new(Stage::new()));
    let other = std::thread::spawn(|| {
        let reader = R::join();
        let guard = reader.lock();
        inside.next();
        over.wait_for(1);
        drop(guard);
    });
    reader.away(|| inside.wait_for(1));
    f();
    over.next();
    reader.away(|| other.join().unwrap());
}

fn is_excess<R: Reader>(report: &Report) -> bool {
    matches!(report, Report::OverLimit { flavor, limit: HARD, .. } if *flavor == R::NAME)
}

fn the_bound<R: Reader>() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    reports::collect();
    let mut reader = R::join();
    R::set_limits(Limits {
        soft: HARD / 4,
        hard: HARD,
    });
    for episode in 1..=2 {
        DROPS.store(0, SeqCst);
        let before = R::stats();
        let mut retired = 0;
        while_stalled(&mut reader, || {
            // What can be refused stays within the bound, to the byte.
            let refused = loop {
                let p: Rcu<Page, R::F> = Rcu::new(page(&DROPS));
                match p.take().unwrap().try_free() {
                    Ok(()) => retired += 1,
                    Err(refused) => break refused,
                }
                assert!(R::stats().bytes_pending <= HARD);
            };
            assert!((200..=256).contains(&retired), "{retired}");
            let kept = [0_u8; 8192];
            let give_back = R::try_call(move || assert_eq!(kept[8191], 0)).unwrap_err();
            let (refused, _) = refused.try_call(drop).unwrap_err();
            assert_eq!(R::stats().refused, before.refused + 3);
            assert_eq!(R::stats().over_limit, before.over_limit);
            // What cannot goes beyond it, and is counted.
            refused.free();
            R::call(give_back);
            drop(Rcu::<Page, R::F>::new(page(&DROPS)).take());
            retired += 2;
            let stats = R::stats();
            assert_eq!(stats.over_limit, before.over_limit + 3);
            assert!(stats.bytes_pending > HARD && stats.bytes_peak >= stats.bytes_pending);
            assert_eq!(DROPS.load(SeqCst), 0);
        });
        reader.throttle();
        assert!(R::stats().bytes_pending <= HARD / 4);
        assert!(R::try_call(|| {}).is_ok());
        reader.barrier();
        assert_eq!(DROPS.load(SeqCst), retired);
        assert_eq!(R::stats().bytes_pending, 0);
        // Once for each time that the bound was crossed.
        reports::wait_for(episode, is_excess::<R>);
        assert_eq!(reports::count(is_excess::<R>), episode);
    }
    R::set_limits(Limits::NONE);
    let stats = R::stats();
    while_stalled(&mut reader, || {
        for _ in 0..300 {
            drop(Rcu::<Page, R::F>::new(page(&DROPS)).take());
        }
        assert!(R::try_call(|| {}).is_ok());
        reader_returns_at_once::<R>();
    });
    assert_eq!(
        (R::stats().over_limit, R::stats().refused),
        (stats.over_limit, stats.refused)
    );
}
every_flavor!(a11_the_bound_refuses_counts_and_tells, the_bound in child);

/// Without limits there is nothing to wait for, whoever is in a section.
fn reader_returns_at_once<R: Reader>() {
    std::thread::spawn(|| R::join().throttle()).join().unwrap();
}

fn sizes<R: Reader>() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let mut reader = R::join();
    reader.barrier();
    while_stalled(&mut reader, || {
        let of = |post: &dyn Fn()| {
            let before = R::stats().bytes_pending;
            post();
            R::stats().bytes_pending - before
        };
        let small = of(&|| R::call(|| {}));
        assert!((24..=64).contains(&small), "{small}");
        let captured = of(&|| {
            let array = [7_u8; 1000];
            R::call(move || assert_eq!(array[0], 7));
        });
        assert!((1000..=1100).contains(&captured), "{captured}");
        let object = of(&|| drop(Rcu::<Page, R::F>::new(page(&DROPS)).take()));
        assert!((4100..=4200).contains(&object), "{object}");
        let said = of(&|| R::call_sized(1 << 30, || {}));
        assert!((1 << 30..=(1 << 30) + 100).contains(&said), "{said}");
    });
    reader.barrier();
    assert_eq!(R::stats().bytes_pending, 0);
}
every_flavor!(a11_each_callback_counts_its_bytes, sizes in child);

/// An object in an `Arc` counted as itself: without its counts, without what aligns it, in a map without what the
/// allocator adds. A bound of so many bytes was exceeded by half.
fn counts_of_arcs<R: Reader>() {
    #[repr(align(64))]
    struct Wide(#[expect(dead_code)] [u8; 64]);
    let mut reader = R::join();
    reader.barrier();
    while_stalled(&mut reader, || {
        let of = |post: &dyn Fn()| {
            let before = R::stats().bytes_pending;
            post();
            R::stats().bytes_pending - before
        };
        let word = 0_usize;
        let closure = of(&|| R::call(move || assert_eq!(word, 0))); // as large as that of a retired Arc
        let counts = of(&|| drop(RcuArc::<(), R::F>::new(Arc::new(())).take()));
        assert_eq!(counts - closure, 32, "two counts and the allocator's word");
        let wide = || RcuArc::<Wide, R::F>::new(Arc::new(Wide([0; 64]))).take();
        let aligned = of(&|| wide().unwrap().call(drop));
        assert_eq!(aligned - closure, 144, "the counts take 64 bytes, too");
        for missing in [1, 0] {
            let hard = R::stats().bytes_pending + aligned - missing;
            R::set_limits(Limits { soft: hard, hard });
            assert_eq!(wide().unwrap().try_free().is_ok(), missing == 0);
        }
        R::set_limits(Limits::NONE);
        const ENTRIES: u64 = 60;
        let map: OrdMap<u64, [u8; 24], R::F> = OrdMap::new();
        let inside = R::join();
        for key in 0..ENTRIES {
            map.insert(key, Arc::new([0; 24]), &inside.lock());
        }
        let cleared = of(&|| map.clear());
        // A key and a pointer, and the value's 40 bytes and a word; one node with its header, and the callback.
        let rest = cleared - ENTRIES * (16 + 48);
        assert!((32..=160).contains(&rest), "{rest}");
    });
    reader.barrier();
    assert_eq!(R::stats().bytes_pending, 0);
}
every_flavor!(a11_arcs_count_as_they_are_allocated, counts_of_arcs in child);

fn throttled_where_it_may_not<R: Reader>() {
    static IN_CALLBACK: Stage = Stage::new();
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    let reader = R::join();
    let refused = |throttle: fn()| catch_unwind(throttle).is_err();
    {
        let _guard = reader.lock();
        assert!(refused(Memb::throttle) && refused(Mb::throttle) && refused(Qsbr::throttle));
    }
    drop(reader);
    R::call(move || {
        let mut inside = R::join();
        let own = catch_unwind(AssertUnwindSafe(|| inside.throttle())).is_err();
        drop(inside);
        let all = [Memb::throttle, Mb::throttle, Qsbr::throttle].map(refused);
        REFUSED.store(usize::from(own && all == [true; 3]), SeqCst);
        IN_CALLBACK.next();
    });
    IN_CALLBACK.wait_for(1);
    assert_eq!(REFUSED.load(SeqCst), 1);
    // And where it may.
    Memb::throttle();
    R::join().throttle();
}
every_flavor!(a11_throttle_panics_in_sections_and_callbacks, throttled_where_it_may_not in child);

/// Waiting would never end where no worker can be started: throttle runs the callbacks.
#[test]
fn a11_without_a_worker_throttle_helps() {
    let output = outcome_of_child(
        "a11_bound::a11_without_a_worker_throttle_helps",
        None,
        || {
            static RAN: AtomicUsize = AtomicUsize::new(0);
            libc_calls::refuse(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN).unwrap();
            Mb::set_limits(Limits {
                soft: 1000,
                hard: 2000,
            });
            for _ in 0..1000 {
                let mut callback = || {
                    RAN.fetch_add(1, SeqCst);
                };
                while let Err(refused) = Mb::try_call(callback) {
                    callback = refused;
                    Mb::throttle();
                }
            }
            assert!(RAN.load(SeqCst) > 900, "{}", RAN.load(SeqCst));
            assert!(Mb::stats().bytes_peak <= 2000);
        },
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(DONE), "{told}");
}

/// Producers that ask, against the workers: the bound holds, give or take one callback for each of them.
#[test]
fn a11_the_bound_holds_under_a_flood() {
    in_child("a11_bound::a11_the_bound_holds_under_a_flood", || {
        static DROPS: AtomicUsize = AtomicUsize::new(0);
        static QUEUED: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        const EACH: usize = 20_000;
        Memb::set_limits(Limits {
            soft: HARD / 2,
            hard: HARD,
        });
        let nothing_is_freed = Memb::read_lock();
        let producers: Vec<_> = (0..3)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..EACH {
                        let p: Rcu<Page> = Rcu::new(page(&DROPS));
                        let mut old = p.take().unwrap();
                        while let Err(refused) = old.try_free() {
                            old = refused;
                            Memb::throttle();
                        }
                        // Counted late, and dropped before that: never more than there were. (`bytes_peak` adds up
                        // what changes meanwhile, and may be.)
                        let queued = QUEUED.fetch_add(1, SeqCst) + 1;
                        MOST.fetch_max(queued.saturating_sub(DROPS.load(SeqCst)), SeqCst);
                    }
                })
            })
            .collect();
        wait_until(|| Memb::stats().refused > 0);
        drop(nothing_is_freed);
        for producer in producers {
            producer.join().unwrap();
        }
        Memb::barrier();
        assert_eq!(DROPS.load(SeqCst), 3 * EACH);
        let most = MOST.load(SeqCst) as u64 * size_of::<Page>() as u64;
        assert!(most <= HARD + 3 * 5000, "{most} bytes were queued");
        let stats = Memb::stats();
        assert!(stats.bytes_peak > HARD - 5000, "{stats:?}");
    });
}

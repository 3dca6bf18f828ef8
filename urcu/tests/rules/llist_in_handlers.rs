//! `llist` from signal handlers: the pushing thread is interrupted at any step of a push, by one who pushes the same.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use urcu::llist::{Linked, Llist, Pushed};

use crate::child::in_child;
use crate::libc_calls::{self, To};

type Element = Arc<Linked<AtomicU64>>;

static LIST: Llist<AtomicU64> = Llist::new();
static ELEMENTS: OnceLock<[Element; 3]> = OnceLock::new();
static HANDLED: AtomicU64 = AtomicU64::new(0);
static QUEUED: AtomicU64 = AtomicU64::new(0);

fn change_and_push(n: u64) {
    if let Some(elements) = ELEMENTS.get() {
        let element = &elements[(n % 3) as usize];
        element.fetch_add(1, SeqCst);
        if LIST.push(element) != Pushed::AlreadyQueued {
            QUEUED.fetch_add(1, SeqCst);
        }
    }
}

extern "C" fn push_in_handler(_: i32) {
    change_and_push(HANDLED.fetch_add(1, SeqCst));
}

#[test]
fn a_handler_may_push_what_its_thread_is_pushing() {
    in_child(
        "llist_in_handlers::a_handler_may_push_what_its_thread_is_pushing",
        || {
            let elements = [0; 3].map(|n| Arc::new(Linked::new(AtomicU64::new(n))));
            ELEMENTS.set(elements.clone()).unwrap();
            libc_calls::on_sigusr1(push_in_handler);
            let over = AtomicBool::new(false);
            let mut delivered = [0; 3];
            let mut taken = 0;
            let mut deliver = || {
                for element in LIST.take_all() {
                    let n = elements.iter().position(|e| Arc::ptr_eq(e, &element));
                    let delivered = &mut delivered[n.unwrap()];
                    *delivered = element.load(SeqCst).max(*delivered);
                    taken += 1;
                }
            };
            std::thread::scope(|s| {
                s.spawn(|| {
                    // To nobody else: a handler on another thread could push after the end.
                    libc_calls::send_sigusr1_every(30_000, To::ThisThread);
                    let mut n = 0;
                    while n < 300_000 || HANDLED.load(SeqCst) < 300 {
                        change_and_push(n);
                        n += 1;
                    }
                    libc_calls::take_sigusr1(false);
                    over.store(true, SeqCst);
                });
                while !over.load(SeqCst) {
                    deliver();
                }
            });
            deliver();
            // Each was delivered as often as it was queued, the last time with its last change.
            assert_eq!(taken, QUEUED.load(SeqCst));
            for (element, delivered) in elements.iter().zip(delivered) {
                assert_eq!(element.load(SeqCst), delivered);
                assert!(!element.is_queued());
                assert_eq!(Arc::strong_count(element), 2);
            }
        },
    );
}
